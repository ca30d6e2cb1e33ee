"""One trunk, many heads: fine-tune a small encoder on every text task at once.

    python -m affectrt.export.recipes.mpnet --out mpnet
    python -m affectrt.export.recipes.multitask --model text --base mpnet --data data/text \
        --out teacher --bf16 1 --tokens-per-batch 8192 --lr 5e-5 --steps 3000
    python -m affectrt.export.recipes.multitask --model text --base minilm-l6 --data data/text \
        --out build/text --bf16 1 --tokens-per-batch 8192 --lr 2e-4 --steps 6000 \
        --teacher teacher/checkpoint --teacher-weight 0.7

trains, fits every decision on dev, measures on test and writes a pooled checkpoint. A killed run
goes on from its last saved state when started again; ``--steps`` may be raised until the cool-down
began. ``--only PACK...`` fine-tunes the same trunk on some packs alone, for comparison. The same
commands run on a CPU and, with ``--device cuda``, on a GPU.

``--teacher`` is optional: a pooled checkpoint, perhaps of a larger trunk, whose answers are learnt
beside the labels (``--teacher-weight``), and those of heads of any text (`teacher.OF_ANY_TEXT`)
also where a row has no label for them (``--imitation``). ``--start``: trunk and heads to begin
with.

The contract between these heads and whoever runs them
------------------------------------------------------

**A pass** is ``[CLS] A [SEP]``, or ``[CLS] A [SEP] B [SEP]`` with token types 0 and 1. A is what is
judged: a text alone, or a turn of a conversation. B is what it is judged in the light of: one
string of lines ``tag: text`` joined by one space, in order of time. A head's ``input`` names its B:

``text``
    None. (Some of these rows were trained beside strange lines, so a pass that has a B for other
    heads serves them too.)
``turn``
    The turns before A. The tag is ``self`` where A's speaker said it, else ``other``. A reply and
    the post that it answers are a turn and one earlier turn of another speaker; a candidate reply
    is judged as the turn that it would be.
``cause``
    A is a turn, perhaps the target itself, and the question is whether it caused the target's
    emotion. B is the turns up to and with the target, tags as seen by A's speaker. The target's tag
    carries its emotion, one of `packs.EKMAN`: ``other fear``. In A's own place stands ``this``.
``reply``
    A is a turn, and the question is what emotion the answer to it will have. B is the answerer's
    last turn with its emotion, ``other joy: ...``, then their Big Five, each 0 to 10:
    ``personality: openness 6 conscientiousness 4 extraversion 5 agreeableness 6 neuroticism 5``.

**What fits.** A is cut at its end to `inputs.MAX_TOKENS` - `MIN_ROOM` - 3 tokens. B may have
``max(CONTEXT_TOKENS - tokens(A) - 3, MIN_ROOM)`` tokens: the newest lines that fit whole, at most
`HISTORY_TURNS` of them; a newest line that does not fit is cut at its end. Because the tokenizer
splits at spaces, the tokens of B are those of its lines one after the other, and a line's tokens
may be kept from pass to pass.

**Pooling** is ``mean_first``: the mean of the last layer over ``[CLS] A [SEP]``. For a text alone
this is the mean over all tokens. All heads are linear. Those on the pooled vector:

``single_label``  softmax(logits / temperature) are the scores; the answer is the highest score /
                  threshold, or the highest score where the head has no thresholds
``ordinal``       the same over levels in order; the expected level is sum(level x score)
``multi_label``   sigmoid(logits / temperature); every label that reaches its threshold
``regression``    the logits are the values, to be clipped to ``ranges``

Those on the last layer's vector of each of A's tokens (and [CLS]), of which one pass may have any:

``span``          labels start, end. The best span is the pair of A's tokens first <= last with the
                  highest start[first] + end[last]. It is an answer if that beats start[CLS] +
                  end[CLS] by more than ``margin``. Its text runs from the first token's first
                  character to the last one's end.
``token_labels``  BIO: O, B-x, I-x, the highest logit of each token. B-x begins a span, so does I-x
                  after anything but B-x or I-x; I-x goes on.
``token_flags``   sigmoid(logits); a token carries every label whose threshold it reaches, and
                  neighbours that carry the same one are a span.
"""

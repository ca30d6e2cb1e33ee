"""Affect of a clip of speech: fine-tune Whisper's smallest encoder on acted and real emotion.

    python -m affectrt.export.recipes.speech --base whisper-tiny-en-encoder --data data/speech \\
        --out build/speech

trains on the train splits of RAVDESS, EmoDB and URDU, fits every decision on dev, measures on test
and writes a speech checkpoint (`affectrt.export.speech_checkpoint`). A killed run goes on from its
last saved state when started again; ``--steps`` may be raised until the cool-down began. No speaker
is in two splits. ``--leave-out PACK`` trains on the other packs and tests on all of that one: the
figure that says most of what the model is worth elsewhere.

``--layers`` keeps that many of the base's: a linear probe on mean and deviation over time behind
layers 1 to 4 hears .63, .71, .66 and .60 of RAVDESS' test emotions on average.
``--teacher CHECKPOINT`` distils a larger model into fewer.

The embedded `speech-micro` is made of `speech`: both convolutions and the first layer of its
checkpoint as they are, 320 of 1536 neurons in that layer, means and deviations over time, heads
fitted on 150 batches that were heard once::

    --base speech/checkpoint --teacher speech/checkpoint --layers 1 --neurons 320 --statistics 1 \\
        --hearings 150 --steps 0

THE WEIGHTS ARE FOR NON-COMMERCIAL USE ONLY, as the packs are; the checkpoint and the model file say
so. The emotions are acted ones, mostly: what an actor's voice does on order, not what a person
feels.

The contract between these heads and whoever runs them
------------------------------------------------------

**A clip** is mono sound at 16 kHz, up to 8 s. Longer sound is cut into clips by whoever runs the
model, best where nobody speaks; its scores are then those of its parts.

**Features** are ``affectrt.features.log_mel(samples, 16000, 80, pad_to_s=None)``: Whisper's log-mel
bands of the clip alone, not filled up with silence, so that 800 frames are the most. Level is not
normalised before that: the model was trained at active levels from -45 to -12 dB of full scale.

**The encoder** is Whisper's with its first 400 positions; two frames make a token, the last of an
odd number alone. A clip has the same answer in any batch: what lies behind its end is zero for both
convolutions and is attended to by no token.

**Pooling** is ``attention``: with ``pooling.weight [heads, width]``, head h weighs the tokens by
softmax over the clip of ``tokens @ weight[h]``, and its columns ``h * width / heads`` to
``(h + 1) * width / heads`` of the pooled vector are the mean of those columns of the tokens; or
``attention_statistics``, with their deviations under the same weights behind the means. All heads
are linear on that vector:

``single_label``  softmax(logits / temperature) are the scores; the answer is the highest. Who knows
                  that some labels cannot be takes the softmax over the others (*restricted*).
``ordinal``       the same over levels in order; the expected level is sum(level x score)
``multi_label``   sigmoid(logits / temperature); every label that reaches its threshold
``regression``    the logits are the values, to be clipped to ``ranges``

====================  ==============  ============================================================
emotion               single_label    9 emotions, union of the packs; as if all were as frequent
arousal_valence       regression      -1 to 1; proxies from emotion and intensity (`packs`)
intensity             ordinal         normal, strong (RAVDESS)
speaker_sex           single_label    female, male: as the packs say of the speaker
shout                 multi_label     shouted; a proxy (`packs`), RAVDESS
quality               regression      snr_db, 0 to 30: speech over noise; 30 stands for more too
====================  ==============  ============================================================
"""

"""Conversations: the recipe's passes, the same answers however turns come, state, bad input."""

from __future__ import annotations

import gc
import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import conversation_model as cm
import numpy as np
import pytest
from c_conversation import CConversation
from hypothesis import given, settings
from hypothesis import strategies as st

import affectrt
from affectrt import Conversation, Model, Turn
from affectrt.errors import InputError, NotFoundError, UnsupportedError

Made = Callable[[str, Callable[[Path], object]], Path]
Said = list[tuple[str, str]]


@pytest.fixture(scope="module")
def model(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Model:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from test_native import write_model

    from affectrt.export.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(made("conversation_model", cm.write_checkpoint))
    file = tmp_path_factory.mktemp("conversation") / "many-heads.affect"
    return affectrt.load(write_model(checkpoint, "fp32", file))


@pytest.fixture(scope="module")
def without_context() -> Model:
    if "text-permissive" not in affectrt.available_models():
        pytest.skip("the embedded model text-permissive is not in this checkout")
    return affectrt.load("text-permissive")


def dialogue(turns: int, seed: int, speakers: str = "AB") -> Said:
    draw = random.Random(seed)
    words = [w for w in cm.WORDS if w.isalpha()]
    return [
        (draw.choice(speakers), " ".join(draw.choices(words, k=draw.randint(1, 14))))
        for _ in range(turns)
    ]


def dicts(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    return [turn.to_dict() for turn in turns]


# ------------------------------------------------------------------------------------------ answers


def test_logits_are_those_of_the_recipes_passes(model: Model, made: Made) -> None:
    """Of turns and of causes, against torch on the passes of the reference."""
    import torch

    from affectrt.export.checkpoint import load_checkpoint
    from affectrt.export.recipes.multitask.inputs import Tokens, pad
    from affectrt.export.recipes.multitask.packs import cause_context, history

    loaded = load_checkpoint(made("conversation_model", cm.write_checkpoint))
    tokens = Tokens(loaded.tokenizer_json)
    said = dialogue(16, seed=3, speakers="ABC")
    said[5] = ("A", "so happy " * 150)  # longer than any pass
    conversation = model.conversation()
    emotions = ["joy", "neutral"] * 8
    for i, (speaker, text) in enumerate(said):
        answer = conversation._core.add([(speaker, text, emotions[i])])[0]
        rows = [
            {"speaker": s, "text": t, "emotion": e}
            for (s, t), e in zip(said, emotions, strict=True)
        ]
        passes = [tokens.make_pass(text, history(rows, i))]
        first = max(0, i - 11)
        if emotions[i] == "joy":
            passes += [
                tokens.make_pass(said[c][1], cause_context(rows, i, c)) for c in range(first, i + 1)
            ]
        with torch.inference_mode():
            wanted = loaded.model(*pad(passes))
        for index, scores in zip(answer.prediction.answered, answer.prediction.heads, strict=True):
            expected = wanted[model.heads[index]][0].numpy()
            expected = expected[: len(scores.logits)] if expected.ndim == 2 else expected[None]
            np.testing.assert_allclose(scores.logits, expected, atol=3e-5)
        assert answer.causes is not None
        assert [cause[0] for cause in answer.causes] == (
            list(range(first + 1, i + 2)) if emotions[i] == "joy" else []
        )
        for row, (turn, score, decided, start, end, _, words) in enumerate(answer.causes, start=1):
            yes = 1 / (1 + np.exp(-float(wanted["cause"][row, 0])))
            assert score == pytest.approx(yes, abs=1e-5)
            assert decided == (score >= 0.5)
            assert said[turn - 1][1][start:end] == words != ""


def test_a_turn_says_what_the_model_has(model: Model) -> None:
    conversation = model.conversation()
    first = conversation.add("A", "i lost the job today !")
    assert first.vad is not None
    assert set(first.vad) == {"valence", "arousal", "dominance"}
    signs = dict(affectrt._core.emotion_families())
    assert first.point.mix is not None
    mix = first.point.mix
    assert first.valence == pytest.approx(sum(signs[name] * part for name, part in mix.items()))
    alone = model.conversation(heads=["vad"]).add("A", "i lost the job today !")
    assert alone.valence == pytest.approx((first.vad["valence"] - 3) / 2)
    assert first.act in ("inform", "question")
    assert first.strategy is None
    assert not first.is_reply
    assert first.empathy is None
    assert "empathy_words" not in first.heads
    own = conversation.add("A", "so sad .")
    assert not own.is_reply
    reply = conversation.add("B", "i never lost the job", emotion="anger")
    assert reply.is_reply
    assert reply.empathy is not None
    assert set(reply.empathy) == {"interpretations"}
    assert reply.causes is not None
    for cause in reply.causes:
        speaker_text = conversation.texts[cause.turn - 1][1]
        assert speaker_text[cause.start : cause.end] == cause.text
    record = json.loads(json.dumps(reply.to_dict()))
    assert record["turn"] == 3
    assert set(record) >= {"speaker", "emotions", "heads", "is_reply", "valence", "mix", "causes"}
    assert [point.turn for point in reply.arc] == [1, 2, 3]
    assert conversation.arc == reply.arc


def test_python_and_c_tell_the_same(model: Model, without_context: Model) -> None:
    for one in (model, without_context):
        conversation = one.conversation()
        turns = [conversation.add("A", "I lost it 日", emotion="fear")]
        turns.append(conversation.add("B", "so sad"))
        in_c = CConversation(one.info.path)
        said = [("A", "I lost it 日", "fear", None), ("B", "so sad", None, None)]
        assert in_c.add(said) == dicts(turns)
        assert in_c.state() == conversation.to_json()


def test_a_model_without_context_answers_as_alone(without_context: Model) -> None:
    texts = ["I got the job!", "That is great, I am so proud.", "But it is in Leeds."]
    turns = without_context.conversation().add_all([("AB"[i % 2], t) for i, t in enumerate(texts)])
    assert [turn.result for turn in turns] == without_context(texts)
    assert all(turn.causes is None for turn in turns)
    assert turns[0].point.mix is not None
    assert sum(turns[0].point.mix.values()) == pytest.approx(1.0)
    assert "causes" not in turns[0].to_dict()


# ---------------------------------------------------------------------------------- the same always


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_incremental_equals_from_scratch(model: Model, seed: int, cuts: list[int]) -> None:
    """One by one, in pieces, at once, beside others, after saving and loading: to the bit."""
    said = dialogue(18, seed, "ABC")
    at_once = dicts(model.conversation().add_all(said))

    one_by_one = model.conversation(max_turns=1)
    assert dicts([one_by_one.add(*turn) for turn in said]) == at_once

    pieces = model.conversation()
    told: list[Turn] = []
    for cut in cuts:
        told += pieces.add_all(said[len(told) : len(told) + cut])
        pieces = Conversation.from_json(model, pieces.to_json())
    assert dicts(told) == at_once[: len(told)]

    a, b = model.conversation(), model.conversation(max_turns=3)
    noise = dialogue(18, seed + 1)
    mixed = [add for x, y in zip(said, noise, strict=True) for add in ((a, *x), (b, *y))]
    assert dicts(model.add_turns(mixed)[::2]) == at_once
    assert a.arc == pieces.arc[: len(a.arc)] or len(told) < len(said)


def test_saved_state_is_complete(model: Model, without_context: Model) -> None:
    for one in (model, without_context):
        conversation = one.conversation(max_turns=15, heads=list(one.heads[:1]))
        conversation.add_all([*dialogue(40, 1), ("Zoë 🙂", 'naïve\tcafé\n"quoted" \\ 日本')])
        again = Conversation.from_json(one, conversation.to_json())
        assert again.to_json() == conversation.to_json()
        assert (again.turns, again.max_turns) == (41, 15)
        assert again.heads == conversation.heads
        assert again.arc == conversation.arc
        assert again.texts == conversation.texts
        assert again.add("A", "why ?").to_dict() == conversation.add("A", "why ?").to_dict()


def test_ten_thousand_turns_in_bounded_memory(model: Model) -> None:
    conversation = model.conversation(max_turns=30, heads=["vad"])
    said = dialogue(10_000, 2)
    sizes = set()
    for begin in range(0, len(said), 500):
        conversation.add_all([(speaker, "so sad") for speaker, _ in said[begin : begin + 500]])
        sizes.add(len(json.loads(conversation.to_json())["remembered"]))
    assert conversation.turns == 10_000
    assert sizes == {30}
    assert len(conversation.arc) == len(conversation.texts) == 30
    assert conversation.arc[-1].turn == 10_000


def test_a_thousand_conversations_in_one_batch(without_context: Model) -> None:
    conversations = [without_context.conversation() for _ in range(1000)]
    turns = without_context.add_turns(
        [(c, "A", "hello" if i else "I am so happy") for i, c in enumerate(conversations)]
    )
    assert turns[0].decided == ("joy",)
    assert {turn.number for turn in turns} == {1}
    assert turns[1].to_dict() == turns[999].to_dict()


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (("", "hello"), "turn 3 has no speaker; give a name"),
        ((" \t", "hello"), "turn 3 has no speaker"),
        ((None, "hello"), "turn 3: its speaker is None; give a name"),
        (("A", ""), "turn 3 is empty; give a text"),
        (("A", " \u2003"), "turn 3 is only white space"),
        (("A", None), "turn 3: its text is None; give what was said"),
        (("A", b"hello"), "turn 3: its text is bytes"),
        (("A", "\ud800"), "lone surrogate"),
        (("A",), r"turn 3 is tuple; give \(speaker, text\)"),
        ("A: hello", "turn 3 is str"),
    ],
)
def test_bad_turns_change_nothing(model: Model, turn: Any, message: str) -> None:
    conversation = model.conversation()
    conversation.add("A", "so sad")
    state = conversation.to_json()
    with pytest.raises(InputError, match=message):
        conversation.add_all([("B", "why ?"), turn])
    assert conversation.to_json() == state


def test_interrupted_and_failing_calls_change_nothing(model: Model) -> None:
    conversation, other = model.conversation(), model.conversation(heads=["vad"])
    conversation.add("A", "so sad")
    state = conversation.to_json()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversation.add("B", "why ?", progress=stop)
    with pytest.raises(InputError, match="no emotion 'bliss'; give one of: anger, disgust"):
        conversation.add("B", "why ?", emotion="bliss")
    with pytest.raises(InputError, match="other heads"):
        model.add_turns([(conversation, "B", "why ?"), (other, "A", "so")])
    with pytest.raises(InputError, match=r"additions\[0\]: its conversation is none"):
        model.add_turns([("x", "B", "why ?")])  # type: ignore[list-item]
    assert conversation.to_json() == state
    assert conversation.add("B", "why ?").number == 2


def test_a_conversation_belongs_to_one_call(model: Model) -> None:
    conversation = model.conversation()
    said = []

    def while_busy(done: int, total: int) -> None:
        with pytest.raises(InputError, match="in use by another call"):
            conversation.add("B", "me too")
        said.append(done)

    conversation.add("A", "so sad", progress=while_busy)
    assert said
    assert conversation.turns == 1


def test_conversations_of_one_model_in_many_threads(model: Model) -> None:
    said = dialogue(8, 9)
    alone = dicts(model.conversation().add_all(said))
    results: list[list[dict[str, Any]]] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(
                dicts([c.add(*t) for c in [model.conversation()] for t in said])
            )
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [alone] * 6


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (["mood"], "head 'mood' is not in this model"),
        (["vad", "vad"], "names one twice"),
        (["cause"], "head 'cause' reads a cause, not a turn; choose of: emotion, emotion7"),
        ([], "heads is empty"),
        ("vad", "heads is str"),
    ],
)
def test_unknown_heads(model: Model, heads: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.conversation(heads=heads)


def test_heads_that_are_left_out(model: Model) -> None:
    """Without the head of the emotion that causes are asked with, it must be told."""
    conversation = model.conversation(heads=["empathy_interpretations", "reply_fit"])
    first = conversation.add("A", "i lost the job")
    assert list(first.heads) == ["empathy_interpretations"]  # the primary one always answers
    assert first.causes is None
    assert (first.valence, first.point.emotion, first.point.mix) == (None, None, None)
    told = conversation.add("B", "so sad", emotion="sadness")
    assert list(told.heads) == ["empathy_interpretations", "reply_fit"]
    assert told.causes is not None
    assert json.loads(json.dumps(told.to_dict()))["causes"] is not None


@pytest.mark.parametrize("most", [0, -1, 2.5, True, None, 10**9])
def test_bad_max_turns(model: Model, most: Any) -> None:
    with pytest.raises(InputError, match="max_turns is"):
        model.conversation(max_turns=most)


def test_bad_states(model: Model, without_context: Model) -> None:
    conversation = model.conversation()
    conversation.add_all(dialogue(3, 4))
    good = json.loads(conversation.to_json())

    def refused(change: dict[str, Any], message: str, kind: type[Exception] = InputError) -> None:
        with pytest.raises(kind, match=message):
            Conversation.from_json(model, json.dumps({**good, **change}))

    refused({"format": "x"}, 'format: is "x"; it must be "affectrt-conversation"')
    refused({"version": 2}, "is 2, of a later affectrt", UnsupportedError)
    refused({"version": 0}, "version: is 0")
    refused({"turns": 5}, "remembered")
    refused({"turns": -1}, "turns: is -1")
    refused({"max_turns": 0}, "max_turns: is 0")
    refused({"heads": ["mood"]}, r'heads\[0\]: is "mood"')
    refused({"heads": []}, "heads")
    turn = good["remembered"][0]
    for change, message in [
        ({"turn": 2}, r"remembered\[0\].turn"),
        ({"speaker": ""}, r"remembered\[0\].speaker"),
        ({"text": 5}, r"remembered\[0\].text"),
        ({"emotion": "bliss"}, "a label of head 'emotion'"),
        ({"valence": 7}, r"remembered\[0\].valence"),
        ({"mix": {}}, "mix"),
    ]:
        refused({"remembered": [{**turn, **change}, *good["remembered"][1:]]}, message)
    with pytest.raises(InputError, match="with other weights or labels"):
        Conversation.from_json(without_context, conversation.to_json())
    for text in ("", "{", "[]", "nonsense", "\ud800"):
        with pytest.raises(InputError):
            Conversation.from_json(model, text)
    with pytest.raises(InputError, match="state is dict"):
        Conversation.from_json(model, good)  # type: ignore[arg-type]


def test_a_conversation_outlives_its_model_object(default_model: Path) -> None:
    conversation = affectrt.load(default_model).conversation()
    gc.collect()
    assert conversation.add("A", "I am so happy").decided == ("joy",)


# ----------------------------------------------------------------------- evidence, replies, prompts


def test_explaining_a_turn_reads_its_context(model: Model) -> None:
    conversation = model.conversation(max_turns=12)
    conversation.add_all(dialogue(4, 5))
    turn = conversation.add("B", "i lost the train !")
    found = conversation.explain(head="emotion7", label="joy", top=10)
    assert found.score == pytest.approx(turn.heads["emotion7"].values["joy"], abs=1e-6)
    assert {word.text for word in found.words} == {"i", "lost", "the", "train", "!"}
    for word in found.words:
        assert turn.text[word.start : word.end] == word.text
    assert conversation.turns == 5
    first = conversation.explain(1)
    assert first.head == "emotion"
    with pytest.raises(InputError, match="there is no turn 9; turns 1 to 5 are remembered"):
        conversation.explain(9)
    with pytest.raises(InputError, match="does not judge the turns"):
        conversation.explain(head="cause")
    with pytest.raises(InputError, match="names words itself"):
        conversation.explain(head="empathy_words")
    conversation.add_all(dialogue(20, 6))
    with pytest.raises(InputError, match=r"forgotten|remembered"):
        conversation.explain(14)


def test_replies_are_ranked_as_the_turns_that_they_would_be(model: Model) -> None:
    conversation = model.conversation()
    with pytest.raises(InputError, match="nothing was said yet"):
        conversation.rank_replies("B", ["so sad"])
    conversation.add("A", "i lost the job")
    replies = ["so sad", "you won !", "the train"]
    ranked = conversation.rank_replies("B", replies)
    assert [label.score for label in ranked] == sorted((r.score for r in ranked), reverse=True)
    for label in ranked:
        copy = Conversation.from_json(model, conversation.to_json())
        assert copy.add("B", label.label).heads["reply_fit"].values["fits"] == label.score
    with pytest.raises(InputError, match="needs a model with the head 'reply_fit'"):
        model.conversation(heads=["vad"]).rank_replies("B", replies)


def test_prompts(model: Model, without_context: Model, tmp_path: Path) -> None:
    conversation = model.conversation()
    conversation.add("Ann", "i lost the job !")
    turn = conversation.add("Ben", "so sad", emotion="sadness")
    text = turn.prompt()
    assert "turn 2, said by Ben" in text
    assert f"{turn.emotions[0].label} ({turn.emotions[0].score:.2f})" in text
    record = json.loads(turn.prompt("json"))
    assert record["emotions"][0]["label"] == turn.emotions[0].label
    assert record["act"] == turn.act
    assert len(record["emotions"]) <= 3
    if turn.causes:
        assert turn.causes[0].text is not None
        assert turn.causes[0].text in text
    plain = without_context.conversation().add("Ann", "I am so happy")
    assert "cause of" not in plain.prompt()
    assert "causes" not in json.loads(plain.prompt("json"))

    own = tmp_path / "own.txt"
    own.write_text("{speaker}: {emotions}\nwhy: {causes}\n", encoding="utf-8")
    assert plain.prompt(template=own, top=1) == f"Ann: joy ({plain.emotions[0].score:.2f})"
    own.write_text("{mood}", encoding="utf-8")
    with pytest.raises(InputError, match=r"'own.txt': there is no field \{mood\}; there are: turn"):
        plain.prompt(template=own)
    own.write_text("{broken", encoding="utf-8")
    with pytest.raises(InputError, match="is not JSON"):
        plain.prompt("json", template=own)
    with pytest.raises(NotFoundError, match="no template"):
        plain.prompt(template=tmp_path / "none.txt")
    with pytest.raises(InputError, match='give "text" or "json"'):
        plain.prompt("yaml")

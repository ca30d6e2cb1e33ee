"""Before a reply, and with labelled turns beside: the emotion an answer will have, and votes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import affectrt
from affectrt import Conversation, Index, Model
from affectrt.errors import InputError
from affectrt.retrieval import Dialogue

SAID = [
    ("Ann", "I got the job, I am so happy!"),
    ("Ben", "You lied to me, I hate this."),
    ("Ann", "I am so sorry."),
    ("Cem", "What happened here?"),
]
PERSONALITY = {"openness": 0.72, "conscientiousness": 0.49, "neuroticism": 0.36}
LABELLED: list[Dialogue] = [
    [("A", "We won the cup!", "joy"), ("B", "Wonderful, well done!", "joy")],
    [("A", "He lied to my face.", "anger"), ("B", "What?", None), ("A", "I hate him.", "anger")],
    [("A", "My dog died.", "sadness"), ("B", "Oh no, I am so sorry.", "sadness")],
]


@pytest.fixture(scope="module")
def model() -> Model:
    return affectrt.load("text", num_threads=2)


@pytest.fixture(scope="module")
def index(model: Model) -> Index:
    return Index.of_dialogues(model, LABELLED, "emotion7")


def test_a_reply_is_judged_as_the_recipe_trains_it(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from affectrt.export.recipes.multitask.inputs import Tokens, history_turn
    from affectrt.export.recipes.multitask.packs import personality_turn

    with zipfile.ZipFile(affectrt.available_models()["text"]) as archive:
        (tmp_path / "tokenizer.json").write_bytes(archive.read("tokenizer.json"))
    tokens = Tokens(tmp_path / "tokenizer.json")
    conversation = model.conversation()
    turns = conversation.add_all(SAID)
    told = turns[1].heads["emotion7"].decided[0]
    bens = history_turn(SAID[1][1], same_speaker=False, emotion=told)
    known = history_turn(SAID[1][1], same_speaker=False, emotion="fear")
    cases: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [
        ("Ben", {}, (bens,)),
        ("Ben", {"personality": PERSONALITY}, (bens, personality_turn(PERSONALITY))),
        ("Ben", {"emotion": "fear"}, (known,)),
        ("Dora", {"personality": PERSONALITY}, (personality_turn(PERSONALITY),)),
        ("Dora", {}, ()),
    ]
    head = model.heads.index("reply_emotion")
    for speaker, given, context in cases:
        row = tokens.make_pass(SAID[-1][1], context)
        passes = [(row.ids.astype(np.int32), row.types.astype(np.int32), row.a_tokens, None)]
        wanted = model._core.predict_passes(passes, [head]).heads[0].scores[0]
        found = conversation.reply_emotion(speaker, **given)
        assert found.name == "reply_emotion"
        by_label = dict(zip(model.labels("reply_emotion"), wanted.tolist(), strict=True))
        assert found.values == pytest.approx(by_label, abs=1e-6)
    assert conversation.turns == len(SAID)


def test_bad_repliers(model: Model) -> None:
    conversation = model.conversation()
    with pytest.raises(InputError, match="nothing was said yet"):
        conversation.reply_emotion("Ann")
    conversation.add(*SAID[0])
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("Ann", {}, "'Ann' said the last turn"),
        (" ", {}, "has no speaker"),
        ("Ben", {"emotion": "bliss"}, "there is no emotion 'bliss'"),
        ("Ben", {"personality": {"courage": 0.5}}, "there is no trait 'courage'; there are"),
        ("Ben", {"personality": {"openness": 7}}, "trait 'openness' is 7; give a number from 0"),
        ("Ben", {"personality": {"openness": True}}, "trait 'openness' is True"),
    ]
    for speaker, given, message in bad:
        with pytest.raises(InputError, match=message):
            conversation.reply_emotion(speaker, **given)
    with pytest.raises(InputError, match="speaker is int"):
        conversation.reply_emotion(3)  # type: ignore[arg-type]
    if "text-permissive" in affectrt.available_models():
        other = affectrt.load("text-permissive").conversation()
        with pytest.raises(InputError, match="no head that judges before a reply"):
            other.reply_emotion("Ann")


def test_an_index_of_dialogues_embeds_turns_as_conversations_read_them(
    model: Model, index: Index
) -> None:
    assert len(index) == 6
    conversation = model.conversation(heads=["emotion7"])
    for speaker, text, _ in LABELLED[1]:
        answers = conversation._core.add([(speaker, text, None)], None, True)
    vector = answers[0].prediction.embeddings
    assert vector is not None
    places, similar = index._nearest(vector, 1)
    assert index._texts[places[0, 0]] == "I hate him."
    assert similar[0, 0] == pytest.approx(1.0, abs=1e-5)
    losses = index.fit_dialogues(LABELLED)
    assert losses["blend"] <= losses["head"]


def test_a_conversation_with_an_index_blends_head_and_votes(model: Model, index: Index) -> None:
    plain = model.conversation(heads=["emotion7", "emotion"]).add_all(SAID)

    def answers(weight: float) -> list[Any]:
        index.weight = weight
        return model.conversation(heads=["emotion7", "emotion"], index=index).add_all(SAID)

    index.k, index.sharpness = 3, 10.0
    for one, other in zip(answers(0.0), plain, strict=True):
        assert one.decided == other.decided
        assert one.heads["emotion7"].values == pytest.approx(
            other.heads["emotion7"].values, abs=1e-6
        )
        assert one.heads["emotion"] == other.heads["emotion"]
        assert one.arc == other.arc
    votes = answers(1.0)
    assert votes[1].decided == ("anger",)
    for one, only, other in zip(answers(0.5), votes, plain, strict=True):
        half = {
            label: (only.heads["emotion7"].values[label] + score) / 2
            for label, score in other.heads["emotion7"].values.items()
        }
        total = sum(half.values())
        assert one.heads["emotion7"].values == pytest.approx(
            {label: score / total for label, score in half.items()}, abs=1e-5
        )


def test_blended_answers_do_not_depend_on_how_turns_come(model: Model, index: Index) -> None:
    index.weight = 0.5
    heads = ["emotion7"]

    def new() -> Conversation:
        return model.conversation(heads=heads, index=index)

    together = [turn.to_dict() for turn in new().add_all(SAID)]
    one, two = new(), new()
    alone = [one.add(*turn).to_dict() for turn in SAID]
    assert alone == together
    mixed = model.add_turns([(two, *turn) for turn in SAID[:2]])
    again = Conversation.from_json(model, two.to_json(), index=index)
    assert again.index is index
    restored = [again.add(*turn) for turn in SAID[2:]]
    assert [turn.to_dict() for turn in (*mixed, *restored)] == together
    assert Conversation.from_json(model, two.to_json()).index is None


def test_bad_dialogues_and_indices(model: Model, index: Index) -> None:
    with pytest.raises(InputError, match="at least one turn with a label"):
        Index.of_dialogues(model, [[("A", "a", None)]], "emotion7")
    with pytest.raises(InputError, match=r"dialogues\[0\]\[1\] is tuple; give \(speaker, text"):
        Index.of_dialogues(model, [[("A", "a", "joy"), ("A", "b")]], "emotion7")  # type: ignore[list-item]
    with pytest.raises(InputError, match="has no label 'bliss'"):
        Index.of_dialogues(model, [[("A", "a", "bliss")]], "emotion7")
    with pytest.raises(InputError, match="has no speaker"):
        Index.of_dialogues(model, [[("", "a", "joy")]], "emotion7")
    with pytest.raises(InputError, match="votes for head 'emotion7', which does not judge"):
        model.conversation(heads=["emotion"], index=index)
    with pytest.raises(InputError, match="another model"):
        affectrt.load("text", num_threads=1).conversation(index=index)
    with pytest.raises(InputError, match="fitting needs"):
        index.fit_dialogues([])

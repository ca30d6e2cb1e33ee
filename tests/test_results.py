"""Results as values: frozen, picklable, and exactly the documented dictionaries."""

from __future__ import annotations

import dataclasses
import doctest
import json
import pickle

import pytest

from affectrt import results
from affectrt.results import HeadResult, Heads, Label, Result

EMOTION = HeadResult(
    "emotion",
    "multi_label",
    (Label("joy", 0.75), Label("relief", 0.5), Label("anger", 0.125)),
    ("joy", "relief"),
    False,
)
VAD = HeadResult("vad", "regression", (Label("valence", 3.5), Label("arousal", 4.25)), (), False)
ONE = Result("What a day!", None, Heads((EMOTION,)), False)
BOTH = Result("What a day!", "Was it?", Heads((EMOTION, VAD)), True)


def test_dictionary_of_one_head_has_the_core_keys_only() -> None:
    assert ONE.to_dict() == {
        "text": "What a day!",
        "emotions": [
            {"label": "joy", "score": 0.75},
            {"label": "relief", "score": 0.5},
            {"label": "anger", "score": 0.125},
        ],
        "decided": ["joy", "relief"],
        "unsure": False,
    }
    assert list(ONE.to_dict()) == ["text", "emotions", "decided", "unsure"]


def test_dictionary_of_a_pair_on_two_heads() -> None:
    record = BOTH.to_dict()
    assert list(record) == [
        "text",
        "pair",
        "emotions",
        "decided",
        "unsure",
        "truncated",
        "heads",
    ]
    assert record["pair"] == "Was it?"
    assert record["truncated"] is True
    assert record["heads"]["vad"] == {
        "task": "regression",
        "values": {"valence": 3.5, "arousal": 4.25},
    }
    assert record["heads"]["emotion"]["decided"] == ["joy", "relief"]
    assert json.loads(json.dumps(record)) == record


def test_primary_head_is_the_first() -> None:
    assert BOTH.emotions == EMOTION.labels
    assert BOTH.decided == ("joy", "relief")
    assert BOTH.values == {"joy": 0.75, "relief": 0.5, "anger": 0.125}
    assert BOTH.heads["vad"].values == {"valence": 3.5, "arousal": 4.25}
    assert list(BOTH.heads) == ["emotion", "vad"]
    with pytest.raises(KeyError):
        BOTH.heads["none"]


def test_results_are_values() -> None:
    copy = pickle.loads(pickle.dumps(BOTH))
    assert copy == BOTH
    assert hash(copy) == hash(BOTH)
    assert copy != ONE
    with pytest.raises(dataclasses.FrozenInstanceError):
        ONE.text = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="immutable"):
        ONE.heads._results = ()
    assert not hasattr(ONE, "__dict__")


def test_reprs_are_short_and_tell_the_answer() -> None:
    assert repr(ONE) == "Result('What a day!': joy=0.750, relief=0.500)"
    assert repr(BOTH) == (
        "Result('What a day!' + 'Was it?': emotion: joy=0.750, relief=0.500; "
        "vad: valence=3.5, arousal=4.25, truncated)"
    )
    undecided = dataclasses.replace(EMOTION, decided=(), unsure=True)
    long = Result("x" * 500, None, Heads((undecided,)), False)
    assert len(repr(long)) < 140
    assert "none decided, nearest joy=0.750" in repr(long)
    assert repr(long).endswith("unsure)")
    assert repr(undecided) == "HeadResult('emotion': none decided, nearest joy=0.750, unsure)"


def test_documentation_examples() -> None:
    outcome = doctest.testmod(results)
    assert outcome.attempted >= 3
    assert outcome.failed == 0

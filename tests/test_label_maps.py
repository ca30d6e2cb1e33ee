"""Label sets mapped onto one another: words, answers, the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import affectrt
from affectrt import _core
from affectrt.cli import main
from affectrt.errors import InputError
from affectrt.label_maps import map_label, map_labels, map_names
from affectrt.results import HeadResult, Heads, Label, Result, Span

SITUATIONS = (
    *("afraid", "angry", "annoyed", "anticipating", "anxious", "apprehensive", "ashamed", "caring"),
    *("confident", "content", "devastated", "disappointed", "disgusted", "embarrassed", "excited"),
    *("faithful", "furious", "grateful", "guilty", "hopeful", "impressed", "jealous", "joyful"),
    *("lonely", "nostalgic", "prepared", "proud", "sad", "sentimental", "surprised", "terrified"),
    "trusting",
)


def head(task: Any, *labels: tuple[str, float, bool]) -> HeadResult:
    ranked = sorted(labels, key=lambda one: -one[1])
    return HeadResult(
        "mood",
        task,
        tuple(Label(name, score) for name, score, _ in ranked),
        tuple(name for name, _, decided in ranked if decided),
        False,
    )


def test_the_maps_of_goemotions_are_those_that_its_authors_give(shared_dir: Path) -> None:
    file = shared_dir / "data" / "text" / "goemotions" / "labels.json"
    published = json.loads(file.read_text(encoding="utf-8"))
    assert map_labels("goemotions") == tuple(published["labels"])
    assert map_labels("ekman") == tuple(published["ekman_labels"])
    assert set(map_labels("sentiment")) == set(published["sentiment_labels"])
    for label in published["labels"]:
        assert map_label(label, "ekman") == published["ekman"][label]
        assert map_label(label, "sentiment") == published["sentiment"][label]


def test_labels_of_other_sets_and_words() -> None:
    assert map_names() == ("goemotions", "ekman", "sentiment", "families")
    assert None not in map(map_label, SITUATIONS)
    assert map_label("Fed up") == "anger"
    assert map_label("ashamed", "families") == "sadness"
    assert map_label("joy", {"joy": "good"}) == "good"
    assert map_label("fear", {"joy": "good"}) is None
    with pytest.raises(InputError, match="no label map 'wheel'; give one of: goemotions, ekman"):
        map_label("joy", "wheel")
    with pytest.raises(InputError, match="the label is of type int"):
        map_label(3)  # type: ignore[arg-type]


def test_a_score_of_a_group_is_the_probability_that_one_of_its_labels_holds() -> None:
    many = head("multi_label", ("joy", 0.5, True), ("love", 0.75, True), ("fear", 0.25, False))
    onto = many.mapped("sentiment")
    assert onto.labels == (Label("positive", 0.875), Label("negative", 0.25))
    assert (onto.task, onto.decided, onto.name) == ("multi_label", ("positive",), "mood")
    one = head("single_label", ("joy", 0.25, False), ("love", 0.25, False), ("fear", 0.5, True))
    onto = one.mapped("sentiment")
    assert onto.labels == (Label("positive", 0.5), Label("negative", 0.5))
    assert (onto.task, onto.decided) == ("single_label", ("negative",))
    levels = head("ordinal", ("none", 0.5, True), ("weak", 0.25, False), ("strong", 0.25, False))
    there = levels.mapped({"none": "no", "weak": "yes", "strong": "yes"})
    assert there.values == {"no": 0.5, "yes": 0.5}
    assert (there.task, there.level) == ("single_label", None)


@given(
    st.lists(
        st.tuples(st.sampled_from(map_labels("goemotions")), st.floats(0, 1), st.booleans()),
        min_size=1,
        max_size=28,
        unique_by=lambda one: one[0],
    ),
    st.sampled_from(["multi_label", "single_label"]),
)
def test_going_through_a_map_in_between_changes_nothing(
    labels: list[tuple[str, float, bool]], task: str
) -> None:
    given = [(name, float(np.float32(score)), is_in) for name, score, is_in in labels]
    answer = head(task, *given)
    direct, through = answer.mapped("sentiment"), answer.mapped("ekman").mapped("sentiment")
    assert set(direct.decided) == set(through.decided)
    assert direct.values.keys() == through.values.keys()
    for name, score in direct.values.items():
        assert through.values[name] == pytest.approx(score, abs=1e-6)


def test_what_cannot_be_mapped_says_why() -> None:
    moods = head("single_label", ("joy", 0.5, True), ("train", 0.5, False))
    with pytest.raises(InputError, match="cannot be mapped onto 'ekman': where 'train' belongs"):
        moods.mapped()
    with pytest.raises(InputError, match="by the map given: where 'joy', 'train' belongs"):
        moods.mapped({})
    vad = HeadResult("vad", "regression", (Label("valence", 3.5),), (), False)
    words = HeadResult("w", "span", (), (), False, None, (Span(0, 1, "a", None, 0.5),))
    for other in (vad, words):
        with pytest.raises(InputError, match="has no labels to map"):
            other.mapped()
    result = Result("a", None, Heads((moods, vad, head("multi_label", ("joy", 0.5, True)))), False)
    assert result.mapped("sentiment").heads["vad"] is vad
    with pytest.raises(InputError, match="no label map"):
        result.mapped("wheel")
    with pytest.raises(InputError, match="each label needs a group"):
        _core.group_scores([2], 1, [0.5], [True], True)


def test_results_and_turns_of_the_embedded_model() -> None:
    model = affectrt.load("text", num_threads=1)
    result = model("Thank you so much, I love it!")
    onto = result.mapped("ekman")
    assert onto.decided == ("joy",)
    parts = [one.score for one in result.emotions if map_label(one.label) == "joy"]
    assert onto.emotions[0].score == pytest.approx(1 - np.prod(1 - np.array(parts)), abs=1e-6)
    if "vad" in result.heads:
        assert onto.heads["vad"] == result.heads["vad"]
    turn = model.conversation(heads=["emotion"]).add("A", "Thank you so much!")
    assert turn.mapped("sentiment").decided == ("positive",)
    assert turn.mapped("sentiment").arc == turn.arc


def test_map_words_places_what_no_list_has() -> None:
    model = affectrt.load("text", num_threads=1)
    known, unknown = model.map_words(["Gutted", "terrifically glad"])
    assert known == Label("sadness", 1.0)
    assert unknown.label == "joy"
    assert 0 < unknown.score <= 1
    assert model.map_words(["gutted"], "goemotions") == [Label("disappointment", 1.0)]
    assert model.map_words([]) == []
    with pytest.raises(InputError, match="words is str; give a list of str"):
        model.map_words("gutted")
    with pytest.raises(InputError, match=r"words\[1\] is only white space"):
        model.map_words(["glad", " "])
    with pytest.raises(InputError, match="no label map"):
        model.map_words(["gutted"], "wheel")


def test_the_command_line_answers_in_the_labels_of_a_map(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["analyze", "Thank you so much!", "--map", "sentiment", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["decided"] == ["positive"]
    assert {one["label"] for one in record["emotions"]} == set(map_labels("sentiment"))
    rows = [
        {"text": "Thank you so much!", "label": "happy"},
        {"text": "I hate you all.", "label": "anger"},
        {"text": "I am so sad, he died.", "label": "gutted"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = ["eval", "text", "--head", "emotion", "--data", str(file), "--json"]
    assert main([*command, "--map", "sentiment", "--samples", "10"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["map"], record["figures"]["micro_f1"]["value"]) == ("sentiment", 1.0)
    assert main([*command, "--map", "ekman", "--head", "vad"]) == 1
    assert "no head of 'text' has labels that the map 'ekman' knows" in capsys.readouterr().err

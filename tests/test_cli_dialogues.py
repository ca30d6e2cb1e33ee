"""`affectrt analyze` on conversations, the pictures of their arc, and `affectrt eval`."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command import Run, assert_one_error, records

import affectrt

TURNS = [
    {"speaker": "Ann", "text": "I got the job, I am so happy!"},
    {"speaker": "Ben", "text": "You lied to me, I hate this."},
    {"speaker": "Ann", "text": "I am so sorry."},
]
SVG = "{http://www.w3.org/2000/svg}"


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The same conversation in every form."""
    csv = "speaker,text\n" + "".join(f'{t["speaker"]},"{t["text"]}"\n' for t in TURNS)
    content = {
        "turns.jsonl": lines(TURNS),
        "turns.json": json.dumps(TURNS, indent=1),
        "whole.json": json.dumps({"turns": TURNS}),
        "turns.csv": csv,
        "turns.tsv": "text\tspeaker\n" + "".join(f"{t['text']}\t{t['speaker']}\n" for t in TURNS),
        "dialogues.jsonl": lines([{"id": "d1", "turns": TURNS}]),
    }
    for name, text in content.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return {name: tmp_path / name for name in content}


def test_every_form_of_a_conversation(
    run: Run, default_model: Path, files: dict[str, Path]
) -> None:
    model = affectrt.load(default_model)
    turns = model.conversation().add_all([(t["speaker"], t["text"]) for t in TURNS])
    for name, file in files.items():
        code, out, err = run("analyze", "--json", file)
        assert (code, err) == (0, ""), name
        answers = records(out)
        for answer, turn in zip(answers, turns, strict=True):
            named = answer.pop("dialogue", None)
            assert named == {"dialogues.jsonl": "d1", "whole.json": "1"}.get(name)
            assert (answer["turn"], answer["speaker"]) == (turn.number, turn.speaker)
            assert answer["decided"] == list(turn.decided)
            assert answer["valence"] == pytest.approx(turn.valence)
    code, out, _ = run("analyze", files["turns.csv"])
    assert "Ben: You lied to me" in out


def test_rows_with_a_speaker_may_be_texts(run: Run, files: dict[str, Path]) -> None:
    code, out, _ = run("analyze", "--json", "--no-conversation", files["turns.jsonl"])
    assert code == 0
    assert "turn" not in records(out)[0]
    code, out, _ = run("analyze", "--json", "--conversation", "--speaker-column", "who", "-")
    assert code != 0


def test_other_names_of_columns(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("who;said\nAnn;I am so happy\n", encoding="utf-8")
    code, out, _ = run(
        *("analyze", "--json", file, "--speaker-column", "who", "--text-column", "said")
    )
    assert code == 0
    assert records(out)[0]["speaker"] == "Ann"
    code, _, err = run(
        *("analyze", "--json", file, "--speaker-column", "name", "--text-column", "said")
    )
    assert code == 1
    assert_one_error(err, 'has no column "name"', "--speaker-column")


def test_turns_that_cannot_be_used_are_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    rows = [*TURNS, {"speaker": "", "text": "who?"}, {"speaker": "Ben", "text": " "}]
    rows += [{"text": "nobody said this"}, {"speaker": [], "text": "x"}, TURNS[2]]
    file.write_text(lines(rows), encoding="utf-8")
    code, out, err = run("analyze", "--json", file)
    assert code == 3
    assert [record["turn"] for record in records(out)] == [1, 2, 3, 4]
    assert f"{file}:4: turn 4 has no speaker" in err
    assert f"{file}:5: the text is empty" in err
    assert f"{file}:6: turn 4 has no speaker" in err
    assert f'{file}:7: "speaker" is an array' in err


def test_pictures(run: Run, files: dict[str, Path], tmp_path: Path) -> None:
    svg, html, png = (tmp_path / f"arc.{kind}" for kind in ("svg", "html", "png"))
    code, _, err = run("analyze", files["turns.jsonl"], "--arc", svg)
    assert code == 0
    assert f"picture written to {svg}" in err
    root = ElementTree.parse(svg).getroot()
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {"turns", "Ann", "Ben", "joy", "3"} <= words
    code, _, _ = run("analyze", "--json", files["turns.csv"], "--arc", html)
    page = html.read_text(encoding="utf-8")
    assert code == 0
    assert page.count("<li ") == 3
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    pytest.importorskip("matplotlib")
    code, _, _ = run("analyze", "--json", files["turns.csv"], "--arc", png)
    assert code == 0
    assert png.read_bytes().startswith(b"\x89PNG")


def test_pictures_that_cannot_be(
    run: Run, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("analyze", files["turns.jsonl"], "--arc", tmp_path / "arc.gif")
    assert code == 2
    assert_one_error(err, "ends in .svg, .html or .png")
    code, _, err = run("analyze", "so happy", "--arc", tmp_path / "arc.svg")
    assert code == 2
    two = tmp_path / "two.jsonl"
    two.write_text(lines([{"turns": TURNS}, {"turns": TURNS}]), encoding="utf-8")
    code, _, err = run("analyze", "--json", two, "--arc", tmp_path / "arc.svg")
    assert code == 1
    assert_one_error(err, "--arc draws one conversation")
    texts = tmp_path / "texts.txt"
    texts.write_text("so happy\n")
    code, _, err = run("analyze", "--json", texts, "--arc", tmp_path / "arc.svg")
    assert code == 1
    assert_one_error(err, "the first row has no speaker")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = run("analyze", "--json", files["turns.csv"], "--arc", tmp_path / "arc.png")
    assert code == 1
    assert "a .png needs matplotlib" in err
    assert not list(tmp_path.glob("arc.*"))


def test_causes_are_marked() -> None:
    from affectrt.cli.arc_html import _marked

    marked = _marked("I lost <my> job", [(2, 6, 3), (7, 15, 3), (2, 6, 4)])
    assert marked.startswith("I <mark>lost</mark><sup>→ 3, 4</sup> <mark>&lt;my&gt; job</mark>")


def test_heads(run: Run, two_headed_model: Path, files: dict[str, Path]) -> None:
    pytest.importorskip("onnxruntime")
    for source in ("so happy", files["turns.jsonl"]):
        code, out, _ = run("analyze", "--json", "--model", two_headed_model, source)
        assert set(records(out)[0]["heads"]) == {"emotion", "vad"}
        code, out, _ = run(
            *("analyze", "--json", "--model", two_headed_model, "--heads", "emotion", source)
        )
        assert code == 0
        assert "heads" not in records(out)[0]
        code, _, err = run("analyze", "--model", two_headed_model, "--heads", "mood", source)
        assert code != 0
        assert "head 'mood' is not in this model" in err


# -------------------------------------------------------------------------------------------- eval


def evaluate(run: Run, *arguments: object) -> dict[str, Any]:
    code, out, err = run("eval", *arguments, "--json", "--samples", "50")
    assert code == 0, err
    record: dict[str, Any] = json.loads(out)
    return record


def test_eval_of_labels(run: Run, default_model: Path, tmp_path: Path) -> None:
    rows = [
        {"text": "Thank you so much!", "labels": ["gratitude"]},
        {"text": "I am so happy", "label": "joy"},
        {"text": "I hate you", "emotion": {"anger": 1, "joy": 0}},
        {"text": "The table is brown.", "labels": ["joy"]},
        {"text": "no target here"},
    ]
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(lines(rows).encode()))
    record = evaluate(run, default_model, "--data", file)
    assert (record["head"], record["rows"]) == ("emotion", 4)
    decided = [set(r.decided) for r in affectrt.load(default_model)([r["text"] for r in rows[:4]])]
    right = [decided[i] == {w} for i, w in enumerate(("gratitude", "joy", "anger", "joy"))]
    figures = record["figures"]
    assert figures["accuracy"]["value"] == pytest.approx(sum(right) / 4)
    assert set(figures) == {"macro_f1", "micro_f1", "weighted_f1", "accuracy"}
    for figure in figures.values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert evaluate(run, default_model, "--data", file) == record
    code, out, _ = run("eval", default_model, "--data", file, "--samples", "20")
    assert code == 0
    assert "head emotion (multi_label), 4 texts" in out
    assert "95 % interval" in out


def test_eval_of_values_and_of_csv(run: Run, two_headed_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    labels = affectrt.load(two_headed_model).labels("vad")
    file = tmp_path / "rows.csv"
    header = "text," + ",".join(labels)
    words = ("so happy", "so sad", "I love it", "what")
    body = "".join(f"{w}," + ",".join([str(i)] * len(labels)) + "\n" for i, w in enumerate(words))
    file.write_text(f"{header}\n{body}", encoding="utf-8")
    record = evaluate(run, two_headed_model, "--head", "vad", "--data", file)
    assert {"pearson", "ccc", "mean_absolute_error"} <= set(record["figures"])
    assert record["rows"] == 4


def test_eval_of_dialogues(run: Run, default_model: Path, tmp_path: Path) -> None:
    turns = [{**t, "emotion": e} for t, e in zip(TURNS, ("happiness", "anger", ""), strict=True)]
    turns[2].pop("emotion")
    file = tmp_path / "d.json"
    file.write_text(json.dumps([{"turns": turns}, {"turns": turns[:2]}]), encoding="utf-8")
    arguments = (default_model, "--data", file, "--target", "emotion", "--rename", "happiness=joy")
    record = evaluate(run, *arguments)
    assert record["rows"] == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "a", "label": "bliss"}], "has no label 'bliss'"),
        ([{"text": "a", "label": "joy", "labels": ["joy"]}], "has label and labels; --target"),
        ([{"label": "joy"}], 'must be an object with a string "text"'),
        ([{"text": "a"}], "no row has a target"),
        ([{"text": "a", "label": "joy"}, {"turns": []}], "texts and dialogues stand in one file"),
        ([{"turns": [{"text": "a", "label": "joy"}]}], 'has no "speaker"'),
        (["x"], "must be an object"),
    ],
)
def test_eval_of_bad_rows(
    run: Run, default_model: Path, tmp_path: Path, rows: list[Any], message: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(lines(rows), encoding="utf-8")
    code, _, err = run("eval", default_model, "--data", file)
    assert code == 1
    assert_one_error(err, "rows.jsonl", message)


def test_eval_of_bad_arguments(run: Run, default_model: Path, tmp_path: Path) -> None:
    code, _, err = run("eval", default_model, "--data", tmp_path / "none.jsonl")
    assert code == 1
    assert_one_error(err, "no data file")
    code, _, err = run("eval", default_model, "--data", "x.jsonl", "--rename", "a")
    assert code == 2
    assert_one_error(err, "give DATA=HEAD")
    code, _, err = run("eval", default_model, "--head", "mood", "--data", "x.jsonl")
    assert code == 1
    assert_one_error(err, "head 'mood' is not in this model")
    broken = tmp_path / "x.jsonl.gz"
    broken.write_bytes(b"not gzip")
    code, _, err = run("eval", default_model, "--data", broken)
    assert code == 1
    assert_one_error(err, "is not gzip")

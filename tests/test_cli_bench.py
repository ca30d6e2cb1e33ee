"""`affectrt bench`: what it reports, and how it ends. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Run, assert_one_error

from affectrt.cli import bench, measuring


def check_run(run: dict[str, Any], threads: int) -> None:
    assert run["threads"] == threads
    single = run["single"]
    assert single["calls"] > 0
    assert 0 < single["p50_ms"] <= single["p90_ms"] <= single["p99_ms"]
    offline = run["offline"]
    assert offline["calls"] > 0
    for key in ("texts_per_s", "tokens_per_s"):
        rate = offline[key]
        assert 0 < rate["lower"] <= rate["median"] <= rate["upper"]


def test_report_as_json(run: Run, default_model: Path) -> None:
    code, out, err = run("bench", default_model, "--seconds", "0.4", "--threads", 1, 2, "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert list(report) == ["affectrt", "cpu", "data", "seconds", "interrupted", "sides"]
    assert report["interrupted"] is False
    assert report["data"]["file"] is None
    assert report["data"]["tokens"]["least"] < 10 < 200 < report["data"]["tokens"]["most"]
    (side,) = report["sides"]
    assert side["backend"] == "native"
    assert set(side["startup"]) == {"import_ms", "load_ms", "first_answer_ms", "resident_bytes"}
    assert len(side["runs"]) == 2
    check_run(side["runs"][0], 1)
    check_run(side["runs"][1], 2)


def test_two_sides_in_turn(run: Run, tmp_path: Path, lexicon_model: Path) -> None:
    data = tmp_path / "turns.jsonl"
    lines = [json.dumps({"text": f"so happy {i}"}) for i in range(5)]
    data.write_text("\n".join([*lines, "{broken"]) + "\n", encoding="utf-8")
    arguments = (lexicon_model, "--against", "onnxruntime", "--data", data, "--threads", 1)
    code, out, err = run("bench", *arguments, "--seconds", "0.2", "--json")
    assert code == 3  # one line could not be used
    assert "turns.jsonl:6" in err
    report = json.loads(out)
    assert report["data"]["texts"] == 5
    assert report["same_answers"] == 1.0
    assert [side["backend"] for side in report["sides"]] == ["onnxruntime", "onnxruntime"]
    (ratio,) = report["ratios"]
    assert ratio["single"]["lower"] <= ratio["single"]["median"] <= ratio["single"]["upper"]
    assert ratio["offline"]["median"] > 0
    code, out, _ = run("bench", *arguments, "--seconds", "0.2")
    assert code == 3
    assert "5 texts" in out
    assert "times as fast as" in out
    assert "the same labels on 100.0% of the texts" in out


def test_interruption_shows_what_there_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, default_model: Path
) -> None:
    calls = 0

    def seconds(model: Any, texts: str | list[str]) -> float:
        nonlocal calls
        calls += 1
        if isinstance(texts, list):
            raise KeyboardInterrupt
        return 0.001 * (1 + calls % 3)

    monkeypatch.setattr(measuring, "_seconds", seconds)
    monkeypatch.setattr(measuring.Side, "start", lambda *_: None)
    code, out, err = run("bench", default_model, "--seconds", "0.05", "--threads", 1, "--json")
    assert code == 130
    assert "interrupted" in err
    report = json.loads(out)
    assert report["interrupted"] is True
    (measured,) = report["sides"][0]["runs"]
    assert measured["single"]["calls"] > 0
    assert "offline" not in measured


def test_built_in_texts_have_mixed_lengths() -> None:
    texts = bench.built_in_texts()
    words = sorted(len(text.split()) for text in texts)
    assert words[0] <= 4
    assert words[-1] >= 100
    assert texts == bench.built_in_texts()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "4000", "soon"])
def test_unusable_durations(run: Run, seconds: str) -> None:
    code, out, err = run("bench", "--seconds", seconds)
    assert (code, out) == (2, "")
    assert_one_error(err, "--seconds", "above 0")


def test_unusable_arguments(run: Run, tmp_path: Path, default_model: Path) -> None:
    code, _, err = run("bench", "no-such-model")
    assert code == 1
    assert_one_error(err, "no-such-model", "models known by name")
    code, _, err = run("bench", default_model, "--against", tmp_path / "gone.affect")
    assert code == 1
    assert_one_error(err, "gone.affect")
    code, _, err = run("bench", "--threads", "0")
    assert code == 2
    assert_one_error(err, "--threads")
    code, _, err = run("bench", "--data", tmp_path / "gone.txt")
    assert code == 1
    assert_one_error(err, "gone.txt")
    code, _, err = run("bench", "--text-column", "body")
    assert code == 2
    assert_one_error(err, "--data")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"")
    code, _, err = run("bench", "--data", picture)
    assert code == 2
    assert_one_error(err, ".jsonl")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n")
    code, _, err = run("bench", "--data", empty)
    assert code == 1
    assert_one_error(err, "empty.txt", "no text")

"""Sound on the command line: analyze, info, doctor, eval, export and verify."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import speech_packs as made_up
from command import Run

pytest.importorskip("torch")

import affectrt

RATE = made_up.RATE


@pytest.fixture
def model(speech_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny model, known as "speech"."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "speech.affect").symlink_to(speech_files / "fp32.affect")
    monkeypatch.setenv("AFFECTRT_MODEL_PATH", str(folder))
    return affectrt.load("speech")


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    fake = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", fake)


def test_one_clip(run: Run, model: Any, tmp_path: Path) -> None:
    path = made_up.write_wav(tmp_path / "a.wav", made_up.clip(1.0))
    code, out, err = run("analyze", str(path))
    assert (code, err) == (0, "")
    assert "a.wav  1.00 s, -" in out
    assert "speaker_sex" in out
    code, out, _ = run("analyze", str(path), "--json")
    record = json.loads(out)
    expected = model(path).to_dict()
    assert record["file"] == str(path)
    assert list(record) == list(expected)
    assert record["decided"] == expected["decided"]
    assert [e["label"] for e in record["emotions"]] == [e["label"] for e in expected["emotions"]]
    code, out, _ = run("analyze", str(path), "--json", "--among", "calm,fear", "--heads", "emotion")
    record = json.loads(out)
    assert {e["label"] for e in record["emotions"]} == {"calm", "fear"}
    assert list(record["heads"]) == ["emotion"]
    long = made_up.write_wav(tmp_path / "long.wav", made_up.clip(17.0))
    _, out, _ = run("analyze", str(long))
    assert "0.00 s to     5.67 s" in out


def test_several_clips(run: Run, model: Any, tmp_path: Path) -> None:
    good = [str(made_up.write_wav(tmp_path / f"{i}.wav", made_up.clip(0.5, i))) for i in range(3)]
    code, out, err = run("analyze", *good)
    assert (code, err, len(out.splitlines())) == (0, "", 3)
    assert "arousal" in out
    (tmp_path / "bad.wav").write_text("dear diary")
    answers = tmp_path / "answers.jsonl"
    code, _, err = run("analyze", *good, str(tmp_path / "bad.wav"), "--out", str(answers))
    assert code == 3
    assert "bad.wav" in err
    assert "1 of 4 inputs could not be used" in err
    files = [json.loads(line)["file"] for line in answers.read_text().splitlines()]
    assert files == good
    code, _, err = run("analyze", str(tmp_path / "bad.wav"), str(tmp_path / "none.flac"))
    assert code == 1
    assert "none of the 2 inputs" in err
    code, _, err = run("analyze", str(tmp_path / "none.wav"))
    assert code == 1
    assert "none.wav" in err


def test_raw_sound(run: Run, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = np.asarray(np.rint(made_up.clip(0.8) * 32767), "<i2")
    expected = model(pcm, sample_rate=RATE).values
    raw = tmp_path / "a.raw"
    raw.write_bytes(pcm.tobytes())
    for given in (str(raw), "-"):
        stdin(monkeypatch, pcm.tobytes())
        code, out, _ = run("analyze", given, "--pcm", str(RATE), "--json")
        assert code == 0
        found = {e["label"]: e["score"] for e in json.loads(out)["emotions"]}
        assert found == pytest.approx(expected)
    wav = made_up.write_wav(tmp_path / "a.wav", pcm / 32767).read_bytes()
    stdin(monkeypatch, wav)
    code, out, _ = run("analyze", "-", "--model", "speech", "--json")
    assert code == 0
    assert json.loads(out)["file"] == "<stdin>"
    stdin(monkeypatch, b"abc")
    code, _, err = run("analyze", "-", "--pcm", str(RATE))
    assert code == 1
    assert "3 bytes" in err
    for rate in ("0", "7999", "x"):
        assert run("analyze", "-", "--pcm", rate)[0] == 2


def test_wrong_usage(run: Run, model: Any, two_headed_model: Path, tmp_path: Path) -> None:
    path = str(made_up.write_wav(tmp_path / "a.wav", made_up.clip(0.5)))
    code, _, err = run("analyze", path, "--model", str(two_headed_model))
    assert code == 2
    assert "is a model of texts" in err
    code, _, err = run("analyze", path, "--pair", "x")
    assert code == 2
    assert "--pair goes with texts" in err
    code, _, err = run("analyze", path, "--among", "joy")
    assert code == 1
    assert "no label 'joy'" in err
    code, _, err = run("analyze", "one", "two")
    assert code == 2
    assert "one TEXT or FILE at a time" in err
    code, _, err = run("demo", "--model", "speech", "--out", str(tmp_path / "x.svg"))
    assert code != 0


def test_info_and_doctor(run: Run, model: Any) -> None:
    code, out, _ = run("info", "speech")
    assert code == 0
    assert "speech at 16000 Hz, up to 8 s at once" in out
    assert "NON-COMMERCIAL" in out
    assert "whisper_log_mel" in out
    _, out, _ = run("doctor", "--json")
    report = json.loads(out)
    entry = next(m for m in report["models"] if m["name"] == "speech")
    assert entry["works"]
    assert entry["answer"]


def test_eval(run: Run, model: Any, made: Callable[..., Path]) -> None:
    packs = made("speech_packs", made_up.write_packs)
    data = str(packs / "urdu" / "metadata.jsonl")
    renamed = [word for pair in ("happiness=calm", "sadness=fear") for word in ("--rename", pair)]
    code, out, _ = run("eval", "speech", "--data", data, *renamed, "--json")
    assert code == 0
    record = json.loads(out)
    assert record["rows"] == 16
    assert list(record["figures"])[:3] == ["uar", "uar_open", "accuracy"]
    code, out, _ = run("eval", "speech", "--data", data, "--head", "speaker_sex", "--split", "dev")
    assert code == 0
    assert "16 clips" in out
    code, _, err = run("eval", "speech", "--data", data)
    assert code == 1
    assert "has no label 'happiness'" in err
    code, _, err = run("eval", "speech", "--data", data, "--head", "quality")
    assert code == 1
    assert "no row has a target of head 'quality'" in err
    code, _, err = run("eval", "speech", "--data", data, "--split", "none")
    assert code == 1
    assert "split 'none'" in err


def test_export_and_verify(
    run: Run, speech_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out_file = tmp_path / "x.affect"
    code, out, err = run("export", str(speech_checkpoint), "--out", str(out_file))
    assert code == 0
    assert "passed" in out
    assert "MB" in err
    code, out, _ = run("verify", str(out_file), "--against", str(speech_checkpoint))
    assert code == 0
    assert "the same as the report in the file" in out
    code, out, _ = run("verify", str(out_file))
    assert code == 0
    monkeypatch.setenv("AFFECTRT_MODEL_PATH", str(tmp_path))
    assert run("verify", "x")[:2] == (0, out)  # by its name

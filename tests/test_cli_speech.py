"""`affectrt listen`, `affectrt annotate` and pictures of sound as a user meets them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from attacks import wav_files
from command import assert_one_error, records
from sounds import voice

RATE = 16000


def write(path: Path, seconds: float, *stretches: tuple[float, float], rate: int = RATE) -> Path:
    samples = (voice(seconds, *stretches, rate=rate) * 20000).astype("<i2")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_files.wav(samples.tobytes(), rate=rate))
    return path


def shell(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "affectrt", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "100"},
    )


# ------------------------------------------------------------------------------------------ listen


def test_listen_to_a_file(run: Any, speech_model_file: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "talk.wav", 7.0, (1.0, 2.5), (4.0, 6.0))
    code, out, err = run("listen", path, "--model", speech_model_file)
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert re.match(r"  00:0[01]\.\d - 00:02\.\d  +\w+ +\w+ 0\.\d\d", first)
    assert re.match(r"  00:0[34]\.\d - 00:06\.\d ", second)
    code, out, err = run("listen", path, "--model", speech_model_file, "--json")
    assert (code, err) == (0, "")
    found = records(out)
    assert [record["index"] for record in found] == [0, 1]
    assert list(found[0])[:6] == ["index", "start_s", "end_s", "interim", "cut", "label"]


def test_listen_to_pipes(speech_model_file: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "talk.wav", 6.0, (1.0, 2.5), (3.5, 5.0), rate=8000)
    model = ("--model", speech_model_file, "--json")
    expected = shell("listen", path, *model)
    assert expected.returncode == 0, expected.stderr
    wav = shell("listen", "-", *model, stdin=path.read_bytes())
    bare = shell("listen", "-", *model, "--rate", 8000, stdin=path.read_bytes()[44:])
    assert wav.stdout == bare.stdout == expected.stdout
    both = np.frombuffer(path.read_bytes()[44:], "<i2").repeat(2).astype("<i4") << 16
    wide = shell("listen", "-", *model, "--rate", 8000, "--channels", 2, "--format", "s32",
                 stdin=both.tobytes())  # fmt: skip
    assert wide.stdout == expected.stdout


def test_segments_are_printed_while_the_pipe_is_open(speech_model_file: Path) -> None:
    command = [sys.executable, "-m", "affectrt", "listen", "-", "--rate", str(RATE), "--json"]
    with subprocess.Popen(
        [*command, "--model", str(speech_model_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write((voice(3.0, (0.5, 1.5)) * 20000).astype("<i2").tobytes())
        process.stdin.flush()
        line = process.stdout.readline()  # waits for ever where nothing comes before the end
        assert json.loads(line)["index"] == 0
        process.stdin.close()
        assert process.wait() == 0


def test_interim_lines_without_a_terminal(
    run: Any, speech_model_file: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "talk.wav", 4.0, (0.5, 3.0))
    code, out, _ = run("listen", path, "--model", speech_model_file, "--interim", 500)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) >= 4
    open_ones = [bool(re.match(r"  00:00\.\d - 00:0\d\.\d  …", line)) for line in lines]
    assert open_ones == [True] * (len(lines) - 1) + [False]
    assert "\r" not in out


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["-"], b"no sound", 1, "does not begin with a WAV header"),
        (["-"], b"", 1, "does not begin with a WAV header"),
        (["-", "--channels", "2"], b"", 2, "bare samples need --rate"),
        (["-", "--rate", "100"], b"", 1, "sample rate 100 Hz is not done"),
        (["-", "--rate", "16000", "--channels", "99"], b"", 1, "99 channels; 1 to 64 are read"),
        (["no.wav"], None, 1, "cannot read 'no.wav'"),
        (["no.wav", "--rate", "8000"], None, 2, "go with standard input"),
    ],
)
def test_listen_refuses(
    speech_model_file: Path, arguments: list[str], stdin: bytes | None, code: int, message: str
) -> None:
    done = shell("listen", *arguments, "--model", speech_model_file, stdin=stdin)
    assert done.returncode == code
    assert_one_error(done.stderr.decode(), message)


def test_listen_wants_a_model_of_speech(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "talk.wav", 1.0)
    code, _, err = run("listen", path, "--model", lexicon_model)
    assert code == 1
    assert_one_error(err, "is a model of texts; a speech model is needed")


# ---------------------------------------------------------------------------------------- annotate


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five files, one of them silent and one no sound, in folders."""
    folder = tmp_path_factory.mktemp("corpus")
    write(folder / "b" / "one.wav", 4.0, (0.5, 1.5), (2.5, 3.5))
    write(folder / "b" / "two.wav", 3.0, (0.5, 2.5), rate=22050)
    write(folder / "a.wav", 5.0, (1.0, 4.0))
    write(folder / "silence.wav", 2.0)
    (folder / "words.wav").write_text("these are words")
    (folder / "notes.txt").write_text("no sound, and does not say that it is")
    return folder


def check_annotations(found: list[dict[str, Any]], corpus: Path) -> None:
    files = [record for record in found if "index" not in record]
    names = [os.path.relpath(record["file"], corpus) for record in files]
    assert names == ["a.wav", "silence.wav", "words.wav", "b/one.wav", "b/two.wav"]
    counts = [record.get("segments") for record in files]
    assert counts == [1, 0, None, 2, 1]
    assert "no WAV file" in files[2]["error"]
    assert files[4]["duration_s"] == 3.0
    assert files[4]["sample_rate"] == 22050
    segments = [record for record in found if "index" in record]
    assert [segment["index"] for segment in segments] == [0, 0, 1, 0]
    assert all(segment["start_s"] < segment["end_s"] for segment in segments)
    assert {"label", "smoothed", "emotions", "heads"} <= set(segments[0])


@pytest.mark.parametrize("jobs", [1, 3])
def test_annotate(
    run: Any, speech_model_file: Path, corpus: Path, tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "results.jsonl"
    arguments = ("annotate", corpus, "--out", out, "--model", speech_model_file, "--jobs", jobs)
    code, stdout, err = run(*arguments)
    assert (code, stdout) == (3, "")
    assert "4 segments of 4 files written" in err
    assert "1 of 5 files could not be read" in err
    assert f"skipped: '{corpus}/words.wav'" in err
    check_annotations(records(out.read_text("utf-8")), corpus)
    assert list(tmp_path.iterdir()) == [out]
    code, _, err = run(*arguments)
    assert code == 1
    assert_one_error(err, "is there already; --overwrite replaces it")
    before = out.read_bytes()
    code, _, _ = run(*arguments, "--overwrite")
    assert code == 3
    assert out.read_bytes() == before


def test_annotate_goes_on_after_kill_9(run: Any, speech_model_file: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for n in range(12):
        write(corpus / f"{n:02}.wav", 3.0, (0.4, 1.2), (1.8, 2.6))
    whole = tmp_path / "whole.jsonl"
    model = ("--model", speech_model_file)
    assert run("annotate", corpus, "--out", whole, *model)[0] == 0
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.unfinished"
    kills = 0
    for kept in (2, 6, 9):
        command = [sys.executable, "-m", "affectrt", "annotate", str(corpus), "--out", str(out)]
        with subprocess.Popen(
            [*command, *map(str, model), "--jobs", "2"], stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None:
                if journal.exists() and journal.read_bytes().count(b'"segments"') >= kept:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.002)
            if process.wait() == -signal.SIGKILL:
                kills += 1
    assert kills >= 1 or out.exists()
    if not out.exists():
        with journal.open("ab") as file:  # the line that was being written
            file.write(b'{"file": "' + str(corpus / "11.wav").encode() + b'", "ind')
        code, _, err = run("annotate", corpus, "--out", out, *model)
        assert code == 0
        assert "of 12 files were done already" in err
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_an_unfinished_run_of_another_kind(
    run: Any, speech_model_file: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.unfinished").write_text('{"unfinished": {"model": "another"}}\n')
    arguments = ("annotate", corpus, "--out", out, "--model", speech_model_file)
    code, _, err = run(*arguments)
    assert code == 1
    assert_one_error(err, "is of a run with another model", "--restart")
    assert run(*arguments, "--restart")[0] == 3
    check_annotations(records(out.read_text("utf-8")), corpus)


def test_annotate_to_parquet(
    run: Any, speech_model_file: Path, corpus: Path, tmp_path: Path
) -> None:
    if os.environ.get("CI"):
        import pyarrow.parquet as pq
    else:
        pq = pytest.importorskip("pyarrow.parquet")
    out, lines = tmp_path / "out.parquet", tmp_path / "out.jsonl"
    model = ("--model", speech_model_file)
    assert run("annotate", corpus, "--out", out, *model)[0] == 3
    assert run("annotate", corpus, "--out", lines, *model)[0] == 3
    rows = pq.read_table(out).to_pylist()
    expected = [r for r in records(lines.read_text("utf-8")) if "index" in r or "error" in r]
    assert [row["file"] for row in rows] == [record["file"] for record in expected]
    assert [row["index"] for row in rows] == [record.get("index") for record in expected]
    for row, record in zip(rows, expected, strict=True):
        if "error" in record:
            assert row["error"] == record["error"]
            continue
        assert row["start_s"] == record["start_s"]
        assert row["emotion"] == record["decided"][0]
        for label in record["emotions"]:
            assert row[f"emotion.{label['label']}"] == pytest.approx(label["score"], rel=1e-6)


def test_parquet_without_pyarrow(
    run: Any, monkeypatch: pytest.MonkeyPatch, corpus: Path, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    code, _, err = run("annotate", corpus, "--out", tmp_path / "x.parquet")
    assert code == 1
    assert_one_error(err, 'pip install "affectrt[parquet]"')


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.wav", "--out", "x.jsonl"], 1, "no file or folder 'none.wav'"),
        ([".", "--out", "x.csv"], 2, "neither .jsonl nor .parquet"),
        ([".", "--out", "x.jsonl"], 1, "no audio files in ."),
    ],
)
def test_annotate_refuses(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    arguments: list[str], code: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    got, _, err = run("annotate", *arguments)
    assert got == code
    assert_one_error(err, message)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------- pictures


def test_picture_of_sound(run: Any, speech_model_file: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a <talk>.wav", 7.0, (1.0, 2.5), (4.0, 6.0))
    picture = tmp_path / "talk.svg"
    code, _, err = run("analyze", path, "--plot", picture, "--model", speech_model_file)
    assert code == 0
    assert f"picture written to {picture}" in err
    root = ElementTree.parse(picture).getroot()
    assert root.tag.endswith("svg")
    texts = ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("text")]
    assert "a <talk>.wav" in texts
    assert "Mix of emotions" in texts
    tips = ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("title")]
    assert sum(" to " in tip for tip in tips) == 2
    silent = write(tmp_path / "silent.wav", 2.0)
    assert run("analyze", silent, "--plot", picture, "--model", speech_model_file)[0] == 0
    ElementTree.parse(picture)


def test_png_of_sound(run: Any, speech_model_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = write(tmp_path / "talk.wav", 4.0, (1.0, 2.5))
    picture = tmp_path / "talk.png"
    code, _, _ = run("analyze", path, "--plot", picture, "--model", speech_model_file)
    assert code == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_pictures_that_cannot_be(run: Any, speech_model_file: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "talk.wav", 2.0, (0.5, 1.5))
    model = ("--model", speech_model_file)
    code, _, err = run("analyze", path, "--plot", tmp_path / "x.gif", *model)
    assert code == 2
    assert_one_error(err, "neither .svg nor .png")
    code, _, err = run("analyze", path, path, "--plot", tmp_path / "x.svg", *model)
    assert code == 2
    assert_one_error(err, "--plot draws one audio file")
    code, _, err = run("analyze", "so sad", "--plot", tmp_path / "x.svg")
    assert code == 2
    assert_one_error(err, "--plot draws one audio file")

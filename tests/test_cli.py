"""The command line as a user meets it: output, exit codes, one-line errors, files of any kind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command import assert_one_error, records

import affectrt
from affectrt.cli.analyze import to_json
from affectrt.results import HeadResult, Heads, Label, Result

CORE_KEYS = ["text", "emotions", "decided", "unsure"]


def shell(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Runs a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "affectrt", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


# ---------------------------------------------------------------------------------- analyze: texts


def test_one_text_as_a_card(run: Any, lexicon_model: Path) -> None:
    code, out, err = run("analyze", "--model", lexicon_model, "They cancelled it, thank you")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "They cancelled it, thank you"
    assert lines[2].split()[:3] == ["●", "gratitude", "0.924"]
    assert lines[-1] == "decided: gratitude, disappointment"
    assert all(line == line.rstrip() for line in lines)


def test_one_text_as_json(run: Any, lexicon_model: Path) -> None:
    code, out, err = run("analyze", "--json", "--model", lexicon_model, "so sad")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    (record,) = records(out)
    assert list(record) == CORE_KEYS
    assert record["text"] == "so sad"
    assert record["decided"] == ["sadness"]
    assert record["unsure"] is False
    assert len(record["emotions"]) == 28
    scores = [emotion["score"] for emotion in record["emotions"]]
    assert scores == sorted(scores, reverse=True)
    assert record["emotions"][0] == {"label": "sadness", "score": 0.8175745}


def test_json_scores_are_the_shortest_that_are_the_same_float32() -> None:
    import numpy as np

    exact = float(np.float32(0.1) + np.float32(0.7))
    head = HeadResult("h", "single_label", (Label("a", exact),), ("a",), False)
    record = json.loads(to_json(Result("t", None, Heads((head,)), False)))
    score = record["emotions"][0]["score"]
    assert np.float32(score) == np.float32(exact)
    assert len(repr(score)) < len(repr(exact))


def test_pairs_and_several_heads(run: Any, two_headed_model: Path) -> None:
    code, out, _ = run("analyze", "--model", two_headed_model, "happy", "--pair", "sad", "--json")
    assert code == 0
    (record,) = records(out)
    assert record["pair"] == "sad"
    assert set(record["heads"]) == {"emotion", "vad"}
    code, out, _ = run("analyze", "--model", two_headed_model, "happy")
    assert code == 0
    assert "valence" in out
    assert "4.000" in out


def test_terminal_escapes_in_a_text_stay_text(run: Any, lexicon_model: Path) -> None:
    code, out, _ = run("analyze", "--model", lexicon_model, "happy \x1b[31mred\x07 \u202etxet")
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\u202e" not in out


def test_unicode_on_a_narrow_terminal(lexicon_model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "affectrt", "analyze", "--model", lexicon_model, "happy 東京"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert b"joy" in done.stdout
    assert b"#####" in done.stdout


# ---------------------------------------------------------------------------------- analyze: files


def test_txt_with_bad_bytes(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.txt"
    file.write_bytes(b"\xef\xbb\xbfso happy\r\n\n  \nI am sad \xe9\xe8\nthank you\nlast, angry")
    code, out, err = run("analyze", "--model", lexicon_model, file, "--json", "--line-numbers")
    assert code == 3
    assert [(record["line"], record["text"]) for record in records(out)] == [
        (1, "so happy"),
        (5, "thank you"),
        (6, "last, angry"),
    ]
    first, last = err.splitlines()
    assert first.startswith(f"affectrt: {file}:4: not UTF-8 (byte 0xe9 at position 10")
    assert last == f"affectrt: 1 of 4 lines of {file} could not be used"


def test_jsonl_with_broken_lines(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.jsonl"
    lines = [
        '{"text": "happy"}',
        '{"text": 5}',
        "{nope",
        '"sad"',
        '{"text": "\\ud800"}',
        '{"text": ""}',
        '{"text": "angry", "pair": "love", "id": 7}',
        "[1]",
        '{"body": "x"}',
        "[" * 100_000,
        '{"text": "a", "pair": 1}',
    ]
    file.write_text("\n".join(lines))
    code, out, err = run("analyze", "--model", lexicon_model, file, "--json")
    assert code == 3
    answers = records(out)
    assert [answer["text"] for answer in answers] == ["happy", "sad", "angry"]
    assert answers[2]["pair"] == "love"
    complaints = err.splitlines()[:-1]
    numbers = [int(line.split(":")[2]) for line in complaints]
    assert numbers == [2, 3, 5, 6, 8, 9, 10, 11]
    assert complaints[0].endswith('"text" is a number, not a string')
    assert "not JSON" in complaints[1]
    assert "lone surrogate" in complaints[2]
    assert complaints[5].endswith('no "text" in the object; its keys: body')


def test_csv(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.csv"
    file.write_bytes(
        b'id,body\n1,"so\nhappy, ""really"""\n2,sad,3\n3,love\n4,\xe9t\xe9\n5,\n6,thank you\n'
    )
    code, out, err = run(
        "analyze", "--model", lexicon_model, file, "--json", "--text-column", "body"
    )
    assert code == 3
    assert [answer["text"] for answer in records(out)] == [
        'so\nhappy, "really"',
        "love",
        "thank you",
    ]
    reasons = [line.split(":", 3)[2:] for line in err.splitlines()[:-1]]
    assert reasons == [
        ["4", " 3 fields where the header has 2"],
        ["6", " not UTF-8; save the file as UTF-8"],
        ["7", " the text is empty"],
    ]


@pytest.mark.parametrize(("suffix", "mark"), [("csv", ";"), ("tsv", "\t"), ("csv", ",")])
def test_delimiters_and_pairs(
    run: Any, lexicon_model: Path, tmp_path: Path, suffix: str, mark: str
) -> None:
    file = tmp_path / f"turns.{suffix}"
    file.write_text(f"id{mark}text{mark}before\n1{mark}happy{mark}sad\n")
    code, out, _ = run(
        "analyze", "--model", lexicon_model, file, "--json", "--pair-column", "before"
    )
    assert code == 0
    assert records(out)[0]["pair"] == "sad"


def test_csv_without_the_column(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.csv"
    file.write_text("id,body\n1,x\n")
    code, out, err = run("analyze", "--model", lexicon_model, file)
    assert (code, out) == (1, "")
    assert_one_error(err, 'no column "text"; it has: id, body; choose with --text-column')


def test_unclosed_quotes_cost_their_record(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.csv"
    file.write_text('text\nhappy\n"sad\nlove\n')
    code, out, err = run("analyze", "--model", lexicon_model, file, "--json")
    assert code == 3
    assert [answer["text"] for answer in records(out)] == ["happy"]
    assert ":3: not CSV" in err


def test_table_of_a_file(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "turns.txt"
    file.write_text("so happy\n" + "I love 東京 " * 30 + "\nnothing known\n", encoding="utf-8")
    code, out, _ = run("analyze", "--model", lexicon_model, file)
    assert code == 0
    head, first, second, third = out.splitlines()
    assert head.split() == ["line", "answer", "text"]
    assert first.split() == ["1", "joy", "0.82", "so", "happy"]
    assert second.endswith("…")
    assert "(neutral 0.38)" in third


def test_stdin(lexicon_model: Path) -> None:
    done = shell("analyze", "--model", lexicon_model, "-", "--json", stdin=b"so happy\nsad\n")
    assert done.returncode == 0, done.stderr
    assert [answer["text"] for answer in records(done.stdout.decode())] == ["so happy", "sad"]
    done = shell(
        "analyze", "--model", lexicon_model, "--json", "--format", "jsonl", stdin=b'{"text": "sad"}'
    )
    assert [answer["decided"] for answer in records(done.stdout.decode())] == [["sadness"]]


def test_lines_are_answered_as_they_arrive(lexicon_model: Path) -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "affectrt",
            "analyze",
            "--model",
            lexicon_model,
            "-",
            "--json",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("happy", "sad"):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text  # before the next line
        process.stdin.close()
        assert process.wait(60) == 0


def test_out_is_whole_or_not_at_all(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    file, out_file = tmp_path / "turns.txt", tmp_path / "answers.jsonl"
    file.write_text("happy\nsad\n")
    code, out, err = run("analyze", "--model", lexicon_model, file, "--out", out_file)
    assert (code, out) == (0, "")
    assert f"2 answers written to {out_file}" in err
    before = out_file.read_text()
    assert [record["text"] for record in records(before)] == ["happy", "sad"]

    file.write_bytes(b"\xff\n\xfe\n")
    code, out, err = run("analyze", "--model", lexicon_model, file, "--out", out_file)
    assert code == 1
    assert "none of its 2 lines could be used" in err.splitlines()[-1]
    assert out_file.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "turns.txt"]


def test_out_that_cannot_be_written(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    for out_file, part in ((tmp_path, "is a directory"), (tmp_path / "no" / "a", "cannot be")):
        code, _, err = run("analyze", "--model", lexicon_model, "happy", "--out", out_file)
        assert code == 1
        assert_one_error(err, "--out", part)
    code, out, _ = run("analyze", "--model", lexicon_model, "happy", "--out", os.devnull)
    assert (code, out) == (0, "")
    assert not Path(os.devnull).is_file()


def test_big_files_come_out_complete_and_in_order(
    run: Any, lexicon_model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "many.txt"
    file.write_text("".join(f"row {i} {'happy' if i % 3 else 'sad'}\n" for i in range(3000)))
    code, out, err = run("analyze", "--model", lexicon_model, file, "--json", "--progress")
    assert code == 0
    answers = records(out)
    assert [answer["text"].split()[1] for answer in answers] == [str(i) for i in range(3000)]
    assert [answer["decided"] for answer in answers[:3]] == [["sadness"], ["joy"], ["joy"]]
    assert "3,000 rows" in err
    assert "100%" in err


EMPTY_AND_MISSING: list[tuple[str, bytes | None, str]] = [
    ("empty.txt", b"", "is empty; give at least one line of text"),
    ("blank.txt", b"\n \n\n", "has blank lines only"),
    ("empty.csv", b"", "is empty"),
    ("wide.txt", b"\xff\xfeh\0i\0", "is UTF-16; save it as UTF-8"),
    ("missing.csv", None, "no file"),
]


@pytest.mark.parametrize(("name", "content", "message"), EMPTY_AND_MISSING)
def test_files_without_rows(
    run: Any, lexicon_model: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    code, out, err = run("analyze", "--model", lexicon_model, file)
    assert (code, out) == (1, "")
    assert_one_error(err, name, message)


def test_other_inputs_that_are_no_rows(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    code, _, err = run("analyze", "--model", lexicon_model, tmp_path)
    assert code == 1
    assert_one_error(err, "is a directory; give a .txt, .jsonl or .csv file")
    (tmp_path / "notes.md").write_text("happy")
    code, _, err = run("analyze", "--model", lexicon_model, tmp_path / "notes.md")
    assert code == 2
    assert_one_error(err, "say what it is with --format")
    code, out, _ = run(
        "analyze", "--model", lexicon_model, tmp_path / "notes.md", "--format", "txt", "--json"
    )
    assert (code, records(out)[0]["decided"]) == (0, ["joy"])
    for text in ("", "   "):
        code, _, err = run("analyze", "--model", lexicon_model, text)
        assert code == 1
        assert_one_error(err, "give a text with at least one visible character")


@pytest.mark.parametrize(
    "arguments",
    [
        ["analyze", "happy", "--top", "0"],
        ["analyze", "happy", "--top", "many"],
        ["analyze", "happy", "--text-column", "x"],
        ["analyze", "happy", "--backend", "abacus"],
        ["analyze", "happy", "--unknown"],
        ["analyze", "happy", "--num-threads", "-1"],
        ["unknown"],
        [],
        ["export"],
        ["verify"],
    ],
)
def test_wrong_usage(run: Any, arguments: Sequence[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert_one_error(err)


def test_debug_shows_the_trace(run: Any) -> None:
    for arguments in (["--debug", "analyze"], ["analyze", "--debug"]):
        code, _, err = run(*arguments, "happy", "--model", "no-such-model")
        assert code == 1
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("affectrt: error: no model or file 'no-such-model'")
    code, _, err = run("analyze", "happy", "--model", "no-such-model")
    assert code == 1
    assert_one_error(err, "models known by name")


def test_closed_pipes_and_interruptions(lexicon_model: Path, tmp_path: Path) -> None:
    file, out_file = tmp_path / "many.txt", tmp_path / "answers.jsonl"
    file.write_text("so happy\n" * 200_000)
    base = [sys.executable, "-m", "affectrt", "analyze", "--model", str(lexicon_model), str(file)]
    with subprocess.Popen(
        [*base, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141

    with subprocess.Popen([*base, "--out", str(out_file)], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while process.poll() is None and not any(tmp_path.glob(".answers.jsonl.*.tmp")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"affectrt: interrupted\n"
        assert process.wait(60) == 130
    assert not out_file.exists()
    assert not any(tmp_path.glob(".*.tmp"))


def test_help_names_commands_and_exit_codes(run: Any) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for word in ("analyze", "info", "export", "verify", "doctor", "demo", "130", "exit codes"):
        assert word in out
    for command in ("analyze", "info", "export", "verify", "doctor", "demo"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert "exit codes" in out
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "affectrt")


# ---------------------------------------------------------------------------- info, doctor, demo


def test_info(run: Any, two_headed_model: Path) -> None:
    code, out, err = run("info", two_headed_model)
    assert (code, err) == (0, "")
    for part in ("two-headed 0.0.1", "Apache-2.0", "macro-F1", "valence, arousal", "sha256"):
        assert part in out
    assert "NON-COMMERCIAL" not in out
    assert re.search(r"reads +a text\n", out)
    code, out, _ = run("info", "--json", two_headed_model)
    assert code == 0
    record = json.loads(out)
    assert record["name"] == "two-headed"
    assert record["heads"][0]["labels"] == ["joy", "sadness", "anger", "neutral"]
    assert len(record["files"]["model.onnx"]["sha256"]) == 64
    assert record["bytes"] == sum(entry["bytes"] for entry in record["files"].values())


def test_info_shouts_about_non_commercial_models(run: Any, made: Any) -> None:
    import tiny_models

    pytest.importorskip("onnx")
    folder = made(
        "restricted", lambda path: tiny_models.write_two_headed_model(path, non_commercial=True)
    )
    code, out, _ = run("info", folder)
    assert code == 0
    assert "NON-COMMERCIAL" in out
    assert "CC-BY-NC-4.0" in out


def test_info_of_the_embedded_model_tells_all_of_every_head(run: Any) -> None:
    code, out, _ = run("info", "text")
    assert code == 0
    heads = dict(re.findall(r"^head (\S+)\n((?:.+\n)+)", out, re.MULTILINE))
    assert list(heads) == list(affectrt.load("text").heads)
    for name, told in heads.items():
        for row in ("task", "reads", "labels", "metric", "parity"):
            assert re.search(rf"^ *{row} ", told, re.MULTILINE), (name, row)
    assert "valence 1 to 5" in heads["vad"]
    assert "each score that reaches its number" in heads["emotion"]
    assert "may have caused the emotion" in heads["cause"]
    assert "rows decided otherwise" in heads["cause"]


@pytest.mark.parametrize("value", [None, 3, "x", [], [1], {}, {"a": [{"b": None}]}, True])
def test_info_prints_whatever_free_form_values_a_file_has(
    run: Any, two_headed_model: Path, tmp_path: Path, value: Any
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(two_headed_model, folder)
    manifest = json.loads((folder / "affectrt.json").read_text(encoding="utf-8"))
    entries = {"head": "emotion", "metrics": {"f1": value}, "flipped_rows": value, "rows": value}
    manifest["parity"] = {"heads": [value, entries, {**entries, "metrics": {"f1": entries}}]}
    manifest["parity"]["data"] = manifest["parity"]["precision"] = value
    manifest["data"] = [{"name": value, "licence": value}]
    manifest["heads"][0] |= {"metrics": [{"data": value, "rows": value, "f1": value}]}
    manifest["heads"][0]["data"] = ["toy", value]
    (folder / "affectrt.json").write_text(json.dumps(manifest), encoding="utf-8")
    code, out, err = run("info", folder)
    assert (code, err) == (0, "")
    assert re.search(r"^ *data +toy", out, re.MULTILINE)


def test_info_of_a_plain_export(run: Any, lexicon_model: Path) -> None:
    code, out, _ = run("info", lexicon_model)
    assert code == 0
    assert "not stated" in out
    assert "admiration ≥0.50" in out


def test_doctor(
    run: Any, lexicon_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.affect").symlink_to(lexicon_model)
    (tmp_path / "broken.affect").write_bytes(b"nothing")
    monkeypatch.setenv("AFFECTRT_MODEL_PATH", str(tmp_path))
    code, out, _ = run("doctor", "--json")
    assert code == 1
    report = json.loads(out)
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["cpu"]["usable"] >= 1
    assert report["kernels"]["chosen"] in report["kernels"]["available"]
    assert report["kernels"]["available"][-1] == "scalar"
    assert "CPUExecutionProvider" in report["onnxruntime"]["providers"]
    models = {model["name"]: model for model in report["models"]}
    assert models["mine"]["works"]
    assert models["mine"]["answer"] == ["gratitude"]
    assert not models["broken"]["works"]
    assert any("broken.affect" in problem for problem in report["problems"])
    code, out, _ = run("doctor")
    assert code == 1
    for part in ("cpu", "backends", "models", "problems", "gpu"):
        assert part in out
    (tmp_path / "broken.affect").unlink()
    code, out, _ = run("doctor")
    assert code == 0
    assert "everything that inference needs is there" in out
    assert "AFFECTRT_ISA" in out
    monkeypatch.setenv("AFFECTRT_ISA", "abacus")
    code, out, _ = run("doctor", "--json")
    assert code == 1
    assert any(
        "AFFECTRT_ISA='abacus'" in problem and "scalar" in problem
        for problem in json.loads(out)["problems"]
    )


def test_demo(run: Any, lexicon_model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "arc.svg"
    code, out, err = run("demo", "--model", lexicon_model, "--out", picture)
    assert code == 0
    assert f"picture written to {picture}" in err
    lines = out.splitlines()
    turns = [line for line in lines if line[:2].strip().isdigit()]
    assert len(turns) == 12
    assert turns[2].split()[1] == "Maya"
    assert "gratitude" in turns[2]
    assert max(map(len, lines)) <= 100
    root = ElementTree.parse(picture).getroot()
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("Maya", "Tom", "pleasant", "unpleasant", "gratitude", "sadness", "12"):
        assert word in words
    code, out, _ = run("demo", "--model", lexicon_model, "--out", picture, "--json")
    assert code == 0
    assert [record["speaker"] for record in records(out)] == ["Maya", "Tom"] * 6


def test_demo_needs_emotions(run: Any, tiny_bert_onnx: Path, tmp_path: Path) -> None:
    code, _, err = run("demo", "--model", tiny_bert_onnx, "--out", tmp_path / "arc.svg")
    assert code == 1
    assert_one_error(err, "needs a model with emotion labels")
    assert not (tmp_path / "arc.svg").exists()


def test_the_embedded_model_on_the_demo(run: Any, default_model: Path, tmp_path: Path) -> None:
    code, out, _ = run("demo", "--out", tmp_path / "arc.svg")
    assert code == 0
    assert "gratitude" in out
    code, out, _ = run(
        "analyze",
        "--json",
        "I can't believe they cancelled it, I was so looking forward to tonight.",
    )
    assert code == 0
    assert {"disappointment", "sadness"} & set(records(out)[0]["decided"])

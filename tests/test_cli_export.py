"""`affectrt export` and `verify`, from a checkpoint to an answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from command import assert_one_error, records


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_from_a_checkpoint_to_an_answer(
    run: Any, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    checkpoint: Path = request.getfixturevalue(f"tiny_{kind}")
    model, data = tmp_path / f"{kind}.affect", tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in tiny_models.CORPUS))

    code, out, err = run("export", checkpoint, "--out", model, "--data", data)
    assert code == 0, err
    assert out.strip()
    assert f"{model} written" in err

    code, out, err = run("verify", model, "--against", checkpoint, "--json")
    assert code == 0, err
    assert isinstance(json.loads(out.splitlines()[-1]), dict)

    code, out, err = run("info", "--json", model)
    assert code == 0, err
    record = json.loads(out)
    assert record["integrity"] == "hashes verified"
    assert record["parity"]
    assert len(record["sha256"]) == 64

    code, out, err = run("analyze", "--json", "--model", model, tiny_models.CORPUS[0])
    assert code == 0, err
    (answer,) = records(out)
    assert {emotion["label"] for emotion in answer["emotions"]} == {"calm", "glad", "upset"}

    other = "roberta" if kind == "bert" else "bert"
    code, _, err = run("verify", model, "--against", request.getfixturevalue(f"tiny_{other}"))
    assert code == 1
    assert "affectrt: error: " in err.splitlines()[-1]


def test_export_without_its_packages(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "x.affect").write_bytes(b"x")
    for arguments in (
        ["export", tmp_path / "checkpoint", "--out", tmp_path / "y.affect"],
        ["verify", tmp_path / "x.affect", "--against", tmp_path / "checkpoint"],
    ):
        code, _, err = run(*arguments)
        assert code == 1
        assert_one_error(err, 'pip install "affectrt[export]"')


def test_export_checks_its_paths_first(run: Any, tmp_path: Path) -> None:
    checkpoint, file = tmp_path / "checkpoint", tmp_path / "x.affect"
    checkpoint.mkdir()
    file.write_bytes(b"x")
    missing = tmp_path / "missing"
    cases: list[tuple[list[object], str]] = [
        (["export", missing, "--out", tmp_path / "y.affect"], "no checkpoint"),
        (["export", file, "--out", tmp_path / "y.affect"], "give the checkpoint's directory"),
        (["export", checkpoint, "--out", file], "exists; replace it with --overwrite"),
        (["export", checkpoint, "--out", checkpoint], "is a directory; give a file"),
        (["export", checkpoint, "--out", missing / "y.affect"], "there is no directory"),
        (["export", checkpoint, "--out", "y", "--data", missing], "no data file"),
        (["verify", missing, "--against", checkpoint], "models known by name: "),
        (["verify", file, "--against", missing], "no checkpoint"),
    ]
    for arguments, message in cases:
        code, _, err = run(*arguments)
        assert code == 1
        assert_one_error(err, message)


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves
def test_a_pruned_vocabulary(run: Any, tiny_bert: Path, tmp_path: Path) -> None:
    model, corpus = tmp_path / "x.affect", tmp_path / "corpus.txt"
    corpus.write_text(f"{tiny_models.CORPUS[0]}\n", "utf-8")
    missing = ("export", tiny_bert, "--out", model, "--prune-vocabulary", tmp_path / "none.txt")
    assert_one_error(run(*missing)[2], "no corpus")
    code, out, err = run(
        *("export", tiny_bert, "--out", model, "--precision", "fp16"),
        *("--prune-vocabulary", corpus, "--json"),
    )
    assert code == 0, err
    assert "the vocabulary is pruned to" in json.loads(out)["notes"][0]
    (tmp_path / "x.affect.rows").unlink()
    text = "wonderful Zwölfboxkämpfer 東京"
    code, _, err = run("analyze", "--json", "--model", model, tiny_models.CORPUS[0])
    assert code == 0, err
    code, _, err = run("analyze", "--json", "--model", model, text)
    assert code == 1
    assert "which the pruned vocabulary of" in err

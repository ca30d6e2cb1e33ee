"""Vocabulary pruning: the same bits where the rows are there, and a refusal where they are not."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
from conftest import Made
from safetensors.numpy import load, save
from test_native import write_model

import affectrt
from affectrt.errors import ExportError, InputError, ModelFileError, NotFoundError, ProofError
from affectrt.export import export_checkpoint, verify
from affectrt.export.bundle import read_manifest
from affectrt.export.checkpoint import load_checkpoint
from affectrt.export.native_weights import write_native_weights
from affectrt.export.vocabulary import prune_to, split_rows
from affectrt.export.whole_files import write_whole

SEEN = ["the train was very much peaceful, and I was happy because of it.", "She was furious!"]
UNSEEN = ["naïve café 東京 😀", "terrified before that outrageous long story", "Я так боялась"]
FAMILIES = ("bert", "electra", "roberta", "xlm-roberta", "modernbert")


@pytest.fixture(scope="module")
def checkpoint(made: Made) -> Callable[[str], Path]:
    return lambda family: made(
        f"export_{family}", lambda folder: em.write_random_checkpoint(folder, family)
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n".join([*SEEN, ""]), "utf-8")
    return path


def answers(path: Path, texts: list[str]) -> np.ndarray:
    result = affectrt.load(path, backend="native")._core.predict(texts)
    return np.asarray(result.heads[0].logits)


def lacks(path: Path, text: str) -> bool:
    try:
        answers(path, [text])
    except InputError:
        return True
    return False


@pytest.mark.parametrize(
    ("family", "precision"),
    [*((family, "int8") for family in FAMILIES), ("bert", "fp32"), ("bert", "fp16")],
)
def test_the_same_bits_with_the_rows_and_a_refusal_without(
    checkpoint: Callable[[str], Path], corpus: Path, tmp_path: Path, family: str, precision: str
) -> None:
    loaded = load_checkpoint(checkpoint(family))
    vocabulary = prune_to(loaded, corpus)
    assert len(vocabulary.kept) < vocabulary.size
    weights = write_native_weights(loaded, precision)
    kept, others = split_rows(weights, vocabulary)
    assert len(kept) < len(weights) < len(kept) + len(others)
    whole = write_model(loaded, precision, tmp_path / "whole.affect", weights)
    pruned = write_model(loaded, precision, tmp_path / "pruned.affect", kept)
    write_whole(tmp_path / "pruned.affect.rows", others)

    texts = [*SEEN, *UNSEEN]
    np.testing.assert_array_equal(answers(pruned, texts), answers(whole, texts))
    (tmp_path / "pruned.affect.rows").unlink()
    np.testing.assert_array_equal(answers(pruned, SEEN), answers(whole, SEEN))
    assert any(lacks(pruned, text) for text in UNSEEN)
    with pytest.raises(InputError, match=r"text 2 has the token '.+' \(id \d+\).*affect\.rows"):
        answers(pruned, [*SEEN, " ".join(UNSEEN)])
    assert not lacks(whole, " ".join(UNSEEN))


def test_what_is_kept(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [{"text": "glad", "pair": "angry", "context": [{"tag": "other", "text": "livid"}]}]
    loaded = load_checkpoint(checkpoint("bert"))
    found = prune_to(loaded, em.write_jsonl(tmp_path / "rows.jsonl", rows))
    vocabulary = json.loads(loaded.tokenizer_json.read_text("utf-8"))["model"]["vocab"]
    kept = {token for token, number in vocabulary.items() if number in found.kept}
    assert {"glad", "angry", "livid", "[UNK]", "[PAD]", "[CLS]", "[MASK]", "a", "##a"} <= kept
    assert not {"furious", "東", "##東"} & kept
    assert found.lacking([[vocabulary["glad"]], [vocabulary["furious"]]]) == 1


def test_verify_needs_the_rows_of_the_same_export(
    checkpoint: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.affect", tmp_path / "other.affect"
    source = checkpoint("bert")
    report = export_checkpoint(source, one, prune_vocabulary=corpus)
    told = read_manifest(one)["x-vocabulary"]
    assert told["corpus_texts"] == len(SEEN)
    assert f"pruned to {told['kept']} of {told['of']} tokens" in report.notes[0]
    assert f"of the {report.rows} rows need others, which are in one.affect.rows" in report.notes[0]
    assert verify(one, source).differences == ()
    rows = tmp_path / "one.affect.rows"
    content = bytearray(rows.read_bytes())
    affectrt.load(one, require_parity=True)
    content[8 + int.from_bytes(content[:8], "little")] ^= 1  # of the first row's first value
    rows.write_bytes(content)
    affectrt.load(one)  # as of large entries, only a proof reads all of it
    with pytest.raises(ProofError, match=r"one\.affect\.rows: its SHA-256 is not"):
        affectrt.load(one, require_parity=True)
    with pytest.raises(ProofError, match="SHA-256"):
        verify(one, source)
    (tmp_path / "more.txt").write_text("\n".join([*SEEN, "terrified"]), "utf-8")
    export_checkpoint(source, other, prune_vocabulary=tmp_path / "more.txt")
    shutil.copy(tmp_path / "other.affect.rows", tmp_path / "one.affect.rows")
    with pytest.raises(ModelFileError, match=r"was not made with .*one\.affect"):
        affectrt.load(one)
    (tmp_path / "one.affect.rows").unlink()
    with pytest.raises(InputError, match="pruned vocabulary"):
        verify(one, source)


def test_damaged_rows_are_refused(
    checkpoint: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    model = tmp_path / "it.affect"
    loaded = load_checkpoint(checkpoint("bert"))
    kept, others = split_rows(write_native_weights(loaded, "int8"), prune_to(loaded, corpus))
    write_model(loaded, "int8", model, kept)
    write_whole(tmp_path / "it.affect.rows", others)
    file = tmp_path / "it.affect.rows"
    good = file.read_bytes()
    tensors = load(good)
    (name,) = (key for key in tensors if key.endswith(".rows"))
    belongs = {"affectrt.rows_of": read_manifest(model)["files"]["weights.safetensors"]["sha256"]}
    numbers = tensors[name]
    of_model = np.setdiff1d(np.arange(numbers[-1]), numbers)[:1].astype(np.int32)
    for wrong, said in (
        (numbers[::-1].copy(), "must ascend"),
        (np.concatenate([numbers[:-1], [10**6]]).astype(np.int32), "from 0 to"),
        (np.sort(np.concatenate([numbers[1:], of_model])), "belong to different"),
        (numbers[:-1].copy(), "is expected"),
        (numbers.astype(np.int64), "is expected"),
    ):
        file.write_bytes(save({**tensors, name: wrong}, belongs))
        with pytest.raises(ModelFileError, match=said):
            affectrt.load(model)
    for content, said in ((good[:-1], "safetensors|bytes"), (b"", "8-byte length")):
        file.write_bytes(content)
        with pytest.raises(ModelFileError, match=said):
            affectrt.load(model)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"\n \n", "c.txt", "no text"),
        (b"\xff\xfe\n", "c.txt", "line 1: is no text in UTF-8"),
        (b'{"text": "a"}\nnonsense\n', "c.jsonl", "line 2"),
        (b'{"words": 1}\n', "c.jsonl", "line 1: must be an object"),
    ],
)
def test_corpora_that_are_none(
    checkpoint: Callable[[str], Path], tmp_path: Path, content: bytes, name: str, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match=said):
        export_checkpoint(checkpoint("bert"), out, prune_vocabulary=tmp_path / name)
    assert not out.exists()


def test_what_cannot_be_pruned(
    checkpoint: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match="native engine alone"):
        export_checkpoint(checkpoint("bert"), out, engines=["onnxruntime"], prune_vocabulary=corpus)
    with pytest.raises(NotFoundError, match="no such corpus"):
        export_checkpoint(checkpoint("bert"), out, prune_vocabulary=tmp_path / "none.txt")
    (tmp_path / "x.affect.rows").write_bytes(b"kept")
    with pytest.raises(ExportError, match="exists already"):
        export_checkpoint(checkpoint("bert"), out, prune_vocabulary=corpus)

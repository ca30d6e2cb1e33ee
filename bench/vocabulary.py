"""What pruning a vocabulary to a corpus gives: bytes, texts that need other rows, and the answers.

    python -m bench.vocabulary --checkpoint DIR --data ../shared/data/text

DIR is a checkpoint of the native engine's families. The corpus are GoEmotions' training texts, what
is answered its test texts. The whole model and the pruned one, with and without its rows, answer
the same texts; bits are compared. Writes ``bench/results/vocabulary.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import affectrt
from affectrt.errors import InputError

from .label_maps import read
from .timing import ROOT, machine

WEIGHTS = "weights.safetensors"


def write_models(checkpoint: Path, corpus: Path, precision: str, folder: Path) -> dict[str, Any]:
    """``whole.affect``, ``pruned.affect`` and its rows; what was kept."""
    from affectrt.export.bundle import write_bundle
    from affectrt.export.checkpoint import config_json, load_checkpoint
    from affectrt.export.manifest import make_manifest
    from affectrt.export.native_weights import write_native_weights
    from affectrt.export.vocabulary import prune_to, split_rows
    from affectrt.export.whole_files import write_whole

    loaded = load_checkpoint(checkpoint)
    vocabulary = prune_to(loaded, corpus)
    whole = write_native_weights(loaded, precision)
    kept, others = split_rows(whole, vocabulary)
    for name, weights in (("whole", whole), ("pruned", kept)):
        files: dict[str, bytes | Path] = {
            "config.json": config_json(loaded, checkpoint),
            "tokenizer.json": loaded.tokenizer_json,
            WEIGHTS: weights,
        }
        manifest = make_manifest(
            loaded, name=name, precision=precision, recipe="", entries=tuple(files)
        )
        write_bundle(folder / f"{name}.affect", manifest, files)
    write_whole(folder / "pruned.affect.rows", others)
    return {**vocabulary.to_manifest(others), "source": loaded.source_sha256}


def answers(path: Path, texts: list[str]) -> dict[str, np.ndarray]:
    """Logits ``[texts, labels]`` of every head that reads a text as a whole."""
    heads = affectrt.load(path, backend="native")._core.predict(texts).heads
    logits = {str(i): np.asarray(head.logits) for i, head in enumerate(heads)}
    return {name: values for name, values in logits.items() if len(values) == len(texts)}


def covered(path: Path, texts: list[str]) -> list[bool]:
    """Which texts a model answers rather than refuses."""
    model = affectrt.load(path, backend="native")._core

    def is_answered(text: str) -> bool:
        try:
            model.predict([text])
        except InputError:
            return False
        return True

    return [is_answered(text) for text in texts]


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether all bits are equal."""
    return all(np.array_equal(a[name], b[name]) for name in a)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/vocabulary.md")
    args = parser.parse_args()
    texts = [row["text"] for row in read(args.data, "goemotions", "test")]
    with tempfile.TemporaryDirectory(prefix="affectrt-vocabulary-") as scratch:
        folder = Path(scratch)
        corpus = folder / "goemotions-train.jsonl"
        with corpus.open("w", encoding="utf-8") as file:
            for row in read(args.data, "goemotions", "train"):
                file.write(json.dumps({"text": row["text"]}, ensure_ascii=False) + "\n")
        told = write_models(args.checkpoint, corpus, args.precision, folder)
        names = ("whole.affect", "pruned.affect", "pruned.affect.rows")
        sizes = {name: (folder / name).stat().st_size for name in names}
        whole = answers(folder / "whole.affect", texts)
        equal = same(whole, answers(folder / "pruned.affect", texts))
        (folder / "pruned.affect.rows").unlink()
        is_covered = np.asarray(covered(folder / "pruned.affect", texts))
        alone = [text for text, known in zip(texts, is_covered, strict=True) if known]
        equal_alone = same(
            {name: values[is_covered] for name, values in whole.items()},
            answers(folder / "pruned.affect", alone),
        )
    lines = [
        "# A vocabulary pruned to GoEmotions",
        "",
        f"`python -m bench.vocabulary --checkpoint {args.checkpoint.name} --data DIR` (weights "
        f"{told['source'][:16]}, affectrt {affectrt.__version__}, {machine()['date']}).",
        "",
        f"{told['kept']:,} of {told['of']:,} tokens are kept: those of {told['corpus_texts']:,} "
        f"training texts, special ones, single letters and affectrt's own words. {args.precision}.",
        "",
        "| file | bytes |",
        "|---|---|",
        *(f"| {name} | {size:,} |" for name, size in sizes.items()),
        "",
        f"- With its rows, the pruned model answers all {len(texts):,} test texts with "
        f"{'the same bits as' if equal else 'OTHER BITS than'} the whole one.",
        f"- Without them it answers {int(is_covered.sum()):,} with "
        f"{'the same bits' if equal_alone else 'OTHER BITS'} and refuses "
        f"{int((~is_covered).sum()):,} ({(~is_covered).mean():.2%}).",
    ]
    args.out.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))
    if not (equal and equal_alone):
        sys.exit("the answers differ")


if __name__ == "__main__":
    main()

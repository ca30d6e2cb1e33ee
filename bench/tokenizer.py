"""Tokenizer throughput on one thread, against Hugging Face `tokenizers`.

    python -m bench.tokenizer [--tokenizer tokenizer.json] [--texts FILE.jsonl.gz ...]

Both sides encode the same batches in one process, in turn, and hand ids and offsets to Python; the
ids and offsets must be equal. The ratio is the median over the pairs of turns, and its spread the
quartiles: see timing.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers

from affectrt import Tokenizer

from .inputs import GOEMOTIONS, TOKENIZER, read_texts
from .timing import interleave, ratio, seconds


def measure(tokenizer: Path, texts: list[str], batch: int, rounds: int) -> dict[str, Any]:
    reference = tokenizers.Tokenizer.from_file(str(tokenizer))
    reference.no_truncation()
    reference.no_padding()
    own = Tokenizer.from_file(tokenizer)
    batches = [texts[i : i + batch] for i in range(0, len(texts), batch)]

    tokens = 0
    for chunk in batches:
        for text, a, b in zip(
            chunk, reference.encode_batch(chunk), own.encode_batch(chunk), strict=True
        ):
            tokens += len(a.ids)
            if a.ids != b.ids.tolist() or a.offsets != list(map(tuple, b.offsets.tolist())):
                raise SystemExit(f"ids or offsets differ on {text!r}")

    def run_reference() -> None:
        for chunk in batches:
            for encoding in reference.encode_batch(chunk):
                _ = encoding.ids, encoding.offsets

    def run_own() -> None:
        for chunk in batches:
            for encoding in own.encode_batch(chunk):
                _ = encoding.ids, encoding.offsets

    def run_reference_ids() -> None:
        for chunk in batches:
            for encoding in reference.encode_batch_fast(chunk):
                _ = encoding.ids

    def run_own_ids() -> None:
        for chunk in batches:
            for encoding in own.encode_batch(chunk, with_offsets=False):
                _ = encoding.ids

    def compare(first: Callable[[], None], second: Callable[[], None]) -> dict[str, float]:
        times = interleave(
            {"first": lambda: seconds(first), "second": lambda: seconds(second)}, rounds
        )
        faster = ratio(times["first"], times["second"])
        return {
            "tokenizers_tokens_per_s": tokens / statistics.median(times["first"]),
            "affectrt_tokens_per_s": tokens / statistics.median(times["second"]),
            "ratio": faster.median,
            "ratio_lower_quartile": faster.lower,
            "ratio_upper_quartile": faster.upper,
        }

    return {
        "tokenizer": tokenizer.parent.name + "/" + tokenizer.name,
        "tokenizers_version": tokenizers.__version__,
        "texts": len(texts),
        "tokens": tokens,
        "batch": batch,
        "rounds": rounds,
        "ids and offsets": compare(run_reference, run_own),
        "ids only": compare(run_reference_ids, run_own_ids),
    }


def markdown(result: dict[str, Any]) -> str:
    lines = [
        f"{result['texts']} texts, {result['tokens']} tokens, batches of {result['batch']}, "
        f"{result['rounds']} rounds, one thread; tokenizers {result['tokenizers_version']}",
        "",
        "| to Python | tokenizers, tokens/s | affectrt, tokens/s | ratio (quartiles) |",
        "|---|---|---|---|",
    ]
    for name in ("ids and offsets", "ids only"):
        row = result[name]
        lines.append(
            f"| {name} | {row['tokenizers_tokens_per_s']:,.0f} "
            f"| {row['affectrt_tokens_per_s']:,.0f} | {row['ratio']:.1f} "
            f"({row['ratio_lower_quartile']:.1f}-{row['ratio_upper_quartile']:.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokenizer throughput on one thread.")
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument(
        "--texts",
        type=Path,
        nargs="+",
        default=[GOEMOTIONS / f"{split}.jsonl.gz" for split in ("test", "dev")],
        help='JSONL files (or .jsonl.gz) with a member "text"',
    )
    parser.add_argument("--most", type=int, default=10_000, metavar="N", help="texts at most")
    parser.add_argument("--batch", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    arguments = parser.parse_args()
    texts = read_texts(arguments.texts, arguments.most)
    result = measure(arguments.tokenizer, texts, arguments.batch, arguments.rounds)
    sys.stdout.write((json.dumps(result, indent=1) if arguments.json else markdown(result)) + "\n")


if __name__ == "__main__":
    main()

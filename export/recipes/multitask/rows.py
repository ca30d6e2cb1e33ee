"""The packs as rows of ``affectrt export --data`` and ``affectrt verify --data``: text, context,
targets of every head.

    python -m affectrt.export.recipes.multitask.rows --model text --data data/text \\
        --tokenizer minilm-l6/tokenizer.json --tokens 30000 --out test.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectrt.export.checkpoint import TOKEN_TASKS, HeadSpec

from .inputs import Tokens
from .packs import MODELS, SOURCES, SPLITS, Example, Source
from .report import sampled


def rows(source: Source, examples: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """A row for each example; a regression whose values are not all known is left out."""
    for example in examples:
        targets = {
            spec.name: _target(spec, example.targets[spec.name])
            for spec in source.heads
            if spec.name in example.targets
        }
        yield {
            "text": example.text,
            "context": [{"tag": turn.tag, "text": turn.text} for turn in example.context],
            "targets": {name: target for name, target in targets.items() if target is not None},
        }


def _target(spec: HeadSpec, value: Any) -> Any:
    if spec.task in TOKEN_TASKS:
        return [list(span) for span in value if span[1] > span[0] >= 0]
    if spec.task == "regression":
        return None if np.isnan(value).any() else [float(v) for v in value]
    if spec.task == "multi_label":
        return [label for label, on in zip(spec.labels, value, strict=True) if on]
    return spec.labels[value]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the rows; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.multitask.rows",
        description="Rows with the targets of every head, for export and verify",
    )
    parser.add_argument("--model", choices=tuple(MODELS), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text packs")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json of the trunk")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--tokens", type=int, help="of each pack, about; all if not given")
    parser.add_argument("--without", nargs="+", default=[], help="heads that are not to be named")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    tokens = Tokens(args.tokenizer)
    count = 0
    with args.out.open("w", encoding="utf-8") as file:
        for name in MODELS[args.model]:
            source = SOURCES[name](args.data)
            for row in rows(source, sampled(source, args.split, tokens, args.tokens)):
                row["targets"] = {k: v for k, v in row["targets"].items() if k not in args.without}
                if row["targets"]:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    count += 1
    print(f"{args.out}: {count} rows", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

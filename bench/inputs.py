"""The texts that all benchmarks run on: real utterances, alone and joined to a given length."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from .timing import ROOT

SHARED = ROOT.parent / "shared"
GOEMOTIONS = SHARED / "data" / "text" / "goemotions"
TOKENIZER = SHARED / "weights" / "minilm-l6" / "tokenizer.json"
SETS: dict[str, int | None] = {"mixed": None, "128": 128, "512": 512}
"""Name of a set -> tokens of each text; None: the lengths that people wrote."""


def read_texts(files: Iterable[Path], most: int | None = None) -> list[str]:
    """Member "text" of each line of JSONL files (`.gz` or plain), at most `most`.

    Raises:
        SystemExit: a file is missing; the message says where it comes from.
    """
    texts: list[str] = []
    for file in files:
        if not file.is_file():
            raise SystemExit(
                f"{file} is missing: the data packs lie beside the checkout, or give --texts"
            )
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            texts += [str(json.loads(line)["text"]) for line in lines if line.strip()]
    return texts[:most]


def goemotions(split: str = "test", most: int | None = None) -> list[str]:
    """The texts of one split of GoEmotions, in the file's order, which is random."""
    return read_texts([GOEMOTIONS / f"{split}.jsonl.gz"], most)


def joined(texts: list[str], tokens: int, count: int, length: Callable[[str], int]) -> list[str]:
    """`count` texts of exactly `tokens` tokens by `length`, or as near below as whole words allow.

    Neighbouring texts are joined until they are long enough, then words are taken off the end.
    """
    made: list[str] = []
    place = 0
    while len(made) < count:
        parts: list[str] = []
        while length(" ".join(parts)) < tokens:
            parts.append(texts[place % len(texts)])
            place += 1
        words = " ".join(parts).split()
        low, high = 1, len(words)  # the most words that fit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if length(" ".join(words[:middle])) <= tokens else (low, middle - 1)
            )
        made.append(" ".join(words[:low]))
    return made


def text_set(name: str, texts: list[str], length: Callable[[str], int], count: int) -> list[str]:
    """The set `name` of `SETS`, `count` texts long, made of `texts`."""
    tokens = SETS[name]
    return texts[:count] if tokens is None else joined(texts, tokens, count, length)

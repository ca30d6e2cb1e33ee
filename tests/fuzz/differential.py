"""Tokens of generated texts, ours against Hugging Face's: `python tests/fuzz/differential.py`.

The tokenizers are the seeds of the target `tokenizer_json`; the texts are pieces of real sentences,
of the vocabulary and of odd characters, glued at random from a seed, or with `--guided` made up by
atheris, by the code that they reach (README.md says how). Prints the first text that differs and
fails. `tests/parity_tokenizer.py` does the same at large, with trained vocabularies.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if "--guided" in sys.argv:  # for an instrumented module, which looks for atheris' counters
    import without_editable  # noqa: F401

    sys.setdlopenflags(sys.getdlopenflags() | os.RTLD_GLOBAL)
    import atheris  # noqa: F401

import tokenizer_zoo
import tokenizers

import affectrt

SEEDS = Path(__file__).resolve().parent / "seeds" / "tokenizer_json"
ODD = [
    *"\0\t\n\r \u00a0\u00ad\u0301\u0130\u1e9e\ufb01\u200b\u200d\u2028\u3000\ufeff\ufffd",
    *"\u0345\u1680\u2581\u0e33\u1100\u1161\u11a8\uac00\u4e00\uff21\U0001f600\U0001f3fd\U0010ffff",
    *("[CLS]", "[MASK]", "<s>", "<mask>", "##", "'s", "12345", "...", "a" * 120, "\u0300" * 8),
]


def texts(seed: int, pieces: list[str]) -> list[str]:
    """A handful of texts that belong together, some of one piece and some of many."""
    chosen = random.Random(seed)
    made = []
    for _ in range(4):
        parts = [
            chosen.choice(
                (chosen.choice(ODD), chosen.choice(pieces), chr(chosen.randrange(0xD800)))
            )
            for _ in range(chosen.choice((1, 2, 4, 8, 20)))
        ]
        made.append(chosen.choice(("", " ")).join(parts))
    return made


@functools.cache
def theirs(file: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(file))


@functools.cache
def ours(file: Path) -> affectrt.Tokenizer:
    return affectrt.Tokenizer.from_file(file)


def flat(encoding: tokenizers.Encoding) -> tuple[list[int], list[tuple[int, int]], list[int]]:
    return encoding.ids, encoding.offsets, encoding.type_ids


def difference(file: Path, text: str) -> str | None:
    """What the two sides make of a text, where that is not the same."""
    expected = flat(theirs(file).encode(text))
    tokens = ours(file).encode(text)
    actual = (
        [int(token) for token in tokens.ids],
        [(int(begin), int(end)) for begin, end in tokens.offsets],
        [int(token) for token in tokens.type_ids],
    )
    if actual == expected:
        return None
    return f"{file.name}: {text!r}\n  ours   {actual}\n  theirs {expected}"


def guided(arguments: list[str]) -> None:
    """Texts that libFuzzer makes up, by the code of ours that they reach. Does not return."""
    import atheris

    files = sorted(SEEDS.glob("*.json"))

    def one(data: bytes) -> None:
        if data:
            text = data[1:].decode("utf-8", "replace")
            found = difference(files[data[0] % len(files)], text)
            if found is not None:
                raise AssertionError(found)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def random_texts(count: int, seed: int) -> int:
    words = [word for sentence in tokenizer_zoo.SENTENCES for word in sentence.split()]
    for file in sorted(SEEDS.glob("*.json")):
        pieces = words + sorted(theirs(file).get_vocab())
        for number in range(count // 4):
            for text in texts(seed + number, pieces):
                found = difference(file, text)
                if found is not None:
                    print(found)
                    return 1
        print(f"{file.name}: {count} texts, no difference", flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000, help="texts a tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true", help="by coverage; options of libFuzzer")
    args, more = parser.parse_known_args()
    if args.guided:
        guided(more)
    elif more:
        parser.error(f"unknown: {' '.join(more)}")
    return random_texts(args.texts, args.seed)


if __name__ == "__main__":
    sys.exit(main())

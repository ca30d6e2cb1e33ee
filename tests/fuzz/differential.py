"""Tokens of generated texts, ours against Hugging Face's: `python tests/fuzz/differential.py`.

The tokenizers are the seeds of the target `tokenizer_json`; the texts are pieces of real sentences,
of the vocabulary and of odd characters, glued at random from a seed. Prints the first text that
differs and fails. `tests/parity_tokenizer.py` does the same at large, with trained vocabularies.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import tokenizers

import affectrt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tokenizer_zoo

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


def flat(encoding: tokenizers.Encoding) -> tuple[list[int], list[tuple[int, int]], list[int]]:
    return encoding.ids, encoding.offsets, encoding.type_ids


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000, help="texts a tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    words = [word for sentence in tokenizer_zoo.SENTENCES for word in sentence.split()]
    for file in sorted(SEEDS.glob("*.json")):
        theirs = tokenizers.Tokenizer.from_file(str(file))
        ours = affectrt.Tokenizer.from_file(file)
        pieces = words + sorted(theirs.get_vocab())
        for number in range(args.texts // 4):
            for text in texts(args.seed + number, pieces):
                expected = flat(theirs.encode(text))
                tokens = ours.encode(text)
                actual = (
                    [int(token) for token in tokens.ids],
                    [(int(begin), int(end)) for begin, end in tokens.offsets],
                    [int(token) for token in tokens.type_ids],
                )
                if actual != expected:
                    print(f"{file.name}: {text!r}\n  ours   {actual}\n  theirs {expected}")
                    return 1
        print(f"{file.name}: {args.texts} texts, no difference", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

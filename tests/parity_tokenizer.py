"""The full parity run: every text of the shared packs and 100 000 generated strings.

    python tests/parity_tokenizer.py [--shared ../shared] [--generated 100000] [--only NAME ...]

Trains a tokenizer of each kind on a sample of the packs, takes the real one of each checkpoint in
shared/weights, and compares ids, type ids and offsets with Hugging Face `tokenizers`. Prints one
line a tokenizer; exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizer_parity import Parity, compare, generated, report, strings_of
from tokenizer_zoo import SENTENCES, ZOO
from tokenizers import Tokenizer as Reference

from affectrt import Tokenizer

ROOT = Path(__file__).resolve().parent.parent


def pack_texts(folder: Path) -> dict[str, list[str]]:
    """The different strings of each pack."""
    packs: dict[str, dict[str, None]] = {}
    for file in sorted(folder.rglob("*.jsonl.gz")):
        name = "/".join(file.relative_to(folder).parts[:-1])
        pack = packs.setdefault(name, {})
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                for text in strings_of(json.loads(line)):
                    pack[text] = None
    return {name: list(pack) for name, pack in packs.items()}


def documents(shared: Path, sample: list[str], names: list[str]) -> Iterator[tuple[str, str]]:
    """tokenizer.json of the shared checkpoints, and then of those trained on `sample`."""
    for file in sorted(shared.glob("weights/*/tokenizer.json")):
        if not names or file.parent.name in names:
            reference = Reference.from_file(str(file))
            reference.no_truncation()
            reference.no_padding()
            yield file.parent.name, reference.to_str()
    for name, build in ZOO.items():
        if not names or name in names:
            yield name, build(sample, 8000).to_str()


def main() -> int:
    parser = argparse.ArgumentParser(description="Full parity of the tokenizers.")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--generated", type=int, default=100_000, metavar="N")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    arguments = parser.parse_args()

    packs = pack_texts(arguments.shared / "data" / "text")
    strings = list(dict.fromkeys(text for pack in packs.values() for text in pack))
    print(f"{len(packs)} packs, {len(strings)} different strings", flush=True)
    made = generated(arguments.generated)
    print(f"{len(made)} generated strings", flush=True)
    random.seed(0)
    sample = [t for pack in packs.values() for t in random.sample(pack, min(len(pack), 400))]

    total = 0
    for name, document in documents(arguments.shared, sample + SENTENCES, arguments.only):
        # Both read the document: scores of a Unigram move in their last digit when the trained
        # tokenizer is written and read, which decides between equally good cuts.
        reference = Reference.from_str(document)
        tokenizer = Tokenizer.from_json(document)
        parity = Parity()
        compare(reference, tokenizer, strings, parity)
        compare(reference, tokenizer, made, parity)
        print(report(name, parity), flush=True)
        total += parity.mismatches
    print(f"{total} mismatches in all")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())

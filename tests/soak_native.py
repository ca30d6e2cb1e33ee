"""Resident memory of the native engine under calls of mixed lengths: `python tests/soak_native.py`.

Fails when it grows by more than 2 MB after the first tenth of the calls. A million calls take some
minutes with a tiny model and half an hour with the embedded one.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import affectrt

MOST_GROWTH_KIB = 2048
WORDS = "I was so happy, and then the train left without me; naïve 東京 😀 café!".split()  # noqa: SIM905


def resident_kib() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a model file (default: the embedded model)")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--most-words", type=int, default=60)
    parser.add_argument("--most-texts", type=int, default=12)
    args = parser.parse_args()

    model = affectrt.load(args.model, backend="native", num_threads=args.threads)
    chosen = random.Random(1)

    def calls(count: int) -> None:
        for _ in range(count):
            texts = [
                " ".join(chosen.choices(WORDS, k=chosen.randint(1, args.most_words)))
                for _ in range(chosen.randint(1, args.most_texts))
            ]
            model.predict_proba(texts)

    # The largest call there can be first: what is kept after it is the most that is kept.
    longest = [" ".join(WORDS * 20)[: 6 * args.most_words]] * args.most_texts
    for _ in range(50):
        model.predict_proba(longest)
    begin = time.monotonic()
    first = 0
    for tenth in range(1, 11):
        calls(args.calls // 10)
        now = resident_kib()
        first = first or now
        print(f"{args.calls // 10 * tenth} calls: {now} KiB, {time.monotonic() - begin:.0f} s")
        sys.stdout.flush()
    growth = now - first
    print(f"growth {growth} KiB")
    return int(growth > MOST_GROWTH_KIB)


if __name__ == "__main__":
    sys.exit(main())

"""Long runs that must change nothing: `python tests/soak.py` (hours; `--help` for shorter ones).

Threads ask one model for texts of mixed lengths, alone and in batches of any neighbours; then
models are loaded, asked and dropped. Each answer is compared with that of the first round, bit by
bit, and resident memory with what it was after a warm-up. Fails where an answer differs or memory
has grown by more than 2 MB. Writes memory over time as JSON and, with `--plot`, as a picture.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import affectrt

MOST_GROWTH_KIB = 2048
WORDS = "I was so happy, and then the train left without me; naïve 東京 😀 café!".split()  # noqa: SIM905


def resident_kib() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@dataclass
class Phase:
    """What one phase did, and the memory that it held: `curve` has (seconds, done, KiB)."""

    name: str
    target: int
    done: int = 0
    different: int = 0
    curve: list[tuple[float, int, int]] = field(default_factory=list)

    def growth_kib(self) -> int:
        """From the end of the warm-up, a tenth of the work done, to the highest point after it."""
        after = [kib for _, done, kib in self.curve if done >= self.done // 10]
        return max(after) - after[0] if after else 0


class Soak:
    """The texts, their first answers, and the clock."""

    def __init__(
        self, path: str | None, threads: int, most_words: int, most_minutes: float
    ) -> None:
        self.path = path
        self.model = self.load(threads)
        chosen = random.Random(1)
        self.texts = [
            " ".join(chosen.choices(WORDS, k=chosen.randint(1, most_words))) for _ in range(500)
        ]
        self.first = [self.model.predict_proba([text])[0] for text in self.texts]
        self.begin = time.monotonic()
        self.end = self.begin + 60 * most_minutes

    def is_over(self, phase: Phase) -> bool:
        return phase.done >= phase.target or time.monotonic() > self.end

    def load(self, threads: int) -> affectrt.Model:
        return affectrt.load(self.path, backend="native", num_threads=threads)

    def ask(self, model: affectrt.Model, chosen: random.Random) -> tuple[int, int]:
        """One call on some texts: how many, and how many answers were not those of the start."""
        rows = chosen.choices(range(len(self.texts)), k=chosen.choice((1, 1, 2, 5, 16, 64)))
        scores = model.predict_proba([self.texts[row] for row in rows])
        same = [np.array_equal(scores[i], self.first[row]) for i, row in enumerate(rows)]
        return len(rows), len(rows) - sum(same)

    def note(self, phase: Phase) -> None:
        phase.curve.append((round(time.monotonic() - self.begin, 1), phase.done, resident_kib()))

    def run_texts(self, target: int, callers: int) -> Phase:
        """`callers` threads share `target` texts on one model."""
        phase = Phase(f"texts, {callers} threads", target)
        lock = threading.Lock()
        warm = threading.Barrier(callers)
        # The largest call there can be, by all at once: what is kept then is the most there is.
        largest = [max(self.texts, key=len)] * 64

        def work(seed: int) -> None:
            chosen = random.Random(seed)
            for _ in range(3):
                self.model.predict_proba(largest)
                warm.wait()
            while not self.is_over(phase):
                done, different = self.ask(self.model, chosen)
                with lock:
                    before = phase.done
                    phase.done += done
                    phase.different += different
                    if before * 100 // target != phase.done * 100 // target:
                        self.note(phase)

        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(callers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return phase

    def run_loads(self, target: int) -> Phase:
        """Models come and go; each answers one text."""
        phase = Phase("loads", target)
        chosen = random.Random(2)
        while not self.is_over(phase):
            row = chosen.randrange(len(self.texts))
            scores = self.load(1).predict_proba([self.texts[row]])
            phase.different += not np.array_equal(scores[0], self.first[row])
            phase.done += 1
            if phase.done * 100 // target != (phase.done - 1) * 100 // target:
                self.note(phase)
        return phase


def plot(phases: list[Phase], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.5))
    for phase in phases:
        seconds = [point[0] / 60 for point in phase.curve]
        axes.plot(seconds, [point[2] / 1024 for point in phase.curve], label=phase.name)
    axes.set(xlabel="minutes", ylabel="resident MiB", ylim=(0, None))
    axes.legend()
    figure.tight_layout()
    figure.savefig(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a model file (default: the embedded model)")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--callers", type=int, default=64, help="threads that ask")
    parser.add_argument("--loads", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2, help="threads of the model")
    parser.add_argument("--most-words", type=int, default=30)
    parser.add_argument("--most-minutes", type=float, default=1e9, help="stop early, and say so")
    parser.add_argument("--json", type=Path, help="where the curves go")
    parser.add_argument("--plot", type=Path, help="where their picture goes (needs matplotlib)")
    args = parser.parse_args()

    soak = Soak(args.model, args.threads, args.most_words, args.most_minutes)
    failed = False
    phases = []
    for work, target in (
        (lambda: soak.run_texts(args.texts, args.callers), args.texts),
        (lambda: soak.run_loads(args.loads), args.loads),
    ):
        if target == 0:
            continue
        phase = work()
        phases.append(phase)
        growth = phase.growth_kib()
        failed = failed or growth > MOST_GROWTH_KIB or phase.different > 0
        print(
            f"{phase.name}: {phase.done} of {phase.target}, {phase.different} answers differ, "
            f"memory {growth:+d} KiB after the warm-up, {phase.curve[-1][2]} KiB at the end, "
            f"{phase.curve[-1][0]:.0f} s",
            flush=True,
        )
        if args.json:
            args.json.write_text(json.dumps([vars(phase) for phase in phases]), encoding="utf-8")
    if args.plot:
        plot(phases, args.plot)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

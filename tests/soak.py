"""Long runs that must change nothing: `python tests/soak.py` (hours; `--help` for shorter ones).

Four phases, one after the other: threads ask one model for texts of mixed lengths, alone and in
batches of any neighbours; for clips of mixed lengths and rates; they hold conversations, whose
turns come one by one or some at once; then models are loaded, asked and dropped. Each answer is
compared with that of the first round, bit by bit.

Memory has grown where its peak in the last third of a phase lies above its peak in the first third
that follows the warm-up (a tenth of the phase): what every caller holds once it has been busy is
there by then, and what is lost for good with each call adds up until the end. The run fails where
that is more than 2 MB, or an answer differs. It tells how far it is as it goes, and writes memory
over time as JSON (`--json`), as a picture (`--plot`) and as a table (`--report`) after each phase;
`--add` puts the phases of earlier runs before its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sounds import voice

import affectrt

MOST_GROWTH_KIB = 2048
POINTS = 300
WORDS = "I was so happy, and then the train left without me; naïve 東京 😀 café!".split()  # noqa: SIM905
RATES = (8000, 16000, 22050, 48000)

Step = Callable[[random.Random], tuple[int, int]]  # work done, and answers that differed


def resident_kib() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@dataclass
class Phase:
    """What one phase did, and the memory that it held: `curve` has (seconds, done, KiB)."""

    name: str
    unit: str
    callers: int
    target: int
    command: str = ""
    done: int = 0
    different: int = 0
    curve: list[tuple[float, int, int]] = field(default_factory=list)

    def peak_kib(self, begin: float, end: float) -> int:
        """The highest point between two shares of the work that was done."""
        low, high = begin * self.done, end * self.done
        return max((kib for _, done, kib in self.curve if low <= done <= high), default=0)

    def growth_kib(self) -> int:
        return self.peak_kib(0.7, 1.0) - self.peak_kib(0.1, 0.4)

    def failed(self) -> bool:
        return self.growth_kib() > MOST_GROWTH_KIB or self.different > 0

    def said(self) -> str:
        seconds, _, last = self.curve[-1]
        return (
            f"{self.name}: {self.done} of {self.target}, {self.different} answers differ, memory "
            f"{self.growth_kib():+d} KiB from the first third to the last, {last} KiB at the end, "
            f"{seconds:.0f} s"
        )


class Soak:
    """Runs phases, with a clock over all of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.begin = time.monotonic()
        self.command = " ".join(["python tests/soak.py", *sys.argv[1:]])
        self.phases = [
            Phase(**phase) for file in args.add for phase in json.loads(file.read_text())
        ]

    def is_over(self, phase: Phase) -> bool:
        spent = time.monotonic() - self.begin
        return phase.done >= phase.target or spent > 60 * self.args.most_minutes

    def run(
        self, name: str, unit: str, target: int, callers: int, step: Step, warm: Step | None = None
    ) -> None:
        """`callers` threads share `target` pieces of work; each begins with `warm`, all at once."""
        name = f"{name}, {callers} threads" if callers > 1 else name
        phase = Phase(name, unit, callers, target, self.command)
        self.phases.append(phase)
        lock = threading.Lock()
        together = threading.Barrier(callers)
        started = time.monotonic()
        failures: list[BaseException] = []

        def note(before: int) -> None:
            phase.curve.append((round(time.monotonic() - started, 1), phase.done, resident_kib()))
            if before * 20 // target != phase.done * 20 // target:
                print(f"  {phase.said()}", flush=True)
                self.write_json()

        def work(seed: int) -> None:
            chosen = random.Random(seed)
            try:
                if warm is not None:
                    for _ in range(3):
                        together.wait()
                        warm(chosen)
                while not self.is_over(phase) and not failures:
                    done, different = step(chosen)
                    with lock:
                        before = phase.done
                        phase.done += done
                        phase.different += different
                        if before * POINTS // target != phase.done * POINTS // target:
                            note(before)
            except BaseException as error:
                failures.append(error)
                together.abort()

        if callers == 1:
            work(0)
        else:
            workers = [threading.Thread(target=work, args=(seed,)) for seed in range(callers)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        if failures:
            raise failures[0]
        if not phase.curve:  # the time was over before the first point
            phase.curve.append((round(time.monotonic() - started, 1), phase.done, resident_kib()))
        print(phase.said(), flush=True)
        self.write_json()

    def write_json(self) -> None:
        if self.args.json:
            text = json.dumps([asdict(phase) for phase in self.phases])
            self.args.json.write_text(text, encoding="utf-8")


class Texts:
    """Texts of mixed lengths and their first answers."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.path = args.model
        self.model = self.load(args.threads)
        chosen = random.Random(1)
        self.texts = [
            " ".join(chosen.choices(WORDS, k=chosen.randint(1, args.most_words)))
            for _ in range(500)
        ]
        self.first = [self.model.predict_proba([text])[0] for text in self.texts]
        # The largest call there can be: what is kept after it is the most there is.
        self.largest = [max(self.texts, key=len)] * 64

    def load(self, threads: int) -> affectrt.Model:
        model = affectrt.load(self.path, backend="native", num_threads=threads)
        assert isinstance(model, affectrt.Model)
        return model

    def ask(self, chosen: random.Random) -> tuple[int, int]:
        rows = chosen.choices(range(len(self.texts)), k=chosen.choice((1, 1, 2, 5, 16, 64)))
        scores = self.model.predict_proba([self.texts[row] for row in rows])
        same = [np.array_equal(scores[i], self.first[row]) for i, row in enumerate(rows)]
        return len(rows), len(rows) - sum(same)

    def warm(self, _: random.Random) -> tuple[int, int]:
        self.model.predict_proba(self.largest)
        return 0, 0

    def load_and_ask(self, chosen: random.Random) -> tuple[int, int]:
        row = chosen.randrange(len(self.texts))
        scores = self.load(1).predict_proba([self.texts[row]])
        return 1, int(not np.array_equal(scores[0], self.first[row]))


class Clips:
    """Voices of 0.3 to 9 seconds at several rates and their first answers."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.model = affectrt.load(args.speech_model, backend="native", num_threads=args.threads)
        chosen = random.Random(3)
        self.clips = []
        for _ in range(48):
            seconds = chosen.choice((0.3, 1.0, 2.0, 3.0, 5.0, 9.0)) * chosen.uniform(0.9, 1.0)
            rate = chosen.choice(RATES)
            self.clips.append((voice(seconds, (0.1, seconds - 0.1), rate=rate), rate))
        self.first = [self.model.predict_proba([clip])[0] for clip in self.clips]
        self.largest = [max(self.clips, key=lambda clip: len(clip[0]) / clip[1])] * 4

    def ask(self, chosen: random.Random) -> tuple[int, int]:
        rows = chosen.choices(range(len(self.clips)), k=chosen.choice((1, 1, 2, 4)))
        scores = self.model.predict_proba([self.clips[row] for row in rows])
        same = [np.array_equal(scores[i], self.first[row]) for i, row in enumerate(rows)]
        return len(rows), len(rows) - sum(same)

    def warm(self, _: random.Random) -> tuple[int, int]:
        self.model.predict_proba(self.largest)
        return 0, 0


class Conversations:
    """Scripts of turns, and how each conversation went the first time."""

    def __init__(self, args: argparse.Namespace, path: str | None) -> None:
        self.model = affectrt.load(path, backend="native", num_threads=args.threads)
        self.heads = args.conversation_heads
        self.max_turns = max(2, args.turns // 4)  # so that old turns are forgotten, too
        chosen = random.Random(4)
        self.scripts = [
            [
                (chosen.choice("ABC"), " ".join(chosen.choices(WORDS, k=chosen.randint(1, 12))))
                for _ in range(args.turns)
            ]
            for _ in range(6)
        ]
        self.first = [list(self.hold(script, random.Random(5))) for script in self.scripts]

    def hold(
        self, script: list[tuple[str, str]], chosen: random.Random
    ) -> Iterator[dict[str, Any]]:
        """Answers as they come; what keeps them all would be the memory that is seen."""
        conversation = self.model.conversation(max_turns=self.max_turns, heads=self.heads)
        at = 0
        while at < len(script):
            count = chosen.choice((1, 1, 1, 4, 16))
            for turn in conversation.add_all(script[at : at + count]):
                yield turn.to_dict()
            at += count

    def one(self, chosen: random.Random) -> tuple[int, int]:
        row = chosen.randrange(len(self.scripts))
        turns = self.hold(self.scripts[row], chosen)
        return 1, sum(a != b for a, b in zip(turns, self.first[row], strict=True))


def draw(phases: list[Phase], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 2.2 * len(phases)), layout="constrained")
    for axes, phase in zip(picture.subplots(len(phases), squeeze=False)[:, 0], phases, strict=True):
        axes.plot([point[1] for point in phase.curve], [point[2] / 1024 for point in phase.curve])
        axes.axvspan(0, phase.done / 10, color="0.9")
        top = 1.15 * phase.peak_kib(0.0, 1.0) / 1024
        axes.set(title=phase.name, xlabel=phase.unit, ylabel="resident MiB", ylim=(0, top))
        axes.spines[["top", "right"]].set_visible(False)
    picture.savefig(file, dpi=120)


def report(phases: list[Phase], file: Path) -> None:
    lines = [
        "# Soak",
        "",
        f"Made by tests/soak.py on {time.strftime('%Y-%m-%d', time.gmtime())}; "
        f"{len(os.sched_getaffinity(0))} CPUs. Growth: the peak of resident memory in the last "
        "third over that in the first third after a tenth of warm-up.",
        "",
        "| phase | done | answers that differ | growth, KiB | peak, MiB | hours |",
        "|---|---|---|---|---|---|",
    ]
    for phase in phases:
        lines.append(
            f"| {phase.name} | {phase.done:,} {phase.unit} | {phase.different} "
            f"| {phase.growth_kib():+d} | {phase.peak_kib(0, 1) / 1024:.0f} "
            f"| {phase.curve[-1][0] / 3600:.2f} |"
        )
    commands = dict.fromkeys(phase.command for phase in phases)
    lines += ["", "```sh", *commands, "```"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a text model (default: the embedded one)")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--speech-model", default="speech", help="a speech model")
    parser.add_argument("--conversations", type=int, nargs="+", default=[10_000])
    parser.add_argument("--turns", type=int, default=100, help="of a conversation")
    parser.add_argument(
        "--conversation-models", nargs="+", help="for each of --conversations (default: --model)"
    )
    parser.add_argument("--conversation-heads", nargs="+", help="(default: all)")
    parser.add_argument("--loads", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=64, help="threads that ask")
    parser.add_argument("--threads", type=int, default=2, help="threads of a model")
    parser.add_argument("--most-words", type=int, default=30)
    parser.add_argument("--most-minutes", type=float, default=1e9, help="stop early, and say so")
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="--json of earlier runs")
    parser.add_argument("--json", type=Path, help="where the curves go")
    parser.add_argument("--plot", type=Path, help="where their picture goes (needs matplotlib)")
    parser.add_argument("--report", type=Path, help="where a table in Markdown goes")
    return parser.parse_args()


def main() -> int:
    args = parsed()
    soak = Soak(args)
    texts = Texts(args) if args.texts or args.loads else None

    def finished() -> None:
        if args.plot:
            draw(soak.phases, args.plot)
        if args.report:
            report(soak.phases, args.report)

    if args.texts and texts:
        soak.run("texts", "texts", args.texts, args.callers, texts.ask, texts.warm)
        finished()
    if args.clips:
        clips = Clips(args)
        soak.run("clips", "clips", args.clips, args.callers, clips.ask, clips.warm)
        del clips
        finished()
    paths = args.conversation_models or [args.model] * len(args.conversations)
    for count, path in zip(args.conversations, paths, strict=True):
        if count == 0:
            continue
        held = Conversations(args, path)
        name = "conversations" + (f" of {Path(path).stem}" if path else "")
        soak.run(name, "conversations", count, args.callers, held.one)
        del held
        finished()
    if args.loads and texts:
        soak.run("loads", "models", args.loads, 1, texts.load_and_ask)
    finished()
    return int(any(phase.failed() for phase in soak.phases))


if __name__ == "__main__":
    sys.exit(main())

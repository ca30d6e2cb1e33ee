"""Two revisions in turn: is the second slower?

    python -m bench.compare REV_A REV_B [--rounds N] [--threads N]

A revision is whatever git understands; ``.`` is the working tree. Each is built once into
``build/compare/`` (`pip install --target`, with the tools of this environment). Then processes of
A, B and A again answer the same texts in turn. What A differs from itself by is the noise: B is
slower when the median of B / A is beyond what the median of as many A / A would be in 999 of
1000 cases, and by more than 1 %. Exit code 1 then, 0 otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .inputs import goemotions
from .timing import ROOT, Spread, limit_threads, quantile, spread

JOBS = ("single", "offline")
_LEAST_EFFECT = 0.01
_MOST_DIFFERENT = 0.005  # of the decisions, as the bar of an int8 export's label flips

# Run by the interpreter of this environment, with one revision's package before all others.
_WORKER = """
import json, sys, time
given = json.loads(sys.argv[1])
# An editable install answers before sys.path does.
sys.meta_path = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
sys.path.insert(0, given["package"])
import affectrt
assert affectrt.__file__.startswith(given["package"]), affectrt.__file__
with open(given["texts"], encoding="utf-8") as file:
    texts = json.load(file)
clock = time.process_time if given["clock"] == "cpu" else time.perf_counter
model = affectrt.load(given["model"], num_threads=given["threads"])
answers = model(texts)
def passes(work):
    times = []
    for _ in range(given["passes"]):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)
some = texts[: max(1, len(texts) // 4)]
print(json.dumps({
    "single": passes(lambda: [model(text) for text in some]) / len(some),
    "offline": passes(lambda: model(texts)) / len(texts),
    "decided": [list(answer.decided) for answer in answers],
    "labels": len(model.labels()),
}))
"""


@dataclass(frozen=True)
class Verdict:
    """What one job says of B against A."""

    slower: Spread  # time of B / time of A
    noise: float  # the greatest median of A / A, as a share, in 999 of 1000 cases

    @property
    def is_slower(self) -> bool:
        """B takes longer than A by more than noise and 1 %."""
        return self.slower.median - 1 > max(self.noise, _LEAST_EFFECT)

    @property
    def is_faster(self) -> bool:
        """B takes less than A by more than noise and 1 %."""
        return 1 / self.slower.median - 1 > max(self.noise, _LEAST_EFFECT)


def noise_of(same: Sequence[float], repeats: int = 4000) -> float:
    """From ratios A / A: what the median of as many of them stays below, as a share, in 999 of 1000
    cases (bootstrap; a ratio and its inverse are as likely, as nothing tells the two A apart)."""
    logs = [abs(math.log(ratio)) for ratio in same]
    chance = random.Random(1)
    medians = [
        abs(quantile([chance.choice((-1, 1)) * chance.choice(logs) for _ in logs], 0.5))
        for _ in range(repeats)
    ]
    return math.exp(quantile(medians, 0.999)) - 1


def judge(rounds: Sequence[tuple[float, float, float]]) -> Verdict:
    """From the times of A, B and A again in each round."""
    slower = [b / math.sqrt(first * second) for first, b, second in rounds]
    return Verdict(spread(slower), noise_of([first / second for first, _, second in rounds]))


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def resolve(revision: str) -> str:
    """The commit that `revision` means; of ``.`` one of the working tree's tracked files, which no
    branch knows of.

    Raises:
        SystemExit: git knows no such revision.
    """
    if revision == ".":
        return _git("stash", "create") or _git("rev-parse", "HEAD")
    return _git("rev-parse", "--verify", f"{revision}^{{commit}}")


def install(commit: str, folder: Path) -> Path:
    """The package of `commit`, built once; where it lies.

    Raises:
        SystemExit: it does not build.
    """
    target = folder / commit / "package"
    if target.is_dir():
        return target
    unfinished = folder / commit / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="affectrt-compare-") as scratch:
        archive = Path(scratch) / "source.tar"
        _git("archive", "--output", str(archive), commit)
        source = Path(scratch) / "source"
        shutil.unpack_archive(archive, source)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--no-build-isolation", "--target", str(unfinished), str(source)]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise SystemExit(f"{commit[:12]} does not build: see above")
    unfinished.rename(target)
    return target


def _turn(given: dict[str, Any], threads: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tempfile.gettempdir(),
        env={**os.environ, **limit_threads(threads)},
    )
    if done.returncode != 0:
        raise SystemExit(f"{given['package']}: {done.stderr.strip()}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def difference(a: Sequence[Sequence[str]], b: Sequence[Sequence[str]], labels: int) -> float:
    """The share of decisions, one for each text and label, that `a` and `b` take differently."""
    pairs = zip(a, b, strict=True)
    return sum(len(set(x) ^ set(y)) for x, y in pairs) / (len(a) * labels)


def compare(packages: tuple[Path, Path], arguments: argparse.Namespace) -> dict[str, Any]:
    """Times of all rounds, and the share of decisions that differ.

    Raises:
        SystemExit: that share is beyond 0.5 %.
    """
    texts = goemotions("test", arguments.texts)
    times: dict[str, list[tuple[float, float, float]]] = {job: [] for job in JOBS}
    different = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        given = {
            "texts": str(file),
            "model": str(arguments.model),
            "threads": arguments.threads,
            "clock": "cpu" if arguments.threads == 1 else "wall",
            "passes": arguments.passes,
        }
        for round_ in range(arguments.rounds):
            first, b, second = (
                _turn({**given, "package": str(package)}, arguments.threads)
                for package in (packages[0], packages[1], packages[0])
            )
            different = difference(first["decided"], b["decided"], b["labels"])
            if different > _MOST_DIFFERENT:
                raise SystemExit(f"A and B differ in {different:.2%} of the decisions")
            for job in JOBS:
                times[job].append((first[job], b[job], second[job]))
            if sys.stderr.isatty():
                print(f"\rround {round_ + 1} of {arguments.rounds}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return {"times": times, "different": different, "texts": len(texts)}


def report(names: tuple[str, str], found: dict[str, Any], threads: int) -> tuple[str, bool]:
    """The table, and whether B is slower."""
    unit = "CPU time" if threads == 1 else "wall time"
    lines = [
        f"A = {names[0]}, B = {names[1]}; {found['texts']} texts, {threads} thread(s), "
        f"{len(found['times'][JOBS[0]])} rounds of A B A, {unit}; "
        f"{found['different']:.3%} of the decisions differ",
        "",
        "| job | A, us a text | B, us a text | B / A (quartiles) | noise of A / A | B is |",
        "|---|---|---|---|---|---|",
    ]
    slower = False
    for job, rounds in found["times"].items():
        verdict = judge(rounds)
        slower = slower or verdict.is_slower
        word = "faster" if verdict.is_faster else "the same, within noise"
        a = 1e6 * quantile([x for first, _, second in rounds for x in (first, second)], 0.5)
        b = 1e6 * quantile([x for _, x, _ in rounds], 0.5)
        ratio = verdict.slower
        lines.append(
            f"| {job} | {a:,.0f} | {b:,.0f} | "
            f"{ratio.median:.3f} ({ratio.lower:.3f}-{ratio.upper:.3f}) "
            f"| {verdict.noise:.1%} | {'**slower**' if verdict.is_slower else word} |"
        )
    return "\n".join(lines), slower


def main() -> int:
    parser = argparse.ArgumentParser(description="Is the second revision slower?")
    parser.add_argument("a", metavar="REV_A")
    parser.add_argument("b", metavar="REV_B", help='a revision, or "." for the working tree')
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--texts", type=int, default=400, metavar="N")
    parser.add_argument("--passes", type=int, default=3, metavar="N", help="the best one counts")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument(
        "--model",
        type=Path,
        default=ROOT / "python" / "affectrt" / "models" / "text.affect",
        help="that both answer with (default: the embedded one of this checkout)",
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "compare", metavar="DIR")
    arguments = parser.parse_args()
    if arguments.rounds < 5:
        parser.error("--rounds below 5 says nothing of noise")
    commits = [resolve(revision) for revision in (arguments.a, arguments.b)]
    packages = [install(commit, arguments.build) for commit in commits]
    found = compare((packages[0], packages[1]), arguments)
    names = [
        f"{r} ({commit[:9]})" for r, commit in zip((arguments.a, arguments.b), commits, strict=True)
    ]
    table, slower = report((names[0], names[1]), found, arguments.threads)
    print(table)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())

"""How every benchmark here measures: sides in turn, quantiles, ratios with their spread.

Clocks of shared machines drift within minutes, so a time alone says little. What counts is the
ratio of two sides that ran in turn; its spread is the quartiles over the turns.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "affectrt", "numpy", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", "optimum",
    "optimum-onnx", "ctranslate2", "openvino", "nncf", "ai-edge-litert", "litert-torch",
    "ai-edge-quantizer", "executorch",
)  # fmt: skip
# Read by OpenMP, MKL, OpenBLAS, Rayon (tokenizers) and Hugging Face when they are first loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip


def limit_threads(threads: int) -> dict[str, str]:
    """Environment variables that hold libraries to `threads`, for a process to be started."""
    limits = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    limits["TOKENIZERS_PARALLELISM"] = "false" if threads == 1 else "true"
    return limits


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
CLOCK_NAMES = {"wall": "wall time", "cpu": "processor time"}
_clock = CLOCKS["wall"]


def use_clock(name: str) -> None:
    """Measure wall time, or the processor time of this process: what one thread costs on a machine
    that is busy with other work. It says nothing about two threads, nor about waiting."""
    global _clock
    _clock = CLOCKS[name]


def seconds(work: Callable[[], object]) -> float:
    """The time of one call."""
    start = _clock()
    work()
    return _clock() - start


def latencies(call: Callable[[T], object], items: Iterable[T]) -> list[float]:
    """The time of `call` on each item, in seconds."""
    times = []
    for item in items:
        start = _clock()
        call(item)
        times.append(_clock() - start)
    return times


def one_by_one(call: Callable[[T], object], items: Sequence[T]) -> Callable[[], float]:
    """Gives the seconds of `call` on all items, one after another, each time anew."""
    return lambda: sum(latencies(call, items))


def turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """`(round, name)`: all names in every round, forwards and backwards by turns (A B, B A, ...),
    so that a steady drift of the clock favours nobody."""
    for index in range(rounds):
        for name in names if index % 2 == 0 else reversed(names):
            yield index, name


def interleave(
    sides: Mapping[str, Callable[[], T]],
    rounds: int,
    *,
    warmup: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, list[T]]:
    """What each side returned in each round, the sides having run in turn.

    Hand in sides that time themselves: ``lambda: seconds(work)``, ``lambda: latencies(f, items)``.
    `progress` is called as `(rounds done, rounds)`.
    """
    for _ in range(warmup):
        for side in sides.values():
            side()
    results: dict[str, list[T]] = {name: [] for name in sides}
    for step, (_, name) in enumerate(turns(list(sides), rounds), start=1):
        results[name].append(sides[name]())
        if progress is not None and step % len(sides) == 0:
            progress(step // len(sides), rounds)
    return results


def quantile(values: Sequence[float], share: float) -> float:
    """The `share` quantile, linear between neighbours as in `numpy.quantile`."""
    if not values:
        raise ValueError("a quantile needs at least one value")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    if place == below:  # infinities stay what they are
        return ordered[below]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles around it."""

    median: float
    lower: float
    upper: float

    def to_dict(self) -> dict[str, float]:
        """Its three fields."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lower:.2f}-{self.upper:.2f})"


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of `values`."""
    return Spread(quantile(values, 0.5), quantile(values, 0.25), quantile(values, 0.75))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """`above / below`, turn by turn. With times, above is the peer and below is affectrt: how many
    times faster affectrt is."""
    return spread([a / b for a, b in zip(above, below, strict=True)])


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99 and the count."""
    return {
        "p50": quantile(values, 0.5),
        "p90": quantile(values, 0.9),
        "p99": quantile(values, 0.99),
        "count": len(values),
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _revision() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return "unknown"


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The installed version of each package that is installed."""
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine() -> dict[str, Any]:
    """The machine, its load, and what is installed on it, for a results file."""
    from affectrt import _core

    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "cpu_info": _core.cpu_info(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": versions(),
        "revision": _revision(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }

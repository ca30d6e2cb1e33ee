"""How long a plan of the search takes for a text, beside all at int8 in the same moments.

Clocks of shared machines drift within seconds, so a time alone says little: candidate and base
answer each text one after the other, in changing order, and the ratio is what counts. Its quartiles
over groups of texts say how far it can be believed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import affectrt

from .search import Speed

TEXTS = 240
_GROUPS = 12
_WARMUP = 8  # texts


class Timer:
    """Times models of one engine on one thread.

    Args:
        base: the file of all at int8. It is mapped; it need not stay where it is.
        passes: rows as `predict_passes` takes them; the first `TEXTS` are timed.
    """

    def __init__(self, base: Path, engine: str, passes: Sequence[Any], heads: list[int]) -> None:
        self._engine, self._heads = engine, heads
        self._passes = list(passes[:TEXTS])
        self._base = self._load(base)

    def __call__(self, candidate: Path) -> Speed:
        """Time a model file against the base."""
        cores = (self._base, self._load(candidate))
        for one in self._passes[:_WARMUP]:
            for core in cores:
                self._seconds(core, one)
        times: tuple[list[float], list[float]] = ([], [])
        for number, one in enumerate(self._passes):
            for which in (0, 1) if number % 2 else (1, 0):
                times[which].append(self._seconds(cores[which], one))
        groups = max(1, min(_GROUPS, len(self._passes) // 2))
        ratios = [sum(times[1][g::groups]) / sum(times[0][g::groups]) for g in range(groups)]
        low, middle, high = statistics.quantiles(ratios, n=4) if groups > 1 else ratios * 3
        return Speed(
            ms=1e3 * statistics.median(times[1]),
            base_ms=1e3 * statistics.median(times[0]),
            ratio=middle,
            low=low,
            high=high,
            texts=len(self._passes),
        )

    def _load(self, path: Path) -> Any:
        return affectrt.load(path, backend=self._engine, num_threads=1)._core

    def _seconds(self, core: Any, one: Any) -> float:
        begin = time.perf_counter()
        core.predict_passes([one], self._heads)
        return time.perf_counter() - begin

"""Which examples a step sees: sources by chance, epoch by epoch, any step again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Row = TypeVar("Row")


class Drawing:
    """An endless row of examples of several sources that is a function of its seed.

    Every source is gone through epoch by epoch in its own order, so that no example comes twice
    before all have come once.

    Args:
        epochs: of each source: the order of its examples in an epoch, drawn with the generator.
        weights: how often each source is drawn, beside the others.
    """

    def __init__(
        self,
        epochs: Sequence[Callable[[np.random.Generator], NDArray[np.int64]]],
        weights: Sequence[float],
        seed: int,
    ) -> None:
        self.seed = seed
        self.chances = np.asarray(weights, np.float64) / np.sum(weights)
        self._orders = epochs
        self._epochs: dict[tuple[int, int], list[int]] = {}

    def choose(
        self, rng: np.random.Generator, count: int, seen: list[int] | None
    ) -> list[tuple[int, int]]:
        """(source, example) pairs; `seen` (examples drawn of each source so far) moves on."""
        chosen = []
        for source, n in enumerate(rng.multinomial(count, self.chances)):
            start = seen[source] if seen is not None else 0
            chosen += [(source, i) for i in self._slice(source, start, int(n))]
            if seen is not None:
                seen[source] += int(n)
        return chosen

    def _slice(self, source: int, start: int, count: int) -> list[int]:
        """Examples ``start : start + count`` of the endless row of a source's epochs."""
        found: list[int] = []
        epoch = 0
        while count > 0:
            order = self._epoch(source, epoch)
            if start < len(order):
                part = order[start : start + count]
                found += part
                count -= len(part)
            start = max(0, start - len(order))
            epoch += 1
        return found

    def _epoch(self, source: int, epoch: int) -> list[int]:
        known = self._epochs.get((source, epoch))
        if known is None:
            rng = np.random.default_rng([self.seed, source, epoch])
            known = self._epochs[source, epoch] = self._orders[source](rng).tolist()
        return known

    def batches(
        self,
        step: int,
        pool: int,
        draw: Callable[[int, int, np.random.Generator], Row],
        length: Callable[[Row], int],
        budget: int,
    ) -> Iterator[list[Row]]:
        """The batches from step `step` (from 0) on.

        Args:
            pool: so many rows are drawn together and sorted by length.
            draw: makes the row of a source's example.
            length: of a row, in the unit of the budget.
            budget: of a batch with its padding.
        """
        seen = [0] * len(self._orders)
        pools = 0
        while True:
            rng = np.random.default_rng([self.seed, 1 << 21, pools])
            chosen = self.choose(rng, pool, seen)
            # How many batches a pool makes depends on its lengths, so it is always drawn whole.
            batches = cut(sorted((draw(i, j, rng) for i, j in chosen), key=length), length, budget)
            order = rng.permutation(len(batches))
            for i in order[min(step, len(order)) :]:
                yield batches[i]
            step = max(0, step - len(order))
            pools += 1


def cut(rows: Sequence[Row], length: Callable[[Row], int], budget: int) -> list[list[Row]]:
    """Rows in order of length as batches of at most `budget` with their padding."""
    batches: list[list[Row]] = [[]]
    for row in rows:
        if batches[-1] and (len(batches[-1]) + 1) * length(row) > budget:
            batches.append([])
        batches[-1].append(row)
    return batches

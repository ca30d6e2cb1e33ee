"""Which examples a step sees: packs by temperature, batches of like lengths, any step again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .inputs import CONTEXT_TOKENS, Pass, Tokens, Turn
from .packs import Example, Source

Batch = list[tuple[Example, Pass]]

POOL_BATCHES = 40  # batches whose examples are drawn together and sorted by length
TEMPERATURE = 0.5  # a source is drawn by its share x its size to this power
LEAST_CONTEXT = 48  # contexts are cut at a random length between this and CONTEXT_TOKENS
CONTEXT_NOISE = 0.15  # of the texts without a context get a strange one, to learn to ignore it


class Mixture:
    """An endless stream of batches that is a function of its seed: `at(step)` starts it anywhere.

    Every source is gone through epoch by epoch in its own order, so that no example comes twice
    before all have come once.
    """

    def __init__(
        self, sources: Sequence[Source], tokens: Tokens, tokens_per_batch: int, seed: int
    ) -> None:
        self.sources = list(sources)
        self.tokens = tokens
        self.budget = tokens_per_batch
        self.seed = seed
        self._epochs: dict[tuple[int, int], list[int]] = {}
        weights = np.array([s.share * s.expected() ** TEMPERATURE for s in self.sources])
        self.chances = weights / weights.sum()
        self._strange = [
            turn
            for source in self.sources
            for example in source.examples["train"][:500]
            for turn in example.context[-1:]
            if turn.tag in ("self", "other")
        ]
        rng = np.random.default_rng([seed, 1 << 20])
        sample = [self._draw(i, j, rng) for i, j in self._choose(rng, 400, None)]
        self.mean_rows = tokens_per_batch / float(np.mean([len(p) for _, p in sample]))

    def _choose(
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
            known = self._epochs[source, epoch] = self.sources[source].epoch(rng).tolist()
        return known

    def _draw(self, source: int, index: int, rng: np.random.Generator) -> tuple[Example, Pass]:
        example = self.sources[source].examples["train"][index]
        context: Sequence[Turn] = example.context
        if not context and self._strange and rng.random() < CONTEXT_NOISE:
            picks = rng.integers(len(self._strange), size=int(rng.integers(1, 3)))
            context = [self._strange[int(i)] for i in picks]
        limit = int(rng.integers(LEAST_CONTEXT, CONTEXT_TOKENS + 1))
        return example, self.tokens.make_pass(example.text, context, limit)

    def at(self, step: int) -> Iterator[Batch]:
        """The batches from step `step` (from 0) on."""
        seen = [0] * len(self.sources)
        pool = 0
        while True:
            rng = np.random.default_rng([self.seed, 1 << 21, pool])
            chosen = self._choose(rng, round(POOL_BATCHES * self.mean_rows), seen)
            # How many batches a pool makes depends on its lengths, so it is always drawn whole.
            drawn = sorted((self._draw(i, j, rng) for i, j in chosen), key=lambda d: len(d[1]))
            batches = _cut(drawn, self.budget)
            order = rng.permutation(len(batches))
            for i in order[min(step, len(order)) :]:
                yield batches[i]
            step = max(0, step - len(order))
            pool += 1


def _cut(rows: Batch, budget: int) -> list[Batch]:
    """Rows in order of length as batches of at most `budget` tokens with their padding."""
    batches: list[Batch] = [[]]
    for row in rows:
        if batches[-1] and (len(batches[-1]) + 1) * len(row[1]) > budget:
            batches.append([])
        batches[-1].append(row)
    return batches

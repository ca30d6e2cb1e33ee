"""Which examples a step sees: packs by temperature, batches of like lengths, any step again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from affectrt.export.recipes.drawing import Drawing

from .inputs import CONTEXT_TOKENS, Pass, Tokens, Turn
from .packs import Example, Source

Batch = list[tuple[Example, Pass]]

POOL_BATCHES = 40  # batches whose examples are drawn together and sorted by length
TEMPERATURE = 0.5  # a source is drawn by its share x its size to this power
LEAST_CONTEXT = 48  # contexts are cut at a random length between this and CONTEXT_TOKENS
CONTEXT_NOISE = 0.15  # of the texts without a context get a strange one, to learn to ignore it


class Mixture:
    """An endless stream of batches, a function of its seed: `at(step)` starts it anywhere."""

    def __init__(
        self, sources: Sequence[Source], tokens: Tokens, tokens_per_batch: int, seed: int
    ) -> None:
        self.sources = list(sources)
        self.tokens = tokens
        self.budget = tokens_per_batch
        weights = [s.share * s.expected() ** TEMPERATURE for s in self.sources]
        self._drawing = Drawing([s.epoch for s in self.sources], weights, seed)
        self._strange = [
            turn
            for source in self.sources
            for example in source.examples["train"][:500]
            for turn in example.context[-1:]
            if turn.tag in ("self", "other")
        ]
        rng = np.random.default_rng([seed, 1 << 20])
        sample = [self._draw(i, j, rng) for i, j in self._drawing.choose(rng, 400, None)]
        self.mean_rows = tokens_per_batch / float(np.mean([len(p) for _, p in sample]))

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
        pool = round(POOL_BATCHES * self.mean_rows)
        return self._drawing.batches(step, pool, self._draw, lambda d: len(d[1]), self.budget)

"""Spans: what a row's logits say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SPAN_TOKENS = 200


def best_span(logits: NDArray[np.float32]) -> tuple[int, int, float]:
    """First and last token of A (from 0) with the highest start + end logit, and by how much it
    beats no answer, which is [CLS] as both.

    Args:
        logits: ``float32 [1 + A's tokens, 2]``: start and end, [CLS] first.
    """
    start, end = logits[1:, 0], logits[1:, 1]
    if not len(start):
        return 0, 0, -np.inf
    scores = start[:, None] + end[None, :]
    scores = np.where(np.triu(np.ones(scores.shape, bool)), scores, -np.inf)
    scores = np.where(np.tril(np.ones(scores.shape, bool), MAX_SPAN_TOKENS - 1), scores, -np.inf)
    first, last = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(first), int(last), float(scores[first, last] - logits[0].sum())


def decode_bio(classes: NDArray[np.int64]) -> set[tuple[int, int, int]]:
    """(first, last, kind) of each run: B-kind or a change of kind begins one, I-kind goes on."""
    found: list[list[int]] = []
    open_kind = -1
    for i, value in enumerate(classes.tolist()):
        kind = (value - 1) // 2 if value else -1
        if kind >= 0 and value % 2 == 0 and kind == open_kind:
            found[-1][1] = i
        elif kind >= 0:
            found.append([i, i, kind])
        open_kind = kind
    return {(first, last, kind) for first, last, kind in found}

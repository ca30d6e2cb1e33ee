"""Spans: choosing the best of a row's logits, and the measures of RECCON's span task."""

from __future__ import annotations

import re
import string
from collections import Counter

import numpy as np
from numpy.typing import NDArray

MAX_SPAN_TOKENS = 200
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


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


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def squad_f1(truth: str, answer: str) -> float:
    """F1 over words as SQuAD has it (Rajpurkar et al. 2016): lower case, without punctuation and
    articles; two empty answers agree."""
    wanted, given = _words(truth), _words(answer)
    if not wanted or not given:
        return float(wanted == given)
    common = sum((Counter(wanted) & Counter(given)).values())
    return 2 * common / (len(wanted) + len(given))


def detection_f1(empty_right: int, empty_wrong: int, negatives: int) -> float:
    """F1 of "there is no span": `empty_right` of `negatives` examples were answered by nothing, and
    so were `empty_wrong` positive ones."""
    total = empty_right + empty_wrong + negatives
    return 2 * empty_right / total if total else 0.0

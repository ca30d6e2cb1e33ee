"""What heads decide: of the source's logits, and what comes of it on rows with targets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from affectrt.metrics import (
    BoolArray,
    FloatArray,
    Statistics,
    answer_statistics,
    span_statistics,
)

from .checkpoint import TOKEN_TASKS, HeadSpec
from .data import ParityData, span_labels
from .recipes.multitask.spans import best_span, decode_bio

Offsets = list[tuple[int, int]]


def decide(head: HeadSpec, logits: FloatArray, token_begin: Sequence[int] = (0,)) -> BoolArray:
    """What a head decides on, ``bool [rows, labels]``; nothing for a regression.

    Of heads that read tokens, `token_begin` says where each text's begin, [CLS] first, and the
    decisions of a span head are ``bool [tokens, 1]``: is the token in the answer.
    """
    if head.task == "regression":
        return np.zeros(logits.shape, np.bool_)
    if head.task == "span":
        inside = np.zeros((len(logits), 1), np.bool_)
        for begin, end in itertools.pairwise(token_begin):
            first, last, lead = best_span(logits[begin:end])
            if lead > (head.margin or 0.0):
                inside[begin + 1 + first : begin + 2 + last] = True
        return inside
    if head.task in ("single_label", "ordinal", "token_labels"):
        values: Any = logits
        if head.thresholds is not None:  # the highest score / threshold, as logits
            values = logits / head.temperature - np.log(np.asarray(head.thresholds, np.float64))
        decided = np.asarray(np.arange(logits.shape[1]) == values.argmax(axis=1)[:, None])
    else:
        thresholds = np.asarray(head.thresholds or [0.5] * len(head.labels), np.float64)
        # sigmoid(z / t) >= p, compared as logits: no exponential, no rounding near 0 and 1
        with np.errstate(divide="ignore"):
            bounds = head.temperature * (np.log(thresholds) - np.log1p(-thresholds))
        decided = np.asarray(logits >= bounds[None, :])
    if head.task in TOKEN_TASKS:
        decided[np.asarray(token_begin[:-1], np.int64)] = False
    return decided


def in_answer(scores: Any) -> BoolArray:
    """Of a span head: ``bool [tokens, 1]``, which tokens lie in the answers."""
    inside = np.zeros((len(scores.logits), 1), np.bool_)
    for row, begin in enumerate(scores.token_begin[:-1].tolist()):
        of_row = slice(scores.span_begin[row], scores.span_begin[row + 1])
        for first, last, _, decided, *_ in scores.spans[of_row].tolist():
            if decided:
                inside[begin + 1 + first : begin + 2 + last] = True
    return inside


def clipped(head: HeadSpec, values: FloatArray) -> FloatArray:
    if head.ranges is None:
        return values
    low, high = np.asarray(head.ranges, np.float32).T
    return np.asarray(np.clip(values, low, high), np.float32)


def span_statistics_of(
    head: HeadSpec,
    decided: BoolArray,
    begins: Sequence[int],
    offsets: Sequence[Offsets],
    data: ParityData,
) -> Statistics:
    """What the figures of a head that reads tokens are computed of, on the rows with targets."""
    truth = data.spans(head)
    found = {
        row: [
            (offsets[row][first][0], offsets[row][last][1], label)
            for first, last, label in _runs(head, decided[begins[row] + 1 : begins[row + 1]])
        ]
        for row in truth
    }
    if head.task == "span":

        def said(row: int, spans: Sequence[tuple[int, int, int]]) -> list[str]:
            return [data.rows[row].text[start:end] for start, end, _ in spans]

        return answer_statistics(
            [said(row, spans) for row, spans in truth.items()],
            ["".join(said(row, spans)) for row, spans in found.items()],
        )
    names = span_labels(head)

    def named(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, str]]:
        return [(start, end, names[label]) for start, end, label in spans]

    return span_statistics(
        list(map(named, truth.values())), list(map(named, found.values())), names
    )


def _runs(head: HeadSpec, decided: BoolArray) -> list[tuple[int, int, int]]:
    """First and last token and label of each span, of ``bool [tokens, labels]``."""
    if head.task == "token_labels":
        return sorted(decode_bio(decided.argmax(axis=1)))
    runs = []
    for label, column in enumerate(decided.T):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], column.astype(np.int8), [0]])))
        runs += [(int(first), int(end) - 1, label) for first, end in edges.reshape(-1, 2)]
    return runs

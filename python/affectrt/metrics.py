"""Task metrics of decisions, in NumPy: what reports say of a model, and `affectrt eval` of any.

Every figure is a function of sums over rows. So the figure of a sample drawn with replacement is
that function of a weighted sum, and a thousand bootstrap samples are one matrix product.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
ERROR_METRICS = frozenset({"mean_absolute_error"})  # the smaller the better


def _f1(hits: Doubles, said: Doubles, true: Doubles) -> Doubles:
    """2 hits / (said + true); 0 where there is neither."""
    return np.asarray(2.0 * hits / np.maximum(said + true, 1), np.float64)


def _mean(values: Doubles, where: npt.ArrayLike) -> Doubles:
    """Mean over the last axis of the values `where`; 0 where there are none."""
    picked = np.asarray(where, bool)
    count = np.maximum(picked.sum(axis=-1), 1)
    return np.asarray(np.where(picked, values, 0.0).sum(axis=-1) / count, np.float64)


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    """0 where `below` is 0."""
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1), 0), np.float64)


def f1_per_label(decided: BoolArray, truth: BoolArray) -> Doubles:
    """F1 of every label, ``float64 [labels]``; 0 where a label is neither decided nor true."""
    counts = (np.asarray(v.sum(axis=0), np.float64) for v in (decided & truth, decided, truth))
    return _f1(*counts)


def micro_f1(decided: BoolArray, truth: BoolArray) -> float:
    """F1 over all decisions together."""
    total = int(decided.sum() + truth.sum())
    return 2.0 * float((decided & truth).sum()) / total if total else 0.0


def accuracy(decided: BoolArray, truth: BoolArray) -> float:
    """Share of rows whose whole label set is right."""
    return float((decided == truth).all(axis=1).mean())


def pearson(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Correlation, mean over the columns of ``[rows, values]``; 0 where a column is constant."""
    left, right = np.atleast_2d(np.asarray(a, np.float64)), np.atleast_2d(np.asarray(b, np.float64))
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    scale = np.sqrt((left**2).sum(axis=0) * (right**2).sum(axis=0))
    return float(
        np.where(scale > 0, (left * right).sum(axis=0) / np.maximum(scale, 1e-300), 0).mean()
    )


def task_metrics(
    task: str, decided: BoolArray, logits: FloatArray, truth: npt.NDArray[np.float32]
) -> dict[str, float]:
    """The metrics of a task, the one that bars look at first.

    Args:
        task: ``single_label``, ``multi_label`` or ``regression``.
        decided: ``bool [rows, labels]``.
        logits: ``float32 [rows, labels]``, read for regression only.
        truth: ``float32 [rows, labels]``, 1 for true labels; the values of a regression.
    """
    if task == "regression":
        error = float(np.abs(logits - truth).mean())
        return {"pearson": pearson(logits, truth), "mean_absolute_error": error}
    labels = truth > 0.5
    seen = labels.any(axis=0)  # labels that the data never has say nothing
    macro = float(f1_per_label(decided, labels)[seen].mean()) if seen.any() else 0.0
    if task in ("single_label", "ordinal"):
        return {"accuracy": accuracy(decided, labels), "macro_f1": macro}
    return {"macro_f1": macro, "micro_f1": micro_f1(decided, labels)}


def calibration_error(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015): |share that is right - mean confidence| of
    equally wide bins of confidence, weighted by how many are in them; 0 to 1.

    Args:
        confidence: scores, 0 to 1, of any shape.
        right: of the same shape, whether what they are confident of is so.
    """
    scores = np.asarray(confidence, np.float64).ravel()
    hits = np.asarray(right, np.float64).ravel()
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    gap = np.bincount(place, weights=hits - scores, minlength=bins)
    return float(np.abs(gap).sum() / max(len(scores), 1))


# ----------------------------------------------------------------------------- figures with bounds


@dataclass(frozen=True)
class Statistics:
    """What figures are computed of.

    `rows` is ``float64 [rows, statistics]``; `figures` maps sums over rows,
    ``float64 [samples, statistics]``, to figures by name, each ``float64 [samples]``. `groups`
    says which rows belong together (turns of one dialogue) and are drawn together.
    """

    rows: Doubles
    figures: Callable[[Doubles], dict[str, Doubles]]
    groups: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Figure:
    """A figure with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def with_intervals(
    statistics: Statistics, *, samples: int = 1000, seed: int = 0
) -> dict[str, Figure]:
    """Each figure with its 95 % percentile bootstrap interval (Efron 1979), from `samples` draws of
    all groups of rows with replacement."""
    rows = statistics.rows
    if statistics.groups is not None:
        sums = np.zeros((int(statistics.groups.max()) + 1, rows.shape[1]))
        np.add.at(sums, statistics.groups, rows)
        rows = sums
    point = statistics.figures(rows.sum(axis=0, keepdims=True))
    random = np.random.default_rng(seed)
    n = len(rows)
    drawn = [  # a sample at a time: counts of all would take samples x rows
        np.bincount(random.integers(0, n, n), minlength=n).astype(np.float64) @ rows
        for _ in range(samples)
    ]
    spread = statistics.figures(np.asarray(drawn))
    bounds = {name: np.quantile(values, (0.025, 0.975)) for name, values in spread.items()}
    return {
        name: Figure(float(value[0]), float(bounds[name][0]), float(bounds[name][1]))
        for name, value in point.items()
    }


def label_statistics(
    decided: BoolArray,
    truth: BoolArray,
    *,
    exclusive: bool,
    groups: npt.NDArray[np.int64] | None = None,
) -> Statistics:
    """Macro-, micro- and weighted F1, and accuracy (the whole label set is right).

    Macro-F1 is the mean over the labels that the data has, weighted F1 the same weighted by how
    often it has them. With `exclusive` labels (one a row) accuracy comes first and micro-F1, which
    is the same, is left out.

    Args:
        decided, truth: ``bool [rows, labels]``.
    """
    labels = decided.shape[1]
    right = (decided == truth).all(axis=1, keepdims=True)
    rows = np.hstack([decided & truth, decided, truth, right, np.ones_like(right)])

    def figures(sums: Doubles) -> dict[str, Doubles]:
        hits, said, true = np.split(sums[:, : 3 * labels], 3, axis=1)
        each = _f1(hits, said, true)
        found = {
            "macro_f1": _mean(each, true > 0),
            "micro_f1": _f1(hits.sum(1), said.sum(1), true.sum(1)),
            "weighted_f1": _ratio((each * true).sum(1), true.sum(1)),
            "accuracy": _ratio(sums[:, -2], sums[:, -1]),
        }
        if exclusive:
            del found["micro_f1"]
            found = {"accuracy": found.pop("accuracy"), **found}
        return found

    return Statistics(np.asarray(rows, np.float64), figures, groups)


def recall_statistics(
    chosen: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], labels: int
) -> Statistics:
    """Unweighted average recall: the mean over the labels that the data has of the share of their
    clips that are found (Schuller et al. 2009)."""
    true = np.eye(labels)[truth]
    hits = true * (chosen == truth)[:, None]

    def figures(sums: Doubles) -> dict[str, Doubles]:
        found, there = sums[:, :labels], sums[:, labels:]
        seen = there > 0
        recall = np.where(seen, found / np.maximum(there, 1), 0.0)
        return {"uar": recall.sum(1) / np.maximum(seen.sum(1), 1)}

    return Statistics(np.hstack([hits, true]), figures)


def value_statistics(
    values: npt.ArrayLike,
    truth: npt.ArrayLike,
    names: Sequence[str],
    groups: npt.NDArray[np.int64] | None = None,
) -> Statistics:
    """Pearson's correlation, the concordance correlation coefficient (Lin 1989) and the mean
    absolute error: the mean over the columns, then of each where there are several.

    Args:
        values, truth: ``[rows, columns]``; what is NaN in `truth` counts for nothing.
        names: of the columns.
    """
    x, y = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    known = ~np.isnan(y)
    middle = np.where(known, y, 0).sum(0) / np.maximum(known.sum(0), 1)
    # Moments about a common point, so that nothing is lost in the differences below.
    x, y = np.where(known, x - middle, 0), np.where(known, y - middle, 0)
    rows = np.hstack([known, x, y, x * x, y * y, x * y, np.abs(x - y)])

    def figures(sums: Doubles) -> dict[str, Doubles]:
        n, sx, sy, sxx, syy, sxy, gap = np.split(sums, 7, axis=1)
        count = np.maximum(n, 1)
        mx, my = sx / count, sy / count
        vx, vy, cov = sxx / count - mx**2, syy / count - my**2, sxy / count - mx * my
        flat = (vx < 1e-14) | (vy < 1e-14)
        each = {
            "pearson": np.where(flat, 0, _ratio(cov, np.sqrt(np.maximum(vx * vy, 0)))),
            "ccc": np.where(flat, 0, _ratio(2 * cov, vx + vy + (mx - my) ** 2)),
            "mean_absolute_error": gap / count,
        }
        found = {name: column.mean(axis=1) for name, column in each.items()}
        if len(names) > 1:
            for i, column in enumerate(names):
                found |= {f"{name}_{column}": of[:, i] for name, of in each.items()}
        return found

    return Statistics(np.asarray(rows, np.float64), figures, groups)


def answer_statistics(
    truth: Sequence[Sequence[str]],
    answers: Sequence[str],
    groups: npt.NDArray[np.int64] | None = None,
) -> Statistics:
    """Extractive spans as Poria et al. 2021 measure them, 0 to 1: F1 over words and exact match
    where there is a span, F1 of "there is none" (`f1_neg`), and F1 over all.

    Args:
        truth: the right spans of each row; none: there is no answer. Each is one example.
        answers: one a row, empty where the model gives none.
    """
    rows = []
    for spans, answer in zip(truth, answers, strict=True):
        scores = [squad_f1(span, answer) for span in spans]
        exact, nothing = sum(score == 1.0 for score in scores), not answer
        rows.append(
            (len(spans), sum(scores), exact, len(spans) * nothing, not spans, not spans and nothing)
        )

    def figures(sums: Doubles) -> dict[str, Doubles]:
        positives, f1, exact, empty_wrong, negatives, empty_right = sums.T
        return {
            "f1_pos": _ratio(f1, positives),
            "exact_match": _ratio(exact, positives),
            "f1_neg": _ratio(2 * empty_right, empty_right + empty_wrong + negatives),
            "f1": _ratio(f1 + empty_right, positives + negatives),
        }

    return Statistics(np.asarray(rows, np.float64).reshape(-1, 6), figures, groups)


Span = tuple[int, int, str]  # first character, end, label


def span_statistics(
    truth: Sequence[Sequence[Span]],
    found: Sequence[Sequence[Span]],
    labels: Sequence[str],
    groups: npt.NDArray[np.int64] | None = None,
) -> Statistics:
    """Labelled spans: `span_f1` of those that are found exactly, and `character_f1`, the mean over
    labels that the data has of F1 over the characters that carry them."""
    rows = []
    for wanted, given in zip(truth, found, strict=True):
        inside: list[list[int]] = []
        for label in labels:
            true, said = (
                {i for start, end, name in spans if name == label for i in range(start, end)}
                for spans in (wanted, given)
            )
            inside.append([len(true & said), len(said), len(true)])
        exact = len(set(wanted) & set(given))
        columns = np.asarray(inside, np.float64).reshape(-1, 3).T.ravel()
        rows.append([exact, len(set(given)), len(set(wanted)), *columns])

    def figures(sums: Doubles) -> dict[str, Doubles]:
        hits, said, true = np.split(sums[:, 3:], 3, axis=1)
        return {
            "span_f1": _f1(sums[:, 0], sums[:, 1], sums[:, 2]),
            "character_f1": _mean(_f1(hits, said, true), true > 0),
        }

    return Statistics(
        np.asarray(rows, np.float64).reshape(-1, 3 + 3 * len(labels)), figures, groups
    )


# ----------------------------------------------------------------------------------------- answers

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


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

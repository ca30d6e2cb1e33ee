"""Task metrics of decisions, in NumPy: what a report says of the source and of the product."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
ERROR_METRICS = frozenset({"mean_absolute_error"})  # the smaller the better


def f1_per_label(decided: BoolArray, truth: BoolArray) -> npt.NDArray[np.float64]:
    """F1 of every label, ``float64 [labels]``; 0 where a label is neither decided nor true."""
    hits = (decided & truth).sum(axis=0).astype(np.float64)
    total = decided.sum(axis=0) + truth.sum(axis=0)
    return np.asarray(2.0 * hits / np.maximum(total, 1), np.float64)


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
    if task == "single_label":
        return {"accuracy": accuracy(decided, labels), "macro_f1": macro}
    return {"macro_f1": macro, "micro_f1": micro_f1(decided, labels)}

"""What a parity report says of one head beside differences and flips: how alike the directions of
logits are, how well scores are calibrated, and task metrics with the bounds that chance sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from affectrt.metrics import (
    BoolArray,
    Doubles,
    FloatArray,
    Statistics,
    calibration_error,
    label_statistics,
    pearson,
    task_metrics,
    value_statistics,
    with_intervals,
)

from .checkpoint import TOKEN_TASKS, HeadSpec
from .data import ParityData
from .parity_decisions import Offsets, clipped, span_statistics_of
from .speech_data import SpeechData

_METRIC_DIGITS = 6
_SAMPLES = 1000  # of the bootstrap
SIDES = ("source", "product")


def cosines(source: FloatArray, product: FloatArray) -> Doubles:
    """Cosine of each row's logits in source and product, ``float64 [rows]``; 0 where one of them
    alone is zero or not finite, 1 where both are zero."""
    a, b = source.astype(np.float64), product.astype(np.float64)
    finite: BoolArray = np.asarray(np.isfinite(b).all(axis=1))
    b = np.where(finite[:, None], b, 0.0)
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = finite & ~a.any(axis=1) & ~b.any(axis=1)
    found = (a * b).sum(axis=1) / np.where(length > 0, length, 1.0)
    return np.asarray(np.where(same, 1.0, np.clip(found, -1.0, 1.0)), np.float64)


def head_metrics(
    head: HeadSpec,
    logits: tuple[FloatArray, FloatArray],
    decided: tuple[BoolArray, BoolArray],
    data: ParityData | SpeechData,
    begins: Sequence[int],
    offsets: Sequence[Offsets],
) -> tuple[int, dict[str, dict[str, float]], dict[str, float] | None]:
    """Rows with a target, metrics by name, and the calibration error of source and product.

    A metric has ``source``, ``product``, and the bounds of 95 % bootstrap intervals of both and of
    ``change``, product less source on the same draws (``source_low``, ..., ``change_high``).

    Args:
        logits, decided: of source and product, ``[rows, labels]``.
        begins, offsets: of heads that read tokens, as `decide` and `span_statistics_of` take them.
    """
    if isinstance(data, ParityData) and head.task in TOKEN_TASKS:
        count = len(data.spans(head))
        if not count:
            return 0, {}, None
        both = [span_statistics_of(head, d, begins, offsets, data) for d in decided]
        return count, with_bounds(both[0], both[1], None), None
    rows, truth = data.truth(head)
    if not len(rows):
        return 0, {}, None
    values = [clipped(head, side[rows]) for side in logits]
    points = [
        task_metrics(head.task, d[rows], v, truth) for d, v in zip(decided, values, strict=True)
    ]
    if head.task == "regression":
        both = [value_statistics(v, truth, head.labels) for v in values]
        return len(rows), with_bounds(both[0], both[1], points), None
    true = truth > 0.5
    exclusive = head.task != "multi_label"
    both = [label_statistics(d[rows], true, exclusive=exclusive) for d in decided]
    errors = [_calibration(head, side[rows], true) for side in logits]
    calibration = {name: round(e, _METRIC_DIGITS) for name, e in zip(SIDES, errors, strict=True)}
    return len(rows), with_bounds(both[0], both[1], points), calibration


def _calibration(head: HeadSpec, logits: FloatArray, true: BoolArray) -> float:
    """Of the highest score where one label is right, of every label's where several may be."""
    scaled = np.nan_to_num(logits.astype(np.float64) / head.temperature)
    if head.task == "multi_label":
        return calibration_error(0.5 * (1.0 + np.tanh(0.5 * scaled)), true)
    power = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    best = scaled.argmax(axis=1)
    picked = np.arange(len(best))
    return calibration_error((power / power.sum(axis=1, keepdims=True))[picked, best],
                             true[picked, best])  # fmt: skip


def with_bounds(
    source: Statistics, product: Statistics, points: Sequence[dict[str, float]] | None
) -> dict[str, dict[str, float]]:
    """Figures and bounds by name; of `points` alone, with their values, where they are given."""
    width = source.rows.shape[1]

    def figures(sums: Doubles) -> dict[str, Doubles]:
        sides = (source.figures(sums[:, :width]), product.figures(sums[:, width:]))
        found = {f"{s} {n}": v for s, of in zip(SIDES, sides, strict=True) for n, v in of.items()}
        return found | {f"change {n}": sides[1][n] - v for n, v in sides[0].items()}

    joined = Statistics(np.hstack([source.rows, product.rows]), figures)
    drawn = with_intervals(joined, samples=_SAMPLES)
    names = points[0] if points else source.figures(source.rows.sum(axis=0, keepdims=True))
    metrics: dict[str, dict[str, float]] = {}
    for name in names:
        entry = {
            side: points[i][name] if points else drawn[f"{side} {name}"].value
            for i, side in enumerate(SIDES)
        }
        for side in (*SIDES, "change"):
            figure = drawn[f"{side} {name}"]
            entry |= {f"{side}_low": figure.low, f"{side}_high": figure.high}
        metrics[name] = {key: round(float(value), _METRIC_DIGITS) for key, value in entry.items()}
    return metrics


def correlation(source: FloatArray, product: npt.NDArray[np.float32]) -> float:
    """Pearson's, mean over values; where nothing varies, whether they are alike."""
    if not np.isfinite(product).all():
        return 0.0
    if len(source) < 2 or np.ptp(source, axis=0).min() == 0:  # nothing varies: compare as they are
        return 1.0 if np.allclose(source, product, rtol=0.01, atol=1e-3) else 0.0
    return pearson(source, product)

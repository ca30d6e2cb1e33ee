"""What is fitted on dev, and on nothing else: temperatures, priors, thresholds, margins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from affectrt.export.checkpoint import HeadSpec
from affectrt.export.recipes.goemotions import (
    fit_temperature,
    fit_thresholds,
    fit_unsure_bound,
    sigmoid,
)
from affectrt.metrics import f1_per_label

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

MAX_LOG_TEMPERATURE = 5.0  # model files allow temperatures from 0.001 to 1000
MANY_LABELS = 20  # from here on dev says too little of each label to fit a prior
ROWS_FOR_BOUND = 2000  # dev rows that the bound of "unsure" takes
PRIOR_PULL = 0.02  # L2 of the fitted prior, per label and dev row


def fit_prior(
    logits: Floats, labels: Ints, weights: Floats, *, with_bias: bool = True
) -> tuple[float, Floats]:
    """Temperature and bias with the least cross-entropy on dev (bias-corrected temperature
    scaling, Alexandari et al. 2020): softmax(logits / temperature + bias).

    Args:
        logits: ``float32 [rows, labels]``.
        labels: ``int64 [rows]``.
        weights: ``float32 [rows]``: dev rows of several packs weigh the same in sum.
        with_bias: False fits the temperature alone; the bias is 0.
    """
    z, y, w = (torch.from_numpy(np.ascontiguousarray(v)) for v in (logits, labels, weights))
    scale = torch.zeros(1, requires_grad=True)
    bias = torch.zeros(z.shape[1], requires_grad=with_bias and z.shape[1] < MANY_LABELS)
    fitted = [p for p in (scale, bias) if p.requires_grad]
    optimizer = torch.optim.LBFGS(fitted, max_iter=100, line_search_fn="strong_wolfe")

    def factor() -> torch.Tensor:  # an untrained head would have none at all
        return scale.clamp(-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE).exp()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(z * factor() + bias, y, reduction="none")
        total = (loss * w).sum() / w.sum() + PRIOR_PULL * bias.square().mean()
        torch.autograd.backward(total)
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(1 / factor().item()), bias.detach().numpy()


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True), np.float32)


def fit_label_thresholds(scores: Floats, labels: Ints, weights: Floats) -> tuple[float, ...]:
    """Thresholds with which ``argmax(score / threshold)`` has the best macro-F1 on dev.

    They are powers of the label frequencies: one number is fitted, so that rare labels bring no
    noise. 0 leaves argmax of the scores as it is.
    """
    n = scores.shape[1]
    prior = np.bincount(labels, weights, n) + 1.0
    prior = prior / prior.max()
    truth = np.eye(n, dtype=bool)[labels]
    seen = truth.any(axis=0)
    best, chosen = -1.0, prior**0
    for part in np.linspace(0.0, 1.0, 11):
        decided = np.eye(n, dtype=bool)[(scores / prior**part).argmax(1)]
        macro = float(f1_per_label(decided, truth)[seen].mean())
        if macro > best + 1e-6:
            best, chosen = macro, prior**part
    return tuple(float(t) for t in chosen)


def fit_one_threshold(scores: Floats, truth: NDArray[np.bool_]) -> float:
    """The threshold of a yes-or-no head with the best mean of the F1 of both answers."""
    grid = np.unique(np.quantile(scores, np.linspace(0.005, 0.995, 199)))
    best, chosen = -1.0, 0.5
    for cut in grid:
        said = scores >= cut
        f1 = np.mean(
            [
                2 * (a & b).sum() / max(a.sum() + b.sum(), 1)
                for a, b in ((said, truth), (~said, ~truth))
            ]
        )
        if f1 > best:
            best, chosen = float(f1), float(cut)
    return chosen


def decide_multi_label(spec: HeadSpec, logits: Floats, truth: Floats) -> HeadSpec:
    """`spec` with temperature and thresholds; the bound of "unsure" where there are many labels."""
    temperature = fit_temperature(logits, truth)
    scores = sigmoid(logits / np.float32(temperature))
    if len(spec.labels) == 1:
        cuts = [fit_one_threshold(scores[:, 0], truth[:, 0] > 0.5)]
    else:
        cuts = [float(c) for c in fit_thresholds(scores, truth)]
    many = len(spec.labels) >= MANY_LABELS and len(scores) >= ROWS_FOR_BOUND
    unsure = fit_unsure_bound(scores, truth) if many else None
    return replace(spec, thresholds=tuple(cuts), temperature=temperature, unsure_below=unsure)


def decide_flags(spec: HeadSpec, logits: Floats, truth: NDArray[np.bool_]) -> HeadSpec:
    """`spec` with one threshold a flag, ``[tokens, labels]`` of all of dev: the best F1 of each."""
    scores = sigmoid(logits)
    cuts = []
    for score, true in zip(scores.T, truth.T, strict=True):
        grid = np.linspace(0.05, 0.95, 91)
        f1 = [
            2 * ((score >= c) & true).sum() / max((score >= c).sum() + true.sum(), 1) for c in grid
        ]
        cuts.append(float(grid[int(np.argmax(f1))]))
    return replace(spec, thresholds=tuple(cuts))

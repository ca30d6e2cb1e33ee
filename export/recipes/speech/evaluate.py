"""Figures of a trained model: quick ones on dev while it trains, those of the report at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectrt.export.checkpoint import HeadSpec
from affectrt.export.recipes.decisions import decide_multi_label, fit_prior, softmax
from affectrt.export.recipes.goemotions import fit_unsure_bound, sigmoid
from affectrt.export.speech_checkpoint import SpeechEncoder, pad
from affectrt.metrics import (
    Statistics,
    f1_per_label,
    recall_statistics,
    value_statistics,
    with_intervals,
)

from .augment import NOISES, SNR_DB, Floats, Random, Samples, noise, with_noise
from .hearing import Listen, log_mel, samples_of, tokens_of
from .losses import UNKNOWN
from .packs import Clip, Pack

# Logits by head, ``float32 [clips, labels]``, of what is heard of clips.
Run = Callable[[Sequence[Clip], Listen], dict[str, Floats]]

UNSURE_WINDOW = 100  # dev clips around a score of which half have to be right


def run_heads(
    model: SpeechEncoder,
    clips: Sequence[Clip],
    listen: Listen = samples_of,
    tokens_per_batch: int = 6144,
) -> dict[str, Floats]:
    """Logits ``float32 [clips, labels]`` by head, of what `listen` hears of each clip."""
    found = _run(model, clips, model.forward, listen, tokens_per_batch)
    return {name: values.numpy() for name, values in found.items()}


def run_pool(model: SpeechEncoder, clips: Sequence[Clip]) -> Tensor:
    """The pooled vectors, ``float32 [clips, width]``."""
    return _run(model, clips, lambda *heard: {"pooled": model.pool(*heard)})["pooled"]


def _run(
    model: SpeechEncoder,
    clips: Sequence[Clip],
    answer: Callable[[Tensor, Tensor], dict[str, Tensor]],
    listen: Listen = samples_of,
    tokens_per_batch: int = 6144,
) -> dict[str, Tensor]:
    """What `answer` gives for the features and frames of batches, a row a clip in their order."""
    model.eval()
    device = next(model.parameters()).device
    num_mels = int(model.encoder.config.num_mel_bins)
    order = sorted(range(len(clips)), key=lambda i: tokens_of(clips[i]))
    found: dict[str, Tensor] = {}

    def flush(batch: list[int]) -> None:
        wide, frames = pad([log_mel(listen(clips[i]), num_mels) for i in batch])
        with torch.inference_mode():
            answers = answer(wide.to(device), frames.to(device))
        for name, values in answers.items():
            rows = found.setdefault(name, torch.zeros(len(clips), values.shape[1]))
            rows[batch] = values.float().cpu()

    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * tokens_of(clips[i]) > tokens_per_batch:
            flush(batch)
            batch = []
        batch.append(i)
    if batch:
        flush(batch)
    return found


def some(clips: Sequence[Clip], rows: int | None) -> Sequence[Clip]:
    """The first `rows` of a fixed shuffle."""
    if rows is None or rows >= len(clips):
        return clips
    return [clips[int(i)] for i in np.random.default_rng(0).permutation(len(clips))[:rows]]


def labelled(
    spec: HeadSpec, clips: Sequence[Clip], logits: Floats
) -> tuple[list[Clip], Floats, NDArray[Any]]:
    """The clips that have a target which the head knows, their logits, and the targets:
    ``int64 [clips]``, or ``float32 [clips, labels]``."""
    named = spec.task in ("single_label", "ordinal")
    rows = [
        i
        for i, clip in enumerate(clips)
        if spec.name in clip.targets and (not named or clip.targets[spec.name] in spec.labels)
    ]
    known = [clips[i] for i in rows]
    if named:
        index = [spec.labels.index(c.targets[spec.name]) for c in known]
        return known, logits[rows], np.asarray(index, np.int64)
    values = np.asarray([c.targets[spec.name] for c in known], np.float32)
    return known, logits[rows], values.reshape(-1, len(spec.labels))


def restricted(spec: HeadSpec, pack: Pack, logits: Floats) -> Floats:
    """Logits of `emotion` with those labels only that the pack has; others as they are."""
    if spec.name != "emotion":
        return logits
    has = np.asarray([label in pack.labels for label in spec.labels])
    return np.asarray(np.where(has, logits, np.float32(UNKNOWN)), np.float32)


def decide(spec: HeadSpec, parts: Sequence[tuple[Floats, NDArray[Any]]]) -> HeadSpec:
    """`spec` with what is fitted on dev: one temperature for all packs, every label of every pack
    weighing the same; thresholds of yes-or-no heads; the bound of "unsure" of `emotion`.

    Args:
        parts: of each pack, restricted logits and targets.
    """
    parts = [(logits, truth) for logits, truth in parts if len(truth)]
    if spec.task == "regression" or not parts:
        return spec
    logits, truth = (np.concatenate([p[side] for p in parts]) for side in (0, 1))
    if spec.task == "multi_label":
        return decide_multi_label(spec, logits, truth)
    weights = np.concatenate([_balanced(t) for _, t in parts])
    temperature, _ = fit_prior(logits, truth, weights, with_bias=False)
    unsure = None
    if spec.name == "emotion" and len(truth) >= 2 * UNSURE_WINDOW:
        right = np.eye(len(spec.labels), dtype=np.float32)[truth]
        unsure = fit_unsure_bound(softmax(logits / np.float32(temperature)), right, UNSURE_WINDOW)
    return replace(spec, temperature=temperature, unsure_below=unsure)


def _balanced(truth: NDArray[np.int64]) -> Floats:
    """Weights with which every label has the same sum, 1 on average."""
    counts = np.bincount(truth)
    return np.asarray(len(truth) / ((counts > 0).sum() * counts[truth]), np.float32)


def measure(
    spec: HeadSpec, clips: Sequence[Clip], logits: Floats, truth: NDArray[Any]
) -> dict[str, Any]:
    """The figures of a head as `spec` decides, the main one first. Intervals are 95 % bootstrap
    intervals over clips: they leave out that other speakers would bring other figures."""
    if spec.task == "regression":
        found = with_intervals(value_statistics(logits, truth, spec.labels))
        figures: dict[str, Any] = {name: f.value for name, f in found.items()}
        return {"ccc": figures.pop("ccc"), **figures}
    if spec.task == "multi_label":
        cuts = np.asarray(spec.thresholds or [0.5] * len(spec.labels), np.float32)
        said, true = sigmoid(logits / np.float32(spec.temperature)) >= cuts, truth > 0.5
        yes, no = float(f1_per_label(said, true)[0]), float(f1_per_label(~said, ~true)[0])
        recall = recall_statistics(said[:, 0].astype(int), true[:, 0].astype(int), 2)
        return {**_uar(recall), "macro_f1": (yes + no) / 2, "f1_yes": yes, "f1_no": no}
    n = len(spec.labels)
    chosen = logits.argmax(1)
    right, said = np.eye(n, dtype=bool)[truth], np.eye(n, dtype=bool)[chosen]
    figures = _uar(recall_statistics(chosen, truth, n))
    figures["accuracy"] = float((chosen == truth).mean())
    seen = right.any(axis=0)
    figures["macro_f1"] = float(f1_per_label(said, right)[seen].mean())
    if spec.name == "emotion":
        recall = (said & right).sum(0) / np.maximum(right.sum(0), 1)
        each = zip(spec.labels, recall, seen, strict=True)
        figures["recall"] = {label: round(float(r), 4) for label, r, there in each if there}
        figures["accuracy_by_speaker"] = _by_speaker(clips, chosen == truth)
    return figures


def _by_speaker(clips: Sequence[Clip], right: NDArray[np.bool_]) -> dict[str, float]:
    each: dict[str, list[bool]] = {}
    for clip, one in zip(clips, right.tolist(), strict=True):
        each.setdefault(clip.speaker, []).append(one)
    return {speaker: round(float(np.mean(each[speaker])), 4) for speaker in sorted(each)}


def _uar(statistics: Statistics) -> dict[str, Any]:
    figure = with_intervals(statistics)["uar"]
    return {"uar": figure.value, "uar_interval": [round(figure.low, 4), round(figure.high, 4)]}


def figures_of(
    spec: HeadSpec, pack: Pack, clips: Sequence[Clip], logits: Floats
) -> dict[str, Any] | None:
    """`measure` of the clips of a pack; for `emotion` over the labels of the pack, and with
    `uar_open` over all. None where the pack has no target for the head."""
    known, values, truth = labelled(spec, clips, logits)
    if not known:
        return None
    figures = measure(spec, known, restricted(spec, pack, values), truth)
    if spec.name == "emotion":
        free = with_intervals(recall_statistics(values.argmax(1), truth, len(spec.labels)))
        figures = {"uar": figures.pop("uar"), "uar_open": free["uar"].value, **figures}
    return {"rows": len(known), **figures}


def quality_of(
    run: Run, clips: Sequence[Clip], other: Callable[[Random], Samples]
) -> tuple[Floats, Floats]:
    """Logits of `quality` and the true SNR in dB, ``float32 [clips, 1]`` both, of clips with white,
    pink or babble noise."""

    def drawn(clip: Clip) -> tuple[Random, float]:
        rng = np.random.default_rng(list(clip.id.encode()))
        return rng, float(rng.uniform(*SNR_DB))

    def listen(clip: Clip) -> Samples:
        rng, snr_db = drawn(clip)
        kind = NOISES[int(rng.integers(len(NOISES)))]
        samples = samples_of(clip)
        noisy = with_noise(samples, noise(kind, len(samples), rng, other), snr_db)
        return np.clip(noisy, -1.0, 1.0)

    logits = run(clips, listen)["quality"]
    return logits, np.asarray([[drawn(clip)[1]] for clip in clips], np.float32)


def quick_measure(model: SpeechEncoder, pack: Pack, rows: int) -> dict[str, float]:
    """One figure a head on some clips of dev, for watching a run: decisions are not fitted."""
    clips = some(pack.clips["dev"], rows)
    logits = run_heads(model, clips)
    result = {}
    for spec in model.specs:
        figures = figures_of(spec, pack, clips, logits[spec.name])
        if figures:
            name, value = list(figures.items())[1]
            result[f"{spec.name} {name}"] = round(float(value), 4)
    return result

"""Figures of a trained model: quick ones on dev while it trains, those of the report at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affectrt.export.checkpoint import TOKEN_TASKS, HeadSpec, PooledEncoder
from affectrt.export.recipes.decisions import (
    decide_flags,
    decide_multi_label,
    fit_label_thresholds,
    fit_prior,
    softmax,
)
from affectrt.export.recipes.goemotions import calibration_error, sigmoid
from affectrt.metrics import answer_statistics, f1_per_label, micro_f1, pearson

from .inputs import Tokens, pad, token_span
from .packs import REPLY_CANDIDATES, Example, Source
from .spans import best_span, decode_bio

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
# Of a head: [rows, labels], or for token heads one [1 + A's tokens, labels] a row, [CLS] first.
Logits = Floats | list[Floats]

# Heads whose published measure is a mean over labels, rare ones as much as frequent ones.
MACRO = frozenset(
    {"emotion7", "reply_emotion", "strategy", "stage"}
    | {f"empathy_{k}" for k in ("emotional_reactions", "interpretations", "explorations")}
)


def run_heads(
    model: PooledEncoder,
    examples: Sequence[Example],
    tokens: Tokens,
    heads: Sequence[str],
    tokens_per_batch: int = 4096,
) -> dict[str, Logits]:
    """Logits of some heads in the order of `examples`."""
    model.eval()
    device = next(model.parameters()).device
    passes = [tokens.make_pass(e.text, e.context) for e in examples]
    order = sorted(range(len(passes)), key=lambda i: len(passes[i]))
    tasks = {s.name: s.task for s in model.specs}
    found: dict[str, list[Any]] = {name: [None] * len(passes) for name in heads}

    def flush(batch: list[int]) -> None:
        with torch.inference_mode():
            logits = model(*pad([passes[i] for i in batch], device))
        for name in heads:
            values = logits[name].float().cpu().numpy()
            for k, i in enumerate(batch):
                inside = slice(0, passes[i].a_tokens + 1)
                found[name][i] = values[k, inside] if tasks[name] in TOKEN_TASKS else values[k]

    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(passes[i]) > tokens_per_batch:
            flush(batch)
            batch = []
        batch.append(i)
    if batch:
        flush(batch)
    return {
        name: rows if tasks[name] in TOKEN_TASKS or not rows else np.stack(rows)
        for name, rows in found.items()
    }


def some(source: Source, split: str, rows: int | None) -> list[Example]:
    """The first `rows` of a fixed shuffle of a split; replies with their rivals."""
    examples = source.examples[split]
    if rows is None or rows >= len(examples):
        return examples
    if source.name == "replies":
        return examples[: max(1, rows // REPLY_CANDIDATES) * REPLY_CANDIDATES]
    return [examples[int(i)] for i in np.random.default_rng(0).permutation(len(examples))[:rows]]


def quick_measure(
    model: PooledEncoder, source: Source, tokens: Tokens, rows: int
) -> dict[str, float]:
    """One figure a head on some rows of dev. Decisions are fitted on the same rows: good for
    watching a run only."""
    examples = some(source, "dev", rows)
    logits = run_heads(model, examples, tokens, [s.name for s in source.heads])
    result = {}
    for spec in source.heads:
        known, values, truth = labelled(spec, examples, logits[spec.name])
        if known:
            decided, prior = decide(spec, [(known, values, truth)], tokens)
            if prior is not None:
                values = np.asarray(values) + prior
            figures = measure(decided, known, values, truth, tokens)
            result[spec.name] = round(next(iter(figures.values())), 4)
    return result


def labelled(
    spec: HeadSpec, examples: Sequence[Example], logits: Logits
) -> tuple[list[Example], Logits, NDArray[Any]]:
    """The examples that have a target for a head, with their logits and, for heads of a pooled
    vector, targets as an array."""
    rows = [i for i, e in enumerate(examples) if spec.name in e.targets]
    known = [examples[i] for i in rows]
    if spec.task in TOKEN_TASKS:
        return known, [logits[i] for i in rows], np.empty(0)
    return known, np.asarray(logits)[rows], np.asarray([e.targets[spec.name] for e in known])


Labelled = tuple[Sequence[Example], Logits, NDArray[Any]]


def decide(
    spec: HeadSpec, dev: Sequence[Labelled], tokens: Tokens
) -> tuple[HeadSpec, Floats | None]:
    """`spec` with what is fitted on `dev`, of each pack that has the head; and, for single-label
    and ordinal heads, what is to be added to the head's bias: `spec` holds for that."""
    if spec.task == "span":
        return replace(spec, margin=_fit_margin(dev, tokens)), None
    if spec.task == "token_flags":
        pairs = [
            (row[1:], flags_of(spec, e, len(row) - 1, tokens))
            for examples, rows, _ in dev
            for e, row in zip(examples, rows, strict=True)
        ]
        logits, flags = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        return decide_flags(spec, logits, flags), None
    if spec.task in ("regression", "token_labels"):
        return spec, None
    logits, truth, weights = stacked(dev)
    if spec.task == "multi_label":
        return decide_multi_label(spec, logits, truth.astype(np.float32)), None
    temperature, bias = fit_prior(logits, truth, weights)
    cuts = None
    if spec.name in MACRO:
        cuts = fit_label_thresholds(softmax(logits / temperature + bias), truth, weights)
    # The logits, bias and all, are divided by the temperature.
    offset = np.asarray(bias * temperature, np.float32)
    return replace(spec, temperature=temperature, thresholds=cuts), offset


def stacked(parts: Sequence[Labelled]) -> tuple[Floats, NDArray[Any], Floats]:
    """Logits, targets and weights: packs weigh the same in sum."""
    logits = np.concatenate([np.asarray(values) for _, values, _ in parts])
    weights = np.concatenate([np.full(len(t), 1 / max(len(t), 1), np.float32) for *_, t in parts])
    return (
        logits,
        np.concatenate([t for *_, t in parts]),
        np.asarray(weights * (len(logits) / len(parts)), np.float32),
    )


def _fit_margin(dev: Sequence[Labelled], tokens: Tokens) -> float:
    """The margin with the best mean of F1pos and F1neg."""
    examples, rows, _ = dev[0]
    margins = np.asarray([best_span(row)[2] for row in rows])
    grid = np.quantile(margins, np.linspace(0.2, 0.95, 61))
    scores = []
    for margin in grid:
        figures = span_figures(examples, rows, tokens, float(margin))
        scores.append(figures["f1_pos"] + figures["f1_neg"])
    return float(grid[int(np.argmax(scores))])


def measure(
    spec: HeadSpec, examples: Sequence[Example], logits: Logits, truth: NDArray[Any], tokens: Tokens
) -> dict[str, float]:
    """The figures of a head as `spec` decides, the main one first; F1 and Pearson 0-1 but those of
    a span, which are percents as published."""
    if spec.task == "span":
        return span_figures(examples, logits, tokens, spec.margin or 0.0)
    if spec.task in TOKEN_TASKS:
        return token_figures(spec, examples, logits, tokens)
    values = np.asarray(logits)
    if spec.name == "reply_fit":
        return rank_figures(values[:, 0])
    if spec.task == "regression":
        each = {n: pearson(values[:, [i]], truth[:, [i]]) for i, n in enumerate(spec.labels)}
        error = float(np.abs(values - truth).mean())
        return {
            "pearson": float(np.mean(list(each.values()))),
            **{f"pearson_{n}": v for n, v in each.items()},
            "mean_absolute_error": error,
        }
    if spec.task == "multi_label":
        return _multi_label_figures(spec, values, truth > 0.5)
    return _single_label_figures(spec, values, truth)


def _multi_label_figures(spec: HeadSpec, values: Floats, truth: Bools) -> dict[str, float]:
    scores = sigmoid(values / np.float32(spec.temperature))
    cuts = np.asarray(spec.thresholds or [0.5] * len(spec.labels), np.float32)
    decided = scores >= cuts
    if len(spec.labels) == 1:
        yes = float(f1_per_label(decided, truth)[0])
        no = float(f1_per_label(~decided, ~truth)[0])
        return {"macro_f1": (yes + no) / 2, "f1_yes": yes, "f1_no": no}
    seen = truth.any(axis=0)
    return {
        "macro_f1": float(f1_per_label(decided, truth)[seen].mean()),
        "micro_f1": micro_f1(decided, truth),
        "expected_calibration_error": calibration_error(scores, truth.astype(np.float32)),
    }


def _single_label_figures(spec: HeadSpec, values: Floats, truth: NDArray[Any]) -> dict[str, float]:
    """`values` have the fitted prior in them."""
    scores = softmax(values / np.float32(spec.temperature))
    if spec.thresholds:
        chosen = (scores / np.asarray(spec.thresholds, np.float32)).argmax(1)
    else:
        chosen = scores.argmax(1)
    n = len(spec.labels)
    said, true = np.eye(n, dtype=bool)[chosen], np.eye(n, dtype=bool)[truth]
    f1, seen = f1_per_label(said, true), true.any(axis=0)
    result = {
        "accuracy": float((chosen == truth).mean()),
        "macro_f1": float(f1[seen].mean()),
        "weighted_f1": float((f1 * true.mean(axis=0)).sum()),
    }
    if spec.name in MACRO:
        result = {"macro_f1": result.pop("macro_f1"), **result}
    for calm in {"neutral", "others"} & set(spec.labels):
        rest = [i for i in range(n) if spec.labels[i] != calm]
        result[f"micro_f1_without_{calm}"] = micro_f1(said[:, rest], true[:, rest])
    if "oos" in spec.labels:
        out = truth == spec.labels.index("oos")
        result["accuracy_in_scope"] = float((chosen == truth)[~out].mean())
        result["recall_oos"] = float((chosen == truth)[out].mean()) if out.any() else 0.0
    if spec.task == "ordinal":
        result["mean_level_error"] = float(np.abs(scores @ np.arange(n) - truth).mean())
    return result


def rank_figures(scores: Floats) -> dict[str, float]:
    """Of every `REPLY_CANDIDATES` scores the first is the right reply's. Ties count against it."""
    groups = scores.reshape(-1, REPLY_CANDIDATES)
    rank = 1 + (groups[:, 1:] >= groups[:, :1]).sum(1)
    return {"mrr": float((1.0 / rank).mean()), "recall_at_1": float((rank == 1).mean())}


def predicted_spans(
    examples: Sequence[Example], logits: Logits, tokens: Tokens, margin: float
) -> list[str]:
    """The text of each best span; empty where it does not beat no-answer by more than `margin`."""
    found = []
    for example, values in zip(examples, logits, strict=True):
        first, last, lead = best_span(values)
        if lead <= margin:
            found.append("")
            continue
        offsets = tokens.offsets(example.text)
        found.append(example.text[offsets[first][0] : offsets[last][1]])
    return found


def span_figures(
    examples: Sequence[Example], logits: Logits, tokens: Tokens, margin: float
) -> dict[str, float]:
    """F1pos, EM, F1neg and F1 of Poria et al. 2021, one example a gold span, in percent."""
    truth = [[e.text[start:end] for start, end in e.targets["cause_span"]] for e in examples]
    found = answer_statistics(truth, predicted_spans(examples, logits, tokens, margin))
    figures = found.figures(found.rows.sum(axis=0, keepdims=True))
    return {name: 100 * float(value[0]) for name, value in figures.items()}


def flags_of(spec: HeadSpec, example: Example, count: int, tokens: Tokens) -> Bools:
    """``bool [count, kinds]``: which kind of span each of A's tokens lies in."""
    kinds = len(spec.labels) if spec.task == "token_flags" else (len(spec.labels) - 1) // 2
    flags = np.zeros((count, kinds), bool)
    spans: list[tuple[int, int, int]] = example.targets[spec.name]
    offsets = tokens.offsets(example.text)[:count] if spans else []
    for start, end, label in spans:
        place = token_span(offsets, start, end)
        if place:
            flags[place[0] : place[1] + 1, label] = True
    return flags


def token_figures(
    spec: HeadSpec, examples: Sequence[Example], logits: Logits, tokens: Tokens
) -> dict[str, float]:
    """F1 over A's tokens of each kind and its mean; for slots also F1 of whole slots."""
    truth = [flags_of(spec, e, len(v) - 1, tokens) for e, v in zip(examples, logits, strict=True)]
    if spec.task == "token_flags":
        cuts = np.asarray(spec.thresholds or [0.5] * len(spec.labels), np.float32)
        said = np.concatenate([sigmoid(v[1:]) >= cuts for v in logits])
        each = f1_per_label(said, np.concatenate(truth))
        named = {f"f1_{n}": float(f) for n, f in zip(spec.labels, each, strict=True)}
        return {"token_f1": float(each.mean()), **named}
    hits = given = wanted = 0
    rows = []
    for values, true, example in zip(logits, truth, examples, strict=True):
        slots = decode_bio(values[1:].argmax(1))
        offsets = tokens.offsets(example.text)[: len(values) - 1]
        gold = {
            (*place, label)
            for start, end, label in example.targets[spec.name]
            if (place := token_span(offsets, start, end))
        }
        hits, given, wanted = hits + len(gold & slots), given + len(slots), wanted + len(gold)
        said_here = np.zeros_like(true)
        for first, last, label in slots:
            said_here[first : last + 1, label] = True
        rows.append(said_here)
    seen = np.concatenate(truth).any(axis=0)
    each = f1_per_label(np.concatenate(rows), np.concatenate(truth))
    return {
        "slot_f1": 2 * hits / max(given + wanted, 1),
        "token_f1": float(each[seen].mean()) if seen.any() else 0.0,
    }


__all__ = ["decide", "measure", "quick_measure", "run_heads", "some"]

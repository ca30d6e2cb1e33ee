"""What label maps bring: GoEmotions' 28 emotions onto 7 and 4, situations and words onto 7.

    python -m bench.label_maps --data DIR [--model text]

DIR holds the text packs. Writes ``bench/results/label_maps.{json,md}``. What is chosen (thresholds
of groups) is chosen on dev; all figures are of test.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import affectrt
from affectrt.label_maps import Lexicon, map_label, map_labels
from affectrt.metrics import label_statistics

from .report import write_results
from .timing import ROOT

RESULTS = ROOT / "bench" / "results"
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# Demszky et al. 2020, section 6.3: BERT-base fine-tuned on that many labels.
PUBLISHED = {"goemotions": 0.46, "ekman": 0.64, "sentiment": 0.69}


def read(data: Path, pack: str, split: str) -> list[dict[str, Any]]:
    with gzip.open(data / pack / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def figures(decided: BoolArray, truth: BoolArray, *, exclusive: bool) -> dict[str, float]:
    statistics = label_statistics(decided, truth, exclusive=exclusive)
    sums = statistics.rows.sum(axis=0, keepdims=True)
    return {name: float(values[0]) for name, values in statistics.figures(sums).items()}


def grouped(values: FloatArray, labels: tuple[str, ...], onto: str, rule: str) -> FloatArray:
    """``[rows, labels]`` to ``[rows, groups]``, by "any" (noisy-or), "highest" or "sum"."""
    names = map_labels(onto)
    belongs = [map_label(label, onto) for label in labels]
    columns = [[i for i, group in enumerate(belongs) if group == name] for name in names]
    if rule == "any":
        parts = [1 - np.prod(1 - values[:, own], axis=1) for own in columns]
    elif rule == "sum":
        parts = [np.minimum(values[:, own].sum(axis=1), 1) for own in columns]
    else:
        parts = [values[:, own].max(axis=1) for own in columns]
    return np.stack(parts, axis=1)


def log_loss(scores: FloatArray, truth: BoolArray) -> float:
    """Of independent decisions, mean a row."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return float(-np.where(truth, np.log(clipped), np.log1p(-clipped)).sum(axis=1).mean())


def calibration_error(scores: FloatArray, truth: BoolArray, bins: int = 15) -> float:
    """|mean score - share of the true| over equally wide bins of all decisions."""
    place = np.minimum((scores * bins).astype(int), bins - 1).ravel()
    gaps = np.bincount(place, (scores - truth).ravel(), bins)
    return float(np.abs(gaps).sum() / scores.size)


def best_thresholds(scores: FloatArray, truth: BoolArray) -> FloatArray:
    """By group the one with the highest F1."""
    grid = np.linspace(0.02, 0.98, 97)
    said = scores[:, None, :] >= grid[None, :, None]
    hits = (said & truth[:, None, :]).sum(axis=0)
    f1 = 2 * hits / np.maximum(said.sum(axis=0) + truth.sum(axis=0), 1)
    return np.asarray(grid[f1.argmax(axis=0)])


def emotions(model: affectrt.Model, data: Path) -> dict[str, Any]:
    """GoEmotions at 28, 7 and 4 labels."""
    labels = model.labels("emotion")
    parts = {}
    for split in ("dev", "test"):
        rows = read(data, "goemotions", split)
        answers = model._scores([row["text"] for row in rows], "emotion", None)
        truth = np.array([[label in row["labels"] for label in labels] for row in rows])
        parts[split] = (np.asarray(answers.scores, np.float64), answers.decided, truth)
    found: dict[str, Any] = {"rows": len(parts["test"][2]), "maps": {}}
    for onto in ("goemotions", "ekman", "sentiment"):
        scores, decided, truth = parts["test"]
        to = grouped(truth.astype(np.float64), labels, onto, "highest") > 0
        said = grouped(decided.astype(np.float64), labels, onto, "highest") > 0
        entry: dict[str, Any] = {"decided": figures(said, to, exclusive=False), "scores": {}}
        for rule in ("highest", "any", "sum"):
            values = grouped(scores, labels, onto, rule)
            dev_scores, _, dev_truth = parts["dev"]
            dev_to = grouped(dev_truth.astype(np.float64), labels, onto, "highest") > 0
            bounds = best_thresholds(grouped(dev_scores, labels, onto, rule), dev_to)
            entry["scores"][rule] = {
                "log_loss": log_loss(values, to),
                "calibration_error": calibration_error(values, to),
                "macro_f1_with_thresholds_of_dev": figures(values >= bounds, to, exclusive=False)[
                    "macro_f1"
                ],
            }
        found["maps"][onto] = entry
    return found


def situations(model: affectrt.Model, data: Path) -> dict[str, Any]:
    """EmpatheticDialogues' 32 situations onto Ekman's seven, by their own head and by emotions."""
    if "situation" not in model.heads:
        return {}
    labels, names = model.labels("situation"), map_labels("ekman")
    rows = read(data, "empatheticdialogues", "test")
    texts = [row["situation"] for row in rows]
    truth = np.array([names.index(str(map_label(row["emotion"]))) for row in rows])
    head = model._scores(texts, "situation", None)
    group = np.array([names.index(str(map_label(label))) for label in labels])
    best = list(zip(head.decided.argmax(axis=1).tolist(), rows, strict=True))
    of_best = group[[i for i, _ in best]]
    of_sums = grouped(np.asarray(head.scores, np.float64), labels, "ekman", "sum").argmax(axis=1)
    emotion = np.asarray(model.predict_proba(texts, "emotion"), np.float64)
    of_emotions = grouped(emotion, model.labels("emotion"), "ekman", "highest")
    of_emotions[:, names.index("neutral")] = 0  # no situation is
    agreeing = {}
    for label in labels:
        own = of_emotions[[row["emotion"] == label for row in rows]].mean(axis=0)
        agreeing[label] = names[int(own.argmax())]
    return {
        "rows": len(rows),
        "accuracy_of_32": float(np.mean([labels[i] == r["emotion"] for i, r in best])),
        "accuracy_of_7_by_the_decided_label": float((of_best == truth).mean()),
        "accuracy_of_7_by_the_highest_sum": float((of_sums == truth).mean()),
        "accuracy_of_7_by_the_28_emotions": float((of_emotions.argmax(axis=1) == truth).mean()),
        "situations_mapped_as_the_28_emotions_say": sum(
            agreeing[label] == map_label(label) for label in labels
        ),
        "mapped_otherwise": {
            label: [map_label(label), said]
            for label, said in agreeing.items()
            if said != map_label(label)
        },
    }


def words(model: affectrt.Model) -> dict[str, Any]:
    """Each known word as if it were unknown: placed by all others but those of the same stem."""
    lexicon = Lexicon(model)
    similar = lexicon.vectors @ lexicon.vectors.T
    stems = np.array([word[:5] for word in lexicon.words])
    similar[stems[:, None] == stems[None, :]] = -1
    found: dict[str, Any] = {"words": len(lexicon.words)}
    for onto in ("goemotions", "ekman", "sentiment"):
        truth = [map_label(word, onto) for word in lexicon.words]
        placed = [lexicon.place(row, onto) for row in similar]
        most = Counter(truth).most_common(1)[0][1] / len(truth)
        right = [p is not None and p.label == t for p, t in zip(placed, truth, strict=True)]
        sure = [r for r, p in zip(right, placed, strict=True) if p is not None and p.score >= 0.8]
        found[onto] = {
            "accuracy": float(np.mean(right)),
            "of_the_most_frequent": most,
            "accuracy_where_the_votes_are_80_percent": float(np.mean(sure)),
            "part_of_words_there": len(sure) / len(right),
        }
    return found


def markdown(data: dict[str, Any]) -> str:
    go, ed, lexicon = data["emotions"], data["situations"], data["words"]
    lines = [
        "# Label maps",
        "",
        f"`python -m bench.label_maps`, model {data['model']}. What is chosen is chosen on dev.",
        "",
        f"## GoEmotions, test ({go['rows']:,} texts): the head of 28 labels onto 7 and 4",
        "",
        "A group is decided where one of its labels is. Published: BERT-base, fine-tuned on that",
        "many labels (Demszky et al. 2020).",
        "",
        "| labels | macro-F1 | micro-F1 | published macro-F1 |",
        "|---|---|---|---|",
    ]
    sizes = {name: len(map_labels(name)) for name in go["maps"]}
    for onto, entry in go["maps"].items():
        own = entry["decided"]
        lines.append(
            f"| {sizes[onto]} ({onto}) | {own['macro_f1']:.4f} | {own['micro_f1']:.4f} | "
            f"{PUBLISHED[onto]:.2f} |"
        )
    lines += [
        "",
        "The score of a group, three ways: the highest of its labels', that any of them holds if",
        "they were independent, `1 - prod(1 - p)`, or their sum, at most 1. Log-loss a text,",
        "expected calibration error of all decisions, and macro-F1 with a threshold a group fitted",
        "on dev.",
        "",
        "| labels | score | log-loss | calibration error | macro-F1, thresholds of dev |",
        "|---|---|---|---|---|",
    ]
    for onto, entry in go["maps"].items():
        for rule, row in entry["scores"].items():
            if onto != "goemotions" or rule == "highest":
                lines.append(
                    f"| {sizes[onto]} | {rule} | {row['log_loss']:.4f} | "
                    f"{row['calibration_error']:.4f} | "
                    f"{row['macro_f1_with_thresholds_of_dev']:.4f} |"
                )
    if ed:
        other = ", ".join(
            f"{label} ({mapped}; the head says {said})"
            for label, (mapped, said) in ed["mapped_otherwise"].items()
        )
        lines += [
            "",
            f"## EmpatheticDialogues, test ({ed['rows']:,} situations): 32 labels onto 7",
            "",
            f"Accuracy at 32 labels {ed['accuracy_of_32']:.4f}; at 7 by the decided label's group "
            f"{ed['accuracy_of_7_by_the_decided_label']:.4f}, by the highest sum "
            f"{ed['accuracy_of_7_by_the_highest_sum']:.4f}; of the head of 28 emotions, mapped, "
            f"{ed['accuracy_of_7_by_the_28_emotions']:.4f}.",
            "",
            f"{ed['situations_mapped_as_the_28_emotions_say']} of 32 situations are mapped as that "
            f"head's mean answer to their texts says; otherwise: {other}.",
        ]
    lines += [
        "",
        f"## Words ({lexicon['words']}), each as if it were unknown",
        "",
        "Placed by the votes of the nearest others, those of the same first five letters left out.",
        "",
        "| onto | accuracy | most frequent label | where the votes are 80 % | part of words |",
        "|---|---|---|---|---|",
    ]
    for onto in ("goemotions", "ekman", "sentiment"):
        row = lexicon[onto]
        lines.append(
            f"| {len(map_labels(onto))} | {row['accuracy']:.3f} "
            f"| {row['of_the_most_frequent']:.3f} "
            f"| {row['accuracy_where_the_votes_are_80_percent']:.3f} "
            f"| {row['part_of_words_there']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="What label maps cost and bring.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the text packs")
    parser.add_argument("--model", default="text")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    arguments = parser.parse_args()
    model = affectrt.load(arguments.model)
    data = {
        "model": f"{model.info.name} {model.info.version}",
        "emotions": emotions(model, arguments.data),
        "situations": situations(model, arguments.data),
        "words": words(model),
    }
    write_results(arguments.out, "label_maps", data, markdown(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Weights of late fusion: how much the words count, and how much the voice.

    python -m affectrt.export.recipes.fusion --data data --out csrc/tasks/fusion_weights.inc \\
        --report bench/results/fusion.md

**No pack has emotional words and an emotional voice of the same turn**: RAVDESS and EmoDB say
fixed sentences that carry no emotion, on purpose, and URDU has no transcripts. So a turn is made of
a line of MELD (words that were spoken, as a transcript) and a recording of RAVDESS, EmoDB or URDU
with the same emotion, at random. Given the emotion, words and voice of such a turn have nothing to
do with each other; in real ones they err together, and may contradict each other on purpose. What
is measured here is an upper bound of what fusion gains.

The three sets of weights (both, words alone, voice alone) are fitted on dev and measured on test:
other lines, other speakers. Emotions are families (`affectrt.fusion`), all as frequent: each pair
weighs as its family is rare. Recordings of boredom and calm are left out, as no line is of these.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import affectrt
from affectrt import _core, fusion
from affectrt.errors import ExportError

Floats = NDArray[np.float64]
FAMILIES = fusion.FAMILIES
GROUPS = ("joy", *FAMILIES[2:])  # love is part of joy
LEAST_SHARE = 1e-3
PAIRS = 20  # lines for each recording
LEFT_OUT = ("boredom", "calm")
SETS = (("both", (True, True)), ("text alone", (True, False)), ("voice alone", (False, True)))


@dataclass(frozen=True)
class Heard:
    """What a model says of rows: log shares [rows, groups], and the group of each."""

    logs: Floats
    truth: NDArray[np.int64]


def _group(label: str) -> int:
    shares = _core.family_shares([label], [1.0], False)
    if shares is None:
        raise ExportError(f"{label!r} belongs to no family of emotions")
    return max(0, int(np.argmax(shares)) - 1)


def _logs(heads: Sequence[Any], voice: bool) -> Floats:
    rows = []
    for head in heads:
        labels = [one.label for one in head.labels]
        shares = _core.family_shares(labels, [one.score for one in head.labels], voice)
        assert shares is not None
        rows.append([shares[0] + shares[1], *shares[2:]])
    return np.asarray(np.log(np.maximum(np.array(rows), LEAST_SHARE)), np.float64)


def lines(data: Path, split: str, model: Any) -> Heard:
    """The lines of MELD, each alone."""
    file = data / "text" / "meld" / f"{split}.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        turns = [turn for line in opened for turn in json.loads(line)["turns"]]
    results = model([turn["text"] for turn in turns], heads=[model.heads[0]])
    heads = [next(iter(result.heads.values())) for result in results]
    return Heard(_logs(heads, False), np.array([_group(turn["emotion"]) for turn in turns]))


def recordings(data: Path, split: str, model: Any) -> Heard:
    """Those of the three packs, but for `LEFT_OUT`."""
    files, truth = [], []
    for pack in ("ravdess", "emodb", "urdu"):
        folder = data / "speech" / pack
        for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["split"] == split and row["emotion"] not in LEFT_OUT:
                files.append(folder / row["file"])
                truth.append(_group(row["emotion"]))
    results = model(files, heads=[model.heads[0]])
    heads = [next(iter(result.heads.values())) for result in results]
    return Heard(_logs(heads, True), np.array(truth))


@dataclass(frozen=True)
class Pairs:
    """Log shares of text and voice [pairs, groups] each, the truth, and what a pair weighs."""

    text: Floats
    voice: Floats
    truth: NDArray[np.int64]
    weights: Floats


def pairs_of(text: Heard, voice: Heard, seed: int) -> Pairs:
    """`PAIRS` lines of the same emotion for each recording."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(np.flatnonzero(text.truth == group), PAIRS) for group in voice.truth]
    rows = np.concatenate(chosen)
    spoken = np.repeat(np.arange(len(voice.truth)), PAIRS)
    truth = voice.truth[spoken]
    counts = np.bincount(truth, minlength=len(GROUPS))
    return Pairs(text.logs[rows], voice.logs[spoken], truth, 1.0 / counts[truth] / len(GROUPS))


def logits(pairs: Pairs, weights: Floats) -> Floats:
    """[pairs, groups] of weights (text, voice, bias of each group)."""
    return np.asarray(weights[0] * pairs.text + weights[1] * pairs.voice + weights[2:])


def fit(pairs: Pairs, use: tuple[bool, bool]) -> Floats:
    """By the likelihood of the truth, with a slight pull of the weights to 0."""
    text, voice = torch.from_numpy(pairs.text), torch.from_numpy(pairs.voice)
    truth, weigh = torch.from_numpy(pairs.truth), torch.from_numpy(pairs.weights)
    values = torch.zeros(2 + len(GROUPS), dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([*use, *[True] * len(GROUPS)], dtype=torch.float64)
    solver = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        used = values * mask
        scores = used[0] * text + used[1] * voice + used[2:]
        each = torch.nn.functional.cross_entropy(scores, truth, reduction="none")
        total = (each * weigh).sum() + 1e-3 * used.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray((values * mask).detach().numpy())


def figures(pairs: Pairs, weights: Floats) -> tuple[float, float, list[float]]:
    """Unweighted average recall, mean negative log-likelihood, and the recall of each group."""
    scores = logits(pairs, weights)
    scores = scores - scores.max(1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(1, keepdims=True))
    right = scores.argmax(1) == pairs.truth
    recalls = [float(right[pairs.truth == g].mean()) for g in range(len(GROUPS))]
    nll = -float((scores[np.arange(len(right)), pairs.truth] * pairs.weights).sum())
    return float(np.mean(recalls)), nll, recalls


def table_source(found: dict[str, Floats], command: str) -> str:
    """What `csrc/tasks/fusion.cc` includes."""

    def numbers(values: Floats) -> str:
        return ", ".join(f"{value:.6e}F" for value in values)

    rows = [
        f"{{{numbers(found[name][:2])}, {{{{{numbers(found[name][2:])}}}}}}}" for name, _ in SETS
    ]
    return f"// Made by `{command}`.\n{{{', '.join(rows)}}}\n".replace("}, {", "},\n{")


def report(found: dict[str, Floats], dev: Pairs, test: Pairs, models: str, command: str) -> str:
    """The figures as Markdown."""
    text = [
        "# Words and voice together",
        "",
        f"`{command}`: {models}. Turns are made of a line of MELD and a recording of RAVDESS, "
        f"EmoDB or URDU with the same emotion, {PAIRS} lines each; fitted on {len(dev.truth):,} "
        f"pairs of dev, measured on {len(test.truth):,} of test (other speakers). Given the "
        "emotion, the two of such a pair are independent, which those of real turns are not: the "
        "gain is an upper bound.",
        "",
        f"| what is there | weight of words | of voice | UAR | {' | '.join(GROUPS)} | NLL |",
        "|---|---|---|---|" + "---|" * len(GROUPS) + "---|",
    ]
    for name, _ in SETS:
        uar, nll, recalls = figures(test, found[name])
        cells = " | ".join(f"{recall:.3f}" for recall in recalls)
        first, second = found[name][:2]
        text.append(
            f"| {name} | {first:.2f} | {second:.2f} | **{uar:.3f}** | {cells} | {nll:.3f} |"
        )
    text += [
        "",
        "UAR: the mean of the recalls; chance is .167. NLL: mean negative log-likelihood of the "
        "truth, all families as frequent; chance is 1.792.",
    ]
    return "\n".join(text) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m affectrt.export.recipes.fusion")
    parser.add_argument("--data", type=Path, required=True, help="folder with text and speech")
    parser.add_argument("--text", default="text", help="model of the words")
    parser.add_argument("--speech", default="speech", help="model of the voice")
    parser.add_argument("--out", type=Path, required=True, help="the table, a C++ fragment")
    parser.add_argument("--report", type=Path, required=True, help="figures, Markdown")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    words, voices = affectrt.load(args.text), affectrt.load(args.speech)
    dev, test = (
        pairs_of(lines(args.data, split, words), recordings(args.data, split, voices), args.seed)
        for split in ("dev", "test")
    )
    found = {name: fit(dev, use) for name, use in SETS}
    command = "python -m affectrt.export.recipes.fusion --data data"
    names = [f"{m.info.name} ({m.info.precision})" for m in (words, voices)]
    args.out.write_text(table_source(found, command), encoding="utf-8")
    text = report(found, dev, test, f"models {' and '.join(names)}", command)
    args.report.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

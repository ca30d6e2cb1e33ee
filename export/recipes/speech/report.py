"""From trained weights to a checkpoint: decisions fitted on dev, figures on test, the card."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from affectrt.export.checkpoint import HeadSpec
from affectrt.export.recipes.running import fold, say
from affectrt.export.speech_checkpoint import SpeechEncoder, save_speech_checkpoint

from .augment import CONDITIONS, Floats, Random, Samples
from .evaluate import (
    Run,
    decide,
    figures_of,
    labelled,
    measure,
    quality_of,
    restricted,
    run_heads,
    some,
)
from .hearing import Listen, listen_under, other_clips, samples_of
from .losses import HeadLoss
from .packs import PACKS, SPLITS, Clip, Pack

LICENCE: dict[str, Any] = {
    "weights": "research and other NON-COMMERCIAL use only",
    "non_commercial": True,
    "notice": "Whisper tiny.en encoder (MIT), trained on RAVDESS (CC BY-NC-SA 4.0), URDU (research "
    "purposes only) and EmoDB (no licence stated). NOT for commercial products: train the recipe "
    "on recordings of your own for those.",
}


def finish(
    model: SpeechEncoder,
    losses: dict[str, HeadLoss],
    packs: Sequence[Pack],
    left_out: Pack | None,
    out: Path,
    *,
    command: str,
    rows: int | None = None,
) -> dict[str, Any]:
    """Write ``out/checkpoint`` and ``out/report.json`` of trained, unfolded weights.

    Args:
        packs: those trained on.
        left_out: a pack that was not: all of its clips are test clips.
        command: what makes this checkpoint again.
        rows: measure on so many clips of each dev and test only; None for all.

    Returns:
        The report: by head, a list of ``{"data", "split", "rows", <figures>}``.
    """
    fold(model, losses)
    model.fold_standard()
    dev = {p.name: some(p.clips["dev"], rows) for p in packs}
    heard = {p.name: run_heads(model, dev[p.name]) for p in packs}
    other = other_clips(packs)
    decided = []
    for spec in model.specs:
        parts = []
        for pack in packs:
            _, logits, truth = labelled(spec, dev[pack.name], heard[pack.name][spec.name])
            parts.append((restricted(spec, pack, logits), truth))
        decided.append(decide(spec, parts) if spec.name != "quality" else spec)
    model.specs = tuple(decided)

    sets = [(p, "test", some(p.clips["test"], rows)) for p in packs]
    if left_out:
        whole = [c for split in SPLITS for c in left_out.clips[split]]
        sets += [(left_out, "test", some(left_out.clips["test"], rows))]
        sets += [(left_out, "all, never trained on", some(whole, rows))]

    def run(clips: Sequence[Clip], listen: Listen) -> dict[str, Floats]:
        return run_heads(model, clips, listen)

    metrics = figures_by_head(run, model.specs, sets, other)
    card = {
        "description": f"{len(model.specs)} affect heads on a clip of speech of up to "
        f"{model.max_frames // 100} s",
        "version": "1.0.0",
        "licence": LICENCE,
        "metrics": metrics,
        "worth": {p.name: PACKS[p.name].worth for p, _, _ in sets},
        "data": [
            {
                "name": p.name,
                "split": split,
                "sha256": p.sha256[split],
                "licence": PACKS[p.name].licence,
                "cite": PACKS[p.name].cite,
            }
            for p in packs
            for split in SPLITS
        ],
        "recipe": command,
    }
    save_speech_checkpoint(model, out / "checkpoint", card)
    (out / "report.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def figures_by_head(
    run: Run,
    specs: Sequence[HeadSpec],
    sets: Sequence[tuple[Pack, str, Sequence[Clip]]],
    other: Callable[[Random], Samples],
) -> dict[str, list[dict[str, Any]]]:
    """By head, a list of ``{"data", "split", "rows", <figures>}``: of clips as they are and, of
    test splits, under each of `CONDITIONS`.

    Args:
        sets: packs, the name of the split, and its clips.
        other: draws clips for babble.
    """
    metrics: dict[str, list[dict[str, Any]]] = {s.name: [] for s in specs}

    def add(head: str, pack: Pack, split: str, figures: dict[str, Any] | None, **more: Any) -> None:
        if figures is None:
            return
        entry = {"data": pack.name, "split": split, **more, **_rounded(figures)}
        metrics[head].append(entry)
        say(f"{head}: {json.dumps(entry)}")

    for pack, split, clips in sets:
        if not clips:
            continue
        plain = run(clips, samples_of)
        for spec in specs:
            add(spec.name, pack, split, figures_of(spec, pack, clips, plain[spec.name]))
        for condition in CONDITIONS if split == "test" else ():
            worse = run(clips, listen_under(condition, other))
            for spec in specs:
                figures = figures_of(spec, pack, clips, worse[spec.name])
                add(spec.name, pack, split, _short(figures), condition=condition)
        quality = next((s for s in specs if s.name == "quality"), None)
        if pack.studio and split == "test" and quality:
            logits, truth = quality_of(run, clips, other)
            figures = {"rows": len(clips), **measure(quality, clips, logits, truth)}
            add("quality", pack, "test", figures, condition="noise of 0 to 30 dB")
    return metrics


def _short(figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """The main figures alone."""
    names = ("rows", "uar", "uar_interval", "uar_open", "ccc")
    return figures and {k: figures[k] for k in names if k in figures}


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}


__all__ = ["LICENCE", "figures_by_head", "finish"]

"""Figures of a speech model file on the packs, beside those of the checkpoint that it came from.

    python -m affectrt.export.recipes.speech.product speech --data data/speech --out tasks-speech

answers the recipe's test clips, as they are and under its conditions, on the model's own engine;
the checkpoint's figures are those of its report, which the file has in its manifest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import affectrt
from affectrt.errors import InputError
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.speech_checkpoint import SAMPLE_RATE

from .augment import Floats
from .hearing import MOST_SAMPLES, Listen, other_clips
from .packs import PACKS, Clip, read_pack
from .report import figures_by_head


def specs_of(model: affectrt.SpeechModel) -> list[HeadSpec]:
    """The model's heads as the recipe has them."""
    return [
        HeadSpec(
            name=head.name,
            task=head.task,
            labels=head.labels,
            output=head.name,
            thresholds=head.thresholds,
            temperature=head.temperature,
            input="audio",
        )
        for head in model.info.heads
    ]


def run_model(
    model: affectrt.SpeechModel, clips: Sequence[Clip], listen: Listen
) -> dict[str, Floats]:
    """Logits ``float32 [clips, labels]`` by head."""
    sounds = [np.asarray(listen(clip)[:MOST_SAMPLES], np.float32) for clip in clips]
    return {h: model.predict_logits(sounds, h, sample_rate=SAMPLE_RATE) for h in model.heads}


def table(
    source: Mapping[str, Sequence[Mapping[str, Any]]],
    product: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    """Both reports as Markdown: a line for each head, data set and condition, by its main figure;
    intervals are the product's."""
    lines = [
        "| head | data, split, rows | sound | metric | checkpoint, fp32 | this file |",
        "|---|---|---|---|---|---|",
    ]
    for head, entries in product.items():
        for entry in entries:
            key = ("data", "split", "rows", "condition")
            before = next(
                (e for e in source.get(head, ()) if all(e.get(k) == entry.get(k) for k in key)), {}
            )
            for metric in ("uar", "uar_open", "ccc"):
                if metric not in entry:
                    continue
                was = f"{before[metric]:.3f}" if metric in before else "-"
                said = f"{entry[metric]:.3f}"
                if f"{metric}_interval" in entry:
                    low, high = entry[f"{metric}_interval"]
                    said += f" ({low:.3f}-{high:.3f})"
                lines.append(
                    f"| {head} | {entry['data']} {entry['split']}, {entry['rows']} "
                    f"| {entry.get('condition', 'as it is')} | {metric} | {was} | {said} |"
                )
    worth = [f"- {name}: {PACKS[name].worth}." for name in PACKS]
    return "\n".join([*lines, "", "What a figure is worth:", "", *worth]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write ``OUT.json`` and ``OUT.md``; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.speech.product",
        description="Figures of a speech model file on the packs, beside its checkpoint's",
    )
    parser.add_argument("model", help="name or path of the model file")
    parser.add_argument("--data", type=Path, required=True, help="folder of the speech packs")
    parser.add_argument("--out", type=Path, help="where OUT.json and OUT.md go")
    parser.add_argument("--num-threads", type=int)
    args = parser.parse_args(argv)
    model = affectrt.load(args.model, num_threads=args.num_threads)
    if not isinstance(model, affectrt.SpeechModel):
        raise InputError(f"{args.model} is no speech model")
    packs = [read_pack(args.data, name) for name in PACKS]
    found = figures_by_head(
        lambda clips, listen: run_model(model, clips, listen),
        specs_of(model),
        [(p, "test", p.clips["test"]) for p in packs],
        other_clips(packs),
    )
    text = table({h.name: h.metrics for h in model.info.heads}, found)
    print(text, end="")
    if args.out:
        args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        args.out.with_suffix(".md").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

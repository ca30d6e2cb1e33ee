"""What a model file reaches on the test splits, beside its checkpoint and published figures.

    python -m affectrt.export.recipes.multitask.product text.affect \\
        --checkpoint build/text/checkpoint --data data/text --out bench/results/tasks

The file answers on affectrt's own runtime, as it would in an app, and is measured as the recipe
measured the checkpoint, on the same examples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import affectrt
from affectrt.export.checkpoint import HeadSpec, load_checkpoint

from .evaluate import Logits, labelled, measure
from .inputs import Pass, Tokens
from .packs import MODELS, SOURCES, Source
from .report import long_stages, sampled

# (head, data) -> what was published: metric of ours that it is beside, figure, by what
PUBLISHED = {
    ("emotion", "goemotions"): ("macro_f1", ".46; .50", "BERT-base (110M), paper; best re-run"),
    ("emotion7", "meld"): ("weighted_f1", ".60-.65", "BERT-base class"),
    ("emotion4", "emocontext"): ("micro_f1_without_others", ".82", "Emo Pillars (RoBERTa-large)"),
    ("event_emotion", "isear"): ("macro_f1", ".75", "Emo Pillars, its own split"),
    ("cause", "reccon"): ("macro_f1", ".765", "RoBERTa-base, fold 1"),
    ("cause_span", "reccon"): ("f1_pos", "58.2", "RoBERTa-base, fold 1"),
    ("empathy_emotional_reactions", "epitome"): ("macro_f1", ".743", "two RoBERTa-base, own split"),
    ("empathy_interpretations", "epitome"): ("macro_f1", ".675", "two RoBERTa-base, own split"),
    ("empathy_explorations", "epitome"): ("macro_f1", ".735", "two RoBERTa-base, own split"),
    ("turn_empathy", "wassa_turns"): ("pearson", ".72", "best of the shared task, on its test"),
    ("essay_empathy", "wassa_essays"): ("pearson", ".54", "best of 2022, on its test"),
}


def logits_of(model: affectrt.Model, passes: Sequence[Pass], heads: Sequence[int]) -> list[Logits]:
    """For each head ``float32 [passes, labels]``; of token heads a list of ``[1 + A, labels]``."""
    rows = [(p.ids.astype(np.int32), p.types.astype(np.int32), p.a_tokens, None) for p in passes]
    found: list[Logits] = []
    for scores in model._core.predict_passes(rows, heads).heads:
        begin = scores.token_begin
        found.append(scores.logits if begin is None else np.split(scores.logits, begin[1:-1]))
    return found


def figures(
    model: affectrt.Model,
    checkpoint: Path,
    data: Path,
    *,
    limit: int | None = None,
    only: Sequence[str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """By head, a list of ``{"data", "split", "rows", <figures>}``, as in the recipe's report.

    Args:
        limit: tokens of each test split, about; None: all.
        only: names of sources; all that the model's heads know if not given.
    """
    loaded = load_checkpoint(checkpoint)
    tokens = Tokens(loaded.tokenizer_json)
    specs = {head.name: head for head in loaded.heads}
    names = MODELS["text" if "cause" in specs else "text-permissive"]
    sources: list[Source] = [SOURCES[n](data) for n in names if not only or n in only]
    if "stage" in specs and not only:
        sources.append(long_stages(data, specs["stage"]))
    result: dict[str, list[dict[str, Any]]] = {name: [] for name in specs}
    for source in sources:
        heads = [h.name for h in source.heads if h.name in specs]
        if not heads:
            continue
        cut = limit or (120_000 if source.name == "longemotion" else None)
        examples = sampled(source, "test", tokens, cut)
        passes = [tokens.make_pass(e.text, e.context) for e in examples]
        logits = logits_of(model, passes, [model.heads.index(name) for name in heads])
        for name, values in zip(heads, logits, strict=True):
            spec = specs[name]
            part = labelled(spec, examples, values)
            found = measure(spec, *part, tokens)
            result[name].append(
                {
                    "data": source.name,
                    "split": source.official.get("test", "test"),
                    "rows": len(part[0]),
                    **{k: round(float(v), 4) for k, v in found.items()},
                }
            )
            print(name, json.dumps(result[name][-1]), file=sys.stderr, flush=True)
    return result


def table(
    specs: Sequence[HeadSpec],
    source: dict[str, list[dict[str, Any]]],
    product: dict[str, list[dict[str, Any]]],
) -> str:
    """Both reports as Markdown: a line for each head and data set, by its main figure.
    The checkpoint's stands where it was measured on as many rows."""
    lines = [
        "| head | task | data, split, rows | metric | published | fp32 checkpoint | this file |",
        "|---|---|---|---|---|---|---|",
    ]
    for spec in specs:
        for entry in product[spec.name]:
            key = (spec.name, entry["data"])
            metric, figure, who = PUBLISHED.get(key, (list(entry)[3], "-", ""))
            same = (
                e
                for e in source.get(spec.name, [])
                if (e["data"], e["rows"]) == (entry["data"], entry["rows"])
            )
            before = next(same, {}).get(metric)
            said = f"{figure} ({who})" if who else figure
            shown = "-" if before is None else f"{before:.4g}"
            lines.append(
                f"| {spec.name} | {spec.task} | {entry['data']} {entry['split']}, "
                f"{entry['rows']} | {metric} | {said} | {shown} | {entry[metric]:.4g} |"
            )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write ``OUT.json`` and ``OUT.md``; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.multitask.product",
        description="Figures of a model file on the packs, beside its checkpoint's",
    )
    parser.add_argument("model", help="name or path of the model file")
    parser.add_argument("--checkpoint", type=Path, required=True, help="what it was exported from")
    parser.add_argument("--data", type=Path, required=True, help="folder of the text packs")
    parser.add_argument("--out", type=Path, help="where OUT.json and OUT.md go")
    parser.add_argument("--only", nargs="+", choices=tuple(SOURCES), help="these packs alone")
    parser.add_argument("--tokens", type=int, help="of each test, about; all if not given")
    parser.add_argument("--num-threads", type=int)
    args = parser.parse_args(argv)
    model = affectrt.load(args.model, num_threads=args.num_threads)
    found = figures(model, args.checkpoint, args.data, limit=args.tokens, only=args.only)
    loaded = load_checkpoint(args.checkpoint)
    text = table(loaded.heads, loaded.card.get("metrics", {}), found)
    print(text, end="")
    if args.out:
        args.out.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        args.out.with_suffix(".md").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

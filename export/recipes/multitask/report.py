"""From trained weights to a checkpoint: decisions fitted on dev, figures on test, the card."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from affectrt.export.checkpoint import HeadSpec, PooledEncoder, save_pooled_checkpoint
from affectrt.export.recipes.running import fold

from .evaluate import Labelled, decide, labelled, measure, run_heads, some
from .inputs import Tokens
from .losses import HeadLoss
from .packs import SPLITS, Example, Source, longemotion_stages

PROBE_ROWS = 200  # of which the mean length of a split is taken

# pack -> licence as stated, and whom to cite (the packs' own README says more)
TERMS = {
    "goemotions": ("Apache-2.0 / CC BY 4.0", "Demszky et al. 2020"),
    "brighter/eng": ("CC BY 4.0", "Muhammad et al. 2025"),
    "dailydialog": ("CC BY-NC-SA 4.0", "Li et al. 2017"),
    "meld": ("GPL-3.0 (annotation); television script", "Poria et al. 2019"),
    "emocontext": ("research use", "Chatterjee et al. 2019"),
    "isear": ("research use", "Scherer & Wallbott 1994"),
    "empatheticdialogues": ("CC BY-NC 4.0", "Rashkin et al. 2019"),
    "emobank": ("CC BY-SA 4.0", "Buechel & Hahn 2017"),
    "reccon": ("CC BY-NC-SA 4.0 (dialogues)", "Poria et al. 2021"),
    "epitome": ("academic, non-commercial", "Sharma et al. 2020"),
    "wassa24_turns": ("nothing stated; shared task", "Giorgi et al. 2024"),
    "wassa22_essays": ("CC BY 4.0 (train)", "Buechel et al. 2018; Barriere et al. 2022"),
    "swda": ("CC BY-NC-SA 3.0", "Jurafsky et al. 1997; Stolcke et al. 2000"),
    "esconv": ("CC BY-NC 4.0", "Liu et al. 2021"),
    "banking77": ("CC BY 4.0", "Casanueva et al. 2020"),
    "clinc150": ("CC BY 3.0", "Larson et al. 2019"),
    "nlupp": ("CC BY 4.0", "Casanueva et al. 2022"),
    "peld": ("nothing stated; television script", "Wen et al. 2021"),
}
LICENCES: dict[str, dict[str, Any]] = {
    "text": {
        "weights": "research and other non-commercial use",
        "non_commercial": True,
        "notice": "all-MiniLM-L6-v2 (Apache-2.0), fine-tuned on packs some of which allow "
        "non-commercial use only (CC BY-NC-SA 4.0 among them)",
    },
    # EmoBank is share-alike. That binds copies and adaptations of its texts and scores, of which
    # the weights hold none; whoever reads it more strictly trains with --only without emobank.
    "text-permissive": {
        "weights": "Apache-2.0",
        "non_commercial": False,
        "notice": "all-MiniLM-L6-v2 (Apache-2.0), fine-tuned on GoEmotions (Apache-2.0 / CC BY "
        "4.0), BRIGHTER, Empathic Reactions, NLU++ and Banking77 (CC BY 4.0), CLINC150 (CC BY "
        "3.0) and EmoBank (CC BY-SA 4.0)",
    },
}


def finish(
    model: PooledEncoder,
    losses: dict[str, HeadLoss],
    sources: Sequence[Source],
    tokens: Tokens,
    data: Path,
    tokenizer_json: Path,
    out: Path,
    *,
    name: str,
    command: str,
    report_tokens: int | None = None,
    leave_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Write ``out/checkpoint`` and ``out/report.json`` of trained, unfolded weights.

    Args:
        name: the model: a key of `LICENCES`.
        command: what makes this checkpoint again.
        report_tokens: fit and measure on so many tokens, about, of each dev and test; None: all.
        leave_out: heads that helped to train the trunk and are not worth to ship.

    Returns:
        The report: by head, a list of ``{"data", "split", "rows", <figures>}``.
    """
    fold(model, losses)
    for head in leave_out:
        del model.heads[head]
    model.specs = tuple(spec for spec in model.specs if spec.name not in leave_out)
    dev = _labelled(model, sources, "dev", tokens, report_tokens)
    specs = []
    for spec in model.specs:
        decided, offset = decide(spec, list(dev[spec.name].values()), tokens)
        if offset is not None:
            with torch.no_grad():
                bias = model.get_parameter(f"heads.{spec.name}.bias")
                bias.add_(torch.from_numpy(offset).to(bias.device))
        specs.append(decided)
    model.specs = tuple(specs)
    by_name = {s.name: s for s in specs}
    test = _labelled(model, sources, "test", tokens, report_tokens)
    if "stage" in by_name:
        elsewhere = long_stages(data, by_name["stage"])
        found = _labelled(model, [elsewhere], "test", tokens, report_tokens or 120_000)
        test["stage"].update(found["stage"])
    official = {s.name: s.official.get("test", "test") for s in sources}
    metrics: dict[str, list[dict[str, Any]]] = {}
    for spec in specs:
        metrics[spec.name] = []
        for source, (examples, logits, truth) in test[spec.name].items():
            figures = measure(spec, examples, logits, truth, tokens)
            entry: dict[str, Any] = {
                "data": source,
                "split": official.get(source, "test"),
                "rows": len(examples),
                **{k: round(float(v), 4) for k, v in figures.items()},
            }
            metrics[spec.name].append(entry)
            print(f"{spec.name}: {json.dumps(entry)}", file=sys.stderr, flush=True)
    card = {
        "description": f"{len(specs)} affect heads on one trunk, English",
        "version": "1.0.0",
        "licence": LICENCES[name],
        "metrics": metrics,
        "head_data": {
            spec.name: sorted({s.pack for s in sources for h in s.heads if h.name == spec.name})
            for spec in specs
        },
        "data": [entry for pack in {s.pack: None for s in sources} for entry in _data(data, pack)],
        "recipe": command,
    }
    save_pooled_checkpoint(model.cpu(), out / "checkpoint", tokenizer_json, card)
    (out / "report.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def long_stages(data: Path, stage: HeadSpec) -> Source:
    """The counselling dialogues of LongEmotion, on which nothing was trained."""
    source = Source("longemotion", "longemotion_conversations", (stage,), {})
    source.examples["test"] = longemotion_stages(data)
    return source


def sampled(source: Source, split: str, tokens: Tokens, limit: int | None) -> list[Example]:
    """Examples of a split with about `limit` tokens, always the same; None: all."""
    examples = some(source, split, None if limit is None else PROBE_ROWS)
    if limit is None or not examples:
        return examples
    lengths = [len(tokens.make_pass(e.text, e.context)) for e in examples]
    return some(source, split, round(limit / float(np.mean(lengths))))


def _labelled(
    model: PooledEncoder,
    sources: Sequence[Source],
    split: str,
    tokens: Tokens,
    limit: int | None,
) -> dict[str, dict[str, Labelled]]:
    """By head and source: the examples of a split that have its target, and their logits; of
    about `limit` tokens."""
    specs = {s.name: s for s in model.specs}
    found: dict[str, dict[str, Labelled]] = {s.name: {} for s in model.specs}
    for source in sources:
        examples = sampled(source, split, tokens, limit)
        names = [s.name for s in source.heads if s.name in specs]
        if not names:
            continue
        logits = run_heads(model, examples, tokens, names)
        for name in names:
            part = labelled(specs[name], examples, logits[name])
            if part[0]:
                found[name][source.name] = part
    return found


def _data(data: Path, pack: str) -> list[dict[str, Any]]:
    licence, cite = TERMS[pack]
    files = [(split, data / pack / f"{split}.jsonl.gz") for split in SPLITS]
    return [
        {
            "name": pack,
            "split": split,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "licence": licence,
            "cite": cite,
        }
        for split, file in files
        if file.is_file()
    ]


__all__ = ["LICENCES", "TERMS", "finish", "long_stages", "sampled"]

"""The training loop: one trunk, all heads, one schedule that a killed run takes up again."""

from __future__ import annotations

import copy
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel

from affectrt.errors import ExportError
from affectrt.export.checkpoint import HeadSpec, PooledEncoder, load_checkpoint
from affectrt.export.recipes.running import Run, fold, say, unfold

from .evaluate import quick_measure
from .inputs import Tokens, pad
from .losses import HeadLoss
from .mixture import Batch, Mixture
from .packs import Source, heads_of, shared_heads
from .teacher import Teacher

POOLING = "mean_first"


@dataclass(frozen=True)
class Settings:
    """What a run is a function of, beside its data and base."""

    steps: int = 6000
    tokens_per_batch: int = 1536
    lr: float = 1e-4
    head_lr: float = 1e-3
    dropout: float = 0.1
    seed: int = 0
    teacher_weight: float = 0.5
    save_every: int = 200
    eval_every: int = 1000
    eval_rows: int = 200
    bf16: int = 0
    imitation: float = 0.2


def new_model(base: Path, heads: Sequence[HeadSpec]) -> PooledEncoder:
    """An encoder with untrained heads."""
    # Attention as products: on short rows the backward pass of torch's fused one takes four times
    # as long on a CPU.
    encoder = AutoModel.from_pretrained(
        base,
        dtype=torch.float32,
        attn_implementation="eager",
        add_pooling_layer=False,
        attention_probs_dropout_prob=0.0,
    )
    return PooledEncoder(encoder, heads, POOLING)


def start_from(model: PooledEncoder, checkpoint: Path, losses: dict[str, HeadLoss]) -> list[str]:
    """Take over the trunk of a pooled checkpoint, and its heads that have the same labels.

    Returns the names of those heads.

    Raises:
        ExportError: its trunk has another shape.
    """
    source = load_checkpoint(checkpoint)
    try:
        model.encoder.load_state_dict(source.model.get_submodule("encoder").state_dict())
    except RuntimeError as error:
        raise ExportError(f"{checkpoint}: not a trunk of the base's shape: {error}") from None
    shared = shared_heads(model.specs, source.heads)
    taken = [spec.name for spec in model.specs if spec.name in shared]
    for name in taken:
        head = source.model.get_submodule(f"heads.{name}")
        model.heads[name].load_state_dict(head.state_dict())
    unfold(model, {name: losses[name] for name in taken})
    return taken


def loss_of(
    model: PooledEncoder,
    losses: dict[str, HeadLoss],
    batch: Batch,
    tokens: Tokens,
    settings: Settings,
    teacher: Teacher | None = None,
) -> dict[str, tuple[Tensor, int]]:
    """By head: the sum of its loss over the batch, and the rows that it was summed over."""
    device, bf16 = next(model.parameters()).device, bool(settings.bf16)
    taught = teacher.logits(batch, tokens, bf16) if teacher else {}
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = model(*pad([row for _, row in batch], device))
    rows: dict[str, list[int]] = defaultdict(list)
    for i, (example, _) in enumerate(batch):
        for name in example.targets:
            rows[name].append(i)
    found = {}
    for name, which in rows.items():
        weight = settings.teacher_weight
        value = losses[name](logits[name], batch, which, tokens, taught.get(name), weight)
        found[name] = (value, len(which))
    if teacher and settings.imitation:
        for name, which in teacher.unlabelled(batch).items():
            value = settings.imitation * losses[name].imitate(logits[name], taught[name], which)
            found[f"{name} as taught"] = (value, len(which))
    return found


def train(
    model: PooledEncoder,
    sources: Sequence[Source],
    tokens: Tokens,
    settings: Settings,
    out: Path,
    *,
    start: Path | None = None,
    teacher: Path | None = None,
    stop_step: int | None = None,
    resume: bool = True,
) -> dict[str, HeadLoss]:
    """Fit `model` in place; it ends with the moving average of its weights, its heads unfolded.

    State goes to ``out/state.pt`` every `save_every` steps and at the end; with `resume` a run of
    the same settings goes on from it. ``out/curves.json`` has losses and dev metrics.

    Raises:
        ExportError: the state in `out` is of other tasks, or `start` or `teacher` does not fit.
    """
    device = next(model.parameters()).device
    losses = {
        spec.name: HeadLoss(spec, [s for s in sources if spec in s.heads]).to(device)
        for spec in heads_of(sources)
    }
    torch.manual_seed(settings.seed)
    with torch.no_grad():
        for name, loss in losses.items():
            model.get_parameter(f"heads.{name}.bias").copy_(loss.bias)
    if start:
        taken = start_from(model, start, losses)
        say(f"trunk of {start}, heads {', '.join(taken) or 'none'}")
    guide = Teacher(teacher, sources, tokens, device) if teacher else None
    model.dropout.p = settings.dropout
    optimizer = torch.optim.AdamW(
        [
            {"params": model.encoder.parameters(), "lr": settings.lr},
            {"params": model.heads.parameters(), "lr": settings.head_lr},
        ],
        weight_decay=0.01,
        fused=True,
    )
    if device.type != "cpu":
        examples = [e for s in sources for e in s.examples["train"]]
        tokens.learn(text for e in examples for text in (e.text, *(t.text for t in e.context)))
    mixture = Mixture(sources, tokens, settings.tokens_per_batch, settings.seed)
    identity = {
        "heads": [s.name for s in model.specs],
        "sources": [s.name for s in sources],
        "seed": settings.seed,
        "tokens_per_batch": settings.tokens_per_batch,
    }
    run = Run(model, optimizer, settings.steps, identity, out)
    if resume:
        run.resume()
    probe = copy.deepcopy(model)
    last = min(settings.steps, stop_step or settings.steps)
    running: dict[str, list[Any]] = defaultdict(lambda: [0.0, 0])
    seen, since = 0, time.monotonic()
    for step, batch in enumerate(mixture.at(run.done), start=run.done + 1):
        if step > last:
            break
        model.train()
        parts = loss_of(model, losses, batch, tokens, settings, guide)
        # Over the usual number of rows, not this batch's: every example weighs the same, in
        # batches of long rows and of short ones.
        total = torch.stack([value for value, _ in parts.values()]).sum() / mixture.mean_rows
        run.descend(total)
        for name, (value, rows) in parts.items():
            running[name][0] += value.detach()
            running[name][1] += rows
        seen += sum(len(row) for _, row in batch)
        if step % 50 == 0 or step == last:
            speed = seen / (time.monotonic() - since)
            means = {k: round(float(v) / max(n, 1), 4) for k, (v, n) in running.items()}
            left = (settings.steps - step) * settings.tokens_per_batch * 0.95 / speed / 60
            say(f"step {step}/{settings.steps} {speed:.0f} tokens/s, {left:.0f} min left {means}")
            run.log.append({"step": step, "loss": means})
            running.clear()
            seen, since = 0, time.monotonic()
        if step % settings.eval_every == 0 or step == last:
            probe.load_state_dict(run.average)
            fold(probe, losses)
            metrics = {
                source.name: quick_measure(probe, source, tokens, settings.eval_rows)
                for source in sources
            }
            run.log.append({"step": step, "dev": metrics})
            say(f"step {step} dev {json.dumps(metrics)}")
        if step % settings.save_every == 0 or step == last:
            run.save()
        if step % settings.eval_every == 0:
            seen, since = 0, time.monotonic()
    model.load_state_dict(run.average)
    return losses


__all__ = ["Settings", "new_model", "train"]

"""The training loop: one trunk, all heads, one schedule that a killed run takes up again."""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from affectrt.errors import ExportError
from affectrt.export.checkpoint import HeadSpec, PooledEncoder, load_checkpoint

from .evaluate import quick_measure
from .inputs import Tokens, pad
from .losses import HeadLoss, fold
from .mixture import Batch, Mixture
from .packs import Source, heads_of

EMA_DECAY = 0.999
# Batches of short rows have many rows and gradients in proportion. A tighter bound would make all
# batches alike, and a short row count for a fifth of a long one.
MAX_GRADIENT_NORM = 10.0
POOLING = "mean_first"
WARM_UP = 0.03  # of the steps
COOL_DOWN = 0.25  # of the steps, at the end; until it begins, `steps` may be raised and resumed


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
    theirs = {h.name: h for h in source.heads}
    taken = []
    with torch.no_grad():
        for spec in model.specs:
            other = theirs.get(spec.name)
            if other and (other.task, other.labels) == (spec.task, spec.labels):
                head = source.model.get_submodule(f"heads.{spec.name}")
                model.heads[spec.name].load_state_dict(head.state_dict())
                model.get_parameter(f"heads.{spec.name}.bias").add_(losses[spec.name].shift)
                taken.append(spec.name)
    return taken


class Teacher:
    """Soft targets of a pooled checkpoint for the heads that it shares."""

    def __init__(self, checkpoint: Path, heads: Sequence[HeadSpec]) -> None:
        loaded = load_checkpoint(checkpoint)
        self.model = loaded.model.eval()
        ours = {h.name: h for h in heads}
        self.heads = {
            h.name: h
            for h in loaded.heads
            if h.task == "multi_label" and h.name in ours and ours[h.name].labels == h.labels
        }
        if not self.heads:
            raise ExportError(f"{checkpoint}: has no multi-label head that this recipe trains")

    def soften(self, batch: Batch, tokens: Tokens, weight: float) -> Batch:
        """The batch with ``(1 - weight) * target + weight * probability``."""
        rows = [i for i, (e, _) in enumerate(batch) if self.heads.keys() & e.targets.keys()]
        if not rows:
            return batch
        # The teacher sees the text alone, whatever noise stands beside it.
        passes = [tokens.make_pass(batch[i][0].text) for i in rows]
        with torch.no_grad():
            logits = self.model(*pad(passes))
        result = list(batch)
        for name, head in self.heads.items():
            scores = torch.sigmoid(logits[head.output] / head.temperature).numpy()
            for score, i in zip(scores, rows, strict=True):
                example, row = batch[i]
                target = (1 - weight) * example.targets[name] + weight * score
                result[i] = (replace(example, targets={**example.targets, name: target}), row)
        return result


def loss_of(
    model: PooledEncoder,
    losses: dict[str, HeadLoss],
    batch: Batch,
    tokens: Tokens,
    bf16: bool = False,
) -> dict[str, tuple[Tensor, int]]:
    """By head: the sum of its loss over the batch, and the rows that it was summed over."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(*pad([row for _, row in batch]))
    rows: dict[str, list[int]] = defaultdict(list)
    for i, (example, _) in enumerate(batch):
        for name in example.targets:
            rows[name].append(i)
    return {
        name: (losses[name](logits[name], batch, which, tokens), len(which))
        for name, which in rows.items()
    }


def factor(step: int, steps: int) -> float:
    """The learning rate's: warm-up, constant, linear to 0."""
    warm, cool = max(1, int(WARM_UP * steps)), max(1, int(COOL_DOWN * steps))
    return min(1.0, (step + 1) / warm, max(0.0, (steps - step) / cool))


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
    losses = {
        spec.name: HeadLoss(spec, [s for s in sources if spec in s.heads])
        for spec in heads_of(sources)
    }
    torch.manual_seed(settings.seed)
    with torch.no_grad():
        for name, loss in losses.items():
            model.get_parameter(f"heads.{name}.bias").copy_(loss.bias)
    if start:
        taken = start_from(model, start, losses)
        _say(f"trunk of {start}, heads {', '.join(taken) or 'none'}")
    guide = Teacher(teacher, model.specs) if teacher else None
    model.dropout.p = settings.dropout
    optimizer = torch.optim.AdamW(
        [
            {"params": model.encoder.parameters(), "lr": settings.lr},
            {"params": model.heads.parameters(), "lr": settings.head_lr},
        ],
        weight_decay=0.01,
        fused=True,
    )
    rates = [settings.lr, settings.head_lr]
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    mixture = Mixture(sources, tokens, settings.tokens_per_batch, settings.seed)
    identity = {
        "heads": [s.name for s in model.specs],
        "sources": [s.name for s in sources],
        "seed": settings.seed,
        "tokens_per_batch": settings.tokens_per_batch,
    }
    log: list[dict[str, Any]] = []
    done = 0
    state_file = out / "state.pt"
    if resume and state_file.is_file():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        if state["identity"] != identity:
            raise ExportError(f"{state_file} is of another run: {state['identity']}")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, log, done = state["average"], state["log"], state["step"]
        torch.set_rng_state(state["rng"])
        _say(f"resumed at step {done} of {settings.steps}")

    probe = copy.deepcopy(model)
    last = min(settings.steps, stop_step or settings.steps)
    running: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    seen, since = 0, time.monotonic()

    def save(step: int) -> None:
        state = {
            "identity": identity,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "log": log,
            "step": step,
            "rng": torch.get_rng_state(),
        }
        partial = state_file.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, state_file)
        (out / "curves.json").write_text(json.dumps(log))

    for step, raw in enumerate(mixture.at(done), start=done + 1):
        if step > last:
            break
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor(step - 1, settings.steps)
        batch = guide.soften(raw, tokens, settings.teacher_weight) if guide else raw
        model.train()
        parts = loss_of(model, losses, batch, tokens, bool(settings.bf16))
        # Over the usual number of rows, not this batch's: every example weighs the same, in
        # batches of long rows and of short ones.
        total = torch.stack([value for value, _ in parts.values()]).sum() / mixture.mean_rows
        torch.autograd.backward(total)
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(_floats(average), _floats(model.state_dict()), 1 - decay)
        for name, (value, rows) in parts.items():
            running[name][0] += value.item()
            running[name][1] += rows
        seen += sum(len(row) for _, row in batch)
        if step % 50 == 0 or step == last:
            speed = seen / (time.monotonic() - since)
            means = {k: round(v / max(n, 1), 4) for k, (v, n) in running.items()}
            left = (settings.steps - step) * settings.tokens_per_batch * 0.95 / speed / 60
            _say(f"step {step}/{settings.steps} {speed:.0f} tokens/s, {left:.0f} min left {means}")
            log.append({"step": step, "loss": means})
            running.clear()
            seen, since = 0, time.monotonic()
        if step % settings.eval_every == 0 or step == last:
            probe.load_state_dict(average)
            fold(probe, losses)
            metrics = {
                source.name: quick_measure(probe, source, tokens, settings.eval_rows)
                for source in sources
            }
            log.append({"step": step, "dev": metrics})
            _say(f"step {step} dev {json.dumps(metrics)}")
        if step % settings.save_every == 0 or step == last:
            save(step)
        if step % settings.eval_every == 0:
            seen, since = 0, time.monotonic()
    model.load_state_dict(average)
    return losses


def _floats(state: dict[str, Tensor]) -> list[Tensor]:
    return [v for v in state.values() if v.is_floating_point()]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def plot_curves(out: Path) -> None:
    """``out/curves.png``: the loss of each head, and the dev metric of each source, over steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    log = json.loads((out / "curves.json").read_text())
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6))
    losses: dict[str, list[tuple[int, float]]] = defaultdict(list)
    metrics: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for entry in log:
        for name, value in entry.get("loss", {}).items():
            losses[name].append((entry["step"], value))
        for source, heads in entry.get("dev", {}).items():
            for head, value in heads.items():
                metrics[f"{source}: {head}"].append((entry["step"], value))
    for axes, series, title in (
        (left, losses, "training loss per example"),
        (right, metrics, "dev metric of the moving average, on a subset"),
    ):
        for name, points in series.items():
            axes.plot(*zip(*points, strict=True), linewidth=0.9, label=name)
        axes.set_xlabel("step")
        axes.set_title(title)
        axes.legend(fontsize=6, ncols=2)
    left.set_yscale("log")
    figure.tight_layout()
    figure.savefig(out / "curves.png", dpi=120)
    plt.close(figure)


__all__ = ["Settings", "fold", "new_model", "plot_curves", "train"]

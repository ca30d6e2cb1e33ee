"""The training loop: Whisper's encoder with its heads, one schedule that a killed run takes up."""

from __future__ import annotations

import copy
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from affectrt.errors import ExportError
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.recipes.running import Run, fold, say
from affectrt.export.speech_checkpoint import (
    FRAMES_PER_SECOND,
    SpeechEncoder,
    base_encoder,
    load_speech_checkpoint,
)

from .augment import MAX_SECONDS, Chances
from .evaluate import quick_measure, run_pool, some
from .hearing import Batch, Mixture
from .losses import HeadLoss
from .packs import Pack

EMA_DECAY = 0.995  # over about 200 steps: less than three epochs


@dataclass(frozen=True)
class Settings:
    """What a run is a function of, beside its data and base."""

    steps: int = 1600
    tokens_per_batch: int = 3072
    lr: float = 4e-5
    layer_decay: float = 0.9
    layers: int = 2
    freeze: int = 0
    head_lr: float = 1e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    layer_dropout: float = 0.0
    mixup: float = 0.2
    augment: float = 0.7
    pooling_heads: int = 4
    statistics: int = 0
    neurons: int = 0
    hearings: int = 0
    seed: int = 0
    save_every: int = 100
    eval_every: int = 200
    eval_rows: int = 150
    bf16: int = 0
    teacher_weight: float = 0.6


def new_model(base: Path, heads: Sequence[HeadSpec], settings: Settings) -> SpeechEncoder:
    """The base's encoder, cut to `MAX_SECONDS` and its lowest layers, with untrained heads."""
    positions = int(MAX_SECONDS * FRAMES_PER_SECOND) // 2
    encoder = base_encoder(base, positions, settings.layer_dropout, settings.layers)
    model = SpeechEncoder(
        encoder,
        heads,
        settings.pooling_heads,
        statistics=bool(settings.statistics),
        compact=bool(settings.neurons),
    )
    model.dropout.p = settings.dropout
    return model


def narrow(model: SpeechEncoder, packs: Sequence[Pack], neurons: int, clips: int = 40) -> None:
    """Keep so many inner neurons of each layer's feed-forward: those that move the states most,
    by the deviation of a neuron over tokens of train clips times the length of its column. Of the
    others the mean stays, as part of the bias.
    """
    encoder = model.encoder
    if not 0 < neurons <= encoder.config.encoder_ffn_dim:
        raise ExportError(
            f"neurons is {neurons}; the base has 1 to {encoder.config.encoder_ffn_dim} a layer"
        )
    sums = {layer: torch.zeros(3, layer.fc1.out_features).double() for layer in encoder.layers}

    def watch(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        rows = inputs[0].flatten(0, -2).double()
        count = torch.full_like(rows[0], len(rows))
        sums[layer] += torch.stack([count, rows.sum(0), rows.square().sum(0)])

    hooks = [
        layer.fc2.register_forward_pre_hook(lambda _, inputs, layer=layer: watch(layer, inputs))
        for layer in encoder.layers
    ]
    for pack in packs:
        run_pool(model, some(pack.clips["train"], clips))
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for layer, (count, total, squares) in sums.items():
            mean = total / count
            moved = (squares / count - mean.square()).clamp_min(0).sqrt()
            moved = moved * layer.fc2.weight.norm(dim=0)
            kept = moved.argsort(descending=True)[:neurons].sort().values
            mean[kept] = 0
            layer.fc2.bias.add_(layer.fc2.weight @ mean.float())
            layer.fc1, layer.fc2 = _part(layer.fc1, kept, 0), _part(layer.fc2, kept, 1)
    encoder.config.encoder_ffn_dim = neurons


def _part(linear: nn.Linear, kept: Tensor, side: int) -> nn.Linear:
    """Some of its outputs (side 0) or inputs (side 1)."""
    weight = linear.weight.index_select(side, kept)
    result = nn.Linear(weight.shape[1], weight.shape[0])
    result.weight.copy_(weight)
    result.bias.copy_(linear.bias if side else linear.bias[kept])
    return result


def standardise(model: SpeechEncoder, packs: Sequence[Pack], clips: int = 200) -> None:
    """Set the encoder's last scale and shift so that each column of the pooled means has mean 0
    and deviation 1 over train clips, at most `clips` of each pack; what follows them, deviations
    over time, is given to the heads in that way.

    Voices differ by a fraction of what all clips have in common: heads on vectors as the base has
    them learn next to nothing of it in the first thousand steps.
    """
    batches = [some(p.clips["train"], clips) for p in packs]
    pooled = torch.cat([run_pool(model, part) for part in batches])
    spread, mean = torch.std_mean(pooled, 0)
    spread = spread.clamp_min(1e-3)
    norm = model.encoder.layer_norm
    width = len(norm.weight)
    with torch.no_grad():
        norm.weight.div_(spread[:width])
        norm.bias.sub_(mean[:width]).div_(spread[:width])
    centre, unit = torch.zeros_like(mean), torch.ones_like(spread)
    if model.pooling.statistics:
        centre[width:] = mean[width:] / spread[:width]
        unit[width:] = spread[width:] / spread[:width]
    model.standardise(centre, unit)


def parameter_groups(model: SpeechEncoder, settings: Settings) -> list[dict[str, Any]]:
    """Parameters and their rates: the lower a layer, the more of what speech is in general it has,
    and the slower it moves. The lowest `freeze` do not move at all: convolutions, then layers.

    Raises:
        ExportError: there are not so many to freeze.
    """
    encoder = model.encoder
    encoder.embed_positions.requires_grad_(False)
    blocks = [[encoder.conv1, encoder.conv2], *([layer] for layer in encoder.layers)]
    if not 0 <= settings.freeze <= len(blocks):
        raise ExportError(f"freeze is {settings.freeze}; 0 to {len(blocks)} are possible")
    top = [{"params": list(encoder.layer_norm.parameters()), "lr": settings.lr}]
    groups: list[dict[str, Any]] = []
    for i, modules in enumerate(blocks):
        parameters = [p for m in modules for p in m.parameters()]
        if i < settings.freeze:
            for parameter in parameters:
                parameter.requires_grad_(False)
        else:
            rate = settings.lr * settings.layer_decay ** (len(blocks) - 1 - i)
            groups.append({"params": parameters, "lr": rate})
    own = [*model.pooling.parameters(), *model.heads.parameters()]
    return [*groups, *top, {"params": own, "lr": settings.head_lr}]


class Teacher:
    """A trained checkpoint that hears what its pupil hears, and answers for every clip.

    Raises:
        NotFoundError, ExportError: as `load_speech_checkpoint`, or the heads are not the pupil's.
    """

    def __init__(self, checkpoint: Path, specs: Sequence[HeadSpec], device: str = "cpu") -> None:
        loaded = load_speech_checkpoint(checkpoint)
        self.model, self.num_mels = loaded.model.to(device), loaded.num_mels
        known = {s.name: s.labels for s in self.model.specs}
        for spec in specs:
            if known.get(spec.name) != spec.labels:
                raise ExportError(
                    f"{checkpoint}: its head {spec.name!r} has the labels {known.get(spec.name)}; "
                    f"the pupil's are {spec.labels}"
                )

    def __call__(self, features: Tensor, frames: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            logits = self.model(features, frames)
        return {name: values.float().clone() for name, values in logits.items()}


def mixture_of(model: SpeechEncoder, packs: Sequence[Pack], settings: Settings) -> Mixture:
    """The batches of a run."""
    return Mixture(
        packs,
        int(model.encoder.config.num_mel_bins),
        settings.tokens_per_batch,
        settings.seed,
        Chances(any=settings.augment),
    )


def loss_of(
    model: SpeechEncoder,
    losses: dict[str, HeadLoss],
    batch: Batch,
    settings: Settings,
    rng: np.random.Generator,
    teacher: Teacher | None = None,
) -> dict[str, tuple[Tensor, float]]:
    """By head: the sum of its loss over the batch, and the clips that it was summed over.

    Mixup (Zhang et al. 2018) is of the pooled vectors, where clips of all lengths are alike: a mix
    answers to the targets of both, each in the proportion that it has. So heads whose targets one
    of the two lacks need no special case.
    """
    device = str(next(model.parameters()).device)
    bf16 = bool(settings.bf16)
    with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
        heard = batch.features.to(device), batch.frames.to(device)
        soft = teacher(*heard) if teacher else {}
        pooled = model.pool(*heard)
        share, partners = 1.0, torch.arange(len(batch.clips))
        if settings.mixup > 0 and len(batch.clips) > 1:
            share = float(rng.beta(settings.mixup, settings.mixup))
            partners = torch.from_numpy(rng.permutation(len(batch.clips)))
            pooled = share * pooled + (1 - share) * pooled[partners.to(device)]
        logits = model.answer(pooled)
    result = {}
    for name, loss in losses.items():
        targets = loss.targets(batch)
        mixed = [(share, targets)]
        if share < 1.0:
            mixed.append((1 - share, targets.taken(partners)))
        value = torch.stack([s * loss(logits[name], t.to(device)).sum() for s, t in mixed]).sum()
        if teacher:
            mixes = [(share, soft[name])]
            if share < 1.0:
                mixes.append((1 - share, soft[name][partners.to(device)]))
            told = torch.stack([s * loss.like(logits[name], t).sum() for s, t in mixes]).sum()
            value = (1 - settings.teacher_weight) * value + settings.teacher_weight * told
        result[name] = (value, float((targets.weights > 0).sum()))
    return result


def train(
    model: SpeechEncoder,
    packs: Sequence[Pack],
    settings: Settings,
    out: Path,
    *,
    stop_step: int | None = None,
    resume: bool = True,
    teacher: Teacher | None = None,
) -> dict[str, HeadLoss]:
    """Fit `model` in place; it ends with the moving average of its weights, its heads unfolded.

    State goes to ``out/state.pt`` every `save_every` steps and at the end; with `resume` a run of
    the same settings goes on from it. ``out/curves.json`` has losses and dev metrics.

    Args:
        teacher: whose answers to the same sounds are targets beside the labels.

    Raises:
        ExportError: the state in `out` is of another run, or the teacher reads other features.
    """
    losses = {spec.name: HeadLoss(spec, packs) for spec in model.specs}
    optimizer = torch.optim.AdamW(
        parameter_groups(model, settings), weight_decay=settings.weight_decay, fused=True
    )
    num_mels = int(model.encoder.config.num_mel_bins)
    if teacher and teacher.num_mels != num_mels:
        raise ExportError(f"the teacher reads {teacher.num_mels} mel bands, its pupil {num_mels}")
    mixture = mixture_of(model, packs, settings)
    fixed = ("seed", "tokens_per_batch", "freeze", "pooling_heads", "mixup", "augment")
    identity = {
        "heads": [s.name for s in model.specs],
        "packs": [p.name for p in packs],
        **{name: getattr(settings, name) for name in fixed},
    }
    run = Run(model, optimizer, settings.steps, identity, out, ema_decay=EMA_DECAY)
    if resume:
        run.resume()
    last = min(settings.steps, stop_step or settings.steps)
    probe = copy.deepcopy(model)
    running: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    since, began = time.monotonic(), run.done
    for step, batch in enumerate(_upto(mixture.at(run.done), last - run.done), start=run.done + 1):
        model.train()
        torch.manual_seed(settings.seed * 1_000_003 + step)  # dropout, the same after a kill
        rng = np.random.default_rng([settings.seed, 1 << 22, step])
        parts = loss_of(model, losses, batch, settings, rng, teacher)
        # Over the usual number of rows, not this batch's: every clip weighs the same.
        total = torch.stack([value for value, _ in parts.values()]).sum() / mixture.mean_rows
        run.descend(total)
        for name, (value, rows) in parts.items():
            running[name][0] += value.item()
            running[name][1] += rows
        if step % 25 == 0 or step == last:
            each = (time.monotonic() - since) / (step - began)
            means = {k: round(v / max(n, 1), 4) for k, (v, n) in running.items()}
            say(
                f"step {step}/{settings.steps}, epoch {step / mixture.steps_per_epoch:.1f} "
                f"({each * mixture.steps_per_epoch:.0f} s each), "
                f"{each * (settings.steps - step) / 60:.0f} min left {means}"
            )
            run.log.append({"step": step, "loss": means})
            running.clear()
            since, began = time.monotonic(), step
        if step % settings.eval_every == 0 or step == last:
            probe.load_state_dict(run.average)
            fold(probe, losses)
            metrics = {p.name: quick_measure(probe, p, settings.eval_rows) for p in packs}
            run.log.append({"step": step, "dev": metrics})
            say(f"step {step} dev {json.dumps(metrics)}")
            since, began = time.monotonic(), step
        if step % settings.save_every == 0 or step == last:
            run.save()
    model.load_state_dict(run.average)
    return losses


def _upto(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    for _ in range(count):
        yield next(batches)


__all__ = ["Settings", "Teacher", "narrow", "new_model", "standardise", "train"]

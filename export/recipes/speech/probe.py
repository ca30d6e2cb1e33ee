"""Heads fitted on what a frozen encoder hears: no gradient goes through it, so each clip is heard
once for every change that is made of it, and the rest takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from affectrt.errors import ExportError
from affectrt.export.recipes.running import say
from affectrt.export.speech_checkpoint import SpeechEncoder

from .evaluate import run_pool
from .hearing import Batch
from .losses import HeadLoss, Targets
from .packs import Pack
from .train import Settings, Teacher, mixture_of

DECAYS = (0.0003, 0.001, 0.003, 0.01, 0.03)  # of which dev chooses; on weights of unit columns
_SAVE_EVERY = 5  # batches


@dataclass
class Heard:
    """Of clips, a row each: pooled vectors, targets, and what a teacher answered."""

    pooled: list[Tensor] = field(default_factory=list)  # of each batch
    targets: dict[str, list[Targets]] = field(default_factory=dict)
    soft: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, pooled: Tensor, batch: Batch, losses: dict[str, HeadLoss]) -> None:
        """A batch without a teacher's answers."""
        self.pooled.append(pooled.float().clone())
        for name, loss in losses.items():
            self.targets.setdefault(name, []).append(loss.targets(batch))

    def cut(self, batches: int) -> None:
        """Keep the first batches."""
        parts: list[list[Any]] = [self.pooled, *self.targets.values(), *self.soft.values()]
        for part in parts:
            del part[batches:]

    def rows(self) -> Tensor:
        """All pooled vectors, ``[rows, width]``."""
        return torch.cat(self.pooled)

    def targets_of(self, head: str) -> Targets:
        """Of all rows."""
        parts = self.targets[head]
        return Targets(*(torch.cat([getattr(p, n) for p in parts]) for n in _PARTS))


_PARTS = ("values", "weights", "allowed")


def hear(
    model: SpeechEncoder,
    losses: dict[str, HeadLoss],
    packs: Sequence[Pack],
    settings: Settings,
    out: Path,
    teacher: Teacher | None = None,
) -> Heard:
    """`settings.hearings` batches of train clips, changed as for training.

    State goes to ``out/heard.pt`` now and then, from where a killed run goes on.

    Raises:
        ExportError: the state in `out` is of another run.
    """
    file, heard = out / "heard.pt", Heard()
    mixture = mixture_of(model, packs, settings)
    names = ("layers", "neurons", "statistics", "pooling_heads", "tokens_per_batch", "augment")
    fixed = {name: getattr(settings, name) for name in (*names, "seed", "bf16")}
    identity = [fixed, [p.sha256["train"] for p in packs], teacher is not None]
    if file.is_file():
        state = torch.load(file, weights_only=True)
        if state["identity"] != identity:
            raise ExportError(f"{file} is of another run: {state['identity']}")
        heard.pooled, heard.soft = state["pooled"], state["soft"]
        heard.targets = {k: [Targets(*t) for t in v] for k, v in state["targets"].items()}
        heard.cut(settings.hearings)
        say(f"resumed at batch {len(heard.pooled)} of {settings.hearings}")
    stream = mixture.at(len(heard.pooled))
    model.eval()
    while len(heard.pooled) < settings.hearings:
        batch = next(stream)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, bool(settings.bf16)):
            answers = teacher(batch.features, batch.frames) if teacher else {}
            pooled = model.pool(batch.features, batch.frames)
        heard.add(pooled, batch, losses)
        for name, values in answers.items():
            heard.soft.setdefault(name, []).append(values)
        if len(heard.pooled) % _SAVE_EVERY == 0 or len(heard.pooled) == settings.hearings:
            say(f"heard {len(heard.pooled)} of {settings.hearings} batches")
            _save(file, heard, identity)
    return heard


def _save(file: Path, heard: Heard, identity: list[Any]) -> None:
    targets = {
        name: [tuple(getattr(t, n) for n in _PARTS) for t in parts]
        for name, parts in heard.targets.items()
    }
    state = {"identity": identity, "pooled": heard.pooled, "soft": heard.soft, "targets": targets}
    partial = file.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(file)


def fit_heads(
    model: SpeechEncoder,
    losses: dict[str, HeadLoss],
    packs: Sequence[Pack],
    heard: Heard,
    settings: Settings,
) -> None:
    """Fit the heads of `model`, in place, and the standard that they read pooled vectors by; how
    much weights are held back, dev says."""
    rows = heard.rows()
    spread, centre = torch.std_mean(rows, 0)
    model.standardise(centre, spread.clamp_min(1e-3))
    dev = _dev(model, losses, packs)
    best: tuple[float, dict[str, Tensor]] | None = None
    for decay in DECAYS:
        _solve(model, losses, heard, decay, settings.teacher_weight)
        with torch.no_grad():
            value = float(_loss(model, losses, dev, 0.0))
        say(f"decay {decay}: dev loss {value:.4f}")
        if best is None or value < best[0]:
            best = value, {k: v.detach().clone() for k, v in model.heads.state_dict().items()}
    assert best is not None
    model.heads.load_state_dict(best[1])


def _dev(model: SpeechEncoder, losses: dict[str, HeadLoss], packs: Sequence[Pack]) -> Heard:
    dev = Heard()
    for pack in packs:
        clips = pack.clips["dev"]
        unknown = torch.full((len(clips),), torch.nan)  # nobody measured the noise in them
        batch = Batch(torch.empty(0), torch.empty(0), [pack] * len(clips), list(clips), unknown)
        dev.add(run_pool(model, clips), batch, losses)
    return dev


def _loss(
    model: SpeechEncoder, losses: dict[str, HeadLoss], heard: Heard, teacher_weight: float
) -> Tensor:
    """The mean over rows, all heads together."""
    rows = heard.rows()
    logits = model.answer(rows)
    parts = []
    for name, loss in losses.items():
        value = loss(logits[name], heard.targets_of(name)).sum()
        if heard.soft and teacher_weight > 0:
            told = loss.like(logits[name], torch.cat(heard.soft[name])).sum()
            value = (1 - teacher_weight) * value + teacher_weight * told
        parts.append(value)
    return torch.stack(parts).sum() / len(rows)


def _solve(
    model: SpeechEncoder,
    losses: dict[str, HeadLoss],
    heard: Heard,
    decay: float,
    teacher_weight: float,
) -> None:
    weights = [p for n, p in model.heads.named_parameters() if n.endswith("weight")]
    solver = torch.optim.LBFGS(
        model.heads.parameters(), max_iter=60, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        solver.zero_grad()
        held = torch.stack([w.square().sum() for w in weights]).sum()
        value = _loss(model, losses, heard, teacher_weight) + decay * held
        torch.autograd.backward(value)
        return value

    solver.step(closure)  # type: ignore[no-untyped-call]


__all__ = ["Heard", "fit_heads", "hear"]

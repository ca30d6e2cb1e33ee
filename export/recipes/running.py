"""What every training run does: a schedule of the learning rate, a moving average of the weights,
state that a killed run goes on from, and a picture of its curves."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from affectrt.errors import ExportError
from affectrt.export.checkpoint import HeadSpec

EMA_DECAY = 0.999
# Batches of short rows have many rows and gradients in proportion. A tighter bound would make all
# batches alike, and a short row count for a fifth of a long one.
MAX_GRADIENT_NORM = 10.0
WARM_UP = 0.03  # of the steps
COOL_DOWN = 0.25  # of the steps, at the end; until it begins, `steps` may be raised and resumed


def factor(step: int, steps: int) -> float:
    """The learning rate's: warm-up, constant, linear to 0."""
    warm, cool = max(1, int(WARM_UP * steps)), max(1, int(COOL_DOWN * steps))
    return min(1.0, (step + 1) / warm, max(0.0, (steps - step) / cool))


class Run:
    """A model in training, with all that a killed run needs to go on.

    Args:
        steps: length of the schedule.
        identity: what has to be the same in a run that goes on from the state of another.
        out: folder of ``state.pt`` and ``curves.json``.
        ema_decay: of the moving average of the weights; lower in its first steps.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        steps: int,
        identity: dict[str, Any],
        out: Path,
        ema_decay: float = EMA_DECAY,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.steps = steps
        self.identity = identity
        self.out = out
        self.ema_decay = ema_decay
        self.average = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.log: list[dict[str, Any]] = []
        self.done = 0
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def resume(self) -> None:
        """Go on from ``state.pt`` if there is one.

        Raises:
            ExportError: it is of another run.
        """
        file = self.out / "state.pt"
        if not file.is_file():
            return
        device = next(self.model.parameters()).device
        state = torch.load(file, map_location=device, weights_only=True)
        if state["identity"] != self.identity:
            raise ExportError(f"{file} is of another run: {state['identity']}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.log, self.done = state["average"], state["log"], state["step"]
        torch.set_rng_state(state["rng"].cpu())
        if device.type == "cuda" and "device_rng" in state:
            torch.cuda.set_rng_state(state["device_rng"].cpu(), device)
        say(f"resumed at step {self.done} of {self.steps}")

    def descend(self, loss: Tensor) -> None:
        """One step of the optimizer and of the moving average."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor(self.done, self.steps)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.done += 1
        decay = min(self.ema_decay, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            torch._foreach_lerp_(_floats(self.average), _floats(self.model.state_dict()), 1 - decay)

    def save(self) -> None:
        """Write ``state.pt``, whole or not at all, and ``curves.json``."""
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "log": self.log,
            "step": self.done,
            "rng": torch.get_rng_state(),
        }
        device = next(self.model.parameters()).device
        if device.type == "cuda":
            state["device_rng"] = torch.cuda.get_rng_state(device)
        partial = self.out / "state.partial"
        torch.save(state, partial)
        os.replace(partial, self.out / "state.pt")
        (self.out / "curves.json").write_text(json.dumps(self.log))


def _floats(state: dict[str, Tensor]) -> list[Tensor]:
    return [v for v in state.values() if v.is_floating_point()]


class Fitted(Protocol):
    """A head's loss, as far as `fold` reads it."""

    spec: HeadSpec
    shift: Tensor  # what class weights added to the log-odds, [labels]
    centre: Tensor  # of the values of a regression, [labels]
    scale: Tensor


def _fitted_heads(
    model: nn.Module, losses: Mapping[str, Fitted]
) -> Iterator[tuple[Fitted, nn.Parameter, nn.Parameter]]:
    """Each head's loss, weight and bias."""
    for name, loss in losses.items():
        weight = model.get_parameter(f"heads.{name}.weight")
        yield loss, weight, model.get_parameter(f"heads.{name}.bias")


@torch.no_grad()
def fold(model: nn.Module, losses: Mapping[str, Fitted]) -> None:
    """Turn the trained heads into those of a checkpoint, in place: log-odds without the weights'
    shift, regressions in their own unit."""
    for loss, weight, bias in _fitted_heads(model, losses):
        if loss.spec.task == "regression":
            scale = loss.scale.to(bias.device)
            weight.mul_(scale.unsqueeze(1))
            bias.mul_(scale).add_(loss.centre.to(bias.device))
        else:
            bias.sub_(loss.shift.to(bias.device))


@torch.no_grad()
def unfold(model: nn.Module, losses: Mapping[str, Fitted]) -> None:
    """Undo `fold`, in place: heads of a checkpoint, to be trained on."""
    for loss, weight, bias in _fitted_heads(model, losses):
        if loss.spec.task == "regression":
            scale = loss.scale.to(bias.device)
            weight.div_(scale.unsqueeze(1))
            bias.sub_(loss.centre.to(bias.device)).div_(scale)
        else:
            bias.add_(loss.shift.to(bias.device))


def say(text: str) -> None:
    """A line of progress."""
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
        axes.legend(loc="upper right", fontsize=6, ncols=2)  # "best" warns where it is slow
    left.set_yscale("log")
    figure.tight_layout()
    figure.savefig(out / "curves.png", dpi=120)
    plt.close(figure)


def add_settings(parser: argparse.ArgumentParser, defaults: Any, helps: Mapping[str, str]) -> None:
    """An option for each setting that `helps` says something of."""
    for name, text in helps.items():
        default = getattr(defaults, name)
        parser.add_argument(_flag(name), type=type(default), default=default, help=text)


def changed_settings(args: argparse.Namespace, defaults: Any, names: Iterable[str]) -> list[str]:
    """The options that make these settings again: those that are not as by default."""
    unlike = [n for n in names if getattr(args, n) != getattr(defaults, n)]
    return [f"{_flag(n)} {getattr(args, n)}" for n in unlike]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"

"""``python -m affectrt.export.recipes.vad``: trains the detector and writes its table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import scenes
from .net import (
    BANDS,
    HIDDEN,
    INNER,
    OFFSETS,
    RATE,
    Floats,
    Layer,
    bands_of,
    inputs_of,
    quantised,
    write_weights,
)

_FRAMES = int(scenes.SCENE_SECONDS * 100)


class Detector(nn.Module):
    """`net.probabilities` to be trained; logits [scenes, frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = nn.Linear(2 * BANDS, HIDDEN)
        self.context = nn.Linear(len(OFFSETS) * HIDDEN, INNER)
        self.speech = nn.Linear(INNER, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.bands(inputs))
        frames = hidden.shape[1]
        places = torch.arange(frames)[:, None] + torch.tensor(OFFSETS)
        context = hidden[:, places.clamp(0, frames - 1)].flatten(2)
        logits: torch.Tensor = self.speech(torch.relu(self.context(context)))[..., 0]
        return logits

    def layers(self) -> tuple[Layer, Layer, Layer]:
        """In 8 bits."""
        made = [
            quantised(m.weight.detach().numpy(), m.bias.detach().numpy())
            for m in (self.bands, self.context, self.speech)
        ]
        return made[0], made[1], made[2]


def examples(data: Path, packs: Sequence[str], count: int, seed: int) -> tuple[Floats, Floats]:
    """Inputs [scenes, frames, 2 * BANDS] and speech [scenes, frames] of so many scenes."""
    rng = np.random.default_rng(seed)
    rooms = scenes.meetings(data, "train") if "vad" in packs else []
    voices = scenes.clips(data, "train", [p for p in packs if p != "vad"])
    # Where there are no clips, meetings are the voices of babble.
    others = voices or [room.samples for room in rooms]
    length = _FRAMES * scenes.SHIFT
    bands, speech = [], []
    for i in range(count):
        if rooms and (i % 2 == 0 or not voices):
            room = rooms[int(rng.integers(len(rooms)))]
            start = int(rng.integers(len(room.speech) - _FRAMES))
            samples = room.samples[start * scenes.SHIFT :][:length]
            where = room.speech[start : start + _FRAMES]
        else:
            made = scenes.scene(voices, rng)
            samples, where = made.samples, made.speech
        bands.append(bands_of(scenes.disturbed(samples, rng, others)))
        speech.append(where)
    return inputs_of(np.stack(bands)), np.stack(speech).astype(np.float32)


def train(inputs: Floats, speech: Floats, epochs: int, seed: int) -> Detector:
    """Binary cross-entropy, Adam with a rate that falls to nothing, ten scenes a step."""
    torch.manual_seed(seed)
    net = Detector()
    x, y = torch.from_numpy(inputs), torch.from_numpy(speech)
    steps = epochs * (len(x) // 10)
    adam = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.OneCycleLR(adam, 4e-3, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(x))
        for rows in order[: len(x) // 10 * 10].view(-1, 10):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows]), y[rows])
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            rates.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / (len(x) // 10):.4f}", flush=True)
    return net


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m affectrt.export.recipes.vad")
    parser.add_argument("--data", type=Path, required=True, help="folder of the speech packs")
    parser.add_argument("--out", type=Path, required=True, help="the table, a C++ fragment")
    parser.add_argument("--packs", nargs="+", default=["vad", *scenes.ACTED])
    parser.add_argument("--scenes", type=int, default=1200, help="of 12 s")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    inputs, speech = examples(args.data, args.packs, args.scenes, args.seed)
    print(f"{len(inputs)} scenes, {speech.mean():.0%} speech, {RATE} Hz", flush=True)
    net = train(inputs, speech, args.epochs, args.seed)
    words = "python -m affectrt.export.recipes.vad --data data/speech"
    for name in ("packs", "scenes", "epochs", "seed"):
        if (given := getattr(args, name)) != parser.get_default(name):
            words += f" --{name} " + (" ".join(given) if name == "packs" else str(given))
    write_weights(net.layers(), args.out, words)
    return 0


if __name__ == "__main__":
    sys.exit(main())

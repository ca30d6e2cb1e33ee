"""What the detector computes, in NumPy: the reference of `csrc/audio/vad.cc`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectrt import features
from affectrt.errors import ExportError

Floats = NDArray[np.float32]

RATE = 16000
BANDS = 16
HIDDEN = 16
INNER = 24
OFFSETS = (-40, -28, -18, -11, -6, -3, 0, 3, 6, 11, 16)
QUIETEST = -8.5
FALL = 0.3
RISE = 0.003
MOST_ABOVE = 4.0
SHAPES = ((HIDDEN, 2 * BANDS), (INNER, len(OFFSETS) * HIDDEN), (1, INNER))


def bands_of(samples: NDArray[Any]) -> Floats:
    """log10 of the mel bands [frames, BANDS], Whisper's framing."""
    clip = np.asarray(samples, np.float32)
    return np.ascontiguousarray(
        features.log_mel(clip, RATE, BANDS, pad_to_s=None, normalise=False).T
    )


def inputs_of(bands: Floats) -> Floats:
    """What the network reads, [..., frames, 2 * BANDS], of bands [..., frames, BANDS].

    First how far each band lies above its noise floor, which falls quickly and rises slowly; then
    the shape of the spectrum, without its level.
    """
    x = np.maximum(bands, np.float32(QUIETEST))
    above = np.empty_like(x)
    floor = x[..., 0, :].copy()
    for t in range(x.shape[-2]):
        now = x[..., t, :]
        lower = now < floor
        floor += np.where(lower, FALL * (now - floor), np.minimum(RISE, now - floor))
        above[..., t, :] = np.minimum(now - floor, MOST_ABOVE)
    return np.concatenate([above, x - x.mean(-1, keepdims=True)], -1).astype(np.float32)


@dataclass(frozen=True)
class Layer:
    """y = weights * scales @ x + biases."""

    weights: NDArray[np.int8]  # [rows, columns]
    scales: Floats  # [rows]
    biases: Floats  # [rows]

    def __call__(self, x: Floats) -> Floats:
        return np.asarray((x @ self.weights.T.astype(np.float32)) * self.scales + self.biases)


def quantised(weights: Floats, biases: Floats) -> Layer:
    """The nearest in 8 bits, one scale a row."""
    scales = np.maximum(np.abs(weights).max(1), 1e-6) / 127
    whole = np.rint(weights / scales[:, None]).astype(np.int8)
    return Layer(whole, scales.astype(np.float32), biases.astype(np.float32))


def probabilities(samples: NDArray[Any], layers: tuple[Layer, Layer, Layer]) -> Floats:
    """Of speech, [frames], 100 a second. The first and the last frame go on beyond the ends."""
    bands = bands_of(samples)
    if not len(bands):
        return np.zeros(0, np.float32)
    hidden = np.maximum(layers[0](inputs_of(bands)), 0)
    places = np.arange(len(hidden))[:, None] + np.array(OFFSETS)
    context = hidden[np.clip(places, 0, len(hidden) - 1)].reshape(len(hidden), -1)
    logits = layers[2](np.maximum(layers[1](context), 0))[:, 0]
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def write_weights(layers: tuple[Layer, Layer, Layer], file: Path, command: str) -> None:
    """The table that vad.cc includes."""
    lines = [f"// Made by `{command}`.", "{"]
    for layer in layers:
        rows = [", ".join(map(str, row)) for row in layer.weights.tolist()]
        lines.append("{{" + ",\n".join(f"{{{row}}}" for row in rows) + "},")
        for values in (layer.scales, layer.biases):
            lines.append("{" + ", ".join(f"{v:.9e}F" for v in values.tolist()) + "},")
        lines[-1] = lines[-1][:-1] + "},"
    lines.append("}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_weights(file: Path) -> tuple[Layer, Layer, Layer]:
    """What `write_weights` wrote.

    Raises:
        ExportError: it is no such file.
    """
    text = re.sub(r"//.*", "", file.read_text(encoding="utf-8"))
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)]
    sizes = [rows * (columns + 2) for rows, columns in SHAPES]
    if len(numbers) != sum(sizes):
        raise ExportError(f"{file} has {len(numbers)} numbers; {sum(sizes)} are needed")
    layers = []
    for (rows, columns), size in zip(SHAPES, sizes, strict=True):
        part, numbers = np.array(numbers[:size]), numbers[size:]
        weights = part[: rows * columns].reshape(rows, columns).astype(np.int8)
        scales, biases = part[rows * columns :].reshape(2, rows).astype(np.float32)
        layers.append(Layer(weights, scales, biases))
    return layers[0], layers[1], layers[2]

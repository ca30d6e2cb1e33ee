"""Made-up sound that is speech enough for voice activity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def voice(seconds: float, *stretches: tuple[float, float], rate: int = 16000) -> Array:
    """A swelling tone with two formants in some stretches of seconds, in faint noise."""
    time = np.arange(int(seconds * rate)) / rate
    samples = 3e-4 * np.random.default_rng(1).standard_normal(len(time))
    pitch = 130.0 + 20.0 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = np.zeros(len(time))
    for k in range(1, 25):
        formant = np.exp(-abs(k * 130 - 600) / 500) + 0.5 * np.exp(-abs(k * 130 - 1700) / 600)
        tone += formant * np.sin(k * phase)
    tone *= 0.06 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))
    for start, end in stretches:
        samples += np.where((time >= start) & (time < end), tone, 0)
    return samples.astype(np.float32)

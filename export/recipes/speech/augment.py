"""A clip as another room, microphone or line might have heard it.

Everything is a function of the samples and of the generator that is given. Samples are float64
``[samples]`` at `SAMPLE_RATE`, full scale from -1 to 1; levels are in dB of full scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectrt.export.speech_checkpoint import SAMPLE_RATE

Samples = NDArray[np.float64]
Floats = NDArray[np.float32]
Random = np.random.Generator

SNR_DB = (0.0, 30.0)  # what noise is mixed at; above, studio recordings are as they are
NOISES = ("white", "pink", "babble")
SPEEDS = (0.9, 1.1)
MAX_SECONDS = 8.0
MIN_SECONDS = 1.0  # shorter clips are not cut any more
LEVEL_DB = (-45.0, -12.0)  # active level of a clip after the gain
_BLOCK = 400  # samples of a block whose power counts: 25 ms
_ACTIVE_DB = 30.0  # a block is active if it is at most so far below the loudest


@dataclass(frozen=True)
class Chances:
    """How often each change is made of a clip that is changed at all."""

    any: float = 0.85
    speed: float = 0.5
    crop: float = 0.3
    far: float = 0.2
    room: float = 0.25
    telephone: float = 0.15
    noise: float = 0.5
    gain: float = 0.8


def augment(
    samples: Samples, rng: Random, other: Callable[[Random], Samples], chances: Chances
) -> tuple[Samples, float]:
    """The clip changed, at most `MAX_SECONDS` of it, and the SNR in dB of the noise mixed in
    (the end of `SNR_DB` without any).

    Args:
        other: draws another clip, for babble.
    """
    most = int(MAX_SECONDS * SAMPLE_RATE)
    if rng.random() >= chances.any:
        return _window(samples, most, rng), SNR_DB[1]

    def now(chance: float) -> bool:
        return bool(rng.random() < chance)

    x = samples
    if now(chances.speed):
        x = speed(x, rng.uniform(*SPEEDS))
    least = int(MIN_SECONDS * SAMPLE_RATE)
    if now(chances.crop) and len(x) > least:
        x = _window(x, max(least, int(rng.uniform(0.5, 1.0) * len(x))), rng)
    x = _window(x, most, rng)
    if now(chances.far):
        x = far(x, rng.uniform(1.0, 7.0), rng)
    elif now(chances.room):
        x = reverberate(x, rng.uniform(0.15, 0.8), rng.uniform(0.0, 15.0), rng)
    snr_db = SNR_DB[1]
    if now(chances.noise):
        snr_db = rng.uniform(*SNR_DB)
        kind = NOISES[int(rng.integers(len(NOISES)))]
        x = with_noise(x, noise(kind, len(x), rng, other), snr_db)
    if now(chances.telephone):
        x = band_limit(x, rng.uniform(200.0, 350.0), rng.uniform(3000.0, 3800.0))
    if now(chances.gain):
        x = x * _ratio(rng.uniform(*LEVEL_DB) - active_level_db(x))
    return np.clip(x, -1.0, 1.0), snr_db


def _window(samples: Samples, length: int, rng: Random) -> Samples:
    """`length` samples from a random place, or all."""
    if len(samples) <= length:
        return samples
    start = int(rng.integers(len(samples) - length + 1))
    return samples[start : start + length]


def _ratio(db: float) -> float:
    return float(10.0 ** (db / 20.0))


def active_level_db(samples: Samples) -> float:
    """Mean power of the blocks in which somebody speaks: those within 30 dB of the loudest."""
    whole = len(samples) // _BLOCK * _BLOCK
    blocks = samples[:whole].reshape(-1, _BLOCK) if whole else samples[None]
    power = np.square(blocks).mean(1) + 1e-12
    return float(10.0 * np.log10(power[power >= power.max() * 10 ** (-_ACTIVE_DB / 10)].mean()))


def speed(samples: Samples, factor: float) -> Samples:
    """Played `factor` times as fast: tempo and pitch. Band-limited, by the length of a spectrum."""
    size = _fast(len(samples))
    padded = np.zeros(size)
    padded[: len(samples)] = samples
    new = max(2, 2 * round(size / factor / 2))
    spectrum = np.fft.rfft(padded)
    moved = np.zeros(new // 2 + 1, complex)
    kept = min(len(spectrum), len(moved))
    moved[:kept] = spectrum[:kept]
    resampled = np.fft.irfft(moved, new) * (new / size)
    return np.asarray(resampled[: max(1, round(len(samples) / factor))], np.float64)


def _fast(size: int) -> int:
    """A length of at least `size` with a quick transform: 1, 3, 5, 9 or 15 times a power of two."""
    return min(m << (-(-size // m) - 1).bit_length() for m in (16, 18, 20, 24, 30))


def _filter(samples: Samples, gain: Callable[[Samples], Samples]) -> Samples:
    """With a gain that is a function of the frequency in Hz; no delay."""
    size = _fast(len(samples) + SAMPLE_RATE // 20)  # room for what the filter rings
    hertz = np.asarray(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), np.float64)
    return np.fft.irfft(np.fft.rfft(samples, size) * gain(hertz), size)[: len(samples)]


def band_limit(samples: Samples, low_hz: float, high_hz: float) -> Samples:
    """Nothing outside of a band, as on a telephone line; edges fall over a sixth of an octave."""

    def gain(hertz: Samples) -> Samples:
        octaves = np.log2(np.maximum(hertz, 1.0))
        up = (octaves - np.log2(low_hz)) * 6
        down = (np.log2(high_hz) - octaves) * 6
        ramp = np.clip(np.minimum(up, down) + 1, 0, 1)
        return np.asarray(0.5 - 0.5 * np.cos(np.pi * ramp))

    return _filter(samples, gain)


def reverberate(samples: Samples, rt60_s: float, direct_db: float, rng: Random) -> Samples:
    """In a room: the clip plus itself convolved with noise that decays by 60 dB in `rt60_s`.

    Args:
        direct_db: power of the direct sound over that of the tail (Polack's model of late
            reverberation; Vincent et al. 2018, section 3.2).
    """
    time = np.arange(1, int(rt60_s * SAMPLE_RATE) + 1) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * 10.0 ** (-3.0 * time / rt60_s)
    tail *= _ratio(-direct_db) / np.sqrt(np.square(tail).sum())
    size = _fast(len(samples) + len(tail))
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)
    return np.asarray(samples + np.concatenate([[0.0], wet])[: len(samples)])


def far(samples: Samples, metres: float, rng: Random) -> Samples:
    """From across the room, as in BERSt: weaker by the distance, dull, most of it from the walls.

    The direct sound falls by 6 dB for each doubling from 30 cm on, the room's tail does not: they
    are equal at a critical distance of about 1 m. Heads, clothes and furniture take the highs:
    6 dB an octave above a corner that falls with the distance.
    """
    corner = 6000.0 / np.sqrt(metres) * rng.uniform(0.6, 1.4)
    dull = _filter(samples, lambda hertz: 1.0 / np.sqrt(1.0 + np.square(hertz / corner)))
    critical = rng.uniform(0.7, 1.5)
    in_room = reverberate(dull, rng.uniform(0.25, 0.9), 20 * np.log10(critical / metres), rng)
    return in_room * (0.3 / metres)


def noise(kind: str, length: int, rng: Random, other: Callable[[Random], Samples]) -> Samples:
    """One of `NOISES`: pink has power as 1/f, babble is 3 to 6 other clips at once."""
    if kind == "babble":
        mixed = np.zeros(length)
        for _ in range(int(rng.integers(3, 7))):
            voice = other(rng)
            start = int(rng.integers(len(voice)))
            mixed += np.resize(np.roll(voice, -start), length) * _ratio(-active_level_db(voice))
        return mixed
    white = rng.standard_normal(length)
    if kind == "white":
        return white
    return _filter(white, lambda hertz: 1.0 / np.sqrt(np.maximum(hertz, 20.0)))


def with_noise(samples: Samples, mixed_in: Samples, snr_db: float) -> Samples:
    """With noise whose mean power lies `snr_db` below the active level."""
    power = 10.0 * np.log10(np.square(mixed_in).mean() + 1e-12)
    return samples + mixed_in * _ratio(active_level_db(samples) - snr_db - power)


def mask_features(features: Floats, rng: Random) -> Floats:
    """SpecAugment (Park et al. 2019) without warping: up to two bands and two spans of a log-mel
    ``[mels, frames]`` become the clip's mean."""
    mels, frames = features.shape
    result: Floats = features.copy()
    mean = float(features.mean())
    for size, most, axis in ((mels, mels // 8, 0), (frames, min(40, frames // 6), 1)):
        for _ in range(2):
            width = int(rng.integers(most + 1))
            start = int(rng.integers(size - width + 1))
            where = slice(start, start + width)
            if axis == 0:
                result[where] = mean
            else:
                result[:, where] = mean
    return result


# What the report listens under, beside the clips as they are.
CONDITIONS = ("noise", "telephone", "far")


def under(
    condition: str, samples: Samples, rng: Random, other: Callable[[Random], Samples]
) -> Samples:
    """One of `CONDITIONS`: babble at 10 dB SNR; a telephone line; 4 m away with pink noise at
    15 dB."""
    if condition == "noise":
        x = with_noise(samples, noise("babble", len(samples), rng, other), 10.0)
    elif condition == "telephone":
        x = band_limit(samples, 300.0, 3400.0)
    else:
        x = far(samples, 4.0, rng)
        x = with_noise(x, noise("pink", len(x), rng, other), 15.0)
    return np.clip(x, -1.0, 1.0)

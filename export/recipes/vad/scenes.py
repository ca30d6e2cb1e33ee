"""Sound with known segments of speech: meetings, and clips between silences and other sounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectrt import features
from affectrt.errors import ExportError
from affectrt.export.recipes.speech.augment import (
    Random,
    Samples,
    active_level_db,
    band_limit,
    far,
    noise,
    reverberate,
    with_noise,
)

RATE = 16000
SHIFT = 160
ACTED = ("ravdess", "emodb", "urdu")
_ACTIVE_DB = 32.0  # a frame is speech where it lies at most so far below the clip's loudest
_CLOSE = 20  # frames: pauses within a clip up to so many belong to the speech
SCENE_SECONDS = 12.0
_SOUNDS = ("clicks", "tone", "sweep", "burst", "hum")


@dataclass(frozen=True)
class Scene:
    """Sound at 16 kHz, full scale from -1 to 1, and for each 10 ms whether somebody speaks."""

    name: str
    samples: Samples
    speech: NDArray[np.bool_]


def meetings(data: Path, split: str) -> list[Scene]:
    """The excerpts of a split of the `vad` pack.

    Raises:
        ExportError: the pack is not there.
    """
    folder = data / "vad"
    prefix = {"train": "trn", "dev": "dev", "test": "tst"}[split]
    files = sorted(folder.glob(f"{prefix}*.flac"))
    if not files:
        raise ExportError(f"{folder} has no recordings of {split}")
    scenes = []
    for file in files:
        samples = features.read_audio(file)[0].mean(1, dtype=np.float64)
        speech = np.zeros(len(samples) // SHIFT, bool)
        for line in file.with_suffix(".rttm").read_text(encoding="utf-8").splitlines():
            start, duration = map(float, line.split()[3:5])
            speech[round(start * 100) : round((start + duration) * 100)] = True
        scenes.append(Scene(file.stem, samples, speech))
    return scenes


def clips(data: Path, split: str, packs: Sequence[str] = ACTED) -> list[Samples]:
    """The recordings of a split of the packs of acted emotion."""
    found = []
    for pack in packs:
        for line in (data / pack / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["split"] == split:
                samples, _ = features.read_audio(data / pack / row["file"])
                found.append(samples.mean(1, dtype=np.float64))
    return found


def speech_in(clip: Samples) -> NDArray[np.bool_]:
    """Where an undisturbed clip is loud, for each 10 ms: pauses up to 0.2 s are bridged."""
    count = len(clip) // SHIFT
    padded = np.concatenate([np.zeros(120), clip, np.zeros(SHIFT + 120)])
    power = np.array([np.square(padded[i * SHIFT : i * SHIFT + 400]).mean() for i in range(count)])
    level = 10 * np.log10(power + 1e-12)
    # Neither the loudest frames nor the quietest ones alone say what the rest is to be held to.
    top, bottom = np.percentile(level, 95), np.percentile(level, 5)
    active = level > max(top - _ACTIVE_DB, min(bottom + 8.0, top - 12.0))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int), [0]])))
    for end, start in zip(edges[1:-1:2], edges[2::2], strict=True):
        if start - end <= _CLOSE:
            active[end:start] = True
    return np.asarray(active)


def _overtones(hertz: float, end: int, time: Samples, shift: float = 0.0) -> Samples:
    """Overtone k, from 1, is 1 / k as strong and begins `shift` k radians into its period."""
    tones = np.arange(1, end)[:, None]
    return np.asarray((np.sin(2 * np.pi * hertz * tones * time + shift * tones) / tones).sum(0))


def sound(kind: str, rng: Random) -> Samples:
    """A sound that is no speech, 0.1 to 2 s, its peak about 1."""
    length = int(rng.uniform(0.1, 2.0) * RATE)
    time = np.arange(length) / RATE
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.01)
    if kind == "clicks":  # keys, steps, cutlery
        x = np.zeros(length)
        for _ in range(int(rng.integers(1, 8))):
            at, ring = int(rng.integers(length)), int(rng.integers(80, 1600))
            burst = rng.standard_normal(ring) * np.exp(-np.arange(ring) / (ring / 5))
            x[at : at + ring] += burst[: length - at] * rng.uniform(0.2, 1)
    elif kind == "tone":
        hertz = rng.uniform(200, 4000)
        x = fade * _overtones(hertz, int(rng.integers(2, 5)), time)
    elif kind == "sweep":
        low, high = rng.uniform(100, 4000, 2)
        x = fade * np.sin(2 * np.pi * (low * time + (high - low) * time**2 / (2 * time[-1])))
    elif kind == "burst":  # doors, wind, breath
        low = rng.uniform(50, 2000)
        x = band_limit(rng.standard_normal(length), low, low * rng.uniform(2, 8)) * fade
        x *= np.exp(-time / rng.uniform(0.05, 2.0))
    else:
        x = fade * _overtones(50.0, 20, time, shift=1.0)
    return np.asarray(x / (np.abs(x).max() + 1e-9), np.float64)


def scene(voices: Sequence[Samples], rng: Random, seconds: float = SCENE_SECONDS) -> Scene:
    """Clips, silences and sounds one after the other: a third to two thirds of it is speech."""
    length = int(seconds * RATE)
    samples, speech = np.zeros(length), np.zeros(length // SHIFT, bool)
    at = int(rng.uniform(0, 2.0) * RATE) // SHIFT * SHIFT
    while at < length:
        clip = voices[int(rng.integers(len(voices)))]
        clip = clip * 10 ** ((rng.uniform(-32, -20) - active_level_db(clip)) / 20)
        where = speech_in(clip)
        end = min(length, at + len(where) * SHIFT)
        samples[at:end] += clip[: end - at]
        speech[at // SHIFT : end // SHIFT] = where[: (end - at) // SHIFT]
        at = end + int(rng.choice([0.15, 0.5, 1.0, 2.0, 4.0]) * rng.uniform(0.7, 1.3) * 100) * SHIFT
    # The clip's own noise ends with it; a room's does not.
    samples += noise("pink", length, rng, lambda _: samples) * 10 ** (rng.uniform(-85, -55) / 20)
    for _ in range(int(rng.integers(0, 5))):
        made = sound(_SOUNDS[int(rng.integers(len(_SOUNDS)))], rng)
        start = int(rng.integers(length))
        made = made[: length - start] * 10 ** (rng.uniform(-45, -10) / 20)
        samples[start : start + len(made)] += made
    return Scene("scene", samples, speech)


def disturbed(samples: Samples, rng: Random, voices: Sequence[Samples]) -> Samples:
    """As other rooms, lines and microphones might have had it, at another level."""

    def other(draw: Random) -> Samples:
        return voices[int(draw.integers(len(voices)))]

    x = samples
    if rng.random() < 0.15:
        x = far(x, rng.uniform(1.0, 4.0), rng)
    elif rng.random() < 0.25:
        x = reverberate(x, rng.uniform(0.15, 0.6), rng.uniform(3.0, 15.0), rng)
    if rng.random() < 0.75:
        kind = ("white", "pink", "pink", "babble")[int(rng.integers(4))]
        low = 8.0 if kind == "babble" else 0.0
        x = with_noise(x, noise(kind, len(x), rng, other), rng.uniform(low, 35.0))
    if rng.random() < 0.15:
        x = band_limit(x, rng.uniform(200.0, 350.0), rng.uniform(3000.0, 3800.0))
    x = x * 10 ** ((rng.uniform(-50.0, -12.0) - active_level_db(x)) / 20)
    return np.asarray(np.clip(x, -1, 1), np.float64)


def noisy(scene: Scene, kind: str, snr_db: float, voices: Sequence[Samples]) -> Scene:
    """Under `kind` of noise, the same every time."""
    rng = np.random.default_rng([*scene.name.encode(), *kind.encode(), int(snr_db)])

    def other(draw: Random) -> Samples:
        return voices[int(draw.integers(len(voices)))]

    mixed = with_noise(scene.samples, noise(kind, len(scene.samples), rng, other), snr_db)
    level: Any = np.abs(mixed).max()
    return Scene(scene.name, mixed / max(1.0, float(level)), scene.speech)

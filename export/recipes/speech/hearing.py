"""From clips to what the network reads: changed at random for training, as they are for figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from affectrt import features
from affectrt.export.recipes.drawing import Drawing
from affectrt.export.speech_checkpoint import FRAMES_PER_SECOND, FRAMES_PER_TOKEN, SAMPLE_RATE, pad

from .augment import MAX_SECONDS, Chances, Floats, Random, Samples, augment, mask_features, under
from .packs import Clip, Pack

MOST_SAMPLES = int(MAX_SECONDS * SAMPLE_RATE)
_HOP = SAMPLE_RATE // FRAMES_PER_SECOND
POOL_BATCHES = 6  # batches whose clips are drawn together and sorted by length
TEMPERATURE = 0.5  # a pack is drawn by its size to this power


def samples_of(clip: Clip) -> Samples:
    """Full scale from -1 to 1."""
    return clip.samples / 32768.0


def log_mel(samples: Samples, num_mels: int) -> Floats:
    """Whisper's features of the first `MAX_SECONDS` of a clip alone, ``[num_mels, frames]``."""
    cut = np.ascontiguousarray(samples[:MOST_SAMPLES], np.float32)
    rows: Floats = features.log_mel(cut, SAMPLE_RATE, num_mels, pad_to_s=None)
    return rows


def tokens_of(clip: Clip) -> int:
    """How many tokens a clip has as it is."""
    return -(-min(len(clip.samples), MOST_SAMPLES) // (_HOP * FRAMES_PER_TOKEN))


@dataclass(frozen=True)
class Draw:
    """A clip to train on and the seed of what becomes of it."""

    pack: Pack
    clip: Clip
    seed: int


@dataclass(frozen=True)
class Batch:
    """What a step sees. `snr_db` is known where the pack was recorded in a studio, else NaN."""

    features: Tensor  # [rows, mels, frames]
    frames: Tensor  # [rows]
    packs: list[Pack]
    clips: list[Clip]
    snr_db: Tensor  # [rows]


class Mixture:
    """An endless stream of batches, a function of its seed: `at(step)` starts it anywhere."""

    def __init__(
        self,
        packs: Sequence[Pack],
        num_mels: int,
        tokens_per_batch: int,
        seed: int,
        chances: Chances | None = None,
    ) -> None:
        self.packs = list(packs)
        self.num_mels = num_mels
        self.budget = tokens_per_batch
        self.chances = chances or Chances()
        sizes = [len(p.clips["train"]) for p in packs]
        weights = [size**TEMPERATURE for size in sizes]
        self._drawing = Drawing([p.epoch for p in packs], weights, seed)
        lengths = [np.mean([tokens_of(c) for c in p.clips["train"]]) for p in packs]
        self.mean_rows = tokens_per_batch / float(np.dot(self._drawing.chances, lengths))
        self.steps_per_epoch = sum(sizes) / self.mean_rows
        self._other = other_clips(packs)

    def at(self, step: int) -> Iterator[Batch]:
        """The batches from step `step` (from 0) on."""
        pool = max(1, round(POOL_BATCHES * self.mean_rows))
        for draws in self._drawing.batches(
            step, pool, self._draw, lambda d: tokens_of(d.clip), self.budget
        ):
            yield self._hear(draws)

    def _draw(self, pack: int, index: int, rng: Random) -> Draw:
        clip = self.packs[pack].clips["train"][index]
        return Draw(self.packs[pack], clip, int(rng.integers(1 << 62)))

    def _hear(self, draws: Sequence[Draw]) -> Batch:
        rows, snr_db = [], []
        for draw in draws:
            rng = np.random.default_rng(draw.seed)
            samples, snr = augment(samples_of(draw.clip), rng, self._other, self.chances)
            rows.append(mask_features(log_mel(samples, self.num_mels), rng))
            snr_db.append(snr if draw.pack.studio else np.nan)
        wide, frames = pad(rows)
        return Batch(
            wide,
            frames,
            [d.pack for d in draws],
            [d.clip for d in draws],
            torch.tensor(snr_db, dtype=torch.float32),
        )


def other_clips(packs: Sequence[Pack]) -> Callable[[Random], Samples]:
    """Draws voices for babble: of train clips, so that none of dev or test is heard in training."""
    voices = [c for p in packs for c in p.clips["train"]]

    def draw(rng: Random) -> Samples:
        return samples_of(voices[int(rng.integers(len(voices)))])

    return draw


Listen = Callable[[Clip], Samples]


def listen_under(condition: str, other: Callable[[Random], Samples]) -> Listen:
    """Hears every clip under one of `CONDITIONS`, each the same every time."""

    def listen(clip: Clip) -> Samples:
        rng = np.random.default_rng(list(clip.id.encode()))
        return under(condition, samples_of(clip)[:MOST_SAMPLES], rng, other)

    return listen

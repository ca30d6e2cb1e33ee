"""What a picture of sound shows, however it is drawn: its waveform and the segments of speech."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..sound_blocks import open_sound
from ..speech_stream import Segment, segments_of
from .common import UsageError, atomic_writer
from .emotion_groups import GROUPS

_PER_SECOND = 100
_SPARE_COLOURS = ("#7aa95c", "#c98bb9", "#b08d57", "#5f7f95", "#d9a5a0", "#a3b18a")
FORMATS = (".svg", ".png")
VALUE_COLOURS = {"arousal": "#b3561b", "valence": "#1f4e79"}

Envelope = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """A sound with what was said of it."""

    name: str
    duration_s: float
    envelope: Envelope
    """float32 [columns, 2]: lowest and highest sample of equal parts of the sound."""
    segments: tuple[Segment, ...]
    labels: tuple[str, ...]
    """Of the first head; none where it gives values."""

    @property
    def values(self) -> tuple[str, ...]:
        """Names of arousal and valence, those that some head gives."""
        heads = self.segments[0].heads.values() if self.segments else ()
        names = [label.label for head in heads if head.task == "regression"
                 for label in head.labels]  # fmt: skip
        return tuple(name for name in ("arousal", "valence") if name in names)

    def value(self, segment: Segment, name: str) -> float:
        return next(
            head.values[name]
            for head in segment.heads.values()
            if head.task == "regression" and name in head.values
        )


def colours(labels: Sequence[str]) -> dict[str, str]:
    """One of its own for each label, that of its family for the first of a family."""
    spare = iter(_SPARE_COLOURS * (1 + len(labels) // len(_SPARE_COLOURS)))
    taken: set[str] = set()
    chosen = {}
    for label in labels:
        family = next((g.colour for g in GROUPS if label.lower() in g.labels), None)
        chosen[label] = family if family and family not in taken else next(spare)
        taken.add(chosen[label])
    return chosen


class _Watched:
    """Passes blocks on, and keeps what the waveform needs."""

    def __init__(self, rate: int) -> None:
        self._step = max(1, rate // _PER_SECOND)
        self._rest: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self._parts: list[Envelope] = []
        self.frames = 0

    def __call__(self, blocks: Iterable[Any]) -> Iterator[Any]:
        for block in blocks:
            self.frames += len(block)
            self._take(block.mean(1, dtype=np.float32))
            yield block

    def _take(self, samples: npt.NDArray[np.float32]) -> None:
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._step * self._step
        rows = samples[:whole].reshape(-1, self._step)
        self._parts.append(np.stack([rows.min(1), rows.max(1)], 1) if whole else rows[:, :2])
        self._rest = samples[whole:]

    def envelope(self, columns: int) -> Envelope:
        every = np.concatenate([p for p in self._parts if p.size] or [np.zeros((1, 2), "f4")])
        if len(every) <= columns:
            return every
        bounds = np.linspace(0, len(every), columns + 1).astype(int)[:-1]
        low = np.minimum.reduceat(every[:, 0], bounds)
        return np.stack([low, np.maximum.reduceat(every[:, 1], bounds)], 1)


def track_of(model: Any, path: str) -> Track:
    """Of an audio file of any length."""
    sound = open_sound(path)
    watched = _Watched(sound.sample_rate)
    stream = model.stream(sample_rate=sound.sample_rate)
    segments = tuple(segments_of(stream, watched(sound.blocks)))
    if watched.frames == 0:
        raise InputError(f"{sound.name} holds no samples; there is nothing to draw")
    head = model.info.heads[0]
    labels = () if head.task == "regression" else head.labels
    name = os.path.basename(path)
    duration_s = watched.frames / sound.sample_rate
    return Track(name, duration_s, watched.envelope(960), segments, labels)


def picture_format(path: str) -> str:
    """ ".svg" or ".png"; `UsageError` for another name."""
    kind = os.path.splitext(path)[1].lower()
    if kind not in FORMATS:
        raise UsageError(f"--plot {path!r} is neither .svg nor .png")
    return kind


def write_picture(path: str, track: Track, subtitle: str) -> None:
    """Draws it; matplotlib is needed for .png alone."""
    if picture_format(path) == ".svg":
        from .track_svg import track_svg

        with atomic_writer(path) as file:
            file.write(track_svg(track, subtitle))
        return
    from .track_png import track_png

    image = track_png(track, subtitle)
    with atomic_writer(path) as file:
        file.buffer.write(image)

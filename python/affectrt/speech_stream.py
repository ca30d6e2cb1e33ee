"""Sound as it comes: segments of speech, each with what the model says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError
from .features import _rate, mono
from .model import LabelScores
from .results import HeadResult, Heads, Label
from .vad import SegmentOptions

if TYPE_CHECKING:
    from .info import HeadInfo

__all__ = ["Segment", "SpeechStream", "StreamOptions"]


class StreamOptions(SegmentOptions, total=False):
    """How a stream cuts and smooths. `max_segment_s` is the model's longest clip if not given."""

    interim_ms: float  # 0: every so many ms of an open segment, what is said of it so far; 0: not
    smoothing_s: float  # 4: over how many seconds the first head's scores are averaged; 0: not
    margin: float  # 0.1: by how much another label's average must lead before the label changes


_NAMES = (*SegmentOptions.__annotations__, "interim_ms", "smoothing_s", "margin")


def _options(given: Mapping[str, Any]) -> dict[str, float]:
    for name, value in given.items():
        if name not in _NAMES:
            raise InputError(f"there is no option {name!r}; there are {', '.join(_NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise InputError(f"{name} is {value!r}; a finite number is needed")
    return {name: float(value) for name, value in given.items()}


@dataclass(frozen=True, slots=True, repr=False)
class Segment:
    """A stretch of speech in a longer sound, and what the model says of it alone."""

    index: int
    """From 0; an interim result has that of the segment that it is of."""
    start_s: float
    end_s: float
    """Seconds from the begin of the sound, in its own time."""
    interim: bool
    """Whether the segment is still open, and this what is said of it so far."""
    cut: bool
    """Whether it ends because it was too long, and not with the speech."""
    label: str | None
    """What the first head says by `smoothed`; it changes only when another label leads by the
    stream's margin. None where the head gives values."""
    smoothed: Mapping[str, float]
    """Scores of the first head, averaged over the segments before: weighted by their lengths and,
    for every `smoothing_s` seconds that they lie back, 1/e."""
    heads: Heads
    """Of the segment alone, by name."""

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def _primary(self) -> HeadResult:
        return next(iter(self.heads.values()))

    @property
    def emotions(self) -> tuple[Label, ...]:
        """All labels of the first head, highest score first, of this segment alone."""
        return self._primary.labels

    @property
    def decided(self) -> tuple[str, ...]:
        """The first head's answer to this segment alone."""
        return self._primary.decided

    @property
    def unsure(self) -> bool:
        """Whether the first head's best label is below the model's bound of confidence."""
        return self._primary.unsure

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`.

        Keys: `index`, `start_s`, `end_s`, `interim`, `cut`, `label` (none for values), `smoothed`,
        and of the segment alone those of `Result.to_dict`: `emotions`, `decided`, `unsure`,
        `heads`.
        """
        record: dict[str, Any] = {
            "index": self.index,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "interim": self.interim,
            "cut": self.cut,
        }
        if self.label is not None:
            record["label"] = self.label
        record["smoothed"] = dict(self.smoothed)
        record["emotions"] = [label.to_dict() for label in self.emotions]
        record["decided"] = list(self.decided)
        record["unsure"] = self.unsure
        if len(self.heads) > 1 or self._primary.task == "ordinal":
            record["heads"] = {name: head.to_dict() for name, head in self.heads.items()}
        return record

    def __repr__(self) -> str:
        said = self.label or self._primary._answer()
        score = "" if self.label is None else f" {self.smoothed[self.label]:.2f}"
        notes = (", interim" if self.interim else "") + (", cut" if self.cut else "")
        return f"Segment({self.start_s:.2f}-{self.end_s:.2f} s: {said}{score}{notes})"


class SegmentReader:
    """Makes `Segment`s of what the core gives, for the heads of one model."""

    def __init__(self, heads: tuple[HeadInfo, ...]) -> None:
        self._heads = heads

    def __call__(self, core: _core.SpeechSegment) -> Segment:
        results = tuple(
            LabelScores(info, scores).answer(0)
            for info, scores in zip(self._heads, core.heads, strict=True)
        )
        names = self._heads[0].labels
        return Segment(
            core.index,
            core.start_s,
            core.end_s,
            core.interim,
            core.cut,
            None if core.label is None else names[core.label],
            dict(zip(names, core.smoothed, strict=True)),
            Heads(results),
        )


class SpeechStream:
    """Sound in, segments out; made by `SpeechModel.stream`.

    Segments do not depend on how the sound is cut into chunks. Memory does not grow with its
    length. One stream belongs to one thread at a time: a call that comes while another is in
    progress raises `InputError`. Streams of one model may be used from any number of threads at
    once.
    """

    def __init__(
        self,
        core: _core.SpeechStream,
        reader: SegmentReader,
        sample_rate: int,
        channels: int | None,
    ) -> None:
        self._core = core
        self._reader = reader
        self.sample_rate = sample_rate
        self.channels = channels

    @property
    def latency_ms(self) -> float:
        """From the end of speech to its segment, without the time of computing: what resampler,
        voice activity and `min_silence_ms` wait for."""
        return self._core.latency_ms

    @property
    def max_segment_s(self) -> float:
        """Seconds of the longest segment."""
        return self._core.max_segment_s

    def feed(self, chunk: npt.NDArray[Any], sample_rate: int | None = None) -> list[Segment]:
        """The segments that `chunk` completes, and interim results where they were asked for.

        Args:
            chunk: float32 or float64 (full scale is [-1, 1]), int16, int32 or uint8: [samples] of
                one channel, [samples, channels], or, where the stream has `channels`, [samples *
                channels] interleaved. Channels are averaged. It may be empty.
            sample_rate: where given, checked against the stream's.

        Raises `InputError` for NaN, another rate, other channels, and after `flush`. The stream is
        then as it was before.
        """
        if sample_rate is not None and sample_rate != self.sample_rate:
            raise InputError(
                f"this stream is one of {self.sample_rate} Hz, and a chunk of {sample_rate!r} Hz "
                "came; flush it and begin another"
            )
        return [self._reader(one) for one in self._core.feed(self._chunk(chunk))]

    def flush(self) -> list[Segment]:
        """The segment that the end of the sound completes; the stream takes nothing after it."""
        return [self._reader(one) for one in self._core.flush()]

    def _chunk(self, chunk: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if not isinstance(chunk, np.ndarray):
            raise InputError(
                f"chunk is {type(chunk).__name__}; a NumPy array is needed "
                "(np.frombuffer makes one of bytes)"
            )
        if self.channels is not None:
            if chunk.ndim == 1:
                if len(chunk) % self.channels:
                    raise InputError(
                        f"chunk has {len(chunk)} samples, which is no multiple of the stream's "
                        f"{self.channels} channels"
                    )
                chunk = chunk.reshape(-1, self.channels)
            elif chunk.ndim == 2 and chunk.shape[1] != self.channels:
                raise InputError(
                    f"chunk has {chunk.shape[1]} channels; the stream has {self.channels}"
                )
        return mono(chunk, "chunk")


def make_stream(
    core_model: _core.SpeechModel,
    heads: tuple[HeadInfo, ...],
    sample_rate: int,
    channels: int | None,
    options: Mapping[str, Any],
) -> SpeechStream:
    """What `SpeechModel.stream` does."""
    if channels is not None and (
        isinstance(channels, bool) or not isinstance(channels, int) or not 1 <= channels <= 64
    ):
        raise InputError(f"channels is {channels!r}; 1 to 64, or None, is needed")
    core = _core.SpeechStream(core_model, _rate(sample_rate), _options(options))
    return SpeechStream(core, SegmentReader(heads), int(sample_rate), channels)


def segments_of(
    stream: SpeechStream, blocks: Iterable[npt.NDArray[np.float32]]
) -> Iterator[Segment]:
    """All segments of a sound, as its blocks are read."""
    for block in blocks:
        yield from stream.feed(block)
    yield from stream.flush()

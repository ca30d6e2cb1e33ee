"""Voice activity: where in a sound somebody speaks.

>>> import numpy as np
>>> from affectrt.vad import voice_activity
>>> voice_activity(np.zeros(16000, np.float32), 16000).segments
()

A network of 4,801 weights on mel bands above their own noise floor gives a probability of speech
every 10 ms, and segments are made of these with hysteresis. It works at any level, on streams as on
whole clips with the same result, and answers 172.5 ms after the sound (`LATENCY_MS`). Measured
against a detector by energy in bench/results/vad.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError
from .features import ResampleStream, _rate, mono

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["LATENCY_MS", "SegmentOptions", "VadStream", "VoiceActivity", "VoiceSegment",
           "voice_activity"]  # fmt: skip

RATE = 16000
LATENCY_MS: float = _core.vad_latency_ms
"""From a sample to the probability of its frame: the 160 ms that the network looks ahead, and half
a window. A segment is known `min_silence_ms` later; rates other than 16 kHz add the latency of
`affectrt.features.ResampleStream`."""

_Array = npt.NDArray[np.float32]
_Spans = list[tuple[int, int, bool]]


class SegmentOptions(TypedDict, total=False):
    """How probabilities become segments; times are rounded to 10 ms. What is not given has the
    default that stands beside it."""

    onset: float  # 0.5: speech begins where its probability reaches it
    offset: float  # 0.35: and goes on until it falls below this one
    min_speech_ms: float  # 100: shorter sounds are none
    min_silence_ms: float  # 300: shorter silences do not end a segment
    padding_ms: float  # 100: of what is around the speech that belongs to the segment
    max_segment_s: float  # 8: a longer one is cut where it is quietest in its second half


_NAMES = tuple(SegmentOptions.__annotations__)


def _options(given: Mapping[str, Any]) -> dict[str, float]:
    for name, value in given.items():
        if name not in _NAMES:
            raise InputError(f"there is no option {name!r}; there are {', '.join(_NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise InputError(f"{name} is {value!r}; a finite number is needed")
    return {name: float(value) for name, value in given.items()}


@dataclass(frozen=True, slots=True)
class VoiceSegment:
    """A stretch of sound in which somebody speaks."""

    start_s: float
    end_s: float
    cut: bool
    """Whether it ends because it was too long, and not with the speech."""


@dataclass(frozen=True)
class VoiceActivity:
    """What `voice_activity` finds in a clip."""

    probabilities: _Array
    """Of speech, float32 [frames]; frame i is 10 ms of sound from 0.01 i seconds on."""
    segments: tuple[VoiceSegment, ...]


def _segments(spans: _Spans) -> list[VoiceSegment]:
    return [VoiceSegment(begin / RATE, end / RATE, cut) for begin, end, cut in spans]


class VadStream:
    """Segments as the sound comes; the same for any chunking.

    Threads that share a stream take turns. A chunk is float32 or float64 (full scale is [-1, 1]),
    int16, int32 or uint8, [samples] or [samples, channels].
    """

    def __init__(self, sample_rate: int, **options: Unpack[SegmentOptions]) -> None:
        self.sample_rate = _rate(sample_rate)
        self._stream = _core.VoiceStream(_options(options))
        self._resampler = None if sample_rate == RATE else ResampleStream(sample_rate, RATE)
        resampling_ms = 0.0 if self._resampler is None else self._resampler.latency_ms
        self.latency_ms: float = LATENCY_MS + resampling_ms
        """From a sample to the probability of its frame."""

    def _feed(self, chunk: npt.NDArray[Any], sample_rate: int | None) -> tuple[_Array, _Spans]:
        if sample_rate is not None and sample_rate != self.sample_rate:
            raise InputError(
                f"this stream is one of {self.sample_rate} Hz, and a chunk of {sample_rate!r} Hz "
                "came; finish it and begin another"
            )
        samples = mono(chunk, "chunk")
        if self._resampler is not None:
            samples = self._resampler.feed(samples)
        return self._stream.feed(samples)

    def _finish(self) -> tuple[_Array, _Spans]:
        rest: _Array = np.zeros(0, np.float32)
        spans: _Spans = []
        if self._resampler is not None:
            rest, spans = self._stream.feed(self._resampler.finish())
        last, more = self._stream.finish()
        return np.concatenate([rest, last]), spans + more

    def feed(self, chunk: npt.NDArray[Any], sample_rate: int | None = None) -> list[VoiceSegment]:
        """The segments that `chunk` completes; `sample_rate` is checked."""
        return _segments(self._feed(chunk, sample_rate)[1])

    def finish(self) -> list[VoiceSegment]:
        """The segments that only the end completes; the stream is as new after it."""
        return _segments(self._finish()[1])


def voice_activity(
    samples: npt.NDArray[Any], sample_rate: int, **options: Unpack[SegmentOptions]
) -> VoiceActivity:
    """Where in a clip somebody speaks.

    Args:
        samples: [samples] or [samples, channels]; channels are averaged.
        sample_rate: 8000 to 192000 Hz; other rates than 16000 are resampled.
        options: See `SegmentOptions`.

    Raises `InputError` for NaN, other rates, and options that make no sense.
    """
    stream = VadStream(sample_rate, **options)
    first, spans = stream._feed(samples, None)
    last, more = stream._finish()
    return VoiceActivity(np.concatenate([first, last]), tuple(_segments(spans + more)))

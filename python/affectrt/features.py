"""Sound to features: what speech models read, computed in C++ in one pass, whole or chunk by chunk.

>>> import numpy as np
>>> from affectrt import features
>>> samples = np.zeros(16000, np.float32)
>>> features.log_mel(samples, 16000).shape
(80, 3000)
>>> features.fbank(samples, 16000).shape
(98, 80)

Samples are arrays of float32 or float64 (full scale is [-1, 1]), int16, int32 or uint8 (scaled to
it), of shape [samples] or [samples, channels]; channels are averaged. NaN, infinities, sample rates
out of 8000 to 192000 Hz and everything else that cannot be used raise `affectrt.errors.InputError`.
A list or tuple of clips gives a list of results, each the same as alone.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError, NotFoundError, UnsupportedError
from .prosody import FUNCTIONALS, Prosody

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "FbankOptions",
    "FbankStream",
    "LogMelStream",
    "MfccOptions",
    "Prosody",
    "ResampleStream",
    "fbank",
    "log_mel",
    "mfcc",
    "mono",
    "normalised_waveform",
    "prosody",
    "read_audio",
    "resample",
]

Array = npt.NDArray[np.float32]
Clip = npt.NDArray[Any]
Clips = Sequence[npt.NDArray[Any]]

_WHISPER_RATE = 16000


def mono(samples: Any, name: str = "samples") -> Array:
    """Samples of any kind as finite float32 of one channel, [samples]; `name` names them in
    errors. The very same array where it is that already."""
    array = samples if isinstance(samples, np.ndarray) else np.asarray(samples)
    return _core.mono(array, name)


def _clips(samples: Clip | Clips) -> tuple[list[Array], bool]:
    """The clips as finite float32 of one channel, and whether it was one alone."""
    if isinstance(samples, (list, tuple)):
        return [mono(clip, f"clip {i}") for i, clip in enumerate(samples)], False
    return [mono(samples)], True


def _rate(sample_rate: int) -> int:
    if isinstance(sample_rate, bool) or int(sample_rate) != sample_rate:
        raise InputError(f"sample_rate is {sample_rate!r}; whole Hz are needed")
    _core.check_sample_rate(int(sample_rate))
    return int(sample_rate)


def _threads(num_threads: int) -> int:
    if num_threads == 0:
        return int(_core.cpu_info()["usable"])
    if not 1 <= num_threads <= 1024:
        raise InputError(f"num_threads is {num_threads!r}; 0 (all CPUs) to 1024 is needed")
    return num_threads


def is_wav(file: Path) -> bool:
    """Whether affectrt reads a file itself: it says that it is a WAV file, or is empty.

    Raises `NotFoundError`, and `InputError` for a folder.
    """
    try:
        with file.open("rb") as opened:
            magic = opened.read(12)
    except IsADirectoryError as error:
        raise InputError(f"'{file}' is a folder; an audio file is needed") from error
    except OSError as error:
        raise NotFoundError(f"cannot read '{file}': {error.strerror or error}") from error
    riff = magic[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX", b"FFIR")
    return riff or file.suffix.lower() in (".wav", ".wave") or not magic


def read_audio(path: str | os.PathLike[str]) -> tuple[Array, int]:
    """The samples of an audio file, float32 [samples, channels] within [-1, 1], and its rate in Hz.

    WAV (PCM of 8 to 32 bits, float, extensible, RF64) is read by affectrt itself; FLAC, OGG, MP3
    and whatever else libsndfile knows by the package `soundfile`, which is an extra:
    ``pip install 'affectrt[audio]'``.

    Raises `NotFoundError`, `InputError` for a damaged file, `UnsupportedError` for what nothing
    here reads.
    """
    file = Path(path)
    if is_wav(file):
        return _core.read_wav(str(file))
    try:
        import soundfile
    except ImportError as error:
        raise UnsupportedError(
            f"'{file}' is no WAV file; to read FLAC, OGG and MP3, pip install 'affectrt[audio]'"
        ) from error
    try:
        samples, rate = soundfile.read(str(file), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"cannot read '{file}': {error}") from error
    return samples, int(rate)


@functools.lru_cache(maxsize=8)
def _resampler(from_rate: int, to_rate: int) -> _core.Resampler:
    return _core.Resampler(from_rate, to_rate)


def _resampled(clips: list[Array], from_rate: int, to_rate: int, threads: int) -> list[Array]:
    if from_rate == to_rate:
        return clips
    return _resampler(from_rate, to_rate).compute(clips, num_threads=threads)


@overload
def resample(samples: Clip, from_rate: int, to_rate: int, *, num_threads: int = ...) -> Array: ...
@overload
def resample(
    samples: Clips, from_rate: int, to_rate: int, *, num_threads: int = ...
) -> list[Array]: ...
def resample(
    samples: Clip | Clips, from_rate: int, to_rate: int, *, num_threads: int = 1
) -> Array | list[Array]:
    """Sound at `to_rate` Hz, float32 [ceil(samples * to_rate / from_rate)], one channel.

    A sinc under a Kaiser window: flat up to 91.25 % of the lower of the two Nyquist frequencies and
    130 dB down from there on, linear phase without delay; silence beyond the ends. Any two whole
    rates from 8000 to 192000 Hz. Measured against soxr in bench/results/resampler.md.
    """
    clips, alone = _clips(samples)
    results = _resampled(clips, _rate(from_rate), _rate(to_rate), _threads(num_threads))
    return results[0] if alone else results


@functools.lru_cache(maxsize=8)
def log_mel_plan(num_mels: int) -> _core.FrameFeatures:
    """What `log_mel` computes with."""
    return _core.FrameFeatures.whisper(num_mels)


def padded_samples(pad_to_s: float | None) -> int:
    """`log_mel`'s argument in samples; 0: none."""
    if pad_to_s is None:
        return 0
    if not 0.01 <= pad_to_s <= 3600.0:
        raise InputError(f"pad_to_s is {pad_to_s!r}; 0.01 to 3600 seconds, or None, is needed")
    return round(pad_to_s * _WHISPER_RATE)


@functools.lru_cache(maxsize=16)
def _kaldi(fields: tuple[tuple[str, Any], ...]) -> _core.FrameFeatures:
    return _core.FrameFeatures.kaldi(dict(fields))


@overload
def log_mel(
    samples: Clip, sample_rate: int, num_mels: int = ..., *,
    pad_to_s: float | None = ..., normalise: bool = ..., num_threads: int = ...,
) -> Array: ...  # fmt: skip
@overload
def log_mel(
    samples: Clips, sample_rate: int, num_mels: int = ..., *,
    pad_to_s: float | None = ..., normalise: bool = ..., num_threads: int = ...,
) -> list[Array]: ...  # fmt: skip
def log_mel(
    samples: Clip | Clips,
    sample_rate: int,
    num_mels: int = 80,
    *,
    pad_to_s: float | None = 30.0,
    normalise: bool = True,
    num_threads: int = 1,
) -> Array | list[Array]:
    """Whisper's log-mel spectrogram, float32 [num_mels, frames], 100 frames a second.

    The same as transformers' `WhisperFeatureExtractor` within 1e-4 (Radford et al. 2022, section
    2.2): frames of 25 ms every 10 ms of 16 kHz sound, Hann window, Slaney's mel scale, log10 of at
    least 1e-10; of these, everything more than 8 below the clip's largest is raised to that, and x
    becomes (x + 4) / 4. Sound of another rate is resampled to 16 kHz first.

    Args:
        samples: One clip, or a list of clips.
        sample_rate: Hz.
        num_mels: 80, or 128 as of Whisper large-v3; 1 to 256.
        pad_to_s: Clips are cut or filled with silence to so many seconds, as Whisper's are; None
            leaves them as they are.
        normalise: False leaves out the last two steps, which need the whole clip: log10 of the mel
            bands, as `LogMelStream` gives it.
        num_threads: Threads over the frames; 0: one for each CPU.
    """
    _rate(sample_rate)
    clips, alone = _clips(samples)
    threads = _threads(num_threads)
    clips = _resampled(clips, sample_rate, _WHISPER_RATE, threads)
    results = log_mel_plan(num_mels).compute(
        clips,
        total_samples=padded_samples(pad_to_s),
        feature_major=True,
        normalise=normalise,
        num_threads=threads,
    )
    return results[0] if alone else results


class FbankOptions(TypedDict, total=False):
    """Options of `fbank`, named as Kaldi's; what is not given has Kaldi's default."""

    frame_length_ms: float  # 25
    frame_shift_ms: float  # 10
    low_hz: float  # 20: where the mel bands begin
    high_hz: float  # 0: where they end; 0 or below: so much below half the sample rate
    preemphasis: float  # 0.97
    remove_dc_offset: bool  # True
    window: str  # "povey"; or hamming, hanning, rectangular, blackman, sine
    snip_edges: bool  # True: only frames within the clip; False: one for each shift, mirrored ends
    round_to_power_of_two: bool  # True: the transform's size
    scale: float  # 1: the samples are multiplied by it


class MfccOptions(FbankOptions, total=False):
    """Options of `mfcc`, named as Kaldi's."""

    num_mels: int  # 23
    use_energy: bool  # True: the first coefficient is the frame's log-energy
    lifter: float  # 22


_FBANK_DEFAULTS: dict[str, Any] = {
    "frame_length_ms": 25.0,
    "frame_shift_ms": 10.0,
    "low_hz": 20.0,
    "high_hz": 0.0,
    "preemphasis": 0.97,
    "remove_dc_offset": True,
    "window": "povey",
    "snip_edges": True,
    "round_to_power_of_two": True,
    "scale": 1.0,
}
_MFCC_DEFAULTS = {**_FBANK_DEFAULTS, "num_mels": 23, "use_energy": True, "lifter": 22.0}


def _kaldi_plan(
    sample_rate: int, defaults: dict[str, Any], given: Mapping[str, Any], **fixed: int
) -> _core.FrameFeatures:
    for name, value in given.items():
        if name not in defaults:
            raise InputError(f"there is no option {name!r}; there are {', '.join(defaults)}")
        if isinstance(value, float) and not np.isfinite(value):
            raise InputError(f"{name} is {value!r}; a finite number is needed")
    fields = {"sample_rate": _rate(sample_rate), **defaults, **given, **fixed}
    return _kaldi(tuple(fields.items()))


def fbank_plan(sample_rate: int, num_mels: int, options: FbankOptions) -> _core.FrameFeatures:
    """What `fbank` computes with."""
    return _kaldi_plan(sample_rate, _FBANK_DEFAULTS, options, num_mels=num_mels)


def mfcc_plan(sample_rate: int, num_ceps: int, options: MfccOptions) -> _core.FrameFeatures:
    """What `mfcc` computes with."""
    return _kaldi_plan(sample_rate, _MFCC_DEFAULTS, options, num_ceps=num_ceps)


@overload
def fbank(
    samples: Clip,
    sample_rate: int,
    num_mels: int = ...,
    *,
    num_threads: int = ...,
    **options: Unpack[FbankOptions],
) -> Array: ...
@overload
def fbank(
    samples: Clips,
    sample_rate: int,
    num_mels: int = ...,
    *,
    num_threads: int = ...,
    **options: Unpack[FbankOptions],
) -> list[Array]: ...
def fbank(
    samples: Clip | Clips,
    sample_rate: int,
    num_mels: int = 80,
    *,
    num_threads: int = 1,
    **options: Unpack[FbankOptions],
) -> Array | list[Array]:
    """Kaldi's log mel filter bank, float32 [frames, num_mels].

    As Kaldi's `compute-fbank-feats` and kaldi-native-fbank: within 1e-3 down to 80 dB below the
    energy of the frame, within 6e-3 in weaker bands, where float32 rounds in both. Their options
    and defaults, dither 0: the natural logarithm of at least 1.19e-7. Sound is not resampled.
    Models that were trained on samples of 16-bit range want ``scale=32768``.

    Args:
        samples: One clip, or a list of clips.
        sample_rate: Hz.
        num_mels: Mel bands.
        num_threads: Threads over the frames; 0: one for each CPU.
        options: See `FbankOptions`.
    """
    plan = fbank_plan(sample_rate, num_mels, options)
    clips, alone = _clips(samples)
    results = plan.compute(clips, num_threads=_threads(num_threads))
    return results[0] if alone else results


@overload
def mfcc(
    samples: Clip,
    sample_rate: int,
    num_ceps: int = ...,
    *,
    num_threads: int = ...,
    **options: Unpack[MfccOptions],
) -> Array: ...
@overload
def mfcc(
    samples: Clips,
    sample_rate: int,
    num_ceps: int = ...,
    *,
    num_threads: int = ...,
    **options: Unpack[MfccOptions],
) -> list[Array]: ...
def mfcc(
    samples: Clip | Clips,
    sample_rate: int,
    num_ceps: int = 13,
    *,
    num_threads: int = 1,
    **options: Unpack[MfccOptions],
) -> Array | list[Array]:
    """Kaldi's mel-frequency cepstral coefficients, float32 [frames, num_ceps].

    The same as Kaldi's `compute-mfcc-feats` and kaldi-native-fbank within 5e-3, with their options
    and defaults, dither 0. Arguments as those of `fbank`; options: see `MfccOptions`. With
    `use_energy` the first coefficient is the logarithm of the frame's energy before pre-emphasis
    and window.
    """
    plan = mfcc_plan(sample_rate, num_ceps, options)
    clips, alone = _clips(samples)
    results = plan.compute(clips, num_threads=_threads(num_threads))
    return results[0] if alone else results


@overload
def normalised_waveform(samples: Clip, sample_rate: int) -> Array: ...
@overload
def normalised_waveform(samples: Clips, sample_rate: int) -> list[Array]: ...
def normalised_waveform(samples: Clip | Clips, sample_rate: int) -> Array | list[Array]:
    """The input of wav2vec 2.0, HuBERT and WavLM, float32 [samples] at 16 kHz.

    (x - mean) / sqrt(variance + 1e-7) of the whole clip, as transformers'
    `Wav2Vec2FeatureExtractor` with `do_normalize`. Sound of another rate is resampled first.
    """
    clips, alone = _clips(samples)
    clips = _resampled(clips, _rate(sample_rate), 16000, 1)
    results = [_core.normalise_waveform(clip) for clip in clips]
    return results[0] if alone else results


@overload
def prosody(samples: Clip, sample_rate: int) -> Prosody: ...
@overload
def prosody(samples: Clips, sample_rate: int) -> list[Prosody]: ...
def prosody(samples: Clip | Clips, sample_rate: int) -> Prosody | list[Prosody]:
    """Pitch, voicing, loudness, jitter, shimmer, harmonics, formants and spectral slopes.

    The 25 descriptors of eGeMAPS every 10 ms and their 88 statistics (Eyben et al. 2016); see
    `affectrt.prosody`. Sound of another rate than 16 kHz is resampled first. A clip below 60 ms has
    no frames.
    """
    clips, alone = _clips(samples)
    clips = _resampled(clips, _rate(sample_rate), 16000, 1)
    results = []
    for clip in clips:
        frames, statistics = _core.prosody(clip)
        results.append(Prosody(frames, dict(zip(FUNCTIONALS, statistics.tolist(), strict=True))))
    return results[0] if alone else results


class _Stream:
    """What streams share: the rate may not change, chunks are checked like clips."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = _rate(sample_rate)

    def _chunk(self, chunk: Clip, sample_rate: int | None) -> Array:
        if sample_rate is not None and sample_rate != self.sample_rate:
            raise InputError(
                f"this stream is one of {self.sample_rate} Hz, and a chunk of {sample_rate!r} Hz "
                "came; finish it and begin another"
            )
        return mono(chunk, "chunk")


class ResampleStream(_Stream):
    """`resample` chunk by chunk: the same samples to the bit, for any chunking.

    `latency_ms` is the longest time between the arrival of a sample and that of the output of its
    instant, 20 to 60 ms for the usual rates.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        super().__init__(from_rate)
        plan = _resampler(self.sample_rate, _rate(to_rate))
        self._stream = _core.ResampleStream(plan)
        self.latency_ms: float = plan.latency_ms

    def feed(self, chunk: Clip, sample_rate: int | None = None) -> Array:
        """The samples [samples] that are certain after `chunk`; `sample_rate` is checked."""
        return self._stream.feed(self._chunk(chunk, sample_rate))

    def finish(self) -> Array:
        """The rest, [samples]; the stream is as new after it."""
        return self._stream.finish()


class _FrameStream(_Stream):
    def __init__(self, sample_rate: int, plan: _core.FrameFeatures, rate: int) -> None:
        super().__init__(sample_rate)
        self._columns = plan.columns
        self._stream = _core.FrameStream(plan)
        self._resampler = None
        if rate != self.sample_rate:
            self._resampler = _core.ResampleStream(_resampler(self.sample_rate, rate))

    def feed(self, chunk: Clip, sample_rate: int | None = None) -> Array:
        """The frames [frames, features] that `chunk` completes; `sample_rate` is checked."""
        samples = self._chunk(chunk, sample_rate)
        if self._resampler is not None:
            samples = self._resampler.feed(samples)
        return self._stream.feed(samples).reshape(-1, self._columns)

    def finish(self) -> Array:
        """The frames that only the end completes; the stream is as new after it."""
        rest = np.empty((0, self._columns), np.float32)
        if self._resampler is not None:
            rest = self._stream.feed(self._resampler.finish()).reshape(-1, self._columns)
        return np.concatenate([rest, self._stream.finish().reshape(-1, self._columns)])


class LogMelStream(_FrameStream):
    """`log_mel` chunk by chunk, without its normalisation, which needs the whole clip.

    `feed` and `finish` give float32 [frames, num_mels], the transpose of
    ``log_mel(..., pad_to_s=None, normalise=False)`` to the bit, for any chunking. Latency: 12.5 ms,
    half a frame, and that of `ResampleStream` for rates other than 16 kHz.
    """

    def __init__(self, sample_rate: int, num_mels: int = 80) -> None:
        super().__init__(sample_rate, log_mel_plan(num_mels), _WHISPER_RATE)


class FbankStream(_FrameStream):
    """`fbank` chunk by chunk: the same frames to the bit, for any chunking.

    `options` are those of `fbank`. Latency: a frame is there with its last sample, 25 ms after its
    first (half of it after its middle).
    """

    def __init__(
        self, sample_rate: int, num_mels: int = 80, **options: Unpack[FbankOptions]
    ) -> None:
        plan = fbank_plan(sample_rate, num_mels, options)
        super().__init__(sample_rate, plan, sample_rate)

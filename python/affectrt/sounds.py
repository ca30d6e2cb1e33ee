"""One place that says what may be given as sound, and turns it into clips."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError

SoundLike: TypeAlias = (
    str | os.PathLike[str] | npt.NDArray[Any] | tuple[npt.NDArray[Any], int] | Mapping[str, Any]
)
"""An audio file, samples `[samples]` or `[samples, channels]`, samples with their rate, or
`{"array": ..., "sampling_rate": ...}` as transformers and datasets have it."""

TARGET_KEYS: Mapping[str, tuple[str, ...]] = {"speaker_sex": ("sex",)}
"""What rows of labelled clips call the target of a head, beside its name."""

_LEAST_RATE = 8000  # Hz
_MOST_RATE = 192000
_EXPECTED = "the path of an audio file, a NumPy array of samples, or (samples, sample_rate)"


@dataclass(frozen=True, slots=True)
class Clip:
    """Finite samples of one channel, float32 `[samples]`, and where they are from."""

    samples: npt.NDArray[np.float32]
    sample_rate: int  # Hz
    source: str | None  # the file


def checked_rate(rate: object, where: str) -> int:
    """A sample rate that can be; `InputError` says where it was not."""
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer):
        raise InputError(f"{where}: the sample rate is {rate!r}; whole Hz are needed")
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise InputError(
            f"{where}: the sample rate is {rate} Hz; {_LEAST_RATE} to {_MOST_RATE} is possible"
        )
    return int(rate)


def _clip_of_samples(samples: Any, rate: object, where: str) -> Clip:
    if not isinstance(samples, np.ndarray):
        raise InputError(f"{where}: samples are {type(samples).__name__}; give a NumPy array")
    if rate is None:
        raise InputError(
            f"{where} is an array without a sample rate; give sample_rate=, in Hz, or a tuple "
            "(samples, sample_rate)"
        )
    hertz = checked_rate(rate, where)
    if samples.size == 0:
        raise InputError(f"{where} is empty; at least one sample is needed")
    return Clip(_core.mono(samples, where), hertz, None)


def _clip_of_file(given: str | os.PathLike[str], where: str) -> Clip:
    from .features import is_wav, read_audio

    path = os.fspath(given)
    if not isinstance(path, str):
        raise InputError(f"{where} is a path of bytes; give str or pathlib.Path")
    if not path or "\0" in path:
        raise InputError(f"{where} is {path!r}, which no path can be")
    samples, rate = read_audio(Path(path))
    hertz = checked_rate(rate, f"'{path}'")
    if len(samples) == 0:
        raise InputError(f"'{path}' holds no samples; at least one is needed")
    if samples.shape[1] == 1 and is_wav(Path(path)):  # checked by its reader: hours in one copy
        return Clip(samples.reshape(-1), hertz, path)
    return Clip(_core.mono(samples, f"'{path}'"), hertz, path)


def clip_of(sound: Any, sample_rate: object, where: str) -> Clip:
    """One clip from whatever stands for one; errors name `where`, or the file."""
    if isinstance(sound, str | os.PathLike):
        return _clip_of_file(sound, where)
    if isinstance(sound, np.ndarray):
        return _clip_of_samples(sound, sample_rate, where)
    if isinstance(sound, tuple):
        if len(sound) != 2:
            raise InputError(f"{where} is a tuple of {len(sound)}; give (samples, sample_rate)")
        return _clip_of_samples(sound[0], sound[1], where)
    if isinstance(sound, Mapping):
        samples = sound.get("array", sound.get("raw"))
        if samples is None or "sampling_rate" not in sound:
            keys = ", ".join(repr(key) for key in sound) or "none"
            raise InputError(f'{where} has the keys {keys}; give "array" and "sampling_rate"')
        return _clip_of_samples(samples, sound["sampling_rate"], where)
    raise InputError(f"{where} is {type(sound).__name__}; give {_EXPECTED}")


def is_one_sound(sounds: object) -> bool:
    """Whether this is one clip, not several."""
    return isinstance(sounds, str | os.PathLike | np.ndarray | tuple | Mapping)


def clips_of(sounds: Any, sample_rate: object, argument: str = "sounds") -> Iterator[Clip]:
    """Clips one by one, files read as they come; `InputError` names the one that cannot be."""
    if is_one_sound(sounds):
        yield clip_of(sounds, sample_rate, argument)
        return
    for index, sound in enumerate(sounds):
        yield clip_of(sound, sample_rate, f"{argument}[{index}]")


def check_sounds(sounds: Any, sample_rate: object, argument: str = "sounds") -> None:
    """What is wrong with the arguments as a whole, before any sound is read."""
    if not is_one_sound(sounds) and (
        isinstance(sounds, bytes | bytearray | memoryview | set | frozenset)
        or not isinstance(sounds, Iterable)
    ):
        raise InputError(
            f"{argument} is {type(sounds).__name__}; give {_EXPECTED}, or a list of these"
        )
    if sample_rate is not None:
        checked_rate(sample_rate, "sample_rate")
        if isinstance(sounds, str | os.PathLike):
            raise InputError("sample_rate goes with arrays; a file says its own")

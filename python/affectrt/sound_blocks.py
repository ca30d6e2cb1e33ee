"""Sound block by block, from files of any length and from pipes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError, UnsupportedError
from .features import is_wav

__all__ = ["PcmFormat", "Sound", "open_sound", "pipe_sound"]

Blocks: TypeAlias = Iterator[npt.NDArray[np.float32]]
PcmFormat: TypeAlias = Literal["u8", "s16", "s24", "s32", "f32", "f64"]
"""Samples of a pipe without a header: unsigned or signed integers, or floats, little-endian."""

PCM_FORMATS: dict[str, tuple[int, int]] = {  # tag of a WAV header, bytes of a sample
    "u8": (1, 1), "s16": (1, 2), "s24": (1, 3), "s32": (1, 4), "f32": (3, 4), "f64": (3, 8),
}  # fmt: skip
_BLOCK_SECONDS = 4.0
_PIPE_SECONDS = 0.1  # so much is waited for; a pipe gives less where no more is there
_MOST_HEADER = 1 << 20
_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True)
class Sound:
    """What can be read once, block by block."""

    name: str
    sample_rate: int
    """Hz."""
    channels: int
    frames: int | None
    """Samples a channel; None where nobody knows before the end."""
    blocks: Blocks
    """float32 [frames, channels], full scale from -1 to 1, finite."""

    @property
    def duration_s(self) -> float | None:
        return None if self.frames is None else self.frames / self.sample_rate


def open_sound(path: str | os.PathLike[str]) -> Sound:
    """An audio file, of which a few seconds at a time are in memory.

    Reads what `affectrt.features.read_audio` reads, and raises what it raises; the header is read
    at once, damage further behind is found when its block is read.
    """
    file = Path(path)
    name = f"'{file}'"
    if is_wav(file):
        wav = _core.WavFile(str(file))
        step = max(1, int(_BLOCK_SECONDS * wav.sample_rate))
        blocks = (wav.read(begin, step) for begin in range(0, wav.frames, step))
        return Sound(name, wav.sample_rate, wav.channels, wav.frames, blocks)
    try:
        import soundfile
    except ImportError as error:
        raise UnsupportedError(
            f"{name} is no WAV file; to read FLAC, OGG and MP3, pip install 'affectrt[audio]'"
        ) from error
    try:
        opened = soundfile.SoundFile(str(file))
    except soundfile.LibsndfileError as error:
        raise InputError(f"cannot read {name}: {error}") from error

    def read() -> Blocks:
        step = max(1, int(_BLOCK_SECONDS * opened.samplerate))
        with opened:
            while True:
                try:
                    block = opened.read(step, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise InputError(f"cannot read {name}: {error}") from error
                if not len(block):
                    return
                yield block

    frames = int(opened.frames)
    known = frames if 0 < frames < 1 << 48 else None
    return Sound(name, int(opened.samplerate), int(opened.channels), known, read())


def _header(tag: int, channels: int, rate: int, width: int) -> bytes:
    """Of a WAV file whose length nobody knows."""
    frame = channels * width
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, 8 * width)
    return (
        b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVEfmt " + struct.pack("<I", 16) + form
        + b"data" + struct.pack("<I", _UNKNOWN)
    )  # fmt: skip


def _read_exactly(stream: BinaryIO, count: int, name: str) -> bytes:
    read = b""
    while len(read) < count:
        more = stream.read(count - len(read))
        if not more:
            raise InputError(f"{name}: the WAV header is cut short")
        read += more
    return read


def _wav_header(stream: BinaryIO, begin: bytes, name: str) -> tuple[bytes, int | None]:
    """The header up to the data, its sizes unknown, and the bytes of data if it says how many."""
    header = begin + _read_exactly(stream, 12 - len(begin), name)
    while len(header) < _MOST_HEADER:
        chunk = _read_exactly(stream, 8, name)
        size = struct.unpack("<I", chunk[4:])[0]
        if chunk[:4] == b"data":
            return header + b"data" + struct.pack("<I", _UNKNOWN), (
                None if size in (0, _UNKNOWN) else size
            )
        header += chunk + _read_exactly(stream, min(size + size % 2, _MOST_HEADER), name)
    raise InputError(f"{name}: no 'data' chunk in the first {_MOST_HEADER:,} bytes")


def pipe_sound(
    stream: BinaryIO,
    *,
    sample_rate: int | None = None,
    channels: int = 1,
    pcm: PcmFormat | None = None,
    name: str = "<stdin>",
) -> Sound:
    """Sound as it comes through a pipe: a WAV file, or bare samples.

    Args:
        stream: read in portions of 0.1 s.
        sample_rate: of bare samples, in Hz. Without it the stream has to begin with a WAV header.
        channels: of bare samples, interleaved.
        pcm: format of bare samples; s16 if not given.
        name: of the stream, for errors.

    Raises `InputError` for what is no sound.
    """
    total: int | None = None
    if sample_rate is None:
        if pcm is not None:
            raise InputError(f"{name}: bare samples need a sample rate in Hz")
        begin = stream.read(4)
        if begin != b"RIFF":
            raise InputError(
                f"{name} does not begin with a WAV header; bare samples need a sample rate "
                "and, where they are not s16, a format"
            )
        header, total = _wav_header(stream, begin, name)
    else:
        if not 1 <= channels <= 64:
            raise InputError(f"{name}: {channels} channels; 1 to 64 are read")
        _core.check_sample_rate(sample_rate)
        tag, width = PCM_FORMATS[pcm or "s16"]
        header = _header(tag, channels, sample_rate, width)
    empty, rate = _core.parse_wav(header, name)
    channels = empty.shape[1]
    form = header.index(b"fmt ") + 8
    frame = struct.unpack_from("<H", header, form + 12)[0]

    def read() -> Blocks:
        step = max(1, int(_PIPE_SECONDS * rate)) * frame
        rest, left = b"", total
        read_some: Any = getattr(stream, "read1", stream.read)
        while left is None or left > 0:
            data = read_some(step if left is None else min(step, left))
            if not data:
                break
            left = None if left is None else left - len(data)
            data = rest + data
            whole = len(data) // frame * frame
            rest = data[whole:]
            if whole:
                yield _core.parse_wav(header + data[:whole], name)[0]

    return Sound(name, rate, channels, None if total is None else total // frame, read())

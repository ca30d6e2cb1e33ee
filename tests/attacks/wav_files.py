"""WAV images, right and wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass


def wav(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 16000,
    bits: int = 16,
    align: int | None = None,
    size: int | None = None,
    riff: bytes = b"RIFF",
    riff_size: int | None = None,
    before: bytes = b"",
    tail: bytes = b"",
    extension: bytes | None = None,
) -> bytes:
    """A WAV file of `data`; what is given replaces what would be right."""
    align = channels * bits // 8 if align is None else align
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    head += extension or b""
    chunks = b"WAVE" + before + b"fmt " + struct.pack("<I", len(head)) + head
    chunks += b"data" + struct.pack("<I", len(data) if size is None else size) + data + tail
    return riff + struct.pack("<I", len(chunks) if riff_size is None else riff_size) + chunks


def extension(tag: int, bits: int) -> bytes:
    """What WAVE_FORMAT_EXTENSIBLE has behind the 16 bytes of the format."""
    guid = struct.pack("<HHHH", tag, 0, 0, 16) + bytes([128, 0, 0, 170, 0, 56, 155, 113])
    return struct.pack("<HHI", 22, bits, 4) + guid


@dataclass(frozen=True)
class Attack:
    """A file that must be refused, and what the refusal says."""

    name: str
    image: bytes
    expected: str


def all_attacks() -> Iterator[Attack]:
    data = bytes(range(64))
    good = wav(data)
    yield Attack("empty", b"", "empty")
    yield Attack("text", b"Dear diary, today I was asked to be a sound file.\n", "no WAV file")
    yield Attack("text_of_one_byte", b"R", "no WAV file")
    yield Attack("avi", b"RIFF" + bytes(4) + b"AVI " + data, "no WAV file")
    yield Attack("big_endian", b"RIFX" + good[4:], "big-endian")
    yield Attack("riff_alone", good[:12], "no 'data' chunk")
    yield Attack("no_data", good[:36], "no 'data' chunk")
    yield Attack("data_before_format", good[:12] + good[36:], "no 'fmt ' chunk before")
    yield Attack("cut_in_format", good[:30], "cut short in its chunk 'fmt '")
    yield Attack("cut_in_data", good[:-1], "cut short: its header says 64 bytes")
    yield Attack("data_of_4_gb", wav(data, size=0xFFFFFFFE), "cut short")
    yield Attack("partial_frame", wav(data[:63]), "no multiple")
    yield Attack("rate_0", wav(data, rate=0), "0 samples a second")
    yield Attack("channels_0", wav(data, channels=0, align=0), "0 channels")
    yield Attack("align_0", wav(data, align=0), "contradicts itself")
    yield Attack("align_wrong", wav(data, align=4), "contradicts itself")
    yield Attack("bits_0", wav(data, bits=0), "not read")
    yield Attack("bits_12", wav(data, bits=12, align=2), "not read")
    yield Attack("float_16", wav(data, tag=3), "not read")
    yield Attack("a_law", wav(data, tag=6, bits=8), "encoding 6")
    yield Attack("mp3_in_wav", wav(data, tag=85, bits=0, align=1), "encoding 85")
    yield Attack("short_extension", wav(data, tag=0xFFFE, extension=bytes(8)), "extensible")
    other = bytearray(extension(1, 16))
    other[-1] ^= 1
    yield Attack("unknown_guid", wav(data, tag=0xFFFE, extension=bytes(other)), "sub-format")
    yield Attack(
        "chunk_without_end", wav(data, before=b"LIST" + struct.pack("<I", 1 << 31)), "cut short"
    )
    yield Attack(
        "nan", wav(struct.pack("<3f", 0, float("nan"), 0), tag=3, bits=32), "sample 1 is NaN"
    )
    yield Attack(
        "infinite", wav(struct.pack("<2d", 0, float("inf")), tag=3, bits=64), "sample 1 is inf"
    )

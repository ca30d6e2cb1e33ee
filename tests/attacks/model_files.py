"""Hostile `.affect` files. `python -m attacks.model_files FOLDER` (in tests/) writes them out,
for `AFFECTRT_ATTACKS=FOLDER test_bundle` (the C++ test, with sanitizers) and for other readers.

Everything is written by `pack()` below or by Python's zipfile, not by `affectrt.export`, so that
reader and writer are held against a third opinion.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .head_fields import HEAD_LIES, told

TINY_ONNX = b"\x08\x08\x3a\x00"  # ir_version 8 and an empty graph

FILES: Mapping[str, bytes] = {
    "config.json": b'{"model_type": "bert"}',
    "model.onnx": TINY_ONNX,
    "tokenizer.json": b'{"version": "1.0"}',
}


@dataclass(frozen=True)
class Attack:
    """A file that must be refused, and what the refusal says."""

    name: str
    image: bytes
    expected: str  # a regular expression


def manifest(files: Mapping[str, bytes] = FILES) -> dict[str, Any]:
    """A right affectrt.json for `files`."""
    return {
        "format": "affectrt-model",
        "format_version": 1,
        "name": "tiny",
        "modality": "text",
        "model": {"family": "bert", "precision": "fp32", "onnx": "model.onnx"},
        "input": {"max_tokens": 512},
        "heads": [
            {
                "name": "emotion",
                "task": "multi_label",
                "output": "logits",
                "labels": ["joy", "fear"],
                "thresholds": [0.25, 0.75],
                "calibration": {"temperature": 1.5},
                "unsure_below": 0.125,
            }
        ],
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(files.items())
        },
    }


@dataclass
class Record:
    """The fields of one entry before they are packed; an attack changes some."""

    name: bytes
    data: bytes
    version: int = 10
    flags: int = 0
    method: int = 0
    time: int = 0
    date: int = 33
    crc: int = 0
    stored: int = 0
    size: int = 0
    local_name: bytes | None = None  # None: as `name`
    local: dict[str, int] = field(default_factory=dict)  # fields that differ in the local header
    extra: Callable[[bytes], bytes] | None = None  # from the right extra field to another
    made_by: int = 3 << 8 | 10
    directory_extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    internal: int = 0
    external: int = 0o100644 << 16
    offset: int | None = None  # None: where it is
    gap: bytes = b""  # behind the data


@dataclass
class End:
    """The end record's fields; None: the right value."""

    disk: int = 0
    directory_disk: int = 0
    disk_entries: int | None = None
    entries: int | None = None
    directory_bytes: int | None = None
    directory_begin: int | None = None
    comment: bytes = b""
    comment_bytes: int | None = None
    before: bytes = b""  # between the directory and the end record


def records(text: bytes | None = None, files: Mapping[str, bytes] = FILES) -> list[Record]:
    if text is None:
        text = json.dumps(manifest(files)).encode()
    made = [Record(b"affectrt.json", text)]
    made += [Record(name.encode(), data) for name, data in sorted(files.items())]
    for record in made:
        record.crc = zlib.crc32(record.data)
        record.stored = record.size = len(record.data)
    return made


def _alignment_field(unpadded: int) -> bytes:
    zeros = -(unpadded + 6) % 64
    return struct.pack("<HHH", 0xA11E, 2 + zeros, 64) + bytes(zeros)


def pack(entries: list[Record], end: End | None = None) -> bytes:
    end = end or End()
    image, directory = b"", b""
    for record in entries:
        offset = len(image)
        name = record.name if record.local_name is None else record.local_name
        extra = _alignment_field(offset + 30 + len(name))
        if record.extra is not None:
            extra = record.extra(extra)
        shared = ("version", "flags", "method", "time", "date", "crc", "stored", "size")
        local = [record.local.get(key, getattr(record, key)) for key in shared]
        central = [getattr(record, key) for key in shared]
        name_bytes = record.local.get("name_bytes", len(name))
        extra_bytes = record.local.get("extra_bytes", len(extra))
        image += struct.pack("<IHHHHHIII", 0x04034B50, *local)
        image += struct.pack("<HH", name_bytes, extra_bytes) + name + extra
        image += record.data + record.gap
        directory += struct.pack("<IHHHHHHIII", 0x02014B50, record.made_by, *central)
        directory += struct.pack(
            "<HHHHHII",
            len(record.name),
            len(record.directory_extra),
            len(record.comment),
            record.disk,
            record.internal,
            record.external,
            offset if record.offset is None else record.offset,
        )
        directory += record.name + record.directory_extra + record.comment

    def right(value: int | None, otherwise: int) -> int:
        return otherwise if value is None else value

    begin = len(image)
    return (
        image
        + directory
        + end.before
        + struct.pack(
            "<IHHHHIIH",
            0x06054B50,
            end.disk,
            end.directory_disk,
            right(end.disk_entries, len(entries)),
            right(end.entries, len(entries)),
            right(end.directory_bytes, len(directory)),
            right(end.directory_begin, begin),
            right(end.comment_bytes, len(end.comment)),
        )
        + end.comment
    )


def good_image() -> bytes:
    return pack(records())


def _changed(index: int, **changes: Any) -> bytes:
    made = records()
    for key, value in changes.items():
        setattr(made[index], key, value)
    return pack(made)


def _named(name: bytes) -> bytes:
    """An image with one more entry of that name, listed in affectrt.json where it can be."""
    files = dict(FILES)
    try:
        files[name.decode()] = b"x"
        made = records(files=files)
    except UnicodeDecodeError:
        made = records()
        made.append(Record(name, b"x", crc=zlib.crc32(b"x"), stored=1, size=1))
    head, rest = made[0], sorted(made[1:], key=lambda record: record.name)
    return pack([head, *rest])


def entry_attacks() -> Iterator[Attack]:
    """One wrong field of one entry."""
    for method, name in (
        (8, "deflate"),
        (9, "deflate64"),
        (12, "bzip2"),
        (14, "lzma"),
        (93, "zstd"),
    ):
        yield Attack(
            f"compressed-{name}", _changed(1, method=method), r"config\.json': is compressed"
        )
    for bit in range(16):
        yield Attack(f"flag-bit-{bit}", _changed(2, flags=1 << bit), r"model\.onnx': ")
        yield Attack(
            f"local-flag-bit-{bit}", _changed(2, local={"flags": 1 << bit}), r"model\.onnx': "
        )
    for key in ("version", "method", "time", "date", "crc", "stored", "size"):
        for value in (1, 7, 0x7FFF):
            where = {"version": 10, "date": 33}.get(key, 0) + value
            yield Attack(f"local-{key}-{value}", _changed(2, local={key: where}), r"model\.onnx': ")
            yield Attack(f"both-{key}-{value}", _changed(2, **{key: where}), r"model\.onnx': ")
    for key in ("crc", "stored", "size"):
        yield Attack(
            f"local-{key}-max", _changed(3, local={key: 0xFFFFFFFF}), r"tokenizer\.json': "
        )
        yield Attack(f"both-{key}-max", _changed(3, **{key: 0xFFFFFFFF}), r"tokenizer\.json': ")
    for size in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE):
        yield Attack(
            f"oversized-{size:x}",
            _changed(3, stored=size, size=size),
            r"run into the ZIP directory",
        )
    yield Attack("zip64-sizes", _changed(3, stored=0xFFFFFFFF, size=0xFFFFFFFF), "ZIP64")
    for made_by in (0, 0x0A, 0x031E, 0xFFFF):
        yield Attack(f"made-by-{made_by:x}", _changed(1, made_by=made_by), "mode 0644")
    for mode, name in (
        (0o120777, "symlink"),
        (0o040755, "folder"),
        (0o104755, "setuid"),
        (0, "none"),
    ):
        yield Attack(f"mode-{name}", _changed(1, external=mode << 16), "mode 0644")
    yield Attack("internal-attributes", _changed(1, internal=1), "mode 0644")
    yield Attack("disk", _changed(1, disk=1), "another disk")
    yield Attack("directory-comment", _changed(1, comment=b"hello"), "extra field or a comment")
    yield Attack(
        "directory-extra", _changed(1, directory_extra=b"\1\0\0\0"), "extra field or a comment"
    )
    yield Attack(
        "local-name-differs", _changed(1, local_name=b"confog.json"), "both names must be equal"
    )
    yield Attack("local-name-longer", _changed(1, local_name=b"config.json2"), r"config\.json': ")
    for length in (0, 10, 12, 255, 0xFFFF):
        yield Attack(
            f"local-name-bytes-{length}", _changed(1, local={"name_bytes": length}), "names it"
        )
    for length in (0, 3, 5, 0x7FFF, 0xFFFF):
        yield Attack(
            f"local-extra-bytes-{length}", _changed(1, local={"extra_bytes": length}), "extra field"
        )
    extras: dict[str, Callable[[bytes], bytes]] = {
        "none": lambda right: b"",
        "one-zero-more": lambda right: right + b"\0",
        "a-block-more": lambda right: (
            struct.pack("<HHH", 0xA11E, len(right) + 60, 64) + right[6:] + bytes(64)
        ),
        "not-zeros": lambda right: right[:-1] + b"\1",
        "other-id": lambda right: b"\x01\x00" + right[2:],
        "size-short": lambda right: right[:2] + b"\2\0" + right[4:],
        "size-long": lambda right: right[:2] + b"\xff\xff" + right[4:],
        "other-alignment": lambda right: right[:4] + b"\x20\0" + right[6:],
    }
    for name, change in extras.items():
        yield Attack(f"extra-{name}", _changed(3, extra=change), r"tokenizer\.json': (its|there)")


def name_attacks() -> Iterator[Attack]:
    bad = {
        "empty": b"",
        "absolute": b"/etc/passwd",
        "parent": b"../evil",
        "parent-inside": b"a/../../evil",
        "parent-last": b"a/..",
        "here": b"./a",
        "double-slash": b"a//b",
        "folder": b"folder/",
        "backslash": b"..\\evil",
        "drive": b"C:evil",
        "nul": b"a\0.json",
        "newline": b"a\nb",
        "escape": b"a\x1b[2Jb",
        "space": b"a b",
        "latin": b"caf\xe9",
        "utf8": "café".encode(),
        "overlong-slash": b"a\xc0\xafb",
        "right-to-left": "a\u202egpj.b".encode(),
        "hidden": b".bashrc",
        "option": b"-rf",
        "trailing-dot": b"dot.",
        "long": b"a" * 256,
        "longest": b"a" * 0xFFFF,
        "tilde": b"~root",
        "wildcard": b"*",
        "stream": b"a:$DATA",
    }
    for name, raw in bad.items():
        yield Attack(f"name-{name}", _named(raw), r"the name|the component")
    for raw in (b"Config.json", b"CONFIG.JSON", b"config.json/below"):
        yield Attack(
            f"name-clash-{raw.decode().replace('/', '-')}", _named(raw), "stands twice|is also"
        )
    twice = records()
    twice.insert(2, twice[1])
    yield Attack("name-twice", pack(twice), "stands twice")
    two_manifests = records()
    two_manifests.insert(1, two_manifests[0])
    yield Attack("manifest-twice", pack(two_manifests), "stands twice")


def layout_attacks() -> Iterator[Attack]:
    image = good_image()
    made = records()
    yield Attack("overlapping", _overlapping(), "it must follow the entry before")
    yield Attack("reordered", pack([made[0], made[2], made[1], made[3]]), "ascending order")
    yield Attack("manifest-last", pack([*made[1:], made[0]]), r"affectrt\.json must be")
    yield Attack("no-manifest", pack(made[1:]), r"affectrt\.json must be")
    yield Attack("only-manifest", pack(made[:1]), "which is not there")
    yield Attack("no-entries", pack([]), "ZIP local header")
    yield Attack("no-entries-but-a-header", b"PK\3\4" + pack([]), "no entries|must end where")
    for length in (1, 4, 63, 64):
        made = records()
        made[1].gap = bytes(length)
        yield Attack(f"gap-{length}", pack(made), "local header|must follow")
    for offset in (0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF):
        yield Attack(
            f"offset-{offset:x}", _changed(2, offset=offset), "it must follow the entry before"
        )
    ends = {
        "disk": (End(disk=1), "several parts"),
        "directory-disk": (End(directory_disk=1), "several parts"),
        "fewer-on-disk": (End(disk_entries=3), "several parts"),
        "fewer": (End(disk_entries=3, entries=3), "behind its last entry"),
        "more": (End(disk_entries=5, entries=5), "ends after 4 of its 5"),
        "many": (End(disk_entries=0xFFFE, entries=0xFFFE), "at most 1024"),
        "zip64-count": (End(disk_entries=0xFFFF, entries=0xFFFF), "ZIP64"),
        "zip64-offset": (End(directory_begin=0xFFFFFFFF), "ZIP64"),
        "zip64-bytes": (End(directory_bytes=0xFFFFFFFF), "ZIP64"),
        "zip64-locator": (End(before=struct.pack("<IIQI", 0x07064B50, 0, 0, 1)), "ZIP64"),
        "directory-early": (End(directory_begin=0), "must end where"),
        "directory-wraps": (
            End(directory_begin=0xFFFFFFF0, directory_bytes=0x20),
            "must end where",
        ),
        "directory-short": (End(directory_bytes=1), "must end where"),
        "comment": (End(comment=b"hello"), "5 bytes follow"),
        "comment-announced": (End(comment_bytes=5), "comment"),
        "hidden-end-in-comment": (End(comment=pack([])), "holds no entries"),
        "before": (End(before=b"padding"), "must end where"),
    }
    for name, (end, expected) in ends.items():
        yield Attack(f"end-{name}", pack(records(), end), expected)
    yield Attack("prepended", b"#!/bin/sh\n" + image, "does not begin with")
    yield Attack("prepended-header", image[:30] + image, ".")
    yield Attack("appended", image + b"\0", "1 bytes follow")
    yield Attack("appended-archive", image + image, "must end where")
    yield Attack("empty", b"", "is empty")
    for other in (
        b"\x7fELF" + bytes(100),
        b"GGUF" + bytes(100),
        b"hello\n",
        TINY_ONNX,
        bytes(1000),
    ):
        yield Attack(f"other-{zlib.crc32(other):08x}", other, "does not begin with")
    crowd = [Record(f"e{i:05}".encode(), b"", crc=0) for i in range(1024)]
    yield Attack("crowd", pack([*records()[:1], *crowd]), "at most 1024")


def _overlapping() -> bytes:
    """Two directory records with one local entry: a quoted overlap, as ZIP bombs use it."""
    made = records()
    made[2].offset = 0
    return pack(made)


def zipfile_attacks() -> Iterator[Attack]:
    """What Python's zipfile makes of the right content: valid ZIP, not valid .affect."""
    content = {"affectrt.json": json.dumps(manifest()).encode(), **FILES}

    class Stream(io.RawIOBase):
        """Not seekable, so that zipfile resorts to data descriptors."""

        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += bytes(data)
            return len(data)

    def archive(target: Any, method: int, **options: Any) -> None:
        with zipfile.ZipFile(target, "w", method) as out:
            for name, data in content.items():
                with out.open(zipfile.ZipInfo(name), "w", **options) as entry:
                    entry.write(data)

    for name, method in (
        ("stored", zipfile.ZIP_STORED),
        ("deflated", zipfile.ZIP_DEFLATED),
        ("bzip2", zipfile.ZIP_BZIP2),
        ("lzma", zipfile.ZIP_LZMA),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as out:
            for entry, data in content.items():
                out.writestr(entry, data)
        yield Attack(f"zipfile-{name}", buffer.getvalue(), r"affectrt\.json': ")
    buffer = io.BytesIO()
    archive(buffer, zipfile.ZIP_STORED, force_zip64=True)
    yield Attack("zipfile-zip64", buffer.getvalue(), r"affectrt\.json': ")
    stream = Stream()
    archive(stream, zipfile.ZIP_STORED)
    yield Attack("zipfile-data-descriptors", stream.written, "data descriptor")
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as out:
        warnings.simplefilter("ignore")
        for entry, data in [*content.items(), *content.items()]:
            out.writestr(entry, data)
    yield Attack("zipfile-twice", buffer.getvalue(), r"affectrt\.json': ")
    buffer = io.BytesIO(good_image())
    with zipfile.ZipFile(buffer, "a") as out:
        out.writestr("evil.json", "{}")
    yield Attack("zipfile-appended", buffer.getvalue(), r"evil\.json|tokenizer\.json")


def truncation_attacks() -> Iterator[Attack]:
    image = good_image()
    boundaries = {0, len(image)}
    for signature in (b"PK\3\4", b"PK\1\2", b"PK\5\6"):
        boundaries |= {match.start() for match in re.finditer(re.escape(signature), image)}
    for name in ("affectrt.json", *FILES):
        boundaries |= {match.end() for match in re.finditer(re.escape(name).encode(), image)}
    boundaries |= set(range(0, len(image), 64))
    sizes = {at + step for at in boundaries for step in (-2, -1, 0, 1, 2)}
    for size in sorted(size for size in sizes if 0 <= size < len(image)):
        yield Attack(f"truncated-{size}", image[:size], ".")


def manifest_attacks() -> Iterator[Attack]:
    """Whole images around a wrong affectrt.json; the CRC-32 is right."""
    right = json.dumps(manifest())

    def around(text: str | bytes) -> bytes:
        return pack(records(text.encode() if isinstance(text, str) else text))

    broken: dict[str, tuple[str | bytes, str]] = {
        "empty": ("", "not valid JSON"),
        "cut": (right[:-1], "not valid JSON"),
        "twice": (right + right, "not valid JSON"),
        "null": ("null", "is null; it must be an object"),
        "array": ("[]", "must be an object"),
        "string": ('"affectrt"', "must be an object"),
        "nan": (right.replace("0.25", "NaN"), "not valid JSON"),
        "infinity": (right.replace("0.25", "Infinity"), "not valid JSON"),
        "overflow": (right.replace("0.25", "1e999"), "not valid JSON"),
        "comment": ("// hello\n" + right, "not valid JSON"),
        "trailing-comma": (right[:-1] + ",}", "not valid JSON"),
        "single-quotes": (right.replace('"', "'"), "not valid JSON"),
        "bom": (b"\xef\xbb\xbf" + right.encode(), "byte-order mark"),
        "utf16": (right.encode("utf-16"), "not valid UTF-8"),
        "latin": (right.replace("tiny", "tin\u00e9").encode("latin-1"), "not valid UTF-8"),
        "surrogate-bytes": (right.encode().replace(b"tiny", b"\xed\xa0\x80"), "not valid UTF-8"),
        "surrogate-escape": (right.replace("tiny", "\\ud800"), "not valid JSON"),
        "nul": (right.encode() + b"\0", "NUL"),
        "nul-and-more": (right.encode() + b"\0{}", "NUL"),
        "control": (right.replace("tiny", "ti\tny"), "not valid JSON"),
        "key-twice": (right[:-1] + ', "name": "other"}', "'name' stands twice"),
        "deep-arrays": (right[:-1] + ', "x-a": ' + "[" * 200_000, "levels deep"),
        "deep-objects": (right[:-1] + ', "x-a": ' + '{"a":' * 200_000, "levels deep"),
        "huge": (right + " " * (4 << 20), "bytes of JSON"),
        "long-name": (right.replace("tiny", "x" * 100_000), "1 to 256 characters"),
        "long-number": (right.replace("512", "5" * 100_000), "max_tokens|not valid JSON"),
    }
    for name, (text, expected) in broken.items():
        yield Attack(f"json-{name}", around(text), expected)

    def edit(name: str, expected: str, *path: str | int, to: Any) -> Attack:
        changed = manifest()
        at: Any = changed
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to
        return Attack(f"manifest-{name}", around(json.dumps(changed)), expected)

    digest = manifest()["files"]["config.json"]
    yield edit("newer", "newer affectrt", "format_version", to=2)
    yield edit("other-format", "affectrt-model", "format", to="zip")
    yield edit("onnx-outside", r"model\.onnx", "model", "onnx", to="../../etc/passwd")
    yield edit("onnx-other-entry", r"model\.onnx", "model", "onnx", to="config.json")
    yield edit("labels-twice", "unlike every", "heads", 0, "labels", to=["joy", "joy"])
    yield edit("labels-empty", "labels", "heads", 0, "labels", to=[])
    yield edit(
        "labels-many", "thresholds for", "heads", 0, "labels", to=[str(i) for i in range(9999)]
    )
    yield edit("labels-too-many", "labels", "heads", 0, "labels", to=[str(i) for i in range(10001)])
    yield edit("thresholds-few", "1 thresholds for 2", "heads", 0, "thresholds", to=[0.5])
    yield edit("threshold-range", "from 0 to 1", "heads", 0, "thresholds", to=[0.5, 2])
    yield edit("temperature-zero", "temperature", "heads", 0, "calibration", to={"temperature": 0})
    yield edit(
        "heads-many",
        "1 to 64",
        "heads",
        to=[{**manifest()["heads"][0], "name": f"h{i}"} for i in range(65)],
    )
    yield edit("tokens-huge", "max_tokens", "input", "max_tokens", to=1 << 40)
    for name, expected, lie in HEAD_LIES:
        yield edit(f"head-{name}", expected, "heads", to=[told(manifest()["heads"][0], lie)])
    yield edit("embedding-long", "embedding", "model", "embedding", to="x" * 257)
    yield edit("embedding-list", "embedding", "model", "embedding", to=["x"])
    yield edit("files-missing", "not there", "files", "ghost.bin", to=digest)
    yield edit("files-outside", "lead out", "files", "../../evil", to=digest)
    yield edit("files-itself", "list itself", "files", "affectrt.json", to=digest)
    yield edit("files-size", "affectrt.json says 23", "files", "config.json", "bytes", to=23)
    yield edit("files-hash", "SHA-256", "files", "config.json", "sha256", to="0" * 64)
    unlisted = manifest()
    del unlisted["files"]["tokenizer.json"]
    yield Attack("manifest-unlisted", around(json.dumps(unlisted)), r"tokenizer\.json")


def onnx_attacks() -> Iterator[Attack]:
    """Graphs that would have an engine open further files, and such as are no graphs."""

    def part(number: int, data: bytes) -> bytes:
        key, out, left = number << 3 | 2, b"", 0
        for value in (key, len(data)):
            left = value
            while left > 0x7F:
                out += bytes([left & 0x7F | 0x80])
                left >>= 7
            out += bytes([left])
        return out + data

    location = part(13, part(1, b"location") + part(2, b"/etc/passwd"))
    tensor = part(8, b"weight") + location + b"\x70\x01"
    graphs = {
        "external-initializer": (part(7, part(5, tensor)), "external data"),
        "external-attribute": (part(7, part(1, part(5, part(5, tensor)))), "external data"),
        "external-sparse": (part(7, part(15, part(1, tensor))), "external data"),
        "external-subgraph": (part(7, part(1, part(5, part(6, part(5, tensor))))), "external data"),
        "external-function": (part(25, part(7, part(5, part(5, tensor)))), "external data"),
        "external-merged": (part(7, b"") + part(7, part(5, tensor)), "external data"),
        "ep-context": (part(7, part(1, part(4, b"EPContext"))), "EPContext"),
        "ort-format": (b"\x18\0\0\0ORTM" + bytes(40), "ORT format"),
        "lfs-pointer": (b"version https://git-lfs.github.com/spec/v1\n", "not an ONNX model"),
        "cut": (b"\x3a\x7f", "not an ONNX model"),
        "empty": (b"", "is empty"),
        "group": (b"\x0b\x0c", "not an ONNX model"),
    }
    for name, (onnx, expected) in graphs.items():
        yield Attack(f"onnx-{name}", pack(records(files={**FILES, "model.onnx": onnx})), expected)


def all_attacks() -> Iterator[Attack]:
    for family in (
        entry_attacks,
        name_attacks,
        layout_attacks,
        zipfile_attacks,
        truncation_attacks,
        manifest_attacks,
        onnx_attacks,
    ):
        yield from family()


def write_corpus(folder: Path) -> int:
    """Writes bad-*.affect and good-tiny.affect; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "good-tiny.affect").write_bytes(good_image())
    count = 1
    for attack in all_attacks():
        (folder / f"bad-{attack.name}.affect").write_bytes(attack.image)
        count += 1
    return count


if __name__ == "__main__":
    print(f"{write_corpus(Path(sys.argv[1]))} files")

"""Writes `.affect` files (FORMAT.md is the specification) and reads their manifests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from affectrt.errors import Error, ExportError, ModelFileError, NotFoundError

MANIFEST_NAME = "affectrt.json"
FORMAT = "affectrt-model"
FORMAT_VERSION = 1

_ALIGNMENT = 64
_MAX_ENTRIES = 1024
_MAX_NAME_BYTES = 255
_MAX_MANIFEST_BYTES = 4 << 20
_MAX_IMAGE_BYTES = 0xFFFFFFFE  # plain ZIP: below the marker of its 64-bit extension
_COPY_BYTES = 1 << 20

Seal = Callable[[dict[str, Any]], None]

# A component neither begins with "." or "-" nor ends with ".".
_COMPONENT = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
_ENTRY_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")

_VERSION = 10  # "version needed": 1.0, stored files
_MADE_BY = 3 << 8 | _VERSION  # Unix
_EXTERNAL_ATTRIBUTES = 0o100644 << 16
_TIME = 0
_DATE = 1 << 5 | 1  # 1980-01-01
_PADDING_ID = 0xA11E  # APPNOTE 4.5.2: data stream alignment
_PADDING_MIN_BYTES = 6

# Writers write no other keys, except such as begin with "x-"; None: free-form inside.
_KNOWN_KEYS: dict[str, tuple[str, ...] | None] = {
    "format": None,
    "format_version": None,
    "name": None,
    "description": None,
    "version": None,
    "modality": None,
    "model": ("family", "precision", "onnx", "weights", "embedding"),
    "input": ("max_tokens", "sample_rate", "max_seconds", "features"),
    "heads": (
        *("name", "task", "input", "output", "labels", "thresholds", "calibration"),
        *("unsure_below", "ranges", "margin", "layer", "pooling"),
        *("metrics", "data", "licence"),
    ),
    "licence": ("weights", "non_commercial", "notice"),
    "data": None,
    "source": ("checkpoint", "sha256"),
    "parity": None,
    "recipe": None,
    "files": None,
}


def write_bundle(
    out: Path,
    manifest: Mapping[str, Any],
    files: Mapping[str, bytes | Path],
    *,
    overwrite: bool = False,
    seal: Seal | None = None,
) -> None:
    """Writes one `.affect` file: the manifest and `files`, stored and 64-byte aligned.

    `manifest` is the content of affectrt.json without "files", which is filled in here (and
    replaced where given); "format" and "format_version" may be left out. `files` maps entry names
    to their bytes or to the file that holds them. `seal` is called with the whole manifest, "files"
    included, and may add to it: a signature, for instance. The same arguments always give the same
    bytes.

    The target is whole or untouched at every moment, even when the process is killed or the disk
    is full: all is written beside it, read back and checked by the reader itself, and then renamed.

    Raises ExportError for what the reader would refuse, an unknown key, an existing `out` without
    `overwrite`, or a failed write; NotFoundError for a missing file.
    """
    out = Path(out)
    if out.is_dir():
        raise ExportError(f"{out}: is a directory; give the name of a file")
    if not overwrite and out.exists():
        raise ExportError(f"{out}: exists already; choose another name or allow overwriting")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: no such directory; create it first")
    _check_names(files)
    contents = [_Content.of(name, files[name]) for name in sorted(files)]
    text = _manifest_text(manifest, contents, seal)
    entries = [_Content.of(MANIFEST_NAME, text), *contents]
    temporary = out.parent / f".{out.name[:200]}.{secrets.token_hex(8)}.tmp"
    try:
        _write_image(temporary, entries)
        _check_with_reader(temporary, out)
        _publish(temporary, out, overwrite)
    except OSError as error:
        raise ExportError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def read_manifest(path: Path) -> dict[str, Any]:
    """The content of affectrt.json of a `.affect` file or of a directory made from one.

    Checks the JSON, not the model: affectrt.load() does that. Raises NotFoundError when there is
    no such file, ModelFileError when it is no `.affect` file or its JSON is broken.
    """
    path = Path(path)
    try:
        if path.is_dir():
            text = _read_limited((path / MANIFEST_NAME).open("rb"), f"{path / MANIFEST_NAME}")
        elif not path.exists():
            raise NotFoundError(f"{path}: no such file; give a .affect file")
        elif not path.is_file():
            raise ModelFileError(f"{path}: is not a regular file; give a .affect file")
        else:
            text = _read_from_zip(path)
    except FileNotFoundError as error:
        if isinstance(error, NotFoundError):
            raise
        raise NotFoundError(f"{path}: has no {MANIFEST_NAME}") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        manifest = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}, entry '{MANIFEST_NAME}': broken JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelFileError(
            f'{path}, entry \'{MANIFEST_NAME}\': must be an object with "format": "{FORMAT}"'
        )
    return manifest


@dataclass(frozen=True)
class _Content:
    """One entry's bytes, or the file that holds them, with what the headers say of them."""

    name: str
    source: bytes | Path
    size: int
    crc: int
    sha256: str

    @classmethod
    def of(cls, name: str, source: bytes | Path) -> _Content:
        size, crc, digest = 0, 0, hashlib.sha256()
        for chunk in _chunks(source):
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            digest.update(chunk)
        return cls(name, source, size, crc, digest.hexdigest())


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    path = Path(source)
    if not path.exists():
        raise NotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ExportError(f"{path}: is not a regular file")
    try:
        with path.open("rb") as file:
            while chunk := file.read(_COPY_BYTES):
                yield chunk
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from error


def _check_names(files: Mapping[str, bytes | Path]) -> None:
    if len(files) >= _MAX_ENTRIES:
        raise ExportError(f"{len(files)} files; at most {_MAX_ENTRIES - 1} fit into a model file")
    for name in files:
        if name == MANIFEST_NAME:
            raise ExportError(f"{MANIFEST_NAME} is made from the manifest; leave it out of files")
        if len(name) > _MAX_NAME_BYTES or not _ENTRY_NAME.fullmatch(name):
            raise ExportError(
                f"the entry name {name!r} is not allowed: it must be relative, of ASCII letters, "
                f"digits, '.', '_', '-' and '/', at most {_MAX_NAME_BYTES} long, and no part of it "
                "may begin with '.' or '-' or end with '.'"
            )


def _check_keys(value: object, known: tuple[str, ...], where: str) -> None:
    if isinstance(value, Mapping):
        for key in value:
            if key not in known and not str(key).startswith("x-"):
                raise ExportError(
                    f"{where}: unknown key {key!r}; it must be one of {', '.join(known)}, or begin "
                    "with 'x-'"
                )


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as JSON's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _manifest_text(
    manifest: Mapping[str, Any], contents: list[_Content], seal: Seal | None
) -> bytes:
    _check_keys(manifest, tuple(_KNOWN_KEYS), "manifest")
    for key, known in _KNOWN_KEYS.items():
        if known is not None:
            value = manifest.get(key)
            for item in value if isinstance(value, list | tuple) else [value]:
                _check_keys(item, known, key)
    listed = {file.name: {"bytes": file.size, "sha256": file.sha256} for file in contents}
    given = {"format": FORMAT, "format_version": FORMAT_VERSION, **manifest, "files": listed}
    order = [*_KNOWN_KEYS, *sorted(key for key in given if key not in _KNOWN_KEYS)]
    ordered = {key: given[key] for key in order if key in given}
    try:
        text = json.dumps(ordered, ensure_ascii=False, allow_nan=False, indent=1, default=_plain)
        if seal is not None:
            whole = json.loads(text)  # as readers will see it
            seal(whole)
            text = json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1)
        return (text + "\n").encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise ExportError(f"the manifest cannot be written as JSON: {error}") from error


def _local_header(entry: _Content, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    unpadded = offset + 30 + len(name) + _PADDING_MIN_BYTES
    extra_bytes = _PADDING_MIN_BYTES + -unpadded % _ALIGNMENT
    return b"".join(
        (
            struct.pack("<IHHHHHIII", 0x04034B50, _VERSION, 0, 0, _TIME, _DATE, entry.crc,
                        entry.size, entry.size),
            struct.pack("<HH", len(name), extra_bytes),
            name,
            struct.pack("<HHH", _PADDING_ID, extra_bytes - 4, _ALIGNMENT),
            bytes(extra_bytes - _PADDING_MIN_BYTES),
        )
    )  # fmt: skip


def _directory_record(entry: _Content, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    return (
        struct.pack("<IHHHHHHIII", 0x02014B50, _MADE_BY, _VERSION, 0, 0, _TIME, _DATE, entry.crc,
                    entry.size, entry.size)
        + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, _EXTERNAL_ATTRIBUTES, offset)
        + name
    )  # fmt: skip


def _write_image(path: Path, entries: list[_Content]) -> None:
    layout: list[tuple[_Content, int, bytes]] = []
    offset = 0
    for entry in entries:
        if entry.name == MANIFEST_NAME and entry.size > _MAX_MANIFEST_BYTES:
            raise ExportError(f"{MANIFEST_NAME} has {entry.size} bytes; at most 4 MiB are allowed")
        if offset + entry.size > _MAX_IMAGE_BYTES:
            raise ExportError(f"{entry.name}: the model file would reach 4 GiB; it must stay below")
        header = _local_header(entry, offset)
        layout.append((entry, offset, header))
        offset += len(header) + entry.size
    directory = b"".join(_directory_record(entry, at) for entry, at, _ in layout)
    count = len(layout)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), offset, 0)
    if offset + len(directory) + len(end) > _MAX_IMAGE_BYTES:
        raise ExportError("the model file would reach 4 GiB; it must stay below")
    # Not mkstemp: the file gets the permissions that the user's umask gives to new files.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o666), "wb") as file:
        for entry, _, header in layout:
            file.write(header)
            _copy(entry, file)
        file.write(directory + end)
        file.flush()
        os.fsync(file.fileno())


def _copy(entry: _Content, file: BinaryIO) -> None:
    size, crc = 0, 0
    for chunk in _chunks(entry.source):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        file.write(chunk)
    if (size, crc) != (entry.size, entry.crc):
        raise ExportError(f"{entry.source!s}: changed while it was being written; try again")


def _check_with_reader(temporary: Path, out: Path) -> None:
    from affectrt import _core

    try:
        _core.verify_bundle(str(temporary))
    except Error as error:
        reason = str(error).replace(str(temporary), str(out))
        raise ExportError(f"not written, since no reader would accept it: {reason}") from error


def _publish(temporary: Path, out: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(out)
    else:
        try:
            os.link(temporary, out)  # unlike a rename, it never replaces what appeared meanwhile
        except FileExistsError:
            raise ExportError(f"{out}: was created by somebody else meanwhile") from None
        except OSError:  # a file system without hard links
            temporary.replace(out)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read_limited(file: BinaryIO, where: str) -> bytes:
    with file:
        text = file.read(_MAX_MANIFEST_BYTES + 1)
    if len(text) > _MAX_MANIFEST_BYTES:
        raise ModelFileError(f"{where}: longer than the 4 MiB that are allowed")
    return text


def _read_from_zip(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(MANIFEST_NAME)
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise ModelFileError(f"{path}, entry '{MANIFEST_NAME}': must be stored and plain")
            with archive.open(info) as file:
                text = file.read(_MAX_MANIFEST_BYTES + 1)
    except KeyError as error:
        raise ModelFileError(f"{path}: has no entry '{MANIFEST_NAME}'") from error
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise ModelFileError(f"{path}: is not a .affect file: {error}") from error
    if len(text) > _MAX_MANIFEST_BYTES:
        raise ModelFileError(f"{path}, entry '{MANIFEST_NAME}': longer than 4 MiB")
    return text


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found

"""Rows of text out of .txt, .jsonl, .json, .csv and .tsv, all but .json in bounded memory.

A line that cannot be used becomes a `BadLine` with its number and the reason; the lines after it
are read as if it were not there. Blank lines are no rows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

from ..errors import InputError

LINE_LIMIT_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 16
_DELIMITERS = ",;\t"


@dataclass(frozen=True, slots=True)
class Row:
    line: int  # counted from 1; of a record over several lines, the first
    text: str
    pair: str | None = None
    speaker: str | None = None  # of a turn; "" where there should be one
    dialogue: str | None = None  # that the turn belongs to, where a file has several


@dataclass(frozen=True, slots=True)
class BadLine:
    line: int
    reason: str


class Pause:
    """All that has arrived is read: a good moment to answer before waiting for more."""


PAUSE = Pause()
Item: TypeAlias = Row | BadLine | Pause


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the text (and, if wanted, its pair) stands in a record."""

    text: str | None = None  # None: "text"
    pair: str | None = None
    speaker: str | None = None  # None: "speaker"


class LineReader:
    """Numbered lines of bytes, without their ends; counts the bytes it has read."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self.name = name
        self.bytes_read = 0

    def __iter__(self) -> Iterator[tuple[int, bytes | BadLine] | Pause]:
        number = 0
        parts: list[bytes] = []  # the beginning of a line that is not finished yet
        size = 0
        while block := self._read(_BLOCK_BYTES):
            if not self.bytes_read:
                block = self._without_mark(block)
            self.bytes_read += len(block)
            *lines, rest = block.split(b"\n")
            for line in lines:
                number += 1
                yield number, self._whole(number, parts, size, line)
                parts, size = [], 0
            size += len(rest)
            if rest and size <= LINE_LIMIT_BYTES:
                parts.append(rest)
            if lines:
                yield PAUSE
        if size:
            yield number + 1, self._whole(number + 1, parts, size, b"")

    def _without_mark(self, block: bytes) -> bytes:
        if block.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(f"{self.name} is UTF-16; save it as UTF-8")
        self.bytes_read = 3 if block.startswith(b"\xef\xbb\xbf") else 0
        return block[self.bytes_read :]

    @staticmethod
    def _whole(number: int, parts: list[bytes], size: int, end: bytes) -> bytes | BadLine:
        if size + len(end) > LINE_LIMIT_BYTES:
            return BadLine(number, f"longer than {LINE_LIMIT_BYTES >> 20} MiB")
        line = b"".join((*parts, end)) if parts else end
        return line[:-1] if line.endswith(b"\r") else line


def _not_utf8(error: UnicodeDecodeError, line: bytes) -> str:
    return (
        f"not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1} of the line); "
        "save the file as UTF-8"
    )


def _unusable(text: str) -> str | None:
    """Why `text` cannot be asked about, `None` if it can."""
    if not text or text.isspace():
        return "the text is empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the text has a lone surrogate at character {error.start + 1}"
    return None


def _row(
    line: int,
    text: str,
    pair: str | None = None,
    speaker: str | None = None,
    dialogue: str | None = None,
) -> Row | BadLine:
    reason = _unusable(text)
    for name, part in (("pair", pair), ("speaker", speaker)):
        if reason is None and part:
            try:
                part.encode("utf-8")
            except UnicodeEncodeError as error:
                reason = f"the {name} has a lone surrogate at character {error.start + 1}"
    row = Row(line, text, pair, speaker, dialogue)
    return row if reason is None else BadLine(line, reason)


def _text_lines(lines: LineReader) -> Iterator[tuple[int, str] | BadLine | Pause]:
    for entry in lines:
        if isinstance(entry, Pause):
            yield entry
            continue
        number, line = entry
        if isinstance(line, BadLine):
            yield line
        else:
            try:
                yield number, line.decode("utf-8")
            except UnicodeDecodeError as error:
                yield BadLine(number, _not_utf8(error, line))


def read_txt(lines: LineReader, columns: Columns) -> Iterator[Item]:
    """One text a line."""
    for entry in _text_lines(lines):
        if not isinstance(entry, tuple):
            yield entry
        elif entry[1] and not entry[1].isspace():
            yield _row(*entry)


def _from_record(
    line: int, record: Mapping[str, Any], columns: Columns, dialogue: str | None = None
) -> Row | BadLine:
    text_key = columns.text or "text"
    if text_key not in record:
        keys = ", ".join(map(str, record)) or "none"
        return BadLine(line, f'no "{text_key}" in the object; its keys: {keys}')
    if columns.pair is not None:
        pair_key: str | None = columns.pair
    else:
        pair_key = next((key for key in ("pair", "text_pair") if key in record), None)
    text = record[text_key]
    pair = record.get(pair_key) if pair_key is not None else None
    if not isinstance(text, str):
        return BadLine(line, f'"{text_key}" is {_json_kind(text)}, not a string')
    if pair is not None and not isinstance(pair, str):
        return BadLine(line, f'"{pair_key}" is {_json_kind(pair)}, not a string')
    speaker_key = columns.speaker or "speaker"
    speaker = record.get(speaker_key, "" if dialogue is not None else None)
    if isinstance(speaker, int) and not isinstance(speaker, bool):
        speaker = str(speaker)
    if speaker_key in record and not isinstance(speaker, str | None):
        return BadLine(line, f'"{speaker_key}" is {_json_kind(speaker)}, not a string')
    if speaker_key in record and speaker is None:
        speaker = ""
    return _row(line, text, pair, speaker, dialogue)


def _rows_of(line: int, record: object, columns: Columns, number: int) -> Iterator[Row | BadLine]:
    """The rows of one JSON value: a text, an object of one, or a dialogue of {"turns": [...]}."""
    if isinstance(record, str):
        yield _row(line, record)
    elif not isinstance(record, dict):
        yield BadLine(line, f"{_json_kind(record)}, not an object or a string")
    elif isinstance(turns := record.get("turns"), list) and (columns.text or "text") not in record:
        name = record.get("id", number)
        for place, turn in enumerate(turns, start=1):
            if isinstance(turn, dict):
                yield _from_record(line, turn, columns, str(name))
            else:
                yield BadLine(line, f"turn {place} is {_json_kind(turn)}, not an object")
    else:
        yield _from_record(line, record, columns)


def _json_kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")


def read_jsonl(lines: LineReader, columns: Columns) -> Iterator[Item]:
    """One JSON object a line, with the text under "text" or a dialogue's under "turns", or one JSON
    string a line."""
    dialogues = 0
    for entry in _text_lines(lines):
        if not isinstance(entry, tuple):
            yield entry
            continue
        number, line = entry
        if not line or line.isspace():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            yield BadLine(number, "JSON nested too deeply")
        except ValueError as error:
            reason = getattr(error, "msg", str(error))
            where = f" at character {error.pos + 1}" if hasattr(error, "pos") else ""
            yield BadLine(number, f"not JSON: {reason}{where}")
        else:
            dialogues += 1
            yield from _rows_of(number, record, columns, dialogues)


def read_json(lines: LineReader, columns: Columns) -> Iterator[Item]:
    """One JSON document: an object or an array of what a line of JSONL may be; or such lines.

    Rows of an array have their place in it as their line.
    """
    raw = []
    for entry in lines:
        if isinstance(entry, Pause):
            continue
        number, line = entry
        if isinstance(line, BadLine) or lines.bytes_read > LINE_LIMIT_BYTES:
            raise InputError(
                f"{lines.name} is more than {LINE_LIMIT_BYTES >> 20} MiB of one JSON document; "
                "write one object a line, as .jsonl"
            )
        raw.append((number, line))
    try:
        document = json.loads(b"\n".join(line for _, line in raw))
    except (ValueError, RecursionError):  # lines of JSON, or what reading them will complain of
        yield from read_jsonl(_Lines(raw, lines), columns)
        return
    records = document if isinstance(document, list) else [document]
    for place, record in enumerate(records, start=1):
        yield from _rows_of(place, record, columns, place)


class _Lines(LineReader):
    """Lines that are read already."""

    def __init__(self, raw: list[tuple[int, bytes]], like: LineReader) -> None:
        self.name, self.bytes_read, self._raw = like.name, like.bytes_read, raw

    def __iter__(self) -> Iterator[tuple[int, bytes | BadLine] | Pause]:
        yield from self._raw


class _CsvLines:
    """Decoded lines for the csv module, which wants line ends and no interruptions."""

    def __init__(self, lines: LineReader) -> None:
        self._lines = iter(lines)
        self._name = lines.name
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for entry in self._lines:
            if isinstance(entry, Pause):
                continue
            self.number, line = entry
            if isinstance(line, BadLine):
                raise InputError(f"{self._name}:{line.line}: {line.reason}")
            # Bytes that are no UTF-8 pass as surrogates, and their record is refused below.
            yield line.decode("utf-8", errors="surrogateescape") + "\n"


def _header(first: str, columns: Columns, name: str) -> tuple[str, list[str]]:
    """The delimiter and the column names: those under which the wanted columns exist."""
    others = (columns.pair, columns.speaker)
    wanted = [columns.text or "text", *(name for name in others if name is not None)]
    readings: list[tuple[str, list[str]]] = []
    for delimiter in _DELIMITERS:
        try:
            fields = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            fields = []
        names = [field.strip() for field in fields]
        if all(column in names for column in wanted):
            return delimiter, names
        readings.append((delimiter, names))
    names = max((names for _, names in readings), key=len)
    missing = next(column for column in wanted if column not in names)
    option = "--text-column"
    if missing != wanted[0]:
        option = "--pair-column" if missing == columns.pair else "--speaker-column"
    known = ", ".join(printed or '""' for printed in names)
    raise InputError(f'{name} has no column "{missing}"; it has: {known}; choose with {option}')


def read_csv(lines: LineReader, columns: Columns) -> Iterator[Item]:
    """Records under a header line; the delimiter is a comma, semicolon or tab."""
    csv.field_size_limit(LINE_LIMIT_BYTES)
    source = _CsvLines(lines)
    texts = iter(source)
    first = next((line for line in texts if not line.isspace()), None)
    if first is None:
        return
    delimiter, names = _header(first, columns, lines.name)
    text_at = names.index(columns.text or "text")
    pair_at = names.index(columns.pair) if columns.pair is not None else None
    speaker = columns.speaker or "speaker"
    speaker_at = names.index(speaker) if speaker in names else None
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    while True:
        line = source.number + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadLine(line, f"not CSV: {error}")
            continue
        if record:
            yield _from_fields(line, record, len(names), (text_at, pair_at, speaker_at))


def _from_fields(
    line: int, record: list[str], width: int, places: tuple[int, int | None, int | None]
) -> Row | BadLine:
    if len(record) != width:
        return BadLine(line, f"{len(record)} fields where the header has {width}")
    text, pair, speaker = (None if place is None else record[place] for place in places)
    assert text is not None
    wanted = text + (pair or "") + (speaker or "")
    try:
        wanted.encode("utf-8")
    except UnicodeEncodeError:
        return BadLine(line, "not UTF-8; save the file as UTF-8")
    return _row(line, text, pair, speaker)


READERS: dict[str, Callable[[LineReader, Columns], Iterator[Item]]] = {
    "txt": read_txt,
    "jsonl": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_csv,
}

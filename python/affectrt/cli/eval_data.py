"""Rows with targets, for `affectrt eval`: texts, or the turns of dialogues."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, NotFoundError
from ..info import HeadInfo
from ..label_maps import map_label

_KEYS = ("label", "labels", "value", "values", "spans")
_NAMES = {"pair": ("pair", "text_pair")}


@dataclass(frozen=True, slots=True)
class Item:
    """A text and its target, `None` where it has none (a turn that is context only).

    Targets: indices of labels; values of a regression (NaN where unknown); spans as characters
    `(start, end, label)`; of causes a set of `(turn, span)`.
    """

    where: str
    text: str
    pair: str | None
    target: Any
    speaker: str = ""
    emotion: str | None = None  # of a turn whose causes are known


@dataclass(frozen=True, slots=True)
class Data:
    """Groups of items: each text alone, or the turns of a dialogue in order."""

    groups: list[list[Item]]
    dialogues: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    head: HeadInfo
    key: str | None  # of the target; None: the first of the usual ones
    renamed: Mapping[str, str]  # labels of the data -> labels of the head
    onto: str | None = None  # the name of a map; the head's labels are then the map's


def read_data(path: Path, wanted: Wanted) -> Data:
    """Reads .jsonl, .json, .csv or .tsv, each also as .gz.

    Raises `NotFoundError` when there is no such file, `InputError` for a row that cannot be used,
    naming it, and for a file without a single target.
    """
    groups: list[list[Item]] = []
    dialogues = None
    for where, record in _records(path):
        turns = record.get("turns")
        if dialogues is None:
            dialogues = isinstance(turns, list)
        if dialogues != isinstance(turns, list):
            raise InputError(f"{where}: texts and dialogues stand in one file; give one kind")
        if isinstance(turns, list):
            rows = [(f"{where}, turn {i}", turn) for i, turn in enumerate(turns, start=1)]
        else:
            rows = [(where, record)]
        groups.append([_item(name, row, wanted, bool(dialogues)) for name, row in rows])
    if not any(item.target is not None for group in groups for item in group):
        key = wanted.key or f'{", ".join(_KEYS)} or "{wanted.head.name}"'
        raise InputError(f"{path}: no row has a target; looked for {key}; --target names another")
    return Data(groups, bool(dialogues))


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"no data file {str(path)!r}") from None
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if suffixes[-1:] == [".gz"]:
            content, suffixes = gzip.decompress(content), suffixes[:-1]
        text = content.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: is not gzip: {error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 at byte {error.start}") from None
    kind = suffixes[-1] if suffixes else ""
    if kind in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text), delimiter="\t" if kind == ".tsv" else ",")
        for record in reader:
            if None in record or None in record.values():
                raise InputError(f"{path}, line {reader.line_num}: not as many fields as names")
            yield f"{path}, line {reader.line_num}", dict(record)
        return
    if kind not in (".json", ".jsonl", ".ndjson"):
        raise InputError(f"{path}: give a .jsonl, .json, .csv or .tsv file, or one of them as .gz")
    lines = [text] if kind == ".json" else text.splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: is not JSON: {error}") from None
        entries = value if isinstance(value, list) and kind == ".json" else [value]
        for place, entry in enumerate(entries, start=1):
            where = f"{path}, {'row' if kind == '.json' else 'line'} {max(place, number)}"
            if not isinstance(entry, dict):
                raise InputError(f"{where}: must be an object")
            yield where, entry


def _item(where: str, row: object, wanted: Wanted, is_turn: bool) -> Item:
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputError(f'{where}: must be an object with a string "text"')
    text = row["text"]
    pair = next((row[key] for key in _NAMES["pair"] if row.get(key)), None)
    speaker = row.get("speaker", "")
    if is_turn and not str(speaker).strip():
        raise InputError(f'{where}: has no "speaker"')
    target = _target(where, row, text, wanted)
    emotion = None
    if wanted.head.input == "cause":
        emotion = wanted.renamed.get(row.get("emotion", ""), row.get("emotion"))
        if not isinstance(emotion, str):
            raise InputError(f'{where}: has no "emotion", which causes are looked for with')
    return Item(where, text, pair, target, str(speaker), emotion)


def _target(where: str, row: dict[str, Any], text: str, wanted: Wanted) -> Any:
    head = wanted.head
    if head.input == "cause":
        return _causes(where, row.get("causes"))
    if head.task == "regression":
        return _values(where, row, wanted)
    key = _key(where, row, wanted)
    if key is None:
        return None
    value = row[key]
    if head.task in ("token_labels", "token_flags", "span"):
        return _spans(where, value, text, wanted)
    names = value if isinstance(value, list) else [value]
    if isinstance(value, dict):  # {"joy": 1, "fear": 0}
        names = [name for name, is_in in value.items() if is_in]
    if head.task != "multi_label" and len(names) != 1:
        raise InputError(f"{where}: head {head.name!r} takes exactly one label, not {len(names)}")
    return sorted({_label(where, name, wanted) for name in names})


def _key(where: str, row: dict[str, Any], wanted: Wanted) -> str | None:
    if wanted.key is not None:
        return wanted.key if row.get(wanted.key) is not None else None
    given = [key for key in (*_KEYS, wanted.head.name) if row.get(key) is not None]
    if len(given) > 1:
        raise InputError(f"{where}: has {' and '.join(given)}; --target says which is meant")
    return given[0] if given else None


def _label(where: str, name: Any, wanted: Wanted) -> int:
    head = wanted.head
    if isinstance(name, str):
        name = wanted.renamed.get(name, name)
        if wanted.onto is not None:
            name = map_label(name, wanted.onto) or name
        if name in head.labels:
            return head.labels.index(name)
        if name.isdigit() and int(name) < len(head.labels):  # as CSV has it
            return int(name)
    elif isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(head.labels):
        return name
    shown = ", ".join(head.labels[:30]) + (", ..." if len(head.labels) > 30 else "")
    raise InputError(
        f"{where}: head {head.name!r} has no label {name!r}; it has: {shown} "
        "(--rename DATA=HEAD says what the data means)"
    )


def _values(where: str, row: dict[str, Any], wanted: Wanted) -> list[float] | None:
    labels = wanted.head.labels
    if wanted.key is None and all(label in row for label in labels):
        given = [row[label] for label in labels]
    else:
        key = _key(where, row, wanted)
        if key is None:
            return None
        given = row[key] if isinstance(row[key], list) else [row[key]]
    try:
        values = [float("nan") if value in (None, "") else float(value) for value in given]
    except (TypeError, ValueError):
        values = []
    if len(values) != len(labels):
        raise InputError(f"{where}: {', '.join(labels)} must be {len(labels)} number(s)")
    return values


def _spans(where: str, value: Any, text: str, wanted: Wanted) -> list[tuple[int, int, str]]:
    """From [start, end, label], {"start", "end", "label"}, or {label: {"span": [start, end]}}."""
    if isinstance(value, dict):
        value = [[*slot["span"], name] for name, slot in value.items() if (slot or {}).get("span")]
    spans = []
    for entry in value if isinstance(value, list) else [None]:
        if isinstance(entry, dict):
            entry = [entry.get("start"), entry.get("end"), entry.get("label", "")]
        if not isinstance(entry, list) or not 2 <= len(entry) <= 3:
            raise InputError(f"{where}: a span must be [start, end, label]")
        start, end, label = (*entry, "")[:3]
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
            raise InputError(f"{where}: span {start}:{end} does not lie in its text")
        spans.append((start, end, wanted.renamed.get(label, label)))
    return spans


def _causes(where: str, value: Any) -> list[tuple[int, str]]:
    if not isinstance(value, list):
        raise InputError(f'{where}: has no "causes", a list of {{"turn", "span"}}')
    causes = []
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("turn"), int):
            raise InputError(f'{where}: a cause must be {{"turn", "span"}}')
        causes.append((entry["turn"], str(entry.get("span", ""))))
    return causes

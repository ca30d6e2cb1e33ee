"""Rows that a product is compared on: a JSONL file, or the built-in sentences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import HeadSpec
from .parity_texts import PAIRS, TEXTS, TOKENS_ONLY

_TARGET_KEYS = {"label": "single_label", "labels": "multi_label", "value": "regression"}


@dataclass(frozen=True)
class Row:
    """One text or pair. `target` is what the file says of it, for the head `head`."""

    text: str
    pair: str | None = None
    head: str | None = None
    target: tuple[float, ...] | None = None  # one per label of the head


@dataclass(frozen=True)
class ParityData:
    """Rows to compare on and where they come from."""

    name: str
    sha256: str
    rows: tuple[Row, ...]
    tokens_only: tuple[str, ...] = ()  # texts without anything to answer

    def truth(self, head: HeadSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Indices of the rows that have a target for a head, and ``float32 [n, labels]``."""
        picked = [
            (i, r.target) for i, r in enumerate(self.rows) if r.head == head.name and r.target
        ]
        indices = np.asarray([i for i, _ in picked], np.int64)
        values = np.asarray([t for _, t in picked], np.float32).reshape(-1, len(head.labels))
        return indices, values


def builtin_data() -> ParityData:
    """The sentences of `parity_texts`, without targets."""
    rows = tuple(Row(t) for t in TEXTS) + tuple(Row(a, b) for a, b in PAIRS)
    text = json.dumps([TEXTS, PAIRS, TOKENS_ONLY]).encode()
    return ParityData("built-in", hashlib.sha256(text).hexdigest(), rows, TOKENS_ONLY)


def read_data(path: Path, heads: Sequence[HeadSpec]) -> ParityData:
    """Read a JSONL file of ``{"text", "pair"?, "label" | "labels" | "value"?, "head"?}``.

    ``label`` is one label (name or index), ``labels`` a list of them, ``value`` a number or a list
    of numbers. ``head`` names the head that they are for; without it, it is the first one whose
    task they fit. Rows whose text is empty or white space are compared as tokens only.

    Raises:
        NotFoundError: no such file.
        ExportError: a line that is not such a row, or a label that the head does not have; the
            message names the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such data file") from None
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from None
    rows: list[Row] = []
    tokens_only: list[str] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ExportError(f"{where}: is not a JSON object in UTF-8: {error}") from None
        row = _row(value, heads, where)
        if row.text.strip():
            rows.append(row)
        else:
            tokens_only.append(row.text)
    if not rows:
        raise ExportError(f'{path}: has no rows; each line is an object such as {{"text": "..."}}')
    digest = hashlib.sha256(content).hexdigest()
    return ParityData(path.name, digest, tuple(rows), tuple(tokens_only))


def _row(value: Any, heads: Sequence[HeadSpec], where: str) -> Row:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise ExportError(f'{where}: must be an object with a string "text"')
    text, pair = value["text"], value.get("pair")
    if pair is not None and not isinstance(pair, str):
        raise ExportError(f'{where}: "pair" must be a string')
    for part in (text, pair or ""):
        if any("\ud800" <= c <= "\udfff" for c in part):
            raise ExportError(f"{where}: holds a lone surrogate, which is no text")
    given = [key for key in _TARGET_KEYS if value.get(key) is not None]
    if not given:
        return Row(text, pair)
    if len(given) > 1:
        raise ExportError(f"{where}: has {' and '.join(given)}; give one of them")
    key = given[0]
    head = _head(value.get("head"), key, heads, where)
    return Row(text, pair, head.name, _target(value[key], key, head, where))


def _head(name: Any, key: str, heads: Sequence[HeadSpec], where: str) -> HeadSpec:
    if name is not None:
        for head in heads:
            if head.name == name:
                return head
        raise ExportError(
            f"{where}: there is no head {name!r}; the checkpoint has "
            f"{', '.join(h.name for h in heads)}"
        )
    fitting = [h for h in heads if h.task == _TARGET_KEYS[key]]
    if not fitting and key != "value":  # one label of a multi-label head, or a list of one
        fitting = [h for h in heads if h.task != "regression"]
    if not fitting and key == "label":  # data of a regression often calls its value a label
        fitting = [h for h in heads if h.task == "regression"]
    if not fitting:
        raise ExportError(f'{where}: "{key}" fits none of the heads of this checkpoint')
    return fitting[0]


def _target(value: Any, key: str, head: HeadSpec, where: str) -> tuple[float, ...]:
    if head.task == "regression":
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) != len(head.labels) or not all(
            isinstance(n, int | float) and not isinstance(n, bool) and np.isfinite(n)
            for n in numbers
        ):
            raise ExportError(f'{where}: "{key}" must be {len(head.labels)} finite number(s)')
        return tuple(float(n) for n in numbers)
    names = value if isinstance(value, list) else [value]
    if head.task == "single_label" and len(names) != 1:
        raise ExportError(f"{where}: head {head.name!r} takes exactly one label")
    target = [0.0] * len(head.labels)
    for name in names:
        if isinstance(name, str) and name in head.labels:
            target[head.labels.index(name)] = 1.0
        elif isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(target):
            target[name] = 1.0
        else:
            shown = ", ".join(head.labels[:30]) + (", ..." if len(head.labels) > 30 else "")
            raise ExportError(f"{where}: head {head.name!r} has no label {name!r}; it has {shown}")
    return tuple(target)

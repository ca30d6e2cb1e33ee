"""Rows that a product is compared on: a JSONL file, or the built-in sentences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import TOKEN_TASKS, HeadSpec
from .parity_texts import PAIRS, QUESTIONS, TEXTS, TOKENS_ONLY

_TARGET_KEYS = {"label": "single_label", "labels": "multi_label", "value": "regression"}


@dataclass(frozen=True)
class Row:
    """One text, pair, or turn in its context. `targets` is what the file says of it, by head: one
    number a label, or of heads that read tokens ``(start, end, label)`` of each span."""

    text: str
    pair: str | None = None
    context: tuple[tuple[str, str], ...] = ()  # (tag, text) of each line, oldest first
    targets: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ParityData:
    """Rows to compare on and where they come from."""

    name: str
    sha256: str
    rows: tuple[Row, ...]
    tokens_only: tuple[str, ...] = ()  # texts without anything to answer
    asks: bool = False  # each row's pair is a question, which stands before its text

    def segments(self) -> list[tuple[str, str | None]]:
        """First and second text of each row."""
        if self.asks:
            return [(row.pair or "", row.text) for row in self.rows]
        return [(row.text, row.pair) for row in self.rows]

    @property
    def has_context(self) -> bool:
        """Whether some row is judged in the light of others."""
        return any(row.context for row in self.rows)

    def truth(self, head: HeadSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Indices of the rows that have a target for a head, and ``float32 [n, labels]``."""
        picked = [
            (i, r.targets[head.name]) for i, r in enumerate(self.rows) if head.name in r.targets
        ]
        indices = np.asarray([i for i, _ in picked], np.int64)
        values = np.asarray([t for _, t in picked], np.float32).reshape(-1, len(head.labels))
        return indices, values

    def spans(self, head: HeadSpec) -> dict[int, tuple[tuple[int, int, int], ...]]:
        """Of a head that reads tokens: the true spans ``(start, end, label)`` by row."""
        return {i: r.targets[head.name] for i, r in enumerate(self.rows) if head.name in r.targets}


def asks(heads: Sequence[HeadSpec]) -> bool:
    """Whether a checkpoint looks in texts for the answer to a question."""
    return any(head.input == "question" for head in heads)


def builtin_data(questions: bool = False) -> ParityData:
    """The sentences of `parity_texts`, without targets; with a question to each, where asked."""
    if questions:
        texts = (*TEXTS, *(b for _, b in PAIRS))
        rows = tuple(Row(t, QUESTIONS[i % len(QUESTIONS)]) for i, t in enumerate(texts))
        said = json.dumps([texts, QUESTIONS, TOKENS_ONLY]).encode()
        return ParityData("built-in", hashlib.sha256(said).hexdigest(), rows, TOKENS_ONLY, True)
    rows = tuple(Row(t) for t in TEXTS) + tuple(Row(a, b) for a, b in PAIRS)
    text = json.dumps([TEXTS, PAIRS, TOKENS_ONLY]).encode()
    return ParityData("built-in", hashlib.sha256(text).hexdigest(), rows, TOKENS_ONLY)


def read_data(path: Path, heads: Sequence[HeadSpec]) -> ParityData:
    """Read a JSONL file of ``{"text", "pair"?, "label" | "labels" | "value"?, "head"?}``, or of
    ``{"text", "context": [{"tag", "text"}]?, "targets": {HEAD: TARGET}}``.

    ``label`` is one label (name or index), ``labels`` a list of them, ``value`` a number or a list
    of numbers. ``head`` names the head that they are for; without it, it is the first one whose
    task they fit. Rows whose text is empty or white space are compared as tokens only.

    ``context`` are the lines that a turn is judged in the light of, oldest first, as
    `affectrt.export.recipes.multitask` has them. A TARGET is a label or a list of labels, the
    number or numbers of a regression, or of heads that read tokens a list of spans: ``[start,
    end]`` of a span head, else ``[start, end, label]``, in characters. Where the checkpoint looks
    for answers, each row has a ``pair``, its question.

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
        if asks(heads) and row.pair is None:
            raise ExportError(f'{where}: has no "pair", the question to its text')
        if row.text.strip():
            rows.append(row)
        else:
            tokens_only.append(row.text)
    if not rows:
        raise ExportError(f'{path}: has no rows; each line is an object such as {{"text": "..."}}')
    digest = hashlib.sha256(content).hexdigest()
    return ParityData(path.name, digest, tuple(rows), tuple(tokens_only), asks(heads))


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
    if "targets" in value or "context" in value:
        if given or (pair is not None and ("context" in value or not asks(heads))):
            raise ExportError(
                f'{where}: has "targets" or "context"; "pair", "label", "labels" and "value" '
                "belong to rows without"
            )
        context = _context(value.get("context", []), where)
        return Row(text, pair, context, _targets(value.get("targets", {}), text, heads, where))
    if not given:
        return Row(text, pair)
    if len(given) > 1:
        raise ExportError(f"{where}: has {' and '.join(given)}; give one of them")
    key = given[0]
    head = _head(value.get("head"), key, heads, where)
    return Row(text, pair, (), {head.name: _target(value[key], key, head, where)})


def _context(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    lines = []
    for line in value if isinstance(value, list) else [None]:
        if not isinstance(line, dict) or not all(
            isinstance(line.get(k), str) for k in ("tag", "text")
        ):
            raise ExportError(f'{where}: "context" must be a list of {{"tag": str, "text": str}}')
        lines.append((line["tag"], line["text"]))
    return tuple(lines)


def _targets(
    value: Any, text: str, heads: Sequence[HeadSpec], where: str
) -> dict[str, tuple[Any, ...]]:
    if not isinstance(value, dict):
        raise ExportError(f'{where}: "targets" must be an object of heads and their targets')
    found: dict[str, tuple[Any, ...]] = {}
    for name, target in value.items():
        head = _head(name, "label", heads, where)
        if head.task in TOKEN_TASKS:
            found[name] = _spans(target, text, head, where)
        else:
            found[name] = _target(target, f"targets.{name}", head, where)
    return found


def _spans(value: Any, text: str, head: HeadSpec, where: str) -> tuple[tuple[int, int, int], ...]:
    names = span_labels(head)
    spans = []
    for given in value if isinstance(value, list) else [None]:
        span = list(given) if isinstance(given, list) else []
        if head.task == "span" and len(span) == 2:
            span.append(0)
        if len(span) == 3 and isinstance(span[2], str) and span[2] in names:
            span[2] = names.index(span[2])
        if (
            len(span) != 3
            or not all(isinstance(n, int) and not isinstance(n, bool) for n in span)
            or not 0 <= span[0] < span[1] <= len(text)
            or not 0 <= span[2] < len(names)
        ):
            what = "[start, end]" if head.task == "span" else "[start, end, label]"
            raise ExportError(
                f"{where}: head {head.name!r} takes a list of {what}, in characters of the text"
            )
        spans.append((span[0], span[1], span[2]))
    return tuple(spans)


def span_labels(head: HeadSpec) -> tuple[str, ...]:
    """What the spans of a head that reads tokens may be."""
    if head.task == "span":
        return (head.name,)
    if head.task == "token_labels":
        return tuple(label.removeprefix("B-") for label in head.labels[1::2])
    return head.labels


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
        fitting = [h for h in heads if h.task not in ("regression", *TOKEN_TASKS)]
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
    if head.task in ("single_label", "ordinal") and len(names) != 1:
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

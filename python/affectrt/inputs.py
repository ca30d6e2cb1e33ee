"""One place that says what may be given as text, and turns it into rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .errors import InputError

TextLike: TypeAlias = str | tuple[str, str] | Mapping[str, str]
"""A text, a pair `(text, pair)`, or `{"text": ..., "text_pair": ...}` as transformers takes it."""

_EXPECTED = 'a str, a pair (str, str) or {"text": str, "text_pair": str}'


@dataclass(frozen=True, slots=True)
class Rows:
    texts: list[str]
    pairs: list[str | None] | None  # None when no row has a pair
    single: bool  # one text was given, not a list of them


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _checked(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        raise InputError(
            f'{where} is {_kind(value)}; give str, as in value.decode("utf-8") for UTF-8 bytes'
        )
    raise InputError(f"{where} is {_kind(value)}; give str")


def _pair_of(value: TextLike, where: str) -> tuple[str, str | None]:
    if isinstance(value, str):
        return value, None
    if isinstance(value, tuple):
        if len(value) != 2:
            raise InputError(
                f"{where} is a tuple of {len(value)}; a pair is a tuple of two str, "
                "and several texts are a list"
            )
        return _checked(value[0], f"{where}[0]"), _checked(value[1], f"{where}[1]")
    if isinstance(value, Mapping):
        if "text" not in value or not set(value) <= {"text", "text_pair"}:
            keys = ", ".join(repr(key) for key in value) or "none"
            raise InputError(
                f'{where} has the keys {keys}; give "text" and, for pairs, "text_pair"'
            )
        text = _checked(value["text"], f'{where}["text"]')
        pair = value.get("text_pair")
        return text, None if pair is None else _checked(pair, f'{where}["text_pair"]')
    if isinstance(value, bytes | bytearray | memoryview):
        _checked(value, where)
    raise InputError(f"{where} is {_kind(value)}; give {_EXPECTED}")


def rows_of(
    texts: TextLike | Iterable[TextLike], *, argument: str = "texts", allow_empty: bool = False
) -> Rows:
    """Rows from whatever a caller may give; `InputError` names the argument and the row.

    Texts that are empty or white space only carry nothing to answer and are refused unless
    `allow_empty`. The second text of a pair may be empty.
    """
    single = isinstance(texts, str | tuple | Mapping)
    if single:
        values: list[TextLike] = [texts]  # type: ignore[list-item]
    elif isinstance(texts, bytes | bytearray | memoryview | set | frozenset) or not isinstance(
        texts, Iterable
    ):
        if isinstance(texts, bytes | bytearray | memoryview):
            _checked(texts, argument)
        raise InputError(f"{argument} is {_kind(texts)}; give {_EXPECTED}, or a list of these")
    else:
        values = list(texts)

    rows: list[str] = []
    pairs: list[str | None] = []
    any_pair = False
    for index, value in enumerate(values):
        if type(value) is str:
            text, pair = value, None
        else:
            text, pair = _pair_of(value, argument if single else f"{argument}[{index}]")
            any_pair = any_pair or pair is not None
        if not allow_empty and (not text or text.isspace()):
            where = argument if single else f"{argument}[{index}]"
            what = "only white space" if text else "empty"
            raise InputError(f"{where} is {what}; give a text with at least one visible character")
        rows.append(text)
        pairs.append(pair)
    return Rows(rows, pairs if any_pair else None, single)

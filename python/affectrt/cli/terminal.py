"""Text for people: cells, wrapping, bars. Knows nothing of models."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_JOINERS = "\u200c\u200d"  # they hold emoji and Indic clusters together


def stdout_is_unicode() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"


def use_colour(stream: TextIO) -> bool:
    return (
        stream.isatty()
        and "NO_COLOR" not in os.environ
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def bold(text: str, on: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if on else text


def terminal_width(minimum: int = 60, maximum: int = 120) -> int:
    return max(minimum, min(maximum, shutil.get_terminal_size((100, 24)).columns))


def printable(text: str) -> str:
    """`text` on one line and without what could steer the reader's terminal."""
    if text.isprintable():
        return text
    cells = []
    for char in text:
        if char.isprintable() or char in _JOINERS:
            cells.append(char)
        elif char.isspace():
            cells.append(" ")
        elif unicodedata.category(char) != "Cf":
            cells.append("\N{REPLACEMENT CHARACTER}")
    return "".join(cells)


def _char_cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cells(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_char_cells, text))


def fit(text: str, width: int) -> str:
    """`text` cut to `width` columns, with an ellipsis where something was cut, and padded."""
    text = printable(text[: 4 * width + 1])
    if cells(text) > width:
        kept, used = [], 0
        for char in text:
            used += _char_cells(char)
            if used > width - 1:
                break
            kept.append(char)
        text = "".join(kept).rstrip() + "…"
    return text + " " * (width - cells(text))


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        if line and cells(line) + 1 + cells(word) <= width:
            line += " " + word
            continue
        if line:
            lines.append(line)
        line = ""
        for char in word:
            if cells(line) + _char_cells(char) > width:
                lines.append(line)
                line = ""
            line += char
    lines.append(line)
    return lines


def bar(share: float, width: int, unicode: bool = True) -> str:
    """A bar of `width` columns, filled to `share` in [0, 1]."""
    share = min(1.0, max(0.0, share))
    if not unicode:
        return ("#" * round(share * width)).ljust(width, ".")
    full, rest = divmod(round(share * width * 8), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def columns(rows: Sequence[tuple[str, str]], indent: int = 2) -> str:
    """Aligned "name  value" lines; further lines of a value stand under its first."""
    wide = max((cells(name) for name, _ in rows), default=0)
    lines = []
    for name, value in rows:
        first, *more = value.split("\n")
        lines.append(" " * indent + name + " " * (wide - cells(name)) + "  " + first)
        lines.extend(" " * (indent + wide + 2) + line for line in more)
    return "\n".join(line.rstrip() for line in lines)

"""The arc of a conversation as a page of its own: the picture, and every turn with its causes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from .terminal import printable

if TYPE_CHECKING:
    from ..turns import Turn

_STYLE = """\
body{font:16px/1.5 'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif;color:#22303c;\
max-width:1120px;margin:2em auto;padding:0 1em}
svg{width:100%;height:auto}
li{margin:.6em 0}
.who{font-weight:600}
.says{color:#66727e}
mark{background:#f6e3a1;color:inherit;border-radius:3px;padding:0 .1em}
sup{color:#66727e;padding-left:.15em}
"""


def _marked(text: str, spans: Sequence[tuple[int, int, int]]) -> str:
    """`text` with the words that are causes marked; `spans` are (start, end, turn of the effect),
    which may overlap."""
    edges = sorted({0, len(text), *(edge for start, end, _ in spans for edge in (start, end))})
    parts = []
    for start, end in itertools.pairwise(edges):
        words = escape(printable(text[start:end]))
        inside = [span for span in spans if span[0] <= start and end <= span[1]]
        parts.append(f"<mark>{words}</mark>" if inside and words else words)
        ending = sorted(turn for first, last, turn in inside if last == end)
        if ending:
            parts.append(f"<sup>→ {', '.join(map(str, ending))}</sup>")
    return "".join(parts)


def arc_html(picture: str, turns: Sequence[Turn], title: str) -> str:
    """A page that needs nothing else; `picture` is the SVG of the same turns.

    Words that caused the emotion of a turn are marked, with the number of that turn behind them.
    """
    causes: dict[int, list[tuple[int, int, int]]] = {}
    for turn in turns:
        for cause in turn.causes or ():
            if cause.start is not None and cause.end is not None:
                causes.setdefault(cause.turn, []).append((cause.start, cause.end, turn.number))
    items = []
    for turn in turns:
        names = ", ".join(turn.decided) or f"nearest: {turn.emotions[0].label}"
        items.append(
            f'<li value="{turn.number}"><span class="who">{escape(printable(turn.speaker))}</span> '
            f"{_marked(turn.text, causes.get(turn.number, []))} "
            f'<span class="says">{escape(names)}</span></li>'
        )
    heading = escape(printable(title))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{heading}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"{picture}<ol>\n" + "\n".join(items) + "\n</ol>\n</body>\n</html>\n"
    )

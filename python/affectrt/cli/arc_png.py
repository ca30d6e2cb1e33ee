"""The arc of a conversation as PNG, drawn by matplotlib where it is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence

from ..errors import UnsupportedError
from .arc_svg import Point
from .emotion_groups import GROUPS
from .terminal import printable


def arc_png(points: Sequence[Point], title: str) -> bytes:
    """Valence above, the mix of emotions below; `UnsupportedError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            f'a .png needs matplotlib: pip install "affectrt[plot]" ({error}); '
            ".svg and .html need nothing"
        ) from None
    numbers = list(range(1, len(points) + 1))
    valence = [point.valence for point in points]
    figure = Figure(figsize=(11.2, 7.4), dpi=150, layout="constrained")
    arc, mix = figure.subplots(2, 1, sharex=True, height_ratios=(5, 3))
    arc.set_title(printable(title).replace("$", r"\$"))
    arc.set_ylabel("valence")
    arc.set_ylim(-1.1, 1.1)
    arc.axhline(0, color="#aab3bb", linewidth=0.8)
    arc.plot(numbers, valence, color="#22303c")
    for speaker in dict.fromkeys(point.speaker for point in points):
        own = [i for i, point in enumerate(points) if point.speaker == speaker]
        label = printable(speaker).replace("$", r"\$").lstrip("_") or "?"
        arc.plot([numbers[i] for i in own], [valence[i] for i in own], "o", label=label)
    for number, point in zip(numbers, points, strict=True):
        place = (number, point.valence)
        arc.annotate(
            point.answer.replace("$", r"\$"),
            place,
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        for cause in point.causes:
            style = {"arrowstyle": "->", "linestyle": "dotted", "color": "#66727e"}
            arc.annotate("", place, (cause + 1, points[cause].valence), arrowprops=style)
    arc.legend(frameon=False, ncols=4)
    bottom = [0.0] * len(points)
    for group in GROUPS:
        shares = [point.shares.get(group.name, 0.0) for point in points]
        mix.bar(numbers, shares, bottom=bottom, color=group.colour, label=group.name)
        bottom = [a + b for a, b in zip(bottom, shares, strict=True)]
    mix.set_ylabel("mix of emotions")
    mix.set_xlabel("turn")
    mix.legend(frameon=False, ncols=len(GROUPS), loc="upper center", bbox_to_anchor=(0.5, -0.25))
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()

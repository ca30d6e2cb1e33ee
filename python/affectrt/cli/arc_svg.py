"""The emotion arc of a conversation as an SVG picture, in plain Python."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.sax.saxutils import escape

from .emotion_groups import GROUPS
from .svg import GRID, INK, MUTED, Canvas, document
from .terminal import cells, fit, printable

_SPEAKER_COLOURS = ("#1f4e79", "#b3561b", "#4a7a3a", "#7a3a6d")
_PLEASANT, _UNPLEASANT = "#f6c445", "#5b8fc9"

_WIDTH = 1120
_LEFT, _RIGHT = 118, 40
_ARC_TOP, _ARC_HEIGHT = 118, 260
_BARS_TOP, _BARS_HEIGHT = 468, 150
_HEIGHT = 740


@dataclass(frozen=True, slots=True)
class Point:
    """One turn of the conversation."""

    speaker: str
    text: str
    answer: str  # what stands beside the point; "" for nothing
    valence: float  # in [-1, 1]
    shares: Mapping[str, float]  # group name -> share, summing to 1
    causes: tuple[int, ...] = ()  # places of earlier points that caused its emotion


def _smooth_path(points: Sequence[tuple[float, float]]) -> str:
    """A curve through all points that never overshoots them: cubic Hermite segments with the
    tangents of Fritsch and Carlson (1980), as Bezier curves."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]
    tangents = [slopes[0] if slopes else 0.0]
    for before, after in itertools.pairwise(slopes):
        flat = before * after <= 0
        tangents.append(0.0 if flat else 2 * before * after / (before + after))
    tangents.append(slopes[-1] if slopes else 0.0)
    path = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for index, (x0, y0) in enumerate(points[:-1]):
        x1, y1 = points[index + 1]
        third = (x1 - x0) / 3
        path.append(
            f"C{x0 + third:.1f},{y0 + tangents[index] * third:.1f} "
            f"{x1 - third:.1f},{y1 - tangents[index + 1] * third:.1f} {x1:.1f},{y1:.1f}"
        )
    return " ".join(path)


def _marker(canvas: Canvas, x: float, y: float, who: int, title: str) -> None:
    """A disc or a square per speaker, so that colour is not needed to tell them apart."""
    colour = _SPEAKER_COLOURS[who % len(_SPEAKER_COLOURS)]
    style = f'fill="{colour}" stroke="#ffffff" stroke-width="2"'
    tip = f"<title>{escape(printable(title))}</title>"
    if who % 2 == 0:
        canvas.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" {style}>{tip}</circle>')
    else:
        canvas.add(
            f'<rect x="{x - 7:.1f}" y="{y - 7:.1f}" width="14" height="14" rx="2" {style}>'
            f"{tip}</rect>"
        )


def _arc(canvas: Canvas, points: Sequence[Point], xs: Sequence[float], who: list[int]) -> None:
    middle = _ARC_TOP + _ARC_HEIGHT / 2

    def height(value: float) -> float:
        return middle - value * _ARC_HEIGHT / 2

    for value, name in (
        (1.0, "pleasant"),
        (0.5, ""),
        (0.0, "balanced"),
        (-0.5, ""),
        (-1, "unpleasant"),
    ):
        y = height(value)
        canvas.line(_LEFT, y, _WIDTH - _RIGHT, y, "#aab3bb" if value == 0 else GRID)
        canvas.text(_LEFT - 12, y + 4, name, fill=MUTED, anchor="end")

    places = [(x, height(point.valence)) for x, point in zip(xs, points, strict=True)]
    curve = _smooth_path(places)
    area = f"{curve} L{places[-1][0]:.1f},{middle:.1f} L{places[0][0]:.1f},{middle:.1f} Z"
    canvas.add(f'<path d="{area}" fill="{_PLEASANT}" fill-opacity="0.35" clip-path="url(#above)"/>')
    canvas.add(
        f'<path d="{area}" fill="{_UNPLEASANT}" fill-opacity="0.35" clip-path="url(#below)"/>'
    )
    canvas.add(f'<path d="{curve}" fill="none" stroke="{INK}" stroke-width="2.5"/>')
    _causes(canvas, points, places)
    _answers(canvas, points, places)
    for (x, y), point, speaker in zip(places, points, who, strict=True):
        _marker(canvas, x, y, speaker, f"{point.speaker}: {point.text}")


def _causes(canvas: Canvas, points: Sequence[Point], places: Sequence[tuple[float, float]]) -> None:
    """A dotted line from each cause to its effect."""
    for point, (x, y) in zip(points, places, strict=True):
        for cause in point.causes:
            x0, y0 = places[cause]
            bend = min(y0, y) - 24 - 0.08 * (x - x0)
            canvas.add(
                f'<path d="M{x0:.1f},{y0:.1f} Q{(x0 + x) / 2:.1f},{bend:.1f} {x:.1f},{y:.1f}" '
                f'fill="none" stroke="{MUTED}" stroke-width="1.2" stroke-dasharray="2 4">'
                f"<title>turn {cause + 1} is a cause</title></path>"
            )


def _answers(
    canvas: Canvas, points: Sequence[Point], places: Sequence[tuple[float, float]]
) -> None:
    """Writes each answer above or below its point, where it covers nothing written before."""
    taken = [(x - 10, y - 10, x + 10, y + 10) for x, y in places]
    for index, ((x, y), point) in enumerate(zip(places, points, strict=True)):
        if not point.answer:
            continue
        neighbours = [places[i][1] for i in (index - 1, index + 1) if 0 <= i < len(places)]
        is_valley = bool(neighbours) and y > sum(neighbours) / len(neighbours)
        above, below = (-16, -34, -52), (27, 45, 63)
        offsets = zip(below, above, strict=True) if is_valley else zip(above, below, strict=True)
        half = 4.3 * cells(point.answer) + 2
        choices = [
            (x - half, y + offset - 13, x + half, y + offset + 4)
            for both in offsets
            for offset in both
        ]
        free = (box for box in choices if not any(_overlap(box, other) for other in taken))
        box = next(free, choices[0])
        taken.append(box)
        canvas.text(x, box[3] - 4, point.answer, anchor="middle", weight=600, halo=True)


_Box: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _bars(canvas: Canvas, points: Sequence[Point], xs: Sequence[float], step: float) -> None:
    bottom = _BARS_TOP + _BARS_HEIGHT
    width = min(48.0, step * 0.62)
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * _BARS_HEIGHT
        canvas.line(_LEFT, y, _WIDTH - _RIGHT, y, GRID)
        canvas.text(_LEFT - 12, y + 4, f"{share:.0%}", fill=MUTED, anchor="end")
    for x, point in zip(xs, points, strict=True):
        y = float(bottom)
        for group in reversed(GROUPS):
            share = point.shares.get(group.name, 0.0)
            tall = share * _BARS_HEIGHT
            y -= tall
            if tall >= 0.3:
                canvas.add(
                    f'<rect x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
                    f'height="{tall:.1f}" fill="{group.colour}" stroke="#ffffff" '
                    f'stroke-width="0.6"><title>{group.name} {share:.0%}</title></rect>'
                )


def _legend(canvas: Canvas, speakers: Sequence[str]) -> None:
    x = float(_LEFT)
    for group in GROUPS:
        canvas.add(
            f'<rect x="{x:.1f}" y="{_HEIGHT - 40}" width="13" height="13" rx="2" '
            f'fill="{group.colour}"/>'
        )
        canvas.text(x + 19, _HEIGHT - 29, group.name)
        x += 19 + 8.0 * len(group.name) + 24
    right = float(_WIDTH - _RIGHT)
    for who in reversed(range(len(speakers))):
        name = fit(speakers[who], 16).rstrip()
        canvas.text(right, 63, name, anchor="end", weight=600)
        right -= 8.4 * cells(name) + 14
        _marker(canvas, right, 58, who, name)
        right -= 30


def arc_svg(points: Sequence[Point], title: str, subtitle: str) -> str:
    """A picture of at least one turn: the course of valence above, the mix of emotions below."""
    speakers = list(dict.fromkeys(point.speaker for point in points))
    who = [speakers.index(point.speaker) for point in points]
    step = (_WIDTH - _LEFT - _RIGHT) / len(points)
    xs = [_LEFT + step * (index + 0.5) for index in range(len(points))]
    middle = _ARC_TOP + _ARC_HEIGHT / 2

    title = printable(title)
    canvas = Canvas()
    canvas.text(_LEFT, 44, title, size=22, weight=700)
    canvas.text(_LEFT, 68, subtitle, fill=MUTED)
    canvas.text(24, _ARC_TOP - 24, "Valence", size=14, weight=700)
    _arc(canvas, points, xs, who)
    canvas.text(24, _BARS_TOP - 20, "Mix of emotions", size=14, weight=700)
    _bars(canvas, points, xs, step)
    every = -(-len(points) // 40)  # numbers and names that find room
    for index, (x, point) in enumerate(zip(xs, points, strict=True)):
        if index % every:
            continue
        canvas.text(x, _BARS_TOP + _BARS_HEIGHT + 22, str(index + 1), anchor="middle", fill=MUTED)
        canvas.text(
            x,
            _BARS_TOP + _BARS_HEIGHT + 41,
            fit(point.speaker, max(3, int(every * step / 8))).rstrip(),
            anchor="middle",
            fill=_SPEAKER_COLOURS[who[index] % len(_SPEAKER_COLOURS)],
            weight=600,
        )
    _legend(canvas, speakers)
    clips = "".join(
        f'<clipPath id="{name}"><rect x="0" y="{top}" width="{_WIDTH}" height="{tall}"/></clipPath>'
        for name, top, tall in (("above", 0, middle), ("below", middle, _HEIGHT - middle))
    )
    return document(canvas, _WIDTH, _HEIGHT, title, clips)

"""What a search measured, as a picture (SVG): time against what is lost.

Times are the measured ones, with their quartiles, where every plan has one; else the estimates.
"""

from __future__ import annotations

from html import escape

from .search import Point, Search

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 56, 56
_INK, _MUTED, _GRID = "#22303c", "#66727e", "#e3e8ec"
_CHOSEN, _FRONT, _BAR = "#c05621", "#2b6cb0", "#b3261e"
_TICKS = 5


def time_of(point: Point, found: Search) -> float:
    """What the picture has on its axis, all at int8 being 1."""
    if any(one.speed is None for one in found.points.values()) or point.speed is None:
        return point.time
    return point.speed.ratio


def pareto_front(points: list[Point], found: Search) -> list[Point]:
    """Points than which none is both faster and better, by time."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (time_of(p, found), p.value(found.bar))):
        if not front or point.value(found.bar) < front[-1].value(found.bar):
            front.append(point)
    return front


def to_svg(found: Search, name: str) -> str:
    """A picture of a finished search; `name` is the model's."""
    scale = 100.0
    points = [found.points[key] for key in sorted(found.points)]
    chosen = found.points[found.chosen]
    values = [scale * p.value(found.bar) for p in points]
    bound = scale * found.bar.bound
    low, high = min(0.0, *values), max(bound, *values) * 1.08 or 1.0
    measured = all(p.speed is not None for p in points)
    times = [time_of(p, found) for p in points]
    if measured:
        times += [end for p in points if p.speed is not None for end in (p.speed.low, p.speed.high)]
    first, last = min(1.0, *times), max(times) * 1.02 + 1e-3

    def x(time: float) -> float:
        return _LEFT + (time - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def text(at_x: float, at_y: float, words: str, fill: str = _INK, anchor: str = "middle",
             extra: str = "") -> str:  # fmt: skip
        return (f'<text x="{at_x:.1f}" y="{at_y:.1f}" font-size="13" text-anchor="{anchor}" '
                f'fill="{fill}"{extra}>{escape(words)}</text>')  # fmt: skip

    what = "largest fall of a task metric, points" if found.bar.kind == "loss" else "flips, %"
    parts = [text(_LEFT, 26, f"{name} on {found.engine}: {len(points)} plans measured",
                  anchor="start", extra=' font-weight="600"')]  # fmt: skip
    for tick in range(_TICKS + 1):
        share = tick / _TICKS
        value, time = low + share * (high - low), first + share * (last - first)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" '
                     f'y2="{y(value):.1f}" stroke="{_GRID}"/>')  # fmt: skip
        parts.append(text(_LEFT - 8, y(value) + 4, f"{value:.3g}", _MUTED, "end"))
        parts.append(text(x(time), _HEIGHT - _BOTTOM + 20, f"{time:.2f}", _MUTED))
    parts.append(text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12,
                      "measured time of a text and its quartiles, all at int8 = 1" if measured
                      else "estimated time of all products, int8 = 1"))  # fmt: skip
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(text(18, middle, what, extra=f' transform="rotate(-90 18 {middle:.0f})"'))
    parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(bound):.1f}" '
                 f'y2="{y(bound):.1f}" stroke="{_BAR}" stroke-dasharray="6 4"/>')  # fmt: skip
    parts.append(text(_WIDTH - _RIGHT, y(bound) - 6, f"bar {bound:.3g}", _BAR, "end"))
    front = pareto_front(points, found)
    path = " ".join(
        f"{x(time_of(p, found)):.1f},{y(scale * p.value(found.bar)):.1f}" for p in front
    )
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_FRONT}" stroke-width="1.5"/>')
    for point in points:
        height = f"{y(scale * point.value(found.bar)):.1f}"
        place = f'cx="{x(time_of(point, found)):.1f}" cy="{height}"'
        raised = sum(digit != "0" for digit in point.levels)
        tip = f"{raised} of {len(found.units)} units above int8, {point.size / 1e6:.2f} MB"
        if measured and point.speed is not None:
            tip += f", {point.speed.ms:.2f} ms a text"
            parts.append(f'<line x1="{x(point.speed.low):.1f}" x2="{x(point.speed.high):.1f}" '
                         f'y1="{height}" y2="{height}" stroke="{_MUTED}" '
                         'stroke-opacity="0.4"/>')  # fmt: skip
        style = f'r="3.5" fill="{_MUTED}" fill-opacity="0.55"'
        if point in front:
            style = f'r="4.5" fill="{_FRONT}"'
        if point is chosen:
            style = f'r="7" fill="{_CHOSEN}"'
        parts.append(f"<circle {place} {style}><title>{escape(tip)}</title></circle>")
    label = f"chosen: {len(found.plan())} of {len(found.units)} above int8"
    at_x = x(time_of(chosen, found))
    side = "end" if at_x > _WIDTH / 2 else "start"
    shift = -12 if side == "end" else 12
    at = y(scale * chosen.value(found.bar))
    parts.append(text(at_x + shift, at - 10, label, _CHOSEN, side))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="Helvetica Neue, Helvetica, Arial, '
        f'DejaVu Sans, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )

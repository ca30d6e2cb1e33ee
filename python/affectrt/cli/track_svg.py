"""Sound and its emotions as an SVG picture, in plain Python."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from .svg import GRID, INK, MUTED, Canvas, document
from .terminal import cells, printable
from .track import VALUE_COLOURS, Track, colours

_WIDTH = 1120
_LEFT, _RIGHT = 118, 40
_WAVE_TOP, _WAVE_HEIGHT = 112, 170
_MIX_TOP, _MIX_HEIGHT = 336, 150
_VALUES_TOP, _VALUES_HEIGHT = 546, 110


def tick_seconds(duration_s: float, most: int = 12) -> float:
    """A round number of seconds between marks, of which there are at most so many."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800):
        if duration_s / step <= most:
            return step
    return 3600.0 * math.ceil(duration_s / 3600 / most)


def _time(seconds: float, step: float) -> str:
    if step < 1:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Picture:
    def __init__(self, track: Track) -> None:
        self.track = track
        self.canvas = Canvas()
        self.colours = colours(track.labels)
        self.bottom = _VALUES_TOP + _VALUES_HEIGHT if track.values else _MIX_TOP + _MIX_HEIGHT
        self.height = self.bottom + 84

    def x(self, seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / self.track.duration_s

    def wave(self) -> None:
        middle = _WAVE_TOP + _WAVE_HEIGHT / 2
        for segment in self.track.segments:
            colour = self.colours.get(segment.label or "", "#9aa3ab")
            left, right = self.x(segment.start_s), self.x(segment.end_s)
            tip = f"{segment.start_s:.2f} to {segment.end_s:.2f} s: {segment.label or ''}"
            self.canvas.add(
                f'<rect x="{left:.1f}" y="{_WAVE_TOP}" width="{right - left:.1f}" '
                f'height="{_WAVE_HEIGHT}" fill="{colour}" fill-opacity="0.28">'
                f"<title>{escape(printable(tip))}</title></rect>"
            )
        peak = max(float(abs(self.track.envelope).max()), 1e-6)
        rows = (self.track.envelope / peak * (_WAVE_HEIGHT / 2 - 6)).tolist()
        step = (_WIDTH - _LEFT - _RIGHT) / len(rows)
        top = [f"{_LEFT + step * i:.1f},{middle - high:.1f}" for i, (_, high) in enumerate(rows)]
        low = [f"{_LEFT + step * i:.1f},{middle - low:.1f}" for i, (low, _) in enumerate(rows)]
        self.canvas.add(
            f'<path d="M{" L".join(top)} L{" L".join(reversed(low))} Z" fill="{INK}" '
            f'stroke="{INK}" stroke-width="0.5" fill-opacity="0.8"/>'
        )
        self.canvas.line(_LEFT, middle, _WIDTH - _RIGHT, middle, "#aab3bb")
        free = 0.0
        for segment in self.track.segments:
            if segment.label is None:
                continue
            half = 4.0 * cells(segment.label)
            place = (self.x(segment.start_s) + self.x(segment.end_s)) / 2
            if place - half < free:
                continue
            free = place + half + 6
            self.canvas.text(place, _WAVE_TOP - 8, segment.label, anchor="middle", weight=600)

    def mix(self) -> None:
        bottom = _MIX_TOP + _MIX_HEIGHT
        for share in (0.0, 0.5, 1.0):
            y = bottom - share * _MIX_HEIGHT
            self.canvas.line(_LEFT, y, _WIDTH - _RIGHT, y, GRID)
            self.canvas.text(_LEFT - 12, y + 4, f"{share:.0%}", fill=MUTED, anchor="end")
        for segment in self.track.segments:
            left, right = self.x(segment.start_s), self.x(segment.end_s)
            total = sum(segment.smoothed.values()) or 1.0
            y = float(bottom)
            for label in self.track.labels:
                share = segment.smoothed[label] / total
                y -= share * _MIX_HEIGHT
                if share * _MIX_HEIGHT >= 0.3:
                    self.canvas.add(
                        f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(0.8, right - left):.1f}" '
                        f'height="{share * _MIX_HEIGHT:.1f}" fill="{self.colours[label]}">'
                        f"<title>{escape(printable(label))} {share:.0%}</title></rect>"
                    )

    def values(self) -> None:
        middle = _VALUES_TOP + _VALUES_HEIGHT / 2
        for mark in (-1, 0, 1):
            y = middle - mark * _VALUES_HEIGHT / 2
            self.canvas.line(_LEFT, y, _WIDTH - _RIGHT, y, "#aab3bb" if mark == 0 else GRID)
            self.canvas.text(_LEFT - 12, y + 4, f"{mark:+d}" if mark else "0", fill=MUTED,
                             anchor="end")  # fmt: skip
        for segment in self.track.segments:
            for name in self.track.values:
                value = max(-1.0, min(1.0, self.track.value(segment, name)))
                y = middle - value * _VALUES_HEIGHT / 2
                self.canvas.line(
                    self.x(segment.start_s), y, self.x(segment.end_s), y, VALUE_COLOURS[name],
                    'stroke-width="3.5" stroke-linecap="round"',
                )  # fmt: skip
        x = float(_LEFT)
        for name in self.track.values:
            self.canvas.line(x, _VALUES_TOP - 20, x + 22, _VALUES_TOP - 20, VALUE_COLOURS[name],
                             'stroke-width="3.5"')  # fmt: skip
            self.canvas.text(x + 28, _VALUES_TOP - 15, name)
            x += 28 + 8.0 * len(name) + 24

    def axis(self) -> None:
        step = tick_seconds(self.track.duration_s)
        for i in range(int(self.track.duration_s / step) + 1):
            x = self.x(i * step)
            self.canvas.line(x, self.bottom, x, self.bottom + 5, MUTED)
            self.canvas.text(x, self.bottom + 21, _time(i * step, step), fill=MUTED,
                             anchor="middle")  # fmt: skip

    def legend(self) -> None:
        x = float(_LEFT)
        for label, colour in self.colours.items():
            wide = 19 + 7.6 * cells(label) + 18
            if x + wide > _WIDTH - _RIGHT:
                break
            self.canvas.add(
                f'<rect x="{x:.1f}" y="{self.height - 34}" width="13" height="13" rx="2" '
                f'fill="{colour}"/>'
            )
            self.canvas.text(x + 19, self.height - 23, label)
            x += wide


def track_svg(track: Track, subtitle: str) -> str:
    """The waveform above, the mix of emotions and arousal and valence below."""
    title = printable(track.name)
    picture = _Picture(track)
    canvas = picture.canvas
    canvas.text(_LEFT, 44, title, size=22, weight=700)
    canvas.text(_LEFT, 68, subtitle, fill=MUTED)
    canvas.text(24, _WAVE_TOP - 8, "Sound", size=14, weight=700)
    picture.wave()
    canvas.text(24, _MIX_TOP - 20, "Mix of emotions", size=14, weight=700)
    picture.mix()
    if track.values:
        canvas.text(24, _VALUES_TOP - 15, "Values", size=14, weight=700)
        picture.values()
    picture.axis()
    picture.legend()
    return document(canvas, _WIDTH, picture.height, title, "")

"""Sound and its emotions as PNG, drawn by matplotlib where it is installed."""

from __future__ import annotations

import io

import numpy as np

from ..errors import UnsupportedError
from .terminal import printable
from .track import VALUE_COLOURS, Track, colours


def track_png(track: Track, subtitle: str) -> bytes:
    """As `track_svg`; `UnsupportedError` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            f'a .png needs matplotlib: pip install "affectrt[plot]" ({error}); .svg needs nothing'
        ) from None

    def plain(text: str) -> str:
        return printable(text).replace("$", r"\$")

    heights = (4, 3, 2) if track.values else (4, 3)
    figure = Figure(figsize=(11.2, 7.4), dpi=150, layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    figure.suptitle(f"{plain(track.name)}\n{plain(subtitle)}", fontsize=11)
    wave, mix = axes[0], axes[1]
    chosen = colours(track.labels)
    seconds = np.linspace(0, track.duration_s, len(track.envelope))
    wave.fill_between(seconds, track.envelope[:, 0], track.envelope[:, 1], color="#22303c")
    wave.set_ylabel("sound")
    for segment in track.segments:
        middle, width = (segment.start_s + segment.end_s) / 2, segment.duration_s
        colour = chosen.get(segment.label or "", "#9aa3ab")
        wave.axvspan(segment.start_s, segment.end_s, color=colour, alpha=0.3, linewidth=0)
        if segment.label is not None and len(track.segments) <= 40:
            wave.annotate(plain(segment.label), (middle, 1.01), ha="center", fontsize=8,
                          xycoords=("data", "axes fraction"))  # fmt: skip
        bottom, total = 0.0, sum(segment.smoothed.values()) or 1.0
        for label in track.labels:
            share = segment.smoothed[label] / total
            mix.bar(middle, share, width, bottom, color=chosen[label], linewidth=0)
            bottom += share
        for name, style in zip(track.values, ("-", "--"), strict=False):
            value = track.value(segment, name)
            axes[2].plot([segment.start_s, segment.end_s], [value] * 2, style, linewidth=3,
                         color=VALUE_COLOURS[name])  # fmt: skip
    mix.set_ylabel("mix of emotions")
    mix.set_ylim(0, 1)
    for label, colour in chosen.items():
        mix.bar(0, 0, 0, color=colour, label=plain(label).lstrip("_") or "?")
    if track.values:
        axes[2].set_ylim(-1.05, 1.05)
        axes[2].set_ylabel("values")
        for name, style in zip(track.values, ("-", "--"), strict=False):
            axes[2].plot([], [], style, color=VALUE_COLOURS[name], linewidth=3, label=name)
        axes[2].legend(frameon=False, loc="center right", fontsize=8)
    axes[-1].set_xlim(0, track.duration_s)
    axes[-1].set_xlabel("seconds")
    if chosen:
        figure.legend(*mix.get_legend_handles_labels(), loc="outside lower center", frameon=False,
                      ncols=min(9, len(chosen)))  # fmt: skip
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()

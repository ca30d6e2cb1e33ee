"""The pictures of a results file: bars with their spread, latencies, throughput by call size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure

OWN_COLOUR = "#c2410c"
PEER_COLOURS = (
    "#1d4ed8", "#0891b2", "#15803d", "#7c3aed", "#a16207", "#475569", "#be185d", "#0f766e",
    "#4338ca", "#78716c",
)  # fmt: skip

Data = Mapping[str, Any]


def figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """An empty figure in the house style."""
    return Figure(figsize=(width, height), layout="constrained")


def save(picture: Figure, file: Path) -> None:
    """Writes SVG or PNG, by the name's ending; the same figures give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "affectrt", "svg.fonttype": "none"}):
        metadata = {"Date": None} if file.suffix == ".svg" else None
        picture.savefig(file, dpi=150, metadata=metadata)


def tidy(axes: Any) -> None:
    """Takes off what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", alpha=0.25)
    axes.set_axisbelow(True)


def _peers(data: Data, job: str, key: str) -> list[tuple[str, Mapping[str, float]]]:
    found = []
    for name in data["peers"]:
        value = data["runs"].get(f"{name}/1/{job}", {}).get(key)
        if value:
            found.append((name, value))
    return found


def bars(data: Data) -> Figure:
    """How many times faster affectrt is: one text, and offline; one thread, quartiles."""
    picture = figure(10.0, 4.2)
    for axes, (title, job, key) in zip(
        picture.subplots(1, 2),
        (
            ("one text, p50", "single/mixed", "ratio_p50"),
            ("offline, mixed lengths", "offline/mixed", "ratio"),
        ),
        strict=True,
    ):
        found = _peers(data, job, key)[::-1]
        values = [v["median"] for _, v in found]
        errors = [
            [v["median"] - v["lower"] for _, v in found],
            [v["upper"] - v["median"] for _, v in found],
        ]
        axes.barh([n for n, _ in found], values, xerr=errors, color=PEER_COLOURS[0], capsize=3)
        axes.axvline(1.0, color=OWN_COLOUR)
        axes.set_title(title)
        axes.set_xlabel("times faster than the peer (one thread)")
        tidy(axes)
    return picture


def latency_cdf(data: Data) -> Figure:
    """Share of texts answered within a latency, one thread."""
    picture = figure()
    axes = picture.subplots()
    share = [i / 100 for i in range(101)]
    own: Mapping[str, Any] | None = None
    for index, name in enumerate(data["peers"]):
        run = data["runs"].get(f"{name}/1/single/mixed", {})
        if "peer" not in run:
            continue
        own = own or run["affectrt"]
        milliseconds = [t * 1000 for t in run["peer"]["cdf"]]
        colour = PEER_COLOURS[index % len(PEER_COLOURS)]
        axes.plot(milliseconds, share, label=name, color=colour, linewidth=1)
    if own:
        axes.plot([t * 1000 for t in own["cdf"]], share, label="affectrt", color=OWN_COLOUR, lw=2)
        axes.legend(fontsize="small")
    axes.set_xscale("log")
    axes.set_xlabel("string to labels, ms")
    axes.set_ylabel("share of texts")
    tidy(axes)
    return picture


def call_sizes(data: Data) -> Figure:
    """Utterances a second by texts in a call, one thread."""
    picture = figure()
    axes = picture.subplots()
    own: Mapping[str, float] | None = None
    for index, name in enumerate(data["peers"]):
        run = data["runs"].get(f"{name}/1/calls/mixed", {})
        if "peer" not in run:
            continue
        own = own or run["affectrt"]
        colour = PEER_COLOURS[index % len(PEER_COLOURS)]
        sizes = [int(size) for size in run["peer"]]
        axes.plot(sizes, list(run["peer"].values()), ".-", label=name, color=colour, linewidth=1)
    if own:
        sizes = [int(size) for size in own]
        axes.plot(sizes, list(own.values()), ".-", label="affectrt", color=OWN_COLOUR, linewidth=2)
        axes.legend(fontsize="small")
        axes.set_xscale("log", base=2)
    axes.set_xlabel("texts in a call")
    axes.set_ylabel("utterances a second")
    axes.set_ylim(bottom=0)
    tidy(axes)
    return picture


# name -> the job it shows, how it is drawn
PICTURES: dict[str, tuple[str, Callable[[Data], Figure]]] = {
    "ratios": ("single/mixed", bars),
    "latency": ("single/mixed", latency_cdf),
    "calls": ("calls/mixed", call_sizes),
}

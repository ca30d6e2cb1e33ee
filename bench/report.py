"""The results as one Markdown table, ratios first, and as pictures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Data = Mapping[str, Any]

# heading, job, the ratio's key, what affectrt's own figure is, its unit
_COLUMNS: tuple[tuple[str, str, str, tuple[str, ...], str], ...] = (
    ("one text, p50", "single/mixed", "ratio_p50", ("p50",), "ms"),
    ("p90", "single/mixed", "ratio_p90", ("p90",), "ms"),
    ("p99", "single/mixed", "ratio_p99", ("p99",), "ms"),
    ("8 texts, p99", "multi/mixed", "ratio_p99", ("p99",), "ms"),
    ("server", "server/mixed", "ratio", ("per_second", "median"), "/s"),
    ("offline", "offline/mixed", "ratio", ("per_second", "median"), "/s"),
    ("128 tokens, p50", "single/128", "ratio_p50", ("p50",), "ms"),
    ("128, offline", "offline/128", "ratio", ("per_second", "median"), "/s"),
    ("512 tokens, p50", "single/512", "ratio_p50", ("p50",), "ms"),
    ("512, offline", "offline/512", "ratio", ("per_second", "median"), "/s"),
)
_GOALS = {  # issue's goals, one thread: peer -> (one text p50, offline)
    "transformers": (8.0, 6.0),
    "optimum-int8": (2.7, 3.2),
    "ort-int8": (2.2, 2.2),
    "ctranslate2-int8": (2.2, 2.0),
}


def spread_cell(value: Mapping[str, float] | None) -> str:
    """``2.31 (2.28-2.40)``: a median with its quartiles."""
    if not value:
        return "-"
    digits = 1 if value["median"] >= 10 else 2
    low, high = (f"{value[k]:.{digits}f}" for k in ("lower", "upper"))
    return f"**{value['median']:.{digits}f}** ({low}-{high})"


def _deep(result: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for key in path:
        result = result[key]
    return result


def _threads(data: Data) -> list[int]:
    return sorted({int(key.split("/")[1]) for key in data["runs"]})


def _run(data: Data, peer: str, threads: int, job: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = data["runs"].get(f"{peer}/{threads}/{job}", {})
    return found


def _quality(data: Data, peer: str, threads: int) -> tuple[str, str]:
    """Decisions that differ from torch's; what a batch does to an answer."""
    run = _run(data, peer, threads, "agreement")
    if "peer" not in run:
        return "-", "-"
    found = run["peer"]
    return (
        f"{found['flips']:.2%}",
        f"{found['batch_changed_texts']} of {found['texts']} ({found['batch_distance']:.1g})",
    )


def _weight(data: Data, peer: str) -> tuple[str, str, str]:
    run = _run(data, peer, 1, "startup")
    if "peer" not in run:
        return "-", "-", "-"
    found = run["peer"]
    return (
        spread_cell(run["ratio"]),
        f"{found['rss']['median'] / 1e6:.0f}",
        f"{found['installed'] / 1e6:.0f}",
    )


def _own_row(data: Data, threads: int) -> list[str]:
    """affectrt's own figures: medians over all its pairs."""
    cells = []
    for _, job, _, path, unit in _COLUMNS:
        values = [
            _deep(run["affectrt"], path)
            for key, run in data["runs"].items()
            if key.split("/", 2)[1:] == [str(threads), job]
            and "affectrt" in run
            and not key.startswith("affectrt")
        ]
        if not values:
            cells.append("-")
        elif unit == "ms":
            cells.append(f"{statistics.median(values) * 1000:.2f} ms")
        else:
            cells.append(f"{statistics.median(values):.0f}/s")
    runs = [r for k, r in data["runs"].items() if k.endswith("/startup") and "affectrt" in r]
    if runs and threads == 1:
        own = [r["affectrt"] for r in runs]
        start = statistics.median(o["seconds"]["median"] for o in own)
        rss = statistics.median(o["rss"]["median"] for o in own)
        cells += [f"{start * 1000:.0f} ms", f"{rss / 1e6:.0f}", f"{own[0]['installed'] / 1e6:.0f}"]
    else:
        cells += ["-"] * 3
    agreements = [r["affectrt"] for k, r in data["runs"].items() if k.endswith("agreement")
                  and "affectrt" in r]  # fmt: skip
    if agreements:
        one = agreements[0]
        changed = max(a["batch_changed_texts"] for a in agreements)
        distance = max(a["batch_distance"] for a in agreements)
        cells += [f"{one['flips']:.2%}", f"{changed} of {one['texts']} ({distance:.1g})"]
    else:
        cells += ["-"] * 2
    return cells


def table(data: Data) -> list[str]:
    """The lines of the table: one row a peer and number of threads."""
    heads = [c[0] for c in _COLUMNS]
    heads += ["start-up", "RSS, MB", "installed, MB", "decisions unlike torch's",
              "texts whose labels a batch changes (score)"]  # fmt: skip
    lines = [f"| against | threads | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for threads in _threads(data):
        for name, peer in data["peers"].items():
            cells = []
            for _, job, key, _, _ in _COLUMNS:
                run = _run(data, name, threads, job)
                cells.append("failed" if "failed" in run else spread_cell(run.get(key)))
            if all(cell == "-" for cell in cells):
                continue
            weight = _weight(data, name) if threads == 1 else ("-", "-", "-")
            cells += [*weight, *_quality(data, name, threads)]
            lines.append(f"| {peer['title']} | {threads} | {' | '.join(cells)} |")
        lines.append(
            f"| *affectrt itself (int8)* | {threads} | {' | '.join(_own_row(data, threads))} |"
        )
    return lines


def goals(data: Data) -> list[str]:
    """One line a goal that was measured: reached or not."""
    lines = []
    for peer, (latency, rate) in _GOALS.items():
        for what, job, key, goal in (
            ("one text p50", "single/mixed", "ratio_p50", latency),
            ("offline", "offline/mixed", "ratio", rate),
        ):
            found = _run(data, peer, 1, job).get(key)
            if found:
                verdict = "reached" if found["median"] >= goal else "missed"
                lines.append(f"- {peer}, {what}, goal {goal:g}: {spread_cell(found)}, {verdict}")
    return lines


def markdown(data: Data) -> str:
    """The whole report."""
    header = data["header"]
    machine = header["machine"]
    packages = ", ".join(f"{k} {v}" for k, v in machine["packages"].items())
    failures = [f"- {n}: {p['reason']}" for n, p in data["peers"].items() if p.get("reason")]
    failures += [f"- {k}: {r['failed']}" for k, r in data["runs"].items() if "failed" in r]
    setting = header["setting"]
    load = ", ".join(f"{x:.1f}" for x in machine["load_average"])
    lines = [
        "# affectrt against its peers",
        "",
        *([header["note"], ""] if header.get("note") else []),
        "String to labels with scores: tokenising, network and decoding are inside the clock. How "
        "many times faster affectrt is: median over the turns of one interleaved run, quartiles in "
        "brackets; above 1 affectrt is ahead. Server: Poisson arrivals, p99 within 50 ms. RSS is "
        "above bare Python, after the first answer. What each peer's configuration is stands in "
        "[bench/README.md](../README.md); all figures in [suite.json](suite.json).",
        "",
        f"`python -m bench`, {machine['date']}, revision {machine['revision']}; {machine['cpu']}, "
        f"{machine['cpus']} CPUs, load at the start {load}; {setting['rounds']} turns, "
        f"{setting['seconds']:g} s a scenario, {setting['clock']} time; "
        f"Python {machine['python']}; {packages}. "
        f"Peers' weights: {header['weights']}.",
        "",
        *table(data),
        "",
        *(["Goals, one thread:", "", *goals(data), ""] if goals(data) else []),
        *(["Not measured:", "", *failures, ""] if failures else []),
    ]
    return "\n".join(lines)


def write_results(folder: Path, name: str, data: Data, text: str) -> Path:
    """`data` and the report `text` as `name`.json and `name`.md; the path for its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = json.dumps(data, indent=1) + "\n"
    (folder / f"{name}.json").write_text(plain, encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder / f"{name}.png"


def write_report(data: Data, folder: Path) -> None:
    """`suite.md` and the pictures of `plots.py` into `folder`.

    Raises:
        ImportError: matplotlib is missing; the table is written before.
    """
    (folder / "suite.md").write_text(markdown(data), encoding="utf-8")
    from . import plots

    for name, (job, draw) in plots.PICTURES.items():
        if any("peer" in run for key, run in data["runs"].items() if key.endswith(f"/1/{job}")):
            plots.save(draw(data), folder / f"{name}.svg")

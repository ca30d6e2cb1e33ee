"""`affectrt bench`: how fast a model is here, on the user's own texts."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import __version__, _core
from ..errors import InputError
from ..loading import resolve_model
from .common import EXIT_INTERRUPTED, EXIT_OK, EXIT_PARTIAL, UsageError, note, positive
from .conversation import CONVERSATION
from .measuring import Side, agreement, measure, spread, token_counts
from .readers import READERS, BadLine, Columns, LineReader, Row
from .terminal import bold, columns, printable, use_colour

SUMMARY = "how fast a model is on this machine and your texts"
DESCRIPTION = """\
Measures one text a call (p50, p90, p99), all texts in one call, start-up and memory. With --against
two models or backends run in turn, and what counts is their ratio, with its quartiles: on a machine
that does other work, too, times alone say little. Ctrl-C ends it early and shows what there is.
"""

_MOST_TEXTS = 10_000
_MOST_SECONDS = 3600.0
_BACKENDS = ("native", "onnxruntime")


def _duration(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, up to 3600")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help='name, .affect file or directory (default: "text")',
    )
    parser.add_argument(
        "--against",
        metavar="WHAT",
        help="another model, or another backend of this one: native, onnxruntime",
    )
    parser.add_argument(
        "--backend", choices=("auto", *_BACKENDS), default="auto", help="what computes"
    )
    parser.add_argument(
        "--provider",
        action="append",
        metavar="P",
        help="ONNX Runtime execution provider; repeat in order of preference",
    )
    parser.add_argument(
        "--threads",
        type=positive,
        nargs="+",
        metavar="N",
        help="threads of a call; several are measured one after the other (default: 1, and all "
        "that the CPU quota allows)",
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help=f"texts: .txt, .jsonl, .csv, .tsv; at most {_MOST_TEXTS:,} (default: built-in ones)",
    )
    parser.add_argument(
        "--text-column", metavar="NAME", help='column or key of the text (default: "text")'
    )
    parser.add_argument(
        "--seconds", type=_duration, default=10.0, metavar="S", help="in all (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="the results as one JSON object")


def built_in_texts() -> list[str]:
    """Sentences, turns, some turns together and a whole conversation: mixed lengths."""
    turns = [turn.text for turn in CONVERSATION]
    sentences = [part for turn in turns for part in re.split(r"(?<=[.!?]) ", turn)]
    together = [" ".join(turns[i : i + 3]) for i in range(0, len(turns), 3)]
    texts = [*sentences, *turns, *together, " ".join(turns)]
    order = np.random.default_rng(7).permutation(len(texts))
    return [texts[i] for i in order]


def read_texts(path: str, column: str | None) -> tuple[list[str], int]:
    """The texts of a file, and how many of its lines could not be used (each is reported)."""
    suffix = os.path.splitext(path)[1].lower().lstrip(".")
    kind = {"json": "jsonl", "ndjson": "jsonl"}.get(suffix, suffix)
    if kind not in READERS:
        raise UsageError(f"--data {path!r} is not .txt, .jsonl, .csv or .tsv")
    texts: list[str] = []
    bad = 0
    with open(path, "rb") as stream:
        for item in READERS[kind](LineReader(stream, path), Columns(column)):
            if isinstance(item, BadLine):
                bad += 1
                note(f"{path}:{item.line}: {printable(item.reason)}")
            elif isinstance(item, Row):
                texts.append(item.text)
            if len(texts) == _MOST_TEXTS:
                break
    if not texts:
        raise InputError(f"{path} has no text to measure with; give at least one line of text")
    return texts, bad


def _sides(args: argparse.Namespace) -> list[Side]:
    path = str(resolve_model(args.model))
    sides = [Side(path, args.backend, args.provider)]
    if args.against in _BACKENDS:
        sides.append(Side(path, args.against, args.provider if args.backend == "auto" else None))
    elif args.against is not None:
        other = str(resolve_model(args.against))
        sides.append(Side(other, args.backend, args.provider))
    return sides


def _thread_counts(wanted: list[int] | None) -> list[int]:
    if wanted is None:
        return sorted({1, int(_core.cpu_info()["usable"])})
    return list(dict.fromkeys(wanted))


def _run_of(side: Side, threads: int, tokens: Sequence[int]) -> dict[str, Any] | None:
    times = side.times.get(threads)
    if times is None or not times.single:
        return None
    p50, p90, p99 = np.quantile(times.single, (0.5, 0.9, 0.99)).tolist()
    run: dict[str, Any] = {
        "threads": threads,
        "single": {
            "calls": len(times.single),
            "p50_ms": p50 * 1e3,
            "p90_ms": p90 * 1e3,
            "p99_ms": p99 * 1e3,
        },
    }
    if times.whole:
        # A wait of the machine is no property of the model: the median call, with its quartiles.
        run["offline"] = {
            "texts_a_call": len(tokens),
            "calls": len(times.whole),
            "texts_per_s": spread([len(tokens) / t for t in times.whole]),
            "tokens_per_s": spread([sum(tokens) / t for t in times.whole]),
        }
    return run


def _ratio_of(sides: Sequence[Side], threads: int) -> dict[str, Any]:
    """How many times as fast the first side is, turn by turn."""
    first, second = (side.times[threads] for side in sides)
    ratio: dict[str, Any] = {"threads": threads}
    for name, ours, theirs in (
        ("single", first.slices, second.slices),
        ("offline", first.whole, second.whole),
    ):
        if ours and theirs:  # strict=False: an interrupted turn may have one side only
            ratio[name] = spread([b / a for a, b in zip(ours, theirs, strict=False)])
    return ratio


def _describe(side: Side) -> dict[str, Any]:
    model = next(iter(side.models.values()))
    info = model.info
    return {
        "model": info.name,
        "path": info.path,
        "precision": info.precision,
        "backend": info.backend,
        "backend_detail": info.backend_detail,
        "startup": side.startup or None,
    }


def _cell(value: dict[str, float] | None) -> str:
    return f"{value['median']:,.0f}" if value else "-"


def _ratio_cell(value: dict[str, float] | None) -> str:
    if not value:
        return "-"
    return f"{value['median']:.2f} ({value['lower']:.2f}-{value['upper']:.2f})"


def _names(report: dict[str, Any]) -> list[str]:
    """What tells the sides apart: the backend where the model is the same, else the model."""
    sides = report["sides"]
    key = "backend" if len({side["path"] for side in sides}) == 1 else "model"
    names = [printable(str(side[key])) for side in sides]
    return names if len(set(names)) == len(names) else ["A", "B"][: len(names)]


def _text(report: dict[str, Any]) -> str:
    strong = use_colour(sys.stdout)
    data = report["data"]
    blocks = []
    names = _names(report)
    for name, side in zip(names, report["sides"], strict=True):
        detail = side["backend_detail"]
        rows = [
            ("model", f"{printable(side['model'])} {side['precision']}".strip()),
            ("backend", f"{side['backend']}: {detail}"),
        ]
        if side["startup"]:
            startup = side["startup"]
            start = f"import {startup['import_ms']:.0f} ms, load {startup['load_ms']:.0f} ms"
            rows.append(("start", f"{start}, first answer {startup['first_answer_ms']:.1f} ms"))
            if startup["resident_bytes"] is not None:
                memory = startup["resident_bytes"] / 2**20
                rows.append(("memory", f"{memory:.0f} MiB above a bare interpreter"))
        blocks.append(bold(name, strong) + "\n" + columns(rows))
    source = printable(str(data["file"] or "built in"))
    low, high = data["tokens"]["least"], data["tokens"]["most"]
    mean = data["tokens"]["mean"]
    blocks.append(
        f"{data['texts']:,} texts ({source}) of {low} to {high} tokens, {mean:.0f} on average"
    )
    wide = max([len(name) for name in names] + [4])
    head = f"{'':{wide}}  threads  {'one text: p50':>13} {'p90':>8} {'p99 ms':>8}"
    head += f"  {'many: texts/s':>14} {'tokens/s':>10}"
    lines = [bold(head, strong)]
    for name, side in zip(names, report["sides"], strict=True):
        for run in side["runs"]:
            single, many = run["single"], run.get("offline", {})
            lines.append(
                f"{name:{wide}}  {run['threads']:>7}  {single['p50_ms']:>13.2f} "
                f"{single['p90_ms']:>8.2f} {single['p99_ms']:>8.2f}  "
                f"{_cell(many.get('texts_per_s')):>14} {_cell(many.get('tokens_per_s')):>10}"
            )
    blocks.append("\n".join(lines))
    lines = [
        f"{ratio['threads']} thread{'s' if ratio['threads'] > 1 else ''}: {names[0]} is "
        f"{_ratio_cell(ratio.get('single'))} times as fast as {names[1]} on one text, "
        f"{_ratio_cell(ratio.get('offline'))} on many"
        for ratio in report.get("ratios", [])
    ]
    if report.get("same_answers") is not None:
        lines.append(f"the same labels on {report['same_answers']:.1%} of the texts")
    if lines:
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def run(args: argparse.Namespace) -> int:
    bad = 0
    texts = built_in_texts()
    if args.data:
        texts, bad = read_texts(args.data, args.text_column)
    elif args.text_column:
        raise UsageError("--text-column goes with --data")
    threads = _thread_counts(args.threads)
    sides = _sides(args)
    tokens = token_counts(sides[0].open(threads[0]), texts)
    for side in sides:
        side.open(threads[0])  # what cannot be loaded is said before anything is measured
    same: float | None = None
    counts: dict[int, int] = {}
    interrupted = False
    try:
        for side in sides:
            side.start(threads[0], texts[0])
        for count in threads:
            counts[count] = len(texts)
            counts[count] = measure(sides, texts, count, args.seconds / len(threads))
            if len(sides) > 1 and same is None:  # on no more texts than there is time for
                same = agreement(sides, texts[: min(256, counts[count])], count)
    except KeyboardInterrupt:
        interrupted = True
    report: dict[str, Any] = {
        "affectrt": __version__,
        "cpu": _core.cpu_info(),
        "data": {
            "file": args.data,
            "texts": len(texts),
            "tokens": {
                "least": min(tokens),
                "mean": sum(tokens) / len(tokens),
                "most": max(tokens),
            },
        },
        "seconds": args.seconds,
        "interrupted": interrupted,
        "sides": [
            _describe(side)
            | {
                "runs": [
                    run
                    for count in counts
                    if (run := _run_of(side, count, tokens[: counts[count]])) is not None
                ]
            }
            for side in sides
        ],
    }
    if len(sides) > 1:
        report["ratios"] = [
            _ratio_of(sides, count) for count in counts if all(count in s.times for s in sides)
        ]
        report["same_answers"] = same
    print(json.dumps(report, ensure_ascii=False, indent=2) if args.json else _text(report))
    if interrupted:
        note("interrupted; what was measured until then is shown")
        return EXIT_INTERRUPTED
    return EXIT_PARTIAL if bad else EXIT_OK

"""`affectrt listen`: the emotions of sound while it comes."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from ..sound_blocks import PCM_FORMATS, Sound, open_sound, pipe_sound
from ..speech_stream import Segment
from .common import EXIT_OK, UsageError, add_run_arguments, load_speech_model, positive
from .json_lines import json_line
from .terminal import bar, bold, fit, stdout_is_unicode, terminal_width, use_colour

SUMMARY = "the emotions of speech while it comes, from a pipe or a file"
DESCRIPTION = """\
Reads a WAV file or bare samples from a pipe ("-"), or an audio file, and prints a line for every
stretch of speech as soon as it ends. On a terminal the last line shows what is being said.

  arecord -q -f S16_LE -r 16000 -c 1 | affectrt listen - --rate 16000
  ffmpeg -v error -i talk.mp4 -f wav - | affectrt listen -

With --json each segment is one JSON object on a line, with the keys of Segment.to_dict() in Python.
"""

_LIVE_MS = 500.0
_REDRAW_SECONDS = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="FILE|-", help="an audio file, or - for standard input")
    parser.add_argument(
        "--model", metavar="M", help='name of a known model or a .affect file (default: "speech")'
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--rate", type=positive, metavar="HZ", help="standard input is bare samples at this rate"
    )
    parser.add_argument(
        "--channels", type=positive, metavar="N", help="of bare samples, interleaved (default: 1)"
    )
    parser.add_argument(
        "--format", choices=tuple(PCM_FORMATS), help="of bare samples (default: s16)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a segment")
    parser.add_argument(
        "--interim",
        type=positive,
        metavar="MS",
        help="what is said of an open segment so far, every so many ms (on a terminal: 500)",
    )
    parser.add_argument(
        "--top", type=positive, default=3, metavar="N", help="labels of a line (default: 3)"
    )


def clock(seconds: float) -> str:
    """01:02.3, or 1:01:02.3."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text


def values_text(segment: Segment) -> str:
    """The values of the other heads, on a line."""
    parts = []
    for head in list(segment.heads.values())[1:]:
        if head.task == "regression":
            parts += [f"{label.label} {label.score:+.2f}" for label in head.labels]
        else:
            parts += [f"{head.name} {name}" for name in head.decided]
    return "  ".join(parts)


class View:
    """Lines for segments and, on a terminal, a last line that is drawn anew."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._live = sys.stdout.isatty()
        self._unicode = stdout_is_unicode()
        self._bold = use_colour(sys.stdout)
        self._drawn = 0
        self._last = 0.0
        self._open: Segment | None = None

    def show(self, segment: Segment) -> None:
        if segment.interim:
            self._open = segment
            if not self._live:
                print(self._line(segment, "…" if self._unicode else "~"), flush=True)
            return
        self._open = None
        self.clear()
        print(self._line(segment, " "), flush=True)

    def tick(self, heard_s: float) -> None:
        """Draws the last line."""
        now = time.monotonic()
        if not self._live or now - self._last < _REDRAW_SECONDS:
            return
        self._last = now
        if self._open is None:
            line = f"{clock(heard_s):>9}  listening"
        else:
            segment = self._open
            score = segment.smoothed.get(segment.label, 0.0) if segment.label else 0.0
            drawn = bar(score, 20, self._unicode)
            line = f"{clock(heard_s):>9}  {segment.label or ''} {score:.2f} {drawn}"
        line = fit(line, terminal_width() - 1).rstrip()
        sys.stdout.write("\r" + line.ljust(self._drawn))
        sys.stdout.flush()
        self._drawn = len(line)

    def clear(self) -> None:
        if self._drawn:
            sys.stdout.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def _line(self, segment: Segment, mark: str) -> str:
        when = f"{clock(segment.start_s):>9} - {clock(segment.end_s):<9}{mark}"
        shown = sorted(segment.smoothed.items(), key=lambda item: -item[1])[: self._top]
        scores = "  ".join(f"{name} {score:.2f}" for name, score in shown)
        scores += " ?" if segment.unsure else ""
        label = "" if segment.label is None else fit(segment.label, 12)
        rest = f"{fit(scores, 44)}  {values_text(segment)}"
        if self._live:
            rest = fit(rest, max(20, terminal_width() - 38))
        line = f"{when} {bold(label, self._bold)}  {rest}"
        return line.rstrip()


def _sound(args: argparse.Namespace) -> Sound:
    if args.input != "-":
        if args.rate or args.channels or args.format:
            raise UsageError("--rate, --channels and --format go with standard input (-)")
        return open_sound(args.input)
    if args.rate is None and (args.channels or args.format):
        raise UsageError("bare samples need --rate; a WAV stream says its own channels and format")
    return pipe_sound(
        sys.stdin.buffer,
        sample_rate=args.rate,
        channels=args.channels or 1,
        pcm=args.format,
    )


def run(args: argparse.Namespace) -> int:
    sound = _sound(args)
    model: Any = load_speech_model(args)
    live = sys.stdout.isatty() and not args.json
    interim_ms = float(args.interim or (_LIVE_MS if live else 0.0))
    stream = model.stream(sample_rate=sound.sample_rate, interim_ms=interim_ms)
    view = View(args.top)

    def show(segments: list[Segment]) -> None:
        for segment in segments:
            if args.json:
                print(json_line(segment.to_dict()), flush=True)
            else:
                view.show(segment)

    heard = 0
    try:
        for block in sound.blocks:
            heard += len(block)
            show(stream.feed(block))
            if live:
                view.tick(heard / sound.sample_rate)
    except KeyboardInterrupt:
        show(stream.flush())  # what was being said
        raise
    finally:
        view.clear()
    show(stream.flush())
    return EXIT_OK

"""The part of `affectrt analyze` that answers sound."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from .. import _core
from ..errors import Error, InputError, NotFoundError
from ..sounds import Clip, SoundLike, checked_rate, clip_of
from ..speech import SpeechModel
from ..speech_results import SpeechResult
from .cards import head_lines, short_answer, to_json
from .common import EXIT_OK, EXIT_PARTIAL, UsageError, atomic_writer, note
from .terminal import bold, fit, printable, terminal_width, use_colour

# Names that are sound; what is in a file decides how it is read.
SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".au", ".caf", ".w64", ".rf64"),
)
_TEXT_ONLY = ("format", "text_column", "pair_column", "pair", "speaker_column", "arc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pcm",
        type=_rate,
        metavar="RATE",
        help="the input is raw sound: 16-bit little-endian samples of one channel at RATE Hz",
    )
    parser.add_argument(
        "--among",
        metavar="LABELS",
        help="sound: labels of the first head that can be at all, as in anger,neutral",
    )
    parser.add_argument(
        "--plot", metavar="FILE", help="draw an audio file and its emotions: .svg, .png"
    )


def _plot(model: SpeechModel, path: str, out: str) -> None:
    from .track import track_of, write_picture

    precision = f" ({model.info.precision})" if model.info.precision else ""
    write_picture(out, track_of(model, path), f"Emotions by model {model.info.name!r}{precision}")
    note(f"picture written to {out}")


def check_plot(args: argparse.Namespace, is_sound: bool) -> None:
    """`UsageError` where there is nothing that --plot could draw."""
    if args.plot is None:
        return
    from .track import picture_format

    picture_format(args.plot)
    if not is_sound or len(args.input) != 1 or args.input[0] == "-" or args.pcm is not None:
        raise UsageError("--plot draws one audio file")


def _rate(text: str) -> int:
    try:
        return checked_rate(int(text), "--pcm")
    except (ValueError, InputError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate of 8000 to 192000 Hz") from error


def are_given(args: argparse.Namespace) -> bool:
    """Whether the arguments tell that this is sound, whatever the model."""
    if args.pcm is not None:
        return True
    if args.format is not None:
        return False
    return any(
        os.path.splitext(given)[1].lower() in SUFFIXES
        and (not any(c.isspace() for c in given) or os.path.exists(given))
        for given in args.input
    )


def _read(given: str, args: argparse.Namespace) -> Clip:
    if args.pcm is not None:
        name = "<stdin>" if given == "-" else given
        try:
            if given == "-":
                data = sys.stdin.buffer.read()
            else:
                with open(given, "rb") as file:
                    data = file.read()
        except IsADirectoryError as error:
            raise InputError(f"{given!r} is a folder; an audio file is needed") from error
        except OSError as error:
            raise NotFoundError(f"cannot read {given!r}: {error.strerror or error}") from error
        if len(data) % 2:
            raise InputError(f"{name} has {len(data)} bytes, which are no 16-bit samples")
        return clip_of(np.frombuffer(data, "<i2"), args.pcm, name)
    if given == "-":
        samples, rate = _core.parse_wav(sys.stdin.buffer.read(), "<stdin>")
        return clip_of(samples, rate, "<stdin>")
    return clip_of(given, None, given)


def _card(result: SpeechResult, name: str, top: int) -> str:
    lines = [
        bold(printable(name), use_colour(sys.stdout))
        + f"  {result.duration_s:.2f} s, {result.level_dbfs:.1f} dB of full scale"
        + (f", {100 * result.clipped_share:.1f} % clipped" if result.clipped_share else "")
    ]
    if not result.audible:
        lines.append("too short or too quiet: there is nothing to hear")
    lines += head_lines(result.heads, top)
    if len(result.windows) > 1:
        lines.append("")
        lines += [
            f"{window.start_s:8.2f} s to {window.end_s:8.2f} s  {short_answer(window.heads, 3)}"
            for window in result.windows
        ]
    return "\n".join(lines)


def _row(result: SpeechResult, name: str) -> str:
    width = max(20, terminal_width() - 52)
    values = [
        f"{label} {value:+.2f}"
        for label, value in (("arousal", result.arousal), ("valence", result.valence))
        if value is not None
    ]
    answer = fit(short_answer(result.heads, 2), 24)
    return f"{fit(name, width)}  {result.duration_s:7.2f} s  {answer} {' '.join(values)}".rstrip()


def run(model: SpeechModel, args: argparse.Namespace) -> int:
    """Answers every input; one that cannot be used costs only itself."""
    unfit = [name for name in _TEXT_ONLY if getattr(args, name)]
    unfit += [name for name in ("conversation", "line_numbers") if getattr(args, name)]
    if unfit:
        raise UsageError(f"--{unfit[0].replace('_', '-')} goes with texts, and this is sound")
    inputs: list[str] = args.input or ["-"]
    if inputs.count("-") > 1:
        raise UsageError("standard input can be read once")
    heads = None
    if args.heads is not None:
        heads = [name.strip() for name in args.heads.split(",") if name.strip()]
    among = {}
    if args.among is not None:
        labels = [label.strip() for label in args.among.split(",") if label.strip()]
        among = {(heads or model.heads)[0]: labels}
    failed = 0
    with contextlib.ExitStack() as stack:
        out: Any = stack.enter_context(atomic_writer(args.out)) if args.out else sys.stdout
        for given in inputs:
            name = "<stdin>" if given == "-" else given
            try:
                clip = _read(given, args)
                sound: SoundLike = (clip.samples, clip.sample_rate)
                result = model(sound, heads=heads, among=among)
            except Error as error:
                if len(inputs) == 1 or isinstance(error, UsageError):
                    raise
                note(printable(str(error)))
                failed += 1
                continue
            result = replace(result, source=name)
            if args.out or args.json:
                out.write(to_json(result) + "\n")
            elif len(inputs) == 1:
                out.write(_card(result, name, args.top) + "\n")
            else:
                out.write(_row(result, name) + "\n")
        out.flush()
        if failed == len(inputs):
            raise InputError(f"none of the {failed} inputs could be used")
    if args.plot:
        _plot(model, inputs[0], args.plot)
    if args.out:
        note(f"{len(inputs) - failed:,} answers written to {args.out}")
    if failed:
        note(f"{failed:,} of {len(inputs):,} inputs could not be used")
        return EXIT_PARTIAL
    return EXIT_OK

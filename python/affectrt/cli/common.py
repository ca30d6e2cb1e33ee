"""What the commands share: exit codes, arguments, files that appear whole or not at all."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, TextIO

from ..errors import InputError

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141

EXIT_CODES_HELP = """\
exit codes:
  0    done
  1    an error in the data, the model or the system
  2    wrong usage
  3    done, but some lines of the input could not be used
  130  interrupted
  141  whoever read the output closed it
"""


class UsageError(Exception):
    """Arguments that do not fit together; found after argparse has accepted them."""


def note(message: str) -> None:
    """A line for the user, beside the output."""
    print(f"affectrt: {message}", file=sys.stderr)


def positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 0 < value < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="M",
        help='name of a known model, .affect file or model directory (default: "text")',
    )
    add_run_arguments(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", choices=("auto", "native", "onnxruntime"), default="auto", help="what computes"
    )
    parser.add_argument(
        "--num-threads", type=positive, metavar="N", help="default: as the CPU quota allows"
    )
    parser.add_argument(
        "--provider",
        action="append",
        metavar="P",
        help="ONNX Runtime execution provider; repeat in order of preference",
    )


def load_model(args: argparse.Namespace) -> Any:
    from ..loading import load

    return load(
        args.model,
        backend=args.backend,
        num_threads=args.num_threads,
        providers=args.provider,
    )


def load_text_model(args: argparse.Namespace) -> Any:
    """As `load_model`, for commands that know texts alone."""
    from ..loading import load_text

    return load_text(
        args.model,
        backend=args.backend,
        num_threads=args.num_threads,
        providers=args.provider,
    )


def load_speech_model(args: argparse.Namespace) -> Any:
    """The model that --model names, "speech" if it names none; `InputError` for one of texts."""
    from ..loading import load
    from ..speech import SpeechModel

    name = args.model or "speech"
    model = load(name, backend=args.backend, num_threads=args.num_threads, providers=args.provider)
    if not isinstance(model, SpeechModel):
        raise InputError(f"{name!r} is a model of texts; a speech model is needed")
    return model


def _writable_as_is(path: str) -> bool:
    """Whether `path` is a device or a pipe, which must be written to and not replaced."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def atomic_writer(path: str) -> Iterator[TextIO]:
    """A UTF-8 text file that appears under `path` only when it is complete.

    It is written beside its place and then renamed; an error or an interruption leaves what was
    there before.
    """
    if os.path.isdir(path):
        raise InputError(f"--out {path!r} is a directory; give a file")
    if _writable_as_is(path):
        with open(path, "w", encoding="utf-8") as file:
            yield file
        return
    target = os.path.realpath(path)  # a link keeps pointing to its file
    folder, name = os.path.split(target)
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    except OSError as error:
        raise InputError(
            f"--out {path!r} cannot be written: {error.strerror or error}; "
            "give a file in a directory that you may write to"
        ) from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            yield file
        os.chmod(unfinished, _mode_for(target))
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _mode_for(target: str) -> int:
    """The mode that a plain `open` would have left: mkstemp's own is private."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask

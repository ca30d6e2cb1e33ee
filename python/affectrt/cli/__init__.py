"""The command `affectrt`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import Error
from . import analyze, annotate, bench, demo, doctor, eval, export, info, listen, verify
from .common import (
    EXIT_CODES_HELP,
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_PIPE_CLOSED,
    EXIT_USAGE,
    UsageError,
)
from .terminal import printable

_COMMANDS = (analyze, listen, annotate, info, eval, export, verify, doctor, bench, demo)


class _Parser(argparse.ArgumentParser):
    """Argument errors on one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"affectrt: error: {message} (see {self.prog} --help)\n")


def _debug_option(default: object) -> _Parser:
    # Understood before and after the command: the inner one must not reset what the outer one set.
    parser = _Parser(add_help=False)
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show the trace of an error"
    )
    return parser


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="affectrt",
        description="Emotion, cause and empathy models on the device.",
        epilog=EXIT_CODES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_debug_option(False)],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"affectrt {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    inner = _debug_option(argparse.SUPPRESS)
    for command in _COMMANDS:
        name = command.__name__.rpartition(".")[2]
        sub = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=EXIT_CODES_HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[inner],
            allow_abbrev=False,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _complain(error: BaseException, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exception(error)
    message = str(error)
    if isinstance(error, OSError) and not isinstance(error, Error):
        message = f"{error.strerror or error}" + (f": {error.filename!r}" if error.filename else "")
    elif not isinstance(error, Error | UsageError):
        message = f"unexpected {type(error).__name__}: {message} (--debug shows the trace)"
    with contextlib.suppress(OSError):  # stderr may be closed; the exit code still tells
        print(f"affectrt: error: {printable(message)}", file=sys.stderr)


def _give_up_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's last flush does not complain again."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code and raises nothing but `SystemExit` of argparse."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a narrow terminal is no reason to fail
    args = make_parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        return EXIT_PIPE_CLOSED
    except KeyboardInterrupt:
        print("affectrt: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except UsageError as error:
        _complain(error, args.debug)
        return EXIT_USAGE
    except Exception as error:
        _complain(error, args.debug)
        return EXIT_ERROR
    return code

"""Running commands in tests, and reading what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


def runner(capfd: pytest.CaptureFixture[str]) -> Run:
    """`run(*arguments)`: a command in this process, as `(exit code, stdout, stderr)`."""

    from affectrt.cli import main  # here, so that conftest loads without the compiled module

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return code, out, err

    return run


def records(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def assert_one_error(err: str, *parts: str) -> None:
    """stderr is a single line that starts as promised and says all of `parts`."""
    assert err.startswith("affectrt: error: "), err
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err

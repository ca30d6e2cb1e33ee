"""The documentation's examples, run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from affectrt.cli.common import EXIT_CODES_HELP

ROOT = Path(__file__).resolve().parent.parent


def test_python_examples(default_model: Path) -> None:
    outcome = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert outcome.attempted >= 15
    assert outcome.failed == 0


@pytest.mark.parametrize("name", ["affectrt", "affectrt.features", "affectrt.results"])
def test_docstring_examples(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted >= 1
    assert outcome.failed == 0


def test_exit_codes_are_the_same_in_help_and_documentation() -> None:
    in_help = {line.split()[0] for line in EXIT_CODES_HELP.splitlines() if line.startswith("  ")}
    table = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    table = table.partition("## Exit codes")[2].partition("## ")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert in_help == {row for row in rows if row.isdigit()}
    assert in_help == {"0", "1", "2", "3", "130", "141"}

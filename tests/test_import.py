"""Importing the package brings nothing optional and loads no model."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import affectrt

PROBE = """
import json, sys
before = set(sys.modules)
import affectrt
{more}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new - set(sys.stdlib_module_names))))
"""


def third_party(more: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(more=more)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_import_brings_the_package_alone() -> None:
    assert third_party("") <= {"affectrt", "numpy"}


def test_every_public_name_needs_numpy_at_most() -> None:
    everything = "for name in affectrt.__all__: getattr(affectrt, name)"
    assert third_party(everything) <= {"affectrt", "numpy"}


def test_the_command_line_needs_numpy_at_most() -> None:
    assert third_party("import affectrt.cli; affectrt.cli.make_parser()") <= {"affectrt", "numpy"}


def test_import_loads_no_model() -> None:
    probe = (
        "import affectrt, sys\n"
        "for name in affectrt.__all__: getattr(affectrt, name)\n"
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''\n"
        "print('.affect' in maps, 'libonnxruntime' in maps)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_names() -> None:
    assert set(affectrt.__all__) <= set(dir(affectrt))
    assert affectrt.errors.Error is affectrt.errors.InputError.__mro__[1]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        affectrt.nothing  # noqa: B018

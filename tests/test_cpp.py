"""Builds and runs the C++ unit tests: optimised, under ASan + UBSan, and the threads under TSan."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> str:
    """The program of the running environment, else of the machine."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout


@pytest.mark.parametrize(
    ("preset", "tests"),
    [("dev", "."), ("asan", "."), ("tsan", "runtime|thread|onnxruntime|native")],
)
def test_cpp(preset: str, tests: str) -> None:
    if not list(Path("/usr").glob("*/cmake/doctest/doctestConfig.cmake")) and not list(
        Path("/usr").glob("lib/cmake/doctest/doctestConfig.cmake")
    ):
        if os.environ.get("CI"):
            pytest.fail("doctest is missing: apt-get install doctest-dev")
        pytest.skip("doctest is missing: apt-get install doctest-dev")
    cmake, ninja = tool("cmake"), tool("ninja")
    build = ROOT / "build" / preset
    run(
        cmake,
        "--preset",
        preset,
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-DCMAKE_MAKE_PROGRAM={ninja}",
    )
    run(cmake, "--build", str(build))
    ctest = str(Path(cmake).with_name("ctest"))
    output = run(ctest, "--test-dir", str(build), "--output-on-failure", "-R", tests)
    assert "100% tests passed" in output

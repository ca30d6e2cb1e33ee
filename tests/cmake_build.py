"""The CMake builds of this checkout that tests share."""

from __future__ import annotations

import fcntl
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
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, cwd: Path = ROOT, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """What the command prints; its failure is the test's."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, input=stdin, env=env
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout


def built(preset: str, *targets: str) -> Path:
    """The build folder of the preset, with these targets (or all) up to date."""
    if not list(Path("/usr").glob("lib/cmake/doctest/doctestConfig.cmake")) and not list(
        Path("/usr").glob("*/cmake/doctest/doctestConfig.cmake")
    ):
        if os.environ.get("CI"):
            pytest.fail("doctest is missing: apt-get install doctest-dev")
        pytest.skip("doctest is missing: apt-get install doctest-dev")
    cmake, ninja = tool("cmake"), tool("ninja")
    build = ROOT / "build" / preset
    build.mkdir(parents=True, exist_ok=True)
    with (build / ".pytest-lock").open("w") as lock:  # parallel workers take turns
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(
            cmake,
            "--preset",
            preset,
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DCMAKE_MAKE_PROGRAM={ninja}",
        )
        run(cmake, "--build", str(build), *(("--target", *targets) if targets else ()))
    return build

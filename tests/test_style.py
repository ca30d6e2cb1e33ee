"""The project's own habits, checked as CI checks them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ["python", "export", "tests", "bench", "examples"]


def run(module: str, *arguments: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def sources(*suffixes: str) -> list[str]:
    return [str(p) for p in sorted((ROOT / "csrc").rglob("*")) if p.suffix in suffixes]


def test_ruff() -> None:
    run("ruff", "check", *PYTHON)
    run("ruff", "format", "--check", *PYTHON)


def test_mypy_strict(tmp_path: Path) -> None:
    package = tmp_path / "affectrt"  # as it is installed: export/ inside of the package
    package.mkdir()
    for entry in (ROOT / "python" / "affectrt").iterdir():
        (package / entry.name).symlink_to(entry)
    (package / "export").symlink_to(ROOT / "export")
    run("mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "affectrt", cwd=tmp_path)


def test_stubs_match_the_compiled_module() -> None:
    run("mypy.stubtest", "affectrt._core", "--mypy-config-file", "pyproject.toml")


def clang(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def test_clang_format() -> None:
    files = sources(".h", ".hpp", ".cc")
    for folder in ("tests/cpp", "tests/capi", "bench/cpp", "examples"):
        found = (p for p in (ROOT / folder).rglob("*") if p.suffix in {".c", ".cc", ".cpp"})
        files += sorted(map(str, found))
    done = subprocess.run(
        [clang("clang-format"), "--dry-run", "-Werror", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]


def test_files_stay_readable() -> None:
    long = {}
    for folder in ("csrc", "python", "export", "tests", "bench", "examples"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".c", ".cc", ".h", ".hpp", ".cu"}:
                lines = file.read_text(encoding="utf-8").count("\n")
                if lines > 600:
                    long[file.name] = lines
    assert not long, f"split these by subject: {long}"


def test_core_neither_prints_nor_exits() -> None:
    forbidden = re.compile(
        r"\b(?:std::cout|std::cerr|printf|fprintf|abort|exit|_Exit|terminate)\s*[(<]"
    )
    for file in sources(".h", ".cc"):
        for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), start=1):
            assert not forbidden.search(line), f"{file}:{number}: {line.strip()}"

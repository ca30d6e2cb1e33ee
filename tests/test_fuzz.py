"""Each fuzz target under libFuzzer for some seconds, with ASan and UBSan: what is found fails.

Built by clang, which warns of what gcc does not: minutes, so `AFFECTRT_FUZZ=1 pytest
tests/test_fuzz.py`. `tests/fuzz/run.py` runs for longer, CI the mutations of tests/fuzz/replay.cc.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cmake_build import ROOT, built, run
from fuzz.run import targets

# As Debian names them.
COMPILERS = ("clang++", *(f"clang++-{version}" for version in range(22, 13, -1)))


def compiler(folder: Path) -> str:
    """A clang that brings libFuzzer, which its package may leave out."""
    source = folder / "empty.cc"
    source.write_text(
        'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }'
    )
    for name in filter(shutil.which, COMPILERS):
        command = [name, "-fsanitize=fuzzer,address", str(source), "-o", str(folder / "empty")]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return name
    pytest.skip("no clang with libFuzzer: apt-get install clang libclang-rt-dev")


def test_fuzzers_find_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("AFFECTRT_FUZZ"):
        pytest.skip("set AFFECTRT_FUZZ=1 to build the fuzzers with clang (minutes)")
    monkeypatch.setenv("CXX", compiler(tmp_path))
    built("fuzz")
    script = [sys.executable, str(ROOT / "tests" / "fuzz" / "run.py")]
    said = run(*script, "--cpu-seconds", "5", "--round", "6", "--corpus", str(tmp_path / "corpus"))
    assert said.count("| none |") == len(targets())

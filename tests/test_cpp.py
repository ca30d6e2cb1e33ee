"""Builds and runs the C++ unit tests: optimised, under ASan + UBSan, and the threads under TSan."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmake_build import built, run, tool


@pytest.mark.parametrize(
    ("preset", "tests"),
    [("dev", "."), ("asan", "."), ("tsan", "runtime|thread|onnxruntime|native")],
)
def test_cpp(preset: str, tests: str) -> None:
    build = built(preset)
    ctest = str(Path(tool("cmake")).with_name("ctest"))
    output = run(ctest, "--test-dir", str(build), "--output-on-failure", "-R", tests)
    assert "100% tests passed" in output

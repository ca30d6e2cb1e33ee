"""Builds and runs the C++ unit tests: optimised, under ASan + UBSan, and the threads under TSan."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attacks.model_files import write_corpus
from cmake_build import built, run, tool


@pytest.mark.parametrize(
    ("preset", "tests"),
    [
        ("dev", "."),
        ("asan", "."),
        ("tsan", "runtime|thread|onnxruntime|native|encoder|speech_stream|chunks"),
    ],
)
def test_cpp(preset: str, tests: str, tmp_path: Path) -> None:
    build = built(preset)
    corpus = tmp_path / "attacks"
    assert write_corpus(corpus) > 100
    ctest = str(Path(tool("cmake")).with_name("ctest"))
    output = run(
        ctest,
        "--test-dir",
        str(build),
        "--output-on-failure",
        "--parallel",
        "2",
        "-R",
        tests,
        env={**os.environ, "AFFECTRT_ATTACKS": str(corpus)},
    )
    assert "100% tests passed" in output

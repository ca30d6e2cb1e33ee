"""Builds and runs the C++ unit tests: optimised, under ASan + UBSan, and the threads under TSan."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attacks.model_files import write_corpus
from cmake_build import built, run, tool

THREADS = (
    *("capi_speech_stream", "capi_threads", "chunks", "encoder", "native_backend"),
    *("onnxruntime_backend", "runtime", "speech_stream", "thread_pool"),
)


@pytest.mark.parametrize(("preset", "tests"), [("dev", ()), ("asan", ()), ("tsan", THREADS)])
def test_cpp(preset: str, tests: tuple[str, ...], tmp_path: Path) -> None:
    """All tests, or these."""
    programs = (f"test_{test}" for test in tests)
    build = built(preset, *programs, "affectrt_tiny_model") if tests else built(preset)
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
        f"^({'|'.join(tests)})$" if tests else ".",
        env={**os.environ, "AFFECTRT_ATTACKS": str(corpus)},
    )
    assert "100% tests passed" in output

"""The core on 64-bit Arm: cross-built, and run under qemu with and without the i8mm instructions.

Needs Debian's `g++-aarch64-linux-gnu`, `qemu-user` and `doctest-dev`. Builds what the kernels, the
encoders, sound features and one model file need; with `AFFECTRT_CROSS=1` all of the C++ and C tests
(minutes), those of ONNX Runtime where `AFFECTRT_ONNXRUNTIME` names one for Arm.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from attacks.model_files import write_corpus
from cmake_build import built, run, tool

import affectrt
from affectrt import _core

QEMU = ("qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu")
ISAS = ("neon-i8mm", "neon-dotprod", "scalar")
SUBJECTS = ("kernels", "attention_s16", "encoder", "signal")
TEXTS = (
    "I can't believe they cancelled it.",
    "Thank you so much, that was lovely!",
    "no",
    "naïve café 東京 😀 Я так боялась",
    "We drove for hours, and when we came to the sea it was dark and she was asleep. " * 4,
)


def need_tools() -> None:
    for needed in ("aarch64-linux-gnu-g++", QEMU[0]):
        if not shutil.which(needed):
            pytest.skip(f"{needed} is not installed")


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of the cross-built programs."""
    need_tools()
    return (
        built("aarch64", *(f"test_{subject}" for subject in SUBJECTS), "score_model")
        / "tests"
        / "cpp"
    )


@pytest.mark.parametrize("subject", SUBJECTS)
def test_kernels_and_encoders_agree_with_the_reference(programs: Path, subject: str) -> None:
    output = run(*QEMU, str(programs / f"test_{subject}"))
    assert "0 failed" in output


@pytest.mark.parametrize("isa", ISAS)
def test_the_embedded_model_gives_the_same_logits(programs: Path, isa: str) -> None:
    path = affectrt.available_models().get("text")
    if path is None:
        pytest.skip("no embedded model here")
    output = run(
        *QEMU,
        str(programs / "score_model"),
        str(path),
        stdin="\n".join(TEXTS),
        env={**os.environ, "AFFECTRT_ISA": isa},
    )
    lines = [line.split() for line in output.splitlines()]
    actual = np.array([[float.fromhex(logit) for logit in line] for line in lines], np.float32)
    expected = affectrt.load(path, backend="native").predict_logits(list(TEXTS))
    assert actual.shape == expected.shape
    if "scalar" in (isa, _core.kernels_info()["chosen"]):
        assert np.abs(actual - expected).max() < 0.2  # codes may round the other way
    else:
        np.testing.assert_array_equal(actual, expected)


def test_the_whole_suite(tmp_path: Path) -> None:
    if not os.environ.get("AFFECTRT_CROSS"):
        pytest.skip("set AFFECTRT_CROSS=1 to build and run every C++ test (minutes)")
    need_tools()
    build = built("aarch64")
    corpus = tmp_path / "attacks"
    assert write_corpus(corpus) > 100
    ctest = str(Path(tool("cmake")).with_name("ctest"))
    environment = {**os.environ, "AFFECTRT_ATTACKS": str(corpus)}
    output = run(
        ctest, "--test-dir", str(build), "--output-on-failure", "--parallel", "2", env=environment
    )
    print(output)  # shown by pytest -s
    assert "100% tests passed" in output

"""Features on a GPU: what is refused anywhere, their build where nvcc is, their bits where a GPU
is."""

from __future__ import annotations

import os
import shutil
from typing import Any

import numpy as np
import pytest
from cmake_build import built, run

from affectrt import device_features, features
from affectrt.errors import Error, InputError


class Elsewhere:
    """An array that says where it is."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0

    def __dlpack__(self, *, stream: Any = None) -> Any:
        return np.zeros(400, np.float32).__dlpack__()


def test_what_is_not_on_a_gpu_is_refused() -> None:
    with pytest.raises(InputError, match="samples are a list; an array that speaks DLPack"):
        device_features.log_mel([0.0])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"affectrt\.features takes those of the CPU"):
        device_features.fbank(np.zeros(16000, np.float32), 16000)
    with pytest.raises(InputError, match="pad_to_s is -1"):
        device_features.log_mel(Elsewhere(2), pad_to_s=-1)
    with pytest.raises(InputError, match="no option 'hop'"):
        device_features.mfcc(Elsewhere(2), 16000, hop=3)  # type: ignore[call-arg]


def test_build_or_machine_without_cuda_is_told() -> None:
    # Where a GPU is, the capsule turns out to be one of the CPU.
    told = r"CUDA: |on DLPack device \(1, 0\)"
    with pytest.raises(Error, match=told if device_features.is_available() else "AFFECTRT_CUDA=ON"):
        device_features.log_mel(Elsewhere(2))


@pytest.mark.skipif(
    not (os.environ.get("CUDACXX") or shutil.which("nvcc")), reason="no nvcc on this machine"
)
def test_kernels_compile_and_their_arithmetic_is_that_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDAARCHS", "80")  # each takes as long
    test = built("cuda", "test_cuda") / "tests" / "cpp" / "test_cuda"
    assert "Status: SUCCESS!" in run(str(test))


def test_gpu_gives_the_bits_of_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    if not (device_features.is_available() and torch.cuda.is_available()):
        pytest.skip("needs a GPU and a build with CUDA")
    clips = np.random.default_rng(3).normal(0, 0.1, (3, 20_000)).astype(np.float32)
    given = torch.from_numpy(clips).cuda()
    log_mels = features.log_mel(list(clips), 16000, pad_to_s=2.0)
    for actual, expected in (
        (device_features.log_mel(given, pad_to_s=2.0), log_mels),
        (device_features.fbank(given, 16000), features.fbank(list(clips), 16000)),
        (device_features.mfcc(given, 16000), features.mfcc(list(clips), 16000)),
    ):  # fmt: skip
        assert np.array_equal(torch.from_dlpack(actual).cpu().numpy(), np.stack(expected))

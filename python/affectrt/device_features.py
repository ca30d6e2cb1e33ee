"""Features of samples that lie on a GPU, left there: what `affectrt.features` computes, to the bit.

>>> import torch                                                    # doctest: +SKIP
>>> from affectrt import device_features
>>> clips = torch.zeros(8, 480_000, device="cuda")                  # [clips, samples], 16 kHz
>>> torch.from_dlpack(device_features.log_mel(clips)).shape
torch.Size([8, 80, 3000])

Arrays come and go by DLPack (PyTorch, CuPy, JAX, ...): float32 [samples] or [clips, samples], one
channel, full scale [-1, 1], contiguous; NaN and infinite samples are not refused, and give frames
without meaning. The result is complete when a function returns. A build
with CUDA is needed (``-C cmake.define.AFFECTRT_CUDA=ON``, with nvcc; a plain wheel has none and
raises `UnsupportedError`); a driver that fails raises `BackendError`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from . import _core
from .dlpack import CUDA, DeviceArray, OnDevice, capsule_of, device_of
from .errors import InputError
from .features import FbankOptions, MfccOptions, fbank_plan, log_mel_plan, mfcc_plan, padded_samples

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["DeviceArray", "OnDevice", "fbank", "is_available", "log_mel", "mfcc"]


def is_available() -> bool:
    """Whether this build of affectrt has kernels for GPUs."""
    return _core.has_cuda


def log_mel(
    samples: OnDevice,
    num_mels: int = 80,
    *,
    pad_to_s: float | None = 30.0,
    normalise: bool = True,
) -> DeviceArray:
    """`affectrt.features.log_mel` of 16 kHz samples: float32 [num_mels, frames], or
    [clips, num_mels, frames]."""
    total = padded_samples(pad_to_s)
    return _on_device(log_mel_plan(num_mels), samples).compute(
        capsule_of(samples, "samples are"),
        total_samples=total,
        feature_major=True,
        normalise=normalise,
    )


def fbank(
    samples: OnDevice, sample_rate: int, num_mels: int = 80, **options: Unpack[FbankOptions]
) -> DeviceArray:
    """`affectrt.features.fbank`: float32 [frames, num_mels], or [clips, frames, num_mels]."""
    plan = fbank_plan(sample_rate, num_mels, options)
    return _on_device(plan, samples).compute(capsule_of(samples, "samples are"))


def mfcc(
    samples: OnDevice, sample_rate: int, num_ceps: int = 13, **options: Unpack[MfccOptions]
) -> DeviceArray:
    """`affectrt.features.mfcc`: float32 [frames, num_ceps], or [clips, frames, num_ceps]."""
    plan = mfcc_plan(sample_rate, num_ceps, options)
    return _on_device(plan, samples).compute(capsule_of(samples, "samples are"))


def _on_device(plan: _core.FrameFeatures, samples: OnDevice) -> _core.DeviceFeatures:
    kind, device = device_of(samples, "samples are")
    if kind not in CUDA:
        raise InputError(
            "samples are not on a CUDA device; affectrt.features takes those of the CPU"
        )
    return _cached(plan, device)


@functools.lru_cache(maxsize=16)
def _cached(plan: _core.FrameFeatures, device: int) -> _core.DeviceFeatures:
    return _core.DeviceFeatures(plan, device)

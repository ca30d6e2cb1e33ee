"""CUDA's libraries as PyPI has them (`nvidia-cublas`, `nvidia-cudnn-cu13`, ...), which are on no
path of the dynamic linker."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

# What ONNX Runtime's providers need, those that others need first.
_NAMES = ("cudart", "nvrtc", "nvJitLink", "cublasLt", "cublas", "cufft", "curand", "cudnn")
_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def found_libraries() -> list[Path]:
    """The newest of each in the packages below `nvidia` (`nvidia/cublas/lib` up to CUDA 12, then
    `nvidia/cu13/lib`), in the order in which they can be loaded."""
    try:
        spec = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        return []
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    found: list[Path] = []
    for name in _NAMES:
        files = [f for folder in folders for f in folder.glob(f"*/lib/lib{name}.so.*")]
        found.extend(sorted(files, key=_version)[-1:])
    return found


def load_for(providers: Iterable[str]) -> None:
    """Load them where one of `providers` needs them, as ``import torch`` would; what is missing is
    told by the provider."""
    if any(name.partition(":")[0] in _PROVIDERS for name in providers):
        _load()


@functools.cache
def _load() -> None:
    if os.name != "posix":
        return
    for file in found_libraries():
        try:
            ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
        except OSError:  # of another platform, or without what it needs
            continue


def _version(file: Path) -> tuple[int, ...]:
    return tuple(_numbers(file.name.partition(".so.")[2]))


def _numbers(text: str) -> Iterator[int]:
    for part in text.split("."):
        if part.isdigit():
            yield int(part)

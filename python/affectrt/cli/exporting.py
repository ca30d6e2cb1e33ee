"""The bridge to `affectrt.export`, which needs packages that inference does not."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

from ..errors import InputError, NotFoundError, UnsupportedError

_NEEDS = ("torch", "transformers", "onnx", "onnxscript", "safetensors")


class ParityReport(Protocol):
    def to_dict(self) -> dict[str, Any]: ...
    def to_text(self) -> str: ...


class ExportModule(Protocol):
    def export_checkpoint(
        self,
        checkpoint: Path,
        out: Path,
        *,
        precision: str = ...,
        data: Path | None = ...,
        name: str | None = ...,
        overwrite: bool = ...,
        progress: Callable[..., object] | None = ...,
        engines: list[str] | None = ...,
    ) -> ParityReport: ...

    def verify(
        self, model_file: Path, against: Path, *, data: Path | None = ...
    ) -> ParityReport: ...


def export_module() -> ExportModule:
    """`affectrt.export`; `UnsupportedError` says what to install when it cannot be had."""
    try:
        for package in ("torch", "transformers", "onnx"):  # the tree may import them late
            importlib.import_module(package)
        module = importlib.import_module("affectrt.export")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _NEEDS:
            raise
        raise UnsupportedError(
            f'{missing} is not installed; get it with: pip install "affectrt[export]"'
        ) from error
    return cast(ExportModule, module)


def existing(path: str, what: str, *, folder: bool = False) -> Path:
    """`path` as a `Path`, checked to be there and of the right kind."""
    if not os.path.exists(path):
        raise NotFoundError(f"no {what} {path!r}")
    if folder and not os.path.isdir(path):
        raise InputError(f"{what} {path!r} is a file; give the checkpoint's directory")
    if not folder and os.path.isdir(path):
        raise InputError(f"{what} {path!r} is a directory; give a file")
    return Path(path)

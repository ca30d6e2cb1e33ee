"""The bridge to `affectrt.export`, which needs packages that inference does not."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from ..errors import InputError, NotFoundError, UnsupportedError
from .common import positive

_NEEDS = ("torch", "transformers", "onnx", "onnxscript", "safetensors")


class ParityReport(Protocol):
    def to_dict(self) -> dict[str, Any]: ...
    def to_text(self) -> str: ...


class Description(Protocol):
    def to_dict(self) -> dict[str, Any]: ...
    def to_text(self) -> str: ...


class ExportModule(Protocol):
    def Source(
        self,
        path: Path,
        base: Path | None = ...,
        probe: Path | None = ...,
        layer: int | None = ...,
        pooling: str = ...,
        labels: tuple[str, ...] | None = ...,
        task: str | None = ...,
        tokenizer: Path | None = ...,
        features: str | None = ...,
    ) -> Any: ...

    def describe_checkpoint(
        self, checkpoint: Any, *, precision: str = ..., engines: list[str] | None = ...
    ) -> Description: ...

    def export_checkpoint(
        self,
        checkpoint: Any,
        out: Path,
        *,
        precision: str = ...,
        data: Path | None = ...,
        name: str | None = ...,
        overwrite: bool = ...,
        progress: Callable[..., object] | None = ...,
        engines: list[str] | None = ...,
        max_loss: float | None = ...,
        max_flips: float | None = ...,
        search_times: bool = ...,
        calibration: str = ...,
        smooth: float | None = ...,
        tensorrt: Sequence[str] = ...,
        via: str = ...,
        certificates: Sequence[Path] = ...,
        sign_key: str | None = ...,
        prune_vocabulary: Path | None = ...,
    ) -> ParityReport: ...

    def verify(
        self,
        model_file: Path,
        against: Any,
        *,
        data: Path | None = ...,
        certificates: Sequence[Path] = ...,
        public_key: str | None = ...,
        providers: Sequence[str] = ...,
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


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """What belongs to a checkpoint that is not whole by itself."""
    group = parser.add_argument_group("what belongs to the checkpoint")
    group.add_argument("--base", metavar="DIR", help="the base of a LoRA adapter")
    group.add_argument(
        "--probe",
        metavar="FILE.npz",
        help="a linear head (coef, intercept, classes) to put on an encoder",
    )
    group.add_argument(
        "--layer", type=positive, metavar="K", help="the layer that the probe reads (the last)"
    )
    group.add_argument(
        "--pooling",
        choices=("mean", "cls", "last"),
        default="mean",
        help="what the probe reads of tokens; a decoder has mean and last",
    )
    group.add_argument(
        "--labels", metavar="A,B,C", help="of a probe, an adapter or a bare ONNX model"
    )
    group.add_argument(
        "--task",
        choices=("single_label", "multi_label", "regression"),
        help="of a probe or a bare ONNX model",
    )
    group.add_argument(
        "--tokenizer", metavar="FILE", help="tokenizer.json (or its directory) of an ONNX model"
    )
    group.add_argument(
        "--features",
        metavar="KIND,KEY=VALUE",
        help="what an ONNX model of sound hears, where no preprocessor_config.json says it: "
        "whisper_log_mel[,normalise=true][,silence=before] or waveform,normalise=true",
    )


def source_of(args: argparse.Namespace, path: str) -> tuple[ExportModule, Any]:
    """`affectrt.export` and what its functions take as a checkpoint."""
    checkpoint = existing(path, "checkpoint", folder=not path.endswith(".onnx"))
    base = existing(args.base, "base", folder=True) if args.base else None
    probe = existing(args.probe, "probe") if args.probe else None
    tokenizer = None
    if args.tokenizer:
        tokenizer = existing(args.tokenizer, "tokenizer", folder=os.path.isdir(args.tokenizer))
    labels = tuple(args.labels.split(",")) if args.labels else None
    module = export_module()
    source = module.Source(
        checkpoint, base, probe, args.layer, args.pooling, labels, args.task, tokenizer,
        args.features,
    )  # fmt: skip
    return module, source


def existing(path: str, what: str, *, folder: bool = False) -> Path:
    """`path` as a `Path`, checked to be there and of the right kind."""
    if not os.path.exists(path):
        raise NotFoundError(f"no {what} {path!r}")
    if folder and not os.path.isdir(path):
        raise InputError(f"{what} {path!r} is a file; give the checkpoint's directory")
    if not folder and os.path.isdir(path):
        raise InputError(f"{what} {path!r} is a directory; give a file")
    return Path(path)

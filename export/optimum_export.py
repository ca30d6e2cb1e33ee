"""Checkpoint -> ONNX float32 through optimum, where torch's dynamo exporter is not wanted.

optimum traces with TorchScript; what it gives is checked, cleaned and quantised as the other
graph is. It asks for transformers below 4.58, so that it lives in an environment of its own
(``pip install "affectrt[optimum]"``); it is imported only when it is asked for.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from affectrt.errors import ExportError, UnsupportedError

from .checkpoint import LoadedCheckpoint, PooledEncoder
from .onnx_export import OPSET, input_names, quiet, scrub

VIAS = ("torch", "optimum")
_TASK = "text-classification"


def check_optimum() -> None:
    """Raise UnsupportedError where optimum's exporter is not installed."""
    try:
        found = importlib.util.find_spec("optimum.exporters.onnx") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise UnsupportedError(
            "the way through optimum needs its exporter, which asks for transformers below 4.58: "
            'pip install "affectrt[optimum]", best in an environment of its own; or leave it to '
            "torch, which needs nothing more"
        )


def export_with_optimum(checkpoint: LoadedCheckpoint, folder: Path) -> ir.Model:
    """The graph that optimum makes of a sequence classifier of transformers.

    Args:
        checkpoint: as it was read; `folder`: the directory that it was read from.

    Raises:
        UnsupportedError: optimum is not installed.
        ExportError: heads that optimum has no task for, or optimum fails.
    """
    check_optimum()
    if isinstance(checkpoint.model, PooledEncoder) or len(checkpoint.heads) != 1:
        raise ExportError(
            f"{checkpoint.path}: optimum exports sequence classifiers of transformers; these heads "
            "are traced by torch, so leave --via out"
        )
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory(prefix="affectrt-optimum-") as scratch:
        export: Any = main_export
        try:
            with quiet():
                export(
                    str(folder),
                    scratch,
                    task=_TASK,
                    opset=OPSET,
                    local_files_only=True,
                    trust_remote_code=False,
                    do_validation=False,  # `check_against_torch` does it, on more
                )
            model = ir.from_proto(onnx.load(str(Path(scratch) / "model.onnx")))
        except Exception as error:  # whatever optimum, torch or onnx raise
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ExportError(
                f"{checkpoint.path}: optimum cannot export this {checkpoint.family} model: {reason}"
            ) from error
    names = [value.name for value in model.graph.inputs]
    if set(names) != set(input_names(checkpoint)):
        raise ExportError(
            f"{checkpoint.path}: optimum's graph has the inputs {', '.join(map(str, names))}; "
            f"{', '.join(input_names(checkpoint))} are needed"
        )
    for value in model.graph.inputs:
        value.shape = ir.Shape(["batch", "tokens"])
    model.graph.outputs[0].shape = ir.Shape(["batch", len(checkpoint.heads[0].labels)])
    scrub(model)
    return model

"""What existing ONNX graphs of text and of sound have in common: finding, reading, heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import HeadSpec
from .checkpoint_files import read_json
from .onnx_export import MAX_ONNX_BYTES
from .sources import Source

# As affectrt's reader looks for the graph of an optimum directory (FORMAT.md, section 5).
_GRAPHS = ("model.onnx", "model_optimized.onnx", "model_quantized.onnx")
_QUANTISED = {"MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear", "QLinearMatMul",
              "DequantizeLinear", "DynamicQuantizeMatMul", "QAttention", "MatMulNBits"}  # fmt: skip
_EIGHT_BITS = {TensorProto.INT8, TensorProto.UINT8}
_LARGE = 4096  # values: smaller tensors say nothing of a model's precision
_PROBLEMS = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
_ACTIVATIONS = {"Sigmoid": "multi_label", "Softmax": "single_label"}


def find_graph(path: Path) -> Path | None:
    """The ``.onnx`` file that a path means: itself, or that of a directory without weights of
    another kind. None: it is a checkpoint."""
    if path.is_file():
        return path if path.suffix == ".onnx" else None
    if any(path.glob("*.safetensors")) or any(path.glob("pytorch_model*.bin")):
        return None
    candidates = [path / folder / name for name in _GRAPHS for folder in ("", "onnx")]
    return next((file for file in candidates if file.is_file()), None)


def read_graph(graph: Path) -> onnx.ModelProto:
    """A graph with its external data.

    Raises:
        NotFoundError: its weights are missing.
        ExportError: it is no ONNX model.
    """
    try:
        model = onnx.load(str(graph))
    except FileNotFoundError as error:
        raise NotFoundError(f"{graph}: its weights are missing: {error}") from None
    except Exception as error:  # protobuf's DecodeError, onnx's ValidationError, ...
        raise ExportError(
            f"{graph}: is no ONNX model that can be read: {reason_of(error)}"
        ) from None
    if not model.graph.output:
        raise ExportError(f"{graph}: is no ONNX model: its graph has no outputs")
    return model


def read_config(*folders: Path) -> dict[str, Any]:
    """The first ``config.json`` that there is; else an empty one."""
    for folder in folders:
        if (folder / "config.json").is_file():
            return read_json(folder / "config.json")
    return {}


def inputs_of(model: onnx.ModelProto) -> list[Any]:
    """What has to be given."""
    constants = {one.name for one in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def shape_of(value: Any) -> list[Any]:
    """Of an input or output of floats: numbers, names, None where nothing is said; else []."""
    kind = value.type.tensor_type
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        return []
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim]


def head_of(
    source: Source, config: dict[str, Any], model: onnx.ModelProto, *, input: str = "text"
) -> tuple[HeadSpec, str | None]:
    """The head of a classifier's graph; and, where its last step gives scores, a remark: that step
    is left out of `model`, since affectrt takes logits and has scores of its own.

    Raises:
        ExportError: no output of logits, or labels that do not fit it.
    """
    outputs = {value.name: shape_of(value) for value in model.graph.output}
    where = source.path
    name = "logits" if "logits" in outputs else next(iter(outputs))
    if len(outputs[name]) != 2:
        said = ", ".join(f"{n} {s}" for n, s in outputs.items())
        advice = ": it is an encoder. Put a linear probe on it (--probe)" if input == "text" else ""
        rows = "batch" if input == "text" else "clips"
        raise ExportError(f"{where}: gives {said}, and no logits [{rows}, labels]{advice}")
    width = outputs[name][1]
    named = config.get("id2label")
    labels = source.labels
    if labels is None and isinstance(named, dict):
        labels = tuple(str(named[key]) for key in sorted(named, key=int))
    if labels is None and isinstance(width, int):
        labels = tuple(f"LABEL_{i}" for i in range(width))
    if labels is None or (isinstance(width, int) and width != len(labels)):
        raise ExportError(
            f"{where}: {name} has {width} values and there are "
            f"{'no' if labels is None else len(labels)} labels; name them with --labels"
        )
    last = next((node for node in model.graph.node if name in node.output), None)
    scores = None if last is None else _ACTIVATIONS.get(last.op_type)
    task = source.task or _PROBLEMS.get(str(config.get("problem_type"))) or scores
    task = task or ("regression" if len(labels) == 1 else "single_label")
    remark = None
    if last is not None and scores == task:
        remark = (
            f"the graph ends in a {last.op_type}: it is left out, and affectrt makes scores of the "
            "logits before it"
        )
        last.op_type = "Identity"
        del last.attribute[:]
    return HeadSpec(name="default", task=task, labels=labels, output=name, input=input), remark


def precision_of(model: onnx.ModelProto) -> str:
    """What a graph's operators and large weights tell."""
    operators = {node.op_type for node in model.graph.node}
    types = {one.data_type for one in model.graph.initializer if np.prod(one.dims) >= _LARGE}
    if operators & _QUANTISED or types & _EIGHT_BITS:
        return "int8"
    return "fp16" if TensorProto.FLOAT16 in types else "fp32"


def parameters_of(model: onnx.ModelProto) -> int:
    """How many weights there are."""
    return sum(int(np.prod(one.dims)) for one in model.graph.initializer)


def serialised(model: onnx.ModelProto, where: Path) -> bytes:
    """A graph with all of its weights inside.

    Raises:
        ExportError: they are too many for one file.
    """
    if model.ByteSize() > MAX_ONNX_BYTES:
        raise ExportError(f"{where}: has more than the 2 GB of weights that one ONNX file can hold")
    for tensor in model.graph.initializer:  # what was external is inside now
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT
    return bytes(model.SerializeToString(deterministic=True))


def reason_of(error: Exception) -> str:
    """The first line of what another library says."""
    return (str(error).strip() or repr(error)).splitlines()[0]

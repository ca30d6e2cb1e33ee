"""Existing ONNX models: what another exporter made, packed as it is, and proved against itself.

Taken are classifiers of text with the inputs ``input_ids``, ``attention_mask`` and perhaps
``token_type_ids``, and encoders whose output ``last_hidden_state [batch, tokens, width]`` a linear
probe is put on. The source of the proof is Python's onnxruntime and `tokenizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import HeadSpec, LoadedCheckpoint, max_tokens_of
from .checkpoint_files import file_sha256, read_json
from .onnx_export import EMBEDDING, MAX_ONNX_BYTES, cpu_session, run_session
from .probes import LinearHead, read_probe
from .sources import Source

# As affectrt's reader looks for the graph of an optimum directory (FORMAT.md, section 5).
_GRAPHS = ("model.onnx", "model_optimized.onnx", "model_quantized.onnx")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_SOUND = {"input_features", "input_values"}
_QUANTISED = {"MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear", "QLinearMatMul",
              "DequantizeLinear", "DynamicQuantizeMatMul", "QAttention", "MatMulNBits"}  # fmt: skip
# Scales of activations that one graph run computes for the whole batch.
_WHOLE_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention"}
_EIGHT_BITS = {TensorProto.INT8, TensorProto.UINT8}
_LARGE = 4096  # values: smaller tensors say nothing of a model's precision
_PROBLEMS = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}


class OnnxNetwork(nn.Module):
    """A graph in Python's onnxruntime, with the interface of a checkpoint's network."""

    def __init__(self, image: bytes, outputs: Sequence[str], config: Any) -> None:
        super().__init__()
        self.image, self.outputs, self.config = image, tuple(outputs), config
        self.operators: set[str] = set()
        self.weight_types: set[int] = set()  # TensorProto's, of large weights
        self.parameter_count = 0
        self.gives_embedding = False
        self._session = cpu_session(image)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits by output name."""
        feeds = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        if token_type_ids is not None:
            feeds["token_type_ids"] = token_type_ids.numpy()
        values = run_session(self._session, feeds)
        return {name: torch.from_numpy(np.asarray(values[name])) for name in self.outputs}


def find_graph(path: Path) -> Path | None:
    """The ``.onnx`` file that a path means: itself, or that of a directory without weights of
    another kind. None: it is a checkpoint."""
    if path.is_file():
        return path if path.suffix == ".onnx" else None
    if any(path.glob("*.safetensors")) or any(path.glob("pytorch_model*.bin")):
        return None
    candidates = [path / folder / name for name in _GRAPHS for folder in ("", "onnx")]
    return next((file for file in candidates if file.is_file()), None)


def load_onnx(source: Source, graph: Path) -> LoadedCheckpoint:
    """An existing graph as a checkpoint.

    Raises:
        NotFoundError: no tokenizer.
        ExportError: a graph that is no classifier of text; the message says what it is.
    """
    folder = source.path if source.path.is_dir() else graph.parent
    tokenizer = _tokenizer(source, folder)
    config = _config(folder, tokenizer.parent)
    model = _read(graph)
    inputs = _check_inputs(model, source.path)
    operators = {node.op_type for node in model.graph.node}
    widths = {v.name: _shape(v) for v in model.graph.output}
    if source.probe is not None:
        if source.layer is not None:
            raise ExportError(f"{source.path}: a graph is read at its output; leave --layer out")
        head = read_probe(source.probe, labels=source.labels, task=source.task)
        _attach(model, head, source)
        specs: tuple[HeadSpec, ...] = (head.spec,)
    else:
        specs = (_head(source, config, widths),)
    image = _serialised(model, source.path)
    rows = config.get("vocab_size") or _table_rows(model)
    try:
        network = OnnxNetwork(
            image,
            [s.output for s in specs],
            SimpleNamespace(
                vocab_size=int(rows),
                pad_token_id=int(config.get("pad_token_id") or 0),
                type_vocab_size=int(config.get("type_vocab_size", 2)),
                hidden_size=int(config.get("hidden_size") or 0),
            ),
        )
    except Exception as error:  # onnxruntime has a tree of exceptions of its own
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ExportError(f"{graph}: onnxruntime cannot load it: {reason}") from None
    network.operators = operators
    network.weight_types = {
        one.data_type for one in model.graph.initializer if np.prod(one.dims) >= _LARGE
    }
    network.parameter_count = sum(int(np.prod(one.dims)) for one in model.graph.initializer)
    network.gives_embedding = source.probe is not None
    config.setdefault("model_type", "onnx")
    return LoadedCheckpoint(
        path=source.path,
        model=network,
        heads=specs,
        config=config,
        family=str(config["model_type"]),
        tokenizer_json=tokenizer,
        uses_token_types="token_type_ids" in inputs,
        max_tokens=max_tokens_of(config),
        source_sha256=file_sha256(graph),
        own_config=(folder / "config.json").is_file(),
        card={},
    )


def describe_precision(network: OnnxNetwork) -> tuple[str, str | None]:
    """The precision that a graph's operators and weights tell, and a remark on it."""
    precision = "fp32"
    if TensorProto.FLOAT16 in network.weight_types:
        precision = "fp16"
    if network.operators & _QUANTISED or network.weight_types & _EIGHT_BITS:
        precision = "int8"
    remark = None
    if network.operators & _WHOLE_BATCH:
        remark = (
            "the graph takes one scale of activations for a whole batch (quantize_dynamic): an "
            "answer changes with the texts that it is batched with. Exported from its checkpoint "
            "with --precision int8, it would not"
        )
    return precision, remark


def _read(graph: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(str(graph))  # with its external data
    except FileNotFoundError as error:
        raise NotFoundError(f"{graph}: its weights are missing: {error}") from None
    except Exception as error:  # protobuf's DecodeError, onnx's ValidationError, ...
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ExportError(f"{graph}: is no ONNX model that can be read: {reason}") from None
    if not model.graph.output:
        raise ExportError(f"{graph}: is no ONNX model: its graph has no outputs")
    return model


def _check_inputs(model: onnx.ModelProto, where: Path) -> list[str]:
    constants = {one.name for one in model.graph.initializer}
    names = [v.name for v in model.graph.input if v.name not in constants]
    if _SOUND & set(names):
        raise ExportError(
            f"{where}: reads sound ({', '.join(names)}). Models of speech are made of their own "
            "checkpoints; another exporter's graph does not say how its features are computed"
        )
    unknown = [name for name in names if name not in _INPUTS]
    if unknown or "input_ids" not in names or "attention_mask" not in names:
        raise ExportError(
            f"{where}: has the inputs {', '.join(names) or 'none'}; input_ids and attention_mask "
            "are needed, token_type_ids may be there, and nothing else can be given"
        )
    return names


def _head(source: Source, config: dict[str, Any], outputs: dict[str, list[Any]]) -> HeadSpec:
    where = source.path
    name = "logits" if "logits" in outputs else next(iter(outputs))
    if len(outputs[name]) != 2:
        said = ", ".join(f"{n} {s}" for n, s in outputs.items())
        raise ExportError(
            f"{where}: gives {said}, and no logits [batch, labels]: it is an encoder. Put a linear "
            "probe on it (--probe)"
        )
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
    problem = config.get("problem_type")
    task = source.task or _PROBLEMS.get(str(problem))
    task = task or ("regression" if len(labels) == 1 else "single_label")
    return HeadSpec(name="default", task=task, labels=labels, output=name)


def _attach(model: onnx.ModelProto, head: LinearHead, source: Source) -> None:
    """Pooling and a linear head behind ``last_hidden_state``, which is no output any more."""
    where = source.path
    states = [v for v in model.graph.output if len(_shape(v)) == 3]
    if len(states) != 1:
        raise ExportError(f"{where}: has {len(states)} outputs [batch, tokens, width]; a probe "
                          "needs one")  # fmt: skip
    width = _shape(states[0])[2]
    if width != head.weight.shape[1]:
        raise ExportError(
            f"{where}: its states have {width} values, the probe reads {head.weight.shape[1]}"
        )
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < 13:
        raise ExportError(f"{where}: is of opset {opset}; a probe needs 13 or newer")
    if source.pooling not in ("mean", "cls"):
        raise ExportError(f"{where}: pooling {source.pooling!r} is not mean or cls")
    name, graph = states[0].name, model.graph

    def constant(suffix: str, array: Any) -> str:
        full = f"affectrt.{suffix}"
        graph.initializer.append(numpy_helper.from_array(array, full))
        return full

    def node(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        made = helper.make_node(
            operator, list(inputs), [output], f"affectrt/{output}", **attributes
        )
        graph.node.append(made)
        return output

    if source.pooling == "cls":
        pooled = node(
            "Gather", [name, constant("first", np.asarray(0, np.int64))], EMBEDDING, axis=1
        )
    else:
        one = constant("axis_1", np.asarray([1], np.int64))
        last = constant("axis_2", np.asarray([2], np.int64))
        real = node("Cast", ["attention_mask"], "affectrt.real", to=TensorProto.FLOAT)
        weights = node("Unsqueeze", [real, last], "affectrt.weights")
        summed = node("Mul", [name, weights], "affectrt.weighted")
        total = node("ReduceSum", [summed, one], "affectrt.total", keepdims=0)
        count = node("ReduceSum", [weights, one], "affectrt.count", keepdims=0)
        pooled = node("Div", [total, count], EMBEDDING)
    matrix = constant("probe.weight_t", np.ascontiguousarray(head.weight.T))
    node("Gemm", [pooled, matrix, constant("probe.bias", head.bias)], head.spec.output)
    del graph.output[:]
    for output, size in ((head.spec.output, len(head.spec.labels)), (EMBEDDING, width)):
        graph.output.append(
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size])
        )


def _serialised(model: onnx.ModelProto, where: Path) -> bytes:
    if model.ByteSize() > MAX_ONNX_BYTES:
        raise ExportError(f"{where}: has more than the 2 GB of weights that one ONNX file can hold")
    for tensor in model.graph.initializer:  # what was external is inside now
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT
    return bytes(model.SerializeToString(deterministic=True))


def _shape(value: Any) -> list[Any]:
    kind = value.type.tensor_type
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        return []
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim]


def _table_rows(model: onnx.ModelProto) -> int:
    """Rows of the largest table that something is gathered from: the vocabulary."""
    shapes = {one.name: list(one.dims) for one in model.graph.initializer}
    read = [n.input[0] for n in model.graph.node if n.op_type == "Gather"]
    tables = [shapes[name][0] for name in read if len(shapes.get(name, ())) == 2]
    return int(max(tables, default=2**31 - 1))


def _tokenizer(source: Source, folder: Path) -> Path:
    given = source.tokenizer or folder
    file = given / "tokenizer.json" if given.is_dir() else given
    if not file.is_file():
        raise NotFoundError(
            f"{source.path}: {file} is missing; give the tokenizer.json of the model that the "
            "graph was made of with --tokenizer"
        )
    return file


def _config(*folders: Path) -> dict[str, Any]:
    for folder in folders:
        if (folder / "config.json").is_file():
            return read_json(folder / "config.json")
    return {}

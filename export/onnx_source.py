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
from .checkpoint_files import file_sha256
from .onnx_export import EMBEDDING, cpu_session, run_session
from .onnx_graphs import (
    head_of,
    inputs_of,
    parameters_of,
    precision_of,
    read_config,
    read_graph,
    reason_of,
    serialised,
    shape_of,
)
from .probes import LinearHead, read_probe
from .sources import Source

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
# Scales of activations that one graph run computes for the whole batch.
_WHOLE_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention"}


class OnnxNetwork(nn.Module):
    """A graph in Python's onnxruntime, with the interface of a checkpoint's network."""

    def __init__(self, image: bytes, outputs: Sequence[str], config: Any) -> None:
        super().__init__()
        self.image, self.outputs, self.config = image, tuple(outputs), config
        self.operators: set[str] = set()
        self.precision = "fp32"
        self.remark: str | None = None
        self.parameter_count = 0
        self.gives_embedding = False
        self._session = cpu_session(image)

    @property
    def scales_of_batch(self) -> bool:
        """Whether activations have one scale for all texts of a batch."""
        return bool(self.operators & _WHOLE_BATCH)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits by output name."""
        feeds = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        if token_type_ids is not None:
            feeds["token_type_ids"] = token_type_ids.numpy()
        values = run_session(self._session, feeds)
        return {name: torch.from_numpy(np.asarray(values[name])) for name in self.outputs}


def load_onnx(source: Source, graph: Path) -> LoadedCheckpoint:
    """An existing graph as a checkpoint.

    Raises:
        NotFoundError: no tokenizer.
        ExportError: a graph that is no classifier of text; the message says what it is.
    """
    folder = source.path if source.path.is_dir() else graph.parent
    tokenizer = _tokenizer(source, folder)
    config = read_config(folder, tokenizer.parent)
    model = read_graph(graph)
    inputs = _check_inputs(model, source.path)
    remark = None
    if source.probe is not None:
        if source.layer is not None:
            raise ExportError(f"{source.path}: a graph is read at its output; leave --layer out")
        head = read_probe(source.probe, labels=source.labels, task=source.task)
        _attach(model, head, source)
        specs: tuple[HeadSpec, ...] = (head.spec,)
    else:
        spec, remark = head_of(source, config, model)
        specs = (spec,)
    image = serialised(model, source.path)
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
        raise ExportError(f"{graph}: onnxruntime cannot load it: {reason_of(error)}") from None
    network.operators = {node.op_type for node in model.graph.node}
    network.precision, network.remark = precision_of(model), remark
    network.parameter_count = parameters_of(model)
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


def remarks_on(network: OnnxNetwork) -> tuple[str, ...]:
    """What who uses a graph should know."""
    remarks = [] if network.remark is None else [network.remark]
    if network.scales_of_batch:
        remarks.append(
            "the graph takes one scale of activations for a whole batch (quantize_dynamic): an "
            "answer changes with the texts that it is batched with. Exported from its checkpoint "
            "with --precision int8, it would not"
        )
    return tuple(remarks)


def _check_inputs(model: onnx.ModelProto, where: Path) -> list[str]:
    names = [value.name for value in inputs_of(model)]
    unknown = [name for name in names if name not in _INPUTS]
    if unknown or "input_ids" not in names or "attention_mask" not in names:
        raise ExportError(
            f"{where}: has the inputs {', '.join(names) or 'none'}; input_ids and attention_mask "
            "are needed, token_type_ids may be there, and nothing else can be given"
        )
    return names


def _attach(model: onnx.ModelProto, head: LinearHead, source: Source) -> None:
    """Pooling and a linear head behind ``last_hidden_state``, which is no output any more."""
    where = source.path
    states = [v for v in model.graph.output if len(shape_of(v)) == 3]
    if len(states) != 1:
        raise ExportError(f"{where}: has {len(states)} outputs [batch, tokens, width]; a probe "
                          "needs one")  # fmt: skip
    width = shape_of(states[0])[2]
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

"""Small ONNX text models with every property that the engine has to deal with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WORDS = tuple(f"w{index}" for index in range(40))
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LABELS = ("calm", "joy", "anger")


def tokenizer_json() -> dict[str, Any]:
    """Words of `WORDS` between white space, [CLS] and [SEP] around, types 0 and 1."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocab = {token: index for index, token in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    parsed: dict[str, Any] = json.loads(tokenizer.to_str())
    return parsed


def graph_bytes(
    outputs: Mapping[str, int] | None = None,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    input_type: str = "int64",
    output_type: str = "float32",
    open_width: bool = False,
    rows: int | str = "rows",
    tokens: int | str = "tokens",
    not_a_number: bool = False,
    three_dimensions: bool = False,
    hidden: int = 16,
    layers: int = 1,
    seed: int = 7,
) -> bytes:
    """An encoder in small: embeddings, masked self-attention, masked mean, one matrix an output."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    outputs = {"logits": len(LABELS)} if outputs is None else outputs
    random = np.random.default_rng(seed)
    constants = []
    nodes = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(kind: str, arguments: Sequence[str], result: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(arguments), [result], **attributes))
        return result

    def matrix(name: str, *shape: int) -> str:
        return constant(name, random.normal(0, 1.0 / np.sqrt(hidden), shape).astype(np.float32))

    vocabulary = len(SPECIAL) + len(WORDS)
    table = random.normal(0, 1, (vocabulary, hidden)).astype(np.float32)
    state = node("Gather", [constant("table", table), "input_ids"], "embedded")
    if "token_type_ids" in inputs:
        types = random.normal(0, 1, (2, hidden)).astype(np.float32)
        node("Gather", [constant("types", types), "token_type_ids"], "typed")
        state = node("Add", [state, "typed"], "sum")
    if "attention_mask" in inputs:
        node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    else:
        node("Cast", ["input_ids"], "ids_as_float", to=TensorProto.FLOAT)
        node("Mul", ["ids_as_float", constant("zero", np.float32(0))], "no_mask")
        node("Add", ["no_mask", constant("one", np.float32(1))], "mask")
    node("Unsqueeze", ["mask", constant("axis1", np.array([1]))], "mask_keys")
    node("Unsqueeze", ["mask", constant("axis2", np.array([2]))], "mask_rows")
    node("Sub", ["mask_keys", constant("unit", np.float32(1))], "mask_minus")
    node("Mul", ["mask_minus", constant("far", np.float32(1e9))], "bias")
    for layer in range(layers):
        query = node("MatMul", [state, matrix(f"q{layer}", hidden, hidden)], f"query{layer}")
        turned = node("Transpose", [state], f"turned{layer}", perm=[0, 2, 1])
        scores = node("MatMul", [query, turned], f"scores{layer}")
        node("Add", [scores, "bias"], f"biased{layer}")
        node("Softmax", [f"biased{layer}"], f"weights{layer}", axis=-1)
        node("MatMul", [f"weights{layer}", state], f"mixed{layer}")
        state = node("Tanh", [f"mixed{layer}"], f"state{layer}")
    node("Mul", [state, "mask_rows"], "kept")
    node("ReduceSum", ["kept", "axis1"], "total", keepdims=0)
    node("ReduceSum", ["mask", "axis1"], "count", keepdims=1)
    node("Div", ["total", "count"], "pooled")
    shape_of_output: list[Any] = [rows, None]
    for name, width in outputs.items():
        result = node("MatMul", ["pooled", matrix(f"{name}.weight", hidden, width)], f"{name}.raw")
        if not_a_number:
            node("Sub", [result, result], f"{name}.zero")
            result = node("Div", [f"{name}.zero", f"{name}.zero"], f"{name}.nan")
        if open_width:  # a shape that only running tells
            node("NonZero", [constant(f"{name}.ones", np.ones(width, np.int64))], f"{name}.nz")
            node("Squeeze", [f"{name}.nz", constant(f"{name}.axis", np.array([0]))], f"{name}.ix")
            result = node("Gather", [result, f"{name}.ix"], f"{name}.open", axis=1)
        if three_dimensions:
            result = node("Unsqueeze", [result, "axis1"], f"{name}.three")
        if output_type == "float16":
            result = node("Cast", [result], f"{name}.half", to=TensorProto.FLOAT16)
        if output_type == "float64":
            result = node("Cast", [result], f"{name}.double", to=TensorProto.DOUBLE)
        node("Identity", [result], name)
    unused = [name for name in inputs if name not in ("input_ids", "attention_mask")]
    for name in unused:
        if name != "token_type_ids":
            node("Identity", [name], f"{name}.unused")
    integer = {"int64": TensorProto.INT64, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
    real = {
        "float32": TensorProto.FLOAT,
        "float16": TensorProto.FLOAT16,
        "float64": TensorProto.DOUBLE,
    }
    result_infos = []
    for name, width in outputs.items():
        shape_of_output = [rows, f"{name}_width" if open_width else width]
        if three_dimensions:
            shape_of_output.insert(1, 1)
        result_infos.append(helper.make_tensor_value_info(name, real[output_type], shape_of_output))
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info(name, integer[input_type], [rows, tokens])
            for name in inputs
        ],
        result_infos,
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    if "unchecked" not in outputs:
        onnx.checker.check_model(model)
    return serialized


def head(name: str = "mood", output: str = "logits", **more: Any) -> dict[str, Any]:
    return {"name": name, "task": "single_label", "output": output, "labels": list(LABELS)} | more


def write_model(
    folder: Path,
    graph: bytes | None = None,
    heads: Sequence[Mapping[str, Any]] | None = None,
    *,
    max_tokens: int = 32,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """A model directory with `affectrt.json` whose entries are listed with their hashes."""
    folder.mkdir(parents=True)
    files = {
        "model.onnx": graph_bytes() if graph is None else graph,
        "tokenizer.json": json.dumps(tokenizer_json()).encode(),
        "config.json": json.dumps(dict(config or {"model_type": "bert"})).encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = {
        "format": "affectrt-model",
        "format_version": 1,
        "name": "small",
        "description": "Made for tests.",
        "version": "0.0.1",
        "modality": "text",
        "model": {"family": "bert", "precision": "fp32", "onnx": "model.onnx"},
        "input": {"max_tokens": max_tokens},
        "heads": [dict(one) for one in heads or [head()]],
        "licence": {"weights": "Apache-2.0", "non_commercial": False, "notice": "Made for tests."},
        "data": [],
        "source": {"checkpoint": "none", "sha256": "0" * 64},
        "parity": None,
        "recipe": "tests/onnx_models.py",
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        },
    }
    (folder / "affectrt.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder

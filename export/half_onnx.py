"""ONNX float32 -> weights of 16 bits: the file halves, the arithmetic stays float32.

Each matrix that rows of tokens are multiplied with, and each large table, becomes float16 or
bfloat16 with a Cast behind it, which ONNX Runtime folds when it opens the graph. (It has float16
products on GPUs alone; on a CPU a graph of float16 is cast back and forth node by node.) The same
weights as the native engine's fp16 and bf16: what follows the pooling stays float32.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
import torch

from .native_weights import to_half
from .quantize_onnx import MIN_TABLE_VALUES, float_products, infer_shapes

_DTYPES = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}


def halve_onnx(model: ir.Model, precision: str, *, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Rewrite the constants of a float32 model in place; returns their names.

    Args:
        keep: weights (by initialiser name, or its part before ``.weight``) to leave in float32.

    Raises:
        ExportError: a weight beyond float16's range.
    """
    graph = model.graph
    infer_shapes(model)
    matrices = {site.weight.name for site in float_products(graph, keep, [])}
    tables = {n.inputs[0].name for n in graph if n.op_type == "Gather" and n.inputs[0] is not None}
    done: list[str] = []
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) != 2:
            continue
        is_table = name in tables and tensor.size >= MIN_TABLE_VALUES
        if name not in matrices and not is_table:
            continue
        floats = torch.from_numpy(np.array(tensor.numpy(), np.float32))
        bits = to_half(floats, precision, name).view(torch.int16).numpy().view(np.uint16)
        dtype = _DTYPES[precision]
        stored = f"{name}.{precision}"
        half = ir.Value(
            name=stored,
            shape=value.shape,
            type=ir.TensorType(dtype),
            const_value=ir.Tensor(bits.view(dtype.numpy()), dtype=dtype, name=stored),
        )
        cast = ir.node("Cast", [half], {"to": ir.DataType.FLOAT}, name=f"{name}/widen")
        widened = cast.outputs[0]
        widened.name, widened.shape, widened.type = f"{name}.widened", value.shape, value.type
        ir.convenience.replace_all_uses_with(value, widened)
        del graph.initializers[name]
        graph.register_initializer(half)
        graph.insert_before(graph[0], cast)
        done.append(name)
    return tuple(done)

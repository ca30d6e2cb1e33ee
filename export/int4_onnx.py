"""ONNX float32 -> weight-only int4: groups of 32 weights with a scale each, activations in float32.

A product with a constant matrix becomes ONNX Runtime's ``MatMulNBits`` (domain ``com.microsoft``),
which unpacks a block of codes at a time: a matrix takes 5 bits a weight in the file and in memory.
Codes are symmetric, -7 to 7, with the scale of least squared error in its group (see `quantize`).
Embedding tables become int8 rows; what reads pooled rows stays float32, as in int8.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common as ir_passes

from .onnx_export import deduplicate
from .quantize import quantize_rows
from .quantize_onnx import Insert, float_products, infer_shapes, quantize_tables

GROUP = 32
_MAX_CODE = 7
_ZERO_POINT = 8  # what MatMulNBits subtracts where it is given no zero points
_DOMAIN = "com.microsoft"


def quantize_int4(model: ir.Model, *, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Rewrite a float32 model in place; returns the names of the products.

    Args:
        keep: weights (by initialiser name, or its part before ``.weight``) to leave in float32.
    """
    infer_shapes(model)
    quantize_tables(model, keep=keep)
    done = []
    packed: dict[str, tuple[ir.Value, ir.Value]] = {}
    for site in float_products(model.graph, keep, []):
        outputs, inputs = site.matrix.shape
        add = Insert(model.graph, site.node, site.name)
        key = site.weight.name or ""
        if key not in packed:
            codes, scales = pack_groups(site.matrix)
            packed[key] = (
                add.constant(codes, f"{site.name}.weight_t.int4"),
                add.constant(scales, f"{site.name}.weight_t.scale"),
            )
        product = add(
            "MatMulNBits", site.x, *packed[key], domain=_DOMAIN,
            K=inputs, N=outputs, bits=4, block_size=GROUP,
        )  # fmt: skip
        replaced = site.node.outputs[0]
        product.shape, product.type = replaced.shape, replaced.type
        ir.convenience.replace_all_uses_with(replaced, product, replace_graph_outputs=True)
        model.graph.remove(site.node, safe=True)
        done.append(site.name)
    if done:
        model.opset_imports[_DOMAIN] = 1
    ir_passes.RemoveUnusedNodesPass()(model)
    ir_passes.TopologicalSortPass()(model)
    deduplicate(model)
    return tuple(done)


def pack_groups(
    matrix: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """``float32 [N, K]`` as MatMulNBits has it: codes ``uint8 [N, groups, 16]``, two in a byte, the
    first in its lower half, and scales ``float32 [N * groups]``. A last group that is not whole is
    filled up with zeros."""
    codes, scales = quantised_groups(matrix)
    unsigned = (codes + _ZERO_POINT).astype(np.uint8)
    packed = unsigned[..., 0::2] | (unsigned[..., 1::2] << 4)
    return np.ascontiguousarray(packed), np.ascontiguousarray(scales.reshape(-1))


def quantised_groups(matrix: npt.NDArray[np.float32]) -> tuple[Any, npt.NDArray[np.float32]]:
    """Codes ``int8 [N, groups, 32]`` and scales ``float32 [N, groups]``."""
    outputs, inputs = matrix.shape
    groups = -(-inputs // GROUP)
    padded = np.zeros((outputs, groups * GROUP), np.float32)
    padded[:, :inputs] = matrix
    codes, scales = quantize_rows(padded.reshape(-1, GROUP), _MAX_CODE)
    return codes.reshape(outputs, groups, GROUP), scales.reshape(outputs, groups)

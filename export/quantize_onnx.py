"""ONNX float32 -> int8 with a scale per token, in standard operators.

ONNX Runtime's own ``quantize_dynamic`` takes one activation scale for the whole tensor, so that an
answer changes with the rows that happen to share its batch. Here every activation row has its own
scale and zero point (see `quantize`), and a quantised product is::

    x [.., K] -> rows [M, K] -> q = QuantizeLinear(rows, scale [M], zero [M])      once per x
    y = DequantizeLinear(MatMulInteger(q, codes [K, N]), scale [M]) * weight_scale [N]
        + Gemm(zero * scale [M, 1], -sum(codes) * weight_scale [1, N], bias [N])   zero point, bias

Products that read the same `x` (query, key, value) are one product followed by a Split. What stays
in float32: products of two activations (attention), everything after pooling (it works on one row a
text: little time, much effect on the logits), layer norms and activation functions. Embedding
tables are kept as 8-bit rows with a scale each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes import common as ir_passes

from .onnx_export import deduplicate
from .quantize import EMBEDDING_MAX_CODE, MIN_ACTIVATION_SCALE, WEIGHT_MAX_CODE, quantize_rows

# Tables below this stay in float32: three operators more cost more than the bytes are worth.
MIN_TABLE_VALUES = 4096


@dataclass(frozen=True)
class QuantizedOnnx:
    """What `quantize_onnx` did: names of the quantised weights and of those that stay float32."""

    products: tuple[str, ...]
    tables: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass
class Site:
    """One product with a constant matrix, and the bias that is added to it."""

    node: ir.Node
    x: ir.Value
    weight: ir.Value
    matrix: npt.NDArray[np.float32]  # [N, K]
    bias: npt.NDArray[np.float32] | None
    output: ir.Value  # what the rest of the graph reads
    replaced: tuple[ir.Node, ...]

    @property
    def name(self) -> str:
        return (self.weight.name or "weight").removesuffix(".weight_t").removesuffix(".weight")


def infer_shapes(model: ir.Model) -> None:
    """Fill in the ranks of values that a graph does not tell, in place."""
    if any(value.shape is None for node in model.graph for value in node.outputs):
        ir_passes.ShapeInferencePass()(model)


def quantize_onnx(model: ir.Model, *, keep: Collection[str] = ()) -> QuantizedOnnx:
    """Rewrite a float32 model in place.

    Args:
        model: a model whose values have known ranks, as `export_onnx` gives it.
        keep: weights (by initialiser name, or its part before ``.weight``) to leave in float32.
    """
    infer_shapes(model)
    skipped: list[str] = []
    tables = _quantize_tables(model.graph, keep)
    by_input: dict[ir.Value, list[Site]] = defaultdict(list)
    for site in float_products(model.graph, keep, skipped):
        by_input[site.x].append(site)
    products: list[str] = []
    for sites in by_input.values():
        # Not the key: that value may just have been replaced by another quantised product.
        x = sites[0].node.inputs[0]
        assert x is not None
        rows = _QuantizedRows(model.graph, x, sites[0].matrix.shape[1], sites[0].node)
        for group in _groups(sites):
            _replace(model.graph, rows, group)
            products += [site.name for site in group]
    ir_passes.RemoveUnusedNodesPass()(model)
    ir_passes.TopologicalSortPass()(model)
    deduplicate(model)
    return QuantizedOnnx(tuple(products), tuple(tables), tuple(skipped))


def quantize_tables(model: ir.Model, *, keep: Collection[str] = ()) -> list[str]:
    """Rewrite the embedding tables of a float32 model alone, in place; returns their names."""
    done = _quantize_tables(model.graph, keep)
    ir_passes.RemoveUnusedNodesPass()(model)
    return done


def _constant(value: ir.Value | None) -> npt.NDArray[Any] | None:
    if value is None or value.const_value is None or value.producer() is not None:
        return None
    return value.const_value.numpy()


def _is_kept(value: ir.Value, keep: Collection[str]) -> bool:
    name = value.name or ""
    return name in keep or name.removesuffix(".weight_t").removesuffix(".weight") in keep


def float_products(graph: ir.Graph, keep: Collection[str], skipped: list[str]) -> list[Site]:
    """Products with a constant float32 matrix on rows of tokens, in the order of the graph."""
    sites = []
    for node in graph:
        if node.op_type not in ("MatMul", "Gemm") or node.domain not in ("", "ai.onnx"):
            continue
        x, weight = node.inputs[0], node.inputs[1]
        matrix = _constant(weight)
        if x is None or weight is None or matrix is None:
            continue
        if matrix.ndim != 2 or matrix.dtype != np.float32 or _constant(x) is not None:
            continue
        # Rank 2 is [batch, width]: pooled rows, that is heads and poolers.
        rank = None if x.shape is None else len(x.shape)
        if rank is None or rank < 3 or node.op_type == "Gemm" or _is_kept(weight, keep):
            skipped.append(weight.name or "")
            continue
        output, bias, replaced = _with_bias(node, matrix.shape[1])
        sites.append(Site(node, x, weight, np.ascontiguousarray(matrix.T), bias, output, replaced))
    return sites


def _with_bias(
    node: ir.Node, width: int
) -> tuple[ir.Value, npt.NDArray[np.float32] | None, tuple[ir.Node, ...]]:
    """The Add of a constant vector right behind a product, if it is the product's only reader."""
    product = node.outputs[0]
    uses = list(product.uses())
    if len(uses) == 1 and uses[0].node.op_type == "Add" and not product.is_graph_output():
        add = uses[0].node
        bias = _constant(add.inputs[1 - uses[0].idx])
        if bias is not None and bias.shape == (width,):
            return add.outputs[0], np.asarray(bias, np.float32), (node, add)
    return product, None, (node,)


def _groups(sites: list[Site]) -> list[list[Site]]:
    """Products of one input that are computed as one: all whose weights nobody else reads. (A
    shared weight, as DeBERTa's key projection, keeps a matrix of its own so that it is stored
    once.)"""
    alone = [s for s in sites if len(list(s.weight.uses())) > 1]
    together = [s for s in sites if len(list(s.weight.uses())) == 1]
    return [g for g in ([together] if together else []) + [[s] for s in alone]]


class Insert:
    """Adds nodes and constants to a graph, before one node, with names under one prefix."""

    def __init__(self, graph: ir.Graph, before: ir.Node, prefix: str) -> None:
        self._graph = graph
        self._before = before
        self._prefix = prefix

    def __call__(
        self, op: str, *inputs: ir.Value | None, suffix: str = "", **attributes: Any
    ) -> Any:
        outputs, domain = attributes.pop("outputs", 1), attributes.pop("domain", "")
        node = ir.node(op, list(inputs), attributes or None, domain=domain, num_outputs=outputs)
        name = self._unused(f"{self._prefix}/{suffix or op}")
        node.name = name
        for i, value in enumerate(node.outputs):
            value.name = name if outputs == 1 else f"{name}_{i}"
        self._graph.insert_before(self._before, node)
        return node.outputs[0] if outputs == 1 else node.outputs

    def constant(self, array: npt.NDArray[Any], name: str) -> ir.Value:
        """A new initialiser; one with the same name and content is used again."""
        existing = self._graph.initializers.get(name)
        if existing is not None and existing.const_value is not None:
            held = existing.const_value.numpy()
            if held.dtype == array.dtype and np.array_equal(held, array):
                return existing
            name = self._unused(name)
        tensor = ir.tensor(array, name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self._graph.register_initializer(value)
        return value

    def _unused(self, name: str) -> str:
        taken = self._taken()
        candidate, n = name, 1
        while candidate in taken:
            candidate, n = f"{name}_{n}", n + 1
        taken.add(candidate)
        return candidate

    def _taken(self) -> set[str]:
        names: set[str] | None = self._graph.meta.get("affectrt_names")
        if names is None:
            names = set(self._graph.initializers) | {n.name for n in self._graph if n.name}
            names |= {o.name for n in self._graph for o in n.outputs if o.name}
            self._graph.meta["affectrt_names"] = names
        return names


class _QuantizedRows:
    """The nodes that quantise one activation tensor row by row, placed before its first reader."""

    def __init__(self, graph: ir.Graph, x: ir.Value, width: int, before: ir.Node) -> None:
        self.x = x
        add = Insert(graph, before, f"{x.name}/rows")
        rows = add(
            "Reshape",
            x,
            add.constant(np.asarray([-1, width], np.int64), f"affectrt.rows_of_{width}"),
        )
        last = add.constant(np.asarray([-1], np.int64), "affectrt.last_axis")
        zero = add.constant(np.asarray(0, np.float32), "affectrt.zero")
        high = add("Max", add("ReduceMax", rows, last, keepdims=0), zero)
        low = add("Min", add("ReduceMin", rows, last, keepdims=0), zero)
        steps = add.constant(np.asarray(1 / 255, np.float32), "affectrt.one_255th")
        least = add.constant(np.asarray(MIN_ACTIVATION_SCALE, np.float32), "affectrt.least_scale")
        self.scale = add("Max", add("Mul", add("Sub", high, low), steps), least, suffix="scale")
        zero_point = add("Round", add("Neg", add("Div", low, self.scale)))
        codes_zero = add("Cast", zero_point, to=ir.DataType.UINT8)
        self.q = add("QuantizeLinear", rows, self.scale, codes_zero, axis=0)
        # zero * scale as a column [M, 1]: what the zero point adds to every product
        self.offset = add("Unsqueeze", add("Mul", zero_point, self.scale), last, suffix="offset")
        self.outer = add("Shape", x, start=0, end=-1, suffix="outer")


def _replace(graph: ir.Graph, rows: _QuantizedRows, group: list[Site]) -> None:
    """Put one integer product in the place of a group of float products."""
    first = group[0]
    prefix = first.name if len(group) == 1 else _common_prefix([s.name for s in group])
    add = Insert(graph, first.node, prefix)
    quantized = [quantize_rows(site.matrix, WEIGHT_MAX_CODE) for site in group]
    codes = np.concatenate([c for c, _ in quantized])  # [N, K]
    scales = np.concatenate([s for _, s in quantized])
    widths = [len(site.matrix) for site in group]
    sums = codes.astype(np.int32).sum(axis=1).astype(np.float32)

    codes_t = add.constant(np.ascontiguousarray(codes.T), f"{prefix}.weight_t.codes")
    scale = add.constant(scales, f"{prefix}.weight_t.scale")
    correction = add.constant((-sums * scales)[None, :], f"{prefix}.weight_t.correction")
    product = add("MatMulInteger", rows.q, codes_t)
    scaled = add("Mul", add("DequantizeLinear", product, rows.scale, axis=0), scale)
    gemm_inputs = [rows.offset, correction]
    if any(site.bias is not None for site in group):
        bias = np.concatenate(
            [
                np.zeros(n, np.float32) if site.bias is None else site.bias
                for site, n in zip(group, widths, strict=True)
            ]
        )
        gemm_inputs.append(add.constant(bias, f"{prefix}.bias"))
    y = add("Add", scaled, add("Gemm", *gemm_inputs))

    parts = [y]
    if len(group) > 1:
        split = add.constant(
            np.asarray(widths, np.int64), f"affectrt.split_{'_'.join(map(str, widths))}"
        )
        parts = list(add("Split", y, split, axis=1, outputs=len(group)))
    for site, part, width in zip(group, parts, widths, strict=True):
        last = add.constant(np.asarray([width], np.int64), f"affectrt.width_{width}")
        shape = add("Concat", rows.outer, last, axis=0)
        output = add("Reshape", part, shape)
        output.shape, output.type = site.output.shape, site.output.type
        ir.convenience.replace_all_uses_with(site.output, output, replace_graph_outputs=True)
    for site in group:
        graph.remove(list(reversed(site.replaced)), safe=True)


def _common_prefix(names: list[str]) -> str:
    """`a.b.query`, `a.b.key` -> `a.b.query_key`."""
    parents = {name.rpartition(".")[0] for name in names}
    joined = "_".join(name.rpartition(".")[2] for name in names)
    parent = parents.pop() if len(parents) == 1 else ""
    return f"{parent}.{joined}" if parent else joined


def _quantize_tables(graph: ir.Graph, keep: Collection[str]) -> list[str]:
    """Embedding tables: Gather(table) -> Cast(Gather(codes)) * Gather(scales)."""
    done: list[str] = []
    for node in list(graph):
        if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != 0:
            continue
        table, indices = node.inputs[0], node.inputs[1]
        values = _constant(table)
        if table is None or values is None or values.ndim != 2 or values.dtype != np.float32:
            continue
        if values.size < MIN_TABLE_VALUES or _is_kept(table, keep):
            continue
        name = table.name or "table"
        add = Insert(graph, node, name.removesuffix(".weight"))
        held = graph.initializers.get(f"{name}.codes")
        if held is None:
            codes, scales = quantize_rows(values, EMBEDDING_MAX_CODE)
            held = add.constant(codes, f"{name}.codes")
            add.constant(scales[:, None], f"{name}.scale")
        scale = graph.initializers[f"{name}.scale"]
        picked = add("Cast", add("Gather", held, indices, axis=0), to=ir.DataType.FLOAT)
        output = add("Mul", picked, add("Gather", scale, indices, axis=0))
        output.shape, output.type = node.outputs[0].shape, node.outputs[0].type
        ir.convenience.replace_all_uses_with(node.outputs[0], output, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if name not in done:
            done.append(name)
    return done

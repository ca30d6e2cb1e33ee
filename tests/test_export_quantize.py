"""Quantisation against its own definition: rows of weights, and the rewritten ONNX graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from affectrt.export.quantize import (
    dequantize_rows,
    linear_w7a8,
    quantize_activations,
    quantize_rows,
)

MATRICES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


@settings(deadline=None, max_examples=200)
@given(MATRICES, st.sampled_from([1, 7, 63, 127]))
def test_rows_never_lose_to_plain_rounding(w: np.ndarray, max_code: int) -> None:
    codes, scales = quantize_rows(w, max_code)
    assert codes.dtype == np.int8
    assert codes.shape == w.shape
    assert np.abs(codes.astype(int)).max() <= max_code
    assert np.isfinite(scales).all()
    assert (scales > 0).all()
    largest = np.abs(w).max(axis=1).astype(np.float64)
    largest = np.where(largest > 1e-35, largest, 1.0)  # what is smaller counts as zero
    plain = largest / max_code
    rounded = np.clip(np.rint(w / plain[:, None]), -max_code, max_code) * plain[:, None]
    ours = codes * scales.astype(np.float64)[:, None]
    unit = largest[:, None]
    error = (((w - ours) / unit) ** 2).sum(axis=1)
    bound = (((w - rounded) / unit) ** 2).sum(axis=1)
    # float32 finds ties that float64 does not: one code in 10^6 may round the other way
    assert (error <= bound + 1e-5 / max_code).all()


def test_rows_of_zeros_and_of_nothing() -> None:
    codes, scales = quantize_rows(np.array([[0, 0], [1e-42, 0], [0, -2]], np.float32))
    np.testing.assert_array_equal(codes, [[0, 0], [0, 0], [0, -63]])
    np.testing.assert_allclose(scales, [1, 1, 2 / 63])
    assert quantize_rows(np.zeros((0, 5), np.float32))[0].shape == (0, 5)


def test_tails_are_clipped_where_bits_are_few() -> None:
    w = np.random.default_rng(0).standard_normal((64, 512)).astype(np.float32)
    codes, scales = quantize_rows(w, 7)
    plain = np.abs(w).max(axis=1) / 7
    assert (scales < 0.9 * plain).mean() > 0.9
    rounded = np.rint(w / plain[:, None]) * plain[:, None]
    assert ((w - dequantize_rows(codes, scales)) ** 2).sum() < 0.8 * ((w - rounded) ** 2).sum()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="row 1 has NaN"):
        quantize_rows(np.array([[1.0], [np.nan]], np.float32))
    with pytest.raises(ValueError, match=r"not shape \[3\]"):
        quantize_rows(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="1 to 127, not 128"):
        quantize_rows(np.zeros((1, 1), np.float32), 128)


@settings(deadline=None, max_examples=200)
@given(MATRICES.map(lambda w: w * np.float32(1e-10)))
def test_activations_stay_within_half_a_step(x: np.ndarray) -> None:
    q, scale, zero = quantize_activations(x)
    back = (q.astype(np.float64) - zero[:, None]) * scale[:, None]
    # half a step for the value, half a step for the zero point
    assert (np.abs(back - x) <= scale[:, None] * 1.001 + 1e-30).all()
    assert ((x == 0) <= (back == 0)).all()  # zero stays zero


# Graphs

pytest.importorskip("onnx")
pytest.importorskip("onnx_ir")
pytest.importorskip("torch")


def make_model(build: Any, k: int | str, width: int) -> Any:
    """An ONNX model with input x [batch, tokens, k] and output y; `build(nodes, constants)`."""
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: dict[str, np.ndarray] = {}
    build(nodes, constants)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "tokens", k])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", width])],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.from_proto(proto)


def run(model: Any, x: np.ndarray) -> np.ndarray:
    from affectrt.export.onnx_export import cpu_session, to_bytes

    answer: np.ndarray = cpu_session(to_bytes(model), 1).run(None, {"x": x})[0]
    return answer


def ops(model: Any) -> dict[str, int]:
    from collections import Counter

    return Counter(node.op_type for node in model.graph)


@pytest.mark.parametrize("bias", ["right", "left", "none"])
@pytest.mark.parametrize(("k", "n"), [(8, 5), (384, 96), (1, 1), (33, 257)])
def test_product_is_the_reference(bias: str, k: int, n: int) -> None:
    from onnx import helper

    from affectrt.export.quantize_onnx import quantize_onnx

    random = np.random.default_rng(k + n)
    w = random.normal(size=(k, n)).astype(np.float32)
    b = random.normal(size=n).astype(np.float32)

    def build(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
        constants["dense.weight_t"] = w
        product = "y" if bias == "none" else "product"
        nodes.append(helper.make_node("MatMul", ["x", "dense.weight_t"], [product]))
        if bias != "none":
            constants["dense.bias"] = b
            inputs = ["product", "dense.bias"] if bias == "right" else ["dense.bias", "product"]
            nodes.append(helper.make_node("Add", inputs, ["y"]))

    model = make_model(build, k, n)
    result = quantize_onnx(model)
    assert result.products == ("dense",)
    assert ops(model)["MatMulInteger"] == 1
    assert not ops(model)["MatMul"]
    x = (random.normal(size=(3, 7, k)) * random.uniform(0.01, 30, (3, 7, 1))).astype(np.float32)
    x[0, 0] = 0.0  # a row of zeros
    x[0, 1] = 5.0  # rows of one value
    x[0, 2] = -5.0
    x[0, 3] *= np.float32(1e-20)
    x[0, 4] *= np.float32(1e20)
    codes, scales = quantize_rows(w.T)
    wanted = linear_w7a8(x.reshape(-1, k), codes, scales, None if bias == "none" else b)
    got = run(model, x).reshape(-1, n)
    size = np.abs(wanted).max(axis=1, keepdims=True) + 1e-30
    # float32 in another order; where a code's rounding tips over, one step of one value
    step = quantize_activations(x.reshape(-1, k))[1][:, None] * np.abs(w).max() * 1.01
    assert np.median(np.abs(got - wanted) / size) < 1e-6
    assert (np.abs(got - wanted) <= 1e-5 * size + step).all()
    assert (np.abs(got - wanted) <= 1e-5 * size).mean() > 0.99
    np.testing.assert_allclose(got[0], 0.0 if bias == "none" else b, atol=1e-6)


def test_a_width_that_the_graph_does_not_tell_is_the_weights() -> None:
    """As in graphs that optimum makes of ModernBERT and DeBERTa."""
    from onnx import helper

    from affectrt.export.quantize_onnx import quantize_onnx

    random = np.random.default_rng(6)
    w = random.normal(size=(24, 5)).astype(np.float32)

    def build(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
        constants["dense.weight_t"] = w
        nodes.append(helper.make_node("MatMul", ["x", "dense.weight_t"], ["y"]))

    model = make_model(build, "width", 5)
    assert quantize_onnx(model).products == ("dense",)
    x = random.normal(size=(2, 3, 24)).astype(np.float32)
    np.testing.assert_allclose(run(model, x), x @ w, atol=0.2)


def test_rows_do_not_see_each_other() -> None:
    from onnx import helper

    from affectrt.export.quantize_onnx import quantize_onnx

    random = np.random.default_rng(1)
    w = random.normal(size=(64, 48)).astype(np.float32)

    def build(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
        constants["w"] = w
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["y"]))

    model = make_model(build, 64, 48)
    quantize_onnx(model)
    x = random.normal(size=(4, 6, 64)).astype(np.float32)
    x[1] *= 1000.0  # a loud neighbour, which would ruin a scale that is shared
    together = run(model, x)
    for i in range(4):
        np.testing.assert_allclose(run(model, x[i : i + 1])[0], together[i], rtol=1e-6)


def test_products_of_one_input_are_quantised_once() -> None:
    from onnx import helper

    from affectrt.export.quantize_onnx import quantize_onnx

    random = np.random.default_rng(2)
    weights = [random.normal(size=(32, 32)).astype(np.float32) for _ in range(4)]
    bias = random.normal(size=32).astype(np.float32)

    def build(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
        constants |= {f"layer.{n}.weight_t": w for n, w in zip("qkvs", weights, strict=True)}
        constants["bias"] = bias
        for n in "qkv":
            nodes.append(helper.make_node("MatMul", ["x", f"layer.{n}.weight_t"], [n]))
        nodes.append(helper.make_node("Add", ["k", "bias"], ["kb"]))
        nodes.append(helper.make_node("Add", ["q", "kb"], ["qk"]))
        nodes.append(helper.make_node("Add", ["qk", "v"], ["qkv"]))
        # one weight, two readers of two inputs; the second is the output of quantised products
        nodes.append(helper.make_node("MatMul", ["x", "layer.s.weight_t"], ["s1"]))
        nodes.append(helper.make_node("MatMul", ["qkv", "layer.s.weight_t"], ["s2"]))
        nodes.append(helper.make_node("Add", ["s1", "s2"], ["y"]))

    x = random.normal(size=(2, 5, 32)).astype(np.float32)
    exact = run(make_model(build, 32, 32), x)
    model = make_model(build, 32, 32)
    result = quantize_onnx(model)
    assert sorted(result.products) == ["layer.k", "layer.q", "layer.s", "layer.s", "layer.v"]
    count = ops(model)
    assert (count["QuantizeLinear"], count["MatMulInteger"], count["Split"]) == (2, 3, 1)
    held = {n: v.const_value for n, v in model.graph.initializers.items()}
    assert held["layer.q_k_v.weight_t.codes"].shape == (32, 96)
    assert sum(n.endswith(".codes") for n in held) == 2  # the shared weight is stored once
    assert np.abs(run(model, x) - exact).max() < 0.03 * np.abs(exact).max()

    kept = make_model(build, 32, 32)
    assert quantize_onnx(kept, keep=["layer.s"]).kept == ("layer.s.weight_t",) * 2
    assert ops(kept)["MatMul"] == 2


def test_pooled_rows_and_activations_stay_float() -> None:
    from onnx import helper

    from affectrt.export.quantize_onnx import quantize_onnx

    w = np.random.default_rng(3).normal(size=(16, 16)).astype(np.float32)

    def build(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
        constants |= {"w": w, "head.weight": w, "first": np.int64(0), "axis": np.array([1])}
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["h"]))
        nodes.append(helper.make_node("Transpose", ["h"], ["ht"], perm=[0, 2, 1]))
        nodes.append(helper.make_node("MatMul", ["h", "ht"], ["scores"]))
        nodes.append(helper.make_node("MatMul", ["scores", "h"], ["mixed"]))
        nodes.append(helper.make_node("Gather", ["mixed", "first"], ["pooled"], axis=1))
        nodes.append(helper.make_node("Gemm", ["pooled", "head.weight"], ["logits"], transB=1))
        nodes.append(helper.make_node("Unsqueeze", ["logits", "axis"], ["l3"]))
        nodes.append(helper.make_node("Add", ["mixed", "l3"], ["y"]))

    model = make_model(build, 16, 16)
    result = quantize_onnx(model)
    assert (result.products, result.kept) == (("w",), ("head.weight",))
    assert (ops(model)["MatMul"], ops(model)["Gemm"]) == (2, 2)  # one Gemm carries a zero point


def test_tables_are_kept_as_rows_of_bytes() -> None:
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    from affectrt.export.onnx_export import cpu_session, to_bytes
    from affectrt.export.quantize_onnx import quantize_onnx

    table = np.random.default_rng(4).normal(size=(300, 32)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["emb.weight", "ids"], ["a"]),
            helper.make_node("Gather", ["emb.weight", "first"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", 32])],
        [
            numpy_helper.from_array(table, "emb.weight"),
            numpy_helper.from_array(np.array([[7]], np.int64), "first"),
        ],
    )
    model = ir.from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    result = quantize_onnx(model)
    assert result.tables == ("emb.weight",)
    assert "emb.weight" not in model.graph.initializers
    codes = model.graph.initializers["emb.weight.codes"].const_value.numpy()
    assert codes.dtype == np.int8
    assert np.abs(codes.astype(int)).max() == 127
    ids = np.arange(300, dtype=np.int64)[None]
    got = cpu_session(to_bytes(model), 1).run(None, {"ids": ids})[0][0]
    np.testing.assert_allclose(got, table + table[7], atol=0.04)


def test_weights_are_safe_without_vnni() -> None:
    from onnx import helper

    from affectrt.export.quantize_onnx import quantize_onnx

    # The worst case of vpmaddubsw: all activations 255, all weights at their largest.
    k = 256

    def build(nodes: list[Any], constants: dict[str, np.ndarray]) -> None:
        constants["w"] = np.ones((k, 8), np.float32)
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["y"]))

    model = make_model(build, k, 8)
    quantize_onnx(model)
    codes = model.graph.initializers["w.weight_t.codes"].const_value.numpy()
    assert np.abs(codes.astype(int)).max() == 63
    assert np.iinfo(np.int16).max >= 2 * 255 * 63
    np.testing.assert_allclose(run(model, np.ones((1, 3, k), np.float32)), k, rtol=1e-5)

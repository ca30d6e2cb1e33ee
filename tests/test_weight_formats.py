"""Weights in 16 and 4 bits: exactly the rounded weights, on both engines."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
import onnxruntime
import torch
from conftest import Made
from test_native import predict, write_model

import affectrt
from affectrt import _core
from affectrt.errors import ExportError, ModelFileError
from affectrt.export import export_checkpoint, verify
from affectrt.export.checkpoint import LoadedCheckpoint, load_checkpoint
from affectrt.export.int4_onnx import GROUP, pack_groups, quantised_groups
from affectrt.export.native_weights import (
    HALVES,
    is_layer_matrix,
    is_table,
    to_half,
    write_native_weights,
)

ROWS = [("I was so happy, furious and afraid today.", None), ("no", None), ("naïve 東京", "yes")]


pytestmark = pytest.mark.usefixtures("one_thread", "traced_once")


@pytest.fixture(scope="module")
def checkpoint(made: Made) -> Callable[[str], Path]:
    return lambda family: made(
        f"export_{family}", lambda folder: em.write_random_checkpoint(folder, family)
    )


def load(path: Path) -> Any:
    return _core.Model.load(str(path), backend="native")


def rounded(loaded: LoadedCheckpoint, precision: str) -> None:
    """Round in place what the precision stores in 16 bits."""
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            short = name.removeprefix("classifier.")
            matrix = parameter.dim() > 1 and is_layer_matrix(short, loaded.family)
            if matrix or is_table(short, parameter.detach().numpy()):
                parameter.copy_(parameter.to(HALVES[precision]).float())


@pytest.mark.parametrize("precision", list(HALVES))
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_the_native_engine_widens_exactly(
    checkpoint: Callable[[str], Path], tmp_path: Path, family: str, precision: str
) -> None:
    loaded = load_checkpoint(checkpoint(family))
    with torch.no_grad():  # subnormal in float16, and zeros of both signs
        first = next(
            p for n, p in loaded.model.named_parameters() if ".weight" in n and p.dim() > 1
        )
        first[: len(first) // 2] *= 1e-6
        first[0] = -0.0
    half = write_model(loaded, precision, tmp_path / "half.affect")
    whole_size = len(write_native_weights(loaded, "fp32"))
    before = predict(load(write_model(loaded, "fp32", tmp_path / "exact.affect")), ROWS)
    rounded(loaded, precision)
    whole = write_model(loaded, "fp32", tmp_path / "rounded.affect")
    answers = predict(load(half), ROWS)
    np.testing.assert_array_equal(answers, predict(load(whole), ROWS))
    assert not np.array_equal(answers, before)
    assert len(write_native_weights(loaded, precision)) < 0.66 * whole_size


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_both_engines_have_the_same_weights(
    checkpoint: Callable[[str], Path], tmp_path: Path, precision: str
) -> None:
    out = tmp_path / "x.affect"
    report = export_checkpoint(
        checkpoint("bert"), out, precision=precision, engines=["native", "onnxruntime"]
    )
    assert report.precision == affectrt.load(out).info.precision == precision
    of_native, of_onnx = report.heads
    assert of_native.mean_logit_difference > 0
    assert of_onnx.mean_logit_difference == pytest.approx(of_native.mean_logit_difference, rel=0.3)
    bound = {"fp16": 2e-3, "bf16": 2e-2}[precision]
    assert of_onnx.max_logit_difference < bound * max(1.0, of_onnx.largest_logit)
    texts = [text for text, _ in ROWS]
    of_engines = [affectrt.load(out, backend=b).predict_logits(texts) for b in ("native",
                  "onnxruntime")]  # fmt: skip
    np.testing.assert_allclose(*of_engines, atol=1e-4)
    assert verify(out, checkpoint("bert")).differences == ()


def test_weights_beyond_float16_are_refused(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=r"'w' has values up to 70000, .* use precision 'bf16'"):
        to_half(torch.tensor([1.0, -7e4]), "fp16", "w")
    assert torch.isfinite(to_half(torch.tensor([7e4]), "bf16", "w")).all()


def test_damaged_halves_are_named(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load as load_tensors
    from safetensors.torch import save

    loaded = load_checkpoint(checkpoint("bert"))
    tensors = load_tensors(write_native_weights(loaded, "fp16"))
    names = [name for name, tensor in tensors.items() if tensor.dtype == torch.float16]
    for name in (next(n for n in names if "word_emb" in n), next(n for n in names if "query" in n)):
        for value in (float("nan"), float("-inf")):
            damaged = {k: v.clone() for k, v in tensors.items()}
            damaged[name].view(-1)[7] = value
            path = write_model(loaded, "fp16", tmp_path / "x.affect", bytes(save(damaged)))
            with pytest.raises(ModelFileError, match=f"'{name}' has NaN or infinite values"):
                load(path)


def test_groups_of_four_bits_are_multiplied_as_they_are(tmp_path: Path) -> None:
    import onnx_ir as ir

    random = np.random.default_rng(3)
    for outputs, inputs in ((5, 32), (48, 80), (3, 200)):
        matrix = random.normal(size=(outputs, inputs)).astype(np.float32)
        matrix[0, :GROUP] = 0.0
        codes, scales = quantised_groups(matrix)
        assert np.abs(codes).max() <= 7
        whole = (codes * scales[..., None]).reshape(outputs, -1)[:, :inputs]
        assert np.abs(whole - matrix).mean() < 0.1
        packed, flat = pack_groups(matrix)
        x = ir.Value(
            name="x", shape=ir.Shape([None, inputs]), type=ir.TensorType(ir.DataType.FLOAT)
        )
        constants = [
            ir.Value(name=name, const_value=ir.tensor(array, name=name),
                     shape=ir.Shape(array.shape), type=ir.TensorType(ir.tensor(array).dtype))
            for name, array in (("codes", packed), ("scales", flat))
        ]  # fmt: skip
        node = ir.node(
            "MatMulNBits", [x, *constants], domain="com.microsoft",
            attributes={"K": inputs, "N": outputs, "bits": 4, "block_size": GROUP},
        )  # fmt: skip
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        node.outputs[0].shape = ir.Shape([None, outputs])
        graph = ir.Graph([x], node.outputs, nodes=[node], initializers=constants,
                         opset_imports={"": 20, "com.microsoft": 1}, name="g")  # fmt: skip
        image = ir.to_proto(ir.Model(graph, ir_version=9)).SerializeToString()
        session = onnxruntime.InferenceSession(image, providers=["CPUExecutionProvider"])
        rows = random.normal(size=(4, inputs)).astype(np.float32)
        (got,) = session.run(None, {"x": rows})
        np.testing.assert_allclose(got, rows @ whole.T, atol=2e-5 * inputs)


def test_int4_through_export(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    import zipfile
    from collections import Counter

    import onnx

    sizes = {}
    for precision in ("int8", "int4"):
        out = tmp_path / f"{precision}.affect"
        report = export_checkpoint(
            checkpoint("bert"), out, precision=precision, engines=["onnxruntime"],
            enforce_bars=False,
        )  # fmt: skip
        sizes[precision] = out.stat().st_size
    (head,) = report.heads
    assert 0 < head.mean_logit_difference < 0.2 * head.largest_logit
    assert head.max_neighbour_difference < 1e-4 * max(1.0, head.largest_logit)
    assert sizes["int4"] < sizes["int8"]
    with zipfile.ZipFile(out) as archive:
        graph = onnx.load_from_string(archive.read("model.onnx")).graph
    operators = Counter(node.op_type for node in graph.node)
    assert operators["MatMulNBits"] == 12  # six a layer
    assert affectrt.load(out).info.precision == "int4"


def test_what_the_formats_are_not_for(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"precision": "int4", "engines": ["native"]}, "'int4' is onnxruntime's alone"),
        ({"precision": "fp16", "smooth": 0.5}, "for int8's sake"),
        ({"precision": "bf16", "max_flips": 0.1}, "searches from 'int8' upwards"),
    ]
    for options, message in wrong:
        with pytest.raises(ExportError, match=message):
            export_checkpoint(checkpoint("bert"), out, **options)
    assert not out.exists()


@pytest.mark.parametrize("precision", list(HALVES))
def test_speech_in_halves(speech_checkpoint: Path, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "x.affect"
    report = export_checkpoint(speech_checkpoint, out, precision=precision, enforce_bars=False)
    for head in report.heads:
        assert 0 < head.mean_logit_difference < 2e-2 * max(1.0, head.largest_logit)
        assert head.max_neighbour_difference == 0.0
    assert affectrt.load(out).info.precision == precision

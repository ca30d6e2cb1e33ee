"""Forms of the ONNX graph for other runtimes: calibrated QDQ, and engines of TensorRT-RTX."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
import onnx
from conftest import Made

import affectrt
from affectrt.errors import ExportError, UnsupportedError
from affectrt.export import export_checkpoint
from affectrt.export.bundle import read_manifest
from affectrt.export.checkpoint import load_checkpoint
from affectrt.export.data import read_data
from affectrt.export.onnx_export import cpu_session, export_onnx, run_session, to_bytes
from affectrt.export.parity import make_feeds, source_answers
from affectrt.export.static_qdq import quantize_static
from affectrt.export.tensorrt_engines import KEY, find_engine

TEXTS = ["so happy and glad", "no", "the train was late, and I was furious about that story"]


pytestmark = pytest.mark.usefixtures("one_thread", "traced_once")


@pytest.fixture(scope="module")
def tuned(made: Made) -> Path:
    return made(
        "tuned_bert_single_label",
        lambda folder: em.write_tuned_checkpoint(folder, "bert", "single_label"),
    )


def test_scales_are_calibrated_on_data(tuned: Path, tmp_path: Path) -> None:
    rows = em.toy_rows(200, 2, "single_label")
    data = em.write_jsonl(tmp_path / "rows.jsonl", rows)
    wanted = None
    for method in ("minmax", "percentile", "entropy"):
        out = tmp_path / f"{method}.affect"
        report = export_checkpoint(
            tuned, out, precision="int8-static", data=data, calibration=method, enforce_bars=False
        )
        (head,) = report.heads
        assert head.backend == "onnxruntime"
        assert head.max_neighbour_difference < 1e-4  # scales are constants
        assert head.metrics["accuracy"]["product"] > head.metrics["accuracy"]["source"] - 0.05
        with zipfile.ZipFile(out) as archive:
            graph = onnx.load_from_string(archive.read("model.onnx")).graph
        operators = Counter(node.op_type for node in graph.node)
        assert operators["QuantizeLinear"] >= 8
        assert operators["MatMulInteger"] == operators["DynamicQuantizeLinear"] == 0
        assert read_manifest(out)["recipe"].split("--calibration ")[1].startswith(method)
        logits = affectrt.load(out).predict_logits(TEXTS)
        assert wanted is None or not np.array_equal(logits, wanted)
        wanted = logits


def test_forms_that_do_not_go_together(tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match="onnxruntime's alone"):
        export_checkpoint(tuned, out, precision="int8-static", engines=["native"])
    with pytest.raises(ExportError, match="'best' is not one of minmax, percentile, entropy"):
        export_checkpoint(tuned, out, precision="int8-static", calibration="best")
    for options in ({"precision": "int8"}, {"engines": ["native"]}, {}):
        with pytest.raises(ExportError, match="compiled of a float32 graph"):
            export_checkpoint(tuned, out, tensorrt=["8.9"], **options)
    assert not out.exists()


def test_engines_need_their_library(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    out = tmp_path / "x.affect"
    with pytest.raises(UnsupportedError, match=r"affectrt\[tensorrt\]"):
        export_checkpoint(tuned, out, engines=["onnxruntime"], tensorrt=["8.9"])
    assert not out.exists()


def test_engines_are_compiled_without_a_gpu(tuned: Path, tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    out = tmp_path / "x.affect"
    report = export_checkpoint(tuned, out, engines=["onnxruntime"], tensorrt=["8.9"])
    assert report.passed
    (listed,) = read_manifest(out)[KEY]
    assert (listed["capability"], listed["version"]) == ("8.9", trt.__version__)
    assert listed["tokens"] == [1, 64, 64]
    assert len(find_engine(out, "8.9", trt.__version__)) > 10_000
    affectrt.load(out, require_parity=True)
    with pytest.raises(UnsupportedError, match=r"TensorRT-RTX .*, which 0\.1 cannot read"):
        find_engine(out, "8.9", "0.1")
    with pytest.raises(UnsupportedError, match=r"capabilities 8\.9, and this GPU has 9\.0"):
        find_engine(out, "9.0", trt.__version__)
    with pytest.raises(UnsupportedError, match=r"does not compile for compute capability 9\.0"):
        export_checkpoint(tuned, tmp_path / "y.affect", engines=["onnxruntime"], tensorrt=["9.0"])
    plain = tmp_path / "plain.affect"
    export_checkpoint(tuned, plain)
    with pytest.raises(UnsupportedError, match="has no engines; export it with --tensorrt"):
        find_engine(plain, "8.9", trt.__version__)


def test_int8_engines_are_of_a_symmetric_graph(tuned: Path, tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    data = em.write_jsonl(tmp_path / "rows.jsonl", em.toy_rows(200, 2, "single_label"))
    out = tmp_path / "x.affect"
    report = export_checkpoint(
        tuned, out, precision="int8-static", data=data, tensorrt=["8.9", "12.0"]
    )
    assert report.passed
    engines = read_manifest(out)[KEY]
    assert [(e["capability"], e["precision"]) for e in engines] == [
        ("8.9", "int8"),
        ("12.0", "int8"),
    ]
    assert len(find_engine(out, "12.0", trt.__version__)) > 10_000


def test_the_symmetric_graph_decides_as_the_checkpoint(tuned: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(tuned)
    rows = read_data(
        em.write_jsonl(tmp_path / "rows.jsonl", em.toy_rows(200, 2, "single_label")), loaded.heads
    )
    answers = source_answers(loaded, rows)
    image = quantize_static(
        to_bytes(export_onnx(loaded)), loaded, answers, "minmax", (), symmetric=True
    )
    graph = onnx.load_from_string(image).graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    zeros = [values[n.input[2]] for n in graph.node if "quantize" in n.op_type.lower()]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    (logits,) = run_session(cpu_session(image), make_feeds(answers.passes, loaded)).values()
    (wanted,) = answers.logits.values()
    assert np.array_equal(logits.argmax(1), wanted.argmax(1))

"""The way to ONNX through optimum, which has an environment of its own (`affectrt[optimum]`)."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

import command

from affectrt.errors import ExportError, UnsupportedError
from affectrt.export import export_checkpoint
from affectrt.export.optimum_export import check_optimum

try:
    check_optimum()
    HERE = True
except UnsupportedError:
    HERE = False


def test_without_it_the_error_says_how_to_get_it(
    tiny_bert: Path, tmp_path: Path, run: command.Run
) -> None:
    if HERE:
        pytest.skip("optimum is installed here")
    with pytest.raises(UnsupportedError, match=r'pip install "affectrt\[optimum\]"'):
        export_checkpoint(tiny_bert, tmp_path / "x.affect", via="optimum")
    out = str(tmp_path / "x.affect")
    code, _, stderr = run("export", str(tiny_bert), "--out", out, "--via", "optimum")
    assert code != 0
    assert "affectrt[optimum]" in stderr
    with pytest.raises(ExportError, match="via 'x' is not one of torch, optimum"):
        export_checkpoint(tiny_bert, tmp_path / "x.affect", via="x")
    assert not (tmp_path / "x.affect").exists()


@pytest.mark.skipif(not HERE, reason="optimum asks for transformers < 4.58, tests for newer ones")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_its_graph_passes_the_same_bars(tiny_bert: Path, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "x.affect"
    report = export_checkpoint(
        tiny_bert, out, precision=precision, via="optimum", enforce_bars=precision == "fp32"
    )
    assert report.heads[0].backend == "onnxruntime"
    assert report.heads[0].max_neighbour_difference < 1e-4
    with pytest.raises(ExportError, match="neither smooth nor a search"):
        export_checkpoint(tiny_bert, out, precision="int8", max_flips=0.1, via="optimum")
    with pytest.raises(ExportError, match="engine 'onnxruntime' runs"):
        export_checkpoint(tiny_bert, out, engines=["native"], via="optimum")

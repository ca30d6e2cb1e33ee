"""Smoothing: the network stays the same function, and outliers cost int8 less."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
from conftest import Made
from safetensors.torch import load_file, save_file

from affectrt.errors import ExportError
from affectrt.export import export_checkpoint, load_checkpoint
from affectrt.export.data import builtin_data
from affectrt.export.parity import source_answers
from affectrt.export.smooth import smooth

pytestmark = pytest.mark.usefixtures("one_thread")


def with_outliers(source: Path, target: Path) -> Path:
    """The same function, two channels of whose attention output are a hundred times the others'."""
    folder = Path(shutil.copytree(source, target))
    tensors = load_file(folder / "model.safetensors")
    for layer in (0, 1):
        at = f"bert.encoder.layer.{layer}.attention."
        for channel in (3, 17):
            tensors[f"{at}self.value.weight"][channel] *= 100
            tensors[f"{at}self.value.bias"][channel] *= 100
            tensors[f"{at}output.dense.weight"][:, channel] /= 100
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_outliers_cost_less_when_smoothed(made: Made, tmp_path: Path) -> None:
    plain = made("export_bert", lambda folder: em.write_random_checkpoint(folder, "bert"))
    spiked = with_outliers(plain, tmp_path / "spiked")

    def error(folder: Path, **options: Any) -> float:
        report = export_checkpoint(
            folder, tmp_path / "x.affect", precision="int8", enforce_bars=False, overwrite=True,
            **options,
        )  # fmt: skip
        return report.heads[0].mean_logit_difference

    usual, hurt, mended = error(plain), error(spiked), error(spiked, smooth=0.5)
    assert hurt > 1.5 * usual
    assert mended < 1.15 * usual


@pytest.mark.parametrize("family", ["bert", "mpnet", "modernbert"])
def test_answers_stay_the_same(family: str, made: Made) -> None:
    folder = made(f"export_{family}", lambda out: em.write_random_checkpoint(out, family))
    checkpoint = load_checkpoint(folder)
    before = source_answers(checkpoint, builtin_data())
    done = smooth(checkpoint, before)
    layers = 4 if family == "modernbert" else 2
    # ModernBERT's norms count too, but for the first layer's, which it has not.
    assert len(done) == (3 * layers - 1 if family == "modernbert" else layers)
    after = source_answers(checkpoint, builtin_data())
    scale = np.abs(before.logits["logits"]).max()
    np.testing.assert_allclose(after.logits["logits"], before.logits["logits"], atol=1e-4 * scale)


def test_what_cannot_be_smoothed(made: Made, tmp_path: Path) -> None:
    folder = made("export_bert", lambda out: em.write_random_checkpoint(out, "bert"))
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match="above 0 and at most 1"):
        export_checkpoint(folder, out, precision="int8", smooth=1.5)
    with pytest.raises(ExportError, match="for int8's sake"):
        export_checkpoint(folder, out, smooth=0.5)
    deberta = made("export_deberta", lambda out: em.write_random_checkpoint(out, "deberta"))
    with pytest.raises(ExportError, match="nothing of deberta can be smoothed"):
        export_checkpoint(deberta, out, precision="int8", smooth=0.5)

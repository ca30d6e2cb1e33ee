"""Speech models as ONNX graphs: waveforms and filter banks, with and without a mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_packs as made_up

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

import affectrt
from affectrt import features
from affectrt.errors import ModelFileError, UnsupportedError
from affectrt.export.bundle import write_bundle

RATE = 16000
WAVEFORM = {"kind": "waveform", "normalise": True}
FBANK = {"kind": "fbank", "num_mels": 8, "window": "hanning", "scale": 32768, "frames": 90}
FBANK |= {"mean": 6.0, "deviation": 4.0}


def weights(rows: int, columns: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(5).normal(0, 1, (rows, columns)).astype(np.float32)


def graph(width: int, *, mask: bool = False, labels: int = 3, name: str = "logits") -> bytes:
    """Mean over time of the features, and of their squares, times a matrix; of samples (`width` 0)
    as of frames. A mask weighs what it is given."""
    shape = ["clips", "time"] if width == 0 else ["clips", "time", width]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    constants = [numpy_helper.from_array(np.asarray([1], np.int64), "time_axis")]
    constants += [numpy_helper.from_array(weights(2 * max(width, 1), labels), "w")]
    nodes, source = [], "x"
    if width == 0:
        constants.append(numpy_helper.from_array(np.asarray([2], np.int64), "last"))
        nodes.append(helper.make_node("Unsqueeze", ["x", "last"], ["frames"]))
        source = "frames"
    if mask:
        inputs.append(
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["clips", "time"])
        )
        constants.append(numpy_helper.from_array(np.asarray([2], np.int64), "last_mask"))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["m", "last_mask"], ["m3"]),
            helper.make_node("Mul", [source, "m3"], ["masked"]),
        ]
        source = "masked"
    nodes += [
        helper.make_node("ReduceMean", [source, "time_axis"], ["mean"], keepdims=0),
        helper.make_node("Mul", [source, source], ["square"]),
        helper.make_node("ReduceMean", ["square", "time_axis"], ["power"], keepdims=0),
        helper.make_node("Concat", ["mean", "power"], ["pooled"], axis=1),
        helper.make_node("MatMul", ["pooled", "w"], [name]),
    ]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["clips", labels])
    made = helper.make_graph(nodes, "g", inputs, [output], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    image: bytes = model.SerializeToString()
    return image


def write(path: Path, audio: dict[str, Any], onnx: bytes) -> Path:
    manifest = {
        "name": "sound",
        "modality": "speech",
        "model": {"family": "wav2vec2", "precision": "fp32", "onnx": "model.onnx"},
        "input": {"sample_rate": RATE, "max_seconds": 2.0, "features": audio},
        "heads": [
            {
                "name": "emotion",
                "task": "single_label",
                "input": "audio",
                "output": "logits",
                "labels": ["anger", "calm", "fear"],
            }
        ],
    }
    write_bundle(path, manifest, {"config.json": b"{}", "model.onnx": onnx})
    return path


def expected(rows: Any) -> Any:
    pooled = np.concatenate([rows.mean(0), (rows * rows).mean(0)])
    return pooled @ weights(len(pooled), 3)


@pytest.mark.parametrize("mask", [False, True])
def test_waveforms(tmp_path: Path, mask: bool) -> None:
    model = affectrt.load(write(tmp_path / "x.affect", WAVEFORM, graph(0, mask=mask)))
    assert model.info.backend == "onnxruntime"
    clips = [made_up.clip(s, i) for i, s in enumerate((0.02, 0.5, 1.7, 3.1))]
    together = model(clips, sample_rate=RATE)
    logits = model.predict_logits(clips, sample_rate=RATE)
    for i, clip in enumerate(clips):
        assert model(clip, sample_rate=RATE) == together[i]
        filled = np.pad(clip, (0, max(0, 1600 - len(clip))))
        parts = np.array_split(filled, 2) if i == 3 else [filled]
        wanted = np.mean(
            [expected(features.normalised_waveform(p, RATE)[:, None]) for p in parts], axis=0
        )
        np.testing.assert_allclose(logits[i], wanted, rtol=1e-4, atol=1e-4)
    assert len(together[3].windows) == 2


def test_filter_banks(tmp_path: Path) -> None:
    model = affectrt.load(write(tmp_path / "x.affect", FBANK, graph(8)), num_threads=1)
    for seconds in (0.01, 0.5, 1.9):
        clip = made_up.clip(seconds)
        filled = np.pad(clip, (0, max(0, 400 - len(clip))))
        rows = features.fbank(filled, RATE, 8, window="hanning", scale=32768.0)[:90]
        rows = np.pad(rows, ((0, 90 - len(rows)), (0, 0)))
        logits = model.predict_logits(clip, sample_rate=RATE)
        np.testing.assert_allclose(logits[0], expected((rows - 6.0) / 4.0), rtol=1e-4, atol=1e-4)


def test_graphs_that_do_not_fit(tmp_path: Path) -> None:
    for number, (audio, onnx, message) in enumerate(
        (
            (WAVEFORM, graph(8), r"one input \(float \[clips, samples\]\)"),
            (FBANK, graph(0), r"one input \(float \[clips, frames, 8\]\)"),
            (WAVEFORM, graph(0, labels=4), r"\(float \[clips, 3\]\) is needed"),
            (WAVEFORM, graph(0, name="other"), "no output 'logits', which head 'emotion' reads"),
        )
    ):
        path = write(tmp_path / f"{number}.affect", audio, onnx)
        with pytest.raises(ModelFileError, match=message):
            affectrt.load(path)
    path = write(tmp_path / "w.affect", WAVEFORM, graph(0))
    with pytest.raises(UnsupportedError, match=r"weights\.safetensors"):
        affectrt.load(path, backend="native")
    with pytest.raises(UnsupportedError, match="gives no embeddings"):
        affectrt.load(path).embed(made_up.clip(0.5), sample_rate=RATE)

"""Existing ONNX models of sound: packed as they are, with features that are proved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import speech_packs as made_up

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime

import affectrt
from affectrt.errors import ExportError
from affectrt.export import Source, describe_checkpoint, export_checkpoint, verify
from affectrt.export.bundle import read_manifest

RATE = 16000
MELS, FRAMES = 80, 100
WHISPER = "whisper_log_mel,normalise=true,silence=before"
FLOAT = onnx.TensorProto.FLOAT
Array = npt.NDArray[np.float32]


def tensor(name: str, *shape: Any, kind: int = FLOAT) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, list(shape))


def save(file: Path, inputs: list[Any], nodes: list[Any], constants: dict[str, Any],
         labels: int = 2) -> Path:  # fmt: skip
    held = [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    graph = onnx.helper.make_graph(nodes, "g", inputs, [tensor("logits", "n", labels)], held)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), file)
    return file


def whisper_shaped(file: Path, last: str = "Sigmoid", **shape: Any) -> Path:
    """Bands of the last and the first half, weighed: what stands where matters."""
    node, random = onnx.helper.make_node, np.random.default_rng(3)
    weight = random.normal(0, 0.05, (FRAMES * MELS, 2)).astype(np.float32)
    return save(
        file,
        [tensor("input_features", "n", shape.get("mels", MELS), shape.get("frames", FRAMES))],
        [
            node("Reshape", ["input_features", "flat"], ["row"]),
            node("MatMul", ["row", "weight"], ["dense"]),
            node(last, ["dense"], ["logits"]),
        ],
        {"flat": np.asarray([0, -1], np.int64), "weight": weight},
    )


def waveform_shaped(file: Path, *shape: Any, mask: bool = False) -> Path:
    """Means of the upper half and of squares."""
    node = onnx.helper.make_node
    axes = list(range(1, len(shape)))
    inputs = [tensor("input_values", *shape)]
    read = "input_values"
    nodes = []
    if mask:
        inputs.append(tensor("attention_mask", "n", "samples", kind=onnx.TensorProto.INT64))
        nodes += [node("Cast", ["attention_mask"], ["real"], to=FLOAT),
                  node("Mul", ["input_values", "real"], ["masked"])]  # fmt: skip
        read = "masked"
    nodes += [
        node("Relu", [read], ["above"]),
        node("ReduceMean", ["above"], ["one"], axes=axes, keepdims=0),
        node("Mul", [read, read], ["squares"]),
        node("ReduceMean", ["squares"], ["two"], axes=axes, keepdims=0),
        node("Unsqueeze", ["one", "last"], ["one_"]),
        node("Unsqueeze", ["two", "last"], ["two_"]),
        node("Concat", ["one_", "two_"], ["logits"], axis=1),
    ]
    return save(file, inputs, nodes, {"last": np.asarray([1], np.int64)})


def clips() -> list[Array]:
    """With an offset, so that silence is not what it was when all is normalised."""
    return [made_up.clip(seconds, i) + np.float32(0.01) for i, seconds in enumerate((0.3, 1.0))]


def test_a_whisper_shaped_graph_that_gives_scores(tmp_path: Path, run: Any) -> None:
    """As turn detectors are: silence before the clip, and all of it normalised."""
    from transformers import WhisperFeatureExtractor

    graph, out = whisper_shaped(tmp_path / "turns.onnx"), tmp_path / "x.affect"
    code, text, err = run("export", graph, "--out", out, "--features", WHISPER,
                          "--labels", "done,loud")  # fmt: skip
    assert code == 0, err
    assert "passed" in text
    assert "ends in a Sigmoid" in text
    manifest = read_manifest(out)
    assert manifest["input"]["features"] == {
        "kind": "whisper_log_mel", "num_mels": MELS, "frames": FRAMES, "normalise": True,
        "silence": "before",
    }  # fmt: skip
    assert manifest["parity"]["features"]["max_difference"] < 1e-4
    model: Any = affectrt.load(out, require_parity=True)
    assert model.info.heads[0].task == "multi_label"

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    extractor = WhisperFeatureExtractor(feature_size=MELS, chunk_length=1)
    for clip in clips():
        heard = np.pad(clip, (RATE - len(clip), 0))
        heard = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
        made = extractor(heard, sampling_rate=RATE, return_tensors="np").input_features
        (wanted,) = session.run(None, {"input_features": made.astype(np.float32)})
        scores = model.predict_proba(clip, sample_rate=RATE)
        np.testing.assert_allclose(scores[0], wanted[0], atol=2e-4)
    source = Source(graph, features=WHISPER, labels=("done", "loud"))
    assert verify(out, source).differences == ()
    described = describe_checkpoint(source)
    assert described.kind == "an existing ONNX model"
    assert described.engines == ("onnxruntime",)


@pytest.mark.parametrize("features", ["whisper_log_mel", "whisper_log_mel,silence=before"])
def test_features_of_a_graph_of_any_length(features: str, tmp_path: Path) -> None:
    """Without a number of frames a clip is heard alone, so that there is no silence."""
    node = onnx.helper.make_node
    graph = save(
        tmp_path / "free.onnx", [tensor("x", 1, MELS, "frames")],
        [node("ReduceMean", ["x"], ["mean"], axes=[2], keepdims=0),
         node("MatMul", ["mean", "weight"], ["logits"])],
        {"weight": np.random.default_rng(4).normal(size=(MELS, 2)).astype(np.float32)},
    )  # fmt: skip
    report = export_checkpoint(Source(graph, features=features), tmp_path / "x.affect")
    assert report.passed
    assert report.heads[0].task == "single_label"
    assert "frames" not in read_manifest(tmp_path / "x.affect")["input"]["features"]


@pytest.mark.parametrize(
    ("shape", "mask"), [(("n", "samples"), True), (("n", 1, "samples"), False)]
)
def test_waveforms_by_their_preprocessor(
    shape: tuple[Any, ...], mask: bool, tmp_path: Path
) -> None:
    """In optimum's layout: labels are in config.json."""
    from transformers import Wav2Vec2FeatureExtractor

    folder = tmp_path / "exported"
    folder.mkdir()
    waveform_shaped(folder / "model.onnx", *shape, mask=mask)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    config = {"model_type": "wav2vec2", "id2label": {"0": "calm", "1": "loud"}}
    (folder / "config.json").write_text(json.dumps(config))
    out = tmp_path / "x.affect"
    assert export_checkpoint(folder, out).passed
    manifest = read_manifest(out)
    assert manifest["input"]["features"] == {"kind": "waveform", "normalise": True}
    assert manifest["heads"][0]["labels"] == ["calm", "loud"]
    assert "preprocessor_config.json" in manifest["files"]
    clip = clips()[0]
    heard = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
    wanted = [np.maximum(heard, 0).mean(), (heard**2).mean()]
    model: Any = affectrt.load(out)
    logits = model.predict_logits(clip, sample_rate=RATE)[0]
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert verify(out, folder).differences == ()


def test_bands_of_kaldi_by_their_preprocessor(tmp_path: Path) -> None:
    from transformers import ASTFeatureExtractor

    node, random = onnx.helper.make_node, np.random.default_rng(5)
    graph = save(
        tmp_path / "ast.onnx", [tensor("input_values", "n", FRAMES, 32)],
        [node("ReduceMean", ["input_values"], ["mean"], axes=[1], keepdims=0),
         node("MatMul", ["mean", "weight"], ["dense"]), node("Softmax", ["dense"], ["logits"])],
        {"weight": random.normal(size=(32, 2)).astype(np.float32)},
    )  # fmt: skip
    extractor = ASTFeatureExtractor(max_length=FRAMES, num_mel_bins=32, mean=-6.0, std=3.0)
    extractor.save_pretrained(tmp_path)
    report = export_checkpoint(graph, tmp_path / "x.affect")
    assert report.passed
    assert report.heads[0].task == "single_label"
    assert "Softmax" in report.notes[0]


def test_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    graph = whisper_shaped(tmp_path / "a.onnx")
    free = waveform_shaped(tmp_path / "b.onnx", "n", "samples")

    def refused(file: Path, match: str, features: str | None = None, **options: Any) -> None:
        with pytest.raises(ExportError, match=match):
            export_checkpoint(Source(file, features=features), out, **options)
        assert not out.exists()

    refused(graph, r"looks like Whisper's log-mel of 1 s, .* say it with --features")
    refused(free, r"looks like a waveform, .* say it with --features")
    refused(graph, "does not take kind waveform", "waveform,normalise=true")
    refused(free, "does not take kind whisper_log_mel", "whisper_log_mel,num_mels=80")
    refused(graph, r"does not take .* num_mels 40", "whisper_log_mel,num_mels=40")
    refused(free, "normalise=true or normalise=false", "waveform")
    refused(free, "sample_rate cannot be 'x'", "waveform,normalise=true,sample_rate=x")
    refused(graph, "silence cannot be 'left'", "whisper_log_mel,silence=left")
    refused(graph, "whisper_log_mel has frames, .*, not 'mean'", "whisper_log_mel,mean=1")
    refused(graph, "the kind is not one of", "mfcc")
    refused(graph, "packed as it is", WHISPER, precision="int8")
    refused(graph, "packed as it is", WHISPER, engines=["native"])
    refused(graph, "for models of text alone", WHISPER, prune_vocabulary=graph)
    fixed = waveform_shaped(tmp_path / "c.onnx", "n", 16000)
    refused(fixed, "takes exactly 16000 samples", "waveform,normalise=true")
    node = onnx.helper.make_node
    state = save(tmp_path / "d.onnx", [tensor("x", "n", "samples"), tensor("state", 2)],
                 [node("Add", ["x", "state"], ["logits"])], {})  # fmt: skip
    refused(state, "inputs x .*, state .*carries state", "waveform,normalise=true")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"feature_extractor_type": "ClapFeatureExtractor"})
    )
    refused(graph, "'ClapFeatureExtractor'; ASTFeatureExtractor, ")

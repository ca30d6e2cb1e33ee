"""Existing ONNX models of sound: what another exporter made, packed as it is, and proved against
itself, run by Python's onnxruntime on features that transformers computes.

Taken are classifiers of one input, a waveform ``[clips, samples]`` (or ``[clips, 1, samples]``), or
log-mel bands ``[clips, mels, frames]`` as Whisper's, or ``[clips, frames, mels]`` as AST's. A graph
does not say how its features are computed: ``preprocessor_config.json`` beside it does, or the
source's `features`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from affectrt.errors import ExportError

from .audio_classifiers import FAMILIES, hears, read_preprocessor
from .checkpoint_files import file_sha256
from .onnx_export import FP32_TOLERANCE, cpu_session, run_session
from .onnx_graphs import (
    head_of,
    inputs_of,
    parameters_of,
    precision_of,
    read_config,
    read_graph,
    reason_of,
    serialised,
    shape_of,
)
from .sources import Source
from .speech_checkpoint import FRAMES_PER_SECOND, SAMPLE_RATE, SpeechCheckpoint
from .speech_onnx import FEATURES

_MASK = "attention_mask"
_MAX_SECONDS = 30.0
_WHISPER_MELS = (80, 128)
_KEYS = {
    "whisper_log_mel": {"num_mels", "frames", "normalise", "silence"},
    "waveform": {"normalise", "sample_rate"},
}
_EXAMPLES = "'whisper_log_mel' (with normalise=true, silence=before) or 'waveform,normalise=true'"


class OnnxSound(nn.Module):
    """A graph in Python's onnxruntime, with the interface of a checkpoint's network."""

    def __init__(self, image: bytes, output: str) -> None:
        super().__init__()
        self.image, self.output = image, output
        self.precision = "fp32"
        self.remark: str | None = None
        self.parameter_count = 0
        self._session = cpu_session(image)
        self._masked = any(value.name == _MASK for value in self._session.get_inputs())
        (self._input,) = (v.name for v in self._session.get_inputs() if v.name != _MASK)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits by output name, of features ``float32 [clips, frames, mels]``, or of a waveform
        ``[clips, samples]``."""
        feeds: dict[str, Any] = {self._input: features.numpy()}
        if self._masked:
            feeds[_MASK] = np.ones(features.shape[:2], np.int64)
        values = run_session(self._session, feeds)[self.output]
        return {self.output: torch.from_numpy(np.asarray(values, np.float32))}


def hears_sound(graph: Path) -> bool:
    """Whether a graph takes floats and no tokens. (False where it cannot be read: whoever reads it
    next says why.)"""
    try:
        inputs = inputs_of(onnx.load(str(graph), load_external_data=False))
    except Exception:  # protobuf's DecodeError, OSError, ...
        return False
    tokens = any(value.name == "input_ids" for value in inputs)
    return not tokens and any(shape_of(value) for value in inputs)


def load_onnx_sound(source: Source, graph: Path) -> SpeechCheckpoint:
    """An existing graph as a checkpoint.

    Raises:
        NotFoundError: its weights are missing.
        ExportError: it is no classifier of clips, or nothing says how its features are computed.
    """
    folder = source.path if source.path.is_dir() else graph.parent
    config = read_config(folder)
    model = read_graph(graph)
    heard = _heard(model, source.path)
    features, rate, extractor = _features(source, folder, heard)
    seconds = features.get("frames", _MAX_SECONDS * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
    original = serialised(model, source.path)
    head, remark = head_of(source, config, model, input="audio")
    _lead_in(model, heard, features)
    for value in model.graph.output:
        if value.name == head.output:
            value.type.tensor_type.shape.dim[1].dim_value = len(head.labels)
    try:
        network = OnnxSound(serialised(model, source.path), head.output)
    except Exception as error:  # onnxruntime has a tree of exceptions of its own
        raise ExportError(f"{graph}: onnxruntime cannot load it: {reason_of(error)}") from None
    network.precision, network.remark = precision_of(model), remark
    network.parameter_count = parameters_of(model)
    config.setdefault("model_type", "onnx")
    checkpoint = SpeechCheckpoint(
        path=source.path,
        model=network,
        heads=(head,),
        config=config,
        features=features,
        sample_rate=rate,
        max_seconds=min(seconds, 60.0),
        source_sha256=file_sha256(graph),
        extractor=extractor,
    )
    _check_rewritten(original, heard, checkpoint)
    return checkpoint


def _heard(model: onnx.ModelProto, where: Path) -> Any:
    """The input of features.

    Raises:
        ExportError: there are others, or its shape is none that is known.
    """
    inputs = [value for value in inputs_of(model) if value.name != _MASK]
    said = ", ".join(f"{v.name} {shape_of(v) or '(no floats)'}" for v in inputs)
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        raise ExportError(
            f"{where}: reads sound and has the inputs {said}; one of float32 is needed, a "
            "waveform or its features, and beside it perhaps attention_mask. What carries state "
            "from call to call, or takes a rate, is no classifier of clips"
        )
    shape = shape_of(inputs[0])
    if len(shape) not in (2, 3):
        raise ExportError(
            f"{where}: has the input {said}; [clips, samples], [clips, mels, frames] and [clips, "
            "frames, mels] are known"
        )
    if _is_waveform(shape) and isinstance(shape[-1], int):
        raise ExportError(
            f"{where}: takes exactly {shape[-1]} samples; export it with a free number of samples"
        )
    return inputs[0]


def _is_waveform(shape: list[Any]) -> bool:
    return len(shape) == 2 or shape[1] == 1


def _bands_first(shape: list[Any], mels: Any) -> bool:
    return shape[1] == mels or (shape[2] != mels and shape[1] in _WHISPER_MELS)


def _features(source: Source, folder: Path, heard: Any) -> tuple[dict[str, Any], int, Any]:
    """What the graph hears, as FORMAT.md has it; the rate in Hz; transformers' extractor of it.

    Raises:
        ExportError: nothing says it, or it does not fit the input's shape.
    """
    shape, where = shape_of(heard), source.path
    if source.features is not None:
        features, rate = _told(source.features, shape, where)
        extractor = _extractor(features, rate)
    elif any((folder / f"{n}_config.json").is_file() for n in ("preprocessor", "processor")):
        features, rate, extractor = _preprocessed(folder, shape)
    else:
        raise ExportError(
            f"{where}: reads sound, {heard.name} {shape}{_guess(shape)}, and a graph does not "
            "say how that is computed. Put the preprocessor_config.json of its feature extractor "
            f"beside it, or say it with --features: {_EXAMPLES}"
        )
    if not _fits(features, shape):
        said = ", ".join(f"{key} {value}" for key, value in features.items())
        raise ExportError(f"{where}: the input {heard.name} {shape} does not take {said}")
    return features, rate, extractor


def _preprocessed(folder: Path, shape: list[Any]) -> tuple[dict[str, Any], int, Any]:
    """As `_features`, by the feature extractor's settings."""
    settings = read_preprocessor(folder)
    kind = settings.get("feature_extractor_type")
    known = {one.__name__: family for family, (_, one) in FAMILIES.items()}
    if kind not in known:
        raise ExportError(
            f"{folder / 'preprocessor_config.json'}: feature_extractor_type is {kind!r}; "
            f"{', '.join(sorted(known))} are computed here"
        )
    mels = settings.get("num_mel_bins", settings.get("feature_size"))
    frames = None if _is_waveform(shape) else shape[2 if _bands_first(shape, mels) else 1]
    if not isinstance(frames, int):
        chunk_s = settings.get("chunk_length", 30)
        frames = settings.get("max_length") or FRAMES_PER_SECOND * int(chunk_s)
    whole = SimpleNamespace(
        model_type=known[kind], num_mel_bins=mels, max_length=frames,
        max_source_positions=frames // 2, conv_kernel=(), conv_stride=(),
    )  # fmt: skip
    features, _ = hears(folder, whole, settings)
    return features, int(settings["sampling_rate"]), FAMILIES[known[kind]][1].from_dict(settings)


def _extractor(features: dict[str, Any], rate: int) -> Any:
    """transformers' of what `_told` gave; None of Whisper's log-mel of clips of any length."""
    if features["kind"] == "waveform":
        wave: Any = Wav2Vec2FeatureExtractor
        return wave(sampling_rate=rate, do_normalize=features["normalise"])
    if "frames" not in features:
        return None
    log_mel: Any = WhisperFeatureExtractor
    seconds = math.ceil(features["frames"] / FRAMES_PER_SECOND)
    return log_mel(feature_size=features["num_mels"], chunk_length=seconds)


def _guess(shape: list[Any]) -> str:
    if _is_waveform(shape):
        return ", which looks like a waveform"
    if not _bands_first(shape, 0):
        return ""
    return (
        f", which looks like Whisper's log-mel of {shape[2] / FRAMES_PER_SECOND:g} s"
        if isinstance(shape[2], int) else ", which looks like Whisper's log-mel"
    )  # fmt: skip


def _told(said: str, shape: list[Any], where: Path) -> tuple[dict[str, Any], int]:
    """``KIND,KEY=VALUE,...`` of FORMAT.md's features, with what the input's shape says."""
    kind, *rest = (word.strip() for word in said.split(","))
    if kind not in _KEYS:
        raise ExportError(
            f"{where}: --features {said!r}: the kind is not one of {', '.join(_KEYS)}"
        )
    features: dict[str, Any] = {"kind": kind}
    if kind == "whisper_log_mel" and len(shape) == 3:
        bands = 1 if _bands_first(shape, 0) else 2
        features["num_mels"] = shape[bands]
        if isinstance(shape[3 - bands], int):
            features["frames"] = shape[3 - bands]
    for word in rest:
        key, _, value = word.partition("=")
        if key not in _KEYS[kind]:
            raise ExportError(
                f"{where}: --features {said!r}: {kind} has {', '.join(sorted(_KEYS[kind]))}, not "
                f"{key!r}"
            )
        try:
            features[key] = json.loads(value)
        except ValueError:
            features[key] = value
    if kind == "waveform" and "normalise" not in features:
        raise ExportError(
            f"{where}: --features {said!r}: say normalise=true or normalise=false as well, whether "
            "the network hears clips of mean 0 and variance 1"
        )
    rate = features.pop("sample_rate", SAMPLE_RATE)
    for key, value in {**features, "sample_rate": rate}.items():
        wanted = {"normalise": bool, "kind": str, "silence": str}.get(key, int)
        fits = type(value) is wanted and (key != "silence" or value in ("before", "after"))
        if not fits or (wanted is int and value < 1):
            raise ExportError(f"{where}: --features {said!r}: {key} cannot be {value!r}")
    return features, rate


def _fits(features: dict[str, Any], shape: list[Any]) -> bool:
    if features["kind"] == "waveform" or _is_waveform(shape):
        return features["kind"] == "waveform" and _is_waveform(shape)
    mels, frames = features.get("num_mels"), features.get("frames")
    bands = 1 if _bands_first(shape, mels) else 2
    wanted = ((shape[bands], mels), (shape[3 - bands], frames))
    return isinstance(mels, int) and all(
        size == needed or not isinstance(size, int) for size, needed in wanted
    )


def _lead_in(model: onnx.ModelProto, heard: Any, features: dict[str, Any]) -> None:
    """Let the graph begin with ``[clips, frames, mels]`` or ``[clips, samples]``, in place."""
    shape, name = shape_of(heard), heard.name
    sizes: list[Any] = ["clips", "samples"]
    if features["kind"] != "waveform":
        sizes = ["clips", features.get("frames", "frames"), features["num_mels"]]
        if not _bands_first(shape, features["num_mels"]):
            return
        node = helper.make_node("Transpose", [FEATURES], [name], "affectrt/bands", perm=[0, 2, 1])
    elif len(shape) == 2:
        return
    else:
        axis = numpy_helper.from_array(np.asarray([0, 1, -1], np.int64), "affectrt.channel")
        model.graph.initializer.append(axis)
        node = helper.make_node("Reshape", [FEATURES, axis.name], [name], "affectrt/channel")
    first = isinstance(shape[0], int)
    given = helper.make_tensor_value_info(
        FEATURES, TensorProto.FLOAT, [shape[0] if first else sizes[0], *sizes[1:]]
    )
    others = [value for value in model.graph.input if value.name != name]
    del model.graph.input[:]
    model.graph.input.extend([given, *others])
    model.graph.node.insert(0, node)


def _check_rewritten(original: bytes, heard: Any, checkpoint: SpeechCheckpoint) -> None:
    """That what was put before the graph and left out behind it changes nothing."""
    network, features, head = checkpoint.model, checkpoint.features, checkpoint.heads[0]
    waveform, shape = features["kind"] == "waveform", shape_of(heard)
    frames = checkpoint.sample_rate if waveform else features.get("frames", 300)
    sizes = (1, frames) if waveform else (1, frames, checkpoint.num_mels)
    given = np.random.default_rng(21).normal(0.0, 0.5, sizes).astype(np.float32)
    theirs = given
    if len(shape) == 3 and waveform:
        theirs = given[:, None]
    elif not waveform and _bands_first(shape, checkpoint.num_mels):
        theirs = np.ascontiguousarray(given.transpose(0, 2, 1))
    where = str(checkpoint.path)
    try:
        feeds = {heard.name: theirs, _MASK: np.ones((1, frames), np.int64)}
        wanted = run_session(cpu_session(original), feeds)[head.output]
        (got,) = network(torch.from_numpy(given)).values()
    except Exception as error:
        raise ExportError(f"{where}: onnxruntime cannot run it: {reason_of(error)}") from None
    if network.remark is not None:
        got = torch.sigmoid(got) if head.task == "multi_label" else torch.softmax(got, dim=1)
    difference = float(np.abs(got.numpy() - wanted).max())
    if not difference <= FP32_TOLERANCE * max(1.0, float(np.abs(wanted).max())):
        raise ExportError(
            f"{where}: answers otherwise by {difference:.3g} behind features as affectrt lays them "
            "out, or NaN, on made-up ones: please report it with the graph"
        )

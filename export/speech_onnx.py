"""Audio classifiers -> ONNX float32 through torch's dynamo exporter, checked against torch.

The graph takes `FEATURES`, ``float32 [clips, samples]`` or ``[clips, frames, mels]``, the clips of
one length and their number free, and gives one output ``float32 [clips, labels]`` per head. It has
no mask: see `affectrt.export.audio_classifiers`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from affectrt.metrics import FloatArray

from .onnx_export import check_logits, cpu_session, run_session, to_bytes, trace
from .quantize_onnx import quantize_onnx
from .speech_checkpoint import SpeechCheckpoint

FEATURES = "features"
# Layers that stay float32 in an int8 graph, by the end of their names: what is pooled and read by
# heads, as in models of text, and WavLM's gates and table of distances, which are small.
_KEPT = ("projector", "gru_rel_pos_linear", "rel_attn_embed")
_SHORT_S, _LONG_S = 0.1, 2.0


class _Traced(nn.Module):
    def __init__(self, checkpoint: SpeechCheckpoint) -> None:
        super().__init__()
        self.model: Any = checkpoint.model
        self.outputs = tuple(head.output for head in checkpoint.heads)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(features)
        return tuple(logits[output] for output in self.outputs)


def speech_graph(checkpoint: SpeechCheckpoint, precision: str) -> bytes:
    """The graph of an audio classifier, ``"fp32"`` or ``"int8"`` (see `quantize_onnx`).

    Raises:
        ExportError: torch cannot trace the network, or the float graph's logits differ from
            torch's.
        UnsupportedError: more than 2 GB of weights.
    """
    graph = export_speech_onnx(checkpoint)
    image = to_bytes(graph)
    check_against_torch(image, checkpoint)
    if precision == "fp32":
        return image
    # The float graph is checked first, so that what remains is quantisation alone.
    kept = (name.removesuffix("_t").removesuffix(".weight") for name in graph.graph.initializers)
    quantize_onnx(graph, keep=[name for name in kept if name.endswith(_KEPT)])
    return to_bytes(graph)


def export_speech_onnx(checkpoint: SpeechCheckpoint) -> ir.Model:
    """Trace a checkpoint into an ONNX model (float32, opset 20)."""
    example = _probes(checkpoint)[0]
    fixed = example.ndim == 3
    outputs = [head.output for head in checkpoint.heads]
    what = f"{checkpoint.path}: this {checkpoint.family} model"
    free = (0,) if fixed else (0, 1)
    model = trace(_Traced(checkpoint), {FEATURES: example}, free, outputs, what)
    sizes = example.shape[1:] if fixed else ("samples",)
    model.graph.inputs[0].shape = ir.Shape(["clips", *sizes])
    for value, head in zip(model.graph.outputs, checkpoint.heads, strict=True):
        value.shape = ir.Shape(["clips", len(head.labels)])
    return model


def check_against_torch(image: bytes, checkpoint: SpeechCheckpoint) -> float:
    """The largest |logit difference| between a float32 graph and torch on made-up features.

    Raises:
        ExportError: it is beyond the tolerance.
    """
    session = cpu_session(image)
    worst = 0.0
    for features in _probes(checkpoint):
        with torch.inference_mode():
            answers = checkpoint.model(torch.from_numpy(features))
        wanted = {output: values.numpy() for output, values in answers.items()}
        got = run_session(session, {FEATURES: features})
        where = f"{features.shape[0]} clips of {features.shape[1]} frames or samples"
        worst = max(worst, check_logits(got, wanted, str(checkpoint.path), where))
    return worst


def _probes(checkpoint: SpeechCheckpoint) -> list[FloatArray]:
    """Features of several lengths; the first with several clips, so that tracing cannot mistake
    their number for a constant 1."""
    random = np.random.default_rng(20)
    frames = checkpoint.features.get("frames")
    if frames is not None:
        shapes: list[tuple[int, ...]] = [(n, frames, checkpoint.num_mels) for n in (2, 1)]
    else:
        rate = checkpoint.sample_rate
        short, long = int(_SHORT_S * rate), int(_LONG_S * rate)
        shapes = [(2, 3 * short + 7), (1, short), (3, short + 160), (1, long + 1)]
    return [random.normal(0.0, 1.0, shape).astype(np.float32) for shape in shapes]

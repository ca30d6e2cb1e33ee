"""ONNX float32 -> int8 with scales that were calibrated: onnxruntime's static QDQ form.

Unlike `quantize_onnx`, activations have one scale a tensor, fixed beforehand from texts of the
user's (by their range, a percentile of it, or the bound with the least divergence). It costs
accuracy where activations have outliers, and is what accelerators and other runtimes read. Scales
are constants, so that an answer does not depend on its neighbours here either.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from affectrt.errors import ExportError

from .checkpoint import LoadedCheckpoint
from .onnx_export import Feeds, input_names
from .parity import SourceAnswers, make_feeds

METHODS = ("minmax", "percentile", "entropy")
# Rows that scales are fitted on; more move them by less than the method's own noise.
CALIBRATION_ROWS = 128
_BATCH = 8
_TOKENS = 128  # longer rows are left out: all activations of all batches are held at once


class _Reader:
    """Batches as onnxruntime's calibration asks for them."""

    def __init__(self, batches: Sequence[Feeds], names: Sequence[str]) -> None:
        self._batches: Iterator[Any] = iter([{n: b[n] for n in names} for b in batches])

    def get_next(self) -> Feeds | None:
        found: Feeds | None = next(self._batches, None)
        return found


def _batches(checkpoint: LoadedCheckpoint, source: SourceAnswers) -> list[Feeds]:
    """Batches of one shape: onnxruntime stacks what it sees of them."""
    short = [one for one in source.passes if len(one) <= _TOKENS] or list(source.passes)
    rows = short[:CALIBRATION_ROWS]
    whole = make_feeds(rows, checkpoint)
    size = min(_BATCH, len(rows))
    starts = range(0, len(rows) - size + 1, size)
    return [{name: values[i : i + size] for name, values in whole.items()} for i in starts]


def quantize_static(
    image: bytes,
    checkpoint: LoadedCheckpoint,
    source: SourceAnswers,
    method: str,
    keep: Sequence[str],
    *,
    symmetric: bool = False,
) -> bytes:
    """A float32 graph with QuantizeLinear and DequantizeLinear around its products.

    Weights are symmetric with a scale per channel and 7 bits (see `affectrt.export.quantize`),
    activations asymmetric with a scale per tensor.

    Args:
        source: its passes are what is calibrated on, the first `CALIBRATION_ROWS` of at most 128
            tokens.
        method: of `METHODS`.
        keep: products by the name of their weights, to leave in float32.
        symmetric: as TensorRT wants it: no zero points, weights of 8 bits, biases in float32.

    Raises:
        ExportError: an unknown method, or onnxruntime cannot quantise this graph.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
    )
    from onnxruntime.quantization import (
        quantize_static as quantize,
    )

    known = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    if method not in known:
        raise ExportError(f"calibration {method!r} is not one of {', '.join(METHODS)}")
    batches = _batches(checkpoint, source)
    model = onnx.load_from_string(image)
    excluded = [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and any(name.startswith(tuple(keep)) for name in node.input if name)
    ]
    with tempfile.TemporaryDirectory(prefix="affectrt-qdq-") as scratch:
        plain, done = Path(scratch) / "plain.onnx", Path(scratch) / "done.onnx"
        plain.write_bytes(image)
        root = (
            logging.getLogger()
        )  # its advice on pre-processing goes there; the graph is processed
        level = root.level
        root.setLevel(logging.ERROR)
        try:
            quantize(
                str(plain),
                str(done),
                _Reader(batches, input_names(checkpoint)),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                reduce_range=not symmetric,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=excluded,
                calibrate_method=known[method],
                extra_options={
                    "MatMulConstBOnly": True,
                    "CalibTensorRangeSymmetric": False,
                    "ActivationSymmetric": symmetric,
                    "QuantizeBias": not symmetric,
                },
            )
        except Exception as error:  # onnxruntime's tools raise whatever they meet
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise ExportError(
                f"{checkpoint.path}: onnxruntime cannot quantise this graph: {reason}"
            ) from error
        finally:
            root.setLevel(level)
        return done.read_bytes()

"""Weights for the native engine: ``weights.safetensors`` of a model file.

Tensors keep the checkpoint's own names and row-major layout (the engine packs them into panels for
the CPU that it finds itself on). In the int8 precisions every matrix of the encoder's layers
becomes ``NAME.weight`` int8 ``[N, K]`` with ``NAME.weight.scale`` float32 ``[N]``, and every large
table ``NAME`` int8 ``[rows, width]`` with ``NAME.scale`` float32 ``[rows]``. What follows the
pooling, layer norms, biases and small tables stay float32: little work, much effect on the logits.
In fp16 and bf16 the same matrices and tables are F16 or BF16, which the engine widens to float32
when it loads them (matrices) or reads them (rows of tables): half of the file, float32's speed.

The bits of the activations stand at ``affectrt.activation_bits`` of the file's metadata: "8" (codes
of weights within 63), "16" (within 127), or "8 16:NAME ..." where matrices of these names have 16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save
from safetensors.torch import save as save_torch

from affectrt.errors import ExportError

from .checkpoint import LoadedCheckpoint, PooledEncoder
from .quantize import EMBEDDING_MAX_CODE, WEIGHT_MAX_CODE, quantize_rows
from .token_classifier import Answers, ArrangedTokens

# model_type -> parts of names of the matrices that the engine multiplies in every layer.
NATIVE_FAMILIES: dict[str, tuple[str, ...]] = {
    "bert": (".attention.", ".intermediate.dense.", ".output.dense."),
    "electra": (".attention.", ".intermediate.dense.", ".output.dense.", "embeddings_project."),
    "roberta": (".attention.", ".intermediate.dense.", ".output.dense."),
    "xlm-roberta": (".attention.", ".intermediate.dense.", ".output.dense."),
    "distilbert": (".attention.", ".ffn."),
    "mpnet": (".attention.", ".intermediate.dense.", ".output.dense."),
    "modernbert": (".attn.", ".mlp."),
}
# What config.json calls the activations; "hidden_act" where not said.
_ACTIVATION_KEYS = {
    "distilbert": ("activation",),
    "modernbert": ("hidden_activation", "classifier_activation"),
}
# precision -> largest weight code and bits of the activations; None: floats
_PRECISIONS: dict[str, tuple[int, int] | None] = {
    "fp32": None,
    "fp16": None,
    "bf16": None,
    "int8": (WEIGHT_MAX_CODE, 8),
    "int8-accurate": (127, 16),
}
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
ACTIVATIONS = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"}
_OF_A_LAYER = re.compile(r"(^|\.)layers?\.(\d+)\.")
# Matrices of one layer that are multiplied as one.
_TOGETHER = (
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("q", "k", "v"),
    ("q_proj", "k_proj", "v_proj"),
)
Quantiser = Callable[
    [str, npt.NDArray[np.float32], int], tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]
]
# Tables below this stay float32, as in the ONNX graph.
_MIN_TABLE_VALUES = 4096


def native_engine_runs(checkpoint: LoadedCheckpoint) -> bool:
    """Whether the native engine computes this family, activation and kind of positions."""
    config = checkpoint.config
    keys = _ACTIVATION_KEYS.get(checkpoint.family, ("hidden_act",))
    positions = config.get("position_embedding_type") or "absolute"
    return (
        checkpoint.family in NATIVE_FAMILIES
        and not isinstance(checkpoint.model, ArrangedTokens | Answers)
        and all(config.get(key, "gelu") in ACTIVATIONS for key in keys)
        and positions == "absolute"
        and _plain_rotation(config)
        and not config.get("is_decoder")
        and not config.get("add_cross_attention")
    )


def write_native_weights(
    checkpoint: LoadedCheckpoint,
    precision: str,
    *,
    keep: Collection[str] = (),
    wide: Collection[str] = (),
    quantise: Quantiser | None = None,
) -> bytes:
    """The bytes of ``weights.safetensors``.

    Args:
        checkpoint: of one of `NATIVE_FAMILIES`.
        precision: ``"fp32"``; ``"fp16"`` and ``"bf16"``: stored in 16 bits;
            ``"int8"``: 7-bit weight codes, multiplied with 8-bit activations;
            ``"int8-accurate"``: 8-bit weight codes, multiplied with 16-bit activations.
        keep: names of weights (with or without ``.weight``) to leave in float32. Query, key and
            value are one product: keeping one of a layer keeps all three.
        wide: likewise, of ``"int8"``: those that are as in ``"int8-accurate"``.
        quantise: `quantize_rows` with the weight's name before, for who keeps what it gave.

    Raises:
        ExportError: an unknown precision, a checkpoint that the engine does not compute, or
            weights beyond float16's range.
    """
    if not native_engine_runs(checkpoint):
        raise ExportError(
            f"{checkpoint.path}: the native engine does not compute model_type "
            f"{checkpoint.family!r} with this config; it does {', '.join(NATIVE_FAMILIES)} with "
            f"absolute positions and one of the activations {', '.join(sorted(ACTIVATIONS))}"
        )
    return to_safetensors(
        float_tensors(checkpoint),
        precision,
        is_matrix=lambda name: is_layer_matrix(name, checkpoint.family),
        keep=keep,
        wide=wide,
        quantise=quantise,
    )


def to_safetensors(
    tensors: dict[str, npt.NDArray[np.float32]],
    precision: str,
    *,
    is_matrix: Callable[[str], bool],
    keep: Collection[str] = (),
    wide: Collection[str] = (),
    quantise: Quantiser | None = None,
) -> bytes:
    """Tensors as the engine reads them, in one of the precisions of `write_native_weights`.

    Args:
        tensors: float32, by the names of the checkpoint.
        is_matrix: which of them the engine multiplies in layers. A convolution ``[N, channels,
            taps]`` keeps its shape and has a scale for each of its N outputs.
        keep, wide, quantise: as for `write_native_weights`.
    """
    if precision not in _PRECISIONS:
        raise ExportError(f"precision {precision!r} is not one of {', '.join(_PRECISIONS)}")
    if precision in HALVES:
        return _halved(tensors, precision, is_matrix)
    codes_and_bits = _PRECISIONS[precision]
    if codes_and_bits is None:
        return bytes(save(tensors))
    max_code, bits = codes_and_bits
    kept, widened = with_partners(tensors, keep), with_partners(tensors, wide)
    words = [str(bits)]
    result: dict[str, npt.NDArray[np.generic]] = {}
    for name, tensor in tensors.items():
        matrix = tensor.ndim > 1 and is_matrix(name) and name not in kept
        table = is_table(name, tensor) and name not in kept
        if matrix or table:
            most = max_code if matrix else EMBEDDING_MAX_CODE
            if matrix and bits == 8 and name in widened:
                most = EMBEDDING_MAX_CODE
                words.append(f"16:{name.removesuffix('.weight')}")
            rows = tensor.reshape(len(tensor), -1)
            codes, scales = quantise(name, rows, most) if quantise else quantize_rows(rows, most)
            result[name] = codes.reshape(tensor.shape)
            result[f"{name}.scale"] = scales
        else:
            result[name] = tensor
    # One entry only: safetensors writes several in random order, and files must be reproducible.
    return bytes(save(result, {"affectrt.activation_bits": " ".join(words)}))


def _halved(
    tensors: dict[str, npt.NDArray[np.float32]],
    precision: str,
    is_matrix: Callable[[str], bool],
) -> bytes:
    result = {}
    for name, tensor in tensors.items():
        whole = torch.from_numpy(tensor)
        if (tensor.ndim > 1 and is_matrix(name)) or is_table(name, tensor):
            result[name] = to_half(whole, precision, name)
        else:
            result[name] = whole
    return bytes(save_torch(result))


def to_half(values: torch.Tensor, precision: str, name: str) -> torch.Tensor:
    """float32 rounded to ``"fp16"`` or ``"bf16"``; `name` is for errors.

    Raises:
        ExportError: a value beyond float16's range, 65504.
    """
    half = values.to(HALVES[precision])
    if not torch.isfinite(half).all():
        raise ExportError(
            f"weight {name!r} has values up to {float(values.abs().max()):g}, beyond the 65504 "
            "of float16: use precision 'bf16', or 'fp32'"
        )
    return half


def float_tensors(checkpoint: LoadedCheckpoint) -> dict[str, npt.NDArray[np.float32]]:
    """What the engine reads, float32, under the names of the checkpoint's own file."""
    model = checkpoint.model
    pooled = isinstance(model, PooledEncoder)
    source = model if pooled else model.get_submodule("classifier")
    tensors = {}
    for name, tensor in source.state_dict().items():
        # A pooled checkpoint's heads read the tokens themselves, not the encoder's own pooler.
        if not tensor.is_floating_point() or (pooled and ".pooler." in name):
            continue
        if isinstance(model, PooledEncoder) and _is_beyond(name, model):
            continue
        tensors[name] = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
    return tensors


def _is_beyond(name: str, model: PooledEncoder) -> bool:
    """Whether it stands behind the deepest layer that a head reads."""
    layer = _OF_A_LAYER.search(name)
    if layer is not None:
        return int(layer[2]) >= model.depth
    return "final_norm." in name and model.depth < model.layers


def is_table(name: str, tensor: npt.NDArray[np.float32]) -> bool:
    """Whether a tensor is a table of embeddings that is worth codes."""
    return name.endswith("_embeddings.weight") and tensor.size >= _MIN_TABLE_VALUES


def is_layer_matrix(name: str, family: str) -> bool:
    """Whether a tensor is one of the matrices that the engine multiplies in layers."""
    return (
        name.endswith(".weight")
        and any(part in name for part in NATIVE_FAMILIES[family])
        and ("embeddings_project" in name or _OF_A_LAYER.search(name) is not None)
    )


def _plain_rotation(config: dict[str, Any]) -> bool:
    """Whether rotary positions, if there are any, turn as far as they say, without scaling."""
    rotations = config.get("rope_parameters") or {}
    kinds = {(one or {}).get("rope_type", "default") for one in rotations.values()}
    return kinds <= {"default"} and not config.get("rope_scaling")


def with_partners(tensors: Collection[str], names: Collection[str]) -> set[str]:
    """Those of `tensors` that `names` mean, with or without ``.weight``, and the others of the
    product that they are part of: query, key and value."""
    wanted = {name for name in tensors if name in names or name.removesuffix(".weight") in names}
    for name in sorted(wanted):
        stem, _, last = name.removesuffix(".weight").rpartition(".")
        for group in _TOGETHER:
            if last in group:
                wanted.update(f"{stem}.{one}.weight" for one in group)
    return wanted

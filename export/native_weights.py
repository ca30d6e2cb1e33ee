"""Weights for the native engine: ``weights.safetensors`` of a model file.

Tensors keep the checkpoint's own names and row-major layout (the engine packs them into panels for
the CPU that it finds itself on). In the int8 precisions every matrix of the encoder's layers
becomes ``NAME.weight`` int8 ``[N, K]`` with ``NAME.weight.scale`` float32 ``[N]``, and every large
table ``NAME`` int8 ``[rows, width]`` with ``NAME.scale`` float32 ``[rows]``. What follows the
pooling, layer norms, biases and small tables stay float32: little work, much effect on the logits.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from affectrt.errors import ExportError

from .checkpoint import LoadedCheckpoint, PooledEncoder
from .quantize import EMBEDDING_MAX_CODE, WEIGHT_MAX_CODE, quantize_rows

# model_type -> parts of names of the matrices that the engine multiplies in every layer.
NATIVE_FAMILIES: dict[str, tuple[str, ...]] = {
    "bert": (".attention.", ".intermediate.dense.", ".output.dense."),
    "electra": (".attention.", ".intermediate.dense.", ".output.dense.", "embeddings_project."),
    "roberta": (".attention.", ".intermediate.dense.", ".output.dense."),
    "xlm-roberta": (".attention.", ".intermediate.dense.", ".output.dense."),
    "distilbert": (".attention.", ".ffn."),
    "mpnet": (".attention.", ".intermediate.dense.", ".output.dense."),
}
# precision -> largest weight code and bits of the activations; None: float32
_PRECISIONS: dict[str, tuple[int, int] | None] = {
    "fp32": None,
    "int8": (WEIGHT_MAX_CODE, 8),
    "int8-accurate": (127, 16),
}
_ACTIVATIONS = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"}
# Tables below this stay float32, as in the ONNX graph.
_MIN_TABLE_VALUES = 4096


def native_engine_runs(checkpoint: LoadedCheckpoint) -> bool:
    """Whether the native engine computes this family, activation and kind of positions."""
    config = checkpoint.config
    activation = config.get("activation" if checkpoint.family == "distilbert" else "hidden_act")
    positions = config.get("position_embedding_type") or "absolute"
    return (
        checkpoint.family in NATIVE_FAMILIES
        and (activation is None or activation in _ACTIVATIONS)
        and positions == "absolute"
        and not config.get("is_decoder")
        and not config.get("add_cross_attention")
    )


def write_native_weights(
    checkpoint: LoadedCheckpoint, precision: str, *, keep: Collection[str] = ()
) -> bytes:
    """The bytes of ``weights.safetensors``.

    Args:
        checkpoint: of one of `NATIVE_FAMILIES`.
        precision: ``"fp32"``; ``"int8"``: 7-bit weight codes, multiplied with 8-bit activations;
            ``"int8-accurate"``: 8-bit weight codes, multiplied with 16-bit activations.
        keep: names of weights (with or without ``.weight``) to leave in float32. Query, key and
            value are one product: keeping one of a layer keeps all three.

    Raises:
        ExportError: an unknown precision, or a checkpoint that the engine does not compute.
    """
    if precision not in _PRECISIONS:
        raise ExportError(f"precision {precision!r} is not one of {', '.join(_PRECISIONS)}")
    if not native_engine_runs(checkpoint):
        raise ExportError(
            f"{checkpoint.path}: the native engine does not compute model_type "
            f"{checkpoint.family!r} with this config; it does {', '.join(NATIVE_FAMILIES)} with "
            f"absolute positions and one of the activations {', '.join(sorted(_ACTIVATIONS))}"
        )
    codes_and_bits = _PRECISIONS[precision]
    tensors = _float_tensors(checkpoint)
    if codes_and_bits is None:
        return bytes(save(tensors))
    max_code, bits = codes_and_bits
    kept = _kept(tensors, keep)
    result: dict[str, npt.NDArray[np.generic]] = {}
    for name, tensor in tensors.items():
        is_matrix = _is_layer_matrix(name, tensor, checkpoint.family) and name not in kept
        is_table = (
            name.endswith("_embeddings.weight")
            and tensor.size >= _MIN_TABLE_VALUES
            and name not in kept
        )
        if is_matrix or is_table:
            codes, scales = quantize_rows(tensor, max_code if is_matrix else EMBEDDING_MAX_CODE)
            result[name] = codes
            result[f"{name}.scale"] = scales
        else:
            result[name] = tensor
    # One entry only: safetensors writes several in random order, and files must be reproducible.
    return bytes(save(result, {"affectrt.activation_bits": str(bits)}))


def _float_tensors(checkpoint: LoadedCheckpoint) -> dict[str, npt.NDArray[np.float32]]:
    """What the engine reads, float32, under the names of the checkpoint's own file."""
    model = checkpoint.model
    pooled = isinstance(model, PooledEncoder)
    source = model if pooled else model.get_submodule("classifier")
    tensors = {}
    for name, tensor in source.state_dict().items():
        # A pooled checkpoint's heads read the tokens themselves, not the encoder's own pooler.
        if not tensor.is_floating_point() or (pooled and ".pooler." in name):
            continue
        tensors[name] = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
    return tensors


def _is_layer_matrix(name: str, tensor: npt.NDArray[np.float32], family: str) -> bool:
    return (
        tensor.ndim == 2
        and name.endswith(".weight")
        and any(part in name for part in NATIVE_FAMILIES[family])
        and ("layer." in name or "embeddings_project" in name)
    )


def _kept(tensors: Collection[str], keep: Collection[str]) -> set[str]:
    wanted = {name for name in tensors if name in keep or name.removesuffix(".weight") in keep}
    together = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q", "k", "v"))
    for name in sorted(wanted):
        stem, _, last = name.removesuffix(".weight").rpartition(".")
        for group in together:
            if last in group:
                wanted.update(f"{stem}.{one}.weight" for one in group)
    return wanted

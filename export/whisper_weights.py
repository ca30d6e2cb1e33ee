"""Whisper's encoder for the native engine: ``config.json`` and ``weights.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np

from affectrt.errors import ExportError

from .native_weights import ACTIVATIONS, to_safetensors


def write_whisper_encoder(
    encoder: Any, precision: str, *, positions: int | None = None, keep: Collection[str] = ()
) -> dict[str, bytes]:
    """The files of a `transformers.WhisperEncoder` (``WhisperModel.encoder``) by name.

    In the int8 precisions the layers and the second convolution are integers. The first convolution
    and the positions stay float32: little work and few bytes, and all that follows depends on them.

    Args:
        encoder: its weights and its ``config``.
        precision: as for `write_native_weights`.
        positions: how many of the positions stay, two frames each; the longest clip is then
            shorter and its states are the same. All if not given.
        keep: names of weights (with or without ``.weight``) to leave in float32. Query, key and
            value are one product: keeping one of a layer keeps all three.

    Raises:
        ExportError: an unknown precision, more positions than there are, or an activation that the
            engine does not compute.
    """
    config = encoder.config.to_dict()
    if config["activation_function"] not in ACTIVATIONS:
        raise ExportError(
            f"the native engine does not compute the activation {config['activation_function']!r};"
            f" it does {', '.join(sorted(ACTIVATIONS))}"
        )
    most = int(config["max_source_positions"])
    positions = most if positions is None else positions
    if not 1 <= positions <= most:
        raise ExportError(f"{positions} positions are not possible: the checkpoint has {most}")
    tensors = {
        name: np.ascontiguousarray(tensor.detach().cpu().float().numpy())
        for name, tensor in encoder.state_dict().items()
    }
    table = "embed_positions.weight"
    tensors[table] = np.ascontiguousarray(tensors[table][:positions])
    config["max_source_positions"] = positions
    weights = to_safetensors(
        tensors,
        precision,
        is_matrix=lambda name: name.startswith(("layers.", "conv2.")) and name.endswith(".weight"),
        keep=keep,
    )
    return {
        "config.json": (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        "weights.safetensors": weights,
    }

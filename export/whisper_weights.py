"""Whisper's encoder, alone or with pooling and heads, for the native engine: ``config.json`` and
``weights.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt.errors import ExportError

from .native_weights import ACTIVATIONS, to_safetensors
from .speech_checkpoint import POOLING, SpeechEncoder

Tensors = dict[str, npt.NDArray[np.float32]]


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
    config, tensors = _encoder_parts(encoder, positions)
    return _files(config, tensors, precision, keep)


def write_speech_model(
    model: SpeechEncoder, precision: str, *, keep: Collection[str] = ()
) -> dict[str, bytes]:
    """The files of a `SpeechEncoder` by name: its encoder's, with the tensors of what follows.

    ``pooling.weight`` float32 ``[pooling heads, width]`` and, for each head, ``heads.NAME.weight``
    float32 ``[labels, width]`` and ``heads.NAME.bias`` stay float32 in every precision: little work
    and few bytes, much effect on the logits. ``config.json`` has one key more than a Whisper's::

        "affectrt": {"modality": "speech", "pooling": "attention"}

    Heads, features and licence are the manifest's matter.

    Args:
        model: in its own float32 weights.
        precision, keep: as for `write_whisper_encoder`.

    Raises:
        ExportError: as `write_whisper_encoder`.
    """
    config, tensors = _encoder_parts(model.encoder, None)
    config["dropout"] = 0.0  # of training
    config["affectrt"] = {"modality": "speech", "pooling": POOLING}
    for name, tensor in model.state_dict().items():
        if not name.startswith("encoder."):
            tensors[name] = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
    return _files(config, tensors, precision, keep)


def _encoder_parts(encoder: Any, positions: int | None) -> tuple[dict[str, Any], Tensors]:
    config = encoder.config.to_dict()
    config.pop("_name_or_path", None)  # where the base lay is nobody's business
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
    return config, tensors


def _files(
    config: dict[str, Any], tensors: Tensors, precision: str, keep: Collection[str]
) -> dict[str, bytes]:
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

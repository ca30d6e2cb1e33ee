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
from .speech_checkpoint import SpeechEncoder

Tensors = dict[str, npt.NDArray[np.float32]]
_POSITIONS = "embed_positions.weight"
_INTEGERS = ("layers.", "conv2.")  # what is quantised in the int8 precisions


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

    Of a `compact` model the first convolution is integers like the second in the int8 precisions,
    and positions that are Whisper's sinusoids are left out, since the engine computes them. Heads,
    features and licence are the manifest's matter.

    Args:
        model: in its own float32 weights.
        precision, keep: as for `write_whisper_encoder`.

    Raises:
        ExportError: as `write_whisper_encoder`.
    """
    config, tensors = _encoder_parts(model.encoder, None)
    config["dropout"] = 0.0  # of training
    config["affectrt"] = {"modality": "speech", "pooling": model.pooling_kind}
    for name, tensor in model.state_dict().items():
        if not name.startswith("encoder."):
            tensors[name] = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
    if not model.compact:
        return _files(config, tensors, precision, keep)
    if np.abs(tensors[_POSITIONS] - sinusoids(*tensors[_POSITIONS].shape)).max() < 1e-3:
        del tensors[_POSITIONS]
    return _files(config, tensors, precision, keep, (*_INTEGERS, "conv1."))


def sinusoids(positions: int, width: int) -> npt.NDArray[np.float32]:
    """Whisper's positions, ``[positions, width]``: sines, then cosines, of `width` / 2 rates."""
    rates = 1e-4 ** (np.arange(width // 2) / (width // 2 - 1))
    turns = np.arange(positions)[:, None] * rates
    return np.concatenate([np.sin(turns), np.cos(turns)], 1).astype(np.float32)


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
    tensors[_POSITIONS] = np.ascontiguousarray(tensors[_POSITIONS][:positions])
    config["max_source_positions"] = positions
    return config, tensors


def _files(
    config: dict[str, Any],
    tensors: Tensors,
    precision: str,
    keep: Collection[str],
    integers: tuple[str, ...] = _INTEGERS,
) -> dict[str, bytes]:
    weights = to_safetensors(
        tensors,
        precision,
        is_matrix=lambda name: name.startswith(integers) and name.endswith(".weight"),
        keep=keep,
    )
    return {
        "config.json": (json.dumps(config, indent=2, sort_keys=True) + "\n").encode(),
        "weights.safetensors": weights,
    }

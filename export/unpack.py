"""A model file back to a checkpoint, to fine-tune from or to convert anew."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import load

from affectrt.errors import ExportError, NotFoundError

from .quantize import dequantize_rows

WEIGHTS = "weights.safetensors"
_SCALE, _ROWS = ".scale", ".rows"


def unpack_checkpoint(model: Path, folder: Path) -> Path:
    """Write the checkpoint that the native weights of `model` hold; returns `folder`.

    Weights that were quantised come back as ``code * scale``: the shipped values, not those that
    were trained.

    Raises:
        NotFoundError: there is no such file.
        ExportError: it is no model file, or has no weights of the native engine.
    """
    if not model.is_file():
        raise NotFoundError(f"{model} is missing: a model file (.affect) is needed")
    try:
        with zipfile.ZipFile(model) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        tensors = {
            name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
            for name, tensor in load(entries[WEIGHTS]).items()
        }
        config, tokenizer = entries["config.json"], entries["tokenizer.json"]
    except (zipfile.BadZipFile, SafetensorError) as error:
        raise ExportError(f"{model} cannot be unpacked: {error}") from None
    except KeyError as error:
        raise ExportError(
            f"{model} has no {error.args[0]}: only files with weights of the native engine can "
            "be unpacked"
        ) from None
    if any(name.endswith(_ROWS) for name in tensors):
        raise ExportError(
            f"{model} cannot be unpacked: its vocabulary was pruned; take the checkpoint that it "
            "was made of"
        )
    scales = {name: tensors.pop(name) for name in list(tensors) if name.endswith(_SCALE)}
    for name, scale in scales.items():
        weight = name.removesuffix(_SCALE)
        codes = tensors[weight]
        rows = dequantize_rows(codes.reshape(len(codes), -1), scale)
        tensors[weight] = rows.reshape(codes.shape)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes(config)
    (folder / "tokenizer.json").write_bytes(tokenizer)
    return folder

"""Files of a checkpoint directory: JSON, weights, and the network that they belong to. No code of a
checkpoint is run and nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoConfig

from affectrt.errors import ExportError, NotFoundError

# Attention as products and a softmax: what the ONNX graph is made of. Some versions of transformers
# choose between it and torch's fused function when a network is built, some when it runs.
PLAIN_ATTENTION = {"attn_implementation": "eager"}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"{path} is missing: a checkpoint directory needs it") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ExportError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ExportError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """All tensors of the checkpoint and the SHA-256 over its weight files in name order."""
    index = path / "model.safetensors.index.json"
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ExportError(f'{index} must have a "weight_map" of tensor names to files')
        for name in weight_map.values():
            # By name: the files themselves may be links, as in Hugging Face's own cache.
            if not isinstance(name, str) or Path(name).name != name or name == "..":
                raise ExportError(f"{index} names a shard outside the checkpoint: {name!r}")
        files = sorted({path / name for name in weight_map.values()})
    elif (path / "model.safetensors").is_file():
        files = [path / "model.safetensors"]
    elif (path / "pytorch_model.bin").is_file():
        files = [path / "pytorch_model.bin"]
    else:
        raise NotFoundError(f"{path} has no weights: expected model.safetensors")
    digest = hashlib.sha256()
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            digest.update(file.read_bytes())
        except FileNotFoundError:
            raise NotFoundError(f"{file} is missing: a shard named by {index.name}") from None
        except OSError as error:
            raise ExportError(f"{file} cannot be read: {error.strerror or error}") from None
        tensors.update(read_tensors(file))
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, (
        digest.hexdigest()
    )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of one file, as they are: safetensors, or a pickle under ``weights_only``."""
    try:
        if file.suffix == ".bin":
            found: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
            if not all(isinstance(v, Tensor) for v in found.values()):
                raise ValueError("it holds other things than tensors")
            return found
        with safe_open(file, framework="pt") as reader:
            return {k: reader.get_tensor(k) for k in reader.keys()}  # noqa: SIM118
    except (SafetensorError, RuntimeError, ValueError, OSError, EOFError) as error:
        raise ExportError(f"{file} cannot be read: {error}") from None
    except Exception as error:  # pickle.UnpicklingError and its many relatives
        raise ExportError(f"{file} is refused (weights_only): {error}") from None


def built(
    path: Path,
    weights: dict[str, Tensor],
    build: Callable[[], nn.Module],
    older_name: Callable[[str], str] = str,
) -> nn.Module:
    """The network with its weights. Strict about all that it has; extra tensors (position ids, ...)
    may stay. It is built without memory first: config.json may ask for any size. `older_name` says
    how a tensor may be called in the file instead."""
    try:
        with torch.device("meta"):
            wanted = {name: tensor.shape for name, tensor in build().state_dict().items()}
    except Exception as error:  # transformers raises whatever the values make it raise
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ExportError(
            f"{path / 'config.json'}: transformers cannot build this network: {reason}"
        ) from error
    for name in wanted:
        if name not in weights and older_name(name) in weights:
            weights[name] = weights.pop(older_name(name))
    for name, shape in wanted.items():
        if name not in weights:
            raise ExportError(f"{path}: weight {name!r} is missing from the checkpoint")
        if weights[name].shape != shape:
            raise ExportError(
                f"{path}: weight {name!r} has shape {list(weights[name].shape)}, "
                f"config.json asks for {list(shape)}"
            )
        if weights[name].is_floating_point() and not bool(torch.isfinite(weights[name]).all()):
            raise ExportError(f"{path}: weight {name!r} has NaN or Inf values; retrain or mend it")
    model = build()
    model.load_state_dict({name: weights[name] for name in wanted})
    return model


def network_config(path: Path, config: dict[str, Any]) -> Any:
    """``config.json`` as transformers has it, without what is ours and without code."""
    known = {k: v for k, v in config.items() if k not in ("affectrt", "auto_map", "model_type")}
    try:
        return AutoConfig.for_model(config["model_type"], **known)
    except Exception as error:  # transformers has validators of its own, with their own exceptions
        reason = " ".join(str(error).split()) or repr(error)
        raise ExportError(f"{path / 'config.json'} is refused by transformers: {reason}") from None

"""LoRA adapters (Hu et al. 2021), as `peft` saves them, merged into their base: W + scale * B A.

`peft` is not needed; what it would do that is not done here (DoRA, Conv1D, other adapters) is
refused by name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from affectrt.errors import ExportError, NotFoundError

from .checkpoint_files import read_json, read_tensors, read_weights

ADAPTER_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_PARTS = re.compile(
    r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(\.default)?(\.weight)?"
)
# Settings that change what merging means, where they are set.
_OTHER = ("use_dora", "fan_in_fan_out", "layer_replication", "alora_invocation_tokens")


def is_adapter(folder: Path) -> bool:
    """Whether a directory holds an adapter and not a checkpoint."""
    return (folder / ADAPTER_CONFIG).is_file()


def find_base(adapter: Path, base: Path | None) -> Path:
    """The directory of the base that an adapter belongs to: `base`, or what the adapter names.

    Raises:
        NotFoundError: the adapter names no directory here (nothing is downloaded).
    """
    named = str(read_json(adapter / ADAPTER_CONFIG).get("base_model_name_or_path") or "")
    candidates = [base] if base is not None else [adapter / named, Path(named)] if named else []
    for candidate in candidates:
        if (candidate / "config.json").is_file():
            return candidate
    if base is not None:
        raise NotFoundError(f"{base}: has no config.json; give the directory of the adapter's base")
    raise NotFoundError(
        f"{adapter}: is an adapter of {named or 'a base that it does not name'}, which is no "
        "directory here; give the base's with --base"
    )


def merge(adapter: Path, base: Path, out: Path) -> Path:
    """Write base and adapter as one checkpoint to the directory `out`.

    ``config.json`` and tokenizer files are the adapter's where it has them, else the base's.

    Raises:
        ExportError: an adapter of another kind or another base, or with tensors that are not known.
        NotFoundError: a file is missing.
    """
    settings = read_json(adapter / ADAPTER_CONFIG)
    _check(adapter, settings)
    weights, _ = read_weights(base)
    file = next((adapter / name for name in _WEIGHTS if (adapter / name).is_file()), None)
    if file is None:
        raise NotFoundError(f"{adapter}: has no {_WEIGHTS[0]}")
    pairs: dict[str, dict[str, Tensor]] = {}
    kinds: dict[str, bool] = {}
    for name, tensor in read_tensors(file).items():
        own = name.removeprefix(_PREFIX)
        found = _PARTS.fullmatch(own)
        if found:
            pairs.setdefault(found["module"], {})[found["side"]] = tensor.float()
            kinds[found["module"]] = found["kind"] is not None
        else:  # modules that were trained as they are: heads, biases
            weights[_saved_whole(own, file)] = tensor.float()
    if not pairs:
        raise ExportError(f"{file}: has no lora_A and lora_B")
    for module, sides in sorted(pairs.items()):
        _add(weights, module, sides, _scale(settings, module, sides, file), kinds[module], file)
    out.mkdir(parents=True)
    for folder in (base, adapter):
        for entry in sorted(folder.iterdir()):
            if entry.is_file() and _travels(entry.name):
                target = out / entry.name
                target.unlink(missing_ok=True)
                target.symlink_to(entry.resolve())
    _adjust_labels(out, weights)
    whole = {name: tensor.clone().contiguous() for name, tensor in weights.items()}
    save_file(whole, out / "model.safetensors", metadata={"format": "pt"})
    return out


def _check(adapter: Path, settings: Mapping[str, Any]) -> None:
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise ExportError(
            f"{adapter}: is an adapter of type {kind!r} and only LORA is merged here; merge it "
            "with peft's merge_and_unload() and export the result"
        )
    for key in _OTHER:
        if settings.get(key):
            raise ExportError(
                f"{adapter}: {key} is {settings[key]!r}, which is not merged here; merge it with "
                "peft's merge_and_unload() and export the result"
            )


def _scale(
    settings: Mapping[str, Any], module: str, sides: Mapping[str, Tensor], file: Path
) -> float:
    rank = int(sides["A"].shape[0]) if "A" in sides else 0
    alpha = _of_module(settings.get("alpha_pattern"), module, settings.get("lora_alpha", 8))
    if rank == 0 or not isinstance(alpha, int | float):
        raise ExportError(f"{file}: {module} lacks lora_A, or its lora_alpha is no number")
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _of_module(patterns: object, module: str, usual: object) -> object:
    """The value for a module: patterns are regular expressions for the end of its name."""
    for pattern, value in patterns.items() if isinstance(patterns, Mapping) else ():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return usual


def _saved_whole(own: str, file: Path) -> str:
    name = re.sub(r"\.(modules_to_save|original_module)(\.default)?\.", ".", own)
    name = name.replace(".base_layer.", ".")
    if "lora_" in name or not name.endswith((".weight", ".bias")):
        raise ExportError(f"{file}: {own!r} is no tensor of a LoRA adapter that is known here")
    return name


def _add(
    weights: dict[str, Tensor],
    module: str,
    sides: Mapping[str, Tensor],
    scale: float,
    is_table: bool,
    file: Path,
) -> None:
    name = f"{module}.weight"
    if set(sides) != {"A", "B"} or name not in weights:
        what = "has not both lora_A and lora_B" if name in weights else "is not in the base"
        raise ExportError(f"{file}: {module} {what}; the adapter belongs to another base")
    a, b = sides["A"], sides["B"]
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1]:
        raise ExportError(f"{file}: {module} has lora_A {list(a.shape)} and lora_B {list(b.shape)}")
    added = torch.matmul(b.double(), a.double()) * scale
    added = added.T if is_table else added
    if added.shape != weights[name].shape:
        raise ExportError(
            f"{file}: {module} adds {list(added.shape)} to {list(weights[name].shape)}; the "
            "adapter belongs to another base"
        )
    weights[name] = (weights[name].double() + added).float()


def _travels(name: str) -> bool:
    is_weights = name.endswith((".safetensors", ".bin", ".index.json", ".h5", ".msgpack"))
    return not is_weights and name != ADAPTER_CONFIG


def _adjust_labels(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """As many labels as the merged head has: the base's config.json does not know them."""
    file = folder / "config.json"
    config = read_json(file)
    heads = ("classifier.weight", "classifier.out_proj.weight", "score.weight")
    head = next((weights[name] for name in heads if name in weights), None)
    labels = config.get("id2label")
    if head is None or (isinstance(labels, Mapping) and len(labels) == head.shape[0]):
        return
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(head.shape[0])}
    config["label2id"] = {label: int(i) for i, label in config["id2label"].items()}
    file.unlink()
    file.write_text(json.dumps(config, indent=2) + "\n", "utf-8")

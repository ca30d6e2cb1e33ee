"""Smoothing of activations before they are quantised (SmoothQuant: Xiao et al. 2023, section 4).

A channel whose activations are far larger than the others' takes the resolution of a whole row.
Where a linear map comes before the product that reads it, the channel can be made smaller there and
the weights that read it larger, and the network stays the same function:

* values of attention and the output projection, in every family: attention only mixes tokens;
* a layer norm and what reads it, where nothing else does (ModernBERT; in the other families the
  residual reads the norm as well).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from affectrt.errors import ExportError

from .checkpoint import LoadedCheckpoint
from .onnx_export import torch_logits
from .parity import SourceAnswers, make_feeds

DEFAULT_STRENGTH = 0.5
# Passes that ranges are measured on.
_ROWS, _BATCH = 128, 8
_LEAST = 1e-5

# Ends of names: (what gives a channel, what reads it).
_PAIRS = (
    ("attention.self.value", "attention.output.dense"),
    ("attention.self.value_proj", "attention.output.dense"),
    ("attention.v_lin", "attention.out_lin"),
    ("attention.attn.v", "attention.attn.o"),
    ("attn.Wqkv", "attn.Wo"),
    ("attn_norm", "attn.Wqkv"),
    ("mlp_norm", "mlp.Wi"),
)
_LAYER = re.compile(r"(.*\blayers?\.\d+\.)(.+)")


def smooth(
    checkpoint: LoadedCheckpoint, source: SourceAnswers, strength: float = DEFAULT_STRENGTH
) -> tuple[str, ...]:
    """Change the network of a checkpoint in place; its answers stay the same but for rounding.

    Args:
        source: its passes are what ranges are measured on, the first 128 of them. (Ask for its
            answers before: they are the original's.)
        strength: 0 to 1: how much of the range goes from activations into weights; 0.5 shares it.

    Returns:
        The names of the products whose inputs were smoothed.

    Raises:
        ExportError: `strength` is out of range, or the family has nothing that can be smoothed.
    """
    if not 0.0 < strength <= 1.0:
        raise ExportError(f"smooth is {strength:g}; it must be above 0 and at most 1")
    modules = dict(checkpoint.model.named_modules())
    pairs = list(_pairs(modules))
    if not pairs:
        raise ExportError(
            f"{checkpoint.path}: nothing of {checkpoint.family} can be smoothed; leave --smooth out"
        )
    ranges = _ranges(checkpoint, source, [reader for _, reader in pairs])
    with torch.no_grad():
        for giver, reader in pairs:
            _fold(modules[giver], modules[reader], ranges[reader], strength)
    return tuple(reader for _, reader in pairs)


def _pairs(modules: dict[str, nn.Module]) -> Iterator[tuple[str, str]]:
    for name, module in modules.items():
        found = _LAYER.fullmatch(name)
        if not found:
            continue
        for giver, reader in _PAIRS:
            other = f"{found[1]}{reader}"
            # ModernBERT's first layer has no norm of its own before attention.
            if found[2] == giver and other in modules and not isinstance(module, nn.Identity):
                yield name, other


def _ranges(
    checkpoint: LoadedCheckpoint, source: SourceAnswers, readers: Sequence[str]
) -> dict[str, Tensor]:
    """Largest magnitude of every channel that a product reads, over real tokens."""
    largest: dict[str, Tensor] = {}
    real: list[Tensor] = []

    def watch(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach()
            x = x[real[0]] if x.dim() == 3 else x
            most = x.abs().reshape(-1, x.shape[-1]).amax(dim=0)
            largest[name] = torch.maximum(largest.get(name, most), most)

        return hook

    handles = [
        module.register_forward_pre_hook(watch(name))
        for name, module in checkpoint.model.named_modules()
        if name in set(readers)
    ]
    try:
        picked = sorted(source.passes[:_ROWS], key=len)
        for begin in range(0, len(picked), _BATCH):
            feeds = make_feeds(picked[begin : begin + _BATCH], checkpoint)
            real[:] = [torch.from_numpy(feeds["attention_mask"]).bool()]
            torch_logits(checkpoint, feeds)
    finally:
        for handle in handles:
            handle.remove()
    return largest


def _fold(giver: Any, reader: Any, largest: Tensor, strength: float) -> None:
    columns = reader.weight.abs().amax(dim=0)
    share = largest.clamp(min=_LEAST) ** strength / columns.clamp(min=_LEAST) ** (1.0 - strength)
    share = share.clamp(min=_LEAST)
    share = share / share.log().mean().exp()  # what all channels have in common changes nothing
    reader.weight.mul_(share[None, :])
    width = len(share)
    if isinstance(giver, nn.Linear):  # of a joint projection, the values are its last rows
        giver.weight[-width:].div_(share[:, None])
    else:
        giver.weight.div_(share)
    if giver.bias is not None:
        giver.bias[-width:].div_(share)

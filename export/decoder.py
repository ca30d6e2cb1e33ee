"""Decoder language models as encoders of a text: cut behind a layer, for a linear probe.

What a probe reads is the state behind layer k as transformers' ``hidden_states[k]`` has it: without
the final norm, which stands behind the last layer alone. Attention stays causal, so what a token's
state says is of the text up to it; the pooling is the mean of all tokens or the last one's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from affectrt.errors import ExportError

DECODERS = ("llama", "mistral", "qwen2", "qwen3")
DECODER_POOLINGS = ("mean", "last")
_FINAL_NORM = "final_norm"  # of the key "affectrt" of config.json: whether there is one


def check_pooling(family: str, pooling: str) -> None:
    """Raise ExportError for a pooling that the family has not."""
    decoder = family in DECODERS
    if decoder and pooling not in DECODER_POOLINGS:
        raise ExportError(
            f"pooling {pooling!r}: {family} reads from left to right; pool it by "
            f"{' or '.join(DECODER_POOLINGS)}"
        )
    if not decoder and pooling == "last":
        raise ExportError(
            f"pooling 'last': {family} reads in both directions; pool it by mean or cls"
        )


def cut(config: dict[str, Any], layer: int, layers: int) -> dict[str, Any]:
    """``config.json`` of the first `layer` of `layers` layers of a decoder."""
    kinds = config.get("layer_types")
    cut_kinds = {"layer_types": kinds[:layer]} if isinstance(kinds, list) else {}
    return {**config, **cut_kinds, "num_hidden_layers": layer, _FINAL_NORM: layer == layers}


def as_heads_config(config: dict[str, Any]) -> dict[str, Any]:
    """What `cut` leaves for the key "affectrt"; taken out of `config`."""
    return {_FINAL_NORM: config.pop(_FINAL_NORM)} if _FINAL_NORM in config else {}


def prepare(network: Any, own: dict[str, Any]) -> Any:
    """A decoder as it was built from ``config.json`` with the key "affectrt" `own`."""
    network.config.use_cache = False  # nothing is generated
    if own.get(_FINAL_NORM) is False:
        network.norm = nn.Identity()
    return network


def last_token(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """``[batch, tokens, width]``, padded at the end, to the last real token: ``[batch, width]``."""
    place = attention_mask.sum(1, keepdim=True) - 1
    index = place.unsqueeze(-1).expand(-1, 1, hidden.shape[-1])
    return hidden.gather(1, index).squeeze(1)


def causal_mask(attention_mask: Tensor, reach: int | None = None) -> Tensor:
    """Additive, ``[batch, 1, tokens, tokens]``: nobody sees later tokens, padding or, with `reach`,
    tokens as far away as that."""
    places = torch.arange(attention_mask.shape[1])
    ahead = places[None, :] - places[:, None]
    blocked = ahead > 0
    if reach is not None:
        blocked = blocked | (-ahead >= reach)
    unseen: Tensor = blocked[None, None] | (attention_mask[:, None, None, :] == 0)
    return unseen.to(torch.float32) * torch.finfo(torch.float32).min

"""Hidden states of tokens to one vector a row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from affectrt.errors import ExportError

from .decoder import last_token

# "first": of the tokens of the first segment with its special tokens, which for a single text are
# all of them.
# "last" is of decoders.
POOLINGS = ("mean", "cls", "mean_first", "attention", "attention_first", "last")
OF_FIRST_SEGMENT = ("mean_first", "attention_first")
WITH_ATTENTION = ("attention", "attention_first")
MASKED = -1e4  # of a score: its exponential is 0, in bfloat16 too


VARIANCE_FLOOR = 1e-5  # added before the root: a clip of one token has a slope there, too


class AttentionPooling(nn.Module):
    """Tokens to one vector, each `heads`-th of its columns a mean with weights of its own.

    Head h has the scores ``tokens @ weight[h]``; softmax over a row's tokens makes them
    the weights of columns ``h * width / heads`` to ``(h + 1) * width / heads``. A bias would change
    nothing.

    With `statistics` the standard deviations under the same weights follow the means: attentive
    statistics pooling (Okabe et al. 2018) with `heads` sets of weights.
    """

    def __init__(self, width: int, heads: int, statistics: bool = False) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ExportError(f"{heads} pooling heads do not divide the width {width}")
        self.weight = nn.Parameter(torch.zeros(heads, width))
        self.statistics = statistics

    @property
    def width(self) -> int:
        """Of the pooled vectors."""
        return (2 if self.statistics else 1) * self.weight.shape[1]

    def forward(self, tokens: Tensor, known: Tensor) -> Tensor:
        """``[batch, tokens, width]`` and which tokens there are, ``bool [batch, tokens]``, to
        ``[batch, self.width]``."""
        batch, length, width = tokens.shape
        heads = len(self.weight)
        scores = (tokens @ self.weight.T).float().masked_fill(~known.unsqueeze(-1), MASKED)
        weights = scores.softmax(1).to(tokens.dtype)
        parts = tokens.view(batch, length, heads, width // heads)
        mean = torch.einsum("bth,bthc->bhc", weights, parts)
        if not self.statistics:
            return mean.reshape(batch, width)
        # A sum, since autocast makes products bfloat16, whose squares of deviations are coarse.
        away = (parts - mean.unsqueeze(1)).float().square()
        variance = (weights.float().unsqueeze(-1) * away).sum(1)
        deviation = (variance + VARIANCE_FLOOR).sqrt()
        both = mean.reshape(batch, width), deviation.reshape(batch, width).to(mean.dtype)
        return torch.cat(both, 1)


def pooled(
    kind: str,
    hidden: Tensor,
    attention_mask: Tensor,
    token_type_ids: Tensor | None,
    attention: AttentionPooling | None = None,
) -> Tensor:
    """``[batch, tokens, width]`` to ``[batch, width]``: one of `POOLINGS`, over what is no padding.

    `attention` are the weights of those in `WITH_ATTENTION`.
    """
    if kind == "cls":
        return hidden[:, 0]
    if kind == "last":
        return last_token(hidden, attention_mask)
    known = attention_mask != 0
    if kind in OF_FIRST_SEGMENT and token_type_ids is not None:
        known = known & (token_type_ids == 0)
    if attention is not None:
        result: Tensor = attention(hidden, known)
        return result
    mask = known.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1)

"""Token classifiers of transformers as heads of `token_labels`; models that answer questions.

A head of token labels has ``O``, then ``B-kind`` and ``I-kind`` of each kind; a checkpoint has them
in any order, or without ``B-`` (then a span begins where the kind changes), or with plain tags.
What is missing gets a logit that never wins. Rows of the classifier are put in order, so that the
encoder and everything before stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from affectrt.errors import ExportError

from .checkpoint import HeadSpec, PooledEncoder

# Of a label that the checkpoint does not have: less than any logit, and finite.
NEVER = -1e4
_TAG = re.compile(r"([BIESLU])-(.+)")


def token_labels(names: Sequence[str], where: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The labels of the head, and for each which label of the checkpoint it is; -1: none.

    Raises:
        ExportError: a scheme other than IO and BIO (BIOES, BILOU).
    """
    tags: dict[str, int] = {}
    kinds: list[str] = []
    for i, name in enumerate(names):
        found = _TAG.fullmatch(name)
        if name != "O" and found and found[1] not in "BI":
            raise ExportError(
                f"{where}: label {name!r} is of a scheme with {found[1]}-; O, B- and I- are taken"
            )
        kind = found[2] if found else name
        tags["O" if name == "O" else f"{found[1] if found else 'I'}-{kind}"] = i
        if name != "O" and kind not in kinds:
            kinds.append(kind)
    labels = ("O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))
    return labels, tuple(tags.get(label, -1) for label in labels)


def arranged(weight: Tensor, bias: Tensor, order: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The rows of a classifier in the order of `token_labels`."""
    new_weight = torch.zeros(len(order), weight.shape[1])
    new_bias = torch.full((len(order),), NEVER)
    for row, old in enumerate(order):
        if old >= 0:
            new_weight[row], new_bias[row] = weight[old], bias[old]
    return new_weight, new_bias


def as_pooled(model: Any, base: str, spec: HeadSpec, order: Sequence[int]) -> PooledEncoder:
    """An encoder with a head of tokens that answers as a token classifier does.

    Args:
        model: of transformers, whose classifier, or `qa_outputs`, reads the last hidden states.
        base: the attribute that its encoder is.
    """
    pooled = PooledEncoder(getattr(model, base), [spec], "mean").eval()
    last = model.qa_outputs if hasattr(model, "qa_outputs") else model.classifier
    weight, bias = arranged(last.weight.detach(), last.bias.detach(), order)
    pooled.heads[spec.name].load_state_dict({"weight": weight, "bias": bias})
    return pooled


class ArrangedTokens(nn.Module):
    """A token classifier with more than one layer behind the encoder: as it is, its logits in the
    order of `token_labels`."""

    def __init__(self, model: Any, spec: HeadSpec, order: Sequence[int]) -> None:
        super().__init__()
        self.classifier, self.output = model, spec.output
        self.order = [max(old, 0) for old in order]
        never = torch.tensor([0.0 if old >= 0 else NEVER for old in order])
        self.register_buffer("never", never)
        self.register_buffer("kept", (never == 0.0).float())

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``float32 [batch, tokens, labels]`` by output name."""
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits = self.classifier(input_ids, attention_mask=attention_mask, **extra).logits
        return {self.output: logits[..., self.order] * self.kept + self.never}


class Answers(nn.Module):
    """A question answering model with more than one layer behind the encoder, as it is."""

    def __init__(self, model: Any, spec: HeadSpec) -> None:
        super().__init__()
        self.classifier, self.output = model, spec.output

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``float32 [batch, tokens, 2]``, start and end, by output name."""
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.classifier(input_ids, attention_mask=attention_mask, **extra)
        return {self.output: torch.stack([found.start_logits, found.end_logits], dim=-1)}

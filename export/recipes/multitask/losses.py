"""The loss of each kind of head, for the rows of a batch that have its target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from affectrt.export.checkpoint import HeadSpec

from .inputs import Tokens, token_span
from .mixture import Batch
from .packs import Source

IGNORED = -100
# Of a head's loss beside the others'. Multi-label losses are sums over labels, rare ones raised:
# untrained, an example of `intents` has 30, most others 1 to 5. One of `cause` has 0.7.
LOSS_WEIGHTS = {"emotion": 0.7, "intents": 0.25, "cause": 2.0, "reply_fit": 1.5}


class HeadLoss:
    """What a head is trained towards, with figures of its train data.

    Labels of single- and multi-label heads are weighted by the square root of their rarity. That
    shifts the fitted log-odds by `shift`, which is taken back before a checkpoint is written.
    Regressions are trained on standardised values; `scale` and `centre` undo it.
    """

    def __init__(self, spec: HeadSpec, sources: Sequence[Source]) -> None:
        self.spec = spec
        n = len(spec.labels)
        # As often as it is drawn: frequent examples that are thinned out count for less.
        rows = [
            (e.targets[spec.name], 1.0 if s.keep is None else float(s.keep[i]))
            for s in sources
            for i, e in enumerate(s.examples["train"])
            if spec.name in e.targets
        ]
        self.weight: Tensor | None = None
        self.shift = torch.zeros(n)
        self.bias = torch.zeros(n)  # to start from: the prior
        if spec.task in ("single_label", "ordinal"):
            counts = np.bincount([r[0] for r in rows], [r[1] for r in rows], n) + 1.0
            weight = torch.from_numpy((counts.mean() / counts) ** 0.5).float().clamp(0.25, 4.0)
            self.weight = weight
            self.shift = weight.log()
            self.bias = torch.from_numpy(np.log(counts / counts.sum())).float() + self.shift
        elif spec.task == "multi_label":
            values, keep = np.stack([r[0] for r in rows]), np.array([r[1] for r in rows])
            rate = torch.from_numpy(np.average(values, axis=0, weights=keep)).float()
            self.weight = ((1 - rate) / rate.clamp_min(1e-4)).sqrt().clamp(1.0, 30.0)
            self.shift = self.weight.log()
            self.bias = torch.logit(rate.clamp(1e-3, 1 - 1e-3)) + self.shift
        elif spec.task == "token_labels":
            self.bias[0] = 4.0  # nearly all tokens are O
        elif spec.task == "token_flags":
            self.bias -= 2.0
        elif spec.task == "regression":
            values = np.stack([r[0] for r in rows])
            self.centre = torch.from_numpy(np.nanmean(values, axis=0)).float()
            self.scale = torch.from_numpy(np.nanstd(values, axis=0)).float().clamp_min(1e-3)

    def __call__(self, logits: Tensor, batch: Batch, rows: list[int], tokens: Tokens) -> Tensor:
        """Sum over `rows` of the loss; `logits` are of the whole batch."""
        value = self._sum(logits, batch, rows, tokens)
        return value * LOSS_WEIGHTS.get(self.spec.name, 1.0)

    def _sum(self, logits: Tensor, batch: Batch, rows: list[int], tokens: Tokens) -> Tensor:
        name, task = self.spec.name, self.spec.task
        targets = [batch[i][0].targets[name] for i in rows]
        picked = logits[rows].float()
        if task in ("single_label", "ordinal"):
            assert self.weight is not None
            return nn.functional.cross_entropy(
                picked, torch.tensor(targets), weight=self.weight, reduction="sum"
            )
        if task == "multi_label":
            return nn.functional.binary_cross_entropy_with_logits(
                picked,
                torch.from_numpy(np.stack(targets)),
                pos_weight=self.weight,
                reduction="sum",
            )
        if task == "regression":
            wanted = (torch.from_numpy(np.stack(targets)) - self.centre) / self.scale
            known = ~wanted.isnan()
            return ((picked - wanted.nan_to_num()) ** 2 * known).sum()
        if task == "span":
            return self._span(picked, batch, rows, tokens)
        wanted = self.token_targets(batch, rows, tokens, picked.shape[1])
        if task == "token_labels":
            flat = nn.functional.cross_entropy(
                picked.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none"
            )
            return (flat.sum(1) / (wanted != IGNORED).sum(1).clamp_min(1)).sum() * 2
        known = wanted[..., 0] != IGNORED
        loss = nn.functional.binary_cross_entropy_with_logits(
            picked, wanted.clamp_min(0).float(), reduction="none"
        ).sum(-1)
        return ((loss * known).sum(1) / known.sum(1).clamp_min(1)).sum()

    def _span(self, picked: Tensor, batch: Batch, rows: list[int], tokens: Tokens) -> Tensor:
        """Start and end over [CLS] (no answer) and A's tokens; the first of several spans."""
        length = picked.shape[1]
        outside = torch.ones(len(rows), length, dtype=torch.bool)
        wanted = torch.zeros(len(rows), 2, dtype=torch.long)
        for k, i in enumerate(rows):
            example, row = batch[i]
            outside[k, : row.a_tokens + 1] = False
            if example.targets[self.spec.name]:
                start, end = example.targets[self.spec.name][0]
                found = token_span(tokens.offsets(example.text)[: row.a_tokens], start, end)
                if found:
                    wanted[k] = torch.tensor(found) + 1
        masked = picked.masked_fill(outside.unsqueeze(-1), -1e4)
        start, end = (
            nn.functional.cross_entropy(masked[..., side], wanted[:, side], reduction="sum")
            for side in (0, 1)
        )
        return 0.5 * (start + end)

    def token_targets(self, batch: Batch, rows: list[int], tokens: Tokens, length: int) -> Tensor:
        """``int64 [rows, length]`` (BIO classes) or ``[rows, length, labels]`` (flags); outside
        A's tokens IGNORED."""
        flags = self.spec.task == "token_flags"
        shape = (len(rows), length, len(self.spec.labels)) if flags else (len(rows), length)
        wanted = np.full(shape, IGNORED, np.int64)
        for k, i in enumerate(rows):
            example, row = batch[i]
            wanted[k, 1 : 1 + row.a_tokens] = 0
            spans: list[tuple[int, int, int]] = example.targets[self.spec.name]
            if not spans:
                continue
            offsets = tokens.offsets(example.text)[: row.a_tokens]
            for start, end, label in spans:
                found = token_span(offsets, start, end)
                if not found:
                    continue
                first, last = found[0] + 1, found[1] + 1
                if flags:
                    wanted[k, first : last + 1, label] = 1
                else:
                    wanted[k, first : last + 1] = 2 + 2 * label
                    wanted[k, first] = 1 + 2 * label
        return torch.from_numpy(wanted)

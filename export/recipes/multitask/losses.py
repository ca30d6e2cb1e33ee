"""The loss of each kind of head, for the rows of a batch that have its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from affectrt.export.checkpoint import TOKEN_TASKS, HeadSpec

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

    def to(self, device: torch.device) -> HeadLoss:
        """Itself, with its figures where the logits are."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self

    def __call__(
        self,
        logits: Tensor,
        batch: Batch,
        rows: list[int],
        tokens: Tokens,
        taught: Tensor | None = None,
        teacher_weight: float = 0.0,
    ) -> Tensor:
        """Sum over `rows` of the loss; `logits`, and those of a teacher, are of the whole batch.

        Beside a teacher the targets are ``(1 - teacher_weight) * label + teacher_weight * what the
        teacher says``.
        """
        picked = logits[rows].float()
        said = None if taught is None else taught[rows].float()
        if self.spec.task == "span":
            value = self._span(picked, said, teacher_weight, batch, rows, tokens)
        elif self.spec.task in TOKEN_TASKS:
            wanted = self.token_targets(batch, rows, tokens, picked.shape[1]).to(picked.device)
            value = self._tokens(picked, said, teacher_weight, wanted)
        else:
            labels = self._standard(self.targets(batch, rows).to(picked.device))
            value = self._pooled(picked, _mixed(labels, said, self._read, teacher_weight))
        return value * LOSS_WEIGHTS.get(self.spec.name, 1.0)

    def imitate(self, logits: Tensor, taught: Tensor, rows: list[int]) -> Tensor:
        """Sum over `rows`, of which nothing is known but what a teacher says, of the loss of a
        head on a pooled vector."""
        value = self._pooled(logits[rows].float(), self._read(taught[rows].float()))
        return value * LOSS_WEIGHTS.get(self.spec.name, 1.0)

    def targets(self, batch: Batch, rows: list[int]) -> Tensor:
        """``float32 [rows, labels]`` of a head on a pooled vector: 1 where a label applies; the
        values of a regression, NaN where unknown."""
        values = np.stack([batch[i][0].targets[self.spec.name] for i in rows])
        if self.spec.task in ("single_label", "ordinal"):
            return nn.functional.one_hot(torch.from_numpy(values), len(self.spec.labels)).float()
        return torch.from_numpy(values)

    def _standard(self, values: Tensor) -> Tensor:
        return (values - self.centre) / self.scale if self.spec.task == "regression" else values

    def _read(self, taught: Tensor) -> Tensor:
        """Logits of a teacher, in the unit of its checkpoint, as targets."""
        if self.spec.task == "regression":
            return self._standard(taught)
        return taught.sigmoid() if self.spec.task == "multi_label" else taught.softmax(-1)

    def _pooled(self, picked: Tensor, wanted: Tensor) -> Tensor:
        if self.spec.task == "multi_label":
            return nn.functional.binary_cross_entropy_with_logits(
                picked, wanted, pos_weight=self.weight, reduction="sum"
            )
        if self.spec.task == "regression":
            known = ~wanted.isnan()
            return ((picked - wanted.nan_to_num()) ** 2 * known).sum()
        return nn.functional.cross_entropy(picked, wanted, weight=self.weight, reduction="sum")

    def _tokens(self, picked: Tensor, said: Tensor | None, weight: float, wanted: Tensor) -> Tensor:
        """Mean over each row's tokens of A, sum over rows."""
        if self.spec.task == "token_labels":
            known = wanted != IGNORED
            labels = nn.functional.one_hot(wanted.clamp_min(0), picked.shape[2]).float()
            targets = _mixed(labels, said, lambda logits: logits.softmax(-1), weight)
            loss = -2 * (targets * picked.log_softmax(-1)).sum(-1)
        else:
            known = wanted[..., 0] != IGNORED
            targets = _mixed(wanted.clamp_min(0).float(), said, torch.sigmoid, weight)
            loss = nn.functional.binary_cross_entropy_with_logits(
                picked, targets, reduction="none"
            ).sum(-1)
        return ((loss * known).sum(1) / known.sum(1).clamp_min(1)).sum()

    def _span(
        self,
        picked: Tensor,
        said: Tensor | None,
        weight: float,
        batch: Batch,
        rows: list[int],
        tokens: Tokens,
    ) -> Tensor:
        """Start and end over [CLS] (no answer) and A's tokens; the first of several spans."""
        length = picked.shape[1]
        outside = torch.ones(len(rows), length, 1, dtype=torch.bool)
        wanted = torch.zeros(len(rows), 2, dtype=torch.long)
        for k, i in enumerate(rows):
            example, row = batch[i]
            outside[k, : row.a_tokens + 1] = False
            if example.targets[self.spec.name]:
                start, end = example.targets[self.spec.name][0]
                found = token_span(tokens.offsets(example.text)[: row.a_tokens], start, end)
                if found:
                    wanted[k] = torch.tensor(found) + 1
        hidden = outside.to(picked.device)

        def inside(logits: Tensor) -> Tensor:
            return logits.masked_fill(hidden, -1e4)

        labels = nn.functional.one_hot(wanted, length).float().transpose(1, 2).to(picked.device)
        targets = _mixed(labels, said, lambda logits: inside(logits).softmax(1), weight)
        loss = -(targets * inside(picked).log_softmax(1)).sum()
        return 0.5 * loss

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


def _mixed(
    labels: Tensor, said: Tensor | None, read: Callable[[Tensor], Tensor], weight: float
) -> Tensor:
    """Labels, a part `weight` of them as a teacher has it, whose logits `read` makes targets; all
    of it where they are unknown."""
    if said is None or not weight:
        return labels
    taught = read(said)
    return torch.where(labels.isnan(), taught, torch.lerp(labels, taught, weight))

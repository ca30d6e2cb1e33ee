"""The loss of each kind of head for the clips of a batch that have its target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from affectrt.export.checkpoint import HeadSpec

from .augment import SNR_DB
from .hearing import Batch
from .packs import Pack

UNKNOWN = -1e4  # the logit of a label that a clip's pack does not have
# Of a head's loss beside the others': emotion is what the model is for.
LOSS_WEIGHTS = {
    "arousal_valence": 0.5,
    "intensity": 0.4,
    "speaker_sex": 0.3,
    "shout": 0.4,
    "quality": 0.3,
}


@dataclass(frozen=True)
class Targets:
    """Of a batch, for one head."""

    values: Tensor  # int64 [rows], or float32 [rows, labels]
    weights: Tensor  # [rows], 0 where a clip has none
    allowed: Tensor  # bool [rows, labels]: the labels that the clip's pack has

    def taken(self, rows: Tensor) -> Targets:
        """Those of other rows, in their order."""
        return Targets(self.values[rows], self.weights[rows], self.allowed[rows])

    def to(self, device: str) -> Targets:
        """On another device."""
        return Targets(self.values.to(device), self.weights.to(device), self.allowed.to(device))


class HeadLoss:
    """What a head is trained towards, with figures of its train data.

    The softmax of `emotion` runs over the labels that the clip's pack has: whether what a pack
    calls "neutral" would be "calm" in another is not known. Labels weigh the same in each pack, so
    that scores are as if all emotions were equally frequent; what life's frequencies are, acted
    packs do not say.

    `shift`, `centre` and `scale` are what `fold` undoes.
    """

    def __init__(self, spec: HeadSpec, packs: Sequence[Pack]) -> None:
        self.spec = spec
        n = len(spec.labels)
        self.shift, self.centre, self.scale = torch.zeros(n), torch.zeros(n), torch.ones(n)
        self._weights: dict[tuple[str, str], float] = {}
        self._positive = torch.ones(n)
        known = {
            p.name: [c.targets[spec.name] for c in p.clips["train"] if spec.name in c.targets]
            for p in packs
        }
        if spec.task in ("single_label", "ordinal"):
            for pack, labels in known.items():
                counts = Counter(labels)
                for label, count in counts.items():
                    weight = len(labels) / (len(counts) * count)
                    self._weights[pack, label] = min(max(weight, 0.25), 4.0)
        elif spec.task == "multi_label":
            values = [v for part in known.values() for v in part]
            rate = min(max(float(np.mean(values)), 1e-3), 1 - 1e-3)
            self._positive = torch.full((n,), ((1 - rate) / rate) ** 0.5)
            self.shift = self._positive.log()
        elif spec.name == "quality":
            self.centre = torch.full((n,), float(np.mean(SNR_DB)))
            self.scale = torch.full((n,), (SNR_DB[1] - SNR_DB[0]) / 12**0.5)
        else:
            rows = np.concatenate([np.asarray(part) for part in known.values() if part])
            self.centre = torch.from_numpy(rows.mean(0)).float()
            self.scale = torch.from_numpy(rows.std(0)).float().clamp_min(1e-3)

    def targets(self, batch: Batch) -> Targets:
        """What the clips of a batch should be answered with."""
        name, labels, rows = self.spec.name, self.spec.labels, len(batch.clips)
        weights = torch.zeros(rows)
        if self.spec.task in ("single_label", "ordinal"):
            index = torch.zeros(rows, dtype=torch.long)
            allowed = torch.ones(rows, len(labels), dtype=torch.bool)
            for i, (pack, clip) in enumerate(zip(batch.packs, batch.clips, strict=True)):
                if name in clip.targets:
                    index[i] = labels.index(clip.targets[name])
                    weights[i] = self._weights[pack.name, clip.targets[name]]
                if name == "emotion":
                    allowed[i] = torch.tensor([label in pack.labels for label in labels])
            return Targets(index, weights, allowed)
        values = torch.zeros(rows, len(labels))
        if name == "quality":
            weights = (~batch.snr_db.isnan()).float()
            values[:, 0] = batch.snr_db.nan_to_num()
        else:
            for i, clip in enumerate(batch.clips):
                if name in clip.targets:
                    values[i] = torch.tensor(clip.targets[name])
                    weights[i] = 1.0
        return Targets(values, weights, torch.ones(rows, len(labels), dtype=torch.bool))

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """The loss of each row, ``[rows]``."""
        logits = logits.float()
        if self.spec.task in ("single_label", "ordinal"):
            inside = logits.masked_fill(~targets.allowed, UNKNOWN)
            value = nn.functional.cross_entropy(inside, targets.values, reduction="none")
        elif self.spec.task == "multi_label":
            value = nn.functional.binary_cross_entropy_with_logits(
                logits,
                targets.values,
                pos_weight=self._positive.to(logits.device),
                reduction="none",
            ).sum(1)
        else:
            scale, centre = self.scale.to(logits.device), self.centre.to(logits.device)
            value = (logits - (targets.values - centre) / scale).square().sum(1)
        return value * targets.weights * LOSS_WEIGHTS.get(self.spec.name, 1.0)

    def like(self, logits: Tensor, soft: Tensor) -> Tensor:
        """The loss of each row, ``[rows]``, towards a teacher's logits, which are folded ones."""
        logits, soft = logits.float(), soft.to(logits.device)
        if self.spec.task in ("single_label", "ordinal"):
            told = nn.functional.kl_div(
                logits.log_softmax(1), soft.log_softmax(1), reduction="none", log_target=True
            ).sum(1)
        elif self.spec.task == "multi_label":
            told = nn.functional.binary_cross_entropy_with_logits(
                logits, (soft + self.shift.to(logits.device)).sigmoid(), reduction="none"
            ).sum(1)
        else:
            scale, centre = self.scale.to(logits.device), self.centre.to(logits.device)
            told = (logits - (soft - centre) / scale).square().sum(1)
        return told * LOSS_WEIGHTS.get(self.spec.name, 1.0)

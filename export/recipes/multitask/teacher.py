"""What a larger or older model says of the rows that a student learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from affectrt.errors import ExportError
from affectrt.export.checkpoint import TOKEN_TASKS, load_checkpoint

from .inputs import Tokens, pad
from .mixture import Batch
from .packs import Source, heads_of, shared_heads

# Heads that have something to say of any text or turn, not of their own pack's alone.
OF_ANY_TEXT = frozenset(
    {"emotion", "emotion5", "event_emotion", "situation", "vad", "essay_empathy"}
    | {"emotion7", "emotion4", "turn_empathy"}
    | {f"empathy_{k}" for k in ("emotional_reactions", "interpretations", "explorations")}
)


class Teacher:
    """A pooled checkpoint with heads that are being trained, by name, task and labels.

    Its trunk may be another one, with its own numbers for the same word pieces.

    Raises:
        ExportError: it shares no head, or has other word pieces.
    """

    def __init__(
        self,
        checkpoint: Path,
        sources: Sequence[Source],
        tokens: Tokens,
        device: torch.device,
    ) -> None:
        loaded = load_checkpoint(checkpoint, for_export=False)
        ours = heads_of(sources)
        self.heads = shared_heads(ours, loaded.heads)
        if not self.heads:
            raise ExportError(f"{checkpoint}: has no head that this recipe trains")
        self.model = loaded.model.eval().to(device)
        self.device = device
        self._inputs = {head.name: head.input for head in ours}
        self._ids = _renumbered(tokens, Tokens(loaded.tokenizer_json), checkpoint).to(device)

    def logits(self, batch: Batch, tokens: Tokens, bf16: bool) -> dict[str, Tensor]:
        """Of each shared head, for every row, in the unit of the checkpoint; where there are
        scores, divided by the temperature.

        Whatever strange lines stand beside a text, the teacher sees the text alone.
        """
        passes = [row if e.context else tokens.make_pass(e.text) for e, row in batch]
        ids, mask, types = pad(passes, self.device)
        length = max(len(row) for _, row in batch)
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            found = self.model(self._ids[ids], mask, types)
        result = {}
        for name, head in self.heads.items():
            values = found[head.output].float() / head.temperature
            if head.task in TOKEN_TASKS:
                values = nn.functional.pad(values, (0, 0, 0, length - values.shape[1]))
            result[name] = values
        return result

    def unlabelled(self, batch: Batch) -> dict[str, list[int]]:
        """By head, the rows that have no label for it and are of a kind that it judges."""
        found: dict[str, list[int]] = {name: [] for name in self.heads if name in OF_ANY_TEXT}
        for i, (example, row) in enumerate(batch):
            kinds = {self._inputs[name] for name in example.targets}
            if not kinds <= {"text", "turn"}:
                continue
            strange = not example.context and len(row) > row.a_tokens + 2
            for name, rows in found.items():
                needs_turns = self._inputs[name] != "text"
                if name not in example.targets and not (strange and needs_turns):
                    rows.append(i)
        return {name: rows for name, rows in found.items() if rows}


def _renumbered(ours: Tokens, theirs: Tokens, checkpoint: Path) -> Tensor:
    """``int64 [vocabulary]``: the teacher's number of each of our word pieces."""
    known, own = theirs.tokenizer.get_vocab(), ours.tokenizer.get_vocab()
    renamed = {ours.cls: theirs.cls, ours.sep: theirs.sep}
    missing = sorted(p for p, number in own.items() if number not in renamed and p not in known)
    if missing:
        raise ExportError(
            f"{checkpoint}: its vocabulary lacks {len(missing)} word pieces of the student's "
            f"({', '.join(map(repr, missing[:5]))}, ...); a teacher must split words alike"
        )
    result = torch.zeros(max(own.values()) + 1, dtype=torch.long)
    for piece, number in own.items():
        result[number] = renamed[number] if number in renamed else known[piece]
    return result


__all__ = ["OF_ANY_TEXT", "Teacher"]

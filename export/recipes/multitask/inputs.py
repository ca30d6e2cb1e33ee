"""What one pass sees, as token ids: ``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]``.

The package's docstring is the contract; this is its reference implementation.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

MAX_TOKENS = 256  # of a whole pass
CONTEXT_TOKENS = 128  # a pass with a B grows no longer than this while A leaves B its least room
MIN_ROOM = 32  # tokens that B always has
SPECIAL = 3  # [CLS], and a [SEP] after each segment
HISTORY_TURNS = 12  # earlier turns that are looked at; more never fit

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Turn:
    """One line of B: a tag and a text; together they read ``tag: text``."""

    tag: str
    text: str


@functools.cache  # every turn is in the history of the dozen after it
def history_turn(text: str, *, same_speaker: bool, emotion: str | None = None) -> Turn:
    """An earlier turn. `same_speaker`: whether who says A says it too; `emotion` where it is told
    (the target of a cause, the mood that a reply comes out of)."""
    who = "self" if same_speaker else "other"
    return Turn(f"{who} {emotion}" if emotion else who, text)


def render(turns: Sequence[Turn]) -> str:
    """B as one string; its tokens are those of the turns, one after the other."""
    return " ".join(f"{turn.tag}: {turn.text}" for turn in turns)


@dataclass(frozen=True)
class Pass:
    """One row: token ids with their segments. A's tokens stand at ``a_first .. a_first +
    a_tokens``; behind B where that is a question."""

    ids: Ids
    types: Ids
    a_tokens: int
    a_first: int = 1

    def __len__(self) -> int:
        return len(self.ids)


class Tokens:
    """Token ids of texts, each text tokenised once."""

    def __init__(self, tokenizer_json: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer_json))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        ends = self.tokenizer.encode("", add_special_tokens=True).ids
        self.cls, self.sep = ends[0], ends[-1]
        self._ids: dict[str, Ids] = {}
        self._offsets: dict[str, list[tuple[int, int]]] = {}

    def ids(self, text: str) -> Ids:
        """Without special tokens."""
        known = self._ids.get(text)
        if known is None:
            encoded = self.tokenizer.encode(text, add_special_tokens=False).ids
            known = self._ids[text] = np.asarray(encoded, np.int64)
        return known

    def learn(self, texts: Iterable[str]) -> None:
        """Tokenise some texts ahead, on all cores: an accelerator would wait for each."""
        new = sorted(set(texts) - self._ids.keys())
        encoded = self.tokenizer.encode_batch(new, add_special_tokens=False)
        for text, one in zip(new, encoded, strict=True):
            self._ids[text] = np.asarray(one.ids, np.int64)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Characters ``start:end`` of each of `ids`."""
        known = self._offsets.get(text)
        if known is None:
            encoded = self.tokenizer.encode(text, add_special_tokens=False)
            known = self._offsets[text] = list(encoded.offsets)
        return known

    def make_pass(
        self, text: str, context: Sequence[Turn] = (), context_tokens: int = CONTEXT_TOKENS
    ) -> Pass:
        """A = `text`, cut at its end where it is too long. B = the newest turns of `context` that
        fit whole; where not even the last one does, its beginning."""
        a = self.ids(text)[: MAX_TOKENS - MIN_ROOM - SPECIAL]
        if not context:
            ids = np.concatenate([[self.cls], a, [self.sep]])
            return Pass(ids, np.zeros_like(ids), len(a))
        room = max(context_tokens - len(a) - SPECIAL, MIN_ROOM)
        fitting: list[Ids] = []
        for turn in reversed(context):
            ids = np.concatenate([self.ids(turn.tag + ":"), self.ids(turn.text)])
            if not fitting:
                ids = ids[:room]
            if len(ids) > room:
                break
            fitting.append(ids)
            room -= len(ids)
        ids = np.concatenate([[self.cls], a, [self.sep], *reversed(fitting), [self.sep]])
        types = np.zeros_like(ids)
        types[len(a) + 2 :] = 1
        return Pass(ids, types, len(a))


def pad(rows: Sequence[Pass], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """``int64 [rows, longest]`` on a device: ids, attention mask, token types."""
    shape = (len(rows), max(map(len, rows)))
    ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)], types[i, : len(row)] = row.ids, 1, row.types
    found = torch.from_numpy(np.stack([ids, mask, types])).to(device)
    return found[0], found[1], found[2]


def token_span(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """First and last token that share a character with ``start:end``; None where none does."""
    inside = [i for i, (s, e) in enumerate(offsets) if s < end and e > start]
    return (inside[0], inside[-1]) if inside else None

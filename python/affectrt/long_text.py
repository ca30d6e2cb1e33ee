"""Texts longer than a model reads: overlapping windows in one call, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .inputs import _kind, rows_of
from .results import Heads, Result, _short

if TYPE_CHECKING:
    from .model import Model, Progress

Pool = Literal["mean", "max"]


@dataclass(frozen=True, slots=True)
class Window:
    """Characters `start:end` of a long text, and the answers to them alone."""

    start: int
    end: int
    result: Result

    def to_dict(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, **self.result.to_dict()}


@dataclass(frozen=True, slots=True, repr=False)
class LongResult:
    """The answers to a long text: of each window, and of the whole.

    `result` is decided from the windows' logits: their mean, weighted by the tokens that each adds
    to those before it, or their highest. It has the heads that judge a text as a whole.
    """

    windows: tuple[Window, ...]
    result: Result

    def to_dict(self) -> dict[str, Any]:
        """The keys of `Result.to_dict()`, and `windows`."""
        return {**self.result.to_dict(), "windows": [window.to_dict() for window in self.windows]}

    def __repr__(self) -> str:
        answer = ", ".join(self.result.decided) or "none decided"
        return f"LongResult({_short(self.result.text)!r}: {len(self.windows)} windows: {answer})"


@dataclass(frozen=True, slots=True)
class OddOneOut:
    """`index` of the text unlike the others, and each text's `distances` from the rest, 0 to 2."""

    index: int
    distances: tuple[float, ...]


def _starts_word(text: str, at: int) -> bool:
    return at == 0 or at >= len(text) or text[at - 1].isspace() or text[at].isspace()


def windows_of(
    text: str, offsets: npt.NDArray[np.int32], room: int, overlap: int
) -> list[tuple[int, int]]:
    """Tokens `first:end` of windows of at most `room` tokens that share about `overlap`; they begin
    and end between words where a word is at hand."""
    count = len(offsets)
    edges = [_starts_word(text, int(start)) for start in offsets[:, 0]] + [True]

    def edge_before(at: int, least: int) -> int:
        return next((i for i in range(at, least, -1) if edges[i]), at)

    found = []
    first = end = 0
    while True:
        least = max(first + room // 2, end)
        end = count if first + room >= count else edge_before(first + room, least)
        found.append((first, end))
        if end == count:
            return found
        first = edge_before(max(end - overlap, first + 1), first)
        first = max(first, end - room + 1)  # something new must fit behind the overlap


def analyze_long(
    model: Model,
    text: str,
    window: int | None,
    overlap: int | None,
    pool: Pool,
    progress: Progress | None,
) -> LongResult:
    """What `Model.analyze_long` returns."""
    if not isinstance(text, str):
        raise InputError(f"text is {_kind(text)}; give one str")
    rows_of(text, argument="text")
    if pool not in ("mean", "max"):
        raise InputError(f'pool is {pool!r}; give "mean" or "max"')
    special = len(model.tokenizer.encode("").ids)
    most = model.info.max_tokens
    size = _bounded(window, most, special + 8, most, "window") - special
    shared = _bounded(overlap, size // 4, 0, size // 2, "overlap")
    offsets = model.tokenizer.encode(text, add_special_tokens=False).offsets
    tokens = windows_of(text, offsets, size, shared) if len(offsets) else [(0, 0)]
    places = [(int(offsets[i, 0]), int(offsets[j - 1, 1])) for i, j in tokens if j > i]
    if len(places) < 2:
        places = [(0, len(text))]
    rows = rows_of([text[start:end] for start, end in places])
    prediction = model._predict(rows, None, progress)
    windows = tuple(
        Window(start, end, result)
        for (start, end), result in zip(places, model._results(rows, prediction), strict=True)
    )
    ends = [0, *(end for _, end in tokens)]
    new = np.diff(ends).astype(np.float64) if len(places) > 1 else np.ones(1)
    heads = []
    for index, scores in zip(prediction.answered, prediction.heads, strict=True):
        if scores.token_begin is not None:
            continue
        logits = scores.logits
        pooled = logits.max(0) if pool == "max" else np.average(logits, axis=0, weights=new)
        heads.append(model._decoded(index, pooled[None].astype(np.float32)))
    truncated = bool(prediction.truncated.any())
    return LongResult(windows, Result(text, None, Heads(tuple(heads)), truncated))


def _bounded(value: int | None, default: int, least: int, most: int, name: str) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{name} is {value!r}; give {least} to {most} tokens")
    return value


def odd_one_out(model: Model, texts: Sequence[str], head: str | None) -> OddOneOut:
    """What `Model.odd_one_out` returns."""
    rows = rows_of(texts)
    if rows.single or len(rows.texts) < 3:
        raise InputError("texts must be a list of at least 3; of fewer none is the odd one")
    logits = model.predict_logits(rows.texts, head).astype(np.float64)
    rest = logits.sum(axis=0) - logits  # the mean of the others, but for its length
    lengths = np.linalg.norm(logits, axis=1) * np.linalg.norm(rest, axis=1)
    distances = 1.0 - (logits * rest).sum(axis=1) / np.maximum(lengths, 1e-30)
    return OddOneOut(int(distances.argmax()), tuple(distances.tolist()))

"""Texts longer than a model reads: overlapping windows in one call, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .inputs import _kind, rows_of
from .results import HeadResult, Heads, Result, Span, _short

if TYPE_CHECKING:
    from . import _core
    from .model import Model, Progress

Pool = Literal["mean", "max"]
_MOST_CANDIDATES = 5  # as of a span head's other answers


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
    to those before it, or their highest. It has the heads that judge a text as a whole, or of a
    question those that look for the answer to it.
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
    question: str | None,
    progress: Progress | None,
) -> LongResult:
    """What `Model.analyze_long` returns."""
    asked = None if question is None else _asked(model, question)
    if not isinstance(text, str):
        raise InputError(f"text is {_kind(text)}; give one str")
    rows_of(text, argument="text")
    if pool not in ("mean", "max"):
        raise InputError(f'pool is {pool!r}; give "mean" or "max"')
    special = len(model.tokenizer.encode("", question).ids)
    most = model.info.max_tokens
    if special + 8 > most:
        raise InputError(f"question leaves no room among {most} tokens; give a shorter one")
    size = _bounded(window, most, special + 8, most, "window") - special
    shared = _bounded(overlap, size // 4, 0, size // 2, "overlap")
    offsets = model.tokenizer.encode(text, add_special_tokens=False).offsets
    tokens = windows_of(text, offsets, size, shared) if len(offsets) else [(0, 0)]
    places = [(int(offsets[i, 0]), int(offsets[j - 1, 1])) for i, j in tokens if j > i]
    if len(places) < 2:
        places = [(0, len(text))]
    parts = [text[start:end] for start, end in places]
    rows = rows_of(parts if question is None else [(part, question) for part in parts])
    prediction = model._predict(rows, asked, progress)
    windows = tuple(
        Window(start, end, result)
        for (start, end), result in zip(places, model._results(rows, prediction), strict=True)
    )
    truncated = bool(prediction.truncated.any())
    if asked is not None:
        of = dict(zip(prediction.answered, prediction.heads, strict=True))
        answers = Heads(
            tuple(
                _best_spans(text, windows, model.info.heads[index].name, _leads(of[index]))
                for index in asked
            )
        )
        return LongResult(windows, Result(text, question, answers, truncated))
    ends = [0, *(end for _, end in tokens)]
    new = np.diff(ends).astype(np.float64) if len(places) > 1 else np.ones(1)
    heads = []
    for index, scores in zip(prediction.answered, prediction.heads, strict=True):
        if scores.token_begin is not None:
            continue
        logits = scores.logits
        pooled = logits.max(0) if pool == "max" else np.average(logits, axis=0, weights=new)
        heads.append(model._decoded(index, pooled[None].astype(np.float32)))
    return LongResult(windows, Result(text, None, Heads(tuple(heads)), truncated))


def _asked(model: Model, question: str) -> list[int]:
    """The heads that look for the answer to a question."""
    rows_of(question, argument="question")
    found = [i for i, head in enumerate(model.info.heads) if head.input == "question"]
    if not found:
        raise InputError("question is given, and no head of this model looks for the answer to one")
    return found


def _leads(scores: _core.HeadScores) -> list[list[float]]:
    """By how much the logits of each candidate of each window beat those of no answer: its score
    before the sigmoid, which makes 1 of all beyond 17."""
    assert scores.token_begin is not None
    assert scores.spans is not None
    assert scores.span_begin is not None
    logits, candidates = scores.logits.astype(np.float64), np.diff(scores.span_begin)
    nothing = np.repeat(scores.token_begin[:-1], candidates)
    first, last = nothing + 1 + scores.spans[:, 0], nothing + 1 + scores.spans[:, 1]
    leads = logits[first, 0] + logits[last, 1] - logits[nothing].sum(axis=1)
    return [of.tolist() for of in np.split(leads, scores.span_begin[1:-1])]


def _best_spans(
    text: str, windows: Sequence[Window], head: str, leads: Sequence[Sequence[float]]
) -> HeadResult:
    """What a span head says of the whole text: the best candidates of its windows."""
    ranked: list[tuple[float, Span, bool]] = []
    for window, of_window in zip(windows, leads, strict=True):
        own = window.result.heads[head]
        for span, lead in zip(own.candidates, of_window, strict=True):
            start, end = window.start + span.start, window.start + span.end
            moved = Span(start, end, text[start:end], span.label, span.score)
            ranked.append((lead, moved, span in own.spans))
    ranked.sort(key=lambda one: (-one[0], one[1].start))
    kept: list[tuple[Span, bool]] = []
    for _, span, decided in ranked:
        apart = all(span.end <= one.start or one.end <= span.start for one, _ in kept)
        if apart and len(kept) < _MOST_CANDIDATES:
            kept.append((span, decided))
    best = kept[:1]
    return replace(
        windows[0].result.heads[head],
        spans=tuple(span for span, decided in best if decided),
        candidates=tuple(span for span, _ in kept),
    )


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

"""Which words carried an answer: each is left out in turn, and what that changes is its weight.

Occlusion (Zeiler and Fergus 2014; Li et al. 2016, "Understanding Neural Networks through
Representation Erasure"): no gradients, so it works with every backend and precision. All variants
of a text are one call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .inputs import _kind, rows_of
from .results import Label, _short

if TYPE_CHECKING:
    from . import _core
    from .conversation import Conversation
    from .info import HeadInfo
    from .model import Model

MOST_PARTS = 256  # of a text; longer ones are weighed by groups of words
_POOLED = ("single_label", "ordinal", "multi_label", "regression")
# Words with their apostrophes; in scripts without spaces each character; runs of one other sign.
_SPACELESS = "\u2e80-\u303e\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\W{_SPACELESS}]+(?:['’][^\W{_SPACELESS}]+)*|([^\w\s])\1*")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Word:
    """Characters `start:end` of the text, and what they did for the answer.

    `weight` is how much the label's log-odds fall (of a regression head: its value) when they are
    left out; negative where they spoke against it.
    """

    text: str
    start: int
    end: int
    weight: float

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, "start": self.start, "end": self.end, "weight": self.weight}


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """Why a head answers a text with a label: `words`, the weightiest first."""

    text: str
    head: str
    label: str
    score: float
    words: tuple[Word, ...]

    def to_dict(self) -> dict[str, Any]:
        words = [word.to_dict() for word in self.words]
        return {
            "text": self.text,
            "head": self.head,
            "label": self.label,
            "score": self.score,
            "words": words,
        }

    def __repr__(self) -> str:
        words = ", ".join(f"{word.text!r} {word.weight:+.2f}" for word in self.words)
        return f"Explanation({_short(self.text)!r}: {self.label}={self.score:.3f}: {words})"


def parts_of(text: str) -> list[tuple[int, int]]:
    """Characters `start:end` of each word, or of groups of neighbours where there are very many."""
    words = [found.span() for found in _WORD.finditer(text)]
    size = -(-len(words) // MOST_PARTS)
    return [
        (words[i][0], words[min(i + size, len(words)) - 1][1])
        for i in range(0, len(words), size or 1)
    ]


def _without(text: str, part: tuple[int, int]) -> str:
    """The rest; a blank where nothing else would be left."""
    before, after = text[: part[0]], text[part[1] :]
    if before.endswith(" ") and after.startswith(" "):
        after = after[1:]
    return (before + after).strip() or "."


def _pick(info: HeadInfo, label: str | None, scores: _core.HeadScores) -> int:
    """The column of `label`; without one the first that is decided, or the highest."""
    if label is not None:
        if label not in info.labels:
            shown = ", ".join(info.labels[:30]) + (", ..." if len(info.labels) > 30 else "")
            raise InputError(f"head {info.name!r} has no label {label!r}; it has: {shown}")
        return info.labels.index(label)
    values = scores.scores[0]
    if info.task == "regression":
        return 0
    decided = np.flatnonzero(scores.decided[0])
    return int(decided[values[decided].argmax()] if len(decided) else values.argmax())


def _weights(info: HeadInfo, column: int, scores: _core.HeadScores) -> list[float]:
    """Of the first row against each other one."""
    values = scores.scores[:, column].astype(np.float64)
    if info.task == "multi_label":
        values = scores.logits[:, column].astype(np.float64) / info.temperature
    elif info.task != "regression":
        values = np.clip(values, 1e-9, 1 - 1e-9)
        values = np.log(values) - np.log1p(-values)
    return [float(weight) for weight in values[0] - values[1:]]


def _explanation(
    info: HeadInfo,
    label: str | None,
    top: int,
    text: str,
    parts: Sequence[tuple[int, int]],
    scores: _core.HeadScores,
) -> Explanation:
    column = _pick(info, label, scores)
    words = [
        Word(text[start:end], start, end, weight)
        for (start, end), weight in zip(parts, _weights(info, column, scores), strict=True)
    ]
    words.sort(key=lambda word: -abs(word.weight))  # stable: ties in the order of the text
    score = float(scores.scores[0, column])
    return Explanation(text, info.name, info.labels[column], score, tuple(words[:top]))


def _checked(info: HeadInfo, top: int) -> None:
    if info.task not in _POOLED:
        raise InputError(
            f"head {info.name!r} ({info.task}) names words itself; its answer is its evidence"
        )
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise InputError(f"top is {top!r}; give a positive int")


def explain(model: Model, text: str, head: str | None, label: str | None, top: int) -> Explanation:
    """What `Model.explain` returns."""
    index = model._head_index(head)
    info = model.info.heads[index]
    _checked(info, top)
    if not isinstance(text, str):
        raise InputError(f"text is {_kind(text)}; give one str")
    rows_of(text, argument="text")
    parts = parts_of(text)
    rows = rows_of([text, *(_without(text, part) for part in parts)])
    scores = model._predict(rows, [index], None).heads[0]
    return _explanation(info, label, top, text, parts, scores)


def explain_turn(
    conversation: Conversation, turn: int | None, head: str | None, label: str | None, top: int
) -> Explanation:
    """What `Conversation.explain` returns."""
    model, core = conversation.model, conversation._core
    name = conversation.heads[0] if head is None else head
    index = model._head_index(name)
    info = model.info.heads[index]
    _checked(info, top)
    if index not in core.heads:
        raise InputError(
            f"head {name!r} does not judge the turns of this conversation; "
            f"these do: {', '.join(conversation.heads)}"
        )
    said = {number: (speaker, text) for number, speaker, text in core.said()}
    number = core.turns if turn is None else turn
    if number not in said:
        kept = f"turns {min(said)} to {max(said)} are remembered" if said else "nothing was said"
        raise InputError(f"there is no turn {number!r}; {kept}")
    speaker, text = said[number]
    if not text:
        raise InputError(f"turn {number} has no words to explain; its voice was heard alone")
    parts = parts_of(text)
    texts = [text, *(_without(text, part) for part in parts)]
    scores = core.scores([(speaker, one, None) for one in texts], number, index)
    return _explanation(info, label, top, text, parts, scores)


def rank_replies(conversation: Conversation, speaker: str, replies: Sequence[str]) -> list[Label]:
    """What `Conversation.rank_replies` returns."""
    model, core = conversation.model, conversation._core
    if "reply_fit" not in conversation.heads:
        raise InputError(
            "ranking replies needs a model with the head 'reply_fit'; this conversation has: "
            + ", ".join(conversation.heads)
        )
    if not conversation.turns:
        raise InputError("nothing was said yet; add the turns that are replied to first")
    rows = rows_of(replies, argument="replies")
    if rows.single or rows.pairs:
        raise InputError("replies must be a list of str")
    index = model._head_index("reply_fit")
    turns = [(speaker, text, None) for text in rows.texts]
    fits = core.scores(turns, core.turns + 1, index).scores[:, 0].tolist()
    ranked = sorted(zip(rows.texts, fits, strict=True), key=lambda pair: -pair[1])
    return [Label(text, fit) for text, fit in ranked]

"""What a model answers: plain, immutable values without a tie to the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .label_maps import LabelMapping

Task = Literal[
    "single_label",
    "multi_label",
    "ordinal",
    "regression",
    "span",
    "token_labels",
    "token_flags",
]
TOKEN_TASKS = ("span", "token_labels", "token_flags")  # answered by parts of a text


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True, slots=True, repr=False)
class Label:
    """One label and its score.

    `score` is a calibrated probability in [0, 1] (a float32 widened to a Python float); of a
    regression head it is the predicted value, in the unit of the training data.

    >>> Label("joy", 0.8125)
    Label('joy', 0.8125)
    """

    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {"label": self.label, "score": self.score}

    def __repr__(self) -> str:
        return f"Label({self.label!r}, {self.score:.4f})"


@dataclass(frozen=True, slots=True, repr=False)
class Span:
    """A part of a text, `text == whole[start:end]`, counted in characters as Python does.

    `score` is in [0, 1]: of a span head, how sure it is that this is an answer (above 0.5 where it
    beats "no answer" by more than the head's margin); of the others the mean over the part's
    tokens. `label` is what the part is; `None` for span heads, which ask for one thing only.

    >>> Span(4, 9, "alone", None, 0.75)
    Span(4:9 'alone', 0.7500)
    """

    start: int
    end: int
    text: str
    label: str | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"start": self.start, "end": self.end, "text": self.text}
        if self.label is not None:
            record["label"] = self.label
        record["score"] = self.score
        return record

    def __repr__(self) -> str:
        label = "" if self.label is None else f" {self.label}"
        return f"Span({self.start}:{self.end}{label} {self.text!r}, {self.score:.4f})"


@dataclass(frozen=True, slots=True, repr=False)
class HeadResult:
    """The answer of one head.

    `labels` are sorted by score, highest first (ties in the model's order); those of a regression
    head stand in the model's order, and heads that read tokens have none. `decided` are the labels
    that belong to the answer: one for single-label and ordinal heads, those at or above their
    threshold for multi-label heads (perhaps none), none for others. `unsure` is true when the
    confidence of the best label is below the bound that the model file gives.

    `level` is the expected level of an ordinal head, from 0: the sum of level x score.
    `spans` are the parts of the text that a head that reads tokens has found, in the order of the
    text: of a `span` head one or none, of `token_labels` any number, and of `token_flags` such as
    may overlap. `candidates` are the up to five best parts of a `span` head, best first, none of
    which overlap, whether or not the best of them is the answer.
    """

    name: str
    task: Task
    labels: tuple[Label, ...]
    decided: tuple[str, ...]
    unsure: bool
    level: float | None = None
    spans: tuple[Span, ...] = ()
    candidates: tuple[Span, ...] = ()

    @property
    def values(self) -> dict[str, float]:
        """Score per label name, in the order of `labels`.

        >>> HeadResult("vad", "regression", (Label("valence", 3.5),), (), False).values
        {'valence': 3.5}
        """
        return {label.label: label.score for label in self.labels}

    def mapped(self, onto: LabelMapping = "ekman") -> HeadResult:
        """This answer in the labels of a map, such as "ekman" or "sentiment", or of your own,
        `{"joy": "good", ...}`.

        The score of a group is the probability that one of its labels holds: the sum where labels
        exclude one another, else ``1 - prod(1 - score)``, as if they were independent. A group is
        decided where one of its labels is. Groups without a label of this head are left out.

        >>> labels = Label("love", 0.5), Label("joy", 0.25)
        >>> HeadResult("mood", "multi_label", labels, (), False).mapped("sentiment").labels
        (Label('positive', 0.6250),)

        Raises `InputError` for an unknown map, and where a label belongs nowhere in it.
        """
        from .label_maps import mapped

        return mapped(self, onto)

    def to_dict(self) -> dict[str, Any]:
        if self.task == "regression":
            return {"task": self.task, "values": self.values}
        record: dict[str, Any] = {"task": self.task}
        if self.task in TOKEN_TASKS:
            record["spans"] = [span.to_dict() for span in self.spans]
            if self.task == "span":
                record["candidates"] = [span.to_dict() for span in self.candidates]
            return record
        record["labels"] = [label.to_dict() for label in self.labels]
        record["decided"] = list(self.decided)
        record["unsure"] = self.unsure
        if self.level is not None:
            record["level"] = self.level
        return record

    def _answer(self) -> str:
        if self.task == "regression":
            return ", ".join(f"{label.label}={label.score:.4g}" for label in self.labels)
        if self.task in TOKEN_TASKS:
            found = (
                ("" if s.label is None else f"{s.label} ") + f"{_short(s.text)!r}={s.score:.3f}"
                for s in self.spans
            )
            return ", ".join(found) or "no span"
        scores = self.values
        shown = self.decided or (self.labels[0].label,)
        answer = ", ".join(f"{name}={scores[name]:.3f}" for name in shown)
        return answer if self.decided else f"none decided, nearest {answer}"

    def __repr__(self) -> str:
        unsure = ", unsure" if self.unsure else ""
        return f"HeadResult({self.name!r}: {self._answer()}{unsure})"


class Heads(Mapping[str, HeadResult]):
    """An immutable, hashable mapping from head name to its answer, in the model's order."""

    __slots__ = ("_made", "_makers", "_names", "_row")
    _names: tuple[str, ...]
    _made: list[HeadResult | None]
    _makers: tuple[Callable[[int], HeadResult], ...]
    _row: int

    def __init__(self, results: tuple[HeadResult, ...]) -> None:
        self._set(tuple(result.name for result in results), list(results), (), 0)

    @classmethod
    def _late(
        cls, names: tuple[str, ...], makers: tuple[Callable[[int], HeadResult], ...], row: int
    ) -> Heads:
        """Answers that are made when they are asked for: few programs look at all of them."""
        heads = cls.__new__(cls)
        heads._set(names, [None] * len(names), makers, row)
        return heads

    def _set(
        self,
        names: tuple[str, ...],
        made: list[HeadResult | None],
        makers: tuple[Callable[[int], HeadResult], ...],
        row: int,
    ) -> None:
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_made", made)
        object.__setattr__(self, "_makers", makers)
        object.__setattr__(self, "_row", row)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Heads is immutable; cannot set {name!r}")

    def _at(self, index: int) -> HeadResult:
        makers = self._makers  # before what is made: another thread may forget them
        result = self._made[index]
        if result is None:
            result = self._made[index] = makers[index](self._row)
        return result

    @property
    def _results(self) -> tuple[HeadResult, ...]:
        results = tuple(map(self._at, range(len(self._names))))
        object.__setattr__(self, "_makers", ())  # with the scores that they hold
        return results

    def __getitem__(self, name: str) -> HeadResult:
        for index, one in enumerate(self._names):
            if one == name:
                return self._at(index)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __eq__(self, other: object) -> bool:
        return self._results == other._results if isinstance(other, Heads) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._results)

    def __reduce__(self) -> tuple[type[Heads], tuple[tuple[HeadResult, ...]]]:
        return Heads, (self._results,)

    def __repr__(self) -> str:
        return f"Heads({', '.join(map(repr, self._results))})"


class PrimaryAnswer:
    """What answers to texts and to sounds say of their first head in short."""

    __slots__ = ()
    heads: Heads

    @property
    def _primary(self) -> HeadResult:
        return self.heads._at(0)

    @property
    def emotions(self) -> tuple[Label, ...]:
        """All labels of the primary head, highest score first."""
        return self._primary.labels

    @property
    def decided(self) -> tuple[str, ...]:
        """The labels that belong to the answer of the primary head, highest score first."""
        return self._primary.decided

    @property
    def unsure(self) -> bool:
        """Whether the primary head's best label is below the model's bound of confidence, or there
        was nothing to hear."""
        return self._primary.unsure

    @property
    def values(self) -> dict[str, float]:
        """Score (regression: value) per label name of the primary head."""
        return self._primary.values


@dataclass(frozen=True, slots=True, repr=False)
class Result(PrimaryAnswer):
    """The answer to one text (or pair of texts).

    `emotions`, `decided` and `unsure` are those of the primary head, the first that was asked;
    `heads` holds all of them by name. `truncated` says that the text had more tokens than the
    model takes and that only its beginning was read.

    >>> joy = HeadResult("emotion", "multi_label", (Label("joy", 0.75),), ("joy",), False)
    >>> Result("What a day!", None, Heads((joy,)), False)
    Result('What a day!': joy=0.750)
    """

    text: str
    pair: str | None
    heads: Heads
    truncated: bool

    def mapped(self, onto: LabelMapping = "ekman") -> Result:
        """This answer with every head that can be in the labels of a map; see `HeadResult.mapped`.

        Heads with a label that belongs nowhere in it, and those without labels, stay as they are.
        Raises `InputError` for an unknown map.
        """
        from .label_maps import groups_of

        heads = (h if groups_of(h, onto) is None else h.mapped(onto) for h in self.heads._results)
        return replace(self, heads=Heads(tuple(heads)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`.

        Keys: `text`, `emotions` (a list of `{"label", "score"}`), `decided`, `unsure`; `pair` for
        pairs only, `truncated` only when true, `heads` only when there are several answers, or the
        only one says more than labels. Of a head: `task`, and `values` of a regression; `spans`
        (each `start`, `end`, `text`, `score` and, but for span heads, `label`) and for span heads
        `candidates`; of others `labels`, `decided`, `unsure` and, if ordinal, `level`.
        """
        record: dict[str, Any] = {"text": self.text}
        if self.pair is not None:
            record["pair"] = self.pair
        record["emotions"] = [label.to_dict() for label in self.emotions]
        record["decided"] = list(self.decided)
        record["unsure"] = self.unsure
        if self.truncated:
            record["truncated"] = True
        if len(self.heads) > 1 or self._primary.task in ("ordinal", *TOKEN_TASKS):
            record["heads"] = {name: head.to_dict() for name, head in self.heads.items()}
        return record

    def __repr__(self) -> str:
        pair = "" if self.pair is None else f" + {_short(self.pair)!r}"
        notes = (", unsure" if self.unsure else "") + (", truncated" if self.truncated else "")
        if len(self.heads) == 1:
            answer = self._primary._answer()
        else:
            answer = "; ".join(f"{h.name}: {h._answer()}" for h in self.heads._results)
        return f"Result({_short(self.text)!r}{pair}: {answer}{notes})"

"""Label sets mapped onto one another: words onto 28 emotions, Ekman's seven, sentiments, families.

The 28 are those of GoEmotions, and so are their Ekman groups and sentiments (Demszky et al. 2020,
sections 3.2 and 4.3); some 500 further words for them are our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError
from .inputs import rows_of
from .results import HeadResult, Label

if TYPE_CHECKING:
    from .info import ModelInfo
    from .model import Model

FloatArray: TypeAlias = npt.NDArray[np.float32]
LabelMapping: TypeAlias = str | Mapping[str, str]
"""The name of a map ("goemotions", "ekman", "sentiment", "families"), or a map of your own, from
labels to labels."""

_MAPPED_TASKS = ("single_label", "multi_label", "ordinal")


def map_names() -> tuple[str, ...]:
    """The maps that there are."""
    return tuple(_core.label_maps())


def map_labels(name: str) -> tuple[str, ...]:
    """The labels of a map, in their order. Raises `InputError` for an unknown one."""
    _core.map_label(name, "")
    return tuple(_core.label_maps()[name])


def map_label(label: str, onto: LabelMapping = "ekman") -> str | None:
    """Where a label, or a word for an emotion, belongs; `None` where nothing says.

    Case does not matter, nor whether words are apart by blanks, hyphens or underscores.

    >>> map_label("gutted"), map_label("gutted", "goemotions"), map_label("gutted", "sentiment")
    ('sadness', 'disappointment', 'negative')
    >>> map_label("train") is None
    True

    Raises `InputError` for an unknown map. `Model.map_words` also places words that no list has.
    """
    if not isinstance(onto, str):
        return onto.get(label)
    return _core.map_label(onto, label)


def groups_of(head: HeadResult, onto: LabelMapping) -> dict[str, str] | None:
    """Where each label of an answer belongs; `None` where one belongs nowhere."""
    if head.task not in _MAPPED_TASKS:
        return None
    groups: dict[str, str] = {}
    for one in head.labels:
        group = map_label(one.label, onto)
        if group is None:
            return None
        groups[one.label] = group
    return groups


def check_map(info: ModelInfo, onto: str) -> None:
    """Raise `InputError` where no head of a model can be mapped onto `onto`."""
    for head in info.heads:
        known = (map_label(label, onto) is not None for label in head.labels)
        if head.task in _MAPPED_TASKS and all(known):
            return
    raise InputError(
        f"no head of {info.name!r} has labels that the map {onto!r} knows; give HeadResult.mapped "
        "a map of your own"
    )


def mapped(head: HeadResult, onto: LabelMapping) -> HeadResult:
    """What `HeadResult.mapped` returns."""
    groups = groups_of(head, onto)
    if groups is None:
        what = f"onto {onto!r}" if isinstance(onto, str) else "by the map given"
        if head.task not in _MAPPED_TASKS:
            raise InputError(f"head {head.name!r} ({head.task}) has no labels to map {what}")
        lost = [one.label for one in head.labels if map_label(one.label, onto) is None]
        raise InputError(
            f"head {head.name!r} cannot be mapped {what}: where "
            f"{', '.join(map(repr, lost[:5]))} belongs is not known"
        )
    names = list(dict.fromkeys(groups.values()))
    if isinstance(onto, str):
        names = [name for name in map_labels(onto) if name in names]
    place = {name: i for i, name in enumerate(names)}
    scores, decided = _core.group_scores(
        [place[groups[one.label]] for one in head.labels],
        len(names),
        [one.score for one in head.labels],
        [one.label in head.decided for one in head.labels],
        head.task != "multi_label",
    )
    order = sorted(range(len(names)), key=lambda i: -scores[i])  # stable: ties in the map's order
    return HeadResult(
        head.name,
        "multi_label" if head.task == "multi_label" else "single_label",
        tuple(Label(names[i], scores[i]) for i in order),
        tuple(names[i] for i in order if decided[i]),
        head.unsure,
    )


# An unknown word is placed by its nearest known ones, as the model hears them in this sentence.
_SENTENCE = "I feel {}."
_NEIGHBOURS = 8
_SHARPNESS = 20.0


class Lexicon:
    """The known words by one model's embeddings."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.words = [w for name, more in _core.emotion_words().items() for w in (name, *more)]
        self.vectors = self.embed(self.words)

    def embed(self, words: Sequence[str]) -> FloatArray:
        """Of length 1, ``float32 [words, width]``."""
        vectors = self._model.embed([_SENTENCE.format(w.replace("_", " ")) for w in words])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / lengths, np.float32)

    def place(self, similarities: FloatArray, onto: LabelMapping) -> Label | None:
        """Where a word with these similarities to the known ones belongs, and what part of its
        neighbours' votes says so."""
        votes: dict[str, float] = {}
        voters = 0
        for i in np.argsort(-similarities, kind="stable").tolist():
            group = map_label(self.words[i], onto)
            if group is not None:
                weight = float(np.exp(_SHARPNESS * similarities[i]))
                votes[group] = votes.get(group, 0.0) + weight
                voters += 1
                if voters == _NEIGHBOURS:
                    break
        if not votes:
            return None
        best = max(votes, key=lambda group: votes[group])
        return Label(best, votes[best] / sum(votes.values()))


def map_words(model: Model, words: Sequence[str], onto: LabelMapping) -> list[Label]:
    """What `Model.map_words` returns."""
    if isinstance(words, str) or not isinstance(words, Sequence):
        raise InputError(f"words is {type(words).__name__}; give a list of str")
    if not words:
        return []
    rows = rows_of(list(words), argument="words")
    if rows.pairs is not None:
        raise InputError("words are str, not pairs")
    known = [map_label(word, onto) for word in rows.texts]
    unknown = [word for word, group in zip(rows.texts, known, strict=True) if group is None]
    placed: dict[str, Label] = {}
    if unknown:
        lexicon = model._lexicon()
        for word, row in zip(unknown, lexicon.embed(unknown) @ lexicon.vectors.T, strict=True):
            found = lexicon.place(row, onto)
            if found is None:
                raise InputError(f"the map given has no word that is near {word!r}")
            placed[word] = found
    return [
        placed[word] if group is None else Label(group, 1.0)
        for word, group in zip(rows.texts, known, strict=True)
    ]

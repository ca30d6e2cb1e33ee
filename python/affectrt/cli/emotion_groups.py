"""Families of emotions as a picture shows them; which there are is the core's to say."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _core


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    valence: int  # 1 pleasant, -1 unpleasant, 0 neither
    colour: str
    labels: frozenset[str]


_COLOURS = {
    "joy": "#e8a917",
    "love": "#d65a86",
    "surprise": "#8c6bb1",
    "neutral": "#9aa3ab",
    "sadness": "#3f7fbf",
    "fear": "#2f9e8f",
    "anger": "#c8452f",
}


def _labels(family: str) -> frozenset[str]:
    words = (word for name, more in _core.emotion_words().items() for word in (name, *more))
    return frozenset(word for word in words if _core.map_label("families", word) == family)


GROUPS = tuple(
    Group(name, valence, _COLOURS[name], _labels(name))
    for name, valence in _core.emotion_families()
)

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
GROUPS = tuple(
    Group(name, valence, _COLOURS[name], frozenset({name, *labels.split()}))
    for name, valence, labels in _core.emotion_families()
)

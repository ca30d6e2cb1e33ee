"""Families of emotions: which labels are pleasant, and which stand together in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    valence: int  # 1 pleasant, -1 unpleasant, 0 neither
    colour: str
    labels: frozenset[str]


def _group(name: str, valence: int, colour: str, labels: str) -> Group:
    return Group(name, valence, colour, frozenset({name, *labels.split()}))


# GoEmotions' own families (Demszky et al. 2020, sections 3.2 and 4.3: sentiment and Ekman groups),
# with the pleasant one split in two, and the names that other label sets use for the same.
GROUPS = (
    _group(
        "joy",
        1,
        "#e8a917",
        "happiness happy amusement excitement optimism pride proud relief approval "
        "admiration joyful content hopeful confident impressed anticipating",
    ),
    _group("love", 1, "#d65a86", "affection caring desire gratitude grateful trusting faithful"),
    _group("surprise", 0, "#8c6bb1", "realization confusion curiosity surprised"),
    _group("neutral", 0, "#9aa3ab", "others no_emotion"),
    _group(
        "sadness",
        -1,
        "#3f7fbf",
        "sad disappointment embarrassment grief remorse guilt shame lonely",
    ),
    _group("fear", -1, "#2f9e8f", "nervousness afraid terrified anxious apprehensive"),
    _group("anger", -1, "#c8452f", "angry annoyance disapproval annoyed furious disgust disgusted"),
)


def group_of(label: str) -> Group | None:
    """The family of `label`, by its name; `None` for a name that none claims."""
    name = label.strip().lower()
    return next((group for group in GROUPS if name in group.labels), None)


def shares(scores: Mapping[str, float]) -> dict[str, float]:
    """Each group's part of all scores, summing to 1, for `{label: probability}`."""
    sums = {group.name: 0.0 for group in GROUPS}
    for label, score in scores.items():
        group = group_of(label)
        if group is not None:
            sums[group.name] += score
    total = sum(sums.values())
    return {name: value / total for name, value in sums.items()} if total > 0 else sums


def valence(parts: Mapping[str, float]) -> float:
    """Pleasant minus unpleasant share, in [-1, 1]."""
    return sum(group.valence * parts.get(group.name, 0.0) for group in GROUPS)

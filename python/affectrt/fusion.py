"""What the words and the voice of one turn say together.

>>> from affectrt.fusion import fuse
>>> from affectrt.results import HeadResult, Label
>>> said = (Label("joy", 0.5), Label("anger", 0.4))
>>> words = HeadResult("emotion", "multi_label", said, ("joy",), False)
>>> heard = (Label("anger", 0.9), Label("neutral", 0.1))
>>> voice = HeadResult("emotion", "single_label", heard, ("anger",), False)
>>> fuse(words, voice).label
'anger'

Emotions are families, as in a conversation's arc: joy, love, surprise, neutral, sadness, fear,
anger (with disgust). Weights were learned on lines of dialogue and recordings that were paired by
emotion, since no pack has both of one turn: bench/results/fusion.md says what that is worth. Where
one of the two is missing, the other answers with weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _core
from .errors import InputError
from .results import HeadResult, Result
from .speech_results import SpeechResult
from .speech_stream import Segment
from .turns import Turn

__all__ = ["FAMILIES", "Fused", "fuse"]

FAMILIES: tuple[str, ...] = tuple(family[0] for family in _core.emotion_families())
_VALENCE = {family[0]: family[1] for family in _core.emotion_families()}


@dataclass(frozen=True, slots=True)
class Fused:
    """The answer to a turn by its words, its voice, or both."""

    mix: Mapping[str, float]
    """Probability of each family; they sum to 1, all families being as frequent."""
    modalities: tuple[str, ...]
    """What it was made of: "text", "speech"."""

    @property
    def label(self) -> str:
        """The most probable family."""
        return max(self.mix, key=lambda family: self.mix[family])

    @property
    def score(self) -> float:
        """Its probability."""
        return self.mix[self.label]

    @property
    def valence(self) -> float:
        """Pleasant minus unpleasant part of `mix`, in [-1, 1]."""
        return sum(_VALENCE[family] * share for family, share in self.mix.items())

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "score": self.score,
            "valence": self.valence,
            "mix": dict(self.mix),
            "modalities": list(self.modalities),
        }


def shares_of(answer: Any, argument: str) -> list[float]:
    """Each family's part of the scores of an answer to the "text" or "speech" that `argument`
    names."""
    voice = argument == "speech"
    kinds: tuple[type[Any], ...] = (SpeechResult, Segment) if voice else (Result, Turn)
    if isinstance(answer, Turn):
        answer = answer.result
    head = answer if isinstance(answer, HeadResult) else None
    if isinstance(answer, kinds):
        head = next(iter(answer.heads.values()))
    if head is None:
        names = ", ".join(kind.__name__ for kind in (*kinds, HeadResult))
        raise InputError(f"{argument} is {type(answer).__name__}; give one of: {names}, or None")
    shares = None
    if head.task in ("single_label", "multi_label"):
        labels = [one.label for one in head.labels]
        shares = _core.family_shares(labels, [one.score for one in head.labels], voice)
    if shares is None:
        raise InputError(
            f"{argument}: head {head.name!r} ({head.task}) names no emotions of a known family"
        )
    return shares


def fuse(
    text: Result | Turn | HeadResult | None,
    speech: SpeechResult | Segment | HeadResult | None,
) -> Fused:
    """Late fusion of the answers to the words and to the voice of one turn; either may be missing.

    The probability of a family is proportional to exp(bias + a ln(its share in the words) + b
    ln(its share in the voice)); of a result the first head counts. Raises `InputError` where both
    are missing, or a head names no emotions.
    """
    if text is None and speech is None:
        raise InputError("text and speech are both None; at least one is needed")
    words = None if text is None else shares_of(text, "text")
    voice = None if speech is None else shares_of(speech, "speech")
    mix = _core.fuse(words, voice)
    given = (("text", words), ("speech", voice))
    return Fused(dict(zip(FAMILIES, mix, strict=True)), tuple(n for n, v in given if v is not None))

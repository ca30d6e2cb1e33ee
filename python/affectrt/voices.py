"""What a conversation keeps of voices: how their emotions were spread, not the sound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import InputError
from .fusion import FAMILIES, Fused, fuse_shares, shares_of
from .speech import SpeechModel
from .turns import ArcPoint

if TYPE_CHECKING:
    from .speech_results import SpeechResult

_KEY = "voices"


@dataclass(frozen=True, slots=True)
class Voice:
    """Of a turn that was heard: each family's part of the voice's emotion scores, and whether the
    turn has words as well."""

    shares: tuple[float, ...]
    has_words: bool


def voice_of(answer: SpeechResult, has_words: bool) -> Voice:
    """What is kept of an answer."""
    return Voice(tuple(shares_of(answer, "speech")), has_words)


class Voices:
    """The voices of the turns of one conversation, by the number of the turn."""

    def __init__(self, model: SpeechModel) -> None:
        if not isinstance(model, SpeechModel):
            raise InputError(
                f'speech is {type(model).__name__}; give a speech model, as in load("speech")'
            )
        head = model.info.heads[0]
        ones = [1.0] * len(head.labels)
        labelled = head.task in ("single_label", "multi_label")
        if not labelled or _core.family_shares(list(head.labels), ones, True) is None:
            raise InputError(
                f"speech: the first head of {model.info.name!r} is {head.name!r} ({head.task}), "
                "which names no emotions of a known family"
            )
        self.model = model
        self._of: dict[int, Voice] = {}

    def __contains__(self, turn: int) -> bool:
        return turn in self._of

    def is_wordless(self, turn: int) -> bool:
        """Whether a turn was heard and has no words."""
        voice = self._of.get(turn)
        return voice is not None and not voice.has_words

    def keep(self, turn: int, voice: Voice, most: int) -> None:
        """That of a new turn; what is more than `most` turns ago is forgotten."""
        self._of[turn] = voice
        for old in [number for number in self._of if number <= turn - most]:
            del self._of[old]

    def fused(self, turn: int, mix: Sequence[float] | None) -> Fused | None:
        """A turn's words, whose families have the parts `mix`, and its voice; what is missing is
        left out, and where both are, there is None."""
        voice = self._of.get(turn)
        words = None if mix is None or self.is_wordless(turn) else list(mix)
        heard = None if voice is None else list(voice.shares)
        if words is None and heard is None:
            return None
        return fuse_shares(words, heard)

    def point(self, of_words: ArcPoint) -> ArcPoint:
        """A turn's place in the course of emotions, by all that is known of it."""
        mix = None if of_words.mix is None else list(of_words.mix.values())
        fused = self.fused(of_words.turn, mix)
        if fused is None:
            return of_words
        return ArcPoint(of_words.turn, fused.label, fused.score, fused.valence, fused.mix)

    def added_to(self, state: str) -> str:
        """A conversation's state with that of its voices."""
        told = json.loads(state)
        told[_KEY] = {
            "model": self._identity(),
            "turns": [
                {
                    "turn": turn,
                    "has_words": v.has_words,
                    "mix": dict(zip(FAMILIES, v.shares, strict=True)),
                }
                for turn, v in self._of.items()
            ],
        }
        return json.dumps(told, ensure_ascii=False)

    def _identity(self) -> dict[str, str]:
        info = self.model.info
        text = self.model._core.raw_manifest
        return {"name": info.name, "sha256": hashlib.sha256(text.encode()).hexdigest()}

    @classmethod
    def restored(cls, model: SpeechModel | None, state: str, turns: int) -> Voices | None:
        """Those of a conversation's state that is known to be good but for them."""
        told = json.loads(state).get(_KEY)
        made = None if model is None else cls(model)
        if told is None:
            return made
        where = f"the saved conversation: {_KEY}"
        if made is None:
            raise InputError(
                f'{where}: it was held with a speech model; give it as speech=load("speech")'
            )
        try:
            name, known = told["model"]["name"], told["model"]["sha256"]
            if known != made._identity()["sha256"]:
                raise InputError(
                    f"{where}: it was held with {name!r} of other weights or labels than "
                    f"{made.model.info.name!r}"
                )
            for turn in told["turns"]:
                made._read(turn, turns)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{where} is damaged: {error!r}") from None
        return made

    def _read(self, turn: Any, turns: int) -> None:
        number, has_words = turn["turn"], turn["has_words"]
        shares = tuple(turn["mix"][family] for family in FAMILIES)
        if type(number) is not int or not 1 <= number <= turns or type(has_words) is not bool:
            raise ValueError(f"turn {number!r}")
        if not all(type(share) in (int, float) and 0 <= share <= 1 for share in shares):
            raise ValueError(f"mix of turn {number}")
        self._of[number] = Voice(tuple(map(float, shares)), has_words)

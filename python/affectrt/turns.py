"""What a conversation answers: plain, immutable values without a tie to the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .results import Heads, Label, Result, _short

if TYPE_CHECKING:
    from .fusion import Fused
    from .label_maps import LabelMapping
    from .speech_results import SpeechResult


@dataclass(frozen=True, slots=True)
class Cause:
    """A turn that caused the emotion of a later one, or of itself.

    `turn` counts from 1. `start` and `end` are characters of that turn's text, and `text` the words
    between them; `None` where the model names turns but no words. `score` is the probability that
    the turn is a cause.
    """

    turn: int
    start: int | None
    end: int | None
    text: str | None
    score: float

    def to_dict(self) -> dict[str, Any]:
        words = {} if self.text is None else {"start": self.start, "end": self.end}
        said = {} if self.text is None else {"text": self.text}
        return {"turn": self.turn, **words, **said, "score": self.score}


@dataclass(frozen=True, slots=True)
class ArcPoint:
    """A turn's place in the course of emotions.

    `mix` is each family's part of all emotion scores, `valence` the pleasant minus the unpleasant
    part of it, in [-1, 1] (without such a head, that of a head `vad` within its range), and
    `emotion` the label with its `score`. What the model has no head for is `None`.
    """

    turn: int
    emotion: str | None
    score: float | None
    valence: float | None
    mix: Mapping[str, float] | None = field(hash=False)

    def to_dict(self) -> dict[str, Any]:
        mix = None if self.mix is None else dict(self.mix)
        return {
            "turn": self.turn,
            "emotion": self.emotion,
            "score": self.score,
            "valence": self.valence,
            "mix": mix,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    """The answer to one turn of a conversation.

    `number` counts from 1. `result` has the answers of all heads that judge a turn; those that
    judge how it answers the one before (empathy, fit) only where that was another speaker's
    (`is_reply`). `causes` are the turns, this one among them, that caused its emotion, or `None`
    where the model cannot tell. `arc` ends in this turn and has at most a dozen; the conversation's
    own has all that are remembered.

    In a conversation with a speech model, `voice` is its answer to the turn's audio, and `fused`
    what words and voice say together, of which `valence` and the last point of `arc` are made. The
    `result` of a turn without words has an empty text and the voice's heads.
    """

    number: int
    speaker: str
    result: Result
    is_reply: bool
    causes: tuple[Cause, ...] | None
    arc: tuple[ArcPoint, ...]
    voice: SpeechResult | None = None
    fused: Fused | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """What its emotion was read from: "text", "speech"."""
        return ("text",) if self.fused is None else self.fused.modalities

    @property
    def text(self) -> str:
        return self.result.text

    @property
    def heads(self) -> Heads:
        """The answers by the name of the head."""
        return self.result.heads

    @property
    def emotions(self) -> tuple[Label, ...]:
        """All labels of the first head, highest score first."""
        return self.result.emotions

    @property
    def decided(self) -> tuple[str, ...]:
        """The labels that belong to the answer of the first head, highest score first."""
        return self.result.decided

    @property
    def unsure(self) -> bool:
        return self.result.unsure

    @property
    def truncated(self) -> bool:
        """Whether the turn was longer than the model reads."""
        return self.result.truncated

    @property
    def point(self) -> ArcPoint:
        return self.arc[-1]

    @property
    def valence(self) -> float | None:
        """In [-1, 1]."""
        return self.point.valence

    @property
    def vad(self) -> dict[str, float] | None:
        """Valence, arousal and dominance as the model's head gives them."""
        head = self.heads.get("vad")
        return None if head is None else head.values

    @property
    def empathy(self) -> dict[str, str] | None:
        """Of a reply: the level of each kind of empathy that the model tells."""
        levels = {
            name.removeprefix("empathy_"): head.decided[0]
            for name, head in self.heads.items()
            if name.startswith("empathy_") and head.decided and head.task != "token_flags"
        }
        return levels or None

    @property
    def act(self) -> str | None:
        """The dialogue act."""
        return self._label("act") or self._label("act4")

    @property
    def strategy(self) -> str | None:
        """The strategy of emotional support."""
        return self._label("strategy")

    @property
    def stage(self) -> str | None:
        """The stage of emotional support."""
        return self._label("stage")

    def _label(self, name: str) -> str | None:
        head = self.heads.get(name)
        return head.decided[0] if head is not None and head.decided else None

    def prompt(
        self, format: str = "text", *, template: str | os.PathLike[str] | None = None, top: int = 3
    ) -> str:
        """What is known of this turn as a fragment for the prompt of a language model.

        A shortlist of at most `top` emotions with calibrated scores, and the words that caused
        them, after HEF (Yang et al. 2024, "Enhancing Empathetic Response Generation by Augmenting
        LLMs with Small-scale Empathetic Models"), with what else the model tells. `format` is
        "text" or "json". `template` is the path of a template of your own; docs/python.md says how
        one is written.

        Raises `InputError` for another format and for a template with a field that does not exist.
        """
        from .prompts import render

        return render(self, format, template, top)

    def mapped(self, onto: LabelMapping = "ekman") -> Turn:
        """This turn with the answers of `Result.mapped`; its arc stays as it is."""
        return replace(self, result=self.result.mapped(onto))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`.

        Keys: `turn`, `speaker`, those of `Result.to_dict()`, `is_reply`; `valence`, `mix` and
        `causes` where the model tells them; in a conversation with a speech model `modalities`,
        `fused` (`label` and `score`) and, of what was heard, `voice` (`SpeechResult.to_dict()`).
        """
        record: dict[str, Any] = {"turn": self.number, "speaker": self.speaker}
        record |= self.result.to_dict()
        record["is_reply"] = self.is_reply
        if self.valence is not None:
            record["valence"] = self.valence
        if self.point.mix is not None:
            record["mix"] = dict(self.point.mix)
        if self.causes is not None:
            record["causes"] = [cause.to_dict() for cause in self.causes]
        if self.fused is not None:
            record["modalities"] = list(self.modalities)
            record["fused"] = {"label": self.fused.label, "score": self.fused.score}
        if self.voice is not None:
            record["voice"] = self.voice.to_dict()
        return record

    def __repr__(self) -> str:
        emotion = ", ".join(self.decided) or f"nearest {self.emotions[0].label}"
        causes = f", {len(self.causes)} causes" if self.causes else ""
        said = repr(_short(self.text)) if "text" in self.modalities else "without words"
        return f"Turn({self.number}, {self.speaker!r}: {said}: {emotion}{causes})"

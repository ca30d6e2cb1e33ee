"""A conversation that remembers: turns in, answers in the light of what was said before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from . import _core
from .additions import Addition, add, additions_to
from .errors import InputError
from .inputs import Rows, _kind
from .label_maps import map_labels
from .results import Result
from .turns import ArcPoint, Cause, Turn

if TYPE_CHECKING:
    from .evidence import Explanation
    from .fusion import Fused
    from .model import Model, Progress
    from .results import HeadResult, Label
    from .retrieval import Index
    from .sounds import SoundLike
    from .speech import SpeechModel
    from .speech_results import SpeechResult

_ARC_OF_A_TURN = 12
# Families of emotions that heads are told by another name.
_TOLD = {"love": "joy"}
# Of a personality, in the order that heads were trained with.
_TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


def _told_traits(personality: Mapping[str, float] | None) -> str:
    """As heads read them: each trait in tenths."""
    told = dict(personality or {})
    for name, value in told.items():
        if name not in _TRAITS:
            raise InputError(f"there is no trait {name!r}; there are {', '.join(_TRAITS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"trait {name!r} is {value!r}; give a number from 0 to 1")
    return " ".join(f"{name} {round(10 * told[name])}" for name in _TRAITS if name in told)


def core_of(speech: SpeechModel | None) -> _core.SpeechModel | None:
    from .speech import SpeechModel

    if speech is None or isinstance(speech, SpeechModel):
        return None if speech is None else speech._core
    raise InputError(f'speech is {_kind(speech)}; give a speech model, as in load("speech")')


def _fused(point: ArcPoint, of_words: bool, of_voice: bool) -> Fused | None:
    if not of_words and not of_voice:
        return None
    from .fusion import Fused

    assert point.mix is not None
    given = (("text", of_words), ("speech", of_voice))
    return Fused(point.mix, tuple(name for name, is_there in given if is_there))


class Conversation:
    """Turns of any number of speakers; made by `Model.conversation`.

    Every turn is judged in the light of the dozen before it, and answers do not depend on whether
    turns are added one by one, at once, or beside those of other conversations. After an error all
    is as it was before the call.

    One conversation belongs to one thread at a time: a call that comes while another is in progress
    raises `InputError`. Different conversations, of one model too, may be used from any number of
    threads at once.
    """

    def __init__(
        self,
        model: Model,
        core: _core.Conversation,
        index: Index | None = None,
        speech: SpeechModel | None = None,
    ) -> None:
        self._model = model
        self._speech = speech
        self._core = core
        if index is not None:
            index._check_conversation(model, tuple(model.heads[head] for head in core.heads))
        self._index = index
        self._families = tuple(name for name, _ in _core.emotion_families())

    def add(
        self,
        speaker: str,
        text: str | None = None,
        *,
        audio: SoundLike | None = None,
        sample_rate: int | None = None,
        emotion: str | None = None,
        progress: Progress | None = None,
    ) -> Turn:
        """Adds a turn and answers it.

        A conversation with a speech model takes `text`, `audio` (what the speech model takes as one
        clip; `sample_rate` is of arrays, in Hz) or both. Words and voice are fused
        (`affectrt.fusion`): `Turn.fused`, `valence` and `arc` are of both, `Turn.modalities` says
        of what. Audio with nothing to hear counts as none. Of a turn without words later ones see
        that it was said, as "...", and not what.

        `emotion` is the turn's emotion where it is known ("anger", "disgust", "fear", "joy",
        "sadness", "surprise" or "neutral"): causes are then looked for in its light, and not in
        that of the model's own answer to the words (of a turn without, to the voice).

        Raises `InputError` for a turn without speaker, or with neither text nor a voice, naming its
        number; what the speech model raises for its audio; `BackendError` when inference fails.
        """
        turn = Addition(self, self._core.turns + 1, speaker, text, audio, emotion)
        return add([turn], sample_rate, progress)[0]

    def add_all(
        self,
        turns: Iterable[tuple[str, str] | tuple[str, str | None, SoundLike | None]],
        *,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> list[Turn]:
        """Adds turns `(speaker, text)` or `(speaker, text, audio)` in order, all in one batch; all
        of them or, after an error, none.

        Audio is taken, and either of text and audio may be None, as of `add`; `sample_rate` is of
        arrays that come without their own.
        """
        return add(additions_to(self, turns), sample_rate, progress)

    def explain(
        self,
        turn: int | None = None,
        head: str | None = None,
        label: str | None = None,
        top: int = 5,
    ) -> Explanation:
        """The words of turn number `turn` (the last one if not given) that carried an answer.

        As `Model.explain`, with the turns before it as they were. Raises `InputError` for a turn
        that is forgotten or was never said.
        """
        from .evidence import explain_turn

        return explain_turn(self, turn, head, label, top)

    def reply_emotion(
        self,
        speaker: str,
        *,
        personality: Mapping[str, float] | None = None,
        emotion: str | None = None,
    ) -> HeadResult:
        """The emotion that `speaker`'s answer to the last turn will have, before it is given.

        `personality` are traits of the Big Five, each from 0 to 1. `emotion` is that of `speaker`'s
        own last turn where it is known; if not given, the model's own answer. Nothing is added.

        Raises `InputError` where the model has no head that judges replies, nothing was said yet,
        `speaker` said the last turn, or for a trait that there is not.
        """
        infos = self._model.info.heads
        index = next((i for i, info in enumerate(infos) if info.input == "reply"), None)
        if index is None:
            raise InputError(f"{self._model.info.name!r} has no head that judges before a reply")
        if not isinstance(speaker, str):
            raise InputError(f"speaker is {_kind(speaker)}; give a name as str")
        told = self._told_emotion(speaker) if emotion is None else emotion
        scores = self._core.expect(speaker, told or "", _told_traits(personality), index)
        return self._model._decoded(index, scores.logits)

    def _told_emotion(self, speaker: str) -> str | None:
        """What the model says of `speaker`'s last turn that is remembered."""
        own = [turn for turn in self._core.said() if turn[1] == speaker]
        for number, emotion, *_, of_voice in self._core.arc() if own else ():
            if number == own[-1][0] and of_voice and emotion is not None:
                return _TOLD.get(emotion, emotion)
        for head in self._core.heads if own else ():
            info = self._model.info.heads[head]
            if info.task == "single_label" and set(info.labels) == set(map_labels("ekman")):
                number, _, text = own[-1]
                try:
                    scores = self._core.scores([(speaker, text, None)], number, head)
                except InputError:  # what came before it is forgotten
                    return None
                return self._model._decoded(head, scores.logits).decided[0]
        return None

    def rank_replies(self, speaker: str, replies: Sequence[str]) -> list[Label]:
        """Candidate replies of `speaker`, the one that fits the conversation's feelings best first.

        Each with its score of the head `reply_fit`. Nothing is added. Raises `InputError` where the
        model has no such head, or nothing was said yet.
        """
        from .evidence import rank_replies

        return rank_replies(self, speaker, replies)

    @property
    def model(self) -> Model:
        return self._model

    @property
    def index(self) -> Index | None:
        """The labelled turns whose votes answers are blended with."""
        return self._index

    @property
    def turns(self) -> int:
        """How many turns were added in all."""
        return self._core.turns

    @property
    def max_turns(self) -> int:
        return self._core.max_turns

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that answer for a turn, the first one the primary."""
        return tuple(self._model.heads[index] for index in self._core.heads)

    @property
    def arc(self) -> tuple[ArcPoint, ...]:
        """The course of emotions over the last `max_turns` turns, oldest first."""
        return tuple(self._point(*point) for point in self._core.arc())

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """`(speaker, text)` of the last `max_turns` turns, oldest first; "" without words."""
        return tuple((speaker, text) for _, speaker, text in self._core.said())

    def to_json(self) -> str:
        """All that is remembered, the texts among it; of audio the emotions, not the sound."""
        return self._core.state_json()

    @classmethod
    def from_json(
        cls,
        model: Model,
        state: str,
        *,
        index: Index | None = None,
        speech: SpeechModel | None = None,
    ) -> Conversation:
        """The conversation that `to_json` told, with the same model files; `index` and `speech` as
        of `Model.conversation`, since the state does not hold them.

        Raises `InputError` for what is no such state and for that of another model,
        `UnsupportedError` for one of a later version.
        """
        if not isinstance(state, str):
            raise InputError(f"state is {_kind(state)}; give the str that to_json returned")
        core = _core.Conversation.restore(model._core, state, core_of(speech))
        return cls(model, core, index, speech)

    def _point(
        self,
        turn: int,
        emotion: str | None,
        score: float,
        valence: float | None,
        mix: list[float] | None,
        *_: bool,
    ) -> ArcPoint:
        return ArcPoint(
            turn,
            emotion,
            None if emotion is None else score,
            valence,
            None if mix is None else dict(zip(self._families, mix, strict=True)),
        )

    def _before(self) -> list[ArcPoint]:
        """The end of the arc, to be asked for before turns are added."""
        return [self._point(*point) for point in self._core.arc(_ARC_OF_A_TURN - 1)]

    def _made(
        self,
        before: list[ArcPoint],
        answer: _core.TurnAnswer,
        voice: SpeechResult | None,
    ) -> Turn:
        """The turn of an answer, after the end of the arc as it was before it."""
        arc = (*before[1 - _ARC_OF_A_TURN :], self._point(*answer.point))
        if voice is not None and not answer.text:
            result = Result("", None, voice.heads, False)
        else:
            result = self._model._results(Rows([answer.text], None, True), answer.prediction)[0]
            if self._index is not None:
                result = self._index._blended(result, answer.prediction)
        causes = None
        if answer.causes is not None:
            causes = tuple(
                Cause(turn, start, end, text, score)
                if end >= 0
                else Cause(turn, None, None, None, score)
                for turn, score, decided, start, end, _, text in answer.causes
                if decided
            )
        return Turn(
            arc[-1].turn,
            answer.speaker,
            result,
            answer.is_reply,
            causes,
            arc,
            voice=voice,
            fused=_fused(arc[-1], *answer.point[-2:]),
        )

    def __len__(self) -> int:
        return self._core.turns

    def __repr__(self) -> str:
        return (
            f"<affectrt.Conversation of {self.turns} turns with {self._model.info.name!r}: "
            f"{', '.join(self.heads)}>"
        )


def add_turns(
    model: Model,
    additions: Iterable[object],
    sample_rate: int | None,
    progress: Progress | None,
) -> list[Turn]:
    checked = []
    numbers: dict[int, int] = {}
    for place, addition in enumerate(additions):
        if not isinstance(addition, tuple | list) or len(addition) not in (3, 4):
            raise InputError(
                f"additions[{place}] is {_kind(addition)}; give (conversation, speaker, text) or "
                "(conversation, speaker, text, audio)"
            )
        conversation = addition[0]
        if not isinstance(conversation, Conversation) or conversation._model is not model:
            what = "of another model" if isinstance(conversation, Conversation) else "none"
            raise InputError(f"additions[{place}]: its conversation is {what}; give one of this")
        number = numbers.get(id(conversation), conversation.turns) + 1
        numbers[id(conversation)] = number
        checked.append(Addition(conversation, number, *addition[1:]))
    return add(checked, sample_rate, progress)

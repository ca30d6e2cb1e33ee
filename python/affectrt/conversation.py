"""A conversation that remembers: turns in, answers in the light of what was said before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from . import _core
from .errors import InputError
from .inputs import Rows, _kind
from .label_maps import map_labels
from .turns import ArcPoint, Cause, Turn

if TYPE_CHECKING:
    from .evidence import Explanation
    from .model import Model, Progress
    from .results import HeadResult, Label
    from .retrieval import Index

_ARC_OF_A_TURN = 12
# Of a personality, in the order that heads were trained with.
_TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")


def _checked(value: object, what: str, number: int) -> str:
    if not isinstance(value, str):
        example = {"speaker": 'a name, such as "A"', "text": "what was said"}.get(what, "a name")
        raise InputError(f"turn {number}: its {what} is {_kind(value)}; give {example} as str")
    if what == "text" and value.isspace():
        raise InputError(
            f"turn {number} is only white space; give a text with at least one visible character"
        )
    return value


def _new_turn(
    speaker: object, text: object, emotion: object, number: int
) -> tuple[str, str, str | None]:
    told = None if emotion is None else _checked(emotion, "emotion", number)
    return _checked(speaker, "speaker", number), _checked(text, "text", number), told


def _told_traits(personality: Mapping[str, float] | None) -> str:
    """As heads read them: each trait in tenths."""
    told = dict(personality or {})
    for name, value in told.items():
        if name not in _TRAITS:
            raise InputError(f"there is no trait {name!r}; there are {', '.join(_TRAITS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"trait {name!r} is {value!r}; give a number from 0 to 1")
    return " ".join(f"{name} {round(10 * told[name])}" for name in _TRAITS if name in told)


class Conversation:
    """Turns of any number of speakers; made by `Model.conversation`.

    Every turn is judged in the light of the dozen before it, and answers do not depend on whether
    turns are added one by one, at once, or beside those of other conversations. After an error all
    is as it was before the call.

    One conversation belongs to one thread at a time: a call that comes while another is in progress
    raises `InputError`. Different conversations, of one model too, may be used from any number of
    threads at once.
    """

    def __init__(self, model: Model, core: _core.Conversation, index: Index | None = None) -> None:
        self._model = model
        self._core = core
        if index is not None:
            index._check_conversation(model, tuple(model.heads[head] for head in core.heads))
        self._index = index
        self._families = tuple(name for name, _ in _core.emotion_families())

    def add(
        self,
        speaker: str,
        text: str,
        *,
        emotion: str | None = None,
        progress: Progress | None = None,
    ) -> Turn:
        """Adds a turn and answers it.

        `emotion` is the turn's emotion where it is known ("anger", "disgust", "fear", "joy",
        "sadness", "surprise" or "neutral"): causes are then looked for in its light, and not in
        that of the model's own answer.

        Raises `InputError` for a turn without speaker or text, naming its number; `BackendError`
        when inference fails.
        """
        number = self._core.turns + 1
        turn = _new_turn(speaker, text, emotion, number)
        before = self._before()
        return self._made(before, self._core.add([turn], progress, self._index is not None))[0]

    def add_all(
        self, turns: Iterable[tuple[str, str]], *, progress: Progress | None = None
    ) -> list[Turn]:
        """Adds turns `(speaker, text)` in order, all in one batch; all of them or, after an error,
        none."""
        first = self._core.turns + 1
        checked = []
        for number, turn in enumerate(turns, start=first):
            if not isinstance(turn, tuple | list) or len(turn) != 2:
                raise InputError(f"turn {number} is {_kind(turn)}; give (speaker, text)")
            checked.append(_new_turn(*turn, None, number))
        before = self._before()
        return self._made(before, self._core.add(checked, progress, self._index is not None))

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
        """`(speaker, text)` of the last `max_turns` turns, oldest first."""
        return tuple((speaker, text) for _, speaker, text in self._core.said())

    def to_json(self) -> str:
        """All that is remembered, the texts among it."""
        return self._core.state_json()

    @classmethod
    def from_json(cls, model: Model, state: str, *, index: Index | None = None) -> Conversation:
        """The conversation that `to_json` told, with the same model file; `index` as of
        `Model.conversation`, since the state does not hold it.

        Raises `InputError` for what is no such state and for that of another model,
        `UnsupportedError` for one of a later version.
        """
        if not isinstance(state, str):
            raise InputError(f"state is {_kind(state)}; give the str that to_json returned")
        return cls(model, _core.Conversation.restore(model._core, state), index)

    def _point(
        self,
        turn: int,
        emotion: str | None,
        score: float,
        valence: float | None,
        mix: list[float] | None,
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

    def _made(self, before: list[ArcPoint], answers: Sequence[_core.TurnAnswer]) -> list[Turn]:
        arc, made = before, []
        for answer in answers:
            arc = [*arc[1 - _ARC_OF_A_TURN :], self._point(*answer.point)]
            made.append(self._turn(answer, tuple(arc)))
        return made

    def _turn(self, answer: _core.TurnAnswer, arc: tuple[ArcPoint, ...]) -> Turn:
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
        return Turn(arc[-1].turn, answer.speaker, result, answer.is_reply, causes, arc)

    def __len__(self) -> int:
        return self._core.turns

    def __repr__(self) -> str:
        return (
            f"<affectrt.Conversation of {self.turns} turns with {self._model.info.name!r}: "
            f"{', '.join(self.heads)}>"
        )


def add_turns(
    model: Model,
    additions: Iterable[tuple[Conversation, str, str]],
    progress: Progress | None,
) -> list[Turn]:
    checked = []
    numbers: dict[int, int] = {}
    for place, addition in enumerate(additions):
        if not isinstance(addition, tuple | list) or len(addition) != 3:
            raise InputError(
                f"additions[{place}] is {_kind(addition)}; give (conversation, speaker, text)"
            )
        conversation, speaker, text = addition
        if not isinstance(conversation, Conversation) or conversation._model is not model:
            what = "of another model" if isinstance(conversation, Conversation) else "none"
            raise InputError(f"additions[{place}]: its conversation is {what}; give one of this")
        number = numbers.get(id(conversation), conversation.turns) + 1
        numbers[id(conversation)] = number
        checked.append((conversation, _new_turn(speaker, text, None, number)))
    arcs = {id(c): c._before() for c, _ in checked}
    embeddings = any(c._index is not None for c, _ in checked)
    answers = _core.add_turns([(c._core, *turn) for c, turn in checked], progress, embeddings)
    made = []
    for (conversation, _), answer in zip(checked, answers, strict=True):
        [turn] = conversation._made(arcs[id(conversation)], [answer])
        arcs[id(conversation)] = list(turn.arc)
        made.append(turn)
    return made

"""A conversation that remembers: turns in, answers in the light of what was said before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from . import _core
from .errors import InputError
from .inputs import Rows, _kind
from .turns import ArcPoint, Cause, Turn

if TYPE_CHECKING:
    from .evidence import Explanation
    from .model import Model, Progress
    from .results import Label

_ARC_OF_A_TURN = 12


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


class Conversation:
    """Turns of any number of speakers; made by `Model.conversation`.

    Every turn is judged in the light of the dozen before it, and answers do not depend on whether
    turns are added one by one, at once, or beside those of other conversations. After an error all
    is as it was before the call.

    One conversation belongs to one thread at a time: a call that comes while another is in progress
    raises `InputError`. Different conversations, of one model too, may be used from any number of
    threads at once.
    """

    def __init__(self, model: Model, core: _core.Conversation) -> None:
        self._model = model
        self._core = core
        self._families = tuple(name for name, _, _ in _core.emotion_families())

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
        return self._made(before, self._core.add([turn], progress))[0]

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
        return self._made(before, self._core.add(checked, progress))

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
    def from_json(cls, model: Model, state: str) -> Conversation:
        """The conversation that `to_json` told, with the same model file.

        Raises `InputError` for what is no such state and for that of another model,
        `UnsupportedError` for one of a later version.
        """
        if not isinstance(state, str):
            raise InputError(f"state is {_kind(state)}; give the str that to_json returned")
        return cls(model, _core.Conversation.restore(model._core, state))

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
    answers = _core.add_turns([(c._core, *turn) for c, turn in checked], progress)
    made = []
    for (conversation, _), answer in zip(checked, answers, strict=True):
        [turn] = conversation._made(arcs[id(conversation)], [answer])
        arcs[id(conversation)] = list(turn.arc)
        made.append(turn)
    return made

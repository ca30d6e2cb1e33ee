"""Turns that are about to be said, to one conversation or to many: checked, heard, added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from . import _core
from .errors import InputError
from .inputs import _kind
from .sounds import checked_rate, clip_of

if TYPE_CHECKING:
    from .conversation import Conversation
    from .model import Progress
    from .sounds import SoundLike
    from .speech import SpeechModel
    from .speech_results import SpeechResult
    from .turns import Turn


class Addition(NamedTuple):
    """A turn as it was given, and the number it will have."""

    to: Conversation
    number: int
    speaker: object
    text: object
    audio: SoundLike | None = None
    emotion: object = None


def additions_to(conversation: Conversation, turns: Iterable[object]) -> list[Addition]:
    """Of `(speaker, text)` or `(speaker, text, audio)`."""
    first = conversation.turns + 1
    made = []
    for number, turn in enumerate(turns, start=first):
        if not isinstance(turn, tuple | list) or len(turn) not in (2, 3):
            raise InputError(
                f"turn {number} is {_kind(turn)}; give (speaker, text) or (speaker, text, audio)"
            )
        made.append(Addition(conversation, number, *turn))
    return made


def add(
    additions: Sequence[Addition], sample_rate: int | None, progress: Progress | None
) -> list[Turn]:
    """Adds all of them, one batch for their sound and one for their words, or after an error none;
    `sample_rate` is of arrays that come without, in Hz."""
    voices = _heard(additions, sample_rate)
    turns = [_new_turn(a, voice) for a, voice in zip(additions, voices, strict=True)]
    arcs = {id(a.to): a.to._before() for a in additions}
    embeddings = any(a.to._index is not None for a in additions)
    # Nothing below fails once the core has them.
    answers = _core.add_turns(
        [(a.to._core, *turn) for a, turn in zip(additions, turns, strict=True)],
        progress,
        embeddings,
    )
    made = []
    for a, answer, voice in zip(additions, answers, voices, strict=True):
        turn = a.to._made(arcs[id(a.to)], answer, voice)
        arcs[id(a.to)] = list(turn.arc)
        made.append(turn)
    return made


def _heard(additions: Sequence[Addition], sample_rate: int | None) -> list[SpeechResult | None]:
    """What speech models say of the turns in which there is something to hear."""
    if sample_rate is not None:
        checked_rate(sample_rate, "sample_rate")
    heard: list[SpeechResult | None] = [None] * len(additions)
    of_model: dict[int, tuple[SpeechModel, list[int]]] = {}
    for place, a in enumerate(additions):
        speech = a.to._speech
        if speech is None and a.audio is not None:
            raise InputError(
                f"turn {a.number} has audio, but the conversation has no speech model; make it "
                'with conversation(speech=affectrt.load("speech"))'
            )
        if speech is None:
            continue
        if a.audio is not None:
            of_model.setdefault(id(speech), (speech, []))[1].append(place)
        elif a.text is None:
            raise InputError(
                f"turn {a.number} has neither text nor audio; give one of them, or both"
            )
    for model, places in of_model.values():
        clips = (
            clip_of(additions[i].audio, sample_rate, f"turn {additions[i].number}: its audio")
            for i in places
        )
        for place, answer in zip(places, model._hear(clips), strict=True):
            if answer.audible:
                heard[place] = answer
            elif additions[place].text is None:
                raise InputError(
                    f"turn {additions[place].number} has no text, and nothing can be heard in its "
                    f"audio ({answer.duration_s:.2f} s at {answer.level_dbfs:.0f} dB of full scale)"
                )
    return heard


def _new_turn(
    addition: Addition, voice: SpeechResult | None
) -> tuple[str, str | None, str | None, list[float] | None]:
    from .fusion import shares_of

    number, emotion, text = addition.number, addition.emotion, addition.text
    shares = None if voice is None else shares_of(voice, "speech")
    told = None if emotion is None else _checked(emotion, "emotion", number)
    words = None if text is None and voice is not None else _checked(text, "text", number)
    return _checked(addition.speaker, "speaker", number), words, told, shares


def _checked(value: object, what: str, number: int) -> str:
    if not isinstance(value, str):
        example = {"speaker": 'a name, such as "A"', "text": "what was said"}.get(what, "a name")
        raise InputError(f"turn {number}: its {what} is {_kind(value)}; give {example} as str")
    if what == "text" and value.isspace():
        raise InputError(
            f"turn {number} is only white space; give a text with at least one visible character"
        )
    return value

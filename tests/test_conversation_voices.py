"""Turns of a conversation with words, a voice, or both: fusion, state, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_packs
from c_conversation import CConversation

import affectrt
from affectrt import Conversation, Model, SpeechModel
from affectrt.errors import InputError, NotFoundError
from affectrt.fusion import FAMILIES, fuse

RATE = speech_packs.RATE
JOB = "I got the job! I'm so happy I could cry."
ANGRY = "You promised to be there. I'm so angry."
SILENCE = np.zeros(RATE, np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    return affectrt.load("text", num_threads=1)


@pytest.fixture(scope="module")
def speech() -> SpeechModel:
    return affectrt.load("speech", num_threads=1)


def voice(seed: int, emotion: str = "anger") -> Any:
    return speech_packs.clip(1.0, seed, emotion)


TURNS: list[tuple[str, str | None, Any]] = [
    ("Maya", JOB, voice(1, "happiness")),
    ("Tom", None, voice(2)),
    ("Maya", ANGRY, None),
    ("Tom", "Sorry.", voice(3, "sadness")),
    ("Tom", None, voice(4, "fear")),
    ("Maya", "Thank you.", None),
]


def add(conversation: Conversation, turn: tuple[str, str | None, Any]) -> Any:
    speaker, text, audio = turn
    return conversation.add(speaker, text, audio=audio, sample_rate=RATE)


def test_words_and_voice_are_fused_and_either_may_be_missing(
    model: Model, speech: SpeechModel
) -> None:
    conversation, plain = model.conversation(speech=speech), model.conversation()
    for turn in TURNS:
        made, words = add(conversation, turn), plain.add(turn[0], turn[1] or "...")
        heard = None if turn[2] is None else speech(turn[2], sample_rate=RATE)
        expected = fuse(None if turn[1] is None else words, heard)
        assert made.voice == heard
        assert made.modalities == expected.modalities
        assert made.fused.label == expected.label
        assert made.fused.mix == pytest.approx(expected.mix, abs=1e-6)
        assert made.valence == pytest.approx(expected.valence, abs=1e-6)
        assert made.point == conversation.arc[-1]
        assert made.point.emotion == expected.label
        assert tuple(made.point.mix) == FAMILIES
        record = json.loads(json.dumps(made.to_dict()))
        assert record["modalities"] == list(expected.modalities)
        assert record["fused"]["label"] == expected.label
        assert ("voice" in record) == (heard is not None)
        if turn[1] is None:  # the voice's own answers stand in the words' place
            assert heard is not None
            assert (made.text, made.heads) == ("", heard.heads)
            assert "without words" in repr(made)
        else:  # later words see of a turn without any that it was said
            assert made.result == words.result
        assert made.prompt("json")
    assert conversation.texts[1] == ("Tom", "")
    assert [len(conversation), conversation.arc[1].turn] == [6, 2]
    assert all(cause.text != "..." for cause in made.causes)
    with pytest.raises(InputError, match="turn 2 has no words to explain"):
        conversation.explain(2)
    assert conversation.explain(1).words
    assert conversation.reply_emotion("Tom").labels


def test_c_says_the_same(model: Model, speech: SpeechModel) -> None:
    conversation = model.conversation(speech=speech)
    expected = [add(conversation, turn).to_dict() for turn in TURNS]
    in_c = CConversation(model.info.path, speech.info.path)
    assert in_c.add([(who, text, None, audio) for who, text, audio in TURNS], RATE) == expected
    assert in_c.arc() == [point.to_dict() for point in conversation.arc]
    assert in_c.state() == conversation.to_json()


def test_saved_and_loaded_in_between_is_the_same(model: Model, speech: SpeechModel) -> None:
    through, saved = model.conversation(speech=speech), model.conversation(speech=speech)
    for turn in TURNS:
        state = saved.to_json()
        saved = Conversation.from_json(model, state, speech=speech)
        assert saved.to_json() == state
        assert add(saved, turn).to_dict() == add(through, turn).to_dict()
        assert (saved.arc, saved.texts) == (through.arc, through.texts)
    assert len(state) < 10_000  # numbers, not the sound


def test_one_by_one_at_once_and_in_batches(model: Model, speech: SpeechModel) -> None:
    ones, all_at_once, batch = (model.conversation(speech=speech) for _ in range(3))
    words_alone = model.conversation()
    turns = [add(ones, turn).to_dict() for turn in TURNS]
    made = all_at_once.add_all([*TURNS[:2], TURNS[2][:2], *TURNS[3:]], sample_rate=RATE)
    assert [turn.to_dict() for turn in made] == turns
    assert all_at_once.to_json() == ones.to_json()
    mixed = [((batch, *turn), (words_alone, "A", JOB)) for turn in TURNS]
    added = model.add_turns([one for pair in mixed for one in pair], sample_rate=RATE)
    assert [turn.to_dict() for turn in added[::2]] == turns
    assert {turn.modalities for turn in added[1::2]} == {("text",)}
    assert [turn["modalities"] for turn in turns[:3]] == [["text", "speech"], ["speech"], ["text"]]


def test_voices_of_turns_that_are_forgotten_are_forgotten(
    model: Model, speech: SpeechModel
) -> None:
    conversation = model.conversation(max_turns=2, speech=speech)
    for number in range(15):
        conversation.add("A", audio=voice(number % 3), sample_rate=RATE)
    assert [point.turn for point in conversation.arc] == [14, 15]
    assert len(json.loads(conversation.to_json())["voices"]["turns"]) == 12  # an arc of a turn
    at_once = model.conversation(max_turns=2, speech=speech)
    made = at_once.add_all([("A", None, voice(n % 3)) for n in range(15)], sample_rate=RATE)
    assert (at_once.to_json(), at_once.arc) == (conversation.to_json(), conversation.arc)
    assert all(turn.modalities == ("speech",) for turn in made)


def test_audio_with_nothing_to_hear_counts_as_none(model: Model, speech: SpeechModel) -> None:
    conversation = model.conversation(speech=speech)
    turn = conversation.add("Maya", JOB, audio=(SILENCE, RATE))
    assert (turn.modalities, turn.voice) == (("text",), None)
    assert turn.to_dict() == model.conversation(speech=speech).add("Maya", JOB).to_dict()


def test_files_are_taken_as_the_speech_model_takes_them(
    model: Model, speech: SpeechModel, tmp_path: Path
) -> None:
    file = speech_packs.write_wav(tmp_path / "a.wav", voice(1))
    turn = model.conversation(speech=speech).add("Maya", audio=file)
    assert turn.voice is not None
    assert turn.voice.source == str(file)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, InputError, "turn 2 has neither text nor audio"),
    ({"audio": (SILENCE, RATE)}, InputError, "turn 2 has no text, and nothing can be heard"),
    ({"text": "x", "audio": np.ones(RATE, np.float32)}, InputError, "sample"),
    ({"audio": (np.full(RATE, np.nan, np.float32), RATE)}, InputError, "NaN|finite"),
    ({"audio": "/nowhere.wav"}, NotFoundError, r"nowhere\.wav"),
    ({"audio": (voice(1), 7)}, InputError, "7 Hz"),
    ({"text": " ", "audio": (voice(1), RATE)}, InputError, "turn 2 is only white space"),
    ({"speaker": "", "audio": (voice(1), RATE)}, InputError, "turn 2 has no speaker"),
    ({"audio": (voice(1), RATE), "emotion": "glee"}, InputError, "no emotion 'glee'"),
]


@pytest.mark.parametrize(("turn", "kind", "message"), BAD)
def test_bad_turns_change_nothing(
    model: Model, speech: SpeechModel, turn: dict[str, Any], kind: type[Exception], message: str
) -> None:
    conversation = model.conversation(speech=speech)
    conversation.add("Maya", JOB, audio=(voice(1), RATE))
    before = conversation.to_json()
    with pytest.raises(kind, match=message):
        conversation.add(**{"speaker": "Tom", **turn})
    assert conversation.to_json() == before
    if "emotion" not in turn:
        said = (turn.get("speaker", "Tom"), turn.get("text"), turn.get("audio"))
        with pytest.raises(kind, match=message.replace("turn 2", "turn 3")):
            conversation.add_all([("Maya", JOB), said])
        with pytest.raises(kind, match=message):
            model.add_turns([(conversation, *said)])
    assert conversation.to_json() == before


def test_who_cannot_hear_says_so(model: Model, speech: SpeechModel) -> None:
    conversation = model.conversation()
    with pytest.raises(InputError, match="turn 1 has audio, but the conversation has no speech"):
        conversation.add("Maya", JOB, audio=(voice(1), RATE))
    with pytest.raises(InputError, match="turn 1: its text is None"):
        conversation.add("Maya")
    with pytest.raises(InputError, match="speech is Model; give a speech model"):
        model.conversation(speech=model)  # type: ignore[arg-type]


def test_states_of_other_models_and_damaged_ones_are_refused(
    model: Model, speech: SpeechModel
) -> None:
    conversation = model.conversation(speech=speech)
    conversation.add("Maya", audio=(voice(1), RATE))
    state = json.loads(conversation.to_json())
    with pytest.raises(InputError, match="held with the speech model 'speech', which is needed"):
        Conversation.from_json(model, json.dumps(state))
    for path, value in (
        (("model", "sha256"), "0"),
        (("model",), None),
        (("turns",), 3),
        (("turns", 0, "turn"), 2),
        (("turns", 0, "has_words"), "yes"),
        (("turns", 0, "mix", "joy"), 1.5),
        (("turns", 0, "mix"), {}),
    ):
        damaged = json.loads(json.dumps(state))
        place = damaged["voices"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(InputError, match="the saved conversation: voices"):
            Conversation.from_json(model, json.dumps(damaged), speech=speech)
    # What was held without a speech model may go on with one.
    plain = model.conversation()
    plain.add("Maya", JOB)
    heard = Conversation.from_json(model, plain.to_json(), speech=speech)
    assert heard.add("Tom", audio=(voice(1), RATE)).modalities == ("speech",)

"""A conversation through the C interface, by ctypes, to compare with Python's."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Sequence
from typing import Any

import affectrt


class Turn(ctypes.Structure):
    _fields_ = (
        ("conversation", ctypes.c_void_p),
        ("speaker", ctypes.c_char_p),
        ("speaker_size", ctypes.c_size_t),
        ("text", ctypes.c_char_p),
        ("text_size", ctypes.c_size_t),
        ("emotion", ctypes.c_char_p),
    )


class Sound(ctypes.Structure):
    _fields_ = (
        ("samples", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("sample_rate", ctypes.c_int32),
        ("channels", ctypes.c_int32),
    )


class Options(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("heads", ctypes.c_void_p),
        ("num_heads", ctypes.c_size_t),
        ("max_turns", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("speech", ctypes.c_void_p),
    )


class CConversation:
    """Of the files of models; turns are (speaker, text or None, emotion or None, mono samples or
    None)."""

    def __init__(self, text: str, speech: str | None = None) -> None:
        self._library = ctypes.CDLL(affectrt.get_library())
        self._library.affectrt_last_error.restype = ctypes.c_char_p
        models = [None if path is None else self._loaded(path) for path in (text, speech)]
        options = Options(struct_size=ctypes.sizeof(Options), speech=models[1])
        self._held = ctypes.c_void_p()
        create = self._library.affectrt_conversation_create
        self._check(create(models[0], ctypes.byref(options), ctypes.byref(self._held)))
        for model in models:
            self._library.affectrt_model_destroy(model)

    def _check(self, status: int) -> None:
        assert status == 0, self._library.affectrt_last_error().decode()

    def _loaded(self, path: str) -> ctypes.c_void_p:
        model = ctypes.c_void_p()
        load = self._library.affectrt_model_load_file
        self._check(load(path.encode(), None, ctypes.byref(model)))
        return model

    def _told(self, function: str, *arguments: object) -> str:
        text = ctypes.c_char_p()
        self._check(getattr(self._library, function)(*arguments, ctypes.byref(text)))
        assert text.value is not None
        told = text.value.decode()
        self._library.affectrt_json_destroy(text)
        return told

    def add(
        self, turns: Sequence[tuple[str, str | None, str | None, Any]], sample_rate: int = 0
    ) -> list[dict[str, Any]]:
        said = (Turn * len(turns))()
        heard = (Sound * len(turns))()
        for i, (speaker, text, emotion, samples) in enumerate(turns):
            who, emotion_name = speaker.encode(), None if emotion is None else emotion.encode()
            words = None if text is None else text.encode()
            said[i] = Turn(self._held, who, len(who), words, len(words or b""), emotion_name)
            if samples is not None:
                heard[i] = Sound(samples.ctypes.data, len(samples), sample_rate, 1)
        count = ctypes.c_size_t(len(turns))
        told = self._told("affectrt_conversation_add_spoken", said, heard, count, None)
        answers: list[dict[str, Any]] = json.loads(told)
        return answers

    def arc(self) -> list[dict[str, Any]]:
        points: list[dict[str, Any]] = json.loads(
            self._told("affectrt_conversation_arc_json", self._held)
        )
        return points

    def state(self) -> str:
        return self._told("affectrt_conversation_save", self._held)

    def __del__(self) -> None:
        self._library.affectrt_conversation_destroy(self._held)

"""Late fusion of words and voice: its arithmetic, missing modalities, bad input, the recipe."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import affectrt
from affectrt.errors import InputError
from affectrt.fusion import FAMILIES, Fused, fuse
from affectrt.results import HeadResult, Heads, Label, Result

ROOT = Path(__file__).resolve().parent.parent


def head(task: Any = "single_label", **scores: float) -> HeadResult:
    labels = sorted((Label(k, v) for k, v in scores.items()), key=lambda label: -label.score)
    return HeadResult("emotion", task, tuple(labels), (labels[0].label,), False)


def weights() -> list[np.ndarray[Any, Any]]:
    """(text, voice, biases) of both, of the words and of the voice alone."""
    text = re.sub(r"//.*", "", (ROOT / "csrc/tasks/fusion_weights.inc").read_text("utf-8"))
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d+(?:e[-+]\d+)?", text)]
    return list(np.array(numbers).reshape(3, 8))


def expected(words: Any, voice: Any) -> np.ndarray[Any, Any]:
    """Of shares over (joy and love, surprise, neutral, sadness, fear, anger)."""
    used = weights()[1 if voice is None else 2 if words is None else 0]
    logits = used[2:].copy()
    for shares, weight in ((words, used[0]), (voice, used[1])):
        if shares is not None:
            logits += weight * np.log(np.maximum(np.array(shares) / np.sum(shares), 1e-3))
    made = np.exp(logits - logits.max())
    return np.asarray(made / made.sum())


def test_the_arithmetic() -> None:
    words = head("multi_label", joy=0.3, love=0.1, anger=0.2, disgust=0.1, neutral=0.5)
    voice = head(happiness=0.2, anger=0.5, calm=0.2, neutral=0.1)
    said, heard = [0.4, 0, 0.5, 0, 0, 0.3], [0.2, 0, 0.3, 0, 0, 0.5]
    for text, speech in ((words, voice), (words, None), (None, voice)):
        fused = fuse(text, speech)
        assert tuple(fused.mix) == FAMILIES
        groups = [fused.mix["joy"] + fused.mix["love"], *list(fused.mix.values())[2:]]
        wanted = expected(said if text else None, heard if speech else None)
        np.testing.assert_allclose(groups, wanted, atol=1e-5)
        assert sum(fused.mix.values()) == pytest.approx(1, abs=1e-5)
        assert fused.label in FAMILIES
        assert -1 <= fused.valence <= 1
    both = fuse(words, voice)
    assert both.mix["love"] == pytest.approx(both.mix["joy"] / 3, rel=1e-4)  # as in the words
    assert fuse(None, voice).mix["love"] == 0
    assert both.modalities == ("text", "speech")
    assert fuse(words, None).modalities == ("text",)


def test_both_say_more_than_one() -> None:
    angry, sad = head(anger=0.6, neutral=0.4), head(sadness=0.6, neutral=0.4)
    assert fuse(angry, angry).mix["anger"] > max(
        fuse(angry, None).mix["anger"], fuse(None, angry).mix["anger"]
    )
    torn = fuse(angry, sad)
    assert torn.mix["anger"] < fuse(angry, angry).mix["anger"]
    assert set(torn.to_dict()) == {"label", "score", "valence", "mix", "modalities"}


def test_results_count_by_their_first_head() -> None:
    words = head("multi_label", joy=0.9, neutral=0.1)
    result = Result("What a day!", None, Heads((words,)), False)
    assert fuse(result, None) == fuse(words, None) == Fused(fuse(words, None).mix, ("text",))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="at least one is needed"):
        fuse(None, None)
    with pytest.raises(InputError, match="text is str; give one of: Result, Turn, HeadResult"):
        fuse("happy", None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="names no emotions of a known family"):
        fuse(None, head(female=0.5, male=0.5))
    values = HeadResult("vad", "regression", (Label("valence", 0.5),), (), False)
    with pytest.raises(InputError, match=r"head 'vad' \(regression\)"):
        fuse(values, None)


def test_the_recipe_finds_which_side_knows() -> None:
    pytest.importorskip("torch")
    from affectrt.export.recipes import fusion

    rng = np.random.default_rng(0)
    groups = len(fusion.GROUPS)

    def heard(count: int, sharpness: float) -> fusion.Heard:
        truth = np.arange(count) % groups
        logits = rng.standard_normal((count, groups)) + sharpness * np.eye(groups)[truth]
        return fusion.Heard(logits - np.log(np.exp(logits).sum(1, keepdims=True)), truth)

    pairs = fusion.pairs_of(heard(300, 0.5), heard(120, 3.0), 0)
    both = fusion.fit(pairs, (True, True))
    assert both[1] > 2 * both[0] > 0
    alone = fusion.fit(pairs, (True, False))
    assert alone[1] == 0
    assert fusion.figures(pairs, both)[1] < fusion.figures(pairs, alone)[1] < np.log(groups)
    source = fusion.table_source({"both": both, "text alone": alone, "voice alone": both}, "x")
    assert len(re.findall(r"-?\d\.\d+e[-+]\d\dF", source)) == 3 * (2 + groups)


class CLabel(ctypes.Structure):
    _fields_ = (
        ("label", ctypes.c_char_p),
        ("score", ctypes.c_float),
        *((name, ctypes.c_uint32) for name in ("index", "decided", "reserved")),
    )


class CAnswer(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("labels", ctypes.POINTER(CLabel)),
        *((name, ctypes.c_uint32) for name in ("num_labels", "num_decided", "unsure")),
        *((name, ctypes.c_uint32) for name in ("truncated", "token_count", "reserved")),
        ("level", ctypes.c_float),
        ("reserved_too", ctypes.c_uint32),
    )


class CFused(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("label", ctypes.c_char_p),
        ("mix", ctypes.c_float * 7),
        ("valence", ctypes.c_float),
    )


def c_answer(of: HeadResult | None) -> Any:
    if of is None:
        return None
    labels = (CLabel * len(of.labels))(*(CLabel(x.label.encode(), x.score) for x in of.labels))
    return ctypes.byref(CAnswer(ctypes.sizeof(CAnswer), labels, len(of.labels)))


def test_the_c_interface_says_the_same() -> None:
    c = ctypes.CDLL(affectrt.get_library())
    c.affectrt_last_error.restype = ctypes.c_char_p
    words = head("multi_label", joy=0.3, love=0.1, anger=0.2, disgust=0.1, neutral=0.5)
    voice = head(happiness=0.2, anger=0.5, calm=0.2, neutral=0.1)
    for text, speech in ((words, voice), (words, None), (None, voice)):
        fused, wanted = CFused(ctypes.sizeof(CFused)), fuse(text, speech)
        assert c.affectrt_fuse(c_answer(text), c_answer(speech), ctypes.byref(fused)) == 0
        assert list(fused.mix) == list(wanted.mix.values())
        assert fused.label.decode() == wanted.label
        assert fused.valence == pytest.approx(wanted.valence, abs=1e-6)
    for given, message in (
        ((None, None), "words and voice are both NULL"),
        ((c_answer(head(loud=0.5)), None), "words is of a head whose labels name no emotions"),
        ((None, c_answer(head("regression", arousal=0.5))), "voice is of a head"),
    ):
        assert c.affectrt_fuse(*given, ctypes.byref(fused)) != 0
        assert message in c.affectrt_last_error().decode()

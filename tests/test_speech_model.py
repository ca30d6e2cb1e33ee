"""Speech models from file to answer: the engine against torch, the Python API, bad input."""

from __future__ import annotations

import ctypes
import json
import pickle
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_packs as made_up
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

import affectrt
from affectrt import features
from affectrt.errors import InputError, ModelFileError, NotFoundError, UnsupportedError
from affectrt.export.speech_checkpoint import load_speech_checkpoint, pad

RATE = made_up.RATE
Samples = np.ndarray[Any, np.dtype[np.float32]]
sound, write_wav = made_up.clip, made_up.write_wav


@pytest.fixture(scope="session")
def model_file(speech_files: Path) -> Path:
    return speech_files / "fp32.affect"


@pytest.fixture(scope="session")
def model(model_file: Path) -> Any:
    return affectrt.load(model_file)


# --- answers -----------------------------------------------------------------------------------


def test_answers_are_those_of_torch(model: Any, speech_checkpoint: Path) -> None:
    source = load_speech_checkpoint(speech_checkpoint)
    clips = [sound(s, i) for i, s in enumerate((0.01, 0.35, 1.0, 2.517, 8.0))]
    rows = [features.log_mel(c, RATE, made_up.MELS, pad_to_s=None) for c in clips]
    with torch.inference_mode():
        expected = source.model(*pad(rows))
    for head in model.heads:
        wanted = expected[head].numpy()
        actual = model.predict_logits(clips, head, sample_rate=RATE)
        assert np.abs(actual - wanted).max() <= 2e-5 * max(1.0, np.abs(wanted).max())
    with torch.inference_mode():
        pooled = source.model.pool(*pad(rows)).numpy()
    embedded = model.embed(clips, sample_rate=RATE)
    assert np.abs(embedded - pooled).max() <= 2e-5 * max(1.0, np.abs(pooled).max())
    logits = expected["emotion"].numpy() / 1.5
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    scores = model.predict_proba(clips, sample_rate=RATE)
    np.testing.assert_allclose(scores, shares, atol=1e-5)


def test_int8_stays_near(model_file: Path, model: Any) -> None:
    small = affectrt.load(model_file.with_name("int8.affect"))
    clips = [sound(1.0, i) for i in range(4)]
    exact = model.predict_logits(clips, sample_rate=RATE)
    assert np.abs(small.predict_logits(clips, sample_rate=RATE) - exact).max() < 0.2
    assert small.info.precision == "int8"
    assert model_file.with_name("int8.affect").stat().st_size < model_file.stat().st_size


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_clip_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    model_file: Path, precision: str
) -> None:
    path = model_file.with_name(f"{precision}.affect")
    models = {n: affectrt.load(path, num_threads=n) for n in (1, 2, 5)}
    clips = [
        (sound(s, i), rate)
        for i, (s, rate) in enumerate(
            [(1 / RATE, RATE), (0.1, RATE), (0.8, 8000), (1.2, 44100), (8.5, RATE), (2.0, 48000)]
        )
    ]
    alone = [models[1](clip) for clip in clips]

    @settings(max_examples=12, deadline=None)
    @given(
        st.lists(st.integers(0, len(clips) - 1), min_size=1, max_size=8),
        st.sampled_from(list(models)),
    )
    def check(picked: list[int], threads: int) -> None:
        assert models[threads]([clips[i] for i in picked]) == [alone[i] for i in picked]

    check()


def test_threads_share_a_model(model: Any) -> None:
    clips = [(sound(0.5 + 0.1 * i, i), RATE) for i in range(6)]
    expected = model(clips)
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(model(clips) == expected)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_result(model: Any, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "clip.wav", sound(1.5))
    result = model(path)
    assert isinstance(result, affectrt.SpeechResult)
    record = json.loads(json.dumps(result.to_dict()))
    assert record["file"] == str(path)
    assert record["duration_s"] == 1.5
    scores = [entry["score"] for entry in record["emotions"]]
    assert scores == sorted(scores, reverse=True)
    assert {entry["label"] for entry in record["emotions"]} == set(model.labels())
    assert abs(sum(scores) - 1) < 1e-6
    assert record["decided"] == [record["emotions"][0]["label"]]
    for key in ("arousal", "valence", "snr_db"):
        assert record[key] == getattr(result, key)
    assert -1 <= result.arousal <= 1
    assert record["intensity"] in ("normal", "strong")
    assert record["intensity"] == result.intensity
    assert record["speaker_sex"] == result.speaker_sex
    assert record["shout"] is result.shout
    assert list(record["heads"]) == list(model.heads)
    assert record["heads"]["intensity"]["level"] == result.heads["intensity"].level
    assert "windows" not in record
    assert len(result.windows) == 1
    assert result.windows[0].heads == result.heads
    assert repr(result).startswith(f"SpeechResult({str(path)!r}, 1.50 s: emotion: ")
    with pytest.raises(AttributeError):
        result.duration_s = 2.0

    some = model(path, heads=["speaker_sex"])
    assert some.arousal is None
    assert some.shout is None
    assert some.to_dict()["emotions"] == [v.to_dict() for v in some.heads["speaker_sex"].labels]


def test_labels_that_can_be(model: Any) -> None:
    clip = (sound(1.0), RATE)
    free, some = model(clip), model(clip, among={"emotion": ["anger", "fear"]})
    assert {label.label for label in some.emotions} == {"anger", "fear"}
    total = free.values["anger"] + free.values["fear"]
    assert some.values["anger"] == pytest.approx(free.values["anger"] / total, rel=1e-5)
    assert some.decided == (some.emotions[0].label,)
    assert some.heads["speaker_sex"] == free.heads["speaker_sex"]
    assert len(some.windows[0].emotions) == 2
    for among, message in (
        ({"emotion": ["joy"]}, "no label 'joy' for head 'emotion'; it has: anger"),
        ({"emotion": []}, "no labels for head"),
        ({"mood": ["joy"]}, "head 'mood' is not in this model"),
        ({"quality": ["snr_db"]}, "cannot be restricted"),
    ):
        with pytest.raises(InputError, match=message):
            model(clip, among=among)


def test_long_sound_is_answered_in_windows(model: Any) -> None:
    samples = np.concatenate([sound(9.0, 1, "calm"), sound(9.0, 2, "fear")])
    result = model(samples, sample_rate=RATE)
    assert [(w.start_s, w.end_s) for w in result.windows] == [(0, 6), (6, 12), (12, 18)]
    parts = [samples[i * 6 * RATE : (i + 1) * 6 * RATE] for i in range(3)]
    alone = model(parts, sample_rate=RATE)
    assert [w.heads for w in result.windows] == [one.heads for one in alone]
    logits = model.predict_logits(samples, sample_rate=RATE)
    mean = model.predict_logits(parts, sample_rate=RATE).mean(0)
    np.testing.assert_allclose(logits[0], mean, rtol=1e-5, atol=1e-6)
    record = result.to_dict()
    assert [w["start_s"] for w in record["windows"]] == [0, 6, 12]
    assert {"emotions", "decided", "arousal", "shout"} <= set(record["windows"][0])


# --- what may be given -------------------------------------------------------------------------


def test_one_sound_in_many_forms(model: Any, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    pcm = np.asarray(np.rint(sound(1.0) * 32767), np.int16)
    path = write_wav(tmp_path / "a.wav", pcm / 32767)
    flac = tmp_path / "a.flac"
    soundfile.write(flac, pcm, RATE)
    expected = model(pcm, sample_rate=RATE)
    scaled = np.asarray(pcm / np.float32(32768), np.float32)
    forms: list[Any] = [
        path,
        str(path),
        flac,
        (pcm, RATE),
        scaled,
        scaled.astype(np.float64),
        pcm[:, None],
        np.stack([pcm, pcm], axis=1),
        np.repeat(pcm, 2)[::2],
        {"array": scaled, "sampling_rate": RATE},
        {"raw": pcm, "sampling_rate": np.int64(RATE)},
    ]
    results = model(forms, sample_rate=RATE)
    assert [r.heads for r in results] == [expected.heads] * len(forms)
    assert [r.source for r in results[:4]] == [str(path), str(path), str(flac), None]
    assert model([], sample_rate=RATE) == []
    assert model(iter([path])) == [results[0]]


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_any_rate(model: Any, rate: int) -> None:
    time = np.arange(int(1.2 * rate)) / rate
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * time / 1.2)
    tones = sum(np.sin(2 * np.pi * f * time) for f in (200, 410, 1600))
    result = model(np.asarray(0.1 * swell * tones, np.float32), sample_rate=rate)
    assert result.duration_s == pytest.approx(1.2)
    assert result.audible


def test_progress_and_interruption(model: Any) -> None:
    clips = [(sound(0.3, i), RATE) for i in range(5)]
    seen: list[tuple[int, int]] = []
    model(clips, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model(clips, progress=stop)
    with pytest.raises(InputError, match="progress is int"):
        model(clips, progress=3)


def test_pickle_and_repr(model: Any) -> None:
    clip = (sound(0.5), RATE)
    again = pickle.loads(pickle.dumps(model))
    assert again(clip) == model(clip)
    assert pickle.loads(pickle.dumps(model(clip))) == model(clip)
    assert "SpeechModel 'tiny_speech': whisper fp32 on native" in repr(model)
    assert "16000 Hz, up to 8 s at once" in repr(model)
    info = model.info
    assert (info.modality, info.sample_rate, info.max_seconds) == ("speech", 16000, 8.0)
    assert info.features == {"kind": "whisper_log_mel", "num_mels": made_up.MELS}
    assert info.non_commercial
    assert info.parity["passed"]
    assert {head.input for head in info.heads} == {"audio"}


# --- what cannot be answered ---------------------------------------------------------------------


def silent_cases() -> list[tuple[str, Samples, bool]]:
    time = np.arange(RATE)
    return [
        ("silence", np.zeros(RATE, np.float32), False),
        ("constant", np.full(RATE, 0.7, np.float32), False),
        ("one sample", np.asarray([0.5], np.float32), False),
        ("50 ms", sound(0.05), False),
        ("clipped", np.asarray(np.sign(np.sin(time * 0.05)), np.float32), True),
        ("loud beyond full scale", 30 * sound(1.0), True),
        ("quiet", 0.01 * sound(1.0), True),
    ]


@pytest.mark.parametrize(
    ("samples", "audible"),
    [case[1:] for case in silent_cases()],
    ids=[case[0] for case in silent_cases()],
)
def test_strange_sound_has_an_answer(model: Any, samples: Samples, audible: bool) -> None:
    result = model(samples, sample_rate=RATE)
    assert result.audible is audible
    assert result.unsure or audible
    assert all(np.isfinite(label.score) for h in result.heads.values() for label in h.labels)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(0, np.float32), "sounds is empty"),
        (np.asarray([0.0, np.nan], np.float32), "sounds"),
        (np.asarray([0.0, np.inf]), "sounds"),
        (np.zeros((5, 65), np.float32), "65 channels"),
        (np.zeros((2, 2, 2), np.float32), "3 dimensions"),
        (np.zeros(9, np.complex64), "dtype complex64"),
        (np.asarray(["a"]), "dtype"),
        (b"RIFF", "sounds is bytes"),
        (None, "sounds is NoneType"),
        (3.5, "sounds is float"),
        ({"array": np.zeros(5)}, 'give "array" and "sampling_rate"'),
        ((np.zeros(5), 16000, 2), "tuple of 3"),
        (([0.0, 1.0], 16000), "samples are list"),
        ([0.0, 1.0], r"sounds\[0\] is float"),
        ([np.zeros(3), None], r"sounds\[1\] is NoneType"),
        ([np.zeros(3), np.zeros(0)], r"sounds\[1\] is empty"),
    ],
)
def test_no_sound(model: Any, given: Any, message: str) -> None:
    rate = None if isinstance(given, (tuple, dict)) else RATE
    with pytest.raises(InputError, match=message):
        model(given, sample_rate=rate)


@pytest.mark.parametrize("rate", [0, -16000, 7999, 192001, 16000.5, True, "16000", 10**30])
def test_impossible_rates(model: Any, rate: Any) -> None:
    with pytest.raises(InputError, match=r"8000|whole Hz"):
        model(sound(0.2), sample_rate=rate)
    with pytest.raises(InputError, match=r"8000|whole Hz"):
        model((sound(0.2), rate))


def test_rates_are_said_once(model: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="array without a sample rate"):
        model(sound(0.2))
    path = write_wav(tmp_path / "a.wav", sound(0.2))
    with pytest.raises(InputError, match="a file says its own"):
        model(path, sample_rate=RATE)


def test_files_that_are_none(model: Any, tmp_path: Path) -> None:
    good = write_wav(tmp_path / "good.wav", sound(0.5)).read_bytes()

    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def changed(at: int, value: bytes) -> bytes:
        return good[:at] + value + good[at + len(value) :]

    for path, message in (
        (file("empty.wav", b""), "empty.wav"),
        (file("text.wav", b"dear diary, today"), "text.wav"),
        (file("head.wav", good[:44]), "head.wav"),
        (file("cut.wav", good[:4000]), "cut.wav"),
        (file("rate-0.wav", changed(24, bytes(4))), "rate-0.wav"),
        (file("rate-huge.wav", changed(24, b"\xff" * 4)), "rate-huge.wav"),
        (file("channels-0.wav", changed(22, bytes(2))), "channels-0.wav"),
        (file("bits-13.wav", changed(34, b"\x0d\0")), "bits-13.wav"),
        (file("nothing.wav", changed(40, bytes(4))[:44] + b"LIST\0\0\0\0"), "nothing.wav"),
        (tmp_path, "is a folder"),
        (file("text.flac", b"dear diary, today"), "text.flac"),
        ("", "which no path can be"),
        ("a\0b", "which no path can be"),
    ):
        with pytest.raises((InputError, UnsupportedError), match=message):
            model(path)
    with pytest.raises(NotFoundError, match=r"nowhere\.wav"):
        model([tmp_path / "good.wav", tmp_path / "nowhere.wav"])


def test_seven_channels_and_eight_bits(model: Any, tmp_path: Path) -> None:
    samples = sound(0.7)
    path = write_wav(tmp_path / "seven.wav", np.stack([samples] * 7, axis=1))
    seven = model(path)
    assert seven.audible
    eight = np.asarray(np.rint(samples * 127 + 128), np.uint8)
    assert model(eight, sample_rate=RATE).audible


def test_without_soundfile(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3" + bytes(100))
    with pytest.raises(UnsupportedError, match=r"pip install 'affectrt\[audio\]'"):
        model(path)


def test_wrong_names(model: Any) -> None:
    clip = (sound(0.2), RATE)
    with pytest.raises(InputError, match="head 'mood' is not in this model; it has: emotion"):
        model(clip, heads=["mood"])
    with pytest.raises(InputError, match="heads is str"):
        model(clip, heads="emotion")
    with pytest.raises(InputError, match="heads is empty"):
        model(clip, heads=[])
    with pytest.raises(InputError, match="one twice"):
        model(clip, heads=["shout", "shout"])
    with pytest.raises(InputError, match="head is int"):
        model.predict_proba(clip, 3)


# --- models of the other kind --------------------------------------------------------------------


def test_text_and_speech_do_not_mix(
    model: Any, model_file: Path, two_headed_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is a speech model; a text model is needed"):
        affectrt.pipeline("text-classification", model=model_file)
    with pytest.raises(InputError, match="is a speech model, and a text model is needed"):
        affectrt._core.Model.load(str(model_file))
    with pytest.raises(NotFoundError, match="what a day"):
        model("what a day")
    text = affectrt.load(two_headed_model)
    with pytest.raises(InputError, match="float32"):
        text(np.zeros(100, np.float32))
    with pytest.raises(InputError, match="max_batch_tokens"):
        affectrt.load(model_file, max_batch_tokens=9)
    with pytest.raises(ModelFileError, match=r"has no model\.onnx"):
        affectrt.load(model_file, backend="onnxruntime")


def test_weights_of_another_shape(model_file: Path, tmp_path: Path) -> None:
    from affectrt.export.bundle import read_manifest, write_bundle

    with zipfile.ZipFile(model_file) as archive:
        archive.extractall(tmp_path / "it")
    manifest = read_manifest(model_file)
    manifest["heads"][0]["labels"].append("joy")
    files: dict[str, Any] = {name: tmp_path / "it" / name for name in manifest["files"]}
    write_bundle(tmp_path / "wide.affect", manifest, files)
    with pytest.raises(ModelFileError, match=r"heads\.emotion\.weight"):
        affectrt.load(tmp_path / "wide.affect")


# --- the C interface -----------------------------------------------------------------------------


class CSound(ctypes.Structure):
    """affectrt_sound"""

    _fields_ = (
        ("samples", ctypes.POINTER(ctypes.c_float)),
        ("count", ctypes.c_size_t),
        ("sample_rate", ctypes.c_int32),
        ("channels", ctypes.c_int32),
    )


def test_json_of_the_c_interface_is_to_dict(model: Any, model_file: Path) -> None:
    library = ctypes.CDLL(affectrt.get_library())
    handle, json_text = ctypes.c_void_p(), ctypes.c_void_p()
    path = str(model_file).encode()
    assert library.affectrt_model_load_file(path, None, ctypes.byref(handle)) == 0
    clips = [sound(0.05), sound(1.3, 1), sound(17.0, 2)]
    sounds = (CSound * len(clips))()
    for raw, clip in zip(sounds, clips, strict=True):
        pointer = clip.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        raw.samples, raw.count, raw.sample_rate, raw.channels = pointer, len(clip), RATE, 1
    analyse = library.affectrt_model_analyse_sound_json
    assert analyse(handle, sounds, ctypes.c_size_t(3), None, ctypes.byref(json_text)) == 0
    assert json_text.value is not None
    answers = json.loads(ctypes.string_at(json_text.value))
    library.affectrt_json_destroy(json_text)
    library.affectrt_model_destroy(handle)
    expected = [result.to_dict() for result in model(clips, sample_rate=RATE)]
    assert answers == expected
    assert [list(answer) for answer in answers] == [list(answer) for answer in expected]

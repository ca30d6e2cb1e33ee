"""The features of the C interface against those of Python, bit by bit."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_size_t,
    c_uint32,
    c_void_p,
)
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cmake_build import ROOT, run
from sounds import voice

import affectrt
from affectrt import features
from affectrt.vad import VadStream, voice_activity

Array = npt.NDArray[np.float32]
SOUND = voice(3.2, (0.4, 1.3), (1.9, 2.9), rate=22050)
AT_16K = features.resample(SOUND, 22050, 16000)
CHUNKS = (1, 7, 160, 4001, 12345)


class LogMel(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        *((name, c_int32) for name in ("num_mels", "raw", "feature_major", "reserved")),
        ("pad_to_s", c_double),
    )


class Kaldi(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        ("window", c_char_p),
        *(
            (name, c_int32)
            for name in (
                "sample_rate", "num_mels", "num_ceps", "keep_dc_offset", "mirror_edges",
                "exact_transform", "no_energy", "feature_major",
            )
        ),
        *(
            (name, c_double)
            for name in (
                "frame_length_ms", "frame_shift_ms", "low_hz", "high_hz", "preemphasis", "scale",
                "lifter",
            )
        ),
    )  # fmt: skip


class Voice(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        ("sample_rate", c_int32),
        ("keep_probabilities", c_int32),
        *(
            (name, c_double)
            for name in (
                "onset", "offset", "min_speech_ms", "min_silence_ms", "padding_ms",
                "max_segment_s",
            )
        ),
    )  # fmt: skip


class Info(ctypes.Structure):
    _fields_ = (
        ("struct_size", c_size_t),
        ("columns", c_size_t),
        ("sample_rate", c_int32),
        *((name, c_uint32) for name in ("frame_length", "frame_shift", "reserved")),
    )


class VoiceSegment(ctypes.Structure):
    _fields_ = (
        ("start_s", c_double),
        ("end_s", c_double),
        ("cut", c_uint32),
        ("reserved", c_uint32),
    )


class Library:
    """The C library; a status other than AFFECTRT_OK is a RuntimeError with its message."""

    def __init__(self) -> None:
        self._c = ctypes.CDLL(affectrt.get_library())
        self._c.affectrt_last_error.restype = c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._c, f"affectrt_{name}")
        if function(*arguments) != 0:
            raise RuntimeError(self._c.affectrt_last_error().decode())

    def made(self, name: str, *arguments: Any) -> c_void_p:
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        return handle

    def destroy(self, kind: str, handle: c_void_p) -> None:
        function = getattr(self._c, f"affectrt_{kind}_destroy")
        function.restype = None
        function(handle)


@pytest.fixture(scope="module")
def c() -> Library:
    return Library()


def pointer(samples: Array) -> Any:
    return samples.ctypes.data_as(POINTER(c_float))


def sized(kind: type[ctypes.Structure], **fields: Any) -> Any:
    return byref(kind(struct_size=ctypes.sizeof(kind), **fields))


def whole(c: Library, plan: c_void_p, samples: Array, threads: int = 1) -> tuple[Array, Info]:
    """All frames of a clip, flat, and what they are."""
    info = Info(struct_size=ctypes.sizeof(Info))
    c.call("features_get_info", plan, byref(info))
    frames = c_size_t()
    c.call("features_count_frames", plan, c_size_t(samples.size), byref(frames))
    out = np.full(frames.value * info.columns, np.nan, np.float32)
    size = c_size_t(samples.size)
    room = c_size_t(out.size)
    c.call("features_compute", plan, pointer(samples), size, threads, pointer(out), room)
    return out, info


def streamed(c: Library, stream: c_void_p, samples: Array, columns: int, chunk: int) -> Array:
    """All rows of a stream, which is destroyed; some are left to wait, and read in parts."""
    parts = []
    rows = np.empty((50, columns), np.float32)
    read = c_size_t()
    ready = c_size_t()

    def take() -> None:
        c.call("row_stream_read", stream, pointer(rows), c_size_t(50), byref(read))
        parts.append(rows[: read.value].copy())

    for number, begin in enumerate(range(0, len(samples), chunk)):
        part = samples[begin : begin + chunk]
        c.call("row_stream_feed", stream, pointer(part), c_size_t(len(part)), byref(ready))
        if number % 3 == 0:
            take()
    c.call("row_stream_finish", stream, byref(ready))
    while ready.value > sum(map(len, parts[-1:])) or read.value > 0:
        take()
        if read.value == 0:
            break
    c.destroy("row_stream", stream)
    return np.concatenate(parts)


def test_log_mel_is_pythons(c: Library) -> None:
    plan = c.made("log_mel_create", sized(LogMel, feature_major=1))
    found, info = whole(c, plan, AT_16K, threads=2)
    c.destroy("features", plan)
    assert (info.columns, info.sample_rate, info.frame_shift) == (80, 16000, 160)
    assert np.array_equal(found.reshape(80, -1), features.log_mel(AT_16K, 16000))
    plan = c.made("log_mel_create", sized(LogMel, num_mels=128, raw=1, pad_to_s=-1.0))
    found, _ = whole(c, plan, AT_16K)
    expected = features.log_mel(AT_16K, 16000, 128, pad_to_s=None, normalise=False)
    assert np.array_equal(found.reshape(-1, 128), expected.T)
    empty, _ = whole(c, plan, np.zeros(0, np.float32))
    assert empty.size == 0
    for chunk in CHUNKS[1:]:
        stream = c.made("row_stream_of_features", plan, 22050)
        assert np.array_equal(
            streamed(c, stream, SOUND, 128, chunk),
            np.concatenate([one for one in _log_mel_stream(chunk)]),
        )
    c.destroy("features", plan)


def _log_mel_stream(chunk: int) -> list[Array]:
    stream = features.LogMelStream(22050, 128)
    parts = [stream.feed(SOUND[i : i + chunk]) for i in range(0, len(SOUND), chunk)]
    return [*parts, stream.finish()]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (
            {
                "window": b"hamming", "keep_dc_offset": 1, "mirror_edges": 1, "scale": 32768.0,
                "exact_transform": 1, "preemphasis": -1.0, "low_hz": -1.0, "high_hz": -400.0,
                "frame_length_ms": 25.4, "frame_shift_ms": 12.5,
            },
            {
                "window": "hamming", "remove_dc_offset": False, "snip_edges": False,
                "scale": 32768.0, "round_to_power_of_two": False, "preemphasis": 0.0,
                "low_hz": 0.0, "high_hz": -400.0, "frame_length_ms": 25.4, "frame_shift_ms": 12.5,
            },
        ),
    ],
)  # fmt: skip
def test_fbank_and_mfcc_are_pythons(
    c: Library, ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    plan = c.made("fbank_create", sized(Kaldi, sample_rate=22050, num_mels=40, **ours))
    expected = features.fbank(SOUND, 22050, 40, **theirs)
    assert np.array_equal(whole(c, plan, SOUND)[0].reshape(-1, 40), expected)
    for chunk in CHUNKS:
        stream = c.made("row_stream_of_features", plan, 0)
        assert np.array_equal(streamed(c, stream, SOUND, 40, chunk), expected)
    c.destroy("features", plan)
    for more, same in (({}, {}), ({"lifter": -1.0, "no_energy": 1, "num_ceps": 20}, None)):
        plan = c.made("mfcc_create", sized(Kaldi, sample_rate=22050, **ours, **more))
        options = {} if same is not None else {"lifter": 0.0, "use_energy": False}
        expected = features.mfcc(SOUND, 22050, more.get("num_ceps", 13), **theirs, **options)
        assert np.array_equal(whole(c, plan, SOUND)[0].reshape(expected.shape), expected)
        c.destroy("features", plan)


def test_resampling_and_normalising_are_pythons(c: Library) -> None:
    plan = c.made("resampler_create", 22050, 16000)
    count = c_size_t()
    c.call("resampler_count", plan, c_size_t(len(SOUND)), byref(count))
    out = np.empty(count.value, np.float32)
    size = c_size_t(len(SOUND))
    c.call("resampler_compute", plan, pointer(SOUND), size, 2, pointer(out), count)
    assert np.array_equal(out, AT_16K)
    for chunk in CHUNKS[2:]:
        stream = c.made("row_stream_of_resampler", plan)
        assert np.array_equal(streamed(c, stream, SOUND, 1, chunk)[:, 0], AT_16K)
    c.destroy("resampler", plan)
    c.call("normalise_waveform", pointer(out), c_size_t(len(out)), pointer(out))
    assert np.array_equal(out, features.normalised_waveform(AT_16K, 16000))
    stereo = (np.stack([SOUND, SOUND[::-1]], 1) * 20000).astype("<i2")
    mixed = np.empty(len(SOUND), np.float32)
    c.call("sound_mix", 3, stereo.ctypes.data_as(c_void_p), size, 2, pointer(mixed))
    assert np.array_equal(mixed, features.mono(stereo))


def test_prosody_is_pythons(c: Library) -> None:
    frames = c_size_t()
    for clip in (AT_16K, AT_16K[:959], AT_16K[:960], AT_16K[:0]):
        expected = features.prosody(clip, 16000)
        c.call("prosody_count_frames", c_size_t(len(clip)), byref(frames))
        rows = np.empty((frames.value, 25), np.float32)
        functionals = np.empty(88)
        told = functionals.ctypes.data_as(POINTER(c_double))
        size, room = c_size_t(len(clip)), c_size_t(rows.size)
        c.call("prosody_compute", pointer(clip), size, pointer(rows), room, told)
        assert np.array_equal(rows, expected.frames)
        assert functionals.tolist() == list(expected.functionals.values())
    descriptors, statistics = POINTER(c_char_p)(), POINTER(c_char_p)()
    c.call("prosody_get_names", byref(descriptors), byref(statistics))
    names = [(statistics[i] or b"").decode() for i in range(88)]
    assert names == list(features.FUNCTIONALS)
    assert descriptors[0] == b"loudness"


@pytest.mark.parametrize("rate", [16000, 22050])
def test_voice_activity_is_pythons(c: Library, rate: int) -> None:
    sound = SOUND if rate == 22050 else AT_16K
    detector = c.made(
        "voice_detector_create",
        sized(
            Voice, sample_rate=rate, keep_probabilities=1, min_silence_ms=200.0, max_segment_s=0.8
        ),
    )
    options = {"min_silence_ms": 200.0, "max_segment_s": 0.8}
    expected = voice_activity(sound, rate, **options)  # type: ignore[arg-type]
    assert len(expected.segments) > 2
    for chunk in (333, 100_000):  # it may be fed anew after its end
        waiting, heard = c_size_t(), c_size_t()
        for begin in range(0, len(sound), chunk):
            part = sound[begin : begin + chunk]
            c.call("voice_detector_feed", detector, pointer(part), c_size_t(len(part)), None, None)
        c.call("voice_detector_finish", detector, byref(waiting), byref(heard))
        segments = (VoiceSegment * waiting.value)()
        c.call("voice_detector_read_segments", detector, segments, waiting, byref(waiting))
        found = [(one.start_s, one.end_s, bool(one.cut)) for one in segments]
        assert found == [(one.start_s, one.end_s, one.cut) for one in expected.segments]
        told = np.empty(heard.value, np.float32)
        half = c_size_t(heard.value // 2)
        c.call("voice_detector_read_probabilities", detector, pointer(told), half, byref(half))
        rest = c_size_t(heard.value)
        at = pointer(told[half.value :])
        c.call("voice_detector_read_probabilities", detector, at, rest, byref(rest))
        assert half.value + rest.value == heard.value
        assert np.array_equal(told, expected.probabilities)
    c.destroy("voice_detector", detector)
    assert VadStream(rate).feed(sound) is not None


def refusals(c: Library) -> list[tuple[str, Callable[[], object]]]:
    nan = np.array([0.0, np.nan], np.float32)
    fbank = c.made("fbank_create", None)
    stream = c.made("row_stream_of_features", fbank, 0)
    one = np.zeros(1, np.float32)
    two = c_size_t(2)
    return [
        ("num_mels is -1", lambda: c.made("log_mel_create", sized(LogMel, num_mels=-1))),
        ("num_mels is 257", lambda: c.made("log_mel_create", sized(LogMel, num_mels=257))),
        ("pad_to_s is", lambda: c.made("log_mel_create", sized(LogMel, pad_to_s=4000.0))),
        ("pad_to_s is nan", lambda: c.made("log_mel_create", sized(LogMel, pad_to_s=np.nan))),
        ("window 'blue'", lambda: c.made("fbank_create", sized(Kaldi, window=b"blue"))),
        ("sample rate 7 Hz", lambda: c.made("fbank_create", sized(Kaldi, sample_rate=7))),
        ("lifter is not finite", lambda: c.made("mfcc_create", sized(Kaldi, lifter=np.inf))),
        ("1 to 200 ms", lambda: c.made("fbank_create", sized(Kaldi, frame_length_ms=np.nan))),
        ("num_ceps may not", lambda: c.made("mfcc_create", sized(Kaldi, num_ceps=50))),
        ("struct_size is 0", lambda: c.made("fbank_create", byref(Kaldi()))),
        ("sample rate 5 Hz", lambda: c.made("resampler_create", 5, 16000)),
        ("sample rate 9 Hz", lambda: c.made("row_stream_of_features", fbank, 9)),
        ("features is NULL", lambda: c.made("row_stream_of_features", None, 0)),
        ("onset", lambda: c.made("voice_detector_create", sized(Voice, onset=3.0))),
        (
            "samples are too many",
            lambda: c.call("features_count_frames", fbank, c_size_t(1 << 60), byref(two)),
        ),
        (
            "room is 1 values; 1 rows of 80 need more",
            lambda: c.call(
                *("features_compute", fbank, pointer(AT_16K)),
                *(c_size_t(400), 1, pointer(one), c_size_t(1)),
            ),
        ),
        ("sample 1 is NaN", lambda: c.call("row_stream_feed", stream, pointer(nan), two, None)),
        ("samples is NULL", lambda: c.call("row_stream_feed", stream, None, two, None)),
        ("read is NULL", lambda: c.call("row_stream_read", stream, pointer(one), two, None)),
        ("format is 9", lambda: c.call("sound_mix", 9, None, two, 1, pointer(one))),
        ("channels is 0", lambda: c.call("sound_mix", 0, pointer(one), two, 0, pointer(one))),
    ]


def test_what_cannot_be_is_refused_in_words(c: Library) -> None:
    for message, call in refusals(c):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert message in str(caught.value)


def test_a_program_that_prints_features(tmp_path: Path) -> None:
    library = affectrt.get_library()
    program = str(tmp_path / "c_features")
    source = str(ROOT / "examples" / "c_features" / "main.c")
    rpath = f"-Wl,-rpath,{Path(library).parent}"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    run("gcc", *flags, f"-I{affectrt.get_include()}", source, library, rpath, "-o", program)
    pcm = (SOUND * 20000).astype("<i2")
    done = subprocess.run([program, "22050"], input=pcm.tobytes(), capture_output=True, check=True)
    rows = np.array([line.split(",") for line in done.stdout.decode().split()], np.float32)
    assert np.array_equal(rows, features.fbank(features.resample(pcm, 22050, 16000), 16000))
    bad = subprocess.run([program, "22050", "mel"], input=b"", capture_output=True, check=False)
    assert bad.returncode == 1
    assert b"there is no 'mel'" in bad.stderr


def test_the_header_for_cxx(tmp_path: Path) -> None:
    code = """
    #include <affectrt_features.hpp>
    #include <cstdio>
    int main() {
      const std::vector<float> sound(16000, 0.25F);
      const auto fbank = affectrt::Features::fbank();
      const affectrt::Rows all = fbank.compute(sound.data(), sound.size());
      affectrt::RowStream stream(fbank);
      affectrt::Rows first = stream.feed(sound.data(), 8000);
      affectrt::Rows second = stream.feed(sound.data() + 8000, 8000);
      const affectrt::Rows last = stream.finish();
      first.values.insert(first.values.end(), second.values.begin(), second.values.end());
      first.values.insert(first.values.end(), last.values.begin(), last.values.end());
      const affectrt::Resampler half(16000, 8000);
      affectrt::RowStream halves(half);
      const size_t heard = halves.feed(sound.data(), sound.size()).rows() + halves.finish().rows();
      affectrt::VoiceDetector voice;
      const size_t voices = voice.feed(sound.data(), sound.size()).size() + voice.finish().size();
      const auto prosody = affectrt::Prosody::of(sound.data(), sound.size());
      try {
        affectrt::Resampler(1, 2);
      } catch (const affectrt::Error& error) {
        std::printf("%d %d %zu %zu %zu %s", first.values == all.values, all.rows() == 98, heard,
                    voices, prosody.frames.rows(), error.what());
      }
    }
    """
    source = tmp_path / "features.cc"
    source.write_text(code)
    library = affectrt.get_library()
    program = str(tmp_path / "features")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    rpath = f"-Wl,-rpath,{Path(library).parent}"
    run("g++", *flags, f"-I{affectrt.get_include()}", str(source), library, rpath, "-o", program)
    assert run(program).startswith("1 1 8000 0 95 sample rate 1 Hz")

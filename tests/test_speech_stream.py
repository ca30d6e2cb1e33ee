"""Streams of sound in Python: the same segments for any chunking, timestamps, bad input."""

from __future__ import annotations

import io
import itertools
import json
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks import wav_files
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import voice

import affectrt
from affectrt.errors import InputError, NotFoundError, UnsupportedError
from affectrt.sound_blocks import open_sound, pipe_sound
from affectrt.speech_stream import Segment, SpeechStream

RATE = 16000


@pytest.fixture(scope="module")
def model(speech_model_file: Path) -> Any:
    return affectrt.load(speech_model_file)


def fed(stream: SpeechStream, samples: Any, cuts: list[int]) -> list[Segment]:
    bounds = [0, *sorted(cuts), len(samples)]
    found = [s for a, b in itertools.pairwise(bounds) for s in stream.feed(samples[a:b])]
    return found + stream.flush()


def records(segments: list[Segment]) -> list[dict[str, Any]]:
    return [segment.to_dict() for segment in segments]


def test_segments_are_where_the_voice_is_and_say_what_the_model_says(model: Any) -> None:
    samples = voice(8.0, (1.0, 2.5), (4.0, 6.0))
    found = fed(model.stream(sample_rate=RATE), samples, [])
    assert len(found) == 2
    for segment, (start, end) in zip(found, [(1.0, 2.5), (4.0, 6.0)], strict=True):
        assert abs(segment.start_s - start) < 0.3
        assert abs(segment.end_s - end) < 0.5
        part = samples[round(segment.start_s * RATE) : round(segment.end_s * RATE)]
        alone = model(part, sample_rate=RATE)
        assert segment.heads == alone.heads
        assert segment.emotions == alone.emotions
        assert segment.decided == alone.decided
    first, second = found
    assert (first.index, second.index) == (0, 1)
    assert dict(first.smoothed) == pytest.approx(
        {label.label: label.score for label in first.emotions}, rel=1e-6
    )
    assert sum(second.smoothed.values()) == pytest.approx(1, abs=1e-5)
    assert first.label == first.emotions[0].label
    assert re.fullmatch(r"Segment\(0\.\d\d-2\.\d\d s: \w+ 0\.\d\d\)", repr(first))


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 150000), max_size=10),
    rate=st.sampled_from([16000, 44100]),
    interim_ms=st.sampled_from([0, 300]),
)
def test_any_chunking_gives_the_same_segments(
    model: Any, cuts: list[int], rate: int, interim_ms: int
) -> None:
    samples = voice(5.0, (0.0, 0.6), (1.2, 4.4), rate=rate)
    options = {"interim_ms": interim_ms, "max_segment_s": 1.5}
    whole = fed(model.stream(sample_rate=rate, **options), samples, [])
    parts = fed(model.stream(sample_rate=rate, **options), samples, cuts)
    assert records(parts) == records(whole)
    assert any(segment.cut for segment in whole)
    assert any(segment.interim for segment in whole) == bool(interim_ms)


def test_a_file_gives_the_segments_of_its_samples(model: Any, tmp_path: Path) -> None:
    samples = (voice(9.0, (0.5, 3.0), (5.0, 8.0), rate=22050) * 20000).astype(np.int16)
    path = tmp_path / "talk.wav"
    path.write_bytes(
        wav_files.wav(np.stack([samples, samples], 1).tobytes(), channels=2, rate=22050)
    )
    from_file = list(model.segments(path))
    from_samples = list(model.segments(samples, sample_rate=22050))
    assert records(from_file) == records(from_samples)
    assert records(from_file) == records(fed(model.stream(sample_rate=22050), samples, [777]))
    assert len(from_file) == 2
    with pytest.raises(InputError, match="sample_rate"):
        next(model.segments(samples))
    with pytest.raises(NotFoundError):
        next(model.segments(tmp_path / "none.wav"))


def test_to_dict_is_json_of_the_core(model: Any) -> None:
    samples = voice(4.0, (0.5, 2.5))
    stream = model.stream(sample_rate=RATE)
    raw = stream._core.feed(samples) + stream._core.flush()
    (segment,) = fed(model.stream(sample_rate=RATE), samples, [])
    (core,) = raw
    assert json.loads(core.json) == json.loads(json.dumps(segment.to_dict()))


def test_channels_and_integers(model: Any) -> None:
    samples = (voice(3.0, (0.5, 2.0)) * 20000).astype(np.int16)
    both = np.stack([samples, samples], 1)
    expected = records(fed(model.stream(sample_rate=RATE), samples, []))
    stereo = model.stream(sample_rate=RATE, channels=2)
    assert records(stereo.feed(both.reshape(-1)) + stereo.flush()) == expected
    stereo = model.stream(sample_rate=RATE, channels=2)
    assert records(stereo.feed(both) + stereo.flush()) == expected
    stereo = model.stream(sample_rate=RATE, channels=2)
    with pytest.raises(InputError, match="no multiple of the stream's 2 channels"):
        stereo.feed(samples[:3])
    with pytest.raises(InputError, match="chunk has 3 channels; the stream has 2"):
        stereo.feed(np.zeros((4, 3), np.float32))
    with pytest.raises(InputError, match="channels is 0"):
        model.stream(sample_rate=RATE, channels=0)


def test_bad_input_leaves_the_stream_as_it_was(model: Any) -> None:
    samples = voice(3.0, (0.5, 2.0))
    expected = records(fed(model.stream(sample_rate=RATE), samples, []))
    stream = model.stream(sample_rate=RATE)
    found = stream.feed(samples[:20000])
    for value, what in ((np.nan, "NaN"), (np.inf, "infinite"), (1e30, "larger than 1e15")):
        bad = samples[20000:].copy()
        bad[5] = value
        with pytest.raises(InputError, match=f"chunk: sample 5 is {what}"):
            stream.feed(bad)
    with pytest.raises(InputError, match="stream is one of 16000 Hz, and a chunk of 8000 Hz"):
        stream.feed(samples, 8000)
    with pytest.raises(InputError, match="chunk is bytes; a NumPy array is needed"):
        stream.feed(b"\0\0")
    with pytest.raises(InputError, match="dtype complex64"):
        stream.feed(np.zeros(3, np.complex64))
    assert stream.feed(samples[:0]) == []
    found += stream.feed(samples[20000:]) + stream.flush()
    assert records(found) == expected
    for call in (stream.flush, lambda: stream.feed(samples)):
        with pytest.raises(InputError, match="has ended"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample rate 0 Hz is not done"),
        ({"sample_rate": 44100.5}, "whole Hz are needed"),
        ({"interim_ms": 10}, "interim_ms is 10.0"),
        ({"margin": -0.5}, "margin is -0.5"),
        ({"smoothing_s": float("inf")}, "smoothing_s is inf; a finite number is needed"),
        ({"onset": 2}, "0 < offset <= onset < 1"),
        ({"speed": 2}, "there is no option 'speed'; there are onset"),
    ],
)
def test_bad_options(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        model.stream(**{"sample_rate": RATE, **options})


def test_streams_of_one_model_in_many_threads(model: Any) -> None:
    samples = voice(4.0, (0.5, 1.5), (2.2, 3.8))
    expected = records(fed(model.stream(sample_rate=RATE), samples, []))
    answers: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda n=n: answers.append(
                records(fed(model.stream(sample_rate=RATE), samples, [n * 5000]))
            )
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 6


def test_latency(model: Any) -> None:
    assert model.stream(sample_rate=RATE).latency_ms == 472.5
    assert model.stream(sample_rate=RATE, min_silence_ms=500).latency_ms == 672.5
    assert 480 < model.stream(sample_rate=48000).latency_ms < 560
    assert model.stream(sample_rate=RATE).max_segment_s == model.max_seconds


# --- blocks of sound -----------------------------------------------------------------------------


@pytest.mark.parametrize("pcm", ["u8", "s16", "s24", "s32", "f32", "f64"])
def test_pipes_of_bare_samples(pcm: Any) -> None:
    values = np.array([0, 0.5, -0.5, 0.25, -1, 0.75])
    images = {
        "u8": (values * 128 + 128).astype("u1").tobytes(),
        "s16": (values * 32768).astype("<i2").tobytes(),
        "s24": b"".join(struct.pack("<i", int(v * 2**31))[1:] for v in values),
        "s32": (values * 2**31).astype("<i4").tobytes(),
        "f32": values.astype("<f4").tobytes(),
        "f64": values.tobytes(),
    }
    sound = pipe_sound(io.BytesIO(images[pcm] + b"\1"), sample_rate=8000, channels=2, pcm=pcm)
    assert (sound.sample_rate, sound.channels, sound.frames) == (8000, 2, None)
    np.testing.assert_allclose(np.concatenate(list(sound.blocks)), values.reshape(3, 2), atol=0.01)


def test_pipes_of_wav() -> None:
    data = np.arange(-32768, 32768, dtype="<i2").tobytes()
    whole = wav_files.wav(data, channels=2, before=b"LIST\4\0\0\0abcd")
    for image in (whole, wav_files.wav(data, channels=2, size=0xFFFFFFFF), whole + b"trailer!"):
        sound = pipe_sound(io.BytesIO(image))
        blocks = np.concatenate(list(sound.blocks))
        assert (sound.sample_rate, sound.channels) == (16000, 2)
        np.testing.assert_array_equal(blocks.reshape(-1) * 32768, np.frombuffer(data, "<i2"))


@pytest.mark.parametrize("attack", list(wav_files.all_attacks()), ids=lambda a: a.name)
def test_damaged_wav_files_and_pipes(attack: wav_files.Attack, tmp_path: Path) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(attack.image)
    with pytest.raises((InputError, UnsupportedError), match=attack.expected):
        list(open_sound(path).blocks)
    if attack.name in ("cut_in_data", "data_of_4_gb", "partial_frame"):
        return  # what a pipe that ends gives
    with pytest.raises((InputError, UnsupportedError)):
        list(pipe_sound(io.BytesIO(attack.image)).blocks)


def test_other_files_come_block_by_block(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = voice(9.5, (1.0, 8.0))
    path = tmp_path / "clip.flac"
    soundfile.write(path, samples, RATE, "PCM_16")
    sound = open_sound(path)
    blocks = list(sound.blocks)
    assert sound.duration_s == 9.5
    assert max(map(len, blocks)) <= 4 * RATE
    np.testing.assert_array_equal(np.concatenate(blocks), affectrt.features.read_audio(path)[0])
    (tmp_path / "words.flac").write_text("no sound at all")
    with pytest.raises(InputError, match=r"words\.flac"):
        open_sound(tmp_path / "words.flac")


def test_the_interpreter_may_end_with_streams_that_are_fed(speech_model_file: Path) -> None:
    """Streams that daemon threads feed, and one that is left in the middle of a segment."""
    script = f"""
import sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
import affectrt
from affectrt.features import FbankStream
from affectrt.vad import VadStream
from sounds import voice
sound = voice(3.0, (0.5, 3.0))
model = affectrt.load({str(speech_model_file)!r})
left = model.stream(sample_rate=16000, interim_ms=200)
left.feed(sound)
started = threading.Semaphore(0)
def feed(*streams):
    try:
        while True:
            for stream in streams:
                stream.feed(sound)
            started.release()
    except affectrt.Error as error:  # a call that comes while the interpreter ends
        assert "the Python interpreter is ending" in str(error)
for streams in ([model.stream(sample_rate=16000)], [VadStream(16000), FbankStream(16000)]):
    threading.Thread(target=feed, args=streams, daemon=True).start()
for _ in range(4):
    started.acquire()
print("end")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "Fatal" not in done.stderr
    assert "AssertionError" not in done.stderr

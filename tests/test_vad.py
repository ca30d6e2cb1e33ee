"""Voice activity: the network against its reference, streams, options and bad input."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import voice

from affectrt.errors import InputError
from affectrt.vad import LATENCY_MS, VadStream, voice_activity

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT.parent / "shared" / "data" / "speech"


def test_network_is_the_recipe_s() -> None:
    pytest.importorskip("torch")  # the recipes' package asks for it
    from affectrt.export.recipes.vad import net

    layers = net.read_weights(ROOT / "csrc" / "audio" / "vad_weights.inc")
    for clip in (voice(6.0, (0.5, 2.0), (3.0, 5.5)), voice(0.1), np.zeros(8000, np.float32)):
        expected = net.probabilities(clip, layers)
        actual = voice_activity(clip, 16000).probabilities
        assert actual.dtype == np.float32
        assert actual.shape == (len(clip) // 160,)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("level", [1.0, 0.02])
def test_segments_lie_where_the_voice_is(rate: int, level: float) -> None:
    samples = voice(6.0, (1.0, 2.5), (4.0, 5.0), rate=rate) * np.float32(level)
    segments = voice_activity(samples, rate).segments
    assert [s.cut for s in segments] == [False, False]
    for segment, (start, end) in zip(segments, [(1.0, 2.5), (4.0, 5.0)], strict=True):
        assert abs(segment.start_s - start) < 0.3
        assert abs(segment.end_s - end) < 0.5


def test_real_speech_is_found_in_noise() -> None:
    if not SPEECH.is_dir():
        pytest.skip("no speech packs here")
    pytest.importorskip("torch")
    from affectrt.export.recipes.vad import scenes

    voices = scenes.clips(SPEECH, "test", ["emodb"])
    heard = scenes.meetings(SPEECH, "test")
    heard += [scenes.scene(voices, np.random.default_rng(i)) for i in range(2)]
    right = total = 0
    for one in heard:
        noisy = scenes.noisy(one, "pink", 20.0, voices)
        found = voice_activity(noisy.samples.astype(np.float32), 16000).probabilities >= 0.5
        right += int((found[: len(one.speech)] == one.speech).sum())
        total += len(one.speech)
    assert right / total > 0.8  # bench/results/vad.md has the figures


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 60000), max_size=12),
    rate=st.sampled_from([16000, 44100]),
    most=st.sampled_from([1.0, 8.0]),
)
def test_any_chunking_gives_the_same_segments(cuts: list[int], rate: int, most: float) -> None:
    samples = voice(3.0, (0.0, 0.4), (0.9, 2.6), rate=rate)
    stream = VadStream(rate, max_segment_s=most)
    bounds = [0, *sorted(cuts), len(samples)]
    found = [s for a, b in itertools.pairwise(bounds) for s in stream.feed(samples[a:b])]
    found += stream.finish()
    whole = voice_activity(samples, rate, max_segment_s=most)
    assert tuple(found) == whole.segments
    assert all(s.end_s - s.start_s <= most for s in found)
    assert stream.feed(samples) + stream.finish() == found  # as new after finish()


def test_nothing_silence_and_constants_have_no_speech() -> None:
    for samples in (np.zeros(0), np.zeros(1), np.zeros(16000), np.full(16000, 0.5)):
        found = voice_activity(samples.astype(np.float32), 16000)
        assert found.segments == ()
        assert len(found.probabilities) == len(samples) // 160


def test_integers_and_channels_are_the_same_sound() -> None:
    samples = voice(2.0, (0.5, 1.5))
    whole = (samples * 32767).astype(np.int16)
    found = voice_activity(whole, 16000).segments
    assert found == voice_activity(np.stack([whole, whole], 1), 16000).segments
    assert len(found) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"onset": 0.0}, "0 < offset <= onset < 1"),
        ({"onset": 0.3}, "0 < offset <= onset < 1"),
        ({"min_silence_ms": -1}, "min_silence_ms is -1.000000; 0 to 10000 ms is needed"),
        ({"padding_ms": 500}, "padding_ms may not be above min_silence_ms"),
        ({"max_segment_s": 0.1}, "max_segment_s is 0.100000; 0.5 to 3600 s is needed"),
        ({"onset": float("nan")}, "onset is nan; a finite number is needed"),
        ({"offset": True}, "offset is True"),
        ({"loudness": 1.0}, "there is no option 'loudness'; there are onset, offset"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        voice_activity(np.zeros(100, np.float32), 16000, **options)


def test_bad_sound() -> None:
    stream = VadStream(16000)
    with pytest.raises(InputError, match="a chunk of 8000 Hz came"):
        stream.feed(np.zeros(10, np.float32), 8000)
    bad = np.zeros(10, np.float32)
    bad[3] = np.nan
    with pytest.raises(InputError, match="chunk: sample 3 is NaN"):
        stream.feed(bad)
    with pytest.raises(InputError, match="4000 Hz is not done"):
        VadStream(4000)
    assert stream.finish() == []
    assert stream.latency_ms == LATENCY_MS == 172.5
    assert VadStream(48000).latency_ms > LATENCY_MS

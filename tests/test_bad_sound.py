"""Sound that is none, or strange, through every door: a clear error or an answer, everywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks.wav_files import wav
from command import Run, assert_one_error, records
from sounds import voice

import affectrt
from affectrt import SpeechModel, features
from affectrt.errors import InputError, UnsupportedError

RATE = 16000
SPOKEN = voice(2.5, (0.4, 1.9))


def pcm(samples: Any) -> bytes:
    return np.asarray(np.clip(samples, -1, 1) * 32767, "<i2").tobytes()


def floats(*values: float) -> bytes:
    return wav(np.array(values, "<f4").tobytes(), tag=3, bits=32)


@dataclass(frozen=True)
class Strange:
    """A file, and what every door says of it; None where it has an answer."""

    name: str
    image: bytes
    error: str | None = None
    segments: int = 0  # of speech


EIGHT_BIT = np.asarray(np.rint(SPOKEN * 127 + 128), np.uint8).tobytes()
SEVEN = np.repeat(np.frombuffer(pcm(SPOKEN), "<i2"), 7).tobytes()
FILES = [
    Strange("empty", b"", "is empty"),
    Strange("words", b"Dear diary, today I was asked to be a sound file.\n", "no WAV file"),
    Strange("head alone", wav(pcm(SPOKEN))[:30], "cut short in its chunk 'fmt '"),
    Strange("cut", wav(pcm(SPOKEN))[:-5000], "cut short"),
    Strange("lying size", wav(pcm(SPOKEN), size=0xFFFFFFF0), "cut short"),
    Strange("lying alignment", wav(pcm(SPOKEN), align=6), "contradicts itself"),
    Strange("rate 0", wav(pcm(SPOKEN), rate=0), "0 samples a second"),
    Strange("NaN", floats(0, 0.5, float("nan"), 0), "sample 2 is NaN"),
    Strange("infinite", floats(0, float("-inf")), "sample 1 is inf"),
    Strange("one sample", wav(pcm([0.5]))),
    Strange("silent", wav(pcm(np.zeros(RATE)))),
    Strange("constant", wav(pcm(np.full(RATE, 0.7)))),
    Strange("clipped", wav(pcm(np.sign(np.sin(np.arange(RATE) * 0.05))))),
    Strange("8 bits", wav(EIGHT_BIT, bits=8), segments=1),
    Strange("7 channels", wav(SEVEN, channels=7), segments=1),
]


@pytest.fixture(scope="module")
def model(speech_model_file: Path) -> SpeechModel:
    return affectrt.load(speech_model_file, num_threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("strange")
    for number, file in enumerate(FILES):
        (made / f"{number:02} {file.name}.wav").write_bytes(file.image)
    return made


def path_of(folder: Path, file: Strange) -> Path:
    return folder / f"{FILES.index(file):02} {file.name}.wav"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_features_and_models(model: SpeechModel, folder: Path, file: Strange) -> None:
    path = path_of(folder, file)
    if file.error is not None:
        for door in (features.read_audio, model, lambda p: list(model.segments(p))):
            with pytest.raises((InputError, UnsupportedError), match=file.error) as caught:
                door(path)
            assert str(path) in str(caught.value)
        return
    samples, rate = features.read_audio(path)
    found = (
        features.log_mel(samples, rate, pad_to_s=None),
        features.fbank(samples, rate),
        features.mfcc(samples, rate),
        features.prosody(samples, rate).frames,
        features.normalised_waveform(samples, rate),
    )
    assert all(np.isfinite(values).all() for values in found)
    result = model(path)
    json.dumps(result.to_dict(), allow_nan=False)
    assert len(list(model.segments(path))) >= file.segments


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_commands(run: Run, speech_model_file: Path, folder: Path, file: Strange) -> None:
    path = path_of(folder, file)
    for command in ("analyze", "listen"):
        code, out, err = run(command, path, "--model", speech_model_file, "--json")
        if file.error is None:
            assert (code, err) == (0, "")
            assert len(records(out)) >= (1 if command == "analyze" else file.segments)
        else:
            assert (code, out) == (1, "")
            assert_one_error(err, file.error, str(path))


def test_annotate_skips_what_is_none(
    run: Run, speech_model_file: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.jsonl"
    code, _, err = run("annotate", folder, "--out", out, "--model", speech_model_file)
    assert code == 3
    bad = sum(file.error is not None for file in FILES)
    assert f"{bad} of {len(FILES)} files could not be read" in err
    told = [record for record in records(out.read_text("utf-8")) if "index" not in record]
    for file, record in zip(FILES, told, strict=True):
        assert record["file"] == str(path_of(folder, file))
        if file.error is None:
            assert record["segments"] >= file.segments
        else:
            assert file.error in record["error"]


def test_a_rate_that_changes_is_refused_and_changes_nothing(model: SpeechModel) -> None:
    for stream in (
        features.LogMelStream(RATE),
        features.FbankStream(RATE),
        features.ResampleStream(RATE, 8000),
    ):
        parts = [stream.feed(SPOKEN[:9000])]
        with pytest.raises(InputError, match="of 16000 Hz, and a chunk of 44100"):
            stream.feed(SPOKEN, 44100)
        parts += [stream.feed(SPOKEN[9000:]), stream.finish()]
        np.testing.assert_array_equal(
            np.concatenate(parts), np.concatenate([stream.feed(SPOKEN), stream.finish()])
        )
    heard = model.stream(sample_rate=RATE)
    found = heard.feed(SPOKEN[:9000])
    with pytest.raises(InputError, match="of 16000 Hz, and a chunk of 8000"):
        heard.feed(SPOKEN, 8000)
    found += heard.feed(SPOKEN[9000:]) + heard.flush()
    assert [s.to_dict() for s in found] == [s.to_dict() for s in model.segments((SPOKEN, RATE))]

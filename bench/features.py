"""Sound features on one thread, against the libraries that people use for them.

    python -m bench.features [--rounds N] [--clock wall|cpu] [--out FOLDER]

Both sides of a pair take the same NumPy samples, 30 s of 16 kHz speech (or of the rate that is
resampled), and return NumPy arrays, in one process in turn; what they return must agree. The ratio
is the median over the pairs of turns, the quartiles in brackets: see timing.py. Peers:
kaldi-native-fbank, librosa, torch, transformers, soxr, opensmile; those not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt

from affectrt import _core, features

from .kaldi import RATE, kaldi_fbank
from .prosody import SPEECH
from .report import spread_cell, write_results
from .timing import CLOCK_NAMES, CLOCKS, ROOT, interleave, machine, ratio, seconds, use_clock

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """One job of one peer."""

    job: str
    peer: str
    goal: float
    own: Callable[[], Values]
    theirs: Callable[[], Values]
    agree: Callable[[Values, Values], bool]


def speech(seconds_long: int) -> Values:
    """Clips behind one another, float32 at 16 kHz; noise where there are none."""
    files = sorted((SPEECH / "emodb").glob("*.flac"))
    if not files:
        return (np.random.default_rng(0).standard_normal(RATE * seconds_long) * 0.1).astype("f4")
    import soundfile

    clips: list[Values] = []
    while sum(map(len, clips)) < RATE * seconds_long:
        clips.append(soundfile.read(files[len(clips)], dtype="float32")[0])
    return np.ascontiguousarray(np.concatenate(clips)[: RATE * seconds_long])


def within(tolerance: float, share: float = 0.999) -> Callable[[Values, Values], bool]:
    """Whether that share of the values is that near."""

    def check(a: Values, b: Values) -> bool:
        return a.shape == b.shape and float(np.quantile(np.abs(a - b), share)) < tolerance

    return check


def _torch(samples: Values) -> Callable[[], Values]:
    """Whisper's log-mel as torchaudio writes it: stft, a matrix of mel filters, log."""
    import torch
    import transformers

    torch.set_num_threads(1)
    bank = torch.from_numpy(transformers.WhisperFeatureExtractor().mel_filters).float()
    window = torch.hann_window(400)

    def run() -> Values:
        spectrum = torch.stft(
            torch.from_numpy(samples), 400, 160, window=window, return_complex=True
        )
        mel = bank.T @ (spectrum[:, :-1].abs() ** 2)
        logs = torch.clamp(mel, min=1e-10).log10()
        logs = torch.maximum(logs, logs.max() - 8.0)
        return np.asarray(((logs + 4.0) / 4.0).numpy())

    return run


def _librosa(samples: Values) -> Values:
    import librosa

    mel = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=400, hop_length=160, n_mels=80, pad_mode="reflect"
    )[:, :-1]
    logs = np.log10(np.maximum(mel, 1e-10))
    return np.asarray((np.maximum(logs, logs.max() - 8.0) + 4.0) / 4.0)


def pairs() -> Iterator[Pair]:
    """All pairs whose peer is installed."""
    clip = speech(30)

    def installed(name: str) -> bool:
        return importlib.util.find_spec(name) is not None

    def log_mel() -> Values:
        return features.log_mel(clip, RATE, pad_to_s=None)

    def fbank() -> Values:
        return features.fbank(clip, RATE)

    def kaldi() -> Values:
        return kaldi_fbank(clip)

    if installed("kaldi_native_fbank"):
        yield Pair("fbank", "kaldi-native-fbank", 10, fbank, kaldi, within(1e-3))
        yield Pair("log_mel", "kaldi-native-fbank (its fbank)", 10, log_mel, kaldi,
                   lambda a, b: abs(a.shape[1] - b.shape[0]) < 3)  # fmt: skip
    if installed("torch") and installed("transformers"):
        import transformers

        yield Pair("log_mel", "torch", 5, log_mel, _torch(clip), within(1e-4))
        extractor = transformers.WhisperFeatureExtractor()
        yield Pair("log_mel", "transformers", 5, log_mel,
                   lambda: extractor(clip, sampling_rate=RATE, return_tensors="np")[
                       "input_features"][0],
                   within(1e-4))  # fmt: skip
    if installed("librosa"):
        yield Pair("log_mel", "librosa", 5, log_mel, lambda: _librosa(clip), within(1e-4))
    if installed("soxr"):
        import soxr

        for rate, other in ((48000, 16000), (44100, 16000), (16000, 48000), (16000, 44100)):
            given = features.resample(clip, RATE, rate)
            yield Pair(
                f"resample {rate} to {other}", "soxr HQ", 1.5,
                lambda g=given, r=rate, o=other: features.resample(g, r, o),
                lambda g=given, r=rate, o=other: soxr.resample(g, r, o, "HQ"),
                lambda a, b: a.shape == b.shape and float(np.abs(a - b)[99:-99].max()) < 0.02,
            )  # fmt: skip
    if installed("opensmile"):
        import opensmile

        smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
        yield Pair("prosody", "opensmile", 5,
                   lambda: np.array(list(features.prosody(clip, RATE).functionals.values())),
                   lambda: smile.process_signal(clip, RATE).to_numpy()[0],
                   lambda a, b: bool(abs(a[0] / b[0] - 1) < 0.05))  # fmt: skip


def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """The times of both sides in turn, after a check that they agree."""
    if not pair.agree(pair.own(), pair.theirs()):
        raise SystemExit(f"{pair.job}: affectrt and {pair.peer} do not agree")
    times = interleave(
        {"own": lambda: seconds(pair.own), "theirs": lambda: seconds(pair.theirs)}, rounds
    )
    return {
        "job": pair.job, "peer": pair.peer, "goal": pair.goal,
        "own_ms": 1e3 * statistics.median(times["own"]),
        "peer_ms": 1e3 * statistics.median(times["theirs"]),
        "ratio": ratio(times["theirs"], times["own"]).to_dict(),
    }  # fmt: skip


def markdown(data: dict[str, Any]) -> str:
    """The table."""
    host = data["machine"]
    lines = [
        "# Sound features against other libraries",
        "",
        f"`python -m bench.features`, {host['date']}, revision {host['revision']}; {host['cpu']}, "
        f"instruction set {data['isa']}; 30 s of speech, NumPy in and out, one thread, "
        f"{CLOCK_NAMES[data['clock']]}, {data['rounds']} turns. How many times as fast affectrt "
        "is: median, quartiles in brackets.",
        "",
        "| job | against | times as fast | goal | affectrt, ms | peer, ms |",
        "|---|---|---|---|---|---|",
    ]
    for row in data["rows"]:
        met = "reached" if row["ratio"]["median"] >= row["goal"] else "missed"
        lines.append(
            f"| {row['job']} | {row['peer']} | {spread_cell(row['ratio'])} "
            f"| {row['goal']:g}, {met} | {row['own_ms']:.2f} | {row['peer_ms']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes features.md and features.json."""
    parser = argparse.ArgumentParser(description="Sound features against other libraries.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    arguments = parser.parse_args()
    use_clock(arguments.clock)
    rows = [measure(pair, arguments.rounds) for pair in pairs()]
    data = {
        "machine": machine(), "isa": _core.kernels_info()["chosen"], "rounds": arguments.rounds,
        "clock": arguments.clock,
        "rows": rows,
    }  # fmt: skip
    text = markdown(data)
    write_results(arguments.out, "features", data, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

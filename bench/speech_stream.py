"""Real-time factor and delay of a stream of sound.

    python -m bench.speech_stream [--model M] [--minutes N] [--chunk-ms MS] [--out FOLDER]

Meetings of the `vad` pack one after the other, fed in chunks as a microphone gives them, on one
thread, as fast as possible. The real-time factor is computing time over the time of the sound. A
segment's delay after the end of its speech is the stream's `latency_ms`, the wait for a chunk to be
full, and the computing of the call that gave it. It is checked that segments are those of the sound
in one piece.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import affectrt
from affectrt import features

from .timing import ROOT

VAD = ROOT.parent / "shared" / "data" / "speech" / "vad"
RATES = (16000, 48000)
Sound = npt.NDArray[np.float32]


def meetings(minutes: float, rate: int) -> Sound:
    """So much sound at `rate`."""
    parts = [features.read_audio(file)[0][:, 0] for file in sorted(VAD.glob("*.flac"))]
    samples = np.concatenate(parts)
    samples = np.resize(samples, int(minutes * 60 * 16000)).astype(np.float32)
    return samples if rate == 16000 else features.resample(samples, 16000, rate)


def stream(model: Any, samples: Sound, rate: int, chunk_ms: float, interim_ms: float) -> Any:
    """Seconds of every call, how many segments each gave, and all of them."""
    made = model.stream(sample_rate=rate, interim_ms=interim_ms)
    step = int(rate * chunk_ms / 1000)
    seconds, counts, found = [], [], []
    for begin in range(0, len(samples), step):
        start = time.perf_counter()
        segments = made.feed(samples[begin : begin + step])
        seconds.append(time.perf_counter() - start)
        counts.append(sum(not segment.interim for segment in segments))
        found += segments
    start = time.perf_counter()
    found += made.flush()
    seconds.append(time.perf_counter() - start)
    counts.append(0)
    return np.array(seconds), np.array(counts), found, made.latency_ms


def row(model: Any, minutes: float, rate: int, chunk_ms: float, interim_ms: float) -> str:
    samples = meetings(minutes, rate)
    stream(model, samples[: rate * 20], rate, chunk_ms, interim_ms)  # warm
    seconds, counts, found, latency_ms = stream(model, samples, rate, chunk_ms, interim_ms)
    whole = list(model.segments(samples, sample_rate=rate, interim_ms=interim_ms))
    assert [s.to_dict() for s in found] == [s.to_dict() for s in whole]
    giving = 1000 * seconds[counts > 0]
    delay = latency_ms + chunk_ms + np.quantile(giving, (0.5, 0.99))
    return (
        f"| {rate} | {interim_ms:.0f} | {len(whole)} | {seconds.sum() / (minutes * 60):.4f} | "
        f"{1000 * np.median(seconds):.2f} | {giving.mean():.1f} | {latency_ms:.0f} | "
        f"{delay[0]:.0f} | {delay[1]:.0f} |"
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speech_stream", description=__doc__)
    parser.add_argument("--model", default="speech")
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--chunk-ms", type=float, default=100.0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    args = parser.parse_args(argv)
    model = affectrt.load(args.model, num_threads=1)
    lines = [
        "# A stream of sound",
        "",
        f"`python -m bench.speech_stream`: {args.minutes:g} minutes of meetings, chunks of "
        f"{args.chunk_ms:g} ms, one thread, model {model.info.name!r} ({model.info.precision}), "
        f"{model.info.backend_detail}. Times in ms.",
        "",
        "| Hz | interim every | results | real-time factor | a call, median | a call that ends a "
        "segment, mean | latency by design | delay, median | delay, p99 |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(model, args.minutes, rate, args.chunk_ms, interim_ms)
          for rate in RATES for interim_ms in (0.0, 500.0)),
    ]  # fmt: skip
    text = "\n".join(lines) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "speech_stream.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

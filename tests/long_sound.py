"""Hours of sound in flat memory: `python tests/long_sound.py --hours 10`.

Writes a WAV file of that length that takes little disk (silence is a hole in it) with a made-up
voice every so often, and reads its segments. Fails where a voice is missed, or where resident
memory, file pages left out, has grown by more than 2 MB after the first tenth.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import speech_packs

import affectrt

MOST_GROWTH_KIB = 2048
RATE = speech_packs.RATE
SECONDS = 4.0  # of a voice
SYLLABLES_HZ = 3.0


def resident_kib() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def voice() -> bytes:
    """Sixteen bits a sample: a buzz of 150 Hz in syllables, as a detector of voices hears one."""
    rng = np.random.default_rng(1)
    time_s = np.arange(int(SECONDS * RATE)) / RATE
    hertz = 150.0 * (1 + 0.05 * np.sin(2 * np.pi * 0.7 * time_s))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 25))
    loudness = np.clip(np.sin(2 * np.pi * SYLLABLES_HZ * time_s), 0, 1) ** 0.5
    samples = 0.2 * buzz * loudness + 1e-3 * rng.standard_normal(len(time_s))
    return np.asarray(np.clip(samples, -1, 1) * 32767, "<i2").tobytes()


def write(path: Path, hours: float, every_s: float) -> int:
    """The file; returns how many voices are in it."""
    size = int(hours * 3600 * RATE) * 2
    one, count = voice(), 0
    head = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data"
    with path.open("wb") as file:
        file.write(head + struct.pack("<I", size))
        for at in np.arange(every_s / 2, hours * 3600 - 2 * SECONDS, every_s):
            file.seek(44 + int(at * RATE) * 2)
            file.write(one)
            count += 1
        file.truncate(44 + size)
    return count


def curve(model: affectrt.SpeechModel, path: Path) -> Iterator[tuple[float, int]]:
    """Where each segment begins, in seconds, and the memory held then, in KiB."""
    for segment in model.segments(path):
        yield segment.start_s, resident_kib()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="speech")
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--every-s", type=float, default=60.0, help="seconds between voices")
    args = parser.parse_args()
    model = affectrt.load(args.model, num_threads=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "long.wav"
        voices = write(file, args.hours, args.every_s)
        blocks, began = file.stat().st_blocks * 512, time.monotonic()
        points = list(curve(model, file))
        took = time.monotonic() - began
    heard = {int(start // args.every_s) for start, _ in points}
    settled = [kib for start, kib in points if start >= args.hours * 360]
    growth = max(settled) - settled[0]
    print(
        f"{args.hours:g} h ({blocks / 1e6:.0f} MB on disk), {voices} voices, {len(heard)} heard, "
        f"{len(points)} segments in {took:.0f} s; memory {settled[0]} KiB, grown by {growth}"
    )
    return int(len(heard) < voices or growth > MOST_GROWTH_KIB)


if __name__ == "__main__":
    sys.exit(main())

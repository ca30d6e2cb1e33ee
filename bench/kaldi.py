"""Kaldi's fbank by affectrt and by kaldi-native-fbank, each against its definition in float64.

    python -m bench.kaldi [--clips N] [--out FOLDER]

Where a band is weak beside the rest of its frame, what it holds is less than the rounding of a
float32 transform: two programs that add in another order differ there, and both are off. The table
says from which level on, and which part of a difference is whose.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt import features

from .prosody import PACKS, clips
from .timing import ROOT, versions

RATE = 16000
GOAL = 1e-3
MELS = 80
_LEVELS = (0, 20, 40, 60, 70, 80, 90, 200)  # dB of a band below the energy of its frame
Values = npt.NDArray[Any]


def kaldi_fbank(samples: Values) -> Values:
    """80 bands by kaldi-native-fbank, float32 [frames, 80]."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    made = knf.OnlineFbank(options)
    made.accept_waveform(RATE, samples)
    made.input_finished()
    return np.stack([made.get_frame(i) for i in range(made.num_frames_ready)])


def definition(clip: Values) -> tuple[Values, Values]:
    """80 log-mel bands of 16 kHz by Kaldi's defaults, float64 [frames, 80], and how many dB each
    band lies below the energy of its windowed frame."""
    edges = np.linspace(*(1127 * np.log1p(np.array([20, 8000]) / 700)), MELS + 2)
    bins = 1127 * np.log1p(np.arange(256) * RATE / 512 / 700)[:, None]
    bank = np.maximum(0, 1 - np.abs(bins - edges[1:-1]) / (edges[1] - edges[0]))
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    starts = np.arange(0, clip.size - 399, 160)[:, None]
    frames = clip.astype(np.float64)[starts + np.arange(400)]
    frames -= frames.mean(1, keepdims=True)
    frames -= 0.97 * frames[:, np.r_[0, 0:399]]
    power = np.abs(np.fft.rfft(frames * window, 512)[:, :256]) ** 2
    bands = np.maximum(power @ bank, np.finfo(np.float32).eps)
    total = np.maximum(power.sum(1, keepdims=True), bands)
    return np.log(bands), 10 * np.log10(total / bands)


def compare(samples: list[Values]) -> dict[str, Values]:
    """Differences of every value of every clip, and its level."""
    found: dict[str, list[Values]] = {"own": [], "kaldi": [], "apart": [], "level": []}
    for clip in samples:
        if clip.size < 400:
            continue
        own, theirs = features.fbank(clip, RATE), kaldi_fbank(clip)
        exact, level = definition(clip)
        found["own"].append(np.abs(own - exact).ravel())
        found["kaldi"].append(np.abs(theirs - exact).ravel())
        found["apart"].append(np.abs(own - theirs).ravel())
        found["level"].append(level.ravel())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def markdown(found: dict[str, Values], count: int) -> str:
    """The table by level."""
    level, apart = found["level"], found["apart"]
    beyond = apart > GOAL
    lines = [
        "# fbank against kaldi-native-fbank and the definition",
        "",
        f"`python -m bench.kaldi`: {count} clips of {', '.join(PACKS)}, 16 kHz, {MELS} bands, "
        f"Kaldi's defaults, dither 0; kaldi-native-fbank "
        f"{versions(['kaldi-native-fbank'])['kaldi-native-fbank']}. Natural logarithms. The "
        "definition is computed in float64; the level of a value is how far its band lies below "
        "the energy of its frame.",
        "",
        f"Of {apart.size} values {beyond.sum()} ({beyond.mean():.1e}) are more than {GOAL:g} "
        f"apart, all of them {level[beyond].min() if beyond.any() else 0:.0f} dB or more below "
        f"their frame. Off the definition by more than {GOAL:g}: affectrt in "
        f"{(found['own'] > GOAL).sum()}, Kaldi in {(found['kaldi'] > GOAL).sum()}; so a program "
        f"without any rounding would be up to {found['kaldi'].max():.1e} from Kaldi too, and "
        "nearer than that comes only who repeats its additions in their order.",
        "",
        "| dB below the frame | values | affectrt off the definition, median | most "
        "| Kaldi off it, median | most | the two apart, most | more than 1e-3 apart |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for low, high in itertools.pairwise(_LEVELS):
        here = (level >= low) & (level < high)
        if not here.any():
            continue
        cells = [f"{low} to {high}" if high < 200 else f"{low} and more", str(here.sum())]
        for side in ("own", "kaldi"):
            cells += [f"{np.median(found[side][here]):.1e}", f"{found[side][here].max():.1e}"]
        cells += [f"{apart[here].max():.1e}", f"{beyond[here].mean():.2%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes kaldi.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=400, metavar="N", help="of each pack")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments = parser.parse_args()
    samples = clips(arguments.clips)
    text = markdown(compare(samples), len(samples))
    (arguments.out / "kaldi.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

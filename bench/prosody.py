"""Voice descriptors against openSMILE's eGeMAPS v02 on real clips, descriptor by descriptor.

    python -m bench.prosody [--clips N] [--out FOLDER]

The package `opensmile` is for this comparison alone: its licence forbids more. Correlations are
Pearson's, over all frames (voiced in both for what only those have) and over clips.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt import features
from affectrt.prosody import DESCRIPTORS, FUNCTIONALS

from .timing import ROOT, versions

SPEECH = ROOT.parent / "shared" / "data" / "speech"
RATE = 16000
PACKS = ("ravdess", "emodb", "urdu")
_VOICED = DESCRIPTORS.index("F0semitoneFrom27.5Hz")
_AHEAD = 2  # frames
_SHORT = [f"F{i}{what}" for i in (1, 2, 3) for what in ("frequency", "bandwidth")]
Values = npt.NDArray[Any]


def clips(most: int) -> list[Values]:
    """So many clips of every pack, float32 at 16 kHz, spread over its files."""
    import soundfile

    found = []
    for pack in PACKS:
        files = sorted((SPEECH / pack).glob("*.flac"))
        for file in files[:: max(1, len(files) // most)][:most]:
            found.append(soundfile.read(file, dtype="float32")[0])
    return found


def correlation(a: Values, b: Values) -> float:
    """Pearson's; NaN where one side is constant."""
    if a.size < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def rank_correlation(a: Values, b: Values) -> float:
    """Spearman's: a few wild ratios, such as a deviation over a mean near 0, count no more than
    others."""
    return correlation(a.argsort().argsort(), b.argsort().argsort())


def compare(samples: list[Values]) -> dict[str, Any]:
    """Frames and statistics of both sides, and how many frames each clip has."""
    import opensmile

    level = opensmile.FeatureLevel
    frames = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, level.LowLevelDescriptors)
    statistics = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, level.Functionals)
    own_frames, peer_frames, own_clips, peer_clips, counts = [], [], [], [], []
    for clip in samples:
        own = features.prosody(clip, RATE)
        peer = frames.process_signal(clip, RATE).to_numpy()
        count = min(len(own.frames), len(peer) - _AHEAD)
        short = [*range(_VOICED), *map(DESCRIPTORS.index, _SHORT)]
        shifted = peer[:count].copy()
        shifted[:, short] = peer[_AHEAD : count + _AHEAD, short]
        counts.append(count)
        own_frames.append(own.frames[:count])
        peer_frames.append(shifted)
        own_clips.append([own.functionals[name] for name in FUNCTIONALS])
        peer_clips.append(statistics.process_signal(clip, RATE).to_numpy()[0])
    return {
        "own": np.concatenate(own_frames), "peer": np.concatenate(peer_frames),
        "own_clips": np.asarray(own_clips), "peer_clips": np.asarray(peer_clips),
        "frames": counts,
    }  # fmt: skip


def markdown(found: dict[str, Any], count: int) -> str:
    """Both tables."""
    own, peer = found["own"], found["peer"]
    voiced = own[:, _VOICED] > 0, peer[:, _VOICED] > 0
    both = voiced[0] & voiced[1]
    away = np.abs(own[both, _VOICED] - peer[both, _VOICED])
    lines = [
        "# Voice descriptors against openSMILE",
        "",
        f"`python -m bench.prosody`: {count} clips of {', '.join(PACKS)}, 16 kHz, {len(own)} "
        f"frames; opensmile {versions(['opensmile'])['opensmile']}, eGeMAPS v02. affectrt follows "
        "the published definitions with methods of its own, so values are near and not equal. "
        "openSMILE's spectra of 20 ms begin with the 60 ms of the pitch, ours lie in their middle: "
        "frames are compared two apart for these.",
        "",
        f"Voicing: the same in {(voiced[0] == voiced[1]).mean():.1%} of the frames "
        f"({voiced[0].mean():.1%} voiced here, {voiced[1].mean():.1%} there). F0 where both are "
        f"voiced: within half a semitone in {(away < 0.5).mean():.1%}, an octave or more away in "
        f"{(away > 11.5).mean():.1%}.",
        "",
        "Near: loudness (in a unit of its own), alpha ratio, Hammarberg index, flux, MFCCs, F0 and "
        "voicing. Fair: slopes, HNR, H1-A3. Not near, so do not mix the two programs' values of "
        "these: jitter and shimmer (openSMILE's follow some frames later, and agree little "
        "when moved), H1-H2, formants and their bandwidths. The formants here "
        "are those of synthetic vowels within 60 to 100 Hz (tests/test_features.py), and near "
        "those of Praat, where openSMILE's are not (praat.md).",
        "",
        f"All {len(DESCRIPTORS)} descriptors and {len(FUNCTIONALS)} statistics of the published "
        "set are there, under its names. A deviation over a mean near 0 is any number: read the "
        "correlation of ranks there. Slopes of F0 are taken within voiced stretches here, since "
        "the publication has them over voiced regions; openSMILE's agree little.",
        "",
        "| descriptor | correlation | median here | there | median difference |",
        "|---|---|---|---|---|",
    ]
    for i, name in enumerate(DESCRIPTORS):
        chosen = both if i >= _VOICED else np.ones(len(own), bool)
        a, b = own[chosen, i], peer[chosen, i]
        if "logRel" in name or "LogRel" in name:  # openSMILE's mark for "none"
            a, b = a[b > -200], b[b > -200]
        difference = np.median(np.abs(a - b))
        lines.append(
            f"| {name} | {correlation(a, b):.3f} | {np.median(a):.4g} | {np.median(b):.4g} "
            f"| {difference:.3g} |"
        )
    lines += ["", "| statistic of a clip | correlation | of ranks |", "|---|---|---|"]
    for i, name in enumerate(FUNCTIONALS):
        a, b = found["own_clips"][:, i], found["peer_clips"][:, i]
        lines.append(f"| {name} | {correlation(a, b):.3f} | {rank_correlation(a, b):.3f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes prosody.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=40, metavar="N", help="of each pack")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    samples = clips(arguments.clips)
    text = markdown(compare(samples), len(samples))
    (arguments.out / "prosody.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

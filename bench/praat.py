"""Voice descriptors by affectrt and by openSMILE, each against Praat's of the same frames.

    python -m bench.praat [--clips N] [--out FOLDER]

Praat (through `praat-parselmouth`) and openSMILE are for this comparison alone: their licences ask
for more. Where affectrt and openSMILE differ (bench/results/prosody.md), Praat is a third opinion,
by methods of its own: pitch by autocorrelation, formants by Burg's method over 5.5 kHz.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from affectrt.prosody import DESCRIPTORS, FUNCTIONALS

from .prosody import PACKS, RATE, Values, clips, compare, rank_correlation
from .timing import ROOT, versions

_PITCH = "F0semitoneFrom27.5Hz"
_FORMANTS = [f"F{i}{what}" for what in ("frequency", "bandwidth") for i in (1, 2, 3)]
_CLIPS = {"jitterLocal_sma3nz_amean": "jitter", "shimmerLocaldB_sma3nz_amean": "shimmer, dB"}
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 1000.0


def by_praat(clip: Values, count: int) -> tuple[dict[str, Values], list[float]]:
    """Descriptors of `count` frames by their names in `DESCRIPTORS`, NaN where there is none, and
    jitter and shimmer of the clip."""
    import parselmouth
    from parselmouth.praat import call

    sound = parselmouth.Sound(clip.astype(np.float64), RATE)
    pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=_LOWEST_HZ, pitch_ceiling=_HIGHEST_HZ)
    formants = sound.to_formant_burg(
        time_step=0.01, max_number_of_formants=5, maximum_formant=5500.0, window_length=0.02
    )
    harmonicity = sound.to_harmonicity_ac(time_step=0.01, minimum_pitch=_LOWEST_HZ)
    times = 0.03 + 0.01 * np.arange(count)
    hertz = np.array([pitch.get_value_at_time(t) for t in times])
    made: dict[str, Values] = {_PITCH: 12 * np.log2(hertz / 27.5)}
    made["HNRdBACF"] = np.array([harmonicity.get_value(t) or np.nan for t in times])
    for i in (1, 2, 3):
        at, width = formants.get_value_at_time, formants.get_bandwidth_at_time
        made[f"F{i}frequency"] = np.array([at(i, t) for t in times])
        made[f"F{i}bandwidth"] = np.array([width(i, t) for t in times])
    points = call([sound, pitch], "To PointProcess (cc)")
    bounds = (0, 0, 1e-4, 0.02, 1.3)
    jitter = call(points, "Get jitter (local)", *bounds)
    return made, [jitter, call([sound, points], "Get shimmer (local_dB)", *bounds, 1.6)]


def markdown(samples: list[Values]) -> str:
    """Both tables."""
    found = compare(samples)
    parts, of_clips = zip(*map(by_praat, samples, found["frames"]), strict=True)
    praat = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    voiced_at = DESCRIPTORS.index(_PITCH)
    voiced = np.isfinite(praat[_PITCH])
    sides = found["own"], found["peer"]
    same = [((side[:, voiced_at] > 0) == voiced).mean() for side in sides]
    packages = versions(["praat-parselmouth", "opensmile"])
    lines = [
        "# Voice descriptors against Praat",
        "",
        f"`python -m bench.praat`: {len(samples)} clips of {', '.join(PACKS)}, 16 kHz; "
        f"praat-parselmouth {packages['praat-parselmouth']}, opensmile {packages['opensmile']} "
        "(eGeMAPS v02). Frames that all three call voiced. Correlations of ranks; the median "
        "difference is from Praat's value, in semitones, dB and Hz.",
        "",
        f"Voicing is Praat's in {same[0]:.1%} of the frames here, in {same[1]:.1%} by openSMILE.",
        "",
        "| descriptor | correlation here | openSMILE | median here | openSMILE | Praat "
        "| median difference here | openSMILE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in (_PITCH, "HNRdBACF", *_FORMANTS):
        column, wanted = DESCRIPTORS.index(name), praat[name]
        chosen = voiced & np.isfinite(wanted) & (wanted > -100)
        for side in sides:
            chosen &= (side[:, voiced_at] > 0) & (side[:, column] != 0)
        values = [side[chosen, column] for side in sides]
        wanted = wanted[chosen]
        cells = [f"{rank_correlation(value, wanted):.3f}" for value in values]
        cells += [f"{np.median(value):.4g}" for value in (*values, wanted)]
        cells += [f"{np.median(np.abs(value - wanted)):.3g}" for value in values]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| mean of a clip | correlation here | openSMILE | median here | openSMILE "
              "| Praat |", "|---|---|---|---|---|---|"]  # fmt: skip
    for i, (name, told) in enumerate(_CLIPS.items()):
        wanted = np.array([clip[i] for clip in of_clips])
        heard = np.isfinite(wanted)
        column = FUNCTIONALS.index(name)
        values = [found[side][heard, column] for side in ("own_clips", "peer_clips")]
        cells = [f"{rank_correlation(value, wanted[heard]):.3f}" for value in values]
        cells += [f"{np.median(value):.4g}" for value in (*values, wanted[heard])]
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes praat.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=20, metavar="N", help="of each pack")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments: Any = parser.parse_args()
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    text = markdown(clips(arguments.clips))
    (arguments.out / "praat.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

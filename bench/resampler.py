"""The resampler's filter against soxr's, from tones: pass-band ripple, stop band, images.

    python -m bench.resampler [--out FOLDER]

A tone goes through both. In the pass band its gain counts, and everything that comes out beside it
(images, aliases, rounding); above the lower Nyquist frequency whatever comes out is an alias.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt import features

from .timing import ROOT, versions

RATES = ((48000, 16000), (44100, 16000), (16000, 48000), (16000, 44100))
Values = npt.NDArray[Any]
Resample = Callable[[Values, int, int], Values]


def response(run: Resample, rate: int, other: int, places: Values) -> tuple[Values, Values]:
    """Gain and everything else, in dB, of tones at `places` times the lower Nyquist frequency."""
    nyquist = min(rate, other) / 2
    gains, rests = [], []
    for place in places:
        hz = place * nyquist
        tone = np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)
        output = run(tone, rate, other)[other // 8 : -other // 8].astype(np.float64)
        at = (np.arange(output.size) + other // 8) / other
        gain = 0.0
        if hz < nyquist:
            basis = np.stack([np.sin(2 * np.pi * hz * at), np.cos(2 * np.pi * hz * at)], 1)
            fit = np.linalg.lstsq(basis, output, rcond=None)[0]
            gain = float(np.hypot(*fit))
            output = output - basis @ fit
        gains.append(gain if hz < nyquist else 0.0)
        rests.append(float(np.sqrt(2 * np.mean(output**2))))
    floor = 1e-12
    return 20 * np.log10(np.maximum(gains, floor)), 20 * np.log10(np.maximum(rests, floor))


def main() -> None:
    """Writes resampler.md and resampler.png."""
    parser = argparse.ArgumentParser(description="The resampler's filter against soxr's.")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    folder: Path = parser.parse_args().out
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import soxr

    sides: dict[str, Resample] = {
        "affectrt": lambda x, a, b: features.resample(x, a, b),
        "soxr HQ": lambda x, a, b: np.asarray(soxr.resample(x, a, b, "HQ")),
        "soxr VHQ": lambda x, a, b: np.asarray(soxr.resample(x, a, b, "VHQ")),
    }
    lines = [
        "# Resampler", "",
        f"`python -m bench.resampler`; soxr {versions(['soxr'])['soxr']}; tones of full scale, "
        "float32. Frequencies as shares of the lower Nyquist frequency. Ripple: largest change of "
        "gain up to .91. Beside the tone: everything else in the output, tones up to .91. Stop "
        "band: what is left of tones from 1.0 on.", "",
        "| rates, Hz | side | ripple, dB | gain at .95, dB | beside the tone, dB | stop band, dB |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharex=True, sharey=True)
    for (rate, other), axis in zip(RATES, axes.flat, strict=True):
        top = min(1.6, max(rate, other) / min(rate, other) * 0.99)
        if rate < other:
            top = 0.999
        places = np.unique(np.concatenate([np.linspace(0.01, top, 150), [0.91, 0.95], [1.0005]]))
        places = places[places <= max(top, 0.95)]
        for name, run in sides.items():
            gains, rests = response(run, rate, other, places)
            passing = places <= 0.91
            ripple = np.ptp(gains[passing])
            middle = gains[np.searchsorted(places, 0.95)]
            stop = f"{rests[places >= 1.0].max():.0f}" if (places >= 1.0).any() else "-"
            lines.append(
                f"| {rate} to {other} | {name} | {ripple:.5f} | {middle:.1f} "
                f"| {rests[passing].max():.0f} | {stop} |"
            )
            axis.plot(places, np.where(places < 1, gains, rests), label=name, lw=1)
        axis.set_title(f"{rate} to {other} Hz")
        axis.set_ylim(-160, 5)
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.supxlabel("frequency / lower Nyquist frequency")
    figure.supylabel("gain, or what is left, dB")
    figure.tight_layout()
    figure.savefig(folder / "resampler.png", dpi=90)
    text = "\n".join([*lines, "", "![gain](resampler.png)"]) + "\n"
    (folder / "resampler.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

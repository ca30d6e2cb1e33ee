"""Voice activity: the network of `affectrt.vad` against a detector by energy, under noise.

    python -m bench.vad [--scenes N] [--out FOLDER]

Both see the same mel bands above the same noise floors. The detector by energy says speech where
their mean, smoothed over 110 ms, passes a threshold, the best one for the train splits. Neither has
heard what they are compared on: the two dev and two test excerpts of the `vad` pack, and scenes of
clips of the test splits of RAVDESS, EmoDB and URDU between silences and made-up sounds, whose
segments are where the undisturbed clips are loud.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from affectrt.export.recipes.vad import net, scenes
from affectrt.vad import voice_activity

from .timing import ROOT

SPEECH = ROOT.parent / "shared" / "data" / "speech"
CONDITIONS = (
    ("clean", 0.0), ("pink", 20.0), ("pink", 10.0), ("pink", 5.0), ("pink", 0.0),
    ("white", 10.0), ("babble", 10.0),
)  # fmt: skip
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]


def energy(samples: scenes.Samples) -> Values:
    """Mean of the bands above their floors, smoothed: [frames], in log10 of power."""
    above = net.inputs_of(net.bands_of(samples))[:, : net.BANDS].mean(1)
    return np.convolve(np.pad(above, 5, mode="edge"), np.ones(11) / 11, "valid").astype(np.float32)


def counts(speech: Flags, found: Flags) -> npt.NDArray[np.int64]:
    """Frames that are speech and found so, found alone, missed, and speech in all."""
    return np.array([
        (speech & found).sum(), (~speech & found).sum(), (speech & ~found).sum(), speech.sum(),
    ])  # fmt: skip


def figures(sums: npt.NDArray[np.int64]) -> tuple[float, float, float, float]:
    """Precision, recall, F1 and the share of wrong frames to frames of speech."""
    hit, false, missed, speech = map(float, sums)
    precision, recall = hit / max(1.0, hit + false), hit / max(1.0, speech)
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return precision, recall, f1, (false + missed) / max(1.0, speech)


def best_threshold(heard: list[scenes.Scene], values: list[Values]) -> float:
    """With the highest F1."""
    every = np.concatenate(values)
    choices = np.quantile(every, np.linspace(0.02, 0.98, 97))
    pairs = list(zip(heard, values, strict=True))
    sums = [np.sum([counts(scene.speech, v >= c) for scene, v in pairs], 0) for c in choices]
    return float(choices[int(np.argmax([figures(one)[2] for one in sums]))])


def in_segments(samples: scenes.Samples, frames: int) -> Flags:
    """What the segments of `voice_activity` cover, without their padding."""
    found = np.zeros(frames, bool)
    for one in voice_activity(samples.astype(np.float32), net.RATE, padding_ms=0).segments:
        found[round(one.start_s * 100) : round(one.end_s * 100)] = True
    return found


def all_conditions(
    clean: list[scenes.Scene], voices: list[scenes.Samples], threshold: float
) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
    """By condition and detector: `counts`."""
    table: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
    for kind, snr_db in CONDITIONS:
        row = {name: np.zeros(4, np.int64) for name in ("energy", "network", "segments", "all")}
        for one in clean:
            scene = one if kind == "clean" else scenes.noisy(one, kind, snr_db, voices)
            frames = len(scene.speech)
            found = voice_activity(scene.samples.astype(np.float32), net.RATE).probabilities
            row["energy"] += counts(scene.speech, energy(scene.samples)[:frames] >= threshold)
            row["network"] += counts(scene.speech, found[:frames] >= 0.5)
            row["segments"] += counts(scene.speech, in_segments(scene.samples, frames))
            row["all"] += counts(scene.speech, np.ones(frames, bool))
        table[kind if kind == "clean" else f"{kind}, {snr_db:.0f} dB SNR"] = row
    return table


def markdown(tables: dict[str, dict[str, dict[str, npt.NDArray[np.int64]]]], about: str) -> str:
    """One table for each kind of sound."""
    lines = [
        "# Voice activity",
        "",
        "`python -m bench.vad`. " + about,
        "",
        "Frames of 10 ms: precision / recall / **F1** / share of wrong frames (missed or false) to "
        'frames of speech, without a collar. "network" is `affectrt.vad` at a probability of '
        '0.5; "its segments" are those of the defaults without padding, which bridge pauses '
        'below 300 ms: what streams cut sound by; "always" says that all is speech.',
        "",
        "The network answers 172.5 ms after the sound (160 ms of lookahead, half a window), a "
        "segment ends 300 ms of silence later: 472.5 ms at 16 kHz; other rates add the "
        "resampler's 20 to 60 ms.",
    ]
    for name, table in tables.items():
        lines += ["", f"## {name}", "", "| noise | energy | network | its segments | always |",
                  "|---|---|---|---|---|"]  # fmt: skip
        for condition, row in table.items():
            cells = []
            for detector in ("energy", "network", "segments", "all"):
                precision, recall, f1, wrong = figures(row[detector])
                cells.append(f"{precision:.3f} / {recall:.3f} / **{f1:.3f}** / {wrong:.1%}")
            lines.append(f"| {condition} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.vad", description=__doc__)
    parser.add_argument("--scenes", type=int, default=30, help="of 12 s, made of test clips")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    args = parser.parse_args(argv)
    rng = np.random.default_rng(1)
    train_voices = scenes.clips(SPEECH, "train")
    heard = [*scenes.meetings(SPEECH, "train")]
    heard += [scenes.scene(train_voices, rng) for _ in range(20)]
    heard += [scenes.Scene(s.name, scenes.disturbed(s.samples, rng, train_voices), s.speech)
              for s in list(heard)]  # fmt: skip
    threshold = best_threshold(heard, [energy(s.samples)[: len(s.speech)] for s in heard])
    voices = scenes.clips(SPEECH, "test")
    made = [scenes.scene(voices, rng) for _ in range(args.scenes)]
    made = [scenes.Scene(f"scene{i}", s.samples, s.speech) for i, s in enumerate(made)]
    rooms = [*scenes.meetings(SPEECH, "dev"), *scenes.meetings(SPEECH, "test")]
    minutes = sum(len(s.speech) for s in made) / 6000
    tables = {
        f"Meetings (AMI), {len(rooms)} excerpts of half a minute": all_conditions(
            rooms, voices, threshold
        ),
        f"Scenes of acted speech and other sounds, {minutes:.0f} minutes": all_conditions(
            made, voices, threshold
        ),
    }
    about = (
        "The network's weights are made by `python -m affectrt.export.recipes.vad`; the detector "
        f"by energy needs {10 * threshold:.1f} dB above the noise floor. Four half minutes are "
        "little: the figures of the meetings say which detector is better, not by how much, and "
        "most of their frames are speech."
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "vad.md").write_text(markdown(tables, about), encoding="utf-8")
    print((args.out / "vad.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

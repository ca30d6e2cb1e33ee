"""The speech packs as clips with targets, and what of a target is a proxy.

**Arousal and valence.** No pack has ratings, so a clip is given what its emotion is rated on
average, rounded to .05: Russell & Mehrabian 1977 for anger, boredom, disgust, fear, happiness,
sadness and surprise, Russell 1980 for calm, 0 for neutral. Where an intensity is known it moves
them: vocal arousal grows with acted intensity whatever the emotion (Juslin & Laukka 2001), here by
`STRONG_AROUSAL`, and the valence of a "normal" one is `NORMAL_VALENCE` of the table's.

**Shouting.** RAVDESS has no such label either, but one gain for each speaker. A clip is a shout if
it is acted strongly and its active level lies at least `SHOUT_DB` above the median of the speaker's
clips of normal intensity, as in BERSt actors shout at the top of a scale of effort; it is none if
it lies less than `SPOKEN_DB` above. Between them, and for loud clips of normal intensity, nothing
is said. Gain is drawn anew for training, so that the head cannot go by the level itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectrt import features
from affectrt.errors import ExportError, NotFoundError
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.speech_checkpoint import SAMPLE_RATE

from .augment import SNR_DB, active_level_db

SPLITS = ("train", "dev", "test")
EMOTIONS = (
    *("anger", "boredom", "calm", "disgust", "fear"),
    *("happiness", "neutral", "sadness", "surprise"),
)
AROUSAL_VALENCE = {
    "anger": (0.6, -0.5),
    "boredom": (-0.6, -0.65),
    "calm": (-0.3, 0.55),
    "disgust": (0.35, -0.6),
    "fear": (0.6, -0.65),
    "happiness": (0.5, 0.8),
    "neutral": (0.0, 0.0),
    "sadness": (-0.25, -0.65),
    "surprise": (0.65, 0.4),
}
STRONG_AROUSAL = 0.25
NORMAL_VALENCE = 0.75
INTENSITIES = ("normal", "strong")
SEXES = ("female", "male")
SHOUT_DB = 10.0
SPOKEN_DB = 6.0
# 03-01-03-01-02-01-07 is the same recording, so in the original.
DUPLICATES = frozenset({"03-01-03-01-02-02-07.flac"})


@dataclass(frozen=True)
class Terms:
    """What a pack may be used for, and how it was recorded."""

    licence: str
    cite: str
    worth: str  # what a figure on it says
    studio: bool  # so quiet a room that the noise that is mixed in is all there is


PACKS = {
    "ravdess": Terms(
        "CC BY-NC-SA 4.0",
        "Livingstone & Russo 2018",
        "24 actors (4 in test) say two sentences with emotions on order: acted English, the words "
        "carry nothing, rooms are silent",
        studio=True,
    ),
    "emodb": Terms(
        "nothing stated; offered for free download",
        "Burkhardt et al. 2005",
        "10 actors (2 in test, so the interval over clips is too narrow) say ten sentences, all of "
        "them known from train: acted German, clear emotions only",
        studio=True,
    ),
    "urdu": Terms(
        "research purposes only",
        "Latif et al. 2018",
        "talk shows, spontaneous Urdu; few speakers have more than one emotion, so that a voice or "
        "a programme may stand for an emotion, and test figures swing with who is in test",
        studio=False,
    ),
}


@dataclass(frozen=True)
class Clip:
    """A recording with a target for each head that knows one: a label for `single_label` and
    `ordinal`, 0.0 or 1.0 for `multi_label`, numbers for `regression`."""

    id: str
    split: str
    speaker: str
    samples: NDArray[np.int16] = field(repr=False)
    targets: dict[str, Any]


@dataclass(frozen=True)
class Pack:
    """The clips of one data set by split; `labels` are those of `EMOTIONS` that it has."""

    name: str
    clips: dict[str, list[Clip]]
    labels: tuple[str, ...]
    studio: bool
    sha256: dict[str, str]  # of each split: metadata and recordings

    def epoch(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """The order of its train clips in an epoch."""
        return rng.permutation(len(self.clips["train"]))


def read_pack(data: Path, name: str) -> Pack:
    """A pack's folder below `data`; its recordings are held in memory.

    Raises:
        NotFoundError: the folder or a recording is missing.
        InputError: a recording is damaged.
        ExportError: a line or a recording is not what the pack should have; says which.
    """
    folder = data / name
    metadata = folder / "metadata.jsonl"
    if not metadata.is_file():
        raise NotFoundError(f"{metadata} is missing: --data must name the folder of speech packs")
    clips: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    digests = {split: hashlib.sha256() for split in SPLITS}
    for number, line in enumerate(metadata.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            file, split, speaker = folder / row["file"], row["split"], str(row["speaker"])
            targets = _targets(row)
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(f"{metadata}, line {number}: {error!r}") from None
        if split not in SPLITS:
            raise ExportError(f"{metadata}, line {number}: split {split!r} is not of {SPLITS}")
        if file.name in DUPLICATES:
            continue
        samples = _read(file)
        digests[split].update(line.encode() + file.read_bytes())
        clips[split].append(Clip(f"{name}/{file.stem}", split, speaker, samples, targets))
    _check_speakers(name, clips)
    if any("intensity" in c.targets for part in clips.values() for c in part):
        clips = _with_shouts(clips)
    seen = {c.targets["emotion"] for part in clips.values() for c in part}
    return Pack(
        name,
        clips,
        tuple(e for e in EMOTIONS if e in seen),
        PACKS[name].studio,
        {split: digest.hexdigest() for split, digest in digests.items()},
    )


def _read(file: Path) -> NDArray[np.int16]:
    samples, rate = features.read_audio(file)
    if rate != SAMPLE_RATE or samples.shape[1] != 1 or not len(samples):
        raise ExportError(
            f"{file} must hold mono sound at {SAMPLE_RATE} Hz, not {samples.shape[1]} channels at "
            f"{rate} Hz"
        )
    return np.asarray(np.clip(np.rint(samples[:, 0] * 32768.0), -32768, 32767), np.int16)


def _targets(row: dict[str, Any]) -> dict[str, Any]:
    emotion, intensity = _one_of(EMOTIONS, row["emotion"]), row.get("intensity")
    targets: dict[str, Any] = {
        "emotion": emotion,
        "arousal_valence": arousal_valence(emotion, intensity),
        "speaker_sex": _one_of(SEXES, row["sex"]),
    }
    # Nobody acts "neutral" strongly: of such clips there is nothing to learn about intensity.
    if intensity is not None and emotion != "neutral":
        targets["intensity"] = _one_of(INTENSITIES, intensity)
    return targets


def _one_of(labels: tuple[str, ...], name: str) -> str:
    if name not in labels:
        raise ValueError(f"{name!r} is not one of {', '.join(labels)}")
    return name


def arousal_valence(emotion: str, intensity: str | None) -> tuple[float, float]:
    """The proxies of the module's docstring, each from -1 to 1."""
    arousal, valence = AROUSAL_VALENCE[emotion]
    if intensity == "strong":
        arousal += STRONG_AROUSAL
    elif intensity == "normal":
        valence *= NORMAL_VALENCE
    return min(arousal, 1.0), valence


def _with_shouts(clips: dict[str, list[Clip]]) -> dict[str, list[Clip]]:
    levels = {c.id: active_level_db(c.samples / 32768.0) for p in clips.values() for c in p}
    usual: dict[str, list[float]] = {}
    for clip in (c for part in clips.values() for c in part):
        if clip.targets.get("intensity") == "normal":
            usual.setdefault(clip.speaker, []).append(levels[clip.id])
    result: dict[str, list[Clip]] = {}
    for split, part in clips.items():
        result[split] = []
        for clip in part:
            targets = dict(clip.targets)
            if clip.speaker in usual:
                above = levels[clip.id] - float(np.median(usual[clip.speaker]))
                strong = targets.get("intensity") == "strong"
                if strong and above >= SHOUT_DB:
                    targets["shout"] = 1.0
                elif above < SPOKEN_DB:
                    targets["shout"] = 0.0
            result[split].append(replace(clip, targets=targets))
    return result


def _check_speakers(name: str, clips: dict[str, list[Clip]]) -> None:
    speakers = {split: {c.speaker for c in part} for split, part in clips.items()}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        if both := speakers[one] & speakers[other]:
            raise ExportError(f"pack {name}: {one} and {other} share speakers {sorted(both)}")


def heads_of(packs: Sequence[Pack]) -> list[HeadSpec]:
    """The heads that some of these packs can train."""
    known = {name for p in packs for c in p.clips["train"] for name in c.targets}
    heard = {c.targets["emotion"] for p in packs for c in p.clips["train"]}
    emotions = tuple(e for e in EMOTIONS if e in heard)
    both = ((-1.0, 1.0), (-1.0, 1.0))

    def head(name: str, task: str, labels: tuple[str, ...], **more: Any) -> HeadSpec:
        return HeadSpec(name, task, labels, name, input="audio", **more)

    heads = [
        head("emotion", "single_label", emotions),
        head("arousal_valence", "regression", ("arousal", "valence"), ranges=both),
        head("intensity", "ordinal", INTENSITIES),
        head("speaker_sex", "single_label", SEXES),
        head("shout", "multi_label", ("shout",)),
        head("quality", "regression", ("snr_db",), ranges=(SNR_DB,)),
    ]
    studio = any(p.studio for p in packs)
    return [h for h in heads if h.name in known or (h.name == "quality" and studio)]

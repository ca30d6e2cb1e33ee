"""Hostile manifests of speech models; see `model_files`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .model_files import FILES, Attack, manifest, pack, records


def speech_manifest(files: Mapping[str, bytes] = FILES) -> dict[str, Any]:
    """The same of a speech model."""
    made = manifest(files)
    made["modality"] = "speech"
    made["model"]["family"] = "whisper"
    features = {"kind": "whisper_log_mel", "num_mels": 80}
    made["input"] = {"sample_rate": 16000, "max_seconds": 8, "features": features}
    made["heads"][0]["input"] = "audio"
    return made


def speech_attacks() -> Iterator[Attack]:
    """What only the manifest of a speech model can have wrong."""

    def edit(name: str, expected: str, *path: Any, to: Any) -> Attack:
        changed = speech_manifest()
        at: Any = changed
        for step in path[:-1]:
            at = at[step]
        if to is None:
            del at[path[-1]]
        else:
            at[path[-1]] = to
        return Attack(f"speech-{name}", pack(records(json.dumps(changed).encode())), expected)

    features = ("input", "features")
    yield edit("video", "that this build reads", "modality", to="video")
    yield edit("no-rate", "sample_rate", "input", "sample_rate", to=None)
    yield edit("rate-zero", "from 8000 to 192000", "input", "sample_rate", to=0)
    yield edit("rate-huge", "from 8000 to 192000", "input", "sample_rate", to=1 << 40)
    yield edit("rate-of-whisper", "16000", "input", "sample_rate", to=44100)
    for name, seconds in (("zero", 0), ("negative", -8), ("hours", 1e6), ("words", "8 s")):
        yield edit(f"seconds-{name}", "max_seconds", "input", "max_seconds", to=seconds)
    yield edit("no-features", "features", "input", "features", to=None)
    yield edit("features-list", "features", "input", "features", to=[80])
    yield edit("kind", "whisper_log_mel", *features, "kind", to="mfcc")
    for mels in (0, 257, 1 << 33, "80"):
        yield edit(f"mels-{mels}", "num_mels", *features, "num_mels", to=mels)
    filled = {"kind": "whisper_log_mel", "num_mels": 80, "frames": 0}
    yield edit("frames-of-whisper", "frames", *features, to=filled)
    yield edit("waveform", "normalise", *features, to={"kind": "waveform", "normalise": 1})
    for key, value in (
        ("window", "kaiser"),
        ("scale", 0),
        ("frames", 1 << 31),
        ("mean", 1e300),
        ("deviation", 0),
    ):
        fbank = {"kind": "fbank", "num_mels": 80, key: value}
        yield edit(f"fbank-{key}", key, *features, to=fbank)
    yield edit("head-of-text", "audio", "heads", 0, "input", to=None)
    yield edit("head-of-turns", "audio", "heads", 0, "input", to="turn")
    yield edit("head-of-tokens", "no tokens", "heads", 0, "task", to="token_flags")
    text = manifest()
    text["heads"][0]["input"] = "audio"
    yield Attack("text-head-of-audio", pack(records(json.dumps(text).encode())), "cannot read")

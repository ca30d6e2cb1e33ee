"""Clips that a speech product is compared on: a ``metadata.jsonl``, or built-in sounds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from affectrt import features
from affectrt.errors import Error, ExportError, NotFoundError
from affectrt.sounds import TARGET_KEYS

from .checkpoint import HeadSpec

_BUILTIN_SECONDS = (0.01, 0.1, 0.37, 0.5, 0.8, 1.0, 1.3, 1.9, 2.4, 3.1, 4.0, 5.2, 6.3, 7.7, 8.0)


@dataclass(frozen=True)
class SpeechRow:
    """A clip of one channel at the model's rate, and what is known of it by head: one number a
    label."""

    name: str
    samples: npt.NDArray[np.float32] = field(repr=False)
    targets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class SpeechData:
    """Clips to compare on and where they come from."""

    name: str
    sha256: str
    rows: tuple[SpeechRow, ...]
    cut: int = 0  # clips that were longer than the model takes at once

    def truth(self, head: HeadSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Indices of the rows that have a target for a head, and ``float32 [n, labels]``."""
        picked = [
            (i, r.targets[head.name]) for i, r in enumerate(self.rows) if head.name in r.targets
        ]
        indices = np.asarray([i for i, _ in picked], np.int64)
        values = np.asarray([t for _, t in picked], np.float32).reshape(-1, len(head.labels))
        return indices, values


def builtin_sounds(sample_rate: int, max_seconds: float) -> SpeechData:
    """Swelling voices of a pulse train under moving resonances, some in noise, without targets."""
    rng = np.random.default_rng(1)
    rows = []
    for index, wanted in enumerate(_BUILTIN_SECONDS):
        seconds = min(wanted, max_seconds)
        count = max(1, int(seconds * sample_rate))
        time = np.arange(count) / sample_rate
        pitch = rng.uniform(90.0, 320.0) * (
            1.0 + 0.2 * np.sin(2 * np.pi * rng.uniform(1, 5) * time)
        )
        phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
        voice = sum(
            rng.uniform(0.1, 1.0) * np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 20)
        )
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(1.0, 6.0) * time + rng.uniform(0, 6))
        noise = rng.normal(0.0, 10.0 ** rng.uniform(-4.0, -1.3), count)
        samples = 10.0 ** rng.uniform(-2.0, -0.3) * voice * swell / 3.0 + noise
        rows.append(SpeechRow(f"sound {index}", np.asarray(np.clip(samples, -1, 1), np.float32)))
    digest = hashlib.sha256(f"built-in sounds 1, {max_seconds}".encode()).hexdigest()
    return SpeechData("built-in", digest, tuple(rows))


def read_speech_data(
    path: Path, heads: Sequence[HeadSpec], sample_rate: int, max_seconds: float
) -> SpeechData:
    """Read a JSONL file of ``{"file": ..., TARGETS}``, the files beside it.

    Where rows have a ``split``, those of ``"test"`` are taken. The target of a head stands under
    its name (of ``speaker_sex`` also under ``sex``): a label, of a multi-label head a list of them
    or true or false where it has one, of a regression its number or numbers, which may also stand
    under the names of the labels. What a head does not know, such as a label that it does not have,
    is no target. Clips are cut to `max_seconds`.

    Raises:
        NotFoundError: no such file.
        ExportError: a line or a recording that cannot be used; the message names it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such data file") from None
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}") from None
    records = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ExportError(f"{path}, line {number}: is not JSON in UTF-8: {error}") from None
        if not isinstance(value, dict) or not isinstance(value.get("file"), str):
            raise ExportError(f'{path}, line {number}: must be an object with a string "file"')
        records.append(value)
    if any("split" in record for record in records):
        records = [record for record in records if record.get("split") == "test"]
    if not records:
        raise ExportError(f'{path}: has no rows (of the split "test", where rows have one)')
    digest = hashlib.sha256(content)
    rows, cut = [], 0
    most = int(max_seconds * sample_rate)
    for record in records:
        samples = _samples(path.parent / record["file"], sample_rate)
        digest.update(samples.tobytes())
        cut += len(samples) > most
        rows.append(SpeechRow(record["file"], samples[:most].copy(), _targets(record, heads)))
    return SpeechData(path.name, digest.hexdigest(), tuple(rows), cut)


def _samples(file: Path, sample_rate: int) -> npt.NDArray[np.float32]:
    try:
        samples, rate = features.read_audio(file)
        mono = features.mono(samples)
        if rate != sample_rate:
            mono = features.resample(mono, rate, sample_rate)
    except NotFoundError:
        raise
    except Error as error:
        raise ExportError(f"{file}: {error}") from None
    if not len(mono):
        raise ExportError(f"{file}: holds no samples")
    return mono


def _targets(record: Mapping[str, Any], heads: Sequence[HeadSpec]) -> dict[str, tuple[float, ...]]:
    found = {}
    for head in heads:
        value = next(
            (record[key] for key in (head.name, *TARGET_KEYS.get(head.name, ())) if key in record),
            None,
        )
        if head.task == "regression":
            if value is None and all(label in record for label in head.labels):
                value = [record[label] for label in head.labels]
            numbers = value if isinstance(value, list) else [value]
            if len(numbers) == len(head.labels) and all(map(_is_number, numbers)):
                found[head.name] = tuple(map(float, numbers))
            continue
        if isinstance(value, bool) and head.task == "multi_label" and len(head.labels) == 1:
            found[head.name] = (float(value),)
            continue
        names = value if isinstance(value, list) and head.task == "multi_label" else [value]
        if all(isinstance(name, str) and name in head.labels for name in names):
            found[head.name] = tuple(float(label in names) for label in head.labels)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

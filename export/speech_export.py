"""Speech checkpoint in, proved model file out; and the proof again. See `affectrt.export.api`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from affectrt.errors import ExportError

from .bundle import read_manifest, write_bundle
from .certificate import differences
from .manifest import add_parity_metrics, check_heads, make_speech_manifest, same_heads
from .speech_checkpoint import SpeechCheckpoint, load_speech_checkpoint
from .speech_data import SpeechData, builtin_sounds, read_speech_data
from .speech_parity import SpeechParityReport, measure_speech
from .whisper_weights import write_speech_model

ADVICE = {
    "int8": " Keep it in int8-accurate or fp32, or train it longer.",
    "int8-accurate": " Keep it in fp32, or train it longer.",
}


def is_speech_checkpoint(folder: Path) -> bool:
    """Whether a directory holds what `save_speech_checkpoint` writes."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever reads it next says what is wrong
    own = config.get("affectrt") if isinstance(config, dict) else None
    return isinstance(own, dict) and own.get("modality") == "speech"


def export_speech(
    source: Path,
    target: Path,
    *,
    precision: str,
    data: Path | None,
    name: str | None,
    overwrite: bool,
    step: Callable[[str], object],
    engines: Sequence[str] | None,
    enforce_bars: bool,
    recipe: str,
    command: str,
    seal: Callable[[dict[str, Any]], None] | None,
) -> SpeechParityReport:
    """As `export_checkpoint`, of a speech checkpoint; runs on the native engine alone."""
    if engines is not None and set(engines) != {"native"}:
        raise ExportError("a speech checkpoint runs on the native engine alone; use 'native'")
    step("read the checkpoint")
    loaded = replace(load_speech_checkpoint(source), path=source)
    check_heads(source / "config.json", loaded.heads, ("audio",))
    rows = _rows(data, loaded)
    step("write the native engine's weights")
    files: dict[str, bytes | Path] = dict(write_speech_model(loaded.model, precision))
    preprocessor = source / "preprocessor_config.json"
    if preprocessor.is_file():
        files["preprocessor_config.json"] = preprocessor.read_bytes()
    manifest = make_speech_manifest(
        loaded, name=name, precision=precision, recipe=recipe, entries=tuple(files)
    )
    step("compare with the checkpoint")
    with tempfile.TemporaryDirectory(prefix="affectrt-export-") as scratch:
        unproved = Path(scratch) / "unproved.affect"
        write_bundle(unproved, manifest, files)
        report = measure_speech(
            unproved,
            loaded,
            rows,
            name=manifest["name"],
            precision=precision,
            backends=("native",),
            command=command,
        )
    if enforce_bars and not report.passed:
        raise ExportError(_refusal(report, f"{target} is not written"))
    manifest["parity"] = report.to_dict()
    add_parity_metrics(manifest, report.heads, report.data, report.data_sha256)
    step("write the model file")
    write_bundle(target, manifest, files, overwrite=overwrite, seal=seal)
    return report


def verify_speech(
    file: Path, source: Path, *, data: Path | None, command: str
) -> SpeechParityReport:
    """As `verify`, of a speech checkpoint."""
    manifest = read_manifest(file)
    loaded = replace(load_speech_checkpoint(source), path=source)
    same_heads(manifest, loaded)
    notes = []
    if manifest.get("source", {}).get("sha256") not in (None, loaded.source_sha256):
        notes.append(
            "the model file names other weights as its source (SHA-256 "
            f"{str(manifest['source']['sha256'])[:12]}..., here {loaded.source_sha256[:12]}...)"
        )
    report = measure_speech(
        file,
        loaded,
        _rows(data, loaded),
        name=str(manifest["name"]),
        precision=str(manifest["model"]["precision"]),
        backends=("native",),
        command=command,
        notes=notes,
    )
    return replace(report, differences=differences(manifest.get("parity"), report.to_dict()))


def speech_refusal(report: SpeechParityReport, file: Path, source: Path) -> str:
    """What `verify` says of a product beyond the bars."""
    return _refusal(report, f"{file} does not give {source}'s answers")


def _rows(data: Path | None, checkpoint: SpeechCheckpoint) -> SpeechData:
    if data is None:
        return builtin_sounds(checkpoint.sample_rate, checkpoint.max_seconds)
    return read_speech_data(data, checkpoint.heads, checkpoint.sample_rate, checkpoint.max_seconds)


def _refusal(report: SpeechParityReport, what: str) -> str:
    return (
        f"{what}, since it is beyond the bars: {'; '.join(report.failures)}."
        f"{ADVICE.get(report.precision, '')}"
    )

"""How every export and verification ends, of text as of speech: bars, report, certificates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from affectrt.errors import ExportError

from .bundle import read_manifest, write_bundle
from .certificate import differences, write_certificate
from .checkpoint import LoadedCheckpoint
from .manifest import add_parity_metrics
from .parity import ParityReport
from .speech_checkpoint import SpeechCheckpoint
from .speech_parity import SpeechParityReport

Report = TypeVar("Report", ParityReport, SpeechParityReport)

# precision -> what can be done about a product beyond the bars
_OF_TEXT = {
    "int8": " Keep it in int8-accurate or fp32, let --max-flips or --max-loss raise "
    "what needs it, or fine-tune it longer.",
    "int8-accurate": " Keep it in fp32, or fine-tune it longer.",
    "fp16": " Use bf16 where its range is too small, or fp32.",
    "bf16": " Keep it in fp16 or fp32.",
    "int4": " Keep it in int8 or fp32, or fine-tune it longer.",
    "int8-static": " Try another calibration, or int8, whose scales are of each token.",
    "int8-mixed": " Allow less in --max-loss or --max-flips, or fine-tune it longer.",
}
_OF_SPEECH = {
    "int8": " Keep it in fp32 or, on the native engine, int8-accurate, or train it longer.",
    "int8-accurate": " Keep it in fp32, or train it longer.",
}


@dataclass(frozen=True)
class Target:
    """Where a product goes, and how."""

    file: Path
    overwrite: bool
    enforce_bars: bool
    seal: Callable[[dict[str, Any]], None] | None
    certificates: Sequence[Path]


def write_product(
    report: Report,
    manifest: dict[str, Any],
    files: Mapping[str, bytes | Path],
    target: Target,
    step: Callable[[str], object],
    beside: Callable[[], object] | None = None,
) -> Report:
    """Write a model file with the report on it, and its certificates.

    `beside` writes what belongs to the file, before it.

    Raises:
        ExportError: the report broke a bar and `target` enforces them, or a file cannot be written.
    """
    if target.enforce_bars and not report.passed:
        raise ExportError(_refusal(report, f"{target.file} is not written"))
    manifest["parity"] = report.to_dict()
    add_parity_metrics(manifest, report.heads, report.data, report.data_sha256)
    step("write the model file")
    if beside is not None:
        beside()
    write_bundle(target.file, manifest, dict(files), overwrite=target.overwrite, seal=target.seal)
    for document in target.certificates:
        write_certificate(document, read_manifest(target.file)["parity"])
    return report


def verified(
    report: Report,
    manifest: Mapping[str, Any],
    file: Path,
    source: Path,
    certificates: Sequence[Path],
) -> Report:
    """A new report on an existing file, with what it says otherwise than the file's own, and its
    certificates, which are written whether it passes or not.

    Raises:
        ExportError: it broke a bar.
    """
    report = replace(report, differences=differences(manifest.get("parity"), report.to_dict()))
    for document in certificates:
        write_certificate(document, report.to_dict())
    if not report.passed:
        raise ExportError(_refusal(report, f"{file} does not give {source}'s answers"))
    return report


def source_notes(
    manifest: Mapping[str, Any], checkpoint: LoadedCheckpoint | SpeechCheckpoint
) -> list[str]:
    """A remark where a model file names other weights as its source than a checkpoint's."""
    named, own = manifest.get("source", {}).get("sha256"), checkpoint.source_sha256
    if named in (None, own):
        return []
    return [
        "the model file names other weights as its source (SHA-256 "
        f"{str(named)[:12]}..., here {own[:12]}...)"
    ]


def _refusal(report: ParityReport | SpeechParityReport, what: str) -> str:
    advice = _OF_SPEECH if isinstance(report, SpeechParityReport) else _OF_TEXT
    broken = "; ".join(report.failures)
    return f"{what}, since it is beyond the bars: {broken}.{advice.get(report.precision, '')}"

"""Speech checkpoint in, proved model file out; and the proof again. See `affectrt.export.api`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from affectrt.errors import ExportError

from .audio_classifiers import as_speech_encoder, is_audio_classifier, load_audio_classifier
from .bundle import read_manifest, write_bundle
from .checkpoint_files import read_json
from .conclusion import Target, source_notes, verified, write_product
from .manifest import ENGINE_OF, backends_of, check_heads, make_speech_manifest, same_heads
from .onnx_graphs import find_graph
from .onnx_sound import OnnxSound, hears_sound, load_onnx_sound
from .sources import Source, refuse_foreign
from .speech_checkpoint import SpeechCheckpoint, SpeechEncoder, load_speech_checkpoint
from .speech_data import SpeechData, builtin_sounds, read_speech_data
from .speech_onnx import speech_graph
from .speech_parity import SpeechParityReport, measure_speech
from .whisper_weights import write_speech_model


def is_speech_source(source: Source) -> bool:
    """Whether a source is what `save_speech_checkpoint` writes, a network of sound, or a graph of
    one."""
    graph = find_graph(source.path)
    if graph is not None:
        return hears_sound(graph)
    try:
        config = json.loads((source.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever reads it next says what is wrong
    return isinstance(config, dict) and (_is_own(config) or is_audio_classifier(config))


def unused_by_speech(source: Source) -> Source:
    """A source without what a model of sound takes: of a graph labels, task and features."""
    if find_graph(source.path) is None:
        return source
    return replace(source, labels=None, task=None, features=None)


def load_speech(source: Source) -> SpeechCheckpoint:
    """A checkpoint of the recipe, an audio classifier of transformers or a graph of one, checked to
    be one that a manifest can describe."""
    path, graph = source.path, find_graph(source.path)
    refuse_foreign(path)
    if graph is not None:
        checkpoint = load_onnx_sound(source, graph)
        check_heads(path, checkpoint.heads, ("audio",))
        return checkpoint
    config = read_json(path / "config.json")
    load = load_speech_checkpoint if _is_own(config) else load_audio_classifier
    checkpoint = replace(load(path), path=path)
    check_heads(path / "config.json", checkpoint.heads, ("audio",))
    return checkpoint


def engines_of(
    checkpoint: SpeechCheckpoint, precision: str, engines: Sequence[str] | None
) -> tuple[str, ...]:
    """What the product runs on; the native engine where nothing is asked and it computes the
    network.

    Raises:
        ExportError: an engine or a precision that is not done.
    """
    if isinstance(checkpoint.model, OnnxSound):
        if precision != "fp32" or "native" in (engines or ()):
            raise ExportError(
                f"{checkpoint.path}: an existing ONNX model is packed as it is, for onnxruntime; "
                "for another precision or the native engine, export the checkpoint that it was "
                "made of"
            )
        return ("onnxruntime",)
    if ENGINE_OF.get(precision) == "onnxruntime":
        raise ExportError(f"{precision!r} is for models of text alone; use 'int8'")
    own = isinstance(checkpoint.model, SpeechEncoder)
    if own and engines is not None and set(engines) != {"native"}:
        raise ExportError(
            "a checkpoint of the speech recipe runs on the native engine alone; use 'native'"
        )
    native = own or as_speech_encoder(checkpoint) is not None
    chosen = tuple(engines or (("native",) if native else ("onnxruntime",)))
    if not native and ("native" in chosen or precision == "int8-accurate"):
        raise ExportError(
            f"{checkpoint.path}: the native engine does not compute this {checkpoint.family} "
            "classifier (it does Whisper's without use_weighted_layer_sum); use the engine "
            "'onnxruntime', in 'fp32' or 'int8'"
        )
    if "onnxruntime" in chosen and precision not in ("fp32", "int8"):
        raise ExportError(
            f"{checkpoint.path}: audio classifiers are exported to onnxruntime in 'fp32' or "
            f"'int8', not in {precision!r}"
        )
    return chosen


def export_speech(
    source: Source,
    target: Target,
    *,
    precision: str,
    data: Path | None,
    name: str | None,
    step: Callable[[str], object],
    engines: Sequence[str] | None,
    recipe: str,
    command: str,
) -> SpeechParityReport:
    """As `export_checkpoint`, of a speech checkpoint."""
    step("read the checkpoint")
    loaded = load_speech(source)
    chosen = engines_of(loaded, precision, engines)
    rows = _rows(data, loaded)
    folder = source.path if source.path.is_dir() else source.path.parent
    files: dict[str, bytes | Path] = {}
    for entry in ("config.json", "preprocessor_config.json"):
        if (folder / entry).is_file():
            files[entry] = (folder / entry).read_bytes()
    notes: tuple[str, ...] = ()
    if isinstance(loaded.model, OnnxSound):
        files.setdefault("config.json", (json.dumps(loaded.config) + "\n").encode())
        files["model.onnx"], precision = loaded.model.image, loaded.model.precision
        notes = tuple(filter(None, (loaded.model.remark,)))
    elif "onnxruntime" in chosen:
        step("trace to ONNX and check the graph against torch")
        files["model.onnx"] = speech_graph(loaded, precision)
    if "native" in chosen:
        step("write the native engine's weights")
        own = isinstance(loaded.model, SpeechEncoder)
        encoder: Any = loaded.model if own else as_speech_encoder(loaded)
        files |= write_speech_model(encoder, precision)
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
            backends=chosen,
            command=command,
            notes=notes,
        )
    return write_product(report, manifest, files, target, step)


def verify_speech(
    file: Path,
    source: Source,
    *,
    data: Path | None,
    command: str,
    certificates: Sequence[Path],
) -> SpeechParityReport:
    """As `verify`, of a speech checkpoint."""
    manifest = read_manifest(file)
    loaded = load_speech(source)
    same_heads(manifest, loaded)
    report = measure_speech(
        file,
        loaded,
        _rows(data, loaded),
        name=str(manifest["name"]),
        precision=str(manifest["model"]["precision"]),
        backends=backends_of(manifest),
        command=command,
        notes=source_notes(manifest, loaded),
    )
    return verified(report, manifest, file, source.path, certificates)


def _is_own(config: dict[str, Any]) -> bool:
    own = config.get("affectrt")
    return isinstance(own, dict) and own.get("modality") == "speech"


def _rows(data: Path | None, checkpoint: SpeechCheckpoint) -> SpeechData:
    if data is None:
        return builtin_sounds(checkpoint.sample_rate, checkpoint.max_seconds)
    return read_speech_data(data, checkpoint.heads, checkpoint.sample_rate, checkpoint.max_seconds)

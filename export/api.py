"""Checkpoint in, proved model file out; and the proof again."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from affectrt.errors import Error, ExportError, NotFoundError, UnsupportedError

from .bundle import read_manifest, write_bundle
from .checkpoint import LoadedCheckpoint, load_checkpoint
from .data import ParityData, builtin_data, read_data
from .manifest import add_parity_metrics, check_exportable, make_manifest, same_heads
from .native_weights import native_engine_runs, write_native_weights
from .onnx_export import check_against_torch, export_onnx, to_bytes
from .parity import BARS, ParityReport, measure
from .quantize_onnx import quantize_onnx
from .tokens import read_tokenizer

PRECISIONS = tuple(BARS)
ENGINES = {"onnxruntime": "onnx", "native": "weights"}  # engine -> what it needs, in the manifest

Progress = Callable[[str], object]


def export_checkpoint(
    checkpoint: Path | str,
    out: Path | str,
    *,
    precision: str = "fp32",
    data: Path | str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    engines: Sequence[str] | None = None,
    enforce_bars: bool = True,
) -> ParityReport:
    """Turn a local sequence-classification checkpoint into one `.affect` file, with its proof.

    Args:
        checkpoint: a directory with ``config.json``, weights and ``tokenizer.json`` (made from the
            slow tokenizer's files where it is missing). Nothing is downloaded and no code in it is
            run.
        out: the file to write. It is whole or untouched at every moment.
        precision: ``"fp32"``; ``"int8"``: 7-bit weights, activations in 8 bits with a scale per
            token (see `affectrt.export.quantize`); ``"int8-accurate"``, of the native engine alone:
            8-bit weights, activations in 16 bits.
        data: JSONL rows ``{"text", "pair"?, "label" | "labels" | "value"?}`` to compare on;
            built-in sentences if not given.
        name: the model's name; the checkpoint directory's if not given.
        overwrite: whether an existing `out` may be replaced.
        progress: called with the name of each step as it begins.
        engines: what the file shall run on: ``"onnxruntime"`` (an ONNX graph), ``"native"``
            (weights for affectrt's own engine), or both; if not given, native where it computes
            the checkpoint's family, else onnxruntime. The report compares each with the
            checkpoint.
        enforce_bars: with False, a product beyond the bars is written all the same, with a report
            that says so.

    Returns:
        The parity report, which also stands in the file.

    Raises:
        NotFoundError: the checkpoint, a file of it or `data` is missing.
        ExportError: a damaged, contradictory or unknown checkpoint, bad data, a product beyond the
            bars, or a file that cannot be written.
        UnsupportedError: valid, but not done: weights beyond 2 GB as float32.
    """
    step = progress or (lambda _: None)
    source, target = Path(checkpoint), Path(out)
    if precision not in PRECISIONS:
        raise ExportError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if engines is not None and not (engines and set(engines) <= set(ENGINES)):
        raise ExportError(f"engines {list(engines)} must be some of {', '.join(ENGINES)}")
    if precision == "int8-accurate" and "onnxruntime" in (engines or ()):
        raise ExportError("precision 'int8-accurate' is the native engine's alone; use 'int8'")
    _check_target(target, overwrite)

    step("read the checkpoint")
    with _readable(source) as folder:
        loaded = replace(load_checkpoint(folder), path=source)
        check_exportable(loaded)
        read_tokenizer(loaded)  # what is wrong with it is better said before the long work
        rows = _rows(data, loaded)
        if engines is None:
            native = native_engine_runs(loaded) or precision == "int8-accurate"
            engines = ("native",) if native else ("onnxruntime",)
        files: dict[str, bytes | Path] = {
            "config.json": (folder / "config.json").read_bytes(),
            "tokenizer.json": loaded.tokenizer_json.read_bytes(),
        }
        if "onnxruntime" in engines:
            files["model.onnx"] = _onnx(loaded, precision, step)
        if "native" in engines:
            step("write the native engine's weights")
            files["weights.safetensors"] = write_native_weights(loaded, precision)
        recipe = _command(
            "export", source, "--out", target, "--precision", precision, *_flags(engines), data=data
        )
        manifest = make_manifest(
            loaded, name=name, precision=precision, recipe=recipe, entries=tuple(files)
        )
        step("compare with the checkpoint")
        with tempfile.TemporaryDirectory(prefix="affectrt-export-") as scratch:
            unproved = Path(scratch) / "unproved.affect"
            write_bundle(unproved, manifest, files)
            report = measure(
                unproved,
                loaded,
                rows,
                name=manifest["name"],
                precision=precision,
                backends=_backends(manifest),
                command=_command("verify", target, "--against", source, data=data),
            )
    if enforce_bars and not report.passed:
        raise ExportError(_refusal(report, f"{target} is not written"))
    manifest["parity"] = report.to_dict()
    add_parity_metrics(manifest, report.heads, report.data, report.data_sha256)
    step("write the model file")
    write_bundle(target, manifest, files, overwrite=overwrite)
    return report


def verify(
    model_file: Path | str, against: Path | str, *, data: Path | str | None = None
) -> ParityReport:
    """Compare an existing model file with a checkpoint, anew.

    Args:
        model_file: a `.affect` file, or a directory with the same files.
        against: the checkpoint's directory.
        data: as for `export_checkpoint`.

    Raises:
        NotFoundError: a file is missing.
        ModelFileError: the model file is damaged.
        ExportError: other heads than the checkpoint's, or answers beyond the bars; the message
            has the numbers.
    """
    file, source = Path(model_file), Path(against)
    manifest = read_manifest(file)
    with _readable(source) as folder:
        loaded = replace(load_checkpoint(folder), path=source)
        same_heads(manifest, loaded)
        rows = _rows(data, loaded)
        notes = []
        if manifest.get("source", {}).get("sha256") not in (None, loaded.source_sha256):
            notes.append(
                "the model file names other weights as its source (SHA-256 "
                f"{str(manifest['source']['sha256'])[:12]}..., here {loaded.source_sha256[:12]}...)"
            )
        report = measure(
            file,
            loaded,
            rows,
            name=str(manifest["name"]),
            precision=str(manifest["model"]["precision"]),
            backends=_backends(manifest),
            command=_command("verify", file, "--against", source, data=data),
            notes=notes,
        )
    if not report.passed:
        raise ExportError(_refusal(report, f"{file} does not give {source}'s answers"))
    return report


def _onnx(checkpoint: LoadedCheckpoint, precision: str, step: Progress) -> bytes:
    step("trace to ONNX")
    graph = export_onnx(checkpoint)
    if precision == "fp32":
        image = to_bytes(graph)
        step("check the graph against torch")
        check_against_torch(image, checkpoint)
        return image
    # The float graph is checked first, so that what remains is quantisation alone.
    unquantized = _image_if_small(graph)
    if unquantized is not None:
        step("check the graph against torch")
        check_against_torch(unquantized, checkpoint)
    step("quantise")
    # What reads the last hidden states stays in float32, of tokens as of pooled rows.
    quantize_onnx(graph, keep=[f"heads.{h.name}" for h in checkpoint.heads])
    return to_bytes(graph)


def _image_if_small(graph: Any) -> bytes | None:
    """None where the float32 graph does not fit one ONNX file (its int8 form may)."""
    try:
        return to_bytes(graph)
    except UnsupportedError:
        return None


def _flags(engines: Sequence[str]) -> list[str]:
    return [word for engine in engines for word in ("--engine", engine)]


def _backends(manifest: dict[str, Any]) -> tuple[str, ...]:
    model = manifest["model"]
    return tuple(engine for engine, key in ENGINES.items() if key in model)


def _check_target(out: Path, overwrite: bool) -> None:
    """What would make the last step fail is said before the first."""
    if out.is_dir():
        raise ExportError(f"{out}: is a directory; give the name of a file")
    if out.exists() and not overwrite:
        raise ExportError(f"{out}: exists already; choose another name or allow overwriting")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: no such directory; create it first")


def _rows(data: Path | str | None, checkpoint: LoadedCheckpoint) -> ParityData:
    return builtin_data() if data is None else read_data(Path(data), checkpoint.heads)


def _refusal(report: ParityReport, what: str) -> str:
    advice = {
        "int8": " Keep it in int8-accurate or fp32, or fine-tune it longer.",
        "int8-accurate": " Keep it in fp32, or fine-tune it longer.",
    }.get(report.precision, "")
    return f"{what}, since it is beyond the bars: {'; '.join(report.failures)}.{advice}"


def _command(verb: str, *words: Path | str, data: Path | str | None) -> str:
    """The command line that does it again; names without the folders of this machine."""
    parts = [w.resolve().name if isinstance(w, Path) else w for w in words]
    parts += ["--data", Path(data).name] if data is not None else []
    return shlex.join(["affectrt", verb, *parts])


# Files that transformers can make a tokenizer.json of.
_SLOW_TOKENIZERS = (
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


@contextlib.contextmanager
def _readable(checkpoint: Path) -> Iterator[Path]:
    """The checkpoint, with a tokenizer.json.

    Where there is none, but the files of a slow tokenizer, a view of the directory is made that
    has the one that transformers converts them to.
    """
    slow = [n for n in _SLOW_TOKENIZERS if (checkpoint / n).is_file()]
    if (checkpoint / "tokenizer.json").exists() or not slow or not checkpoint.is_dir():
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="affectrt-tokenizer-") as scratch:
        view = Path(scratch) / checkpoint.resolve().name
        view.mkdir()
        for file in checkpoint.iterdir():
            (view / file.name).symlink_to(file.resolve())
        (view / "tokenizer.json").write_text(_converted(checkpoint, slow), encoding="utf-8")
        try:
            yield view
        except NotFoundError as error:
            raise NotFoundError(str(error).replace(str(view), str(checkpoint))) from None
        except Error as error:
            raise type(error)(str(error).replace(str(view), str(checkpoint))) from error


def _converted(checkpoint: Path, slow: list[str]) -> str:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint, local_files_only=True, trust_remote_code=False
        )
        text: str = tokenizer.backend_tokenizer.to_str()
        json.loads(text)
    except Exception as error:  # transformers raises whatever the file makes it raise
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ExportError(
            f"{checkpoint}: tokenizer.json is missing, and transformers cannot make one of "
            f"{', '.join(slow)}: {reason}"
        ) from None
    return text

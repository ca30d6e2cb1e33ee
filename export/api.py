"""Checkpoint in, proved model file out; and the proof again."""

from __future__ import annotations

import contextlib
import functools
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affectrt import _core
from affectrt.errors import ExportError, UnsupportedError
from affectrt.proof import PublicKey, check_rows, check_signature

from .bundle import read_manifest, write_bundle
from .certificate import check_formats
from .checkpoint import LoadedCheckpoint, config_json, load_checkpoint
from .conclusion import Target, source_notes, verified, write_product
from .data import ParityData, asks, builtin_data, read_data
from .describe import Description, describe, describe_speech
from .half_onnx import halve_onnx
from .int4_onnx import quantize_int4
from .manifest import ENGINE_OF, ENGINES, backends_of, check_exportable, make_manifest, same_heads
from .mixed_precision import ENTRIES, bar_flags, bars_of, make_bar, searched
from .native_weights import HALVES, native_engine_runs, write_native_weights
from .onnx_export import check_against_torch, export_onnx, to_bytes
from .onnx_graphs import find_graph
from .onnx_source import OnnxNetwork, load_onnx, remarks_on
from .optimum_export import VIAS, check_optimum, export_with_optimum
from .parity import BARS, Bars, ParityReport, SourceAnswers, measure, source_answers
from .quantize_onnx import quantize_onnx, quantize_tables
from .search import Bar
from .signing import signer
from .smooth import smooth as smoothed
from .sources import Source, readable, refuse_foreign
from .speech_export import (
    engines_of,
    export_speech,
    is_speech_source,
    load_speech,
    unused_by_speech,
    verify_speech,
)
from .speech_parity import SpeechParityReport
from .static_qdq import METHODS, quantize_static
from .tensorrt_engines import add_to_manifest, build_engines
from .tokens import read_tokenizer
from .vocabulary import ROWS_SUFFIX, prune_to, split_rows
from .whole_files import write_whole

PRECISIONS = tuple(BARS)
OF_ONNXRUNTIME = tuple(p for p, engine in ENGINE_OF.items() if engine == "onnxruntime")

Progress = Callable[[str], object]
Trace = Callable[[LoadedCheckpoint], Any]  # to a graph, `onnx_ir.Model`


def export_checkpoint(
    checkpoint: Path | str | Source,
    out: Path | str,
    *,
    precision: str = "fp32",
    data: Path | str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    engines: Sequence[str] | None = None,
    enforce_bars: bool = True,
    max_loss: float | None = None,
    max_flips: float | None = None,
    search_times: bool = True,
    calibration: str = "minmax",
    smooth: float | None = None,
    tensorrt: Sequence[str] = (),
    via: str = "torch",
    certificates: Sequence[Path | str] = (),
    sign_key: PublicKey | None = None,
    prune_vocabulary: Path | str | None = None,
) -> ParityReport | SpeechParityReport:
    """Turn a local checkpoint into one `.affect` file, with its proof.

    It is one that classifies texts or sounds, or a speech model of
    `affectrt.export.recipes.speech`.

    Args:
        checkpoint: a directory with ``config.json``, weights and ``tokenizer.json`` (made from the
            slow tokenizer's files where it is missing), a LoRA adapter's, or an existing ``.onnx``
            or directory of optimum's, which is packed as it is; as a `Source`, with what else
            belongs to it. Nothing is downloaded and no code in it is run.
        out: the file to write. It is whole or untouched at every moment.
        precision: ``"fp32"``; ``"fp16"`` and ``"bf16"``: weights in 16 bits, arithmetic in
            float32; ``"int4"``, of onnxruntime alone: weights in 4 bits with a scale for each 32 of
            them, activations in float32; ``"int8"``: 7-bit weights, activations in 8 bits with a
            scale per token (see `affectrt.export.quantize`); ``"int8-accurate"``, of the native
            engine alone: 8-bit weights, activations in 16 bits; ``"int8-static"``, of onnxruntime
            alone: QDQ with scales that are calibrated on `data`.
        data: JSONL rows ``{"text", "pair"?, "label" | "labels" | "value"?}`` to compare on, for a
            speech model ``{"file", ...}`` as in the ``metadata.jsonl`` of the speech packs (of the
            split test, where there are splits); built-in sentences or sounds if not given.
        name: the model's name; the checkpoint directory's if not given.
        overwrite: whether an existing `out` may be replaced.
        progress: called with the name of each step as it begins.
        engines: what the file shall run on: ``"onnxruntime"`` (an ONNX graph), ``"native"``
            (weights for affectrt's own engine), or both; if not given, native where it computes
            the checkpoint's family, else onnxruntime. The report compares each with the
            checkpoint.
        enforce_bars: with False, a product beyond the bars is written all the same, with a report
            that says so.
        max_loss: of ``"int8"``, the most that any task metric may fall by on `data`; where it falls
            further, the fewest layers are kept in a higher precision that hold it (see `search`),
            and ``OUT.search.json`` and ``OUT.search.ENGINE.svg`` beside `out` say what was tried. A
            search that was stopped goes on from there.
        max_flips: the same for the share of decisions that flip, 0 to 1.
        search_times: whether the search measures each plan's time for a text beside int8's.
        calibration: of ``"int8-static"``: ``"minmax"``, ``"percentile"`` or ``"entropy"``.
        smooth: of the int8 precisions, the strength (0 to 1) with which outliers of activations are
            moved into weights before, by ranges measured on `data` (see `affectrt.export.smooth`).
        tensorrt: GPU compute capabilities (``"8.9"``) to put TensorRT-RTX engines for into the
            file, in float16, or int8 with `int8-static` (see `tensorrt_engines`); no GPU is
            needed.
        via: what makes the ONNX graph: ``"torch"`` (its dynamo exporter) or ``"optimum"`` (of
            sequence classifiers of transformers; see `optimum_export`).
        certificates: files to write the report to as well, ``.json`` or ``.html``.
        sign_key: an Ed25519 private key in PEM, or its path, to sign the file with.
        prune_vocabulary: texts, one a line, or JSONL rows with ``"text"``: of the native engine,
            embeddings of tokens that they have not go to ``OUT.rows`` (see `vocabulary`). Where
            that lies beside `out` every text is answered as by the whole model, else texts that
            need it are refused.

    Returns:
        The parity report, which also stands in the file.

    Raises:
        NotFoundError: the checkpoint, a file of it or `data` is missing.
        ExportError: a damaged, contradictory or unknown checkpoint, bad data, a product beyond the
            bars, or a file that cannot be written.
        UnsupportedError: valid, but not done: weights beyond 2 GB as float32; or optimum is asked
            for and not installed.
    """
    step = progress or (lambda _: None)
    source, target = as_source(checkpoint), Path(out)
    if precision not in PRECISIONS:
        raise ExportError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if engines is not None and not (engines and set(engines) <= set(ENGINES)):
        raise ExportError(f"engines {list(engines)} must be some of {', '.join(ENGINES)}")
    if precision == "int8-accurate" and "onnxruntime" in (engines or ()):
        raise ExportError("precision 'int8-accurate' is the native engine's alone; use 'int8'")
    if precision in OF_ONNXRUNTIME and "native" in (engines or ()):
        raise ExportError(
            f"precision {precision!r} is onnxruntime's alone; the native engine has 'int8', in "
            "which it multiplies as well"
        )
    if calibration not in METHODS:
        raise ExportError(f"calibration {calibration!r} is not one of {', '.join(METHODS)}")
    of_graph = precision == "fp32" and "onnxruntime" in (engines or ())
    if tensorrt and not of_graph and precision != "int8-static":
        raise ExportError(
            "TensorRT engines are compiled of a float32 graph: they need precision 'fp32' and the "
            "engine 'onnxruntime', or precision 'int8-static'"
        )
    if smooth is not None and not precision.startswith("int8"):
        raise ExportError(f"smooth moves outliers for int8's sake; precision is {precision!r}")
    bar = make_bar(max_loss, max_flips, precision)
    engines = _engines_of_via(via, engines, plain=bar is None and smooth is None)
    _check_target(target, overwrite)
    rows_file = target.with_name(target.name + ROWS_SUFFIX)
    if prune_vocabulary is not None:
        _check_target(rows_file, overwrite)
    documents = [Path(file) for file in certificates]
    check_formats(documents)
    seal = None if sign_key is None else signer(sign_key)
    goal = Target(target, overwrite, enforce_bars, seal, documents)
    if is_speech_source(source):
        others = unused_by_speech(source).flags() or None
        given = (bar, smooth, prune_vocabulary, tensorrt or None, others)
        of_text = any(one is not None for one in given) or precision in OF_ONNXRUNTIME
        if of_text or via != "torch":
            raise ExportError(
                "max_loss, max_flips, smooth, tensorrt, prune_vocabulary, via, "
                f"{', '.join(OF_ONNXRUNTIME)} and what a source has beside its path are for models "
                f"of text alone, and {source.path} is one of speech"
            )
        return export_speech(
            source,
            goal,
            precision=precision,
            data=None if data is None else Path(data),
            name=name,
            step=step,
            engines=engines,
            recipe=_command(
                *("export", source.path, "--out", target, "--precision", precision),
                *_flags(engines or ()), *source.flags(), data=data,
            ),
            command=_command(
                "verify", target, "--against", source.path, *source.flags(), data=data
            ),
        )  # fmt: skip

    step("read the checkpoint")
    with _opened(source) as (loaded, folder):
        check_exportable(loaded)
        read_tokenizer(loaded)  # what is wrong with it is better said before the long work
        rows = _rows(data, loaded)
        graph: bytes | None = None
        notes: tuple[str, ...] = ()
        bars = None if bar is None else bars_of(bar)
        trace: Trace = export_onnx
        if via == "optimum":
            trace = functools.partial(export_with_optimum, folder=folder)
        if isinstance(loaded.model, OnnxNetwork):
            if via != "torch":
                raise ExportError(f"{source.path}: is an ONNX model already; leave via out")
            graph, precision, notes, bars = _as_it_is(loaded, precision, engines, bar)
            engines = ("onnxruntime",)
        elif engines is None:
            native = native_engine_runs(loaded) or precision == "int8-accurate"
            native = native and precision not in OF_ONNXRUNTIME
            engines = ("native",) if native else ("onnxruntime",)
        vocabulary = None
        if prune_vocabulary is not None:
            if tuple(engines) != ("native",):
                raise ExportError(
                    "prune_vocabulary is of the native engine alone, and this export is for "
                    f"{' and '.join(engines)}"
                )
            step("find the tokens of the corpus")
            vocabulary = prune_to(loaded, Path(prune_vocabulary))
        files: dict[str, bytes | Path] = {
            "config.json": config_json(loaded, folder),
            "tokenizer.json": loaded.tokenizer_json.read_bytes(),
        }
        flags = [*source.flags(), *_flags(engines), *bar_flags(bar)]
        flags += ["--tensorrt", ",".join(tensorrt)] if tensorrt else []
        flags += ["--via", via] if via != "torch" else []
        how = [] if graph else ["--precision", precision]
        answers = None
        if smooth is not None:
            step("smooth activations")
            answers = source_answers(loaded, rows)  # the checkpoint's own, before it is changed
            smoothed(loaded, answers, smooth)
            how += ["--smooth", f"{smooth:g}"]
        higher: dict[str, tuple[str, ...]] = {}
        for_tensorrt: bytes | None = None
        if graph is not None:
            files["model.onnx"] = graph
        elif precision == "int8-static":
            answers = answers or source_answers(loaded, rows)
            files["model.onnx"], for_tensorrt = _static(
                loaded, trace, answers, calibration, step, tensorrt=bool(tensorrt)
            )
            how += ["--calibration", calibration]
        elif bar is None:
            if "onnxruntime" in engines:
                files["model.onnx"] = _onnx(loaded, trace, precision, step)
            if "native" in engines:
                step("write the native engine's weights")
                files["weights.safetensors"] = write_native_weights(loaded, precision)
        else:
            step("ask the checkpoint")
            answers = answers or source_answers(loaded, rows)
            for engine in engines:
                found, content = searched(
                    loaded, engine, bar, rows, answers, files, target, step, search_times
                )
                files[ENTRIES[engine]] = content
                for level in found.levels[1:]:
                    if found.weights(level):
                        higher[f"{engine} {level}"] = found.weights(level)
        other_rows = b""
        if vocabulary is not None:
            answers = answers or source_answers(loaded, rows)
            whole = files[ENTRIES["native"]]
            assert isinstance(whole, bytes)
            files[ENTRIES["native"]], other_rows = split_rows(whole, vocabulary)
            notes += (
                vocabulary.note([one.ids.tolist() for one in answers.passes], rows_file.name),
            )
            how += ["--prune-vocabulary", vocabulary.corpus]
        recipe = _command("export", source.path, "--out", target, *how, *flags, data=data)
        manifest = make_manifest(
            loaded,
            name=name,
            precision="int8-mixed" if higher else precision,
            recipe=recipe,
            entries=tuple(files),
        )
        if vocabulary is not None:
            manifest["x-vocabulary"] = vocabulary.to_manifest(other_rows)
        if tensorrt:
            step(f"compile for compute capability {', '.join(tensorrt)}")
            graph_bytes = for_tensorrt or files["model.onnx"]
            assert isinstance(graph_bytes, bytes)
            kind = "fp16" if for_tensorrt is None else "int8"
            built = build_engines(graph_bytes, loaded, tensorrt, precision=kind)
            files |= {about.entry: content for about, content in built.items()}
            add_to_manifest(manifest, tuple(built))
        step("compare with the checkpoint")
        with tempfile.TemporaryDirectory(prefix="affectrt-export-") as scratch:
            unproved = Path(scratch) / "unproved.affect"
            write_bundle(unproved, manifest, files)
            if vocabulary is not None:
                write_whole(Path(f"{unproved}{ROWS_SUFFIX}"), other_rows)
            report = measure(
                unproved,
                loaded,
                rows,
                name=manifest["name"],
                precision=str(manifest["model"]["precision"]),
                backends=backends_of(manifest),
                command=_command(
                    "verify", target, "--against", source.path, *source.flags(), data=data
                ),
                notes=notes,
                bars=bars,
                source=answers,
                higher_precision=higher,
            )
    beside = None if vocabulary is None else functools.partial(write_whole, rows_file, other_rows)
    return write_product(report, manifest, files, goal, step, beside)


def verify(
    model_file: Path | str,
    against: Path | str | Source,
    *,
    data: Path | str | None = None,
    certificates: Sequence[Path | str] = (),
    public_key: PublicKey | None = None,
    providers: Sequence[str] = (),
) -> ParityReport | SpeechParityReport:
    """Compare an existing model file with a checkpoint, anew, and with the report in the file.

    What the new report says otherwise than the file's, beyond rounding, is in its `differences`.

    Args:
        model_file: a `.affect` file, or a directory with the same files.
        against: the checkpoint's directory, or whatever `export_checkpoint` took.
        data: as for `export_checkpoint`.
        certificates: files to write the new report to, ``.json`` or ``.html``, whether it passes
            or not.
        public_key: an Ed25519 key in PEM, or its path, that the file must be signed with.
        providers: execution providers of ONNX Runtime, as of `affectrt.load`, that a text model is
            compared on as well.

    Raises:
        NotFoundError: a file is missing.
        ModelFileError: the model file is damaged.
        ProofError: it is not signed, or not with that key.
        ExportError: other heads than the checkpoint's, or answers beyond the bars; the message
            has the numbers.
    """
    file, source = Path(model_file), as_source(against)
    documents = [Path(document) for document in certificates]
    check_formats(documents)
    manifest = read_manifest(file)
    _core.verify_bundle(str(file))
    check_rows(str(file), manifest)
    if public_key is not None:
        check_signature(str(file), manifest, public_key)
    if providers and is_speech_source(source):
        raise ExportError("providers are compared of text models alone; leave them out")
    if is_speech_source(source):
        command = _command("verify", file, "--against", source.path, *source.flags(), data=data)
        return verify_speech(
            file,
            source,
            data=None if data is None else Path(data),
            command=command,
            certificates=documents,
        )
    with _opened(source) as (loaded, _):
        same_heads(manifest, loaded)
        rows = _rows(data, loaded)
        report = measure(
            file,
            loaded,
            rows,
            name=str(manifest["name"]),
            precision=str(manifest["model"]["precision"]),
            backends=backends_of(manifest),
            command=_command(
                "verify",
                file,
                "--against",
                source.path,
                *source.flags(),
                *(word for name in providers for word in ("--provider", name)),
                data=data,
            ),
            notes=source_notes(manifest, loaded),
            bars=_stored_bars(manifest, loaded),
            higher_precision=(manifest.get("parity") or {}).get("higher_precision"),
            providers=providers,
        )
    return verified(report, manifest, file, source.path, documents)


def describe_checkpoint(
    checkpoint: Path | str | Source,
    *,
    precision: str = "fp32",
    engines: Sequence[str] | None = None,
) -> Description:
    """What `export_checkpoint` would do: family, heads, activations and why, precision, bytes.

    Raises:
        NotFoundError, ExportError: as `export_checkpoint` does for a checkpoint it cannot take.
    """
    source = as_source(checkpoint)
    if is_speech_source(source):
        spoken = load_speech(source)
        chosen = engines_of(spoken, precision, engines)
        return describe_speech(spoken, precision, chosen, source.path.resolve())
    with _opened(source) as (loaded, _):
        check_exportable(loaded)
        return describe(loaded, precision, engines, source.path.resolve())


def as_source(given: Path | str | Source) -> Source:
    """A path as a `Source`."""
    return given if isinstance(given, Source) else Source(Path(given))


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[tuple[LoadedCheckpoint, Path]]:
    """What is to be exported, and the directory with its ``config.json``."""
    refuse_foreign(source.path)
    graph = find_graph(source.path)
    if graph is not None:
        yield load_onnx(source, graph), source.path if source.path.is_dir() else graph.parent
        return
    with readable(source) as folder:
        yield replace(load_checkpoint(folder), path=source.path), folder


def _as_it_is(
    loaded: LoadedCheckpoint, precision: str, engines: Sequence[str] | None, bar: Bar | None
) -> tuple[bytes, str, tuple[str, ...], Bars]:
    """An existing graph: its bytes, precision, a remark, and the bars that it can keep."""
    if precision != "fp32" or bar is not None or "native" in (engines or ()):
        raise ExportError(
            f"{loaded.path}: an existing ONNX model is packed as it is, for onnxruntime; for "
            "another precision or the native engine, export the checkpoint that it was made of"
        )
    network: OnnxNetwork = loaded.model  # type: ignore[assignment]
    bars = BARS.get(network.precision, BARS["int8"])
    if network.scales_of_batch:  # how far it goes is in the report
        bars = replace(bars, max_neighbour_difference=float(np.finfo(np.float32).max))
    return network.image, network.precision, remarks_on(network), bars


def _stored_bars(manifest: dict[str, Any], loaded: LoadedCheckpoint) -> Bars | None:
    """The bars that a file was made for, where they are not those of its precision."""
    searched_for = manifest["model"]["precision"] == "int8-mixed"
    if not searched_for and not isinstance(loaded.model, OnnxNetwork):
        return None
    try:
        return Bars(**manifest["parity"]["bars"])
    except (KeyError, TypeError):
        return None


def _engines_of_via(
    via: str, engines: Sequence[str] | None, *, plain: bool
) -> Sequence[str] | None:
    """The engines, which hold a graph where optimum is to make it."""
    if via not in VIAS:
        raise ExportError(f"via {via!r} is not one of {', '.join(VIAS)}")
    if via == "torch":
        return engines
    check_optimum()
    if not plain:
        raise ExportError(
            "optimum reads the checkpoint itself, so that neither smooth nor a search for max_loss "
            "or max_flips goes with it"
        )
    if engines is not None and "onnxruntime" not in engines:
        raise ExportError("optimum makes an ONNX graph, which the engine 'onnxruntime' runs")
    return engines or ("onnxruntime",)


def _onnx(checkpoint: LoadedCheckpoint, trace: Trace, precision: str, step: Progress) -> bytes:
    step("trace to ONNX")
    graph = trace(checkpoint)
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
    # What reads the last hidden states stays in float32, of tokens as of pooled rows.
    keep = [f"heads.{h.name}" for h in checkpoint.heads]
    step("quantise" if precision.startswith("int") else f"store weights as {precision}")
    if precision in HALVES:
        halve_onnx(graph, precision, keep=keep)
    elif precision == "int4":
        quantize_int4(graph, keep=keep)
    else:
        quantize_onnx(graph, keep=keep)
    return to_bytes(graph)


def _static(
    checkpoint: LoadedCheckpoint,
    trace: Trace,
    answers: SourceAnswers,
    method: str,
    step: Progress,
    *,
    tensorrt: bool,
) -> tuple[bytes, bytes | None]:
    """The graph for ONNX Runtime, and that for TensorRT, which reads no quantised tables."""
    step("trace to ONNX")
    graph = trace(checkpoint)
    step("check the graph against torch")
    check_against_torch(to_bytes(graph), checkpoint)
    step(f"calibrate and quantise ({method})")
    keep = [f"heads.{h.name}" for h in checkpoint.heads]
    other = None
    if tensorrt:
        other = quantize_static(to_bytes(graph), checkpoint, answers, method, keep, symmetric=True)
    quantize_tables(graph)
    return quantize_static(to_bytes(graph), checkpoint, answers, method, keep), other


def _image_if_small(graph: Any) -> bytes | None:
    """None where the float32 graph does not fit one ONNX file (its int8 form may)."""
    try:
        return to_bytes(graph)
    except UnsupportedError:
        return None


def _flags(engines: Sequence[str]) -> list[str]:
    return [word for engine in engines for word in ("--engine", engine)]


def _check_target(out: Path, overwrite: bool) -> None:
    """What would make the last step fail is said before the first."""
    if out.is_dir():
        raise ExportError(f"{out}: is a directory; give the name of a file")
    if out.exists() and not overwrite:
        raise ExportError(f"{out}: exists already; choose another name or allow overwriting")
    if not out.parent.is_dir():
        raise ExportError(f"{out.parent}: no such directory; create it first")


def _rows(data: Path | str | None, checkpoint: LoadedCheckpoint) -> ParityData:
    if data is None:
        return builtin_data(asks(checkpoint.heads))
    return read_data(Path(data), checkpoint.heads)


def _command(verb: str, *words: Path | str, data: Path | str | None) -> str:
    """The command line that does it again; names without the folders of this machine."""
    parts = [w.resolve().name if isinstance(w, Path) else w for w in words]
    parts += ["--data", Path(data).name] if data is not None else []
    return shlex.join(["affectrt", verb, *parts])

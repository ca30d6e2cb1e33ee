"""From a bar on what may be lost to the layers of a checkpoint that need more than int8: `search`
applied to what export makes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

import affectrt
from affectrt import _core
from affectrt.errors import ExportError
from affectrt.metrics import ERROR_METRICS, task_metrics

from .bundle import write_bundle
from .checkpoint import TOKEN_TASKS, HeadSpec, LoadedCheckpoint
from .data import ParityData
from .manifest import make_manifest
from .native_weights import (
    float_tensors,
    is_layer_matrix,
    is_table,
    with_partners,
    write_native_weights,
)
from .onnx_export import check_against_torch, export_onnx, to_bytes
from .parity import BARS, Bars, SourceAnswers, core_passes
from .parity_decisions import clipped, decide, span_statistics_of
from .quantize import quantize_rows
from .quantize_onnx import quantize_onnx
from .search import LEVELS, Bar, Figures, Plan, Progress, Search, Speed, Unit, search
from .search_picture import to_svg
from .search_timing import Timer

ENTRIES = {"native": "weights.safetensors", "onnxruntime": "model.onnx"}
Files = dict[str, bytes | Path]


class Builder:
    """Makes the entry of one engine of a checkpoint, at int8 but for what is to stand higher.

    Args:
        trace: gives the float32 graph anew; for onnxruntime.
    """

    def __init__(self, checkpoint: LoadedCheckpoint, engine: str, trace: Callable[[], Any]) -> None:
        self.checkpoint, self.engine, self._trace = checkpoint, engine, trace
        self._heads = [f"heads.{h.name}" for h in checkpoint.heads]
        self._rows: dict[tuple[str, int], Any] = {}
        self._tensors = float_tensors(checkpoint)

    def units(self) -> tuple[Unit, ...]:
        """What can be raised."""
        shapes = {name: tensor.shape for name, tensor in self._tensors.items()}
        if self.engine == "native":
            family = self.checkpoint.family
            matrices = [n for n, s in shapes.items() if len(s) > 1 and is_layer_matrix(n, family)]
            tables = [n for n, t in self._tensors.items() if is_table(n, t) and n not in matrices]
        else:
            done = quantize_onnx(self._trace(), keep=self._heads)
            matrices = [f"{name}.weight" for name in done.products]
            tables = [f"{name.removesuffix('.weight')}.weight" for name in done.tables]
        return units_of(shapes, matrices, tables)

    def __call__(self, wide: Sequence[str], keep: Sequence[str]) -> bytes:
        """The entry's content.

        Args:
            wide: weights as in int8-accurate, native alone.
            keep: weights in float32.
        """
        if self.engine == "native":
            return write_native_weights(
                self.checkpoint, "int8", keep=keep, wide=wide, quantise=self._quantised
            )
        graph = self._trace()
        quantize_onnx(graph, keep=[*self._heads, *keep])
        return to_bytes(graph)

    def _quantised(self, name: str, rows: npt.NDArray[np.float32], most: int) -> Any:
        """`quantize_rows`, once for each matrix: plans differ in few of them."""
        key = (name, most)
        if key not in self._rows:
            self._rows[key] = quantize_rows(rows, most)
        return self._rows[key]


def units_of(
    shapes: Mapping[str, tuple[int, ...]], matrices: Sequence[str], tables: Sequence[str]
) -> tuple[Unit, ...]:
    """Units of named weights, in the order of `matrices`, tables last.

    Args:
        shapes: of weights by name, ``.weight`` included.
    """
    units, seen = [], set[str]()
    for name in (*matrices, *tables):
        if name in seen or name not in shapes:
            continue
        members = sorted(with_partners(matrices, [name])) if name in matrices else [name]
        seen.update(members)
        stems = [m.removesuffix(".weight") for m in members]
        title = stems[0]
        if len(stems) > 1:
            title = f"{stems[0].rpartition('.')[0]}.{'+'.join(s.rpartition('.')[2] for s in stems)}"
        values = sum(int(np.prod(shapes[m])) for m in members)
        units.append(Unit(title, tuple(stems), values, values if name in matrices else 0))
    return tuple(units)


class Measure:
    """Measures plans: builds the product, runs it, compares with the checkpoint.

    Args:
        build: gives the entries of the model file of a plan.
        manifest: gives the manifest for names of entries.
        timed: whether each plan's time for a text is measured as well.
    """

    def __init__(
        self,
        checkpoint: LoadedCheckpoint,
        data: ParityData,
        source: SourceAnswers,
        engine: str,
        build: Callable[[Plan], Files],
        manifest: Callable[[Sequence[str]], dict[str, Any]],
        timed: bool = True,
    ) -> None:
        self._checkpoint, self._data, self._source = checkpoint, data, source
        self._timed = timed
        self._timer: Timer | None = None
        self._engine, self._build, self._manifest = engine, build, manifest
        self._begins = np.cumsum([0, *(one.a_tokens + 1 for one in source.passes)]).tolist()
        self._decided = {h.name: self._decide(h, source.logits[h.output]) for h in checkpoint.heads}
        self._figures = {
            h.name: self._figures_of(h, source.logits[h.output], self._decided[h.name])
            for h in checkpoint.heads
        }

    def __call__(self, plan: Plan) -> Figures:
        """Of all rows of the data."""
        files = self._build(plan)
        content = files[ENTRIES[self._engine]]
        all_logits, speed = self._answers(files, plan)
        flips, losses, errors = [0.0], [], []
        for head, logits in zip(self._checkpoint.heads, all_logits, strict=True):
            wanted = self._source.logits[head.output]
            gap = np.nan_to_num(logits.astype(np.float64)) - wanted
            errors.append(float((gap**2).mean() / max(float(wanted.var()), 1e-12)))
            decided = self._decide(head, logits)
            if head.task != "regression":
                flips.append(float((decided != self._decided[head.name]).mean()))
            after = self._figures_of(head, logits, decided)
            before = self._figures[head.name]
            losses += [v - after[n] for n, v in before.items() if n not in ERROR_METRICS]
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        return size, max(flips), max(losses, default=None), float(np.mean(errors)), speed

    def _answers(
        self, files: Files, plan: Plan
    ) -> tuple[list[npt.NDArray[np.float32]], Speed | None]:
        heads = self._checkpoint.heads
        with tempfile.TemporaryDirectory(prefix="affectrt-search-") as scratch:
            path = self._write(Path(scratch) / "candidate.affect", files)
            model = affectrt.load(path, backend=self._engine)
            passes = core_passes(model._core, self._data, model.info.max_tokens)
            indices = [model.heads.index(h.name) for h in heads]
            logits = [h.logits for h in model._core.predict_passes(passes, indices).heads]
            if not self._timed:
                return logits, None
            if self._timer is None:
                base = path
                if plan:  # a search that was resumed
                    base = self._write(Path(scratch) / "base.affect", self._build({}))
                self._timer = Timer(base, self._engine, passes, indices)
            return logits, self._timer(path)

    def _write(self, path: Path, files: Files) -> Path:
        write_bundle(path, self._manifest(tuple(files)), files)
        return path

    def _decide(self, head: HeadSpec, logits: Any) -> Any:
        return decide(head, logits, self._begins)

    def _figures_of(self, head: HeadSpec, logits: Any, decided: Any) -> dict[str, float]:
        if head.task in TOKEN_TASKS:
            if not self._data.spans(head):
                return {}
            statistics = span_statistics_of(
                head, decided, self._begins, self._source.offsets, self._data
            )
            sums = statistics.rows.sum(axis=0, keepdims=True)
            return {name: float(v[0]) for name, v in statistics.figures(sums).items()}
        rows, truth = self._data.truth(head)
        if not len(rows):
            return {}
        return task_metrics(head.task, decided[rows], clipped(head, logits[rows]), truth)


def find_plan(
    builder: Builder,
    bar: Bar,
    data: ParityData,
    source: SourceAnswers,
    others: Files,
    manifest: Callable[[Sequence[str]], dict[str, Any]],
    *,
    state: Path | None,
    progress: Progress,
    timed: bool = True,
) -> Search:
    """The search on one engine.

    Args:
        others: the entries beside the engine's own.
        timed: see `Measure`.
        state: where measurements are kept, see `search`.

    Raises:
        ExportError: as `search` does.
    """
    checkpoint, engine = builder.checkpoint, builder.engine
    found = Search(engine, bar, builder.units(), LEVELS[engine])

    def build(plan: Plan) -> Files:
        def of(level: str) -> list[str]:
            return [w for u in found.units if plan.get(u.name) == level for w in u.weights]

        return {**others, ENTRIES[engine]: builder(of("int8-accurate"), of("fp32"))}

    identity = {
        "affectrt": affectrt.__version__,
        "kernels": _core.kernels_info()["chosen"] if engine == "native" else "",
        "source_sha256": checkpoint.source_sha256,
        "data_sha256": data.sha256,
        "heads": [h.to_manifest() for h in checkpoint.heads],
    }
    measure = Measure(checkpoint, data, source, engine, build, manifest, timed)
    return search(found, measure, state=state, identity=identity, progress=progress)


def make_bar(max_loss: float | None, max_flips: float | None, precision: str) -> Bar | None:
    """The bar that a caller set; None where none is."""
    given = [(k, v) for k, v in (("loss", max_loss), ("flips", max_flips)) if v is not None]
    if not given:
        return None
    if len(given) > 1:
        raise ExportError("max_loss and max_flips are two bars; give one of them")
    kind, bound = given[0]
    if not 0 <= bound < 1:
        raise ExportError(f"max_{kind} is {bound:g}; it must be from 0 to below 1 (0.005 is 0.5 %)")
    if precision != "int8":
        raise ExportError(f"max_{kind} searches from 'int8' upwards; precision is {precision!r}")
    return Bar(kind, bound)


def bars_of(bar: Bar) -> Bars:
    """The bars of int8, but for the one that the caller set."""
    if bar.kind == "flips":
        return replace(BARS["int8"], max_flip_rate=bar.bound, max_flipped_rows=1.0)
    return replace(BARS["int8"], max_metric_loss=bar.bound)


def bar_flags(bar: Bar | None) -> list[str]:
    """The option of the command line that says the same."""
    return [] if bar is None else [f"--max-{bar.kind}", f"{bar.bound:g}"]


def searched(
    checkpoint: LoadedCheckpoint,
    engine: str,
    bar: Bar,
    rows: ParityData,
    answers: SourceAnswers,
    others: Files,
    target: Path,
    step: Progress,
    timed: bool = True,
) -> tuple[Search, bytes]:
    """The search on one engine, with its record and picture, and the engine's entry."""
    graphs: list[Any] = []

    def trace() -> Any:
        if not graphs:
            step("trace to ONNX")
            graph = export_onnx(checkpoint)
            step("check the graph against torch")
            check_against_torch(to_bytes(graph), checkpoint)
            graphs.append(ir.to_proto(graph))
        return ir.from_proto(graphs[0])

    builder = Builder(checkpoint, engine, trace)
    alone = {name: content for name, content in others.items() if name not in ENTRIES.values()}
    found = find_plan(
        builder,
        bar,
        rows,
        answers,
        alone,
        lambda entries: make_manifest(
            checkpoint, name="candidate", precision="int8", recipe="", entries=entries
        ),
        state=target.with_suffix(".search.json"),
        progress=step,
        timed=timed,
    )
    step(found.to_text())
    picture = target.with_suffix(f".search.{engine}.svg")
    try:
        picture.write_text(to_svg(found, target.stem), "utf-8")
    except OSError as error:
        raise ExportError(f"{picture}: cannot be written: {error.strerror or error}") from None
    return found, builder(found.weights("int8-accurate"), found.weights("fp32"))

"""The parity report: how far a product's answers are from its checkpoint's, and does that pass.

Source side: the checkpoint's ``tokenizer.json`` through Hugging Face `tokenizers` and its network
through torch. Product side: texts through affectrt itself, tokenizer, backend and decisions
included. Both truncate long rows at the model's `max_tokens`, longest text first.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affectrt.errors import ExportError
from affectrt.metrics import ERROR_METRICS, BoolArray, FloatArray

from .bundle import read_manifest
from .checkpoint import TOKEN_TASKS, HeadSpec, LoadedCheckpoint
from .data import ParityData
from .onnx_export import Feeds, pad_id, torch_logits
from .parity_decisions import Offsets, decide, in_answer
from .parity_figures import SIDES, correlation, cosines, head_metrics
from .recipes.multitask.inputs import Ids, Pass, Tokens, Turn
from .speech_data import SpeechData
from .tokens import encode_inputs, read_tokenizer, tokenizer_note

_SOURCE_BATCH = 16  # rows of similar length that torch sees at once
_NEIGHBOUR_ROWS = 48  # rows that are answered alone as well as together
MAX_CHANCE = 0.02  # of a loss: rows that are too few to tell more prove too little


@dataclass(frozen=True)
class Bars:
    """What a product must keep to.

    ``max_logit_difference`` and ``max_neighbour_difference`` (of a row alone and in a batch) are
    relative to the source's largest |logit| where that passes 1. ``max_flipped_rows`` is the part
    of the rows in which a head may decide otherwise, be it one label of many; a single row is
    allowed whatever the number of rows, since one near tie proves nothing. ``max_flip_rate``, where
    a caller asks for it, is of all (row, label) decisions. Metrics may fall by
    ``max_metric_loss`` and what chance explains, `chance_of_loss`. A regression's values must
    correlate to ``1 - max_metric_loss``.
    """

    max_logit_difference: float | None
    max_neighbour_difference: float
    max_flipped_rows: float
    max_metric_loss: float
    max_flip_rate: float | None = None


BARS = {
    "fp32": Bars(2e-4, 2e-4, 0.005, 0.003),
    "fp16": Bars(1e-2, 2e-4, 0.01, 0.003),
    "bf16": Bars(None, 2e-4, 0.03, 0.003),
    "int8": Bars(None, 1e-2, 0.06, 0.003),
    "int8-accurate": Bars(None, 2e-4, 0.02, 0.003),
    "int8-static": Bars(None, 1e-2, 0.06, 0.003),
    "int4": Bars(None, 2e-4, 0.15, 0.003),
}


@dataclass(frozen=True)
class HeadParity:
    """One head on one backend, over all rows."""

    head: str
    task: str
    labels: int
    backend: str
    max_logit_difference: float
    mean_logit_difference: float
    max_neighbour_difference: float  # the same row alone and in a batch
    largest_logit: float  # of the source
    decisions: int  # rows x labels; 0 for a regression
    flipped_decisions: int
    flipped_rows: int
    rows: int  # of a head that reads tokens, tokens
    correlation: float | None  # of source and product values; regressions only
    rows_with_target: int
    mean_cosine: float  # of the logits of a row, source and product
    min_cosine: float
    calibration_error: dict[str, float] | None  # source, product; of labels, on rows with targets
    # name -> source, product, and bounds: see `parity_figures.head_metrics`
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenParity:
    """Rows whose token ids are the same in Hugging Face `tokenizers` and in affectrt."""

    rows: int
    equal: int
    first_difference: str | None = None


@dataclass(frozen=True)
class ParityReport:
    """What `export_checkpoint` and `verify` measured; `passed` says whether all bars hold."""

    name: str
    precision: str
    rows: int
    pairs: int
    truncated: int  # rows longer than the model takes
    data: str  # "built-in", or the name of the data file
    data_sha256: str
    tokens: TokenParity
    heads: tuple[HeadParity, ...]
    bars: Bars
    failures: tuple[str, ...]
    versions: dict[str, str]
    command: str
    source_sha256: str
    product: dict[str, str]  # entries that the answers come from -> SHA-256
    notes: tuple[str, ...] = ()
    # What a search let stand above int8: "ENGINE LEVEL" -> names of weights
    higher_precision: dict[str, list[str]] = field(default_factory=dict)
    # `verify`: what is otherwise than in the file's report; None where there is nothing to compare
    differences: tuple[str, ...] | None = None

    @property
    def passed(self) -> bool:
        """Whether no bar is broken."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand under ``parity`` in ``affectrt.json``."""
        plain = asdict(self)
        plain["passed"] = self.passed
        for key in ("heads", "failures", "notes", "differences"):
            plain[key] = None if plain[key] is None else list(plain[key])
        if self.differences is None:
            del plain["differences"]
        return plain

    def to_text(self) -> str:
        """A few lines for people."""
        verdict = "passed" if self.passed else "FAILED"
        rows = f"{self.rows} rows ({self.pairs} pairs, {self.truncated} truncated)"
        source = "built-in sentences" if self.data == "built-in" else self.data
        lines = [
            f"parity of {self.name} ({self.precision}) with its checkpoint: {verdict}",
            f"  {rows} of {source}",
            f"  token ids equal on {self.tokens.equal} of {self.tokens.rows} rows",
        ]
        return "\n".join([*lines, *closing_lines(self)])


def closing_lines(report: Any) -> list[str]:
    """What reports of text and of speech have in common: heads, remarks, versions, command."""
    lines = [line for head in report.heads for line in head_lines(head)]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"  beyond the bar: {failure}" for failure in report.failures]
    lines += [f"  differs: {line}" for line in report.differences or ()]
    lines += ["  the same as the report in the file"] if report.differences == () else []
    versions = ", ".join(f"{k} {v}" for k, v in report.versions.items())
    return [*lines, f"  {versions}", f"  again: {report.command}"]


def head_lines(head: HeadParity) -> list[str]:
    """Some lines of a report."""
    lines = [
        f"  head {head.head} ({head.task}, {head.labels} labels) on {head.backend}",
        f"    logits   max |d| {head.max_logit_difference:.3g}, mean |d| "
        f"{head.mean_logit_difference:.3g}, largest {head.largest_logit:.3g}; "
        f"alone or in a batch {head.max_neighbour_difference:.3g}; "
        f"cosine {head.mean_cosine:.6f}, at least {head.min_cosine:.6f}",
    ]
    if head.correlation is not None:
        lines.append(f"    values   correlate to {head.correlation:.6f}")
    else:
        share = 100.0 * head.flipped_decisions / max(head.decisions, 1)
        lines.append(
            f"    flips    {head.flipped_decisions} of {head.decisions} decisions "
            f"({share:.2f} %), in {head.flipped_rows} rows"
        )
    for name, values in head.metrics.items():
        bounds = [f"{values[f'{side}_low']:.4f} to {values[f'{side}_high']:.4f}" for side in SIDES]
        lines.append(
            f"    {name:<8} {values['source']:.4f} source ({bounds[0]}), {values['product']:.4f} "
            f"product ({bounds[1]}), change {values['change_low']:+.4f} to "
            f"{values['change_high']:+.4f} ({head.rows_with_target} rows)"
        )
    if head.calibration_error is not None:
        of_source, of_product = (head.calibration_error[side] for side in SIDES)
        lines.append(f"    calibration error {of_source:.4f} source, {of_product:.4f} product")
    return lines


@dataclass(frozen=True)
class SourceAnswers:
    """The checkpoint's answers: token ids of every row and logits by output name."""

    ids: tuple[tuple[int, ...], ...]  # of rows, then of the texts that are compared as tokens only
    truncated: int
    logits: dict[str, FloatArray]  # of heads that read tokens those of [CLS] and A, row after row
    passes: tuple[Pass, ...]
    offsets: tuple[Offsets, ...]  # of A's tokens in each pass


@dataclass(frozen=True)
class ProductAnswers:
    """A product's answers on one backend, per head in the order of the checkpoint."""

    backend: str
    logits: tuple[FloatArray, ...]
    decided: tuple[BoolArray, ...]
    alone: tuple[FloatArray, ...]  # logits of the first rows, each answered alone


def source_answers(checkpoint: LoadedCheckpoint, data: ParityData) -> SourceAnswers:
    """Run all rows through `tokenizers` and torch."""
    tokenizer = read_tokenizer(checkpoint)
    tokens = Tokens(checkpoint.tokenizer_json) if data.has_context else None
    inputs = encode_inputs(data)
    full = tokenizer.encode_batch([*inputs, *data.tokens_only])
    limit = checkpoint.max_tokens
    tokenizer.enable_truncation(limit, strategy="longest_first")
    passes, offsets = [], []
    for row, encoding in zip(data.rows, tokenizer.encode_batch(inputs), strict=True):
        if row.context and tokens is not None:
            passes.append(tokens.make_pass(row.text, [Turn(*line) for line in row.context]))
            offsets.append(tokens.offsets(row.text)[: passes[-1].a_tokens])
            continue
        segment = 1 if data.asks else 0
        places = [i for i, s in enumerate(encoding.sequence_ids) if s == segment]
        own = [encoding.offsets[i] for i in places]
        ids, types = (np.asarray(v, np.int64) for v in (encoding.ids, encoding.type_ids))
        passes.append(Pass(ids, types, len(own), places[0] if data.asks and places else 1))
        offsets.append(own)
    logits = _torch_logits(checkpoint, passes)
    for output, values in logits.items():
        if not np.isfinite(values).all():
            raise ExportError(
                f"{checkpoint.path}: output {output!r} is NaN or Inf for some texts; "
                "the checkpoint is damaged or overflows in float32"
            )
    whole = [
        one.ids.tolist() if row.context else encoding.ids
        for row, one, encoding in zip(data.rows, passes, full, strict=False)
    ]
    return SourceAnswers(
        tuple(map(tuple, whole)) + tuple(tuple(e.ids) for e in full[len(inputs) :]),
        sum(len(ids) > limit for ids in whole),
        logits,
        tuple(passes),
        tuple(offsets),
    )


def _torch_logits(checkpoint: LoadedCheckpoint, passes: Sequence[Pass]) -> dict[str, FloatArray]:
    order = sorted(range(len(passes)), key=lambda i: len(passes[i]))
    found: dict[str, list[Any]] = {h.output: [None] * len(passes) for h in checkpoint.heads}
    of_tokens = {h.output for h in checkpoint.heads if h.task in TOKEN_TASKS}
    for begin in range(0, len(order), _SOURCE_BATCH):
        picked = order[begin : begin + _SOURCE_BATCH]
        answers = torch_logits(checkpoint, make_feeds([passes[i] for i in picked], checkpoint))
        for output, values in answers.items():
            for i, value in zip(picked, values, strict=True):
                first, end = passes[i].a_first, passes[i].a_first + passes[i].a_tokens
                judged = np.concatenate([value[:1], value[first:end]])
                found[output][i] = judged if output in of_tokens else value[None]
    return {output: np.concatenate(rows) for output, rows in found.items()}


def make_feeds(passes: Sequence[Pass], checkpoint: LoadedCheckpoint) -> Feeds:
    """Passes as one padded batch of a graph's inputs."""
    shape = (len(passes), max(map(len, passes)))
    ids = np.full(shape, pad_id(checkpoint), np.int64)
    mask = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for row, one in enumerate(passes):
        n = len(one)
        ids[row, :n], mask[row, :n], types[row, :n] = one.ids, 1, one.types
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


class _CoreTokens(Tokens):
    """Passes of affectrt's own tokenizer."""

    def __init__(self, core: Any) -> None:
        self._core = core
        ends = core.encode("", with_offsets=False).ids
        self.cls, self.sep = int(ends[0]), int(ends[-1])
        self._ids = {}

    def ids(self, text: str) -> Ids:
        if text not in self._ids:
            encoding = self._core.encode(text, add_special_tokens=False, with_offsets=False)
            self._ids[text] = np.asarray(encoding.ids, np.int64)
        return self._ids[text]


def core_passes(core: Any, data: ParityData, limit: int) -> list[Any]:
    """The rows as affectrt's own tokenizer makes them, for `predict_passes`."""
    tokens = _CoreTokens(core.tokenizer) if data.has_context else None
    passes: list[Any] = []
    for row, (first, second) in zip(data.rows, data.segments(), strict=True):
        if row.context and tokens is not None:
            made = tokens.make_pass(row.text, [Turn(*line) for line in row.context])
            ids, types = made.ids.astype(np.int32), made.types.astype(np.int32)
            passes.append((ids, types, made.a_tokens, None))
            continue
        encoding = core.tokenizer.encode(
            first, second, truncation="longest_first", max_tokens=limit, with_offsets=False
        )
        places = np.flatnonzero(encoding.sequence_ids == (1 if data.asks else 0))
        # Without special tokens there is no [CLS] to judge, and no head that reads tokens.
        own = min(len(places), len(encoding.ids) - 1)
        begin = int(places[0]) if data.asks and len(places) else 1
        passes.append((encoding.ids, encoding.type_ids, own, None, begin))
    return passes


def product_answers(
    path: Path,
    data: ParityData,
    heads: Sequence[HeadSpec],
    backend: str,
    providers: Sequence[str] = (),
) -> tuple[ProductAnswers, tuple[tuple[int, ...], ...]]:
    """Run all rows through affectrt: answers, and token ids as `SourceAnswers.ids` has them."""
    import affectrt

    model = affectrt.load(path, backend=backend, providers=providers)
    # The core takes passes, as a conversation does, and gives logits and decisions at once.
    core = model._core
    indices = [model.heads.index(h.name) for h in heads]
    passes = core_passes(core, data, model.info.max_tokens)
    together = core.predict_passes(passes, indices).heads
    alone = [core.predict_passes([one], indices).heads for one in passes[:_NEIGHBOUR_ROWS]]
    answers = ProductAnswers(
        backend=" ".join((core.backend_name, *(name.partition("=")[0] for name in providers))),
        logits=tuple(h.logits for h in together),
        decided=tuple(
            in_answer(h) if spec.task == "span" else h.decided
            for spec, h in zip(heads, together, strict=True)
        ),
        alone=tuple(
            np.concatenate([rows[i].logits for rows in alone]) for i in range(len(indices))
        ),
    )
    ids = [
        one[0] if r.context else core.tokenizer.encode(*segments, with_offsets=False).ids
        for r, one, segments in zip(data.rows, passes, data.segments(), strict=True)
    ]
    ids += [core.tokenizer.encode(t, with_offsets=False).ids for t in data.tokens_only]
    return answers, tuple(tuple(i.tolist()) for i in ids)


def compare_tokens(
    source: SourceAnswers, product_ids: Sequence[Sequence[int]], data: ParityData
) -> TokenParity:
    """Token ids row by row; the first difference is quoted."""
    texts = [r.text for r in data.rows] + list(data.tokens_only)
    different = [
        i
        for i, (a, b) in enumerate(zip(source.ids, product_ids, strict=True))
        if tuple(a) != tuple(b)
    ]
    first = None
    if different:
        i = different[0]
        shown = texts[i] if len(texts[i]) <= 60 else texts[i][:59] + "…"
        at = next(
            (
                k
                for k, (a, b) in enumerate(zip(source.ids[i], product_ids[i], strict=False))
                if a != b
            ),
            min(len(source.ids[i]), len(product_ids[i])),
        )
        first = (
            f"row {i + 1} {shown!r}, token {at}: {list(source.ids[i][at : at + 5])} in tokenizers, "
            f"{list(product_ids[i][at : at + 5])} in affectrt"
        )
    return TokenParity(len(texts), len(texts) - len(different), first)


def compare_head(
    head: HeadSpec,
    source: FloatArray,
    product: ProductAnswers,
    index: int,
    data: ParityData | SpeechData,
    answers: SourceAnswers | None = None,
) -> HeadParity:
    """The numbers of one head on one backend; `answers` is needed for heads that read tokens."""
    logits = product.logits[index]
    if logits.shape != source.shape:
        raise ExportError(
            f"head {head.name!r}: the model file gives {list(logits.shape)} logits, "
            f"the checkpoint {list(source.shape)}"
        )
    difference = np.abs(logits.astype(np.float64) - source)
    alone = product.alone[index]
    neighbour = np.abs(alone.astype(np.float64) - logits[: len(alone)])
    begins = [0]
    if answers is not None:
        begins = np.cumsum([0, *(one.a_tokens + 1 for one in answers.passes)]).tolist()
    wanted, decided = decide(head, source, begins), product.decided[index]
    regression = head.task == "regression"
    flips = np.zeros_like(wanted) if regression else wanted != decided
    # What never changes is no answer: of token classifiers, labels that the checkpoint has not.
    moving = np.ptp(source, axis=0) > 0
    if not moving.any():
        moving[:] = True
    alike = cosines(source[:, moving], logits[:, moving])
    rows_with_target, metrics, calibration = head_metrics(
        head, (source, logits), (wanted, decided), data, begins, answers.offsets if answers else ()
    )
    return HeadParity(
        head=head.name,
        task=head.task,
        labels=len(head.labels),
        backend=product.backend,
        max_logit_difference=_finite(difference.max(initial=0.0)),
        mean_logit_difference=_finite(difference.mean()),
        max_neighbour_difference=_finite(neighbour.max(initial=0.0)),
        largest_logit=float(np.abs(source[:, moving]).max(initial=0.0)),
        decisions=0 if regression else int(flips.size),
        flipped_decisions=int(flips.sum()),
        flipped_rows=int(flips.any(axis=1).sum()),
        rows=len(source),
        correlation=correlation(source, logits) if regression else None,
        rows_with_target=rows_with_target,
        mean_cosine=float(alike.mean()),
        min_cosine=float(alike.min(initial=1.0)),
        calibration_error=calibration,
        metrics=metrics,
    )


def _finite(value: float) -> float:
    """NaN has no JSON form; a product that gives NaN is as far away as a number can say."""
    return float(value) if np.isfinite(value) else float(np.finfo(np.float64).max)


def chance_of_loss(head: HeadParity) -> float:
    """How far a metric may fall where flips are as often right as wrong.

    Each of the f flipped rows of n moves a mean over rows by at most 1 / n, up or down, so the sum
    has a standard deviation of at most sqrt(f) / n; twice that, and on few rows no more than .02.
    f is taken from all rows, since those with a target may be few. The values of a regression that
    correlate to c with the source's have a part ``1 - c^2`` of variance that has nothing to do with
    the truth, so its Pearson correlation has a standard deviation of at most
    ``sqrt((1 - c^2) / n)``.
    """
    share = head.flipped_rows / max(head.rows, 1)
    if head.correlation is not None:
        share = max(0.0, 1.0 - head.correlation**2)
    return min(MAX_CHANCE, 2.0 * math.sqrt(share / max(head.rows_with_target, 1)))


def broken_bars(
    heads: Sequence[HeadParity], tokens: TokenParity | None, bars: Bars
) -> tuple[str, ...]:
    """One line for each bar that does not hold."""
    failures = []
    if tokens is not None and tokens.equal != tokens.rows:
        failures.append(
            f"token ids differ on {tokens.rows - tokens.equal} of {tokens.rows} rows "
            f"({tokens.first_difference})"
        )
    for head in heads:
        where = f"head {head.head} on {head.backend}"
        scale = max(1.0, head.largest_logit)
        if head.max_logit_difference == np.finfo(np.float64).max:
            failures.append(f"{where}: some logits are no numbers")
        bound = None if bars.max_logit_difference is None else bars.max_logit_difference * scale
        if bound is not None and head.max_logit_difference > bound:
            failures.append(
                f"{where}: max |logit difference| {head.max_logit_difference:.3g}, bar {bound:.3g}"
            )
        if head.max_neighbour_difference > bars.max_neighbour_difference * scale:
            failures.append(
                f"{where}: logits of a row change by {head.max_neighbour_difference:.3g} with its "
                f"neighbours in the batch, bar {bars.max_neighbour_difference * scale:.3g}"
            )
        if head.correlation is not None and head.correlation < 1.0 - bars.max_metric_loss:
            failures.append(
                f"{where}: values correlate to {head.correlation:.5f} with the source's, "
                f"bar {1.0 - bars.max_metric_loss:.5f}"
            )
        if head.correlation is None and head.flipped_rows <= 1:
            continue
        rate = head.flipped_decisions / max(head.decisions, 1)
        if bars.max_flip_rate is not None and rate > bars.max_flip_rate:
            failures.append(
                f"{where}: {100 * rate:.2f} % of the decisions flipped "
                f"({head.flipped_decisions} of {head.decisions}), bar "
                f"{100 * bars.max_flip_rate:g} %"
            )
        if head.flipped_rows > bars.max_flipped_rows * head.rows:
            share = 100 * head.flipped_rows / max(head.rows, 1)
            failures.append(
                f"{where}: {share:.2f} % of the rows are decided otherwise ({head.flipped_rows} of "
                f"{head.rows}), bar {100 * bars.max_flipped_rows:g} %"
            )
        for name, values in head.metrics.items():
            loss = values["source"] - values["product"]
            chance = chance_of_loss(head)
            if name not in ERROR_METRICS and loss > bars.max_metric_loss + chance:
                failures.append(
                    f"{where}: {name} fell from {values['source']:.4f} to {values['product']:.4f}, "
                    f"bar {bars.max_metric_loss + chance:.4f} less"
                )
    return tuple(failures)


def measure(
    path: Path,
    checkpoint: LoadedCheckpoint,
    data: ParityData,
    *,
    name: str,
    precision: str,
    backends: Sequence[str],
    command: str,
    notes: Sequence[str] = (),
    bars: Bars | None = None,
    source: SourceAnswers | None = None,
    higher_precision: Mapping[str, Sequence[str]] | None = None,
    providers: Sequence[str] = (),
) -> ParityReport:
    """Compare a model file with its checkpoint on every backend that it can run on.

    Args:
        bars: in place of those of the precision.
        source: the checkpoint's answers, where they are known already.
        higher_precision: see `ParityReport`.
        providers: of ONNX Runtime, as of `affectrt.load`; where given, on these as well.
    """
    source = source or source_answers(checkpoint, data)
    heads: list[HeadParity] = []
    tokens: TokenParity | None = None
    runs: list[tuple[str, Sequence[str]]] = [(backend, ()) for backend in backends]
    if providers:
        runs.append(("onnxruntime", providers))
    for backend, through in runs:
        product, ids = product_answers(path, data, checkpoint.heads, backend, through)
        tokens = compare_tokens(source, ids, data) if tokens is None else tokens
        heads += [
            compare_head(head, source.logits[head.output], product, index, data, source)
            for index, head in enumerate(checkpoint.heads)
        ]
    if tokens is None:
        raise ExportError(f"{path}: has nothing that a backend could run")
    bars = bars or BARS.get(precision, BARS["int8"])
    note = tokenizer_note(checkpoint, data, source.ids)
    return ParityReport(
        name=name,
        precision=precision,
        rows=len(data.rows),
        pairs=sum(r.pair is not None for r in data.rows),
        truncated=source.truncated,
        data=data.name,
        data_sha256=data.sha256,
        tokens=tokens,
        heads=tuple(heads),
        bars=bars,
        failures=broken_bars(heads, tokens, bars),
        versions=versions(),
        command=command,
        source_sha256=checkpoint.source_sha256,
        product={n: str(f["sha256"]) for n, f in read_manifest(path)["files"].items()},
        notes=(*notes, note) if note else tuple(notes),
        higher_precision={k: list(v) for k, v in (higher_precision or {}).items()},
    )


def versions() -> dict[str, str]:
    """What the numbers of a report depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("affectrt", "torch", "transformers", "tokenizers", "onnx", "onnxruntime"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "python": platform.python_version(), "machine": platform.machine()}

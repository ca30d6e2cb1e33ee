"""The parity report: how far a product's answers are from its checkpoint's, and does that pass.

Source side: the checkpoint's ``tokenizer.json`` through Hugging Face `tokenizers` and its network
through torch. Product side: texts through affectrt itself, tokenizer, backend and decisions
included. Both truncate long rows at the model's `max_tokens`, longest text first.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding

from affectrt.errors import ExportError
from affectrt.metrics import ERROR_METRICS, BoolArray, FloatArray, pearson, task_metrics

from .checkpoint import HeadSpec, LoadedCheckpoint
from .data import ParityData
from .onnx_export import Feeds, pad_id, torch_logits
from .tokens import encode_inputs, read_tokenizer, tokenizer_note

_SOURCE_BATCH = 16  # rows of similar length that torch sees at once
_NEIGHBOUR_ROWS = 48  # rows that are answered alone as well as together
_METRIC_DIGITS = 6


@dataclass(frozen=True)
class Bars:
    """What a product must keep to.

    ``max_logit_difference`` and ``max_neighbour_difference`` (of a row alone and in a batch) are
    relative to the source's largest |logit| where that passes 1. Decisions may flip in
    ``max_flip_rate`` of all (row, label) decisions; a single row is allowed whatever the number of
    rows, since one near tie proves nothing. Metrics may fall by ``max_metric_loss``; a regression's
    values must correlate to ``1 - max_metric_loss``.
    """

    max_logit_difference: float | None
    max_neighbour_difference: float
    max_flip_rate: float
    max_metric_loss: float


BARS = {
    "fp32": Bars(2e-4, 2e-4, 0.005, 0.003),
    "int8": Bars(None, 1e-2, 0.005, 0.003),
    "int8-accurate": Bars(None, 2e-4, 0.002, 0.003),
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
    correlation: float | None  # of source and product values; regressions only
    rows_with_target: int
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)  # name -> source, product


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
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no bar is broken."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they stand under ``parity`` in ``affectrt.json``."""
        plain = asdict(self)
        plain["passed"] = self.passed
        for key in ("heads", "failures", "notes"):
            plain[key] = list(plain[key])
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
        for head in self.heads:
            lines += _head_lines(head)
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  beyond the bar: {failure}" for failure in self.failures]
        versions = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        lines += [f"  {versions}", f"  again: {self.command}"]
        return "\n".join(lines)


def _head_lines(head: HeadParity) -> list[str]:
    lines = [
        f"  head {head.head} ({head.task}, {head.labels} labels) on {head.backend}",
        f"    logits   max |d| {head.max_logit_difference:.3g}, mean |d| "
        f"{head.mean_logit_difference:.3g}, largest {head.largest_logit:.3g}; "
        f"alone or in a batch {head.max_neighbour_difference:.3g}",
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
        lines.append(
            f"    {name:<8} {values['source']:.4f} source, {values['product']:.4f} product "
            f"({head.rows_with_target} rows)"
        )
    return lines


@dataclass(frozen=True)
class SourceAnswers:
    """The checkpoint's answers: token ids of every row and logits by output name."""

    ids: tuple[tuple[int, ...], ...]  # of rows, then of the texts that are compared as tokens only
    truncated: int
    logits: dict[str, FloatArray]


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
    inputs = encode_inputs(data)
    full = tokenizer.encode_batch([*inputs, *data.tokens_only])
    limit = checkpoint.max_tokens
    tokenizer.enable_truncation(limit, strategy="longest_first")
    encodings = tokenizer.encode_batch(inputs)
    order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
    logits = {
        h.output: np.zeros((len(encodings), len(h.labels)), np.float32) for h in checkpoint.heads
    }
    for begin in range(0, len(order), _SOURCE_BATCH):
        picked = order[begin : begin + _SOURCE_BATCH]
        answers = torch_logits(checkpoint, _feeds([encodings[i] for i in picked], checkpoint))
        for output, values in answers.items():
            logits[output][picked] = values
    for output, values in logits.items():
        if not np.isfinite(values).all():
            raise ExportError(
                f"{checkpoint.path}: output {output!r} is NaN or Inf for some texts; "
                "the checkpoint is damaged or overflows in float32"
            )
    return SourceAnswers(
        tuple(tuple(e.ids) for e in full),
        sum(len(e.ids) > limit for e in full[: len(inputs)]),
        logits,
    )


def _feeds(encodings: Sequence[Encoding], checkpoint: LoadedCheckpoint) -> Feeds:
    shape = (len(encodings), max(len(e.ids) for e in encodings))
    ids = np.full(shape, pad_id(checkpoint), np.int64)
    mask = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for row, encoding in enumerate(encodings):
        n = len(encoding.ids)
        ids[row, :n], mask[row, :n], types[row, :n] = encoding.ids, 1, encoding.type_ids
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def product_answers(
    path: Path, data: ParityData, heads: Sequence[HeadSpec], backend: str
) -> tuple[ProductAnswers, tuple[tuple[int, ...], ...]]:
    """Run all rows through affectrt: answers, and token ids as `SourceAnswers.ids` has them."""
    import affectrt

    texts: list[str | bytes] = [r.text for r in data.rows]
    pairs: list[str | bytes | None] = [r.pair for r in data.rows]
    model = affectrt.load(path, backend=backend)
    # The core gives logits, decisions and lengths in one pass; the public calls take one each.
    core = model._core
    indices = [model.heads.index(h.name) for h in heads]
    together = core.predict(texts, pairs, indices, None).heads
    few = min(len(texts), _NEIGHBOUR_ROWS)
    alone = [
        core.predict(texts[i : i + 1], pairs[i : i + 1], indices, None).heads for i in range(few)
    ]
    answers = ProductAnswers(
        backend=core.backend_name,
        logits=tuple(h.logits for h in together),
        decided=tuple(h.decided for h in together),
        alone=tuple(
            np.concatenate([rows[i].logits for rows in alone]) for i in range(len(indices))
        ),
    )
    ids = [core.tokenizer.encode(r.text, r.pair, with_offsets=False).ids for r in data.rows]
    ids += [core.tokenizer.encode(t, with_offsets=False).ids for t in data.tokens_only]
    return answers, tuple(tuple(i.tolist()) for i in ids)


def decide(head: HeadSpec, logits: FloatArray) -> BoolArray:
    """The labels that a head decides on, ``bool [rows, labels]``; none for a regression."""
    if head.task == "regression":
        return np.zeros(logits.shape, np.bool_)
    if head.task == "single_label":
        return np.asarray(np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None])
    thresholds = np.asarray(head.thresholds or [0.5] * len(head.labels), np.float64)
    # sigmoid(z / t) >= p, compared as logits: no exponential, no rounding near 0 and 1
    with np.errstate(divide="ignore"):
        bounds = head.temperature * (np.log(thresholds) - np.log1p(-thresholds))
    return np.asarray(logits >= bounds[None, :])


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
    head: HeadSpec, source: FloatArray, product: ProductAnswers, index: int, data: ParityData
) -> HeadParity:
    """The numbers of one head on one backend."""
    logits = product.logits[index]
    if logits.shape != source.shape:
        raise ExportError(
            f"head {head.name!r}: the model file gives {list(logits.shape)} logits, "
            f"the checkpoint {list(source.shape)}"
        )
    difference = np.abs(logits.astype(np.float64) - source)
    alone = product.alone[index]
    neighbour = np.abs(alone.astype(np.float64) - logits[: len(alone)])
    wanted, decided = decide(head, source), product.decided[index]
    regression = head.task == "regression"
    flips = np.zeros_like(wanted) if regression else wanted != decided
    rows, truth = data.truth(head)
    metrics: dict[str, dict[str, float]] = {}
    if len(rows):
        of_source = task_metrics(head.task, wanted[rows], source[rows], truth)
        of_product = task_metrics(head.task, decided[rows], logits[rows], truth)
        metrics = {
            name: {
                "source": round(of_source[name], _METRIC_DIGITS),
                "product": round(of_product[name], _METRIC_DIGITS),
            }
            for name in of_source
        }
    return HeadParity(
        head=head.name,
        task=head.task,
        labels=len(head.labels),
        backend=product.backend,
        max_logit_difference=_finite(difference.max(initial=0.0)),
        mean_logit_difference=_finite(difference.mean()),
        max_neighbour_difference=_finite(neighbour.max(initial=0.0)),
        largest_logit=float(np.abs(source).max(initial=0.0)),
        decisions=0 if regression else int(flips.size),
        flipped_decisions=int(flips.sum()),
        flipped_rows=int(flips.any(axis=1).sum()),
        correlation=_correlation(source, logits) if regression else None,
        rows_with_target=len(rows),
        metrics=metrics,
    )


def _finite(value: float) -> float:
    """NaN has no JSON form; a product that gives NaN is as far away as a number can say."""
    return float(value) if np.isfinite(value) else float(np.finfo(np.float64).max)


def _correlation(source: FloatArray, product: FloatArray) -> float:
    if not np.isfinite(product).all():
        return 0.0
    if len(source) < 2 or np.ptp(source, axis=0).min() == 0:  # nothing varies: compare as they are
        return 1.0 if np.allclose(source, product, rtol=0.01, atol=1e-3) else 0.0
    return pearson(source, product)


def broken_bars(heads: Sequence[HeadParity], tokens: TokenParity, bars: Bars) -> tuple[str, ...]:
    """One line for each bar that does not hold."""
    failures = []
    if tokens.equal != tokens.rows:
        failures.append(
            f"token ids differ on {tokens.rows - tokens.equal} of {tokens.rows} rows "
            f"({tokens.first_difference})"
        )
    for head in heads:
        where = f"head {head.head} on {head.backend}"
        scale = max(1.0, head.largest_logit)
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
        if rate > bars.max_flip_rate:
            failures.append(
                f"{where}: {100 * rate:.2f} % of the decisions flipped "
                f"({head.flipped_decisions} of {head.decisions}), bar {100 * bars.max_flip_rate} %"
            )
        for name, values in head.metrics.items():
            loss = values["source"] - values["product"]
            if name not in ERROR_METRICS and loss > bars.max_metric_loss:
                failures.append(
                    f"{where}: {name} fell from {values['source']:.4f} to {values['product']:.4f}, "
                    f"bar {bars.max_metric_loss}"
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
) -> ParityReport:
    """Compare a model file with its checkpoint on every backend that it can run on."""
    source = source_answers(checkpoint, data)
    heads: list[HeadParity] = []
    tokens: TokenParity | None = None
    for backend in backends:
        product, ids = product_answers(path, data, checkpoint.heads, backend)
        tokens = compare_tokens(source, ids, data) if tokens is None else tokens
        heads += [
            compare_head(head, source.logits[head.output], product, index, data)
            for index, head in enumerate(checkpoint.heads)
        ]
    if tokens is None:
        raise ExportError(f"{path}: has nothing that a backend could run")
    bars = BARS.get(precision, BARS["int8"])
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
        notes=(*notes, note) if note else tuple(notes),
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

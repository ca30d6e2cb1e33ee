"""The parity report of speech models: how far a product's answers are from its checkpoint's.

Source side: the features of transformers' feature extractor, of each clip alone, and the
checkpoint's network through torch. Product side: samples through affectrt itself, features, engine
and decisions included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectrt.errors import ExportError
from affectrt.metrics import FloatArray, recall_statistics

from .bundle import read_manifest
from .checkpoint import HeadSpec
from .parity import (
    BARS,
    Bars,
    HeadParity,
    ProductAnswers,
    broken_bars,
    closing_lines,
    compare_head,
    versions,
)
from .parity_decisions import decide
from .parity_figures import with_bounds
from .speech_checkpoint import SpeechCheckpoint, SpeechEncoder, pad
from .speech_data import SpeechData
from .speech_features import product_features, source_features

# Kaldi's bands have no floor that a voice would stay above: near it, rounding is seen.
FEATURE_BARS = {"whisper_log_mel": 1e-4, "waveform": 1e-4, "fbank": 1e-3}
_SOURCE_BATCH = 8
_NEIGHBOUR_ROWS = 24


@dataclass(frozen=True)
class FeatureParity:
    """What affectrt hears against what transformers' feature extractor does."""

    clips: int
    frames: int  # of a waveform, samples
    max_difference: float
    mean_difference: float


@dataclass(frozen=True)
class SpeechParityReport:
    """What `export_checkpoint` and `verify` measured; `passed` says whether all bars hold."""

    name: str
    precision: str
    rows: int
    cut: int  # clips longer than the model takes at once, of which the beginning is compared
    data: str  # "built-in", or the name of the data file
    data_sha256: str
    features: FeatureParity
    product: dict[str, str]  # entries that the answers come from -> SHA-256
    heads: tuple[HeadParity, ...]
    bars: Bars
    failures: tuple[str, ...]
    versions: dict[str, str]
    command: str
    source_sha256: str
    notes: tuple[str, ...] = ()
    differences: tuple[str, ...] | None = None  # from the report in the file, where it was verified

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
        if self.differences is None:
            del plain["differences"]
        return plain

    def to_text(self) -> str:
        """A few lines for people."""
        verdict = "passed" if self.passed else "FAILED"
        source = "built-in sounds" if self.data == "built-in" else self.data
        own = self.features
        lines = [
            f"parity of {self.name} ({self.precision}) with its checkpoint: {verdict}",
            f"  {self.rows} clips ({self.cut} cut) of {source}",
            f"  features max |d| {own.max_difference:.3g}, mean |d| {own.mean_difference:.3g} "
            f"over {own.frames} frames",
        ]
        return "\n".join([*lines, *closing_lines(self)])


def source_logits(
    checkpoint: SpeechCheckpoint, rows: Sequence[FloatArray]
) -> dict[str, FloatArray]:
    """The checkpoint's logits by output, ``float32 [clips, labels]``, of `source_features`."""
    import torch

    own = isinstance(checkpoint.model, SpeechEncoder)
    batch = _SOURCE_BATCH if own else 1  # transformers answers otherwise to clips that are padded
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[str, FloatArray] = {
        h.output: np.zeros((len(rows), len(h.labels)), np.float32) for h in checkpoint.heads
    }
    for begin in range(0, len(order), batch):
        picked = order[begin : begin + batch]
        wide, frames = pad([rows[i].T for i in picked]) if own else (None, None)
        with torch.inference_mode():
            if own:
                logits = checkpoint.model(wide, frames)
            else:
                logits = checkpoint.model(torch.tensor(rows[picked[0]])[None])
        for output, values in logits.items():
            found[output][picked] = values.numpy()
    for output, values in found.items():
        if not np.isfinite(values).all():
            raise ExportError(
                f"{checkpoint.path}: output {output!r} is NaN or Inf for some clips; the "
                "checkpoint is damaged or overflows in float32"
            )
    return found


def product_answers(
    path: Path, data: SpeechData, heads: Sequence[HeadSpec], sample_rate: int, backend: str
) -> ProductAnswers:
    """All clips through affectrt, together and some of them alone."""
    import affectrt

    model: Any = affectrt.load(path, backend=backend)
    core = model._core
    indices = [model.heads.index(head.name) for head in heads]
    clips = [row.samples for row in data.rows]
    rates = [sample_rate] * len(clips)
    together = core.predict(clips, rates, heads=indices).heads
    alone = [
        core.predict([clip], [sample_rate], heads=indices).heads for clip in clips[:_NEIGHBOUR_ROWS]
    ]
    return ProductAnswers(
        backend=core.backend_name,
        logits=tuple(h.logits for h in together),
        decided=tuple(h.decided for h in together),
        alone=tuple(
            np.concatenate([rows[i].logits for rows in alone]) for i in range(len(indices))
        ),
    )


def measure_speech(
    path: Path,
    checkpoint: SpeechCheckpoint,
    data: SpeechData,
    *,
    name: str,
    precision: str,
    backends: Sequence[str],
    command: str,
    notes: Sequence[str] = (),
) -> SpeechParityReport:
    """Compare a model file with its checkpoint on every backend that it can run on."""
    theirs = [source_features(checkpoint, row.samples) for row in data.rows]
    parity = _compare_features(checkpoint, data, theirs)
    source = source_logits(checkpoint, theirs)
    heads: list[HeadParity] = []
    for backend in backends:
        product = product_answers(path, data, checkpoint.heads, checkpoint.sample_rate, backend)
        for index, head in enumerate(checkpoint.heads):
            compared = compare_head(head, source[head.output], product, index, data)
            heads.append(_with_recall(compared, head, source[head.output], product, index, data))
    listed = read_manifest(path)["files"]
    bars = BARS.get(precision, BARS["int8"])
    failures = list(broken_bars(heads, None, bars))
    bar = FEATURE_BARS[checkpoint.features["kind"]]
    if parity.max_difference > bar:
        failures.insert(0, f"features differ by up to {parity.max_difference:.3g}, bar {bar:g}")
    return SpeechParityReport(
        name=name,
        precision=precision,
        rows=len(data.rows),
        cut=data.cut,
        data=data.name,
        data_sha256=data.sha256,
        features=parity,
        product={name: str(entry["sha256"]) for name, entry in listed.items()},
        heads=tuple(heads),
        bars=bars,
        failures=tuple(failures),
        versions=versions(),
        command=command,
        source_sha256=checkpoint.source_sha256,
        notes=tuple(notes),
    )


def _compare_features(
    checkpoint: SpeechCheckpoint, data: SpeechData, theirs: Sequence[FloatArray]
) -> FeatureParity:
    largest, total, count = 0.0, 0.0, 0
    for row, wanted in zip(data.rows, theirs, strict=True):
        own = product_features(checkpoint, row.samples)
        difference = np.abs(own.astype(np.float64) - wanted)
        largest = max(largest, float(difference.max(initial=0.0)))
        total += float(difference.sum())
        count += difference.size
    frames = sum(map(len, theirs))
    return FeatureParity(len(theirs), frames, largest, total / max(count, 1))


def _with_recall(
    compared: HeadParity,
    head: HeadSpec,
    source: FloatArray,
    product: ProductAnswers,
    index: int,
    data: SpeechData,
) -> HeadParity:
    """With the unweighted average recall, over the labels that the data has: the figure of this
    field. `uar` is that of decisions among these labels, as who knows the data would ask for
    (`among`), and so is the recipe's."""
    rows, truth = data.truth(head)
    if head.task not in ("single_label", "ordinal") or not len(rows):
        return compared
    seen = truth.any(axis=0)
    true = truth.argmax(1).astype(np.int64)
    sides = []
    for logits in (source, product.logits[index]):
        among = np.where(seen, logits[rows], np.float32(-1e4))
        chosen = decide(head, np.asarray(among, np.float32)).argmax(1).astype(np.int64)
        sides.append(recall_statistics(chosen, true, len(head.labels)))
    metrics = {**with_bounds(sides[0], sides[1], None), **compared.metrics}
    return replace(compared, metrics=metrics)

"""``affectrt.json`` of an exported checkpoint (FORMAT.md is the specification)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from affectrt.errors import ExportError

from .checkpoint import HeadSpec, LoadedCheckpoint
from .parity import HeadParity

MIN_TOKENS = 2
SERVED_TASKS = ("single_label", "multi_label", "regression")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def make_manifest(
    checkpoint: LoadedCheckpoint,
    *,
    name: str | None,
    precision: str,
    recipe: str,
    entries: Sequence[str],
) -> dict[str, Any]:
    """The manifest without ``files`` and ``parity``.

    What the checkpoint's card says (``config.json``: ``affectrt.card`` with ``description``,
    ``version``, ``licence``, ``data``, ``recipe``, ``metrics`` of the first head or by head name)
    is taken over.
    """
    card = checkpoint.card
    model: dict[str, Any] = {"family": checkpoint.family, "precision": precision}
    for key, entry in (("onnx", "model.onnx"), ("weights", "weights.safetensors")):
        if entry in entries:
            model[key] = entry
    manifest: dict[str, Any] = {
        "name": name or model_name(checkpoint),
        "modality": "text",
        "model": model,
        "input": {"max_tokens": checkpoint.max_tokens},
        "heads": [head.to_manifest() for head in checkpoint.heads],
        "source": {
            "checkpoint": checkpoint.path.resolve().name,
            "sha256": checkpoint.source_sha256,
        },
        "parity": None,
    }
    for key in ("description", "version"):
        if isinstance(card.get(key), str):
            manifest[key] = card[key]
    if isinstance(card.get("licence"), Mapping):
        manifest["licence"] = dict(card["licence"])
    data = _objects(card.get("data"))
    if data:
        manifest["data"] = data
    made = card.get("recipe")
    manifest["recipe"] = f"{made} && {recipe}" if isinstance(made, str) and made else recipe
    _add_metrics(manifest["heads"], card.get("metrics"))
    return manifest


def model_name(checkpoint: LoadedCheckpoint) -> str:
    """A name from the checkpoint's directory."""
    return _CONTROL.sub(" ", checkpoint.path.resolve().name)[:256] or checkpoint.family


def check_exportable(checkpoint: LoadedCheckpoint) -> None:
    """Raise ExportError for what no manifest may say, before any long work is done."""
    where = checkpoint.path / "config.json"
    if checkpoint.max_tokens < MIN_TOKENS:
        raise ExportError(f"{where}: max_position_embeddings leaves room for no text")
    for head in checkpoint.heads:
        if head.task not in SERVED_TASKS:
            raise ExportError(
                f"{where}: head {head.name!r} has task {head.task!r}, which can be trained but not "
                f"served yet; served are {', '.join(SERVED_TASKS)}"
            )
        twice = [label for label, n in Counter(head.labels).items() if n > 1]
        if twice:
            raise ExportError(f"{where}: label {twice[0]!r} stands twice in head {head.name!r}")
        if any(not label or _CONTROL.search(label) for label in head.labels):
            raise ExportError(
                f"{where}: head {head.name!r} has an empty label or one with control characters"
            )
        if head.task == "single_label" and len(head.labels) < 2:
            raise ExportError(
                f"{where}: head {head.name!r} is single-label with one label, which always wins; "
                'with problem_type "regression" or "multi_label_classification" it says something'
            )
        if head.task == "regression" and (head.temperature != 1.0 or head.unsure_below is not None):
            raise ExportError(
                f"{where}: head {head.name!r} is a regression, which has neither temperature nor "
                "unsure_below"
            )
        if head.thresholds is not None and len(head.thresholds) != len(head.labels):
            raise ExportError(
                f"{where}: head {head.name!r} has {len(head.thresholds)} thresholds for "
                f"{len(head.labels)} labels"
            )


def add_parity_metrics(
    manifest: dict[str, Any], heads: Sequence[HeadParity], data: str, data_sha256: str
) -> None:
    """What the product reached on the data given, as metrics of its heads."""
    by_name = {head["name"]: head for head in manifest["heads"]}
    for head in heads:
        if head.metrics:
            values = {name: value["product"] for name, value in head.metrics.items()}
            by_name[head.head].setdefault("metrics", []).append(
                {
                    **values,
                    "data": data,
                    "data_sha256": data_sha256,
                    "rows": head.rows_with_target,
                    "backend": head.backend,
                }
            )


def same_heads(manifest: Mapping[str, Any], checkpoint: LoadedCheckpoint) -> None:
    """Raise ExportError where a model file's heads are not those of a checkpoint."""
    theirs = {h["name"]: h for h in manifest.get("heads", []) if isinstance(h, dict)}
    for head in checkpoint.heads:
        other = theirs.get(head.name)
        if other is None:
            raise ExportError(
                f"the model file has no head {head.name!r}; it has {', '.join(theirs) or 'none'}: "
                f"it was not made of {checkpoint.path}"
            )
        for key, wanted in _identity(head).items():
            if other.get(key) != wanted:
                raise ExportError(
                    f"head {head.name!r}: {key} is {_short(other.get(key))} in the model file and "
                    f"{_short(wanted)} in {checkpoint.path}"
                )


def _identity(head: HeadSpec) -> dict[str, Any]:
    return {"task": head.task, "labels": list(head.labels), "output": head.output}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _objects(value: object) -> list[dict[str, Any]]:
    if isinstance(value, Mapping):  # {"train": "sha256", ...}
        return [
            {"name": str(k), **(dict(v) if isinstance(v, Mapping) else {"sha256": v})}
            for k, v in value.items()
        ]
    return [dict(v) for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _add_metrics(heads: list[dict[str, Any]], metrics: object) -> None:
    by_name = {head["name"]: head for head in heads}
    if isinstance(metrics, Mapping) and metrics and set(metrics) <= set(by_name):
        for name, value in metrics.items():
            found = _objects(value if isinstance(value, list) else [value])
            if found:
                by_name[name]["metrics"] = found
    elif isinstance(metrics, list | Mapping):
        found = _objects(metrics if isinstance(metrics, list) else [metrics])
        if found and found != [{}]:
            heads[0]["metrics"] = found

"""``affectrt.json`` of an exported checkpoint (FORMAT.md is the specification)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affectrt.errors import ExportError

from .checkpoint import TASKS, TOKEN_TASKS, HeadSpec, LoadedCheckpoint
from .onnx_export import EMBEDDING, embedding_names
from .parity import HeadParity
from .speech_checkpoint import SpeechCheckpoint

MIN_TOKENS = 2
ENGINES = {"onnxruntime": "onnx", "native": "weights"}  # engine -> what it needs, in the manifest
# precision -> the one engine that has it, of text
ENGINE_OF = {"int8-accurate": "native", "int8-static": "onnxruntime", "int4": "onnxruntime"}
INPUTS = ("text", "turn", "cause", "reply", "question")
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
    ``version``, ``licence``, ``data``, ``recipe``, ``metrics`` of the first head or by head name,
    ``head_data``, by head name the names of its entries of ``data``) is taken over.
    """
    manifest = _manifest(checkpoint, name, precision, recipe, entries)
    manifest |= {"modality": "text", "input": {"max_tokens": checkpoint.max_tokens}}
    if embedding_names(checkpoint):
        manifest["model"]["embedding"] = EMBEDDING
    return manifest


def make_speech_manifest(
    checkpoint: SpeechCheckpoint,
    *,
    name: str | None,
    precision: str,
    recipe: str,
    entries: Sequence[str],
) -> dict[str, Any]:
    """As `make_manifest`, of a speech model."""
    audio = {
        "sample_rate": checkpoint.sample_rate,
        "max_seconds": checkpoint.max_seconds,
        "features": checkpoint.features,
    }
    manifest = _manifest(checkpoint, name, precision, recipe, entries)
    return {**manifest, "modality": "speech", "input": audio}


def _manifest(
    checkpoint: LoadedCheckpoint | SpeechCheckpoint,
    name: str | None,
    precision: str,
    recipe: str,
    entries: Sequence[str],
) -> dict[str, Any]:
    """What models of any modality say."""
    card, family = checkpoint.card, checkpoint.family
    model: dict[str, Any] = {"family": family, "precision": precision}
    for key, entry in (("onnx", "model.onnx"), ("weights", "weights.safetensors")):
        if entry in entries:
            model[key] = entry
    manifest: dict[str, Any] = {
        "name": name or model_name(checkpoint.path, family),
        "model": model,
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
    _add_data(manifest["heads"], data, card.get("head_data"))
    return manifest


def model_name(checkpoint: Path, otherwise: str) -> str:
    """A name from the checkpoint's directory."""
    return _CONTROL.sub(" ", checkpoint.resolve().name)[:256] or otherwise


def check_exportable(checkpoint: LoadedCheckpoint) -> None:
    """Raise ExportError for what no manifest may say, before any long work is done."""
    where = checkpoint.path / "config.json"
    if checkpoint.max_tokens < MIN_TOKENS:
        raise ExportError(f"{where}: max_position_embeddings leaves room for no text")
    check_heads(where, checkpoint.heads, INPUTS)


def check_heads(where: Path, heads: Sequence[HeadSpec], inputs: Sequence[str]) -> None:
    """Raise ExportError for heads that no manifest may have; `where` names their file."""
    for head in heads:
        named = f"{where}: head {head.name!r}"
        if head.task not in TASKS:
            raise ExportError(f"{named} has task {head.task!r}, not one of {', '.join(TASKS)}")
        if head.input not in inputs:
            raise ExportError(f"{named} has input {head.input!r}, not one of {', '.join(inputs)}")
        if head.output == EMBEDDING:
            raise ExportError(f"{named} has output {EMBEDDING!r}, which is that of pooled vectors")
        if head.task == "ordinal" and len(head.labels) < 2:
            raise ExportError(f"{named} has one level; an ordinal head has at least two")
        if head.task == "span" and len(head.labels) != 2:
            raise ExportError(f"{named} has {len(head.labels)} labels; a span has start and end")
        if head.task == "token_labels" and not _is_bio(head.labels):
            raise ExportError(
                f'{named} must have the labels "O", then "B-..." and "I-..." of each kind'
            )
        if head.input == "question" and head.task not in TOKEN_TASKS:
            raise ExportError(f"{named} has no place in a text to answer a question with")
        if head.task in TOKEN_TASKS and head.unsure_below is not None:
            raise ExportError(f"{named} reads tokens and has no unsure_below; leave it out")
        if head.ranges is not None and (
            head.task != "regression"
            or len(head.ranges) != len(head.labels)
            or any(not low < high for low, high in head.ranges)
        ):
            raise ExportError(f"{named}: ranges are [low, high] of each label of a regression")
        if head.margin is not None and head.task != "span":
            raise ExportError(f"{named}: only a span head has a margin")
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


def _is_bio(labels: Sequence[str]) -> bool:
    kinds = [label.removeprefix("B-") for label in labels[1::2]]
    wanted = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
    return len(labels) > 2 and all(kinds) and list(labels) == wanted


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


def backends_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The engines that a model file has something for."""
    model = manifest["model"]
    return tuple(engine for engine, key in ENGINES.items() if key in model)


def same_heads(
    manifest: Mapping[str, Any], checkpoint: LoadedCheckpoint | SpeechCheckpoint
) -> None:
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
    manifest = head.to_manifest()
    keys = ("task", "labels", "output", "input", "ranges", "margin", "layer", "pooling")
    return {key: manifest.get(key) for key in keys}


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


def _add_data(
    heads: list[dict[str, Any]], data: Sequence[Mapping[str, Any]], by_head: object
) -> None:
    """The names of each head's data, and their licences as one text."""
    licences = {d["name"]: d["licence"] for d in data if d.get("name") and d.get("licence")}
    for head in heads:
        names = by_head.get(head["name"]) if isinstance(by_head, Mapping) else None
        if isinstance(names, list) and names:
            head["data"] = list(map(str, names))
            told = dict.fromkeys(licences[name] for name in head["data"] if name in licences)
            if told:
                head["licence"] = "; ".join(map(str, told))


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

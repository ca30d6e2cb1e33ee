"""What a loaded model says of itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _core
from .errors import ModelFileError
from .results import Task


@dataclass(frozen=True, slots=True)
class HeadInfo:
    """One head: its task, labels and how scores become decisions."""

    name: str
    task: Task
    labels: tuple[str, ...]
    thresholds: tuple[float, ...] | None  # one per label, in [0, 1]; None where there are none
    temperature: float  # score = activation(logit / temperature)
    unsure_below: float | None
    # A "text", a "turn", a turn as "cause" or before a "reply", a text with a "question"; of
    # speech, "audio"
    input: str
    ranges: tuple[tuple[float, float], ...] | None  # regression: lowest and highest of each label
    margin: float | None  # span heads: by how much a span must beat "no answer"
    layer: int | None  # how many layers it reads behind, 0: the embeddings; None: all
    pooling: str | None  # where it is not the model's own
    metrics: tuple[Mapping[str, Any], ...]  # as the model file gives them
    data: tuple[Any, ...]
    licence: str | None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's identity, origin and licence, and what runs it.

    What the model file does not say (a plain Hugging Face export says little) is empty or `None`.
    """

    name: str
    version: str
    description: str
    path: str
    modality: str
    family: str
    precision: str
    max_tokens: int  # text: longest row, special tokens included; 0 of a speech model
    heads: tuple[HeadInfo, ...]
    licence: str | None  # of the weights
    non_commercial: bool
    notice: str | None
    data: tuple[Mapping[str, Any], ...]
    parity: Mapping[str, Any] | None
    source: Mapping[str, Any]
    recipe: str | None
    files: Mapping[str, Mapping[str, Any]]  # entry name -> {"bytes": int, "sha256": str}
    backend: str
    backend_detail: str
    sample_rate: int | None = None  # Hz; of a speech model
    max_seconds: float | None = None  # speech: the longest clip that is answered at once
    features: Mapping[str, Any] = field(default_factory=dict)  # speech: what it reads of a clip

    @property
    def metrics(self) -> dict[str, tuple[Mapping[str, Any], ...]]:
        """Reported metrics per head name."""
        return {head.name: head.metrics for head in self.heads}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return dataclasses.asdict(self)


def _objects(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _parse(text: str, what: str, path: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ModelFileError(f"{path}: {what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: {what} is not a JSON object")
    return value


def model_info(core: _core.Model | _core.SpeechModel) -> ModelInfo:
    """`ModelInfo` from the parsed manifest, completed from the free-form part of the raw one."""
    parsed = _parse(core.manifest_json, "the manifest", core.path)
    raw = _parse(core.raw_manifest, "affectrt.json", core.path) if core.raw_manifest else {}
    raw_heads = {
        head["name"]: head
        for head in _objects(raw.get("heads"))
        if isinstance(head, dict) and "name" in head
    }
    heads = []
    for head in parsed["heads"]:
        free = raw_heads.get(head["name"], {})
        ranges = head.get("ranges")
        heads.append(
            HeadInfo(
                name=head["name"],
                task=head["task"],
                labels=tuple(head["labels"]),
                thresholds=tuple(head["thresholds"]) or None,
                temperature=head["temperature"],
                unsure_below=head.get("unsure_below"),
                input=head["input"],
                ranges=tuple((low, high) for low, high in ranges) if ranges else None,
                margin=head.get("margin"),
                layer=head.get("layer"),
                pooling=head.get("pooling"),
                metrics=_objects(free.get("metrics")),
                data=_objects(free.get("data")),
                licence=_text(free.get("licence")),
            )
        )
    licence = _mapping(raw.get("licence"))
    return ModelInfo(
        name=parsed["name"],
        version=_text(raw.get("version")) or "",
        description=_text(raw.get("description")) or "",
        path=core.path,
        modality=_text(raw.get("modality")) or "text",
        family=parsed["family"],
        precision=parsed["precision"],
        max_tokens=parsed.get("max_tokens", 0),
        heads=tuple(heads),
        licence=_text(licence.get("weights")),
        non_commercial=bool(licence.get("non_commercial", False)),
        notice=_text(licence.get("notice")),
        data=tuple(entry for entry in _objects(raw.get("data")) if isinstance(entry, dict)),
        parity=_mapping(raw.get("parity")) or None,
        source=_mapping(raw.get("source")),
        recipe=_text(raw.get("recipe")),
        files=_mapping(raw.get("files")),
        backend=core.backend_name,
        backend_detail=core.backend_detail,
        sample_rate=parsed.get("sample_rate"),
        max_seconds=parsed.get("max_seconds"),
        features=_mapping(_mapping(raw.get("input")).get("features")),
    )

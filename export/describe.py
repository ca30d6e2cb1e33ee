"""What an export would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from .checkpoint import TOKEN_TASKS, HeadSpec, LoadedCheckpoint, PooledEncoder
from .int4_onnx import GROUP
from .manifest import ENGINE_OF
from .native_weights import HALVES, native_engine_runs
from .onnx_sound import OnnxSound
from .onnx_source import OnnxNetwork
from .quantize_onnx import MIN_TABLE_VALUES
from .speech_checkpoint import SpeechCheckpoint, SpeechEncoder
from .tokens import read_tokenizer

_ACTIVATIONS = {
    "single_label": "softmax, the highest wins",
    "ordinal": "softmax over levels",
    "multi_label": "sigmoid of each, those that reach their threshold",
    "regression": "none: the values themselves",
    "span": "best pair of first and last token",
    "token_labels": "softmax of each token, read as spans",
    "token_flags": "sigmoid of each token and label",
}


@dataclass(frozen=True)
class Description:
    """What `export_checkpoint` found and would make; `why` says of each finding what it is from."""

    path: str
    family: str
    kind: str
    heads: tuple[dict[str, Any], ...]
    why: tuple[str, ...]
    engines: tuple[str, ...]
    precision: str
    parameters: int
    bytes: dict[str, int]  # of each engine's entry; an estimate
    max_tokens: int | None = None  # of a model of text, as the next
    vocabulary: int | None = None
    audio: dict[str, Any] | None = None  # of a model of speech: `input` of the manifest

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without those of the other modality."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def to_text(self) -> str:
        """A few lines for people."""
        reads = f"{self.vocabulary} tokens known, up to {self.max_tokens} in a row"
        if self.audio is not None:
            features = ", ".join(f"{k} {v}" for k, v in self.audio["features"].items())
            reads = (
                f"{self.audio['sample_rate']} Hz, up to {self.audio['max_seconds']:g} s at once, "
                f"{features.removeprefix('kind ')}"
            )
        lines = [
            f"{self.path}: {self.kind}, {self.family}, {self.parameters / 1e6:.1f} M parameters, "
            f"{reads}",
        ]
        for head in self.heads:
            labels = ", ".join(head["labels"][:8]) + (", ..." if len(head["labels"]) > 8 else "")
            count = f"{len(head['labels'])} labels ({labels})"
            lines.append(f"  head {head['name']}: {head['task']}, {count}")
            lines.append(f"    activation: {_ACTIVATIONS[head['task']]}")
        lines += [f"  because {reason}" for reason in self.why]
        for engine in self.engines:
            lines.append(f"  {engine}: {self.precision}, about {self.bytes[engine] / 1e6:.1f} MB")
        return "\n".join(lines)


def describe(
    checkpoint: LoadedCheckpoint, precision: str, engines: Sequence[str] | None, where: Path
) -> Description:
    """What would be made of a checkpoint that was read.

    Raises:
        ExportError: a tokenizer that does not fit it.
    """
    tokenizer = read_tokenizer(checkpoint)
    model: Any = checkpoint.model
    if isinstance(model, OnnxNetwork):
        precision = model.precision
        chosen: tuple[str, ...] = ("onnxruntime",)
        sizes = {"onnxruntime": len(model.image)}
        parameters = model.parameter_count
    else:
        usual = ("native",) if native_engine_runs(checkpoint) else ("onnxruntime",)
        chosen = tuple(engines or usual)
        chosen = (ENGINE_OF[precision],) if precision in ENGINE_OF else chosen
        parameters = sum(p.numel() for p in model.parameters())
        sizes = {engine: _bytes(checkpoint.model, precision) for engine in chosen}
    return Description(
        path=where.name,
        family=checkpoint.family,
        kind=_kind(checkpoint),
        heads=tuple(head.to_manifest() for head in checkpoint.heads),
        why=tuple(_reasons(checkpoint)),
        engines=chosen,
        precision=precision,
        parameters=parameters,
        bytes=sizes,
        max_tokens=checkpoint.max_tokens,
        vocabulary=tokenizer.get_vocab_size(with_added_tokens=True),
    )


def describe_speech(
    checkpoint: SpeechCheckpoint, precision: str, engines: Sequence[str], where: Path
) -> Description:
    """As `describe`, of a speech checkpoint; `engines` are what it will run on."""
    model: Any = checkpoint.model
    own = isinstance(model, SpeechEncoder)
    kind = "a model of the speech recipe" if own else "an audio classifier"
    head = checkpoint.heads[0]
    why = _reasons_of_config(checkpoint.config, head, own)
    parameters = sum(p.numel() for p in model.parameters())
    sizes = {engine: _bytes(model, precision) for engine in engines}
    if isinstance(model, OnnxSound):
        kind, precision = "an existing ONNX model", model.precision
        why = [f"the graph's output is {head.output!r}", *filter(None, (model.remark,))]
        parameters, sizes = model.parameter_count, {"onnxruntime": len(model.image)}
    return Description(
        path=where.name,
        family=checkpoint.family,
        kind=kind,
        heads=tuple(head.to_manifest() for head in checkpoint.heads),
        why=tuple(why),
        engines=tuple(engines),
        precision=precision,
        parameters=parameters,
        bytes=sizes,
        audio={
            "sample_rate": checkpoint.sample_rate,
            "max_seconds": checkpoint.max_seconds,
            "features": checkpoint.features,
        },
    )


def _bytes(model: nn.Module, precision: str) -> int:
    """Weights alone: matrices and large tables in few bits with their scales, the rest in 32."""
    total = 0.0
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        of_head = name.startswith(("heads.", "classifier.classifier", "classifier.pre",
                                   "classifier.projector"))  # fmt: skip
        convolves = tensor.dim() > 2  # in float32 on onnxruntime, which audio classifiers run on
        small = tensor.dim() < 2 or tensor.numel() < MIN_TABLE_VALUES or of_head or convolves
        if precision == "fp32" or small:
            total += 4 * tensor.numel()
        elif precision in HALVES:
            total += 2 * tensor.numel()
        elif precision == "int4" and "embed" not in name:
            total += tensor.numel() * (4 + 32 / GROUP) / 8
        else:
            total += tensor.numel() + 4 * tensor.shape[0]
    return round(total)


def _kind(checkpoint: LoadedCheckpoint) -> str:
    model = checkpoint.model
    if isinstance(model, OnnxNetwork):
        return "an existing ONNX model"
    if isinstance(model, PooledEncoder) and checkpoint.own_config:
        return f"an encoder with {len(checkpoint.heads)} heads, pooling {model.pooling_kind}"
    if any(h.input == "question" for h in checkpoint.heads):
        return "a model that answers questions"
    if any(h.task in TOKEN_TASKS for h in checkpoint.heads):
        return "a token classifier"
    return "a sequence classifier"


def _reasons(checkpoint: LoadedCheckpoint) -> list[str]:
    config, head = checkpoint.config, checkpoint.heads[0]
    if isinstance(checkpoint.model, OnnxNetwork):
        return [f"the graph's output is {head.output!r}", _why_task(config, head)]
    return _reasons_of_config(config, head, "affectrt" in config and checkpoint.own_config)


def _reasons_of_config(config: dict[str, Any], head: HeadSpec, own: bool) -> list[str]:
    reasons = [f"config.json has model_type {config.get('model_type')!r}"]
    if own:
        return [*reasons, 'its key "affectrt" lists the heads']
    if config.get("architectures"):
        reasons.append(f"architectures says {config['architectures'][0]}")
    return [*reasons, _why_task(config, head)]


def _why_task(config: dict[str, Any], head: HeadSpec) -> str:
    problem = config.get("problem_type")
    if head.input == "question":
        return "it tells the start and the end of an answer in the text behind the question"
    if head.task in TOKEN_TASKS:
        return f"it has labels for each token: {', '.join(head.labels[:3])}, ..."
    if problem:
        return f"problem_type says {problem}"
    if head.task == "regression":
        return "there is no problem_type and one label, which means a regression"
    return (
        f"there is no problem_type and there are {len(head.labels)} labels, which means that one "
        "of them is right; where several may be, set problem_type in config.json to "
        "multi_label_classification"
    )

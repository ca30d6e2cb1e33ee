"""What an export would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .checkpoint import TOKEN_TASKS, HeadSpec, LoadedCheckpoint, PooledEncoder
from .int4_onnx import GROUP
from .native_weights import HALVES, native_engine_runs
from .onnx_source import OnnxNetwork, describe_precision
from .quantize_onnx import MIN_TABLE_VALUES
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
    max_tokens: int
    vocabulary: int
    parameters: int
    bytes: dict[str, int]  # of each engine's entry; an estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """A few lines for people."""
        lines = [
            f"{self.path}: {self.kind}, {self.family}, {self.parameters / 1e6:.1f} M parameters, "
            f"{self.vocabulary} tokens known, up to {self.max_tokens} in a row",
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
        precision, _ = describe_precision(model)
        chosen: tuple[str, ...] = ("onnxruntime",)
        sizes = {"onnxruntime": len(model.image)}
        parameters = model.parameter_count
    else:
        usual = ("native",) if native_engine_runs(checkpoint) else ("onnxruntime",)
        chosen = tuple(engines or usual)
        only = {"int8-accurate": "native", "int8-static": "onnxruntime", "int4": "onnxruntime"}
        chosen = (only[precision],) if precision in only else chosen
        parameters = sum(p.numel() for p in model.parameters())
        sizes = {engine: _bytes(checkpoint, precision) for engine in chosen}
    return Description(
        path=where.name,
        family=checkpoint.family,
        kind=_kind(checkpoint),
        heads=tuple(head.to_manifest() for head in checkpoint.heads),
        why=tuple(_reasons(checkpoint)),
        engines=chosen,
        precision=precision,
        max_tokens=checkpoint.max_tokens,
        vocabulary=tokenizer.get_vocab_size(with_added_tokens=True),
        parameters=parameters,
        bytes=sizes,
    )


def _bytes(checkpoint: LoadedCheckpoint, precision: str) -> int:
    """Weights alone: matrices and large tables in few bits with their scales, the rest in 32."""
    total = 0.0
    for name, tensor in checkpoint.model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        of_head = name.startswith(("heads.", "classifier.classifier", "classifier.pre"))
        small = tensor.dim() < 2 or tensor.numel() < MIN_TABLE_VALUES or of_head
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
    if any(h.task in TOKEN_TASKS for h in checkpoint.heads):
        return "a token classifier"
    return "a sequence classifier"


def _reasons(checkpoint: LoadedCheckpoint) -> list[str]:
    config, head = checkpoint.config, checkpoint.heads[0]
    reasons = [f"config.json has model_type {config.get('model_type')!r}"]
    if "affectrt" in config and checkpoint.own_config:
        return [*reasons, 'its key "affectrt" lists the heads']
    if isinstance(checkpoint.model, OnnxNetwork):
        reasons = [f"the graph's output is {head.output!r}"]
    elif config.get("architectures"):
        reasons.append(f"architectures says {config['architectures'][0]}")
    return [*reasons, _why_task(config, head)]


def _why_task(config: dict[str, Any], head: HeadSpec) -> str:
    problem = config.get("problem_type")
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

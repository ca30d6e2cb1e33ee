"""Reading source checkpoints: our own pooled multi-head ones and plain Hugging Face classifiers.

A *pooled checkpoint* is a Hugging Face encoder directory (``config.json``, ``model.safetensors``,
``tokenizer.json``) whose ``config.json`` has one more key::

    "affectrt": {"pooling": "mean", "heads": [{"name": "emotion", "task": "multi_label", ...}]}

Its tensors are ``encoder.*`` (as in ``AutoModel``) and ``heads.<name>.weight`` / ``.bias``; of
attention pooling ``pooling.weight`` ``[pooling heads, width]`` or, where it is one head's own,
``poolings.<name>.weight``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from affectrt.errors import ExportError, NotFoundError

from .checkpoint_files import PLAIN_ATTENTION, built, network_config, read_json, read_weights
from .decoder import DECODERS, check_pooling, prepare
from .pooling import OF_FIRST_SEGMENT, POOLINGS, WITH_ATTENTION, AttentionPooling, pooled

TASKS = (
    *("single_label", "multi_label", "ordinal", "regression"),
    *("span", "token_labels", "token_flags"),
)
TOKEN_TASKS = ("span", "token_labels", "token_flags")  # logits per token, not per text
_POOLING_WEIGHT = re.compile(r"pooling\.weight|poolings\..+\.weight")
# problem_type of transformers -> our task
_PROBLEM_TYPES = {
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
# Families whose classification checkpoints are exported; the value says whether the encoder is fed
# token_type_ids.
FAMILIES = {
    "bert": True,
    "electra": True,
    "roberta": False,
    "xlm-roberta": False,
    "distilbert": False,
    "mpnet": False,
    "modernbert": False,
    "deberta": True,
    "deberta-v2": True,
    **dict.fromkeys(DECODERS, False),
}


# Families that are asked for and not done, and why.
_REFUSED = {
    "xlnet": ": XLNet reads tokens in the light of permutations and of states kept from the "
    "segment before, which neither engine computes; fine-tune one of those instead",
    "t5": ": it writes text; a classifier needs an encoder alone",
    "gpt2": ": it writes text; a classifier needs an encoder",
}


@dataclass(frozen=True)
class HeadSpec:
    """One head of a checkpoint: what its logits mean and how they are decided.

    ``thresholds`` are probabilities, one a label: multi-label and flags take every label that
    reaches its own, single-label and ordinal the label with the highest score / threshold.
    ``temperature`` divides the logits; below ``unsure_below`` the answer is marked unsure.
    ``ranges`` are the lowest and highest value of each label of a regression. A span is an answer
    if it beats "no answer" by more than ``margin``. ``input`` says what the second segment holds
    beside the text that is judged: nothing ("text"), the turns before it ("turn"), what
    `affectrt.export.recipes.multitask` says of "cause" and "reply", or in a row where it stands
    first a question that the text answers ("question").

    ``layer`` is how many of the encoder's layers the head reads behind, from 0, the embeddings; all
    of them if not given. A final norm belongs to the last one. ``pooling`` is one of `POOLINGS`,
    that of the model if not given.
    """

    name: str
    task: str
    labels: tuple[str, ...]
    output: str
    thresholds: tuple[float, ...] | None = None
    temperature: float = 1.0
    unsure_below: float | None = None
    input: str = "text"
    ranges: tuple[tuple[float, float], ...] | None = None
    margin: float | None = None
    layer: int | None = None
    pooling: str | None = None

    def to_manifest(self) -> dict[str, Any]:
        """The head as ``affectrt.json`` has it."""
        head: dict[str, Any] = {
            "name": self.name,
            "task": self.task,
            "output": self.output,
            "labels": list(self.labels),
        }
        if self.thresholds is not None:
            head["thresholds"] = list(self.thresholds)
        if self.temperature != 1.0:
            head["calibration"] = {"temperature": self.temperature}
        if self.unsure_below is not None:
            head["unsure_below"] = self.unsure_below
        if self.input != "text":
            head["input"] = self.input
        if self.ranges is not None:
            head["ranges"] = [list(bounds) for bounds in self.ranges]
        if self.margin is not None:
            head["margin"] = self.margin
        if self.layer is not None:
            head["layer"] = self.layer
        if self.pooling is not None:
            head["pooling"] = self.pooling
        return head


class PooledEncoder(nn.Module):
    """A Hugging Face encoder, pooling over the unpadded tokens, and linear heads.

    `pooling` is one of `POOLINGS` and that of heads that have none of their own; "attention" has
    `pooling_heads` scores a token. Heads of `TOKEN_TASKS` read every token instead.
    """

    def __init__(
        self,
        encoder: Any,
        heads: Sequence[HeadSpec],
        pooling: str = "mean",
        pooling_heads: int = 4,
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.pooling_kind = pooling
        self.specs = tuple(heads)
        self.layers = int(encoder.config.num_hidden_layers)
        self.feeds_types = feeds_token_types(encoder.config.to_dict())
        width = encoder.config.hidden_size
        self._check_readings()
        self.dropout = nn.Dropout(0.1)
        if pooling in WITH_ATTENTION:
            self.pooling = AttentionPooling(width, pooling_heads)
        self.poolings = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for spec in heads:
            if spec.pooling in WITH_ATTENTION:
                self.poolings[spec.name] = AttentionPooling(width, pooling_heads)
            head = nn.Linear(width, len(spec.labels))
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
            self.heads[spec.name] = head

    def _check_readings(self) -> None:
        for kind in (self.pooling_kind, *(s.pooling for s in self.specs if s.pooling is not None)):
            if kind not in POOLINGS:
                raise ExportError(f"pooling {kind!r} is not one of {', '.join(POOLINGS)}")
        for spec in self.specs:
            whole = isinstance(spec.layer, int) and not isinstance(spec.layer, bool)
            if spec.layer is not None and not (whole and 0 <= spec.layer <= self.layers):
                raise ExportError(
                    f"head {spec.name!r} reads behind layer {spec.layer!r}; the encoder has 0 to "
                    f"{self.layers}"
                )
            if spec.pooling == "last":
                raise ExportError(
                    f"head {spec.name!r} has pooling 'last', which only the whole model may have"
                )
            if spec.task in TOKEN_TASKS and spec.pooling is not None:
                raise ExportError(f"head {spec.name!r} reads every token and has no pooling")

    @property
    def depth(self) -> int:
        """The deepest layer that a head reads behind; those after it are of no use."""
        return max((self._layer(spec) for spec in self.specs), default=self.layers)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Logits by output name, ``float32 [batch, labels]``, or ``[batch, tokens, labels]``."""
        return self.logits(self.encode(input_ids, attention_mask, token_type_ids)[0])

    def encode(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """What each head reads, ``[batch, width]`` or ``[batch, tokens, width]``, the same tensor
        where it is the same; and the vector of each row, the model's own pooling behind layer
        `depth`."""
        extra: dict[str, Any] = {}
        if token_type_ids is not None and self.feeds_types:
            extra["token_type_ids"] = token_type_ids
        if any(self._layer(spec) < self.layers for spec in self.specs):
            extra["output_hidden_states"] = True
        found = self.encoder(input_ids, attention_mask=attention_mask, **extra)
        read: dict[tuple[int, str | None, str], Tensor] = {}

        def reading(layer: int, kind: str | None, owner: str) -> Tensor:
            attention: Any = None
            if kind in WITH_ATTENTION:
                attention = self.poolings[owner] if owner else self.pooling
            else:
                owner = ""
            key = layer, kind, owner
            if key not in read:
                last = layer == self.layers
                hidden = found.last_hidden_state if last else found.hidden_states[layer]
                if kind is not None:
                    hidden = pooled(kind, hidden, attention_mask, token_type_ids, attention)
                read[key] = hidden
            return read[key]

        def of_head(spec: HeadSpec) -> Tensor:
            if spec.task in TOKEN_TASKS:
                return reading(self._layer(spec), None, "")
            owner = spec.name if spec.pooling is not None else ""
            return reading(self._layer(spec), spec.pooling or self.pooling_kind, owner)

        return list(map(of_head, self.specs)), reading(self.depth, self.pooling_kind, "")

    def logits(self, read: Sequence[Tensor]) -> dict[str, Tensor]:
        """What `forward` returns, of what `encode` says that each head reads."""
        dropped = {id(x): self.dropout(x) for x in {id(x): x for x in read}.values()}
        return {
            spec.output: self.heads[spec.name](dropped[id(x)])
            for spec, x in zip(self.specs, read, strict=True)
        }

    def _layer(self, spec: HeadSpec) -> int:
        return self.layers if spec.layer is None else spec.layer


class _HfClassifier(nn.Module):
    """Gives a Hugging Face sequence classifier the same interface as PooledEncoder."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        return {"logits": self.classifier(input_ids, attention_mask=attention_mask, **extra).logits}


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint ready to be exported; ``model`` is in eval mode, float32, on the CPU."""

    path: Path
    model: nn.Module
    heads: tuple[HeadSpec, ...]
    config: dict[str, Any]
    family: str
    tokenizer_json: Path
    uses_token_types: bool
    max_tokens: int
    source_sha256: str
    # The product's config.json: the checkpoint's own file, or `config` where heads were rearranged
    # and the native engine has to know of them.
    own_config: bool = True
    card: dict[str, Any] = field(default_factory=dict)


def load_checkpoint(path: Path | str, *, for_export: bool = True) -> LoadedCheckpoint:
    """Read a local checkpoint directory. No code in it is run and nothing is downloaded.

    Args:
        for_export: False: to be run in torch alone, as a teacher: pooling of the first segment may
            stand behind an encoder that reads no token types.

    Raises:
        NotFoundError: the directory or one of its files is missing.
        ExportError: an unknown family, damaged or missing weights, NaN weights, or heads that
            contradict the labels; the message says which and what would be right.
    """
    path = Path(path)
    given = config = read_json(path / "config.json")
    family = str(config.get("model_type", ""))
    if family not in FAMILIES:
        raise ExportError(
            f"{path}: model_type {family!r} is not one that affectrt exports "
            f"({', '.join(sorted(FAMILIES))}){_REFUSED.get(family, '')}"
        )
    tokenizer_json = _tokenizer_json(path)
    weights, digest = read_weights(path)
    if "affectrt" in config:
        model, heads = _pooled(path, config, weights, for_export)
    elif family in DECODERS:
        raise ExportError(
            f"{path}: {family} is a language model; put a linear probe on one of its layers "
            "(--probe FILE.npz --layer K, affectrt.export.attach_heads)"
        )
    elif (kind := _kind(path, config, weights)) != "text":
        read = _hf_token_classifier if kind == "tokens" else _hf_question_answering
        model, heads = read(path, config, weights)
        if isinstance(model, PooledEncoder):
            own = {"pooling": model.pooling_kind, "heads": [asdict(h) for h in heads]}
            config = {**config, "affectrt": own}
    else:
        model, heads = _hf_classifier(path, config, weights)
    model.eval()
    return LoadedCheckpoint(
        path=path,
        model=model,
        heads=heads,
        config=config,
        family=family,
        tokenizer_json=tokenizer_json,
        uses_token_types=feeds_token_types(config),
        max_tokens=max_tokens_of(config),
        source_sha256=digest,
        own_config="affectrt" not in config or "affectrt" in given,
        card=dict(config.get("affectrt", {}).get("card", {})),
    )


def config_json(checkpoint: LoadedCheckpoint, folder: Path) -> bytes:
    """The product's ``config.json``: the file of the checkpoint's directory, unchanged, or where
    heads were rearranged the one that says so."""
    if checkpoint.own_config:
        return (folder / "config.json").read_bytes()
    return (json.dumps(checkpoint.config, indent=2) + "\n").encode()


def save_pooled_checkpoint(
    model: PooledEncoder, path: Path, tokenizer_json: Path, card: dict[str, Any] | None = None
) -> None:
    """Write `model` as a pooled checkpoint directory; `card` travels into the exported manifest."""
    path.mkdir(parents=True, exist_ok=True)
    config = model.encoder.config.to_dict()
    config.pop("_name_or_path", None)  # where the base lay is nobody's business
    config["affectrt"] = {
        "pooling": model.pooling_kind,
        "heads": [asdict(h) for h in model.specs],
        "card": card or {},
    }
    tensors = {k: v.detach().float().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (path / "tokenizer.json").write_bytes(tokenizer_json.read_bytes())


def _tokenizer_json(path: Path) -> Path:
    file = path / "tokenizer.json"
    if not file.is_file():
        raise NotFoundError(
            f"{file} is missing: load the tokenizer with transformers' AutoTokenizer and "
            "save_pretrained() it to get one"
        )
    return file


def head_specs(path: Path, own: dict[str, Any]) -> tuple[HeadSpec, ...]:
    """The heads that the key "affectrt" of ``config.json`` lists."""
    try:
        specs = tuple(
            HeadSpec(
                **{k: v for k, v in raw.items() if k not in ("labels", "thresholds", "ranges")},
                labels=tuple(raw["labels"]),
                thresholds=tuple(raw["thresholds"]) if raw.get("thresholds") else None,
                ranges=tuple((r[0], r[1]) for r in raw["ranges"]) if raw.get("ranges") else None,
            )
            for raw in own["heads"]
        )
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ExportError(
            f'{path / "config.json"}: "affectrt" must have "heads", each with name, task, labels '
            f"and output ({type(error).__name__}: {error})"
        ) from None
    for spec in specs:
        if spec.task not in TASKS:
            raise ExportError(f"{path}: head {spec.name!r} has task {spec.task!r}, not of {TASKS}")
    return specs


def _pooled(
    path: Path, config: dict[str, Any], weights: dict[str, Tensor], for_export: bool
) -> tuple[nn.Module, tuple[HeadSpec, ...]]:
    own = config["affectrt"]
    heads = head_specs(path, own)
    whole = network_config(path, config)
    check_pooling(config["model_type"], str(own.get("pooling", "mean")))
    kinds = {own.get("pooling"), *(h.pooling for h in heads)} & set(OF_FIRST_SEGMENT)
    if kinds and for_export and not FAMILIES[config["model_type"]]:
        raise ExportError(
            f"{path / 'config.json'}: pooling {min(map(str, kinds))!r} goes by token types, which "
            f'model_type {config["model_type"]!r} has not; use "mean", "cls" or "attention"'
        )
    scores = [len(w) for name, w in weights.items() if _POOLING_WEIGHT.fullmatch(name)]

    from_config: Any = AutoModel.from_config

    def build() -> nn.Module:
        encoder = from_config(whole, **PLAIN_ATTENTION, **_no_pooler(config))
        if config["model_type"] in DECODERS:
            encoder = prepare(encoder, own)
        kind = own.get("pooling", "mean")
        return PooledEncoder(encoder, heads, kind, scores[0] if scores else 4)

    return built(path, weights, build), heads


def _no_pooler(config: dict[str, Any]) -> dict[str, Any]:
    takes = ("bert", "roberta", "xlm-roberta", "mpnet")
    return {"add_pooling_layer": False} if config["model_type"] in takes else {}


def _kind(path: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> str:
    """Whether a checkpoint of transformers classifies a text ("text") or its tokens ("tokens"), or
    finds an answer in it ("answers")."""
    names = config.get("architectures") or []
    name = str(names[0]) if isinstance(names, list) and names else ""
    if name.endswith("ForTokenClassification"):
        return "tokens"
    if name.endswith("ForSequenceClassification"):
        return "text"
    if name.endswith("ForQuestionAnswering") or "qa_outputs.weight" in weights:
        return "answers"
    if name and not any(n.startswith(("classifier", "score.")) for n in weights):
        raise ExportError(
            f"{path}: is a {name}, which has no head that classifies; fine-tune it, or put a "
            "linear probe on it (--probe, affectrt.export.probe_head)"
        )
    return "text"


def _labels(path: Path, config: Any) -> tuple[str, ...]:
    names = config.id2label
    if sorted(names) != list(range(config.num_labels)):
        raise ExportError(
            f"{path / 'config.json'}: id2label must name the labels 0 to {len(names) - 1} without "
            f"a gap, not {', '.join(map(str, sorted(names)[:20]))}"
        )
    return tuple(str(names[i]) for i in range(config.num_labels))


def _hf_token_classifier(
    path: Path, config: dict[str, Any], weights: dict[str, Tensor]
) -> tuple[nn.Module, tuple[HeadSpec, ...]]:
    from .token_classifier import ArrangedTokens, as_pooled, token_labels

    whole = network_config(path, config)
    from_config: Any = AutoModelForTokenClassification.from_config
    classifier: Any = built(path, weights, lambda: from_config(whole, **PLAIN_ATTENTION))
    labels, order = token_labels(_labels(path, whole), str(path))
    spec = HeadSpec(name="default", task="token_labels", labels=labels, output="logits")
    if hasattr(classifier, "head"):  # ModernBERT's has a layer of its own before the classifier
        return ArrangedTokens(classifier, spec, order), (spec,)
    return as_pooled(classifier.eval(), classifier.base_model_prefix, spec, order), (spec,)


def _hf_question_answering(
    path: Path, config: dict[str, Any], weights: dict[str, Tensor]
) -> tuple[nn.Module, tuple[HeadSpec, ...]]:
    from .token_classifier import Answers, as_pooled

    # Two logits a token, whatever labels a config has kept from before.
    whole = network_config(path, {**config, "num_labels": 2, "id2label": None, "label2id": None})
    from_config: Any = AutoModelForQuestionAnswering.from_config
    network: Any = built(path, weights, lambda: from_config(whole, **PLAIN_ATTENTION))
    spec = HeadSpec("default", "span", ("start", "end"), "logits", input="question")
    if not hasattr(network, "qa_outputs"):  # ModernBERT's has a layer of its own before
        return Answers(network, spec), (spec,)
    return as_pooled(network.eval(), network.base_model_prefix, spec, (0, 1)), (spec,)


def _hf_classifier(
    path: Path, config: dict[str, Any], weights: dict[str, Tensor]
) -> tuple[nn.Module, tuple[HeadSpec, ...]]:
    whole = network_config(path, config)
    from_config: Any = AutoModelForSequenceClassification.from_config
    classifier = built(path, weights, lambda: from_config(whole, **PLAIN_ATTENTION))
    return _HfClassifier(classifier), (classifier_head(path, config, whole),)


def classifier_head(
    path: Path, config: dict[str, Any], whole: Any, input: str = "text"
) -> HeadSpec:
    """The head of a classifier of transformers: what ``problem_type`` and ``id2label`` say.

    Args:
        config: ``config.json``; `whole`: the same as transformers completes it.
        input: of the head.
    """
    labels = _labels(path, whole)
    problem = config.get("problem_type")
    if problem is not None and problem not in _PROBLEM_TYPES:
        raise ExportError(
            f"{path}: problem_type {problem!r} is not one of {', '.join(_PROBLEM_TYPES)}"
        )
    task = _PROBLEM_TYPES.get(str(problem), "regression" if len(labels) == 1 else "single_label")
    return HeadSpec(name="default", task=task, labels=labels, output="logits", input=input)


def feeds_token_types(config: dict[str, Any]) -> bool:
    """Whether the encoder of a ``config.json`` reads token types."""
    known = FAMILIES.get(str(config.get("model_type", "")), True)
    return known and int(config.get("type_vocab_size", 2)) > 0


def max_tokens_of(config: dict[str, Any]) -> int:
    """The longest row that the positions of a ``config.json`` allow."""
    usual = 8192 if config.get("model_type") == "modernbert" else 512
    positions = int(config.get("max_position_embeddings", usual))
    # RoBERTa-like models start counting positions at pad_token_id + 1.
    if config.get("model_type") in ("roberta", "xlm-roberta", "mpnet"):
        positions -= int(config.get("pad_token_id", 1)) + 1
    return max(positions, 1)


def with_decisions(
    spec: HeadSpec,
    thresholds: Sequence[float] | None,
    temperature: float,
    unsure_below: float | None,
) -> HeadSpec:
    """`spec` with the decision rule that was fitted on dev data."""
    return replace(
        spec,
        thresholds=None if thresholds is None else tuple(float(t) for t in thresholds),
        temperature=float(temperature),
        unsure_below=None if unsure_below is None else float(unsure_below),
    )

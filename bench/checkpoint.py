"""The measured model as its peers need it: fp32 weights in Hugging Face's layout.

The embedded model is a BERT encoder, the mean over its tokens, and linear heads; the peers get the
first one, which has a sigmoid, and affectrt answers with that one alone.
Its weights come from the checkpoint that it was exported from or, without one, from the model file
itself (int8 codes times their scales). The temperature is folded into the head, so that a peer's
sigmoid gives the scores that affectrt gives.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class PooledClassifier(BertPreTrainedModel):  # type: ignore[misc]  # transformers is untyped here
    """BERT, the mean over the unpadded tokens, linear head; logits float32 `[batch, labels]`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SequenceClassifierOutput:
        hidden = self.bert(
            input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return SequenceClassifierOutput(
            logits=self.classifier((hidden * mask).sum(1) / mask.sum(1))
        )


@dataclass(frozen=True)
class Source:
    """What a model file and its checkpoint, if any, say."""

    manifest: dict[str, Any]
    config: dict[str, Any]
    tokenizer_json: bytes
    weights: dict[str, Tensor]
    digest: str


def _dequantised(tensors: dict[str, Any]) -> dict[str, Tensor]:
    weights = {}
    for name, value in tensors.items():
        if name.endswith(".scale") and name.removesuffix(".scale") in tensors:
            continue
        scale = tensors.get(f"{name}.scale")
        whole = value.astype(np.float32)
        if scale is not None:
            whole = whole * scale.reshape(-1, *[1] * (whole.ndim - 1))
        weights[name] = torch.from_numpy(np.ascontiguousarray(whole))
    return weights


def read_source(model: Path, checkpoint: Path | None) -> Source:
    """Read `model` (a ``.affect`` file with a BERT encoder whose first head is pooled).

    Raises:
        SystemExit: the model has another build than what the peers are made for.
    """
    with zipfile.ZipFile(model) as bundle:
        manifest = json.loads(bundle.read("affectrt.json"))
        config = json.loads(bundle.read("config.json"))
        tokenizer = bundle.read("tokenizer.json")
        stored = bundle.read("weights.safetensors")
    pooling = config.get("affectrt", {}).get("pooling")
    # Of a text alone, the mean over its first segment is the mean over all.
    if config.get("model_type") != "bert" or pooling not in ("mean", "mean_first"):
        raise SystemExit(f"{model}: the peers are made for BERT with mean pooling")
    if manifest["heads"][0]["task"] != "multi_label":
        raise SystemExit(f"{model}: the peers are made for a first head that is multi-label")
    if checkpoint is None:
        return Source(
            manifest, config, tokenizer, _dequantised(load_tensors(stored)),
            hashlib.sha256(stored).hexdigest(),
        )  # fmt: skip
    file = checkpoint / "model.safetensors"
    with safe_open(file, framework="pt") as reader:
        weights = {key: reader.get_tensor(key).float() for key in reader.keys()}  # noqa: SIM118
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Source(manifest, config, tokenizer, weights, digest)


def write_checkpoint(source: Source, folder: Path) -> None:
    """`folder/hf`: for transformers; `folder/bert`: the bare encoder, as CTranslate2 reads it."""
    head = source.manifest["heads"][0]
    labels = head["labels"]
    temperature = float(head.get("calibration", {}).get("temperature", 1.0))
    keys = BertConfig().to_dict().keys() - {"architectures", "dtype", "torch_dtype", "problem_type"}
    config = BertConfig(
        **{k: v for k, v in source.config.items() if k in keys and "label" not in k},
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="multi_label_classification",
    )
    encoder = {
        name.removeprefix("encoder."): tensor
        for name, tensor in source.weights.items()
        if name.startswith("encoder.")
    }
    tensors = {f"bert.{name}": tensor for name, tensor in encoder.items()}
    for part in ("weight", "bias"):
        tensors[f"classifier.{part}"] = source.weights[f"heads.{head['name']}.{part}"] / temperature
    model = PooledClassifier(config)
    missing = model.load_state_dict(tensors, strict=False).missing_keys
    if [name for name in missing if not name.endswith("_ids")]:
        raise SystemExit(f"the checkpoint lacks {', '.join(missing)}")
    model.save_pretrained(folder / "hf")
    width = config.hidden_size
    bare = {
        **encoder,
        # CTranslate2's converter asks for a pooler; its output is not read.
        "pooler.dense.weight": torch.eye(width),
        "pooler.dense.bias": torch.zeros(width),
    }
    (folder / "bert").mkdir(exist_ok=True)
    save_file(bare, folder / "bert" / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["BertModel"]
    config.save_pretrained(folder / "bert")
    np.savez(
        folder / "head.npz",
        weight=tensors["classifier.weight"].numpy(),
        bias=tensors["classifier.bias"].numpy(),
    )
    pooled = folder / "pooled"  # as affectrt exports it
    pooled.mkdir(exist_ok=True)
    save_file(source.weights, pooled / "model.safetensors", metadata={"format": "pt"})
    (pooled / "config.json").write_text(json.dumps(source.config), encoding="utf-8")
    (pooled / "tokenizer.json").write_bytes(source.tokenizer_json)
    own = {"labels": labels, "thresholds": head.get("thresholds") or [0.5] * len(labels)}
    (folder / "head.json").write_text(json.dumps(own), encoding="utf-8")
    _write_tokenizer(source.tokenizer_json, folder, config.max_position_embeddings)


def _write_tokenizer(tokenizer_json: bytes, folder: Path, max_tokens: int) -> None:
    from transformers import BertTokenizerFast

    (folder / "tokenizer.json").write_bytes(tokenizer_json)
    fast = BertTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=max_tokens
    )
    fast.backend_tokenizer.no_truncation()
    fast.backend_tokenizer.no_padding()
    for kind in ("hf", "bert"):
        fast.save_pretrained(folder / kind)


def load_classifier(folder: Path, attention: str | None = None) -> PooledClassifier:
    """The fp32 network of `write_checkpoint`, ready to answer."""
    extra: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    return PooledClassifier.from_pretrained(folder / "hf", **extra).eval()


def reference_scores(folder: Path, texts: list[str]) -> Any:
    """Scores of `texts` by plain torch, one at a time: float32 `[texts, labels]`."""
    from transformers import AutoTokenizer

    model = load_classifier(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    rows = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer(text, truncation=True, return_tensors="pt")
            rows.append(torch.sigmoid(model(**inputs).logits)[0].numpy())
    return np.stack(rows)

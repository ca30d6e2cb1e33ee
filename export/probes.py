"""Linear probes on an encoder, or on a decoder language model: heads that were fitted outside, on
the pooled states of layer k.

A head is a `HeadSpec` with its weights; `probe_head` makes one of a fitted scikit-learn estimator
(of its coefficients alone: nothing is unpickled and scikit-learn is not imported), `read_probe` of
an ``.npz`` or ``.safetensors`` file. `attach_heads` writes encoder and heads as one pooled
checkpoint, which `export_checkpoint` takes.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.torch import save_file

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import FAMILIES, HeadSpec
from .checkpoint_files import read_json, read_weights
from .decoder import DECODERS, as_heads_config, check_pooling, cut
from .pooling import POOLINGS

Floats = npt.NDArray[np.float32]

# Names that a base model's weights carry inside of a model with a head.
_PREFIXES = ("bert.", "roberta.", "distilbert.", "electra.", "mpnet.", "deberta.", "model.")
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
# Where the number of layers stands, where it is not num_hidden_layers.
_LAYERS_KEY = {"distilbert": "n_layers"}
TOKENIZER_FILES = ("vocab.txt", "vocab.json", "merges.txt", "spm.model", "spiece.model",
                   "sentencepiece.bpe.model")  # fmt: skip
# Families whose state behind layer k is what a network of k layers ends with. ModernBERT has a norm
# behind the last one alone, so that its heads say themselves which layer they read behind.
_CUT_ANYWHERE = {"bert", "electra", "roberta", "xlm-roberta", "distilbert", "mpnet", "deberta",
                 "deberta-v2"}  # fmt: skip


@dataclass(frozen=True)
class LinearHead:
    """A head and its weights: logits = W x + b.

    Args:
        weight: ``float32 [labels, width]``.
        bias: ``float32 [labels]``.
    """

    spec: HeadSpec
    weight: Floats
    bias: Floats


def make_head(
    name: str,
    task: str,
    labels: Sequence[str],
    weight: npt.ArrayLike,
    bias: npt.ArrayLike,
    **decisions: Any,
) -> LinearHead:
    """A head of arrays; `decisions` are further fields of `HeadSpec`.

    Raises:
        ExportError: shapes that don't belong together, NaN or Inf.
    """
    w, b = np.atleast_2d(np.asarray(weight, np.float32)), np.ravel(np.asarray(bias, np.float32))
    if w.ndim != 2 or w.shape[0] != len(labels) or b.shape != (len(labels),):
        raise ExportError(
            f"head {name!r}: {len(labels)} labels need weights [{len(labels)}, width] and as many "
            f"biases, not {list(w.shape)} and {list(b.shape)}"
        )
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise ExportError(f"head {name!r} has NaN or Inf weights; fit it again")
    spec = HeadSpec(name=name, task=task, labels=tuple(labels), output=name, **decisions)
    return LinearHead(spec, w, b)


def probe_head(
    estimator: Any, name: str = "probe", labels: Sequence[str] | None = None
) -> LinearHead:
    """The head that a fitted linear estimator of scikit-learn is.

    Taken are LogisticRegression, SGDClassifier, LinearSVC, RidgeClassifier and Perceptron (one
    label wins; scores are probabilities for the first alone), OneVsRestClassifier of them
    (multi-label), LinearRegression, Ridge and their like (regression), and a Pipeline of
    StandardScaler and one of them, whose scaling goes into the weights.

    Args:
        labels: in the order of ``classes_`` or of the values of a regression; else the classes'
            own names.

    Raises:
        ExportError: an estimator that is not linear, or not fitted.
    """
    weight, bias, classes, task = _coefficients(estimator, name)
    given = labels if labels is not None else classes
    names = [str(label) for label in given] if given is not None else [
        f"value_{i}" for i in range(len(weight))
    ]  # fmt: skip
    if task == "single_label" and len(weight) == 1 and len(names) == 2:
        # A score for the second class: softmax([0, z]) is its sigmoid.
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.append(0.0, bias)
    return make_head(name, task, names, weight, bias)


def _coefficients(estimator: Any, name: str) -> tuple[Any, Any, Sequence[Any] | None, str]:
    kind = type(estimator).__name__
    if hasattr(estimator, "steps"):
        *before, (_, last) = estimator.steps
        weight, bias, classes, task = _coefficients(last, name)
        for _, step in reversed(before):
            if type(step).__name__ != "StandardScaler" or not hasattr(step, "n_features_in_"):
                raise ExportError(
                    f"probe {name!r}: {type(step).__name__} before it is no fitted StandardScaler, "
                    "the only step that goes into weights"
                )
            mean = 0.0 if step.mean_ is None else np.asarray(step.mean_, np.float64)
            scale = 1.0 if step.scale_ is None else np.asarray(step.scale_, np.float64)
            weight = weight / scale
            bias = bias - weight @ (mean * np.ones(weight.shape[1]))
        return weight, bias, classes, task
    if kind == "OneVsRestClassifier" and hasattr(estimator, "estimators_"):
        parts = [_coefficients(one, name) for one in estimator.estimators_]
        if any(len(part[0]) != 1 for part in parts):
            raise ExportError(f"probe {name!r}: a part of the OneVsRestClassifier is not binary")
        if not getattr(estimator, "multilabel_", False):
            raise ExportError(
                f"probe {name!r}: a OneVsRestClassifier for one label normalises its scores, which "
                "no head does; fit LogisticRegression itself"
            )
        stacked = np.vstack([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        return *stacked, list(estimator.classes_), "multi_label"
    if not hasattr(estimator, "coef_") or not hasattr(estimator, "intercept_"):
        raise ExportError(
            f"probe {name!r}: {kind} has no coef_ and intercept_: it is not linear, or not fitted"
        )
    one_vs_rest = kind == "LogisticRegression" and getattr(estimator, "multi_class", "") == "ovr"
    if one_vs_rest and len(np.atleast_2d(estimator.coef_)) > 1:
        raise ExportError(
            f"probe {name!r}: {kind} with multi_class='ovr' normalises its scores, which no head "
            "does; fit it without"
        )
    weight = np.atleast_2d(np.asarray(estimator.coef_, np.float64))
    bias = np.asarray(estimator.intercept_, np.float64) * np.ones(len(weight))
    classes = getattr(estimator, "classes_", None)
    task = "regression" if classes is None else "single_label"
    return weight, bias, None if classes is None else list(classes), task


def read_probe(
    path: Path, name: str = "probe", labels: Sequence[str] | None = None, task: str | None = None
) -> LinearHead:
    """A head from a file of arrays: ``coef [labels, width]``, ``intercept [labels]`` and perhaps
    ``classes`` (text), as ``np.savez(file, coef=e.coef_, intercept=e.intercept_, ...)`` writes it.

    Args:
        task: ``"single_label"`` if not given and there are labels, else ``"regression"``.

    Raises:
        NotFoundError: no such file.
        ExportError: no such arrays; a pickle, which is never opened.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    if path.suffix not in (".npz", ".safetensors"):
        raise ExportError(
            f"{path}: pickles (.joblib, .pkl) can run code and are not opened; write "
            "np.savez('probe.npz', coef=e.coef_, intercept=e.intercept_, "
            "classes=e.classes_.astype(str)), or use affectrt.export.probe_head(estimator)"
        )
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        else:
            arrays = dict(load_file(path))
        weight, bias = np.atleast_2d(arrays["coef"]), np.ravel(arrays["intercept"])
    except (KeyError, ValueError, OSError, SafetensorError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path}: must hold the arrays coef and intercept: {error}") from None
    if labels is None and "classes" in arrays:
        labels = [str(one) for one in arrays["classes"].tolist()]
    if task is None:
        task = "single_label" if labels is not None else "regression"
    names = labels if labels is not None else [f"value_{i}" for i in range(len(weight))]
    if task == "single_label" and len(weight) == 1 and len(names) == 2:
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.append(0.0, bias)
    return make_head(name, task, names, weight, bias)


def attach_heads(
    encoder: Path | str,
    heads: Sequence[LinearHead],
    out: Path | str,
    *,
    pooling: str = "mean",
    layer: int | None = None,
) -> Path:
    """Write an encoder with heads as a pooled checkpoint, which `export_checkpoint` takes.

    Args:
        encoder: a checkpoint's directory, with or without a head of its own (which is left out).
        heads: what reads it: the pooled states, or those of tokens where the task asks for them.
        out: the directory to make.
        pooling: of ``"mean"`` (over tokens, as sentence encoders do) and ``"cls"``, or of decoders
            ``"last"``.
        layer: read the state behind this layer, 1 being the first, as ``hidden_states[layer]`` of
            transformers: the network ends there. None: the last.

    Raises:
        NotFoundError: a file is missing.
        ExportError: an unknown family or pooling, a layer that is not there, heads of another
            width, or names that stand twice.
    """
    source, target = Path(encoder), Path(out)
    config = read_json(source / "config.json")
    family = str(config.get("model_type", ""))
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ExportError(f"{source}: model_type {family!r} is not one of {known}")
    if pooling not in POOLINGS:
        raise ExportError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
    check_pooling(family, pooling)
    names = [head.spec.name for head in heads]
    if not names or len(set(names)) != len(names):
        raise ExportError(f"heads {names}: at least one is needed, and no name may stand twice")
    tensors, _ = read_weights(source)
    layers = _count_layers(tensors)
    if layer is not None and layer != layers:
        if not 1 <= layer <= layers:
            raise ExportError(f"layer {layer}: {source} has layers 1 to {layers}")
        if family in DECODERS:
            config, layers = cut(config, layer, layers), layer
        elif family in _CUT_ANYWHERE:
            config[_LAYERS_KEY.get(family, "num_hidden_layers")] = layers = layer
        else:  # the export leaves out what lies behind
            heads = [replace(h, spec=replace(h.spec, layer=layer)) for h in heads]
    kept = {
        f"encoder.{_inside(name)}": tensor.clone().contiguous()
        for name, tensor in tensors.items()
        if _is_of_encoder(name) and _layer_of(name) < layers
    }
    width = int(config.get("hidden_size") or config.get("dim") or 0)
    for head in heads:
        if head.weight.shape[1] != width:
            raise ExportError(
                f"head {head.spec.name!r} reads {head.weight.shape[1]} values, and {source} gives "
                f"{width}"
            )
        kept[f"heads.{head.spec.name}.weight"] = torch.from_numpy(head.weight).clone()
        kept[f"heads.{head.spec.name}.bias"] = torch.from_numpy(head.bias).clone()
    own = as_heads_config(config)
    config["affectrt"] = {**own, "pooling": pooling, "heads": [asdict(head.spec) for head in heads]}
    target.mkdir(parents=True, exist_ok=True)
    save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    for file in sorted(source.iterdir()):
        if "token" in file.name or file.name in TOKENIZER_FILES:
            (target / file.name).write_bytes(file.read_bytes())
    return target


def _inside(name: str) -> str:
    """A tensor's name in the encoder alone."""
    return next((name[len(p) :] for p in _PREFIXES if name.startswith(p)), name)


def _is_of_encoder(name: str) -> bool:
    parts = ("embeddings", "encoder.", "transformer.", "layers.", "final_norm.", "embed_tokens.",
             "norm.")  # fmt: skip
    return _inside(name).startswith(parts)


def _layer_of(name: str) -> int:
    found = _LAYER.search(name)
    return int(found.group(1)) if found else -1


def _count_layers(tensors: Any) -> int:
    return 1 + max((_layer_of(name) for name in tensors), default=-1)

"""Heads behind any layer, with any pooling: torch's logits, a network cut where nobody reads on."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import export_models as em  # noqa: E402
from safetensors.numpy import load as load_tensors  # noqa: E402
from safetensors.numpy import save as save_tensors  # noqa: E402
from test_heads import Made, core_passes, some_passes  # noqa: E402
from test_native import TOLERANCE, write_model  # noqa: E402

import affectrt  # noqa: E402
from affectrt import _core  # noqa: E402
from affectrt.errors import ExportError, ModelFileError  # noqa: E402
from affectrt.export import HeadSpec, export_checkpoint, verify  # noqa: E402
from affectrt.export.checkpoint import (  # noqa: E402
    TOKEN_TASKS,
    LoadedCheckpoint,
    load_checkpoint,
)
from affectrt.export.native_weights import write_native_weights  # noqa: E402
from affectrt.export.recipes.multitask.inputs import Tokens, pad  # noqa: E402

FLAGS = ("er", "ip")


def probe(name: str, layer: int | None = None, pooling: str | None = None) -> HeadSpec:
    return HeadSpec(name, "single_label", em.LABELS, name, layer=layer, pooling=pooling)


# The tiny networks have two layers, ModernBERT's four.
HEADS = (
    *em.pooled_heads(),  # the model's pooling behind the last layer
    probe("embeddings", 0, "mean"),
    probe("first", 1, "cls"),
    probe("attending", 1, "attention"),
    probe("own", None, "attention"),
    HeadSpec("early", "token_flags", FLAGS, "early", (0.5, 0.5), layer=1),
    HeadSpec("late", "token_flags", FLAGS, "late", (0.5, 0.5)),
)
# Nobody reads behind the last layer.
SHALLOW = (probe("embeddings", 0), probe("mean", 1), probe("attending", 1, "attention"))
KINDS = {
    "bert": ("bert", "attention_first", HEADS),
    "electra": ("electra", "mean_first", (*HEADS, probe("a", 1, "attention_first"))),
    "distilbert": ("distilbert", "attention", HEADS),
    "mpnet": ("mpnet", "cls", HEADS),
    "modernbert": ("modernbert", "attention", HEADS),
    "shallow-bert": ("bert", "attention", SHALLOW),
    "shallow-modernbert": ("modernbert", "mean", SHALLOW),
}


@pytest.fixture(scope="module")
def checkpoint_of(made: Made) -> Callable[[str], LoadedCheckpoint]:
    loaded: dict[str, LoadedCheckpoint] = {}

    def make(kind: str) -> LoadedCheckpoint:
        family, pooling, heads = KINDS[kind]
        if kind not in loaded:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                folder = made(
                    f"readings_{kind}",
                    lambda out: em.write_pooled_checkpoint(out, pooling, family, heads),
                )
                loaded[kind] = load_checkpoint(folder)
        return loaded[kind]

    return make


def passes_of(checkpoint: LoadedCheckpoint, count: int, seed: int) -> tuple[list[Any], Any]:
    """As the core takes them, and as torch does."""
    tokens = Tokens(checkpoint.tokenizer_json)
    passes = some_passes(tokens, count, seed)
    ids, mask, types = pad([row for _, row in passes])
    ids = ids.masked_fill(mask == 0, int(checkpoint.config.get("pad_token_id") or 0))
    return core_passes(tokens, passes), (ids, mask, types if checkpoint.uses_token_types else None)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_logits_are_those_of_torch_and_the_same_bits_in_any_batch(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path, kind: str, precision: str
) -> None:
    checkpoint = checkpoint_of(kind)
    passes, batch = passes_of(checkpoint, 16, 1)
    with torch.inference_mode():
        read, pooled = checkpoint.model.encode(*batch)  # type: ignore[operator]
        wanted = checkpoint.model.logits(read)  # type: ignore[operator]
    file = write_model(checkpoint, precision, tmp_path / "it.affect")
    model = _core.Model.load(file, num_threads=2)
    found = model.predict_passes(passes, embeddings=True)
    assert found.embeddings is not None
    assert np.abs(found.embeddings - pooled.numpy()).max() < TOLERANCE[precision]
    for spec, answer in zip(checkpoint.heads, found.heads, strict=True):
        values = wanted[spec.output].numpy()
        if spec.task in TOKEN_TASKS:
            values = np.concatenate([v[: p[2] + 1] for v, p in zip(values, passes, strict=True)])
        assert np.ptp(values, axis=0).min() > 0.1
        assert np.abs(answer.logits - values).max() < TOLERANCE[precision]
    # Alone, for one head: the network then ends at its layer.
    one = _core.Model.load(file, num_threads=1)
    for head, spec in enumerate(checkpoint.heads):
        rows = found.heads[head].token_begin
        for i in range(0, len(passes), 5):
            own = one.predict_passes(passes[i : i + 1], [head]).heads[0]
            of_row = slice(i, i + 1) if rows is None else slice(rows[i], rows[i + 1])
            assert own.logits.tobytes() == found.heads[head].logits[of_row].tobytes(), spec.name


@pytest.mark.parametrize("kind", ["shallow-bert", "shallow-modernbert"])
def test_a_network_is_cut_behind_the_deepest_layer_that_is_read(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path, kind: str
) -> None:
    checkpoint = checkpoint_of(kind)
    weights = write_native_weights(checkpoint, "fp32")
    kept = load_tensors(weights)
    assert any("layer.0." in name or "layers.0." in name for name in kept)
    assert not any("layer.1." in name or "layers.1." in name or "final" in name for name in kept)
    whole = {k: v.numpy() for k, v in checkpoint.model.state_dict().items()}
    passes, _ = passes_of(checkpoint, 6, 2)
    answers = [
        _core.Model.load(write_model(checkpoint, "fp32", tmp_path / f"{n}.affect", image))
        .predict_passes(passes)
        .heads
        for n, image in enumerate((weights, save_tensors(whole)))
    ]
    for cut, uncut in zip(*answers, strict=True):
        assert cut.logits.tobytes() == uncut.logits.tobytes()


@pytest.mark.parametrize("kind", ["bert", "shallow-bert", "modernbert"])
def test_export_and_verify_prove_such_heads_on_both_engines(
    made: Made, checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path, kind: str
) -> None:
    source = checkpoint_of(kind).path
    out = tmp_path / "it.affect"
    report = export_checkpoint(source, out, engines=["native", "onnxruntime"])
    assert report.passed
    assert len(report.heads) == 2 * len(KINDS[kind][2])
    assert max(head.max_logit_difference for head in report.heads) < TOLERANCE["fp32"]
    assert verify(out, source).passed
    info = {head.name: head for head in affectrt.load(out).info.heads}
    assert (info["attending"].layer, info["attending"].pooling) == (1, "attention")
    other = tmp_path / "other"
    heads = [dataclasses.replace(h, layer=1) for h in KINDS[kind][2]]
    em.write_pooled_checkpoint(other, KINDS[kind][1], KINDS[kind][0], heads)
    with pytest.raises(ExportError, match=r"layer is (None|0) in the model file and 1 in"):
        verify(out, other)


BAD = [
    (probe("x", 3), "reads behind layer 3; the encoder has 0 to 2"),
    (probe("x", -1), "reads behind layer -1"),
    (probe("x", pooling="max"), "pooling 'max' is not one of mean, cls, mean_first, attention"),
    (HeadSpec("x", "span", ("start", "end"), "x", pooling="cls"), "reads every token"),
    (probe("x", pooling="attention_first"), None),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_what_a_checkpoint_cannot_have(tmp_path: Path, case: int) -> None:
    spec, message = BAD[case]
    if message is not None:
        with pytest.raises(ExportError, match=message):
            em.write_pooled_checkpoint(tmp_path / "it", heads=(spec,))
        return
    source = em.write_pooled_checkpoint(tmp_path / "it", "mean", "distilbert", (spec,))
    with pytest.raises(ExportError, match="'attention_first' goes by token types"):
        load_checkpoint(source)


def test_what_the_engine_refuses(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    checkpoint = checkpoint_of("distilbert")
    tensors = load_tensors(write_native_weights(checkpoint, "fp32"))

    def refused(message: str, change: dict[str, Any], **head: Any) -> None:
        one = dataclasses.replace(
            checkpoint, heads=(dataclasses.replace(checkpoint.heads[0], **head),)
        )
        kept = {k: v for k, v in (tensors | change).items() if v is not None}
        file = write_model(one, "fp32", tmp_path / "it.affect", save_tensors(kept))
        with pytest.raises(ModelFileError, match=message):
            _core.Model.load(file)

    refused("reads behind layer 3; the encoder has 2", {}, layer=3)
    refused("'mean_first', but this family has no token types", {}, pooling="mean_first")
    refused("no tensor 'poolings.emotion.weight'", {}, pooling="attention")
    refused("no tensor 'pooling.weight'", {"pooling.weight": None})
    weight = tensors["pooling.weight"]
    refused("has 3 rows, which do not divide", {"pooling.weight": weight[:3]})
    codes = {"pooling.weight": np.ones(weight.shape, np.int8)}
    scales = {"pooling.weight.scale": np.ones(len(weight), np.float32)}
    refused("tensor 'pooling.weight'.*F32", codes | scales)
    classifier = load_checkpoint(em.write_random_checkpoint(tmp_path / "plain", "bert"))
    head = dataclasses.replace(classifier.heads[0], layer=1)
    file = write_model(
        dataclasses.replace(classifier, heads=(head,)), "fp32", tmp_path / "x.affect"
    )
    with pytest.raises(ModelFileError, match="one head, on the last layer"):
        _core.Model.load(file)


def test_heads_of_one_output_read_the_same(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    checkpoint = checkpoint_of("shallow-bert")
    one, two, _ = checkpoint.heads
    heads = (one, dataclasses.replace(two, output=one.output))
    with pytest.raises(ExportError, match="have one output, but another layer or pooling"):
        write_model(dataclasses.replace(checkpoint, heads=heads), "fp32", tmp_path / "x.affect")


def test_info_json_has_what_a_head_reads(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    file = write_model(checkpoint_of("bert"), "fp32", tmp_path / "it.affect")
    heads = json.loads(_core.Model.load(file).manifest_json)["heads"]
    read = {h["name"]: (h.get("layer"), h.get("pooling")) for h in heads}
    assert read["emotion"] == (None, None)
    assert read["first"] == (1, "cls")
    assert read["early"] == (1, None)

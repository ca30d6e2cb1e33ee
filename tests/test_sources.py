"""What export takes beside plain checkpoints: token classifiers, LoRA adapters, probes, ONNX."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
import onnx
import torch
from command import assert_one_error
from conftest import Made
from safetensors.torch import load_file, save_file

import affectrt
from affectrt.errors import ExportError, NotFoundError
from affectrt.export import (
    Source,
    describe_checkpoint,
    export_checkpoint,
    load_checkpoint,
    make_head,
    probe_head,
    verify,
)
from affectrt.export.bundle import read_manifest
from affectrt.export.token_classifier import token_labels

TEXTS = ["so happy and glad", "no", "the train was late, and I was furious about that story"]
TAGS = ("B-who", "O", "I-who", "I-when", "B-when")  # in an order of its own


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def bert(made: Made) -> Path:
    return made("export_bert", lambda folder: em.write_random_checkpoint(folder, "bert"))


def refused(source: Path | Source, kind: type[Exception], message: str, **options: Any) -> None:
    path = source.path if isinstance(source, Source) else source
    out = path.parent / "refused.affect"
    with pytest.raises(kind, match=message):
        export_checkpoint(source, out, **options)
    assert not out.exists()


# Token classifiers


def write_token_classifier(folder: Path, family: str) -> Path:
    from transformers import AutoModelForTokenClassification

    torch.manual_seed(3)
    tokenizer = em.make_tokenizer(family)
    config = em.make_config(family, tokenizer, TAGS, None)
    model = AutoModelForTokenClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
    return em.save(folder, model, tokenizer)


def spans_by_hand(folder: Path, text: str) -> list[tuple[str, int, int]]:
    """Spans of transformers' own classes: tags in turn, joined as BIO has it."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForTokenClassification

    encoding = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    ids = torch.tensor([encoding.ids])
    with torch.inference_mode():
        best = model(ids, attention_mask=torch.ones_like(ids)).logits[0].argmax(-1).tolist()
    found: list[tuple[str, int, int]] = []
    before = "O"
    tokens = list(zip(best, encoding.offsets, strict=True))[1:-1]
    for number, (start, end) in tokens:
        tag = TAGS[number]
        if tag == "O":
            pass
        elif tag.startswith("I-") and before.endswith(tag[2:]) and before != "O":
            kind, first, _ = found.pop()
            found.append((kind, first, end))
        else:
            found.append((tag[2:], start, end))
        before = tag
    return found


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_token_classifiers_give_their_spans(family: str, made: Made, tmp_path: Path) -> None:
    folder = made(f"tokens_{family}", lambda out: write_token_classifier(out, family))
    out = tmp_path / "x.affect"
    report = export_checkpoint(folder, out)
    assert report.passed
    assert report.heads[0].task == "token_labels"
    assert report.heads[0].backend == ("onnxruntime" if family == "modernbert" else "native")
    assert report.heads[0].largest_logit < 1000  # not that of labels which the checkpoint has not
    model = affectrt.load(out)
    for text in TEXTS:
        spans = model(text).heads["default"].spans or ()
        assert [(s.label, s.start, s.end) for s in spans] == spans_by_hand(folder, text)
    assert verify(out, folder).differences == ()


def test_tags_of_every_scheme() -> None:
    bio = ("O", "B-a", "I-a", "B-b", "I-b")
    assert token_labels(["I-a", "O", "B-b", "I-b", "B-a"], "x") == (
        bio,
        (1, 4, 0, 2, 3),
    )
    assert token_labels(["O", "I-a", "I-b"], "x") == (bio, (0, -1, 1, -1, 2))
    assert token_labels(["noun", "verb"], "x") == (
        ("O", "B-noun", "I-noun", "B-verb", "I-verb"),
        (-1, -1, 0, -1, 1),
    )
    with pytest.raises(ExportError, match="'E-a' is of a scheme with E-"):
        token_labels(["O", "B-a", "E-a"], "x")


def test_heads_that_are_none(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "c"))
    config = json.loads((folder / "config.json").read_text("utf-8"))

    def named(architecture: str) -> None:
        changed = {**config, "architectures": [architecture]}
        (folder / "config.json").write_text(json.dumps(changed), "utf-8")

    named("BertForQuestionAnswering")
    refused(folder, ExportError, r"weight 'qa_outputs\.weight' is missing")
    named("BertModel")
    export_checkpoint(folder, tmp_path / "x.affect")  # its weights have a classifier
    tensors = load_file(folder / "model.safetensors")
    bare = {k: v for k, v in tensors.items() if not k.startswith("classifier")}
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, ExportError, "is a BertModel, which has no head that classifies.*--probe")
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "xlnet"}), "utf-8")
    refused(folder, ExportError, "XLNet reads tokens in the light of permutations")


def test_what_other_tools_made_is_named(tmp_path: Path) -> None:
    for file, message in {
        "model.bin": "CTranslate2 conversion, .*export the Hugging Face checkpoint",
        "tf_model.h5": "TensorFlow checkpoint; load it with .*from_tf=True.* and save it",
        "tiny.gguf": "tiny.gguf says that this is a GGUF conversion",
        "openvino_model.xml": "OpenVINO conversion",
    }.items():
        folder = tmp_path / file.replace(".", "_")
        folder.mkdir()
        (folder / file).write_bytes(b"x")
        (folder / "config.json").write_text("{}", "utf-8")
        refused(folder, ExportError, message)


# LoRA


@pytest.fixture
def adapter(bert: Path, tmp_path: Path) -> Path:
    """An adapter as peft saves it: attention and a table, a head of its own with three labels."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    random = torch.Generator().manual_seed(1)
    base = load_file(bert / "model.safetensors")
    tensors = {}

    def add(module: str, kind: str, a: tuple[int, int], b: tuple[int, int]) -> None:
        for side, shape in (("A", a), ("B", b)):
            name = f"base_model.model.{module}.lora_{kind}{side}" + ("" if kind else ".weight")
            tensors[name] = torch.randn(shape, generator=random) * 0.1

    for layer in (0, 1):
        for part in ("query", "value"):
            add(f"bert.encoder.layer.{layer}.attention.self.{part}", "", (4, 32), (32, 4))
    rows = base["bert.embeddings.word_embeddings.weight"].shape[0]
    add("bert.embeddings.word_embeddings", "embedding_", (2, rows), (32, 2))
    for part, shape in (("weight", (3, 32)), ("bias", (3,))):
        tensors[f"base_model.model.classifier.{part}"] = torch.randn(shape, generator=random)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": "somebody/some-bert",
        "r": 4,
        "lora_alpha": 16,
        "alpha_pattern": {"layer.1.attention.self.value": 2},
        "use_rslora": False,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    return folder


def change_settings(adapter: Path, **changes: Any) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **changes}), "utf-8")


def test_adapters_are_merged(adapter: Path, bert: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    source = Source(adapter, base=bert, labels=("sad", "glad", "calm"))
    report = export_checkpoint(source, out)
    assert report.passed
    assert "--base export_bert --labels sad,glad,calm" in report.command
    model = affectrt.load(out)
    assert model.labels() == ("sad", "glad", "calm")
    # by hand
    from transformers import AutoModelForSequenceClassification

    whole = load_file(bert / "model.safetensors")
    parts = load_file(adapter / "adapter_model.safetensors")
    for name in [n for n in parts if "lora_A" in n]:
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        scale = (2 if "layer.1.attention.self.value" in module else 16) / 4
        whole[f"{module}.weight"] += scale * parts[name.replace("_A", "_B")] @ parts[name]
    table = "base_model.model.bert.embeddings.word_embeddings.lora_embedding_"
    added = (parts[f"{table}B"] @ parts[f"{table}A"]).T
    whole["bert.embeddings.word_embeddings.weight"] += 16 / 2 * added
    whole |= {
        f"classifier.{p}": parts[f"base_model.model.classifier.{p}"] for p in ("weight", "bias")
    }
    config = load_checkpoint(bert).model.classifier.config
    config.num_labels = 3
    network = AutoModelForSequenceClassification.from_config(config).eval()
    network.load_state_dict(whole)
    for text in TEXTS:
        ids = torch.from_numpy(model.tokenizer.encode(text).ids.astype(np.int64))[None]
        with torch.inference_mode():
            wanted = network(ids, attention_mask=torch.ones_like(ids)).logits.numpy()
        np.testing.assert_allclose(model.predict_logits(text), wanted, atol=1e-4)
    assert verify(out, source).differences == ()


def test_adapters_that_cannot_be_merged(adapter: Path, bert: Path) -> None:
    with_base = Source(adapter, base=bert)
    refused(adapter, NotFoundError, "of somebody/some-bert, which is no directory here.*--base")
    refused(Source(bert, base=bert), ExportError, "is no adapter")
    change_settings(adapter, use_dora=True)
    refused(with_base, ExportError, "use_dora is True, which is not merged here.*merge_and_unload")
    change_settings(adapter, use_dora=False, peft_type="IA3")
    refused(with_base, ExportError, "adapter of type 'IA3'")
    change_settings(adapter, peft_type="LORA")
    file = adapter / "adapter_model.safetensors"
    good = load_file(file)
    name = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.weight"
    for changed, message in (
        ({name: torch.zeros(16, 4)}, r"adds \[16, 32\] to \[32, 32\]"),
        (
            {name.replace("layer.0", "layer.7"): good[name].clone()},
            r"layer.7.* lacks lora_A",
        ),
        (
            {"base_model.model.x.lora_magnitude_vector": good[name].clone()},
            "no tensor of a LoRA adapter",
        ),
    ):
        save_file({**good, **changed}, file, metadata={"format": "pt"})
        refused(with_base, ExportError, message)
    save_file({"x.weight": good[name]}, file, metadata={"format": "pt"})
    refused(with_base, ExportError, "has no lora_A and lora_B")
    file.unlink()
    refused(with_base, NotFoundError, r"has no adapter_model\.safetensors")


# Probes


def fake(kind: str, **attributes: Any) -> Any:
    """What scikit-learn's estimator of that name has when it is fitted."""
    return type(kind, (), attributes)()


def test_estimators_become_heads() -> None:
    random = np.random.default_rng(0)
    weight, bias, x = random.normal(size=(3, 5)), random.normal(size=3), random.normal(size=(4, 5))
    classes = np.asarray(["a", "b", "c"])
    logistic = fake("LogisticRegression", coef_=weight, intercept_=bias, classes_=classes)
    head = probe_head(logistic, "mood")
    assert (head.spec.task, head.spec.labels) == ("single_label", ("a", "b", "c"))
    np.testing.assert_allclose(x @ head.weight.T + head.bias, x @ weight.T + bias, atol=1e-6)

    svm = fake("LinearSVC", multi_class="ovr", coef_=weight, intercept_=bias, classes_=classes)
    np.testing.assert_array_equal(probe_head(svm).weight, head.weight)
    ovr = fake("LogisticRegression", **{**vars(type(logistic)), "multi_class": "ovr"})
    with pytest.raises(ExportError, match="multi_class='ovr' normalises its scores"):
        probe_head(ovr)

    binary = fake(
        "LogisticRegression", coef_=weight[:1], intercept_=bias[:1], classes_=np.asarray([0, 1])
    )
    head = probe_head(binary, labels=["no", "yes"])
    logits = x @ head.weight.T + head.bias
    share = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(share, 1 / (1 + np.exp(-(x @ weight[0] + bias[0]))), atol=1e-6)

    scaler = fake(
        "StandardScaler", n_features_in_=5, mean_=np.arange(5.0), scale_=np.arange(1.0, 6)
    )
    piped = SimpleNamespace(steps=[("scale", scaler), ("fit", logistic)])
    head = probe_head(piped)
    scaled = (x - np.arange(5.0)) / np.arange(1.0, 6)
    np.testing.assert_allclose(x @ head.weight.T + head.bias, scaled @ weight.T + bias, atol=1e-5)

    values = probe_head(fake("Ridge", coef_=weight[:2], intercept_=bias[:2]), labels=["v", "a"])
    assert (values.spec.task, values.spec.labels) == ("regression", ("v", "a"))
    parts = [fake("LogisticRegression", coef_=weight[i : i + 1], intercept_=bias[i : i + 1],
                  classes_=np.asarray([0, 1])) for i in range(3)]  # fmt: skip
    several = fake("OneVsRestClassifier", estimators_=parts, classes_=classes, multilabel_=True)
    head = probe_head(several)
    assert head.spec.task == "multi_label"
    np.testing.assert_allclose(head.weight, weight, atol=1e-7)

    several = fake("OneVsRestClassifier", estimators_=parts, classes_=classes, multilabel_=False)
    forest = SimpleNamespace(n_estimators=3)
    odd = SimpleNamespace(steps=[("pca", fake("PCA", n_features_in_=5)), ("fit", logistic)])
    for estimator, message in (
        (several, "normalises its scores"),
        (forest, "it is not linear, or not fitted"),
        (odd, "PCA before it is no fitted StandardScaler"),
    ):
        with pytest.raises(ExportError, match=message):
            probe_head(estimator)
    with pytest.raises(ExportError, match=r"2 labels need weights \[2, width\]"):
        make_head("x", "single_label", ["a", "b"], weight, bias)
    with pytest.raises(ExportError, match="NaN"):
        make_head("x", "single_label", ["a", "b", "c"], weight * np.nan, bias)


def write_probe(file: Path, width: int = 32) -> Path:
    random = np.random.default_rng(5)
    np.savez(file, coef=random.normal(size=(4, width)), intercept=random.normal(size=4),
             classes=np.asarray(em.LABELS))  # fmt: skip
    return file


@pytest.mark.parametrize(
    ("family", "layer"), [("bert", 1), ("roberta", None), ("modernbert", None), ("modernbert", 2)]
)
def test_probes_read_the_layer_they_were_fitted_on(
    family: str, layer: int | None, made: Made, tmp_path: Path
) -> None:
    from transformers import AutoModel

    folder = made(f"export_{family}", lambda out: em.write_random_checkpoint(out, family))
    probe = write_probe(tmp_path / "probe.npz")
    out = tmp_path / "x.affect"
    source = Source(folder, probe=probe, layer=layer)
    report = export_checkpoint(source, out)
    assert [(h.head, h.backend, h.task) for h in report.heads] == [
        ("probe", "native", "single_label")
    ]
    assert ("--layer" in report.command) == (layer is not None)
    model = affectrt.load(out)
    assert model.labels() == em.LABELS
    arrays = np.load(probe)
    network = AutoModel.from_pretrained(folder).eval()
    for text in TEXTS:
        ids = torch.from_numpy(model.tokenizer.encode(text).ids.astype(np.int64))[None]
        with torch.inference_mode():
            states = network(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        picked = states.last_hidden_state if layer is None else states.hidden_states[layer]
        wanted = picked[0].mean(0).numpy() @ arrays["coef"].T + arrays["intercept"]
        np.testing.assert_allclose(model.predict_logits(text)[0], wanted, atol=2e-3, rtol=1e-4)


def test_probes_that_do_not_fit(bert: Path, made: Made, tmp_path: Path) -> None:
    probe = write_probe(tmp_path / "probe.npz")
    refused(Source(bert, probe=probe, layer=3), ExportError, "layer 3: .* has layers 1 to 2")
    narrow = write_probe(tmp_path / "narrow.npz", 16)
    refused(Source(bert, probe=narrow), ExportError, "reads 16 values, and .* gives 32")
    (tmp_path / "probe.joblib").write_bytes(b"x")
    refused(Source(bert, probe=tmp_path / "probe.joblib"), ExportError, "can run code.*np.savez")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    refused(Source(bert, probe=tmp_path / "other.npz"), ExportError, "arrays coef and intercept")
    np.savez(tmp_path / "code.npz", coef=np.asarray([print], object), intercept=np.zeros(1))
    refused(Source(bert, probe=tmp_path / "code.npz"), ExportError, "arrays coef and intercept")
    refused(Source(bert, probe=tmp_path / "no.npz"), NotFoundError, "no such file")


# Existing ONNX


def test_optimum_directories_are_packed_with_proof(tiny_bert_onnx: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    report = export_checkpoint(tiny_bert_onnx, out)
    assert report.passed
    manifest = read_manifest(out)
    assert manifest["model"] == {"family": "bert", "precision": "fp32", "onnx": "model.onnx"}
    plain, packed = affectrt.load(tiny_bert_onnx), affectrt.load(out, require_parity=True)
    assert packed.labels() == plain.labels()
    np.testing.assert_array_equal(packed.predict_logits(TEXTS), plain.predict_logits(TEXTS))
    assert verify(out, tiny_bert_onnx).differences == ()
    for options in ({"precision": "int8"}, {"engines": ["native"]}):
        refused(tiny_bert_onnx, ExportError, "packed as it is", **options)


def test_bare_graphs_with_a_tokenizer(run: Any, tiny_bert_onnx: Path, tmp_path: Path) -> None:
    graph = tmp_path / "some.onnx"
    onnx.save(onnx.load(tiny_bert_onnx / "model.onnx"), graph, save_as_external_data=True,
              location="some.data", size_threshold=64)  # fmt: skip
    out = tmp_path / "x.affect"
    code, _, err = run("export", graph, "--out", out)
    assert code == 1
    assert "tokenizer.json is missing" in err.splitlines()[-1]
    code, text, err = run(
        *("export", graph, "--out", out, "--tokenizer", tiny_bert_onnx / "tokenizer.json"),
        *("--labels", "calm,glad,upset", "--task", "multi_label"),
    )
    assert code == 0, err
    assert "passed" in text
    model = affectrt.load(out)
    assert (model.labels(), model.info.heads[0].task) == (("calm", "glad", "upset"), "multi_label")
    wanted = affectrt.load(tiny_bert_onnx).predict_logits(TEXTS)
    np.testing.assert_array_equal(model.predict_logits(TEXTS), wanted)
    code, _, err = run(
        "export", graph, "--out", tmp_path / "y", "--tokenizer", tiny_bert_onnx, "--labels", "a,b"
    )
    assert code == 1
    assert "logits has 3 values and there are 2 labels" in err.splitlines()[-1]


def save_graph(file: Path, inputs: list[Any], outputs: list[Any], nodes: list[Any]) -> Path:
    made = onnx.helper.make_graph(nodes, "g", inputs, outputs)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(made, opset_imports=opset, ir_version=9), file)
    return file


def tensor(name: str, kind: int, *shape: Any) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, list(shape))


IDS = [
    tensor(n, onnx.TensorProto.INT64, "batch", "tokens") for n in ("input_ids", "attention_mask")
]


def test_probes_on_encoders_of_others(tiny_bert_onnx: Path, tmp_path: Path) -> None:
    """A table, and nothing else: its mean is the sentence's vector."""
    table = np.random.default_rng(2).normal(size=(2000, 16)).astype(np.float32)
    node = onnx.helper.make_node
    file = save_graph(
        tmp_path / "encoder.onnx", IDS,
        [tensor("last_hidden_state", onnx.TensorProto.FLOAT, "batch", "tokens", 16)],
        [node("Constant", [], ["table"], value=onnx.numpy_helper.from_array(table)),
         node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
    )  # fmt: skip
    tokenizer = tiny_bert_onnx / "tokenizer.json"
    refused(Source(file, tokenizer=tokenizer), ExportError, "it is an encoder. Put a linear probe")
    probe = write_probe(tmp_path / "probe.npz", 16)
    out = tmp_path / "x.affect"
    report = export_checkpoint(Source(file, probe=probe, tokenizer=tokenizer), out)
    assert report.passed
    model = affectrt.load(out)
    arrays = np.load(probe)
    for text in TEXTS:
        vector = table[model.tokenizer.encode(text).ids].mean(axis=0)
        np.testing.assert_allclose(model.embed(text)[0], vector, atol=1e-5)
        wanted = vector @ arrays["coef"].T + arrays["intercept"]
        np.testing.assert_allclose(model.predict_logits(text)[0], wanted, atol=1e-4)
    layered = Source(file, probe=probe, tokenizer=tokenizer, layer=1)
    refused(layered, ExportError, "leave --layer out")
    narrow = Source(file, probe=write_probe(tmp_path / "narrow.npz", 8), tokenizer=tokenizer)
    refused(narrow, ExportError, "16 values, the probe reads 8")


def test_graphs_that_give_scores_are_packed_with_logits(
    tiny_bert_onnx: Path, tmp_path: Path
) -> None:
    """Where a graph ends in its activation, affectrt's would be a second one."""
    graph = onnx.load(tiny_bert_onnx / "model.onnx")
    graph.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["scores"]))
    del graph.graph.output[:]
    graph.graph.output.append(tensor("scores", onnx.TensorProto.FLOAT, "batch", 3))
    onnx.save(graph, tmp_path / "model.onnx")
    tokenizer, out = tiny_bert_onnx / "tokenizer.json", tmp_path / "x.affect"
    report = export_checkpoint(Source(tmp_path / "model.onnx", tokenizer=tokenizer), out)
    assert report.passed
    assert "the graph ends in a Softmax" in report.notes[0]
    wanted = affectrt.load(tiny_bert_onnx).predict_proba(TEXTS)
    np.testing.assert_allclose(affectrt.load(out).predict_proba(TEXTS), wanted, atol=1e-6)


def test_graphs_that_are_no_classifiers_of_text(tiny_bert_onnx: Path, tmp_path: Path) -> None:
    tokenizer = tiny_bert_onnx / "tokenizer.json"
    node = onnx.helper.make_node
    extra = tensor("position_ids", onnx.TensorProto.INT64, "batch", "tokens")
    logits = [tensor("logits", onnx.TensorProto.FLOAT, "batch", "tokens")]
    cast = node("Cast", ["position_ids"], ["logits"], to=onnx.TensorProto.FLOAT)
    file = save_graph(tmp_path / "extra.onnx", [*IDS, extra], logits, [cast])
    refused(Source(file, tokenizer=tokenizer), ExportError, "inputs input_ids, .* position_ids")
    (tmp_path / "broken.onnx").write_bytes(b"\xff\xff\xff")
    refused(Source(tmp_path / "broken.onnx", tokenizer=tokenizer), ExportError, "no ONNX model")
    refused(Source(tmp_path / "none.onnx", tokenizer=tokenizer), NotFoundError, "none.onnx")


# Without doing it


def test_a_dry_run_says_what_and_why(run: Any, bert: Path, made: Made, tmp_path: Path) -> None:
    described = describe_checkpoint(bert)
    assert (described.family, described.engines, described.max_tokens) == ("bert", ("native",), 64)
    out = tmp_path / "x.affect"
    export_checkpoint(bert, out)
    entry = read_manifest(out)["files"]["weights.safetensors"]["bytes"]
    assert abs(described.bytes["native"] - entry) < 0.05 * entry
    code, text, err = run("export", bert, "--dry-run", "--precision", "int8")
    assert code == 0, err
    assert "head default: single_label, 4 labels (joy, anger, fear, calm)" in text
    assert "there is no problem_type and there are 4 labels" in text
    assert "native: int8, about 0.1 MB" in text or "native: int8, about 0.0 MB" in text
    deberta = made("export_deberta", lambda folder: em.write_random_checkpoint(folder, "deberta"))
    code, text, err = run("export", deberta, "--dry-run", "--json")
    assert code == 0, err
    assert json.loads(text)["engines"] == ["onnxruntime"]
    code, _, err = run("export", bert)
    assert code == 2
    assert_one_error(err, "--out (or --dry-run)")

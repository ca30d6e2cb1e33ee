"""Export: families x heads x precisions against torch, reports, and checkpoints that must fail."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
import torch
from conftest import Made

import affectrt
from affectrt.errors import Error, ExportError, NotFoundError
from affectrt.export import ParityReport, export_checkpoint, verify
from affectrt.export import parity as parity_module
from affectrt.export.bundle import read_manifest
from affectrt.export.checkpoint import load_checkpoint
from affectrt.export.data import builtin_data
from affectrt.export.native_weights import native_engine_runs
from affectrt.export.onnx_export import input_names

pytestmark = pytest.mark.usefixtures("one_thread", "traced_once")


Random = Callable[[str], Path]


@pytest.fixture(scope="module")
def random_checkpoint(made: Made) -> Random:
    return lambda family: made(
        f"export_{family}", lambda folder: em.write_random_checkpoint(folder, family)
    )


@pytest.fixture(scope="module")
def tuned(made: Made) -> Callable[[str, str], Path]:
    return lambda family, task: made(
        f"tuned_{family}_{task}", lambda folder: em.write_tuned_checkpoint(folder, family, task)
    )


@pytest.fixture(scope="module")
def pooled(made: Made) -> Path:
    return made("export_pooled", em.write_pooled_checkpoint)


def torch_answers(checkpoint: Path, texts: list[str | tuple[str, str]]) -> np.ndarray:
    """transformers' own classes, one text at a time: no code of ours, no padding."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_truncation(em.MAX_TOKENS)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    typed = model.config.model_type in ("bert", "electra")
    rows = []
    for text in texts:
        encoded = tokenizer.encode(*([text] if isinstance(text, str) else text))
        extra = {"token_type_ids": torch.tensor([encoded.type_ids])} if typed else {}
        ids = torch.tensor([encoded.ids])
        with torch.inference_mode():
            rows.append(model(ids, attention_mask=torch.ones_like(ids), **extra).logits[0].numpy())
    return np.stack(rows)


BOTH = ["onnxruntime", "native"]
TEXTS: list[str | tuple[str, str]] = [
    "I was so happy, furious and afraid today.",
    "no",
    ("She was quiet", "and the train was wonderful, wonderful!"),
    "naïve café 東京 😀 Я так боялась",
    " ".join(["the long story about my peaceful house"] * 30),
]


@pytest.mark.parametrize("family", em.FAMILIES)
def test_every_family_gives_its_checkpoints_answers(
    family: str, random_checkpoint: Random, tmp_path: Path
) -> None:
    checkpoint = random_checkpoint(family)
    wanted = torch_answers(checkpoint, TEXTS)
    scale = np.abs(wanted).max()
    assert np.ptp(wanted, axis=0).min() > 0.01 * scale  # answers that differ from text to text

    engines = ["onnxruntime"]
    if native_engine_runs(load_checkpoint(checkpoint)):
        engines.append("native")
    for precision in ("fp32", "int8", "int8-accurate"):
        on = [e for e in engines if precision != "int8-accurate" or e == "native"]
        if not on:
            with pytest.raises(ExportError, match="native engine does not compute"):
                export_checkpoint(checkpoint, tmp_path / "x.affect", precision=precision)
            continue
        out = tmp_path / f"{precision}.affect"
        report = export_checkpoint(
            checkpoint, out, precision=precision, engines=on, enforce_bars=precision == "fp32"
        )
        assert report.tokens.equal == report.tokens.rows > 100
        assert {head.backend for head in report.heads} == set(on)
        for engine in on:
            model = affectrt.load(out, backend=engine)
            assert model.info.precision == precision
            assert model.info.family == load_checkpoint(checkpoint).family
            together = model.predict_logits(TEXTS)
            if precision == "fp32":
                np.testing.assert_allclose(together, wanted, atol=2e-5 * max(1.0, scale))
                continue
            most = 0.15 if precision == "int8" else 0.03
            assert np.abs(together - wanted).max() < most * scale
            assert np.corrcoef(together.ravel(), wanted.ravel())[0, 1] > 0.99
            alone = np.concatenate([model.predict_logits(text) for text in TEXTS])
            if engine == "native":
                np.testing.assert_array_equal(alone, together)
            else:
                np.testing.assert_allclose(alone, together, atol=1e-4 * max(1.0, scale))


@pytest.mark.parametrize(
    ("family", "task"),
    [("bert", "single_label"), ("roberta", "multi_label"), ("bert", "regression")],
)
def test_fine_tuned_checkpoint_through_export_and_verify(
    family: str, task: str, tuned: Callable[[str, str], Path], tmp_path: Path
) -> None:
    checkpoint = tuned(family, task)
    data = em.write_jsonl(tmp_path / "test.jsonl", em.toy_rows(300, 2, task))
    best = "pearson" if task == "regression" else "macro_f1"
    sizes: dict[str, int] = {}
    for precision in ("fp32", "int8", "int8-accurate"):
        engines = ["native"] if precision == "int8-accurate" else BOTH
        out = tmp_path / f"{precision}.affect"
        steps: list[str] = []
        report = export_checkpoint(
            checkpoint,
            out,
            precision=precision,
            data=data,
            name="toy",
            progress=steps.append,
            engines=engines,
        )
        assert report.passed
        assert [head.backend for head in report.heads] == engines
        for head in report.heads:
            assert (report.rows, report.pairs, head.rows_with_target) == (300, 75, 300)
            assert head.metrics[best]["source"] > 0.9
            assert abs(head.metrics[best]["product"] - head.metrics[best]["source"]) <= 0.003
        assert (
            len(steps) == len(set(steps)) == {"fp32": 6, "int8": 7, "int8-accurate": 4}[precision]
        )

        again = verify(out, checkpoint, data=data)
        assert again.heads == report.heads
        assert again.data_sha256 == report.data_sha256
        manifest = read_manifest(out)
        assert manifest["name"] == "toy"
        assert manifest["parity"] == json.loads(json.dumps(report.to_dict()))
        metrics = manifest["heads"][0]["metrics"]
        assert [(m["backend"], m["rows"]) for m in metrics] == [(name, 300) for name in engines]
        assert "/" not in manifest["recipe"]
        sizes[precision] = out.stat().st_size
        text = report.to_text()
        assert "passed" in text
        assert f"affectrt verify {precision}.affect" in text
    assert sizes["int8"] < sizes["fp32"]


def test_pooled_checkpoint_with_two_heads(pooled: Path, tmp_path: Path) -> None:
    out = tmp_path / "pooled.affect"
    report = export_checkpoint(pooled, out, engines=BOTH)
    assert [(h.backend, h.head, h.task, h.labels) for h in report.heads] == [
        (engine, head, task, labels)
        for engine in BOTH
        for head, task, labels in (("emotion", "multi_label", 4), ("vad", "regression", 2))
    ]
    assert report.heads[1].correlation == pytest.approx(1.0, abs=1e-6)
    manifest = read_manifest(out)
    assert manifest["description"] == "Made for tests."
    assert manifest["heads"][0]["metrics"] == [{"macro_f1": 0.5, "data": "toy", "split": "test"}]
    assert manifest["licence"]["weights"] == "CC0-1.0"
    assert manifest["recipe"].startswith("python -m tests.export_models && affectrt export ")
    info = affectrt.load(out).info.heads[0]
    assert info.thresholds == pytest.approx((0.4, 0.5, 0.6, 0.5))
    assert (info.temperature, info.unsure_below) == (pytest.approx(1.25), pytest.approx(0.3))

    loaded = load_checkpoint(pooled)
    source = parity_module.source_answers(loaded, builtin_data())
    texts = [r.text if r.pair is None else (r.text, r.pair) for r in builtin_data().rows]
    for engine in BOTH:
        model = affectrt.load(out, backend=engine)
        for head in ("emotion", "vad"):
            logits = model.predict_logits(texts, head)
            np.testing.assert_allclose(logits, source.logits[head], atol=2e-5)


def test_the_checkpoints_own_files_travel_unchanged(
    random_checkpoint: Random, tmp_path: Path
) -> None:
    import zipfile

    checkpoint = random_checkpoint("bert")
    for name in ("a.affect", "b.affect"):
        export_checkpoint(checkpoint, tmp_path / name, engines=["native", "onnxruntime"])
    with zipfile.ZipFile(tmp_path / "a.affect") as archive:
        for name in ("config.json", "tokenizer.json"):
            assert archive.read(name) == (checkpoint / name).read_bytes()
        image = archive.read("model.onnx")
    for word in (b"site-packages", str(checkpoint.parent).encode(), str(Path.home()).encode()):
        assert word not in image
    assert (tmp_path / "a.affect").read_bytes() != b""
    first, second = (read_manifest(tmp_path / n) for n in ("a.affect", "b.affect"))
    assert first["files"] == second["files"]  # the same checkpoint gives the same bytes


def test_existing_targets_are_kept(random_checkpoint: Random, tmp_path: Path) -> None:
    checkpoint = random_checkpoint("bert")
    out = tmp_path / "x.affect"
    out.write_bytes(b"mine")
    with pytest.raises(ExportError, match="exists already"):
        export_checkpoint(checkpoint, out)
    assert out.read_bytes() == b"mine"
    with pytest.raises(ExportError, match="no such directory"):
        export_checkpoint(checkpoint, tmp_path / "nowhere" / "x.affect")
    with pytest.raises(ExportError, match=r"'fp8' is not one of fp32, "):
        export_checkpoint(checkpoint, tmp_path / "y.affect", precision="fp8")
    with pytest.raises(ExportError, match="native engine's alone"):
        export_checkpoint(
            checkpoint, tmp_path / "y.affect", precision="int8-accurate", engines=BOTH
        )
    export_checkpoint(checkpoint, out, overwrite=True)
    assert read_manifest(out)["parity"]["passed"] is True


# Bars


def test_a_product_beyond_the_bars_is_not_written(
    random_checkpoint: Random, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = parity_module.Bars(1e-12, 1e-12, 0.0, 0.0)
    monkeypatch.setitem(parity_module.BARS, "fp32", strict)
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match=r"not written.*max \|logit difference\| .*bar .*e-12"):
        export_checkpoint(random_checkpoint("bert"), out)
    assert list(tmp_path.iterdir()) == []
    report = export_checkpoint(random_checkpoint("bert"), out, enforce_bars=False)
    assert not report.passed
    assert read_manifest(out)["parity"]["failures"] == list(report.failures)
    assert "FAILED" in report.to_text()


def test_verify_refuses_another_checkpoint(
    random_checkpoint: Random, tuned: Callable[[str, str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "x.affect"
    checkpoint = random_checkpoint("bert")
    export_checkpoint(checkpoint, out)
    assert verify(out, checkpoint).notes == ()
    with pytest.raises(ExportError, match=r"does not give .*answers.*logit difference"):
        verify(out, tuned("bert", "single_label"))
    with pytest.raises(ExportError, match=r"'default': task is 'single_label'.*'multi_label'"):
        verify(out, tuned("roberta", "multi_label"))
    with pytest.raises(NotFoundError, match="nowhere"):
        verify(tmp_path / "nowhere.affect", checkpoint)


def test_decisions_are_those_of_the_runtime(pooled: Path, tmp_path: Path) -> None:
    export_checkpoint(pooled, tmp_path / "x.affect")
    model = affectrt.load(tmp_path / "x.affect")
    head = load_checkpoint(pooled).heads[0]
    texts = [r.text for r in builtin_data().rows if r.pair is None]
    decided = parity_module.decide(head, model.predict_logits(texts, "emotion"))
    assert 0 < decided.mean() < 1  # both answers occur
    for row, result in zip(decided, model(texts), strict=True):
        names = {label for label, is_in in zip(head.labels, row, strict=True) if is_in}
        assert set(result.heads["emotion"].decided) == names


# Checkpoints that must not get through


@pytest.fixture
def broken(random_checkpoint: Random, tmp_path: Path) -> Path:
    """A copy of a good checkpoint, to be damaged."""
    import shutil

    return Path(shutil.copytree(random_checkpoint("bert"), tmp_path / "broken"))


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


def refused(folder: Path, kind: type[Error], message: str) -> None:
    out = folder.parent / "x.affect"
    with pytest.raises(kind, match=message):
        export_checkpoint(folder, out)
    assert not out.exists()


def test_unknown_family(broken: Path) -> None:
    change_config(broken, model_type="xlnet")
    refused(broken, ExportError, "'xlnet' is not one that affectrt exports .*bert.*roberta")


def test_code_of_a_checkpoint_is_never_run(broken: Path, tmp_path: Path) -> None:
    code = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    (broken / "modeling_evil.py").write_text(code, "utf-8")
    auto = {
        "AutoModelForSequenceClassification": "modeling_evil.Evil",
        "AutoConfig": "modeling_evil.C",
    }
    change_config(broken, auto_map=auto)
    export_checkpoint(broken, tmp_path / "x.affect")  # its weights are a plain BERT's
    assert not (broken / "ran").exists()
    change_config(broken, model_type="evil")
    (tmp_path / "x.affect").unlink()
    refused(broken, ExportError, "'evil' is not one")
    assert not (broken / "ran").exists()


def test_missing_files(broken: Path) -> None:
    (broken / "tokenizer.json").rename(broken / "kept")
    refused(broken, NotFoundError, "tokenizer.json is missing.*save_pretrained")
    (broken / "kept").rename(broken / "tokenizer.json")
    (broken / "model.safetensors").unlink()
    refused(broken, NotFoundError, "no weights")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    refused(broken, NotFoundError, "model-00001-of-00002.safetensors is missing")
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    refused(broken, ExportError, "names a shard outside the checkpoint: '../elsewhere.safetensors'")
    (broken / "config.json").write_text("{", "utf-8")
    refused(broken, ExportError, "config.json is not valid JSON")
    (broken / "config.json").unlink()
    refused(broken, NotFoundError, "config.json is missing")


def rewrite_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_damaged_weights(broken: Path) -> None:
    def poison(tensors: dict[str, Any]) -> None:
        tensors["bert.encoder.layer.1.output.dense.weight"][3, 4] = float("nan")

    whole = (broken / "model.safetensors").read_bytes()
    rewrite_weights(broken, poison)
    refused(broken, ExportError, "'bert.encoder.layer.1.output.dense.weight' has NaN")
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(broken, ExportError, "model.safetensors cannot be read")
    (broken / "model.safetensors").write_bytes(whole)
    rewrite_weights(broken, lambda tensors: tensors.pop("bert.pooler.dense.bias"))
    refused(broken, ExportError, "'bert.pooler.dense.bias' is missing")


def test_labels_that_contradict_the_weights(broken: Path) -> None:
    change_config(broken, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})
    refused(broken, ExportError, r"'classifier.weight' has shape \[4, 32\].*\[2, 32\]")
    names = {str(i): "same" for i in range(4)}
    change_config(broken, id2label=names, label2id={"same": 0})
    refused(broken, ExportError, "label 'same' stands twice")
    change_config(broken, id2label={"0": "a", "2": "b", "3": "c", "7": "d"}, label2id={})
    refused(broken, ExportError, "0 to 3 without a gap, not 0, 2, 3, 7")
    change_config(broken, problem_type="ranking", id2label={str(i): str(i) for i in range(4)})
    refused(broken, ExportError, "ranking")


def test_networks_that_cannot_be(broken: Path) -> None:
    change_config(broken, max_position_embeddings=10**13)
    refused(
        broken, ExportError, r"position_embeddings.weight' has shape \[64, 32\].*10000000000000"
    )
    change_config(broken, max_position_embeddings=64, num_attention_heads=5)
    refused(broken, ExportError, "transformers cannot build this network.*multiple")
    change_config(broken, num_attention_heads=4, hidden_size="wide")
    refused(broken, ExportError, "config.json is refused by transformers: .*hidden_size")
    change_config(broken, hidden_size=32, hidden_act="no such function")
    refused(broken, ExportError, "config.json: transformers cannot build")
    change_config(broken, hidden_act="gelu", affectrt={"heads": [{"name": "x"}]})
    refused(broken, ExportError, '"affectrt" must have "heads"')


def test_tokenizers_that_do_not_fit(broken: Path) -> None:
    content = json.loads((broken / "tokenizer.json").read_text("utf-8"))
    rows = json.loads((broken / "config.json").read_text("utf-8"))["vocab_size"]
    content["model"]["vocab"] |= {"extra": rows, "more": rows + 1}
    (broken / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    refused(broken, ExportError, f"2 tokens beyond the embedding table of {rows} rows.*'extra'")
    (broken / "tokenizer.json").write_text("{}", "utf-8")
    refused(broken, ExportError, r"tokenizer.json cannot be read")


def test_another_opinion_on_tokens_is_noted(broken: Path, tmp_path: Path) -> None:
    def lowercase(on: bool) -> None:
        content = json.loads((broken / "tokenizer.json").read_text("utf-8"))
        content["normalizer"]["lowercase"] = on
        (broken / "tokenizer.json").write_text(json.dumps(content), "utf-8")

    (broken / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}), "utf-8"
    )
    lowercase(True)
    assert export_checkpoint(broken, tmp_path / "x.affect").notes == ()
    lowercase(False)
    report = export_checkpoint(broken, tmp_path / "y.affect")
    assert report.passed
    (note,) = report.notes
    assert "BertTokenizer" in note
    assert "follows tokenizer.json" in note


def test_pickled_code_is_refused(broken: Path, tmp_path: Path) -> None:
    import pickle

    target = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (target,))

    (broken / "model.safetensors").unlink()
    (broken / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Payload()}))
    refused(broken, ExportError, "pytorch_model.bin is refused")
    torch.save({"weight": Payload()}, broken / "pytorch_model.bin")
    refused(broken, ExportError, "pytorch_model.bin is refused")
    assert not target.exists()


def test_plain_pickled_weights_are_read(broken: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(broken / "model.safetensors"), broken / "pytorch_model.bin")
    (broken / "model.safetensors").unlink()
    assert export_checkpoint(broken, tmp_path / "x.affect").passed


def test_slow_tokenizers_are_converted(broken: Path, tmp_path: Path) -> None:
    vocabulary = json.loads((broken / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (broken / "tokenizer.json").unlink()
    (broken / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    report = export_checkpoint(broken, tmp_path / "x.affect")
    assert report.tokens.equal == report.tokens.rows
    ids = affectrt.load(tmp_path / "x.affect").tokenizer.encode("Happy, gLad!").ids
    assert [words[i] for i in ids] == ["[CLS]", "happy", ",", "glad", "!", "[SEP]"]
    assert not (broken / "tokenizer.json").exists()


# The package


def test_importing_export_imports_nothing_heavy() -> None:
    code = (
        "import sys, affectrt.export as e; "
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime', 'onnxscript', 'safetensors'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "assert 'export_checkpoint' in dir(e); e.write_bundle; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = affectrt.export.nothing


def test_reports_are_plain_values(random_checkpoint: Random, tmp_path: Path) -> None:
    checkpoint = random_checkpoint("bert")
    report = export_checkpoint(checkpoint, tmp_path / "x.affect")
    assert isinstance(report, ParityReport)
    assert json.loads(json.dumps(report.to_dict()))["data"] == "built-in"
    assert set(report.versions) >= {"torch", "transformers", "onnxruntime", "affectrt", "python"}
    with pytest.raises(AttributeError):
        report.failures = ()  # type: ignore[misc]


def test_inputs_follow_the_family(random_checkpoint: Random) -> None:
    names = {f: input_names(load_checkpoint(random_checkpoint(f))) for f in em.FAMILIES}
    assert names["bert"] == names["electra"] == ("input_ids", "attention_mask", "token_type_ids")
    for family in set(em.FAMILIES) - {"bert", "electra"}:
        assert names[family] == ("input_ids", "attention_mask")

"""Proof in model files: certificates, what `load` requires of them, signatures and tampering."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)
pytest.importorskip("cryptography")

import export_models as em
from command import assert_one_error
from conftest import Made
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

import affectrt
from affectrt.errors import ExportError, InputError, NotFoundError, ProofError, UnsupportedError
from affectrt.export import export_checkpoint, verify
from affectrt.export.bundle import read_manifest, write_bundle
from affectrt.export.certificate import differences, to_html
from affectrt.export.parity_figures import cosines
from affectrt.metrics import calibration_error

ROWS = em.toy_rows(80, 5, "multi_label")


def pem(key: Any) -> tuple[bytes, bytes]:
    """The private and the public half."""
    private = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    public = key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    return private, public


PRIVATE, PUBLIC = pem(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
_, OTHER_PUBLIC = pem(Ed25519PrivateKey.from_private_bytes(bytes(32)))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoint(made: Made) -> Path:
    return made("export_pooled", em.write_pooled_checkpoint)


@pytest.fixture(scope="module")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed file with its certificates, `x.affect`, and the rows it was proved on."""
    folder = tmp_path_factory.mktemp("proof")
    (folder / "key.pem").write_bytes(PRIVATE)
    (folder / "key.pub.pem").write_bytes(PUBLIC)
    data = em.write_jsonl(folder / "rows.jsonl", [{**row, "head": "emotion"} for row in ROWS])
    export_checkpoint(
        checkpoint,
        folder / "x.affect",
        precision="int8",
        data=data,
        engines=["native", "onnxruntime"],
        certificates=[folder / "x.html", folder / "x.json"],
        sign_key=folder / "key.pem",
        enforce_bars=False,
    )
    return folder


def rewritten(
    folder: Path, out: Path, change: Callable[[dict[str, Any]], object], **files: bytes
) -> Path:
    """The file of `folder` with another manifest or other entries: whole, with right hashes."""
    import zipfile

    manifest = read_manifest(folder / "x.affect")
    del manifest["files"]
    change(manifest)
    with zipfile.ZipFile(folder / "x.affect") as archive:
        entries = {n: archive.read(n) for n in archive.namelist() if n != "affectrt.json"}
    entries |= {name.replace("__", "."): content for name, content in files.items()}
    write_bundle(out, manifest, entries)
    return out


def passed(manifest: dict[str, Any]) -> None:
    """As if a random network had kept the bars of int8."""
    manifest["parity"] |= {"passed": True, "failures": []}


def passed_long_ago(manifest: dict[str, Any]) -> None:
    """As `passed`, in a report of the first version, which had fewer figures."""
    passed(manifest)
    for name in ("product", "higher_precision"):
        del manifest["parity"][name]
    for head in manifest["parity"]["heads"]:
        for name in ("min_cosine", "mean_cosine", "calibration_error"):
            del head[name]


# Figures


def test_calibration_error_by_hand() -> None:
    assert calibration_error([], []) == 0.0
    assert calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0)
    assert calibration_error([0.9] * 10, [True] * 4 + [False] * 6) == pytest.approx(0.5)
    assert calibration_error([1.0, 0.0], [True, False]) == 0.0
    # bins of their own do not cancel out, values in one bin do
    assert calibration_error([0.9, 0.1], [False, True]) == pytest.approx(0.9)
    assert calibration_error([0.51, 0.52], [True, False]) == pytest.approx(0.015, abs=1e-9)


def test_cosines_by_hand() -> None:
    source = np.asarray([[1, 0], [0, 2], [0, 0], [3, 4], [0, 0]], np.float32)
    product = np.asarray([[2, 0], [0, -1], [0, 0], [np.nan, 1], [1, 0]], np.float32)
    np.testing.assert_allclose(cosines(source, product), [1, -1, 1, 0, 0])


# The certificate


def test_the_report_has_every_figure(folder: Path) -> None:
    manifest = read_manifest(folder / "x.affect")
    report = manifest["parity"]
    assert report["product"] == {n: f["sha256"] for n, f in manifest["files"].items()}
    emotion = report["heads"][0]
    assert (emotion["head"], emotion["rows_with_target"]) == ("emotion", len(ROWS))
    assert 0.9 < emotion["min_cosine"] <= emotion["mean_cosine"] <= 1.0
    assert 0.0 < emotion["calibration_error"]["source"] < 1.0
    for values in emotion["metrics"].values():
        for side in ("source", "product"):
            assert values[f"{side}_low"] <= values[side] <= values[f"{side}_high"]
        assert values["change_low"] <= values["product"] - values["source"] <= values["change_high"]
    assert json.loads((folder / "x.json").read_text("utf-8")) == report


class Reader(HTMLParser):
    """Every tag is closed, and nothing outside of the page is named."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe")
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.split()


def test_the_page_stands_alone(folder: Path) -> None:
    page = (folder / "x.html").read_text("utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    manifest = read_manifest(folder / "x.affect")
    wanted = {"emotion", "vad", "native", "onnxruntime", "macro_f1", "Ed25519,"}
    wanted |= {manifest["parity"]["data_sha256"], manifest["files"]["model.onnx"]["sha256"]}
    assert wanted <= set(reader.words)
    hostile = json.loads(json.dumps(manifest["parity"]))
    hostile["name"] = hostile["notes"] = ["<script>alert(1)</script>"]
    hostile["heads"][0]["head"] = "<img src=x onerror=1>"
    hostile["heads"][0]["metrics"] = {"<b onclick=1>": hostile["heads"][0]["metrics"]["macro_f1"]}
    Reader().feed(to_html(hostile))


def test_reports_of_older_versions_are_pages_too(folder: Path, tmp_path: Path) -> None:
    old = affectrt.load(rewritten(folder, tmp_path / "x.affect", passed_long_ago)).info.parity
    assert old is not None
    assert "mean_cosine" not in old["heads"][0]
    Reader().feed(to_html(old))


def test_places_for_certificates_are_checked_first(checkpoint: Path, tmp_path: Path) -> None:
    for place, message in ((tmp_path / "x.pdf", r"\.json or \.html"), (tmp_path, r"\.json"),
                           (tmp_path / "no" / "x.html", "existing directory")):  # fmt: skip
        with pytest.raises(ExportError, match=message):
            export_checkpoint(checkpoint, tmp_path / "x.affect", certificates=[place])
    assert list(tmp_path.iterdir()) == []


def test_verify_reproduces_the_report_and_says_what_differs(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = rewritten(folder, tmp_path / "same.affect", passed)
    strict = dict(data=folder / "rows.jsonl", certificates=[tmp_path / "x.json"])
    try:
        report = verify(out, checkpoint, **strict)  # type: ignore[arg-type]
        text = report.to_text()
        found = list(report.differences or ())
    except ExportError:  # a random network may pass the bars or not
        text, found = "", json.loads((tmp_path / "x.json").read_text("utf-8"))["differences"]
    assert [line for line in found if not line.startswith("passed")] == []
    assert not text or "the same as the report in the file" in text

    stored = read_manifest(folder / "x.affect")["parity"]
    fresh = json.loads(json.dumps(stored))
    assert differences(stored, fresh) == ()
    fresh["heads"][0]["flipped_rows"] += 3
    fresh["heads"][1]["mean_logit_difference"] *= 1.5
    fresh["heads"][2]["metrics"]["macro_f1"]["product"] += 1e-7  # rounding
    fresh["versions"]["torch"] = "9.9"
    lines = differences(stored, fresh)
    assert len(lines) == 3
    assert lines[0].startswith("head emotion on onnxruntime: flipped_rows ")
    assert lines[1].startswith("head vad on onnxruntime: mean_logit_difference ")
    assert lines[2].startswith("torch is 9.9 now, and was ")
    del fresh["heads"][0]
    assert "head emotion on onnxruntime: only in the file's report" in differences(stored, fresh)
    other = {**fresh, "data_sha256": "0" * 64}
    assert "is of other rows (80 rows of rows.jsonl)" in differences(stored, other)[0]
    assert differences(None, fresh) == ("the file has no report to compare with",)


# What load requires


def test_load_refuses_what_has_no_proof(
    folder: Path, tmp_path: Path, tiny_bert_onnx: Path, default_model: Path
) -> None:
    affectrt.load(default_model, require_parity=True)
    with pytest.raises(ProofError, match=r"plain export without affectrt\.json"):
        affectrt.load(tiny_bert_onnx, require_parity=True)
    bare = rewritten(folder, tmp_path / "bare.affect", lambda m: m.update(parity=None))
    affectrt.load(bare)
    with pytest.raises(ProofError, match=r"bare.affect: has no parity report"):
        affectrt.load(bare, require_parity=True)
    odd = rewritten(folder, tmp_path / "odd.affect", lambda m: m.update(parity={"passed": True}))
    with pytest.raises(ProofError, match="cannot be read"):
        affectrt.load(odd, require_parity=True)
    failed = rewritten(
        folder,
        tmp_path / "failed.affect",
        lambda m: m["parity"].update(failures=["too many flips"]),
    )
    with pytest.raises(ProofError, match="not proof enough: too many flips"):
        affectrt.load(failed, require_parity={})

    def native_only(manifest: dict[str, Any]) -> None:
        passed(manifest)
        report = manifest["parity"]
        report["heads"] = [h for h in report["heads"] if h["backend"] == "native"]

    half = rewritten(folder, tmp_path / "half.affect", native_only)
    affectrt.load(half, backend="native", require_parity=True)
    with pytest.raises(ProofError, match="nothing of emotion, vad on onnxruntime"):
        affectrt.load(half, backend="onnxruntime", require_parity=True)


def test_a_report_of_other_bytes_is_no_proof(folder: Path, tmp_path: Path) -> None:
    config = (folder.parent / "config").with_suffix(".json")
    import zipfile

    with zipfile.ZipFile(folder / "x.affect") as archive:
        content = archive.read("config.json") + b"\n"
    config.write_bytes(content)
    out = rewritten(folder, tmp_path / "x.affect", passed, config__json=content)
    affectrt.load(out)
    with pytest.raises(ProofError, match=r"another config\.json than this file's"):
        affectrt.load(out, require_parity=True)


def test_bars_of_the_caller(folder: Path, tmp_path: Path) -> None:
    out = rewritten(folder, tmp_path / "x.affect", passed)
    report = read_manifest(out)["parity"]
    kept: list[dict[str, Any]] = [
        {},
        {"max_flips": 1.0, "max_flipped_rows": 1, "max_logit_difference": 1e9, "min_cosine": 0.5},
        {"min_rows": 80, "data_sha256": report["data_sha256"]},
    ]
    for bars in kept:
        affectrt.load(out, require_parity=bars)
    broken: list[tuple[dict[str, Any], str]] = [
        ({"max_logit_difference": 1e-9}, "head emotion on native: max_logit_difference is 1e-09"),
        ({"min_cosine": 1.1}, "min_cosine is 1.1"),
        ({"min_rows": 81}, "min_rows is 81, the report has 80"),
        ({"max_loss": -1.0}, "head vad on native: no row had a target"),
        ({"max_loss": -1.0}, "head emotion on native: max_loss is -1"),
        ({"max_calibration_loss": -1.0}, "max_calibration_loss is -1"),
        ({"min_rows_with_target": 1}, "head vad on native: min_rows_with_target"),
        ({"data_sha256": "0" * 64}, "its rows are rows.jsonl"),
    ]
    for bars, message in broken:
        with pytest.raises(ProofError, match=message):
            affectrt.load(out, require_parity=bars)
    wrong: list[tuple[Any, str]] = [
        ("yes", "require_parity is str; give True, False or a dict"),
        ({"flips": 1}, "'flips' is not one of max_flips"),
        ({"max_flips": "few"}, "max_flips is 'few'; give a number"),
        ({"max_flips": True}, "max_flips is True"),
    ]
    for given, message in wrong:
        with pytest.raises(InputError, match=message):
            affectrt.load(out, require_parity=given)


def test_bars_that_an_old_report_cannot_answer(
    folder: Path, tmp_path: Path, default_model: Path
) -> None:
    affectrt.load(default_model, require_parity={"max_flips": 0.03, "min_rows": 1000})
    old = rewritten(folder, tmp_path / "x.affect", passed_long_ago)
    affectrt.load(old, require_parity={"max_flips": 1.0, "min_rows": 80})
    with pytest.raises(ProofError, match="it has no mean_cosine, which min_cosine needs"):
        affectrt.load(old, require_parity={"min_cosine": 0.9})


def test_pickled_models_are_checked_again(folder: Path, tmp_path: Path) -> None:
    import pickle

    out = rewritten(folder, tmp_path / "x.affect", passed)
    packed = pickle.dumps(affectrt.load(out, require_parity=True))
    pickle.loads(packed)
    out.unlink()
    rewritten(folder, out, lambda m: m.update(parity=None))
    with pytest.raises(ProofError):
        pickle.loads(packed)


# Signatures


def test_a_signature_holds_until_anything_changes(folder: Path, tmp_path: Path) -> None:
    signed = folder / "x.affect"
    affectrt.load(signed, public_key=PUBLIC)
    affectrt.load(signed, public_key=folder / "key.pub.pem")
    with pytest.raises(ProofError, match="signature does not fit"):
        affectrt.load(signed, public_key=OTHER_PUBLIC)
    changes: list[Callable[[dict[str, Any]], object]] = [
        lambda m: m["heads"][0].update(thresholds=[0.1] * 4),
        lambda m: m["parity"]["heads"][0].update(flipped_rows=1000),
        lambda m: m["parity"].update(failures=["none"]),
        lambda m: m.update(name="other"),
    ]
    for number, change in enumerate(changes):
        out = rewritten(folder, tmp_path / f"{number}.affect", change)
        affectrt.load(out)
        with pytest.raises(ProofError, match="changed after it was signed"):
            affectrt.load(out, public_key=PUBLIC)
    image = bytearray(signed.read_bytes())
    image[image.index(b"weights.safetensors", len(image) // 2) // 2] ^= 1
    damaged = tmp_path / "damaged.affect"
    damaged.write_bytes(image)
    with pytest.raises(affectrt.Error):
        affectrt.load(damaged, public_key=PUBLIC)
    unsigned = rewritten(folder, tmp_path / "u.affect", lambda m: m["parity"].pop("signature"))
    with pytest.raises(ProofError, match="is not signed"):
        affectrt.load(unsigned, public_key=PUBLIC)
    garbled = rewritten(
        folder, tmp_path / "g.affect", lambda m: m["parity"]["signature"].update(value="?")
    )
    with pytest.raises(ProofError, match="signature cannot be read"):
        affectrt.load(garbled, public_key=PUBLIC)


def test_unpacked_files_keep_their_signature(folder: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(folder / "x.affect", tmp_path / "unpacked", "zip")
    affectrt.load(tmp_path / "unpacked", public_key=PUBLIC)


def test_keys_that_are_none(
    folder: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed, out = folder / "x.affect", tmp_path / "y.affect"
    rsa_private, rsa_public = pem(generate_private_key(65537, 2048))
    for key in (b"no key", PRIVATE, rsa_public):
        with pytest.raises(InputError, match="no Ed25519 public key"):
            affectrt.load(signed, public_key=key)
    for key in (b"no key", PUBLIC, rsa_private):
        with pytest.raises(InputError, match="no unencrypted Ed25519 private key"):
            export_checkpoint(checkpoint, out, sign_key=key)
    with pytest.raises(NotFoundError, match="public_key: no such file"):
        affectrt.load(signed, public_key=tmp_path / "missing.pem")
    with pytest.raises(InputError, match="public_key is int"):
        affectrt.load(signed, public_key=3)  # type: ignore[arg-type]
    assert not out.exists()
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(UnsupportedError, match=r"affectrt\[signing\]"):
        affectrt.load(signed, public_key=PUBLIC)
    with pytest.raises(UnsupportedError, match=r"affectrt\[signing\]"):
        export_checkpoint(checkpoint, out, sign_key=PRIVATE)


# The command line


def test_verify_without_a_checkpoint(run: Any, folder: Path, tmp_path: Path) -> None:
    out = rewritten(folder, tmp_path / "x.affect", passed)
    code, text, err = run("verify", out)
    assert code == 0, err
    assert "hashes right; its report passed on 80 rows of rows.jsonl" in text
    code, text, err = run("verify", out, "--json")
    assert code == 0, err
    assert json.loads(text)["data"] == "rows.jsonl"
    other = rewritten(folder, tmp_path / "y.affect", lambda m: m.update(name="other"))
    code, _, err = run("verify", other, "--public-key", folder / "key.pub.pem")
    assert code == 1
    assert_one_error(err, "the signature does not fit")
    code, _, err = run("verify", out, "--data", folder / "rows.jsonl")
    assert code == 2
    assert_one_error(err, "need --against CHECKPOINT")
    code, _, err = run("verify", out, "--public-key", tmp_path / "missing.pem")
    assert code == 1
    assert_one_error(err, "no public key")


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves
def test_certificates_and_signatures_by_command(
    run: Any, checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    out, page = tmp_path / "x.affect", tmp_path / "x.html"
    code, _, err = run(
        *("export", checkpoint, "--out", out, "--sign-key", folder / "key.pem"),
        *("--certificate", page, "--certificate", tmp_path / "x.json"),
    )
    assert code == 0, err
    assert "passed" in page.read_text("utf-8")
    page.unlink()
    key = folder / "key.pub.pem"
    code, text, err = run("verify", out, "--public-key", key)
    assert code == 0, err
    assert "signature right" in text
    code, text, err = run(
        *("verify", out, "--against", checkpoint, "--public-key", key, "--certificate", page)
    )
    assert code == 0, err
    assert "the same as the report in the file" in text
    assert page.exists()

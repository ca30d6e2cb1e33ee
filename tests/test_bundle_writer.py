"""The writer of `.affect` files, and the Python reader of their manifests."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from attacks import model_files
from attacks.reading import refusal
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from affectrt.errors import ExportError, ModelFileError, NotFoundError
from affectrt.export.bundle import read_manifest, write_bundle

ROOT = Path(__file__).resolve().parent.parent
SCHEMA_FILE = ROOT / "python/affectrt/schema/affectrt.schema.json"
FILES = dict(model_files.FILES)


def content() -> dict[str, Any]:
    """The manifest as a caller gives it."""
    given = model_files.manifest()
    for key in ("format", "format_version", "files"):
        del given[key]
    return given


def test_written_files_are_read_by_everybody(tmp_path: Path) -> None:
    out = tmp_path / "model.affect"
    large = os.urandom(3_000_000)
    (tmp_path / "weights").write_bytes(large)
    given = content()
    given["model"]["weights"] = "weights.safetensors"
    files: dict[str, bytes | Path] = {**FILES, "weights.safetensors": tmp_path / "weights"}
    write_bundle(out, given, files)
    assert refusal(out) == ""
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["affectrt.json", *sorted(files)]
        assert archive.read("weights.safetensors") == large
        image = out.read_bytes()
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            name_bytes, extra_bytes = struct.unpack_from("<HH", image, info.header_offset + 26)
            begin = info.header_offset + 30 + name_bytes + extra_bytes
            assert begin % 64 == 0
            assert zlib.crc32(image[begin : begin + info.file_size]) == info.CRC
        archive.extractall(tmp_path / "unpacked")
    assert refusal(tmp_path / "unpacked") == ""
    done = subprocess.run(
        [sys.executable, "-m", "zipfile", "-t", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Done testing\n")
    if unzip := shutil.which("unzip"):
        done = subprocess.run([unzip, "-tq", str(out)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    written = read_manifest(out)
    assert written["files"]["weights.safetensors"] == {
        "bytes": len(large),
        "sha256": hashlib.sha256(large).hexdigest(),
    }
    assert written == read_manifest(tmp_path / "unpacked")
    jsonschema.validate(written, json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert {key: written[key] for key in given} == given


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_bundle(one, content(), FILES)
    shuffled = list(FILES.items())
    random.Random(3).shuffle(shuffled)
    (tmp_path / "config").write_bytes(FILES["config.json"])
    files: dict[str, bytes | Path] = {**dict(shuffled), "config.json": tmp_path / "config"}
    write_bundle(two, dict(reversed(content().items())), files)
    assert one.read_bytes() == two.read_bytes()
    # A manifest that was read can be written again.
    write_bundle(two, read_manifest(one), FILES, overwrite=True)
    assert one.read_bytes() == two.read_bytes()


def test_the_writer_packs_as_the_attack_corpus_does(tmp_path: Path) -> None:
    out = tmp_path / "model.affect"
    write_bundle(out, content(), FILES)
    with zipfile.ZipFile(out) as archive:
        text = archive.read("affectrt.json")
    assert out.read_bytes() == model_files.pack(model_files.records(text))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    extra=st.dictionaries(
        st.from_regex(r"\A[A-Za-z0-9_]{1,20}(/[A-Za-z0-9_]{1,20}){0,2}\.bin\Z"),
        st.binary(max_size=300),
        max_size=5,
    )
)
@example(extra={"n" * 251 + ".bin": b""})
def test_whatever_is_written_can_be_read(extra: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "model.affect"
    folded = {name.lower() for name in extra}
    folders = {name[:at].lower() for name in extra for at in range(len(name)) if name[at] == "/"}
    if len(folded) < len(extra) or folded & folders:
        with pytest.raises(ExportError, match=r"stands twice|is also"):
            write_bundle(out, content(), {**FILES, **extra}, overwrite=True)
        return
    write_bundle(out, content(), {**FILES, **extra}, overwrite=True)
    assert refusal(out) == ""
    with zipfile.ZipFile(out) as archive:
        assert {name: archive.read(name) for name in extra} == extra


def test_numpy_values_in_the_manifest(tmp_path: Path) -> None:
    given = content()
    given["heads"][0]["thresholds"] = np.array([0.25, 0.5], dtype=np.float32)
    given["input"]["max_tokens"] = np.int64(128)
    write_bundle(tmp_path / "m", given, FILES)
    written = read_manifest(tmp_path / "m")
    assert written["heads"][0]["thresholds"] == [0.25, 0.5]
    assert written["input"]["max_tokens"] == 128


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a\\b",
        "a b",
        "é",
        ".a",
        "-a",
        "a.",
        "a//b",
        "a/",
        "x" * 256,
        "a\n",
    ],
)
def test_names_that_are_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not allowed"):
        write_bundle(tmp_path / "m", content(), {**FILES, name: b""})
    assert list(tmp_path.iterdir()) == []


def edited(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    given = content()
    change(given)
    return given


@pytest.mark.parametrize(
    ("given_manifest", "files", "expected"),
    [
        (edited(lambda m: m.update(extra=1)), FILES, "unknown key 'extra'"),
        (edited(lambda m: m["model"].update(path="x")), FILES, "model: unknown key 'path'"),
        (edited(lambda m: m["heads"][0].update(activation="x")), FILES, "unknown key 'activation'"),
        (edited(lambda m: m.update(name="")), FILES, "no reader would accept it: .*name: is"),
        (edited(lambda m: m.update(name="\ud800")), FILES, "cannot be written as JSON"),
        (
            edited(lambda m: m.update(parity={"x": float("nan")})),
            FILES,
            "cannot be written as JSON",
        ),
        (edited(lambda m: m.update(parity={"x": object()})), FILES, "object has no JSON form"),
        (edited(lambda m: m.update(format_version=2)), FILES, "newer affectrt"),
        (edited(lambda m: m["heads"][0].update(labels=["a"])), FILES, "2 thresholds for 1 labels"),
        (content(), {}, "not listed but needed"),
        (content(), {**FILES, "weights.safetensors": b""}, "'model' does not name it"),
        (content(), {**FILES, "affectrt.json": b"{}"}, "leave it out of files"),
        (content(), {**FILES, "CONFIG.json": b"{}"}, "stands twice"),
        (content(), {**FILES, "model.onnx": b"\x3a\x06\x2a\x04\x42\x00\x70\x01"}, "external data"),
        (content(), {**FILES, **{f"f{i}": b"" for i in range(1021)}}, "at most 1023"),
    ],
)
def test_what_the_writer_refuses(
    given_manifest: dict[str, Any], files: dict[str, bytes | Path], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=expected):
        write_bundle(tmp_path / "m", given_manifest, files)
    assert list(tmp_path.iterdir()) == []


def test_missing_and_existing_files(tmp_path: Path) -> None:
    out = tmp_path / "model.affect"
    with pytest.raises(NotFoundError, match=r"none\.onnx: no such file"):
        write_bundle(out, content(), {**FILES, "model.onnx": tmp_path / "none.onnx"})
    with pytest.raises(ExportError, match="not a regular file"):
        write_bundle(out, content(), {**FILES, "model.onnx": tmp_path})
    with pytest.raises(ExportError, match="no such directory"):
        write_bundle(tmp_path / "none" / "m", content(), FILES)
    with pytest.raises(ExportError, match="is a directory"):
        write_bundle(tmp_path, content(), FILES)
    out.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        write_bundle(out, content(), FILES)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]
    write_bundle(out, content(), FILES, overwrite=True)
    assert refusal(out) == ""


def test_a_source_that_changes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "tokenizer"
    source.write_bytes(b"{}")
    from affectrt.export import bundle

    write_image = bundle._write_image

    def changing(*arguments: Any) -> None:
        source.write_bytes(b"[]")
        write_image(*arguments)

    monkeypatch.setattr(bundle, "_write_image", changing)
    with pytest.raises(ExportError, match="changed while it was being written"):
        write_bundle(tmp_path / "m", content(), {**FILES, "tokenizer.json": source})
    assert list(tmp_path.iterdir()) == [source]


WRITE_LARGE = """
import resource, signal, sys
from pathlib import Path
from affectrt.export import bundle
sys.path.insert(0, {tests!r})
from attacks import model_files
out, mode = Path(sys.argv[1]), sys.argv[2]
files = {{**model_files.FILES, "tokenizer.json": b"x" * 3_000_000}}
given = {{k: v for k, v in model_files.manifest().items() if k != "files"}}
if mode == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
if mode == "killed":
    copy = bundle._copy
    def killed(entry, file):
        copy(entry, file)
        if entry.name == "model.onnx":
            file.flush()
            signal.raise_signal(signal.SIGKILL)
    bundle._copy = killed
try:
    bundle.write_bundle(out, given, files, overwrite=True)
except bundle.ExportError as error:
    sys.exit(f"ExportError: {{error}}")
"""


@pytest.mark.parametrize("mode", ["full", "killed", "fine"])
@pytest.mark.parametrize("before", [None, b"what was there"])
def test_the_target_is_whole_or_untouched(mode: str, before: bytes | None, tmp_path: Path) -> None:
    out = tmp_path / "model.affect"
    if before is not None:
        out.write_bytes(before)
    program = WRITE_LARGE.format(tests=str(ROOT / "tests"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(out), mode], capture_output=True, text=True, check=False
    )
    if mode == "fine":
        assert done.returncode == 0, done.stderr
        assert refusal(out) == ""
        assert list(tmp_path.iterdir()) == [out]
        return
    assert (out.read_bytes() if out.exists() else None) == before
    if mode == "full":
        assert done.stderr.startswith(f"ExportError: {out}: cannot be written: File too large")
        assert len(list(tmp_path.iterdir())) == (before is not None)
    else:
        assert done.returncode == -signal.SIGKILL


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bundle(tmp_path / "m", content(), FILES)
    finally:
        os.umask(before)
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o640


# --- reading manifests in Python --------------------------------------------------------------


def test_read_manifest_refuses_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "m"

    def error(data: bytes) -> str:
        path.write_bytes(data)
        with pytest.raises(ModelFileError) as caught:
            read_manifest(path)
        return str(caught.value)

    def archive(name: str, data: str, method: int = zipfile.ZIP_STORED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as out:
            out.writestr(name, data)
        return buffer.getvalue()

    assert "is not a .affect file" in error(b"hello")
    assert "has no entry" in error(archive("other.json", "{}"))
    assert "stored and plain" in error(archive("affectrt.json", "{}", zipfile.ZIP_DEFLATED))
    assert "broken JSON" in error(archive("affectrt.json", "{"))
    assert "broken JSON" in error(archive("affectrt.json", "[" * 200_000))
    assert "stands twice" in error(archive("affectrt.json", '{"a": 1, "a": 2}'))
    assert "must be an object" in error(archive("affectrt.json", "[]"))
    assert "must be an object" in error(archive("affectrt.json", "{}"))
    assert "4 MiB" in error(archive("affectrt.json", " " * (4 << 20) + "{}"))
    with pytest.raises(NotFoundError, match=r"has no affectrt\.json"):
        read_manifest(tmp_path)

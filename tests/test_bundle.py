"""The `.affect` format: hostile files against the reader, and its schema against it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attacks import model_files, speech_files
from attacks.reading import refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectrt import _core
from affectrt.errors import Error, ModelFileError, NotFoundError
from affectrt.export.bundle import read_manifest

ROOT = Path(__file__).resolve().parent.parent
SCHEMA_FILE = ROOT / "python/affectrt/schema/affectrt.schema.json"
ATTACKS = [*model_files.all_attacks(), *speech_files.speech_attacks()]
FILES = dict(model_files.FILES)


def manifest() -> dict[str, Any]:
    return model_files.manifest()


# --- hostile files ---------------------------------------------------------------------------


def test_the_corpus_is_large_and_each_attack_has_a_name() -> None:
    assert len(ATTACKS) > 400
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: model_files.Attack, tmp_path: Path) -> None:
    path = tmp_path / "model.affect"
    path.write_bytes(attack.image)
    message = refusal(path)
    assert re.search(attack.expected, message)
    assert message.startswith(str(path))
    assert len(message) < 2000
    assert message.isprintable()
    # The Python reader of manifests may accept more, but fails in the same tree only.
    with contextlib.suppress(ModelFileError):
        read_manifest(path)


def test_the_good_image_of_the_corpus_is_good(tmp_path: Path) -> None:
    path = tmp_path / "model.affect"
    path.write_bytes(model_files.good_image())
    assert refusal(path) == ""


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_bytes_is_found(data: st.DataObject, tmp_path: Path) -> None:
    image = bytearray(model_files.good_image())
    right = bytes(image)
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(image) - 1))
        end = data.draw(st.integers(begin, min(len(image), begin + 40)))
        image[begin:end] = data.draw(st.binary(max_size=40))
    path = tmp_path / "model.affect"
    path.write_bytes(image)
    assert (refusal(path) == "") == (bytes(image) == right)


def test_a_sparse_file_beyond_4_gib(tmp_path: Path) -> None:
    path = tmp_path / "model.affect"
    path.write_bytes(model_files.good_image())
    try:
        os.truncate(path, (4 << 30) + 100)
    except OSError:
        pytest.skip("the file system has no sparse files of this size")
    assert "must be smaller than 4 GiB" in refusal(path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_no_file_at_all(kind: str, tmp_path: Path) -> None:
    path = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    assert refusal(path).startswith(f"{path}: is ")
    if kind != "folder":
        with pytest.raises(ModelFileError, match="not a regular file"):
            read_manifest(path)


def test_missing() -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        _core.verify_bundle("/nowhere/model.affect")
    with pytest.raises(NotFoundError, match="no such file"):
        read_manifest(Path("/nowhere/model.affect"))
    with pytest.raises(Error, match="NUL"):
        _core.verify_bundle("a\0b")


# --- affectrt.json, its schema and its reader -------------------------------------------------

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))

# What JSON Schema cannot say, or what is not about affectrt.json.
BEYOND_SCHEMA = re.compile(
    r"stands twice|is also|(thresholds|ranges) for \d+ labels|two heads are named|levels deep"
    r"|not below its highest|the name of a kind of span|since it follows|followed by its I-"
    r"|have one output|which is not there|affectrt\.json says \d|SHA-256"
)


def reader_accepts(folder: Path, text: str) -> bool | None:
    """None where the reader refuses for a reason that the schema cannot express."""
    (folder / "affectrt.json").write_text(text, encoding="utf-8")
    message = refusal(folder)
    if BEYOND_SCHEMA.search(message):
        return None
    return message == ""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return folder


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    VALIDATOR.validate(manifest())
    VALIDATOR.validate(speech_files.speech_manifest())


@pytest.mark.parametrize(
    "features",
    [
        {"kind": "whisper_log_mel", "num_mels": 80},
        {"kind": "whisper_log_mel", "num_mels": 80, "frames": 3000},
        {"kind": "whisper_log_mel", "num_mels": 80, "normalise": True, "silence": "before"},
        {"kind": "waveform", "normalise": True},
        {"kind": "fbank", "num_mels": 128},
        {"kind": "fbank", "num_mels": 128, "window": "hanning", "scale": 32768, "frames": 1024}
        | {"mean": -4.25, "deviation": 9.0},
    ],
    ids=lambda features: f"{features['kind']}-{len(features)}",
)
def test_a_speech_model_needs_no_tokenizer(features: dict[str, Any], tmp_path: Path) -> None:
    files = {name: data for name, data in FILES.items() if name != "tokenizer.json"}
    made = speech_files.speech_manifest(files)
    made["input"]["features"] = features
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    VALIDATOR.validate(made)
    assert reader_accepts(tmp_path, json.dumps(made)) is True
    made["modality"], made["input"]["max_tokens"] = "text", 5
    del made["heads"][0]["input"]
    assert reader_accepts(tmp_path, json.dumps(made)) is False
    assert not VALIDATOR.is_valid(made)


def test_schema_and_reader_agree_on_a_full_manifest(unpacked: Path) -> None:
    full = {
        **manifest(),
        "description": "a\nb",
        "version": "1.0.0",
        "licence": {"weights": "Apache-2.0", "non_commercial": False, "notice": ""},
        "data": [{"name": "goemotions", "split": "train", "licence": "CC", "cite": "x"}],
        "source": {"checkpoint": "dir", "sha256": "0" * 64},
        "parity": {"labels": 1, "x": [1, 2, {"deep": None}]},
        "recipe": "python -m recipe",
        "x-anything": [1, {"y": None}],
    }
    VALIDATOR.validate(full)
    assert reader_accepts(unpacked, json.dumps(full)) is True


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.sampled_from(
        [1.0, 512.0, 0.5, 1e-3, 1e3, 1e300, 2.0**53, 1048576, 1048577, 9007199254740991]
    ),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "A", "a b", "a\n", "\n", "é", "\x7f", "model.onnx", "0" * 64]),
    st.sampled_from(["single_label", "multi_label", "regression", "weights.safetensors", "text"]),
    st.sampled_from(["speech", "audio", "waveform", "fbank", "whisper_log_mel", 16000, 8000]),
    st.sampled_from(["ordinal", "span", "token_labels", "token_flags", "turn", "cause", "O"]),
    st.sampled_from(["x" * 64, "x" * 65, "x" * 256, "é" * 256, "é" * 257, "a.b-c_d", ".a", "-a"]),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "temperature", "bytes", "x", "a/b"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
NEW_KEYS = st.sampled_from(
    [
        *(
            "description",
            "version",
            "licence",
            "data",
            "source",
            "parity",
            "recipe",
            "x-y",
            "other",
        ),
        *("weights", "onnx", "thresholds", "calibration", "unsure_below", "metrics", "temperature"),
        *("input", "ranges", "margin", "embedding", "kind", "normalise", "max_tokens", "window"),
        "silence",
        *("layer", "pooling"),
        *("notice", "non_commercial", "checkpoint", "sha256", "bytes", "weights.safetensors"),
        *("a/b", "../a", "a//b", "/a", "a/", ".a", "a.", "a\\b", "affectrt.json", "é", "a\n", ""),
    ]
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside `value`."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = []
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found


# What a head of each task has, and what it must not have of a multi-label one.
HEADS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, ()),
    ({"task": "single_label"}, ("thresholds",)),
    ({"task": "single_label", "input": "turn"}, ()),
    ({"task": "ordinal", "thresholds": [1, 1e-9]}, ()),
    (
        {"task": "regression", "ranges": [[0, 1], [-1e9, 1e9]]},
        ("thresholds", "calibration", "unsure_below"),
    ),
    ({"task": "span", "margin": -0.5, "input": "cause"}, ("thresholds", "unsure_below")),
    (
        {"task": "token_labels", "labels": ["O", "B-x", "I-x", "B-y z", "I-y z"]},
        ("thresholds", "unsure_below"),
    ),
    ({"task": "token_flags", "input": "reply", "layer": 1024}, ("unsure_below",)),
    ({"layer": 0, "pooling": "attention_first"}, ()),
]


@settings(
    max_examples=800,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(data=st.data())
def test_reader_accepts_what_the_schema_accepts(data: st.DataObject, unpacked: Path) -> None:
    speech = data.draw(st.integers(0, 3)) == 0
    changed = speech_files.speech_manifest() if speech else manifest()
    changed["source"] = {"checkpoint": "x", "sha256": "0" * 64}
    changed["licence"] = {"weights": "x", "non_commercial": True, "notice": "x"}
    change, dropped = data.draw(st.sampled_from(HEADS))
    changed["heads"][0].update(copy.deepcopy(change))
    for key in dropped:
        del changed["heads"][0][key]
    for _ in range(data.draw(st.integers(0, 2))):
        container, key = data.draw(st.sampled_from(places(changed)))
        kind = data.draw(st.sampled_from(["replace", "replace", "delete", "add", "copy"]))
        if kind == "replace":
            container[key] = data.draw(VALUES)
        elif kind == "delete":
            del container[key]
        elif isinstance(container, dict):
            value = container[key] if kind == "copy" else data.draw(VALUES)
            container[data.draw(NEW_KEYS)] = value
        else:
            container.append(data.draw(VALUES) if kind == "add" else container[key])
    accepted = reader_accepts(unpacked, json.dumps(changed))
    if accepted is not None:
        assert accepted == VALIDATOR.is_valid(changed)


BOUNDS: list[tuple[tuple[Any, ...], Any, bool]] = [
    (("name",), "x" * 256, True),
    (("name",), "x" * 257, False),
    (("name",), "é" * 256, True),
    (("description",), "x" * 16384, True),
    (("description",), "x" * 16385, False),
    (("format_version",), 1.0, True),
    (("model", "family"), "x" * 64, True),
    (("model", "family"), "x" * 65, False),
    (("model", "family"), "bert\n", False),
    (("input", "max_tokens"), 2, True),
    (("input", "max_tokens"), 1, False),
    (("input", "max_tokens"), 1 << 20, True),
    (("input", "max_tokens"), (1 << 20) + 1, False),
    (("heads", 0, "labels"), [str(i) for i in range(10001)], False),
    (("heads", 0, "labels", 0), "x" * 256, True),
    (("heads", 0, "labels", 0), "x" * 257, False),
    (("heads", 0, "labels", 0), "\u2028", True),
    (("heads", 0, "labels", 0), "a\tb", False),
    (("heads", 0, "thresholds", 0), 0, True),
    (("heads", 0, "thresholds", 0), 1.0, True),
    (("heads", 0, "thresholds", 0), 1.0000001, False),
    (("heads", 0, "calibration", "temperature"), 0.001, True),
    (("heads", 0, "calibration", "temperature"), 0.000999, False),
    (("heads", 0, "calibration", "temperature"), 1000, True),
    (("heads", 0, "calibration", "temperature"), 1000.1, False),
    (("heads", 0, "unsure_below"), None, True),
    (("heads", 0, "layer"), 0, True),
    (("heads", 0, "layer"), 1025, False),
    (("heads", 0, "layer"), -1, False),
    (("heads", 0, "layer"), None, False),
    (("heads", 0, "pooling"), "attention", True),
    (("heads", 0, "pooling"), "max", False),
    (("heads", 0, "pooling"), "Mean", False),
    (("heads", 0, "pooling"), 1, False),
    (("heads", 0, "input"), "", False),
    (("heads", 0, "margin"), 0, False),
    (("heads", 0, "ranges"), [[0, 1], [0, 1]], False),
    (("model", "embedding"), "x", True),
    (("model", "embedding"), "", False),
    (("model", "embedding"), "x\n", False),
    (("model", "embedding"), "x" * 257, False),
    (("heads", 0, "metrics"), [{}] * 1024, True),
    (("heads", 0, "metrics"), [{}] * 1025, False),
    (("heads", 0, "data"), ["x", 1], True),
    (("data",), ["x"], False),
    (("parity",), None, True),
    (("parity",), [], False),
    (("files", "config.json", "sha256"), "A" * 64, False),
    (("files", "config.json", "sha256"), "0" * 63, False),
    (("files", "config.json", "bytes"), 2**53, False),
]


@pytest.mark.parametrize(("path", "value", "right"), BOUNDS)
def test_bounds(path: tuple[Any, ...], value: Any, right: bool, unpacked: Path) -> None:
    changed = manifest()
    at: Any = changed
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert reader_accepts(unpacked, json.dumps(changed)) is right
    assert VALIDATOR.is_valid(changed) is right


@pytest.mark.parametrize("count", [64, 65])
def test_number_of_heads(count: int, unpacked: Path) -> None:
    changed = manifest()
    changed["heads"] = [{**changed["heads"][0], "name": f"h{i}"} for i in range(count)]
    assert reader_accepts(unpacked, json.dumps(changed)) is (count == 64)
    assert VALIDATOR.is_valid(changed) is (count == 64)


# --- FORMAT.md ---------------------------------------------------------------------------------


def test_the_example_layout_in_format_md(tmp_path: Path) -> None:
    """The table's offsets are those of a file that is really written so."""
    text = (ROOT / "FORMAT.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (.+) \|$", text, flags=re.MULTILINE)
    assert len(rows) > 10
    sizes = {
        "affectrt.json": 1000,
        "config.json": 700,
        "model.onnx": 90000,
        "tokenizer.json": 470000,
    }
    made = [
        model_files.Record(name.encode(), bytes(size), stored=size, size=size)
        for name, size in sizes.items()
    ]
    image = model_files.pack(made)
    expected: list[tuple[str, str]] = []
    at = 0
    for name, size in sizes.items():
        name_bytes, extra_bytes = struct.unpack_from("<HH", image, at + 26)
        assert name_bytes == len(name)
        expected += [(str(at), "30"), (str(at + 30), str(name_bytes))]
        expected += [(str(at + 30 + name_bytes), str(extra_bytes))]
        at += 30 + name_bytes + extra_bytes
        expected += [(str(at), str(size))]
        at += size
    for name in sizes:
        expected += [(str(at), str(46 + len(name)))]
        at += 46 + len(name)
    expected += [(str(at), "22")]
    assert at + 22 == len(image)
    assert [(begin, size) for begin, size, _ in rows] == expected


def test_the_example_manifest_in_format_md_is_valid() -> None:
    text = (ROOT / "FORMAT.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        VALIDATOR.validate(json.loads(block))

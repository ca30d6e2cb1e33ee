"""`_core.Model.predict`: rows, batches, pairs, decisions, interruption, and texts of every kind."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_models import LABELS, graph_bytes, head, write_model

from affectrt import _core
from affectrt.errors import InputError, ModelFileError
from affectrt.loading import find_onnxruntime

LIBRARY = find_onnxruntime()
HEADS = [
    head("mood", "mood", labels=list(LABELS), unsure_below=0.5, calibration={"temperature": 1.5}),
    head(
        "signs",
        "signs",
        task="multi_label",
        labels=["p", "q", "r", "s"],
        thresholds=[0.2, 0.4, 0.6, 0.8],
        calibration={"temperature": 0.5},
        unsure_below=0.7,
    ),
    head("values", "values", task="regression", labels=["v", "a"]),
]
GRAPH = {"mood": 3, "signs": 4, "values": 2}


def load(path: Path, **options: Any) -> _core.Model:
    return _core.Model.load(str(path), onnxruntime_library=LIBRARY, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(
        tmp_path_factory.mktemp("runtime") / "model", graph_bytes(GRAPH, layers=2), HEADS
    )


@pytest.fixture(scope="module")
def model(folder: Path) -> _core.Model:
    return load(folder)


def rows(prediction: _core.Prediction) -> list[list[np.ndarray]]:
    return [[one.logits, one.scores] for one in prediction.heads]


def largest_difference(a: _core.Prediction, b: _core.Prediction, order: Any = slice(None)) -> float:
    pairs = zip(rows(a), rows(b), strict=True)
    return max(
        float(np.abs(x[order] - y).max(initial=0))
        for ours, theirs in pairs
        for x, y in zip(ours, theirs, strict=True)
    )


def test_shapes_types_and_ownership(model: _core.Model) -> None:
    prediction = model.predict(["w1 w2", "w3", ""], None, [], None)
    assert prediction.token_counts.dtype == np.int32
    assert prediction.token_counts.tolist() == [4, 3, 2]
    assert prediction.truncated.dtype == np.bool_
    arrays = []
    for one, width in zip(prediction.heads, (3, 4, 2), strict=True):
        for array in (one.logits, one.scores):
            assert array.dtype == np.float32
            assert array.shape == (3, width)
            assert array.flags.c_contiguous
        assert one.decided.dtype == np.bool_
        assert one.decided.shape == (3, width)
        assert one.unsure.dtype == np.bool_
        assert one.unsure.shape == (3,)
        arrays.append((one.scores, one.scores.copy()))
    del prediction, one
    model.predict(["w9"] * 50, None, [], None)
    for array, copy in arrays:
        assert np.array_equal(array, copy)
        array[0, 0] = 5.0  # theirs to change
        assert array[0, 0] == 5.0


def test_no_texts(model: _core.Model) -> None:
    prediction = model.predict([], None, [], None)
    assert [one.scores.shape for one in prediction.heads] == [(0, 3), (0, 4), (0, 2)]
    assert prediction.token_counts.shape == (0,)
    assert prediction.truncated.shape == (0,)


def test_decisions_follow_the_manifest(model: _core.Model) -> None:
    texts = [f"w{i} w{(3 * i) % 40}" for i in range(40)]
    mood, signs, values = model.predict(texts, None, [], None).heads

    scaled = mood.logits.astype(np.float64) / 1.5
    softmax = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    assert np.abs(mood.scores - softmax).max() < 1e-6
    assert np.array_equal(mood.decided.argmax(axis=1), mood.logits.argmax(axis=1))
    assert (mood.decided.sum(axis=1) == 1).all()
    assert np.array_equal(mood.unsure, mood.scores.max(axis=1) < 0.5)
    assert 0 < mood.unsure.sum() < len(texts)

    sigmoid = 1 / (1 + np.exp(-signs.logits.astype(np.float64) / 0.5))
    assert np.abs(signs.scores - sigmoid).max() < 1e-6
    thresholds = np.array([0.2, 0.4, 0.6, 0.8], np.float32)
    assert np.array_equal(signs.decided, signs.scores >= thresholds)
    assert np.array_equal(signs.unsure, signs.scores.max(axis=1) < np.float32(0.7))

    assert np.array_equal(values.scores, values.logits)
    assert not values.decided.any()
    assert not values.unsure.any()


@pytest.mark.parametrize("budget", [1, 7, 64, 100_000])
def test_answers_do_not_depend_on_batching(folder: Path, model: _core.Model, budget: int) -> None:
    texts = [" ".join(f"w{(i * j) % 40}" for j in range(1 + i % 20)) for i in range(80)]
    alone = [model.predict([text], None, [], None) for text in texts]
    together = load(folder, max_batch_tokens=budget).predict(texts, None, [], None)
    for index, one in enumerate(alone):
        assert largest_difference(together, one, slice(index, index + 1)) < 1e-5
    order = np.random.default_rng(5).permutation(len(texts))
    shuffled = load(folder, max_batch_tokens=budget).predict(
        [texts[i] for i in order], None, [], None
    )
    assert largest_difference(together, shuffled, order) < 1e-5


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(
        st.lists(st.integers(0, 45), max_size=40).map(lambda w: " ".join(f"w{i}" for i in w)),
        min_size=1,
        max_size=12,
    )
)
def test_any_texts_together_answer_as_alone(model: _core.Model, texts: list[str]) -> None:
    together = model.predict(texts, None, [], None)
    for index, text in enumerate(texts):
        one = model.predict([text], None, [], None)
        assert largest_difference(together, one, slice(index, index + 1)) < 1e-5
        assert together.token_counts[index] == one.token_counts[0]
        assert together.truncated[index] == one.truncated[0]


def test_rows_longer_than_the_model_are_cut_and_say_so(model: _core.Model) -> None:
    long = "w1 " * 100
    kept = " ".join(["w1"] * 30)  # 32 tokens with [CLS] and [SEP]
    prediction = model.predict([long, kept, kept + " w1"], None, [], None)
    assert prediction.token_counts.tolist() == [102, 32, 33]
    assert prediction.truncated.tolist() == [True, False, True]
    for one in prediction.heads:
        assert np.abs(one.logits - one.logits[1]).max() < 1e-6


def test_truncation_side_of_tokenizer_config(tmp_path: Path) -> None:
    for side in ("left", "right"):
        folder = tmp_path / side
        source = write_model(tmp_path / f"{side}-source", graph_bytes())
        folder.mkdir()
        for name in ("model.onnx", "tokenizer.json"):
            (folder / name).write_bytes((source / name).read_bytes())
        labels = {str(i): label for i, label in enumerate(LABELS)}
        config = {"model_type": "bert", "id2label": labels, "max_position_embeddings": 8}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer_config.json").write_text(json.dumps({"truncation_side": side}))
        model = load(folder)
        text = " ".join(f"w{i}" for i in range(20))
        end = text.split()[-6:] if side == "left" else text.split()[:6]
        cut, same = model.predict([text, " ".join(end)], None, [], None).heads[0].logits
        assert np.abs(cut - same).max() < 1e-6


def test_max_tokens_of_one_call(model: _core.Model) -> None:
    prediction = model.predict(["w1 w2 w3 w4", "w1 w2"], None, [], None, 4)
    assert prediction.truncated.tolist() == [True, False]
    scores = prediction.heads[0].scores
    assert np.abs(scores[0] - scores[1]).max() < 1e-6
    for bad in (-1, 33):
        with pytest.raises(InputError, match="max_tokens"):
            model.predict(["w1"], None, [], None, bad)


def test_pairs(model: _core.Model) -> None:
    texts = ["w1 w2", "w3", "w4"]
    pairs = ["w5", None, ""]
    together = model.predict(texts, pairs, [], None)
    assert together.token_counts.tolist() == [6, 3, 4]
    for index, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
        one = model.predict([text], [pair], [], None)
        assert largest_difference(together, one, slice(index, index + 1)) < 1e-5
    single = model.predict(["w1 w2 w5"], None, [], None).heads[0].logits
    assert np.abs(together.heads[0].logits[0] - single[0]).max() > 1e-3  # types and [SEP] count
    assert model.predict(["w1 " * 60], ["w2 " * 60], [], None).truncated.tolist() == [True]


def test_heads_by_index(model: _core.Model) -> None:
    everything = model.predict(["w1", "w2"], None, [], None)
    chosen = model.predict(["w1", "w2"], None, [2, 0, 2], None)
    for one, index in zip(chosen.heads, (2, 0, 2), strict=True):
        assert np.array_equal(one.logits, everything.heads[index].logits)
    for bad in (-1, 3):
        with pytest.raises(InputError, match="no head"):
            model.predict(["w1"], None, [bad], None)


def test_bytes_are_utf8(model: _core.Model) -> None:
    ours = model.predict([b"w1 w2", "é 東京 😀".encode()], None, [], None)
    theirs = model.predict(["w1 w2", "é 東京 😀"], None, [], None)
    assert largest_difference(ours, theirs) == 0


BAD_TEXTS: dict[str, tuple[Any, Any, list[str]]] = {
    "a str, not a list": ("w1", None, ["texts", "str"]),
    "None": (None, None, ["texts", "NoneType"]),
    "a number in the list": (["w1", 7], None, ["text 1", "int"]),
    "None in the list": ([None], None, ["text 0", "NoneType"]),
    "a lone surrogate": (["w1", "ab\ud83dc"], None, ["text 1", "character 2", "U+D83D"]),
    "a lone surrogate in a pair": (["w1"], ["\udfff"], ["pair 0", "character 0", "U+DFFF"]),
    "bytes that are no UTF-8": (["w1", b"ab\xff"], None, ["text 1", "byte 2"]),
    "too few pairs": (["w1", "w2"], ["w3"], ["1 pairs for 2 texts"]),
    "a pair that is a number": (["w1"], [3], ["pair 0", "int"]),
}


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_bad_texts_are_named(model: _core.Model, case: str) -> None:
    texts, pairs, parts = BAD_TEXTS[case]
    with pytest.raises(InputError) as caught:
        model.predict(texts, pairs, [], None)
    for part in parts:
        assert part in str(caught.value)
    assert model.predict(["w1"], None, [], None).token_counts.tolist() == [3]


def test_the_first_bad_text_of_many_is_named(model: _core.Model) -> None:
    texts: list[str | bytes] = ["w1 " * 30] * 5000
    for index in (4800, 1234, 3000):
        texts[index] = b"w1 \xc3("
    for _ in range(5):
        with pytest.raises(InputError, match=r"^text 1234: "):
            model.predict(texts, None, [], None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n",
        "\0",
        "w1\0w2",
        "\ufeff",
        "a" * 1_000_000,
        "w1 " * 350_000,
        "😀" * 1000,
        "\u0301" * 5000,
    ],
    ids=lambda text: f"{len(text)} of {text[:3]!a}",
)
def test_strange_texts_are_answered(model: _core.Model, text: str) -> None:
    prediction = model.predict(["w1", text], None, [], None)
    assert np.isfinite(prediction.heads[0].scores).all()
    assert prediction.heads[0].scores[1].sum() == pytest.approx(1)
    assert prediction.token_counts[1] >= 2


def test_a_tokenizer_without_special_tokens_cannot_answer_nothing(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "source", graph_bytes())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = None
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "tokenizer.json").write_text(json.dumps(tokenizer))
    (plain / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    labels = {str(i): label for i, label in enumerate(LABELS)}
    config = {"model_type": "bert", "id2label": labels, "max_position_embeddings": 64}
    (plain / "config.json").write_text(json.dumps(config))
    model = load(plain)
    assert model.predict(["w1"], None, [], None).token_counts.tolist() == [1]
    with pytest.raises(InputError, match=r"text 1: .*no token"):
        model.predict(["w1", ""], None, [], None)


def test_progress_counts_rows_up_to_the_end(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    small = load(folder, max_batch_tokens=8)
    small.predict(["w1 w2"] * 20, None, [], lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20, 20)
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {20}
    assert len({done for done, _ in seen}) > 5


def test_what_progress_raises_ends_the_call(folder: Path) -> None:
    class StopIt(Exception):
        pass

    calls = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if done >= 4:
            raise StopIt(f"at {done} of {total}")

    small = load(folder, max_batch_tokens=8)
    with pytest.raises(StopIt, match=r"at 4 of 20"):
        small.predict(["w1 w2"] * 20, None, [], stop)
    assert max(calls) == 4
    assert small.predict(["w1 w2"], None, [], None).token_counts.tolist() == [4]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("texts", [["w1 w2 w3 w4"] * 200_000, ["w1 " * 5000] * 4000])
def test_keyboard_interrupt_ends_a_long_call(folder: Path, texts: list[str]) -> None:
    small = load(folder, max_batch_tokens=32, num_threads=1)
    ended = threading.Event()

    def interrupt() -> None:
        time.sleep(0.3)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        small.predict(texts, None, [], None)
    ended.set()
    sender.join()
    assert small.predict(["w1"], None, [], None).token_counts.tolist() == [3]


def test_other_threads_run_while_a_call_works(folder: Path) -> None:
    small = load(folder, max_batch_tokens=32, num_threads=1)
    done = threading.Event()
    turns_meanwhile = []

    def count() -> None:
        turns = 0
        while not done.is_set():
            turns += 1
        turns_meanwhile.append(turns)

    other = threading.Thread(target=count)
    other.start()
    small.predict(["w1 w2 w3"] * 3000, None, [], None)
    done.set()
    other.join()
    assert turns_meanwhile[0] > 0


def test_list_may_change_while_a_call_works(folder: Path) -> None:
    small = load(folder, max_batch_tokens=32)
    texts = [f"w{i % 40} w{i % 7}" for i in range(400)]
    expected = small.predict(texts, None, [], None)
    changing = list(texts)

    def clear(done: int, total: int) -> None:
        changing.clear()

    assert largest_difference(small.predict(changing, None, [], clear), expected) == 0
    assert changing == []


def test_threads_encode_the_same_rows(folder: Path) -> None:
    texts = [" ".join(f"w{(i * j) % 40}" for j in range(25)) for i in range(3000)]
    one = load(folder, num_threads=1).predict(texts, None, [0], None)
    four = load(folder, num_threads=4).predict(texts, None, [0], None)
    assert np.array_equal(one.token_counts, four.token_counts)
    assert largest_difference(one, four) < 1e-5


def test_manifest_as_the_core_read_it(model: _core.Model, folder: Path) -> None:
    manifest = json.loads(model.manifest_json)
    assert manifest["name"] == "small"
    assert manifest["max_tokens"] == 32
    assert manifest["heads"][1] == {
        "name": "signs",
        "task": "multi_label",
        "input": "text",
        "labels": ["p", "q", "r", "s"],
        "thresholds": [0.2, 0.4, 0.6, 0.8],
        "temperature": 0.5,
        "unsure_below": 0.7,
    }
    assert manifest["heads"][2]["task"] == "regression"
    assert manifest["heads"][2]["unsure_below"] is None
    assert json.loads(model.raw_manifest) == json.loads((folder / "affectrt.json").read_text())
    assert model.path == str(folder)


def test_impossible_budget(folder: Path) -> None:
    with pytest.raises(InputError, match="max_batch_tokens"):
        load(folder, max_batch_tokens=-1)


def test_verify_reads_every_byte(folder: Path, tmp_path: Path) -> None:
    _core.verify_bundle(str(folder))
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    damaged = bytearray((copy / "config.json").read_bytes())
    damaged[2] ^= 1
    (copy / "config.json").write_bytes(damaged)
    with pytest.raises(ModelFileError, match=r"config\.json"):
        _core.verify_bundle(str(copy))

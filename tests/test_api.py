"""`affectrt.load` and `Model`: what may be given, what comes back, what is refused and how."""

from __future__ import annotations

import asyncio
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import affectrt
from affectrt import errors
from affectrt.loading import find_onnxruntime, resolve_model

TEXTS = [
    "so happy, thank you",
    "they cancelled it",
    "a plain sentence without any of the words",
    "I love and hate it",
]


@pytest.fixture(scope="module")
def model(lexicon_model: Path) -> affectrt.Model:
    return affectrt.load(lexicon_model)


@pytest.fixture(scope="module")
def two_headed(two_headed_model: Path) -> affectrt.Model:
    return affectrt.load(two_headed_model)


# ---------------------------------------------------------------------------------------- answers


def test_one_text(model: affectrt.Model) -> None:
    result = model("They cancelled it. I'm sad, sad, sad!")
    assert isinstance(result, affectrt.Result)
    assert result.text == "They cancelled it. I'm sad, sad, sad!"
    assert result.pair is None
    assert result.decided == ("sadness", "disappointment")
    scores = [label.score for label in result.emotions]
    assert scores == sorted(scores, reverse=True)
    assert {label.label for label in result.emotions} == set(model.labels())
    assert not result.truncated


def test_a_list_is_answered_in_order(model: affectrt.Model) -> None:
    results = model(TEXTS)
    assert isinstance(results, list)
    assert [result.text for result in results] == TEXTS
    assert results == [model(text) for text in TEXTS]
    assert model([]) == []
    assert model(iter(TEXTS)) == results
    assert model(np.array(TEXTS)) == results


def test_ties_stay_in_the_models_order(model: affectrt.Model) -> None:
    result = model("a plain sentence")
    rest = [label.label for label in result.emotions if label.label != "neutral"]
    assert rest == [label for label in model.labels() if label != "neutral"]


def test_pairs_in_every_spelling(tiny_bert_onnx: Path) -> None:
    model = affectrt.load(tiny_bert_onnx)
    single = model(("Is there anything left?", "He was frightened."))
    assert single.pair == "He was frightened."
    mapping = {"text": "Is there anything left?", "text_pair": "He was frightened."}
    assert model(mapping) == single
    mixed = model([mapping, "Is there anything left?", ("a", "")])
    assert [result.pair for result in mixed] == ["He was frightened.", None, ""]
    assert mixed[0].values == pytest.approx(single.values, abs=1e-5)
    assert mixed[1].values != pytest.approx(single.values, abs=1e-4)


def test_arrays(model: affectrt.Model) -> None:
    proba = model.predict_proba(TEXTS)
    logits = model.predict_logits(TEXTS)
    assert proba.dtype == logits.dtype == np.float32
    assert proba.shape == logits.shape == (len(TEXTS), 28)
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-logits)), atol=1e-6)
    for row, result in zip(proba, model(TEXTS), strict=True):
        by_label = [result.values[label] for label in model.labels()]
        np.testing.assert_array_equal(row, np.array(by_label, np.float32))
    assert model.predict_proba(TEXTS[0]).shape == (1, 28)
    assert model.predict_proba([]).shape == (0, 28)
    assert proba.flags.writeable


def test_heads(two_headed: affectrt.Model) -> None:
    assert two_headed.heads == ("emotion", "vad")
    assert two_headed.labels() == two_headed.labels("emotion")
    assert two_headed.labels("vad") == ("valence", "arousal", "dominance")
    result = two_headed("so happy")
    assert list(result.heads) == ["emotion", "vad"]
    assert result.decided == ("joy",)
    assert result.heads["vad"].values == {"valence": 4.0, "arousal": 3.0, "dominance": 3.0}
    assert result.heads["vad"].decided == ()
    np.testing.assert_array_equal(
        two_headed.predict_proba(["so happy"], "vad"), np.float32([[4.0, 3.0, 3.0]])
    )
    assert set(result.to_dict()) == {"text", "emotions", "decided", "unsure", "heads"}


def test_answers_are_made_late_but_the_same(two_headed: affectrt.Model) -> None:
    texts = [f"so sad {i % 7} happy" for i in range(130)]
    together = two_headed(texts)
    kept = together[129]
    del together
    alone = two_headed(texts[129])
    assert kept.heads["vad"] is kept.heads["vad"]
    assert kept == alone
    assert hash(kept) == hash(alone)
    assert pickle.loads(pickle.dumps(two_headed(texts)[64])) == two_headed(texts[64])


def test_calibration_thresholds_and_unsure(two_headed: affectrt.Model) -> None:
    logits = two_headed.predict_logits(["so happy", "angry"], "emotion")
    proba = two_headed.predict_proba(["so happy", "angry"], "emotion")
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-logits / 2)), atol=1e-6)
    plain = two_headed("nothing known here")
    assert plain.decided == ()  # neutral at .53 stays below its threshold of .6
    assert not plain.unsure
    head = two_headed.info.heads[0]
    assert head.thresholds == (0.5, 0.5, 0.5, 0.6)
    assert head.temperature == 2.0
    assert head.unsure_below == 0.4


def test_info(two_headed: affectrt.Model, model: affectrt.Model, two_headed_model: Path) -> None:
    info = two_headed.info
    assert (info.name, info.version, info.family) == ("two-headed", "0.0.1", "bert")
    assert info.max_tokens == 64
    assert info.path == str(two_headed_model)
    assert info.licence == "Apache-2.0"
    assert not info.non_commercial
    assert info.metrics["emotion"][0]["value"] == 0.5
    assert info.data[0]["licence"] == "CC0-1.0"
    assert info.backend in {"onnxruntime", "native"}
    assert info.backend_detail
    assert info.to_dict()["heads"][1]["task"] == "regression"
    plain = model.info
    assert (plain.licence, plain.parity, plain.data, plain.recipe) == (None, None, (), None)
    assert plain.heads[0].labels == model.labels()


def test_repr_tells_what_it_is(model: affectrt.Model) -> None:
    assert repr(model).startswith("<affectrt.Model 'lexicon'")
    assert "28 labels" in repr(model)


def test_long_texts_say_that_they_were_cut(model: affectrt.Model) -> None:
    result = model("happy " * 100)
    assert result.truncated
    assert result.to_dict()["truncated"] is True
    assert result.decided == ("joy",)


def test_a_megabyte_of_text(model: affectrt.Model) -> None:
    result = model("happy " + "nothing to see here. " * 50_000)
    assert result.truncated
    assert result.decided == ("joy",)
    unbroken = model("x" * 1_000_000)
    assert not unbroken.truncated  # one long unknown word


def test_odd_but_valid_texts(model: affectrt.Model) -> None:
    assert model("happy\0happy").text == "happy\0happy"
    assert model("\U0001f600 happy \u200d").decided == ("joy",)
    assert len(model(["\0", "\x07", "\u200b"])) == 3


def test_tokenizer_is_the_models_own(model: affectrt.Model) -> None:
    assert isinstance(model.tokenizer, affectrt.Tokenizer)
    assert model.tokenizer is model.tokenizer
    ids, offsets = model.tokenizer.encode("so happy")
    assert list(ids) == [2, 1, 5, 3]
    assert [tuple(offset) for offset in offsets][2] == (3, 8)


# ------------------------------------------------------------------------------ threads and loops


def test_progress(model: affectrt.Model) -> None:
    seen: list[tuple[int, int]] = []
    model(TEXTS * 40, progress=lambda done, total: seen.append((done, total)))
    assert seen
    assert seen[-1] == (160, 160)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_progress_raises_ends_the_call(model: affectrt.Model) -> None:
    def stop(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model(TEXTS * 40, progress=stop)
    assert len(model(TEXTS)) == 4


def test_many_threads_share_a_model(model: affectrt.Model) -> None:
    expected = model(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for answers in pool.map(lambda _: model(TEXTS), range(40)):
            assert answers == expected


def test_async_twins(model: affectrt.Model) -> None:
    async def ask() -> tuple[Any, Any, Any, Any]:
        return await asyncio.gather(
            model.acall(TEXTS[0]),
            model.acall(TEXTS),
            model.apredict_proba(TEXTS),
            model.apredict_logits(TEXTS[0]),
        )

    one, many, proba, logits = asyncio.run(ask())
    assert one == model(TEXTS[0])
    assert many == model(TEXTS)
    np.testing.assert_array_equal(proba, model.predict_proba(TEXTS))
    np.testing.assert_array_equal(logits, model.predict_logits(TEXTS[0]))


def test_the_loop_runs_while_the_model_works(model: affectrt.Model) -> None:
    async def ask() -> tuple[bool, set[int]]:
        threads: set[int] = set()
        free = asyncio.Event()
        asyncio.get_running_loop().call_soon(free.set)
        await model.acall(TEXTS * 50, progress=lambda *_: threads.add(threading.get_ident()))
        await asyncio.sleep(0)
        return free.is_set(), threads

    was_free, threads = asyncio.run(ask())
    assert was_free
    assert threads == {threading.get_ident()}  # progress is called on the loop's thread


def test_cancelled_calls_stop_at_a_batch(lexicon_model: Path) -> None:
    model = affectrt.load(lexicon_model, max_batch_tokens=64)
    started, go_on = threading.Event(), threading.Event()
    reached: list[int] = []
    predict = model._core.predict

    class Slow:
        """The compiled model, with a gate at its first batch."""

        def predict(
            self, texts: Any, pairs: Any, heads: Any, progress: Any, max_tokens: int
        ) -> Any:
            def gated(done: int, total: int) -> None:
                started.set()
                assert go_on.wait(30)
                reached.append(done)
                progress(done, total)

            return predict(texts, pairs, heads, gated)

    model._core = Slow()  # type: ignore[assignment]

    async def ask() -> None:
        task = asyncio.create_task(model.acall(TEXTS * 200))
        assert await asyncio.to_thread(started.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    asyncio.run(ask())  # waits for the executor's threads to end
    assert len(reached) == 1


def test_pickles_as_its_file(model: affectrt.Model) -> None:
    copy = pickle.loads(pickle.dumps(model))
    assert copy is not model
    assert copy(TEXTS) == model(TEXTS)


# -------------------------------------------------------------------------------------- bad input

BAD_TEXTS: list[tuple[Any, str]] = [
    ("", r"texts is empty"),
    (" \n\t", r"texts is only white space"),
    (["fine", ""], r"texts\[1\] is empty"),
    (None, r"texts is None; give a str"),
    (5, r"texts is int; give a str"),
    (b"bytes", r"texts is bytes; give str, as in value\.decode"),
    (["fine", b"bytes"], r"texts\[1\] is bytes; give str"),
    (["fine", 2.5], r"texts\[1\] is float; give a str"),
    (["fine", None], r"texts\[1\] is None"),
    ({"a", "b"}, r"texts is set"),
    (("one",), r"texts is a tuple of 1"),
    ([("a", "b", "c")], r"texts\[0\] is a tuple of 3; a pair is a tuple of two"),
    (("a", 3), r"texts\[1\] is int; give str"),
    ([["a", "b"]], r"texts\[0\] is list"),
    ({"text_pair": "b"}, r"texts has the keys 'text_pair'"),
    ([{"text": "a", "other": "b"}], r"texts\[0\] has the keys 'text', 'other'"),
    ({"text": "a", "text_pair": 1}, r'texts\["text_pair"\] is int'),
    ("lone \ud800 surrogate", r"character 5 .*surrogate"),
    (["fine", ("a", "\udfff")], r"pair 1\b.*surrogate"),
]


@pytest.mark.parametrize(("texts", "message"), BAD_TEXTS)
def test_bad_texts_name_the_row_and_the_remedy(
    model: affectrt.Model, texts: Any, message: str
) -> None:
    for ask in (model, model.predict_proba, model.predict_logits):
        with pytest.raises(errors.InputError, match=message):
            ask(texts)


def test_bad_arguments(model: affectrt.Model) -> None:
    with pytest.raises(errors.InputError, match=r"head 'x' is not in this model; it has: \w+"):
        model.predict_proba(TEXTS, "x")
    with pytest.raises(errors.InputError, match="head is int"):
        model.labels(1)  # type: ignore[arg-type]
    with pytest.raises(errors.InputError, match="progress is str"):
        model(TEXTS, progress="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is empty"):  # every InputError is a ValueError
        model("")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "cuda"}, "backend is 'cuda'; give one of: auto"),
        ({"num_threads": 0}, "num_threads is 0; give a positive int"),
        ({"num_threads": True}, "num_threads is bool"),
        ({"num_threads": 2**40}, "num_threads is 1099511627776"),
        ({"max_batch_tokens": "many"}, "max_batch_tokens is str"),
        ({"providers": "CUDAExecutionProvider"}, "providers is a str; give a list"),
        ({"providers": [3]}, r"providers\[0\] is int"),
    ],
)
def test_bad_options(lexicon_model: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InputError, match=message):
        affectrt.load(lexicon_model, **arguments)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("no-such-model", errors.NotFoundError, "no model or file 'no-such-model'; models known"),
        ("no/such.affect", errors.NotFoundError, "no file or directory"),
        (Path("nothing"), errors.NotFoundError, "no file or directory 'nothing'"),
        ("", errors.InputError, "name_or_path is empty"),
        ("a\0b", errors.InputError, "NUL"),
        (3, errors.InputError, "name_or_path is int"),
        (b"text", errors.InputError, "name_or_path is bytes"),
    ],
)
def test_bad_names(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        affectrt.load(given)


def test_not_found_is_a_file_not_found_error() -> None:
    with pytest.raises(FileNotFoundError):
        affectrt.load("no-such-model")


def test_damaged_files_are_errors_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "noise.affect"
    file.write_bytes(b"this is no archive" * 100)
    with pytest.raises(errors.ModelFileError, match=r"noise\.affect"):
        affectrt.load(file)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(errors.Error, match="empty"):
        affectrt.load(empty)


def test_names_come_before_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lexicon_model: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    shutil.copytree(lexicon_model, first / "mine.affect")  # directories load as files do
    shutil.copytree(lexicon_model, second / "mine.affect")
    shutil.copytree(lexicon_model, second / "other.affect")
    monkeypatch.setenv("AFFECTRT_MODEL_PATH", f"{first}:{tmp_path / 'missing'}:{second}")
    known = affectrt.available_models()
    assert known["mine"] == first / "mine.affect"
    assert known["other"] == second / "other.affect"
    assert resolve_model("mine") == first / "mine.affect"
    monkeypatch.chdir(second)
    assert resolve_model("./mine.affect") == Path("mine.affect")
    assert affectrt.load("mine").info.path == str(first / "mine.affect")
    with pytest.raises(errors.NotFoundError, match=r"models known by name: .*mine, other"):
        affectrt.load("third")


def test_onnxruntime_is_found_without_being_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    assert Path(find_onnxruntime()).is_file()
    library = tmp_path / "libonnxruntime.so"
    library.write_bytes(b"")
    monkeypatch.setenv("AFFECTRT_ONNXRUNTIME", str(library))
    assert find_onnxruntime() == str(library)
    monkeypatch.setenv("AFFECTRT_ONNXRUNTIME", str(tmp_path / "missing.so"))
    with pytest.raises(errors.NotFoundError, match="AFFECTRT_ONNXRUNTIME names"):
        find_onnxruntime()


# ------------------------------------------------------------------------------- the embedded one


def test_the_embedded_model(default_model: Path) -> None:
    model = affectrt.load()
    assert model.info.path == str(default_model)
    result = model("I can't believe they cancelled it, I was so looking forward to tonight.")
    assert {"disappointment", "sadness"} & set(result.decided)
    assert len(model.labels()) == 28
    assert model.info.licence
    assert model.info.parity

"""`affectrt.pipeline` against transformers' own, on random BERT and RoBERTa checkpoints."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_models import CORPUS

import affectrt
from affectrt import errors

transformers = pytest.importorskip("transformers")
pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves

TOLERANCE = 2e-5  # float32 rounding of two engines, through two layers
THREE = ["calm", "glad", "upset"]
KINDS = [
    ("bert", THREE, None),
    ("bert", THREE, "multi_label_classification"),
    ("bert", THREE, "regression"),
    ("bert", ["level"], None),
    ("bert", ["level"], "regression"),
    ("roberta", THREE, "single_label_classification"),
    ("roberta", THREE, "multi_label_classification"),
]
PAIR = {"text": CORPUS[0], "text_pair": CORPUS[3]}


@dataclass
class Both:
    """The same checkpoint behind the two pipelines."""

    checkpoint: Path
    exported: Path

    def make(self, **arguments: Any) -> tuple[Any, Any]:
        theirs = transformers.pipeline(
            "text-classification", model=str(self.checkpoint), device=-1, **arguments
        )
        return theirs, affectrt.pipeline("text-classification", model=self.exported, **arguments)


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{len(kind[1])}-{kind[2]}")
def both(request: pytest.FixtureRequest, tiny_checkpoint: Any, onnx_export: Any) -> Both:
    checkpoint = tiny_checkpoint(*request.param)
    return Both(checkpoint, onnx_export(checkpoint))


@pytest.fixture
def bert(tiny_bert: Path, tiny_bert_onnx: Path) -> Both:
    return Both(tiny_bert, tiny_bert_onnx)


def assert_same(ours: Any, theirs: Any) -> None:
    """The same shape and labels, and the same scores within float32 rounding."""
    assert type(ours) is type(theirs)
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            assert_same(ours[key], value)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, abs=TOLERANCE, rel=TOLERANCE)
    else:
        assert ours == theirs


INPUTS: list[Any] = [
    CORPUS[0],
    [CORPUS[0]],
    CORPUS,
    PAIR,
    {"text": CORPUS[1]},
    [PAIR, {"text": CORPUS[1]}],
    [[["first of a pair", "second of a pair"]]],
    [""],
    ["", CORPUS[2]],
]


def test_every_input_has_the_same_shape_and_numbers(both: Both) -> None:
    theirs, ours = both.make()
    for inputs in INPUTS:
        assert_same(ours(inputs), theirs(inputs))


@pytest.mark.parametrize("top_k", [None, 1, 2, 50, 0])
def test_top_k_when_made_and_in_the_call(bert: Both, top_k: int | None) -> None:
    theirs, ours = bert.make()
    for inputs in INPUTS:
        assert_same(ours(inputs, top_k=top_k), theirs(inputs, top_k=top_k))
    theirs, ours = bert.make(top_k=top_k)
    for inputs in INPUTS[:4]:
        assert_same(ours(inputs), theirs(inputs))
        assert_same(ours(inputs, top_k=2), theirs(inputs, top_k=2))


@pytest.mark.parametrize("function", ["sigmoid", "softmax", "none"])
def test_function_to_apply(both: Both, function: str) -> None:
    theirs, ours = both.make()
    for inputs in (CORPUS[0], CORPUS):
        assert_same(
            ours(inputs, function_to_apply=function, top_k=None),
            theirs(inputs, function_to_apply=function, top_k=None),
        )
    theirs, ours = both.make(function_to_apply=function, top_k=None)
    assert_same(ours(CORPUS), theirs(CORPUS))


def test_truncation(both: Both) -> None:
    long = " ".join(CORPUS * 3)
    theirs, ours = both.make(truncation=True)
    assert_same(ours([long, CORPUS[0]]), theirs([long, CORPUS[0]]))
    pair = {"text": long, "text_pair": long}
    assert_same(ours(pair), theirs(pair))
    theirs, ours = both.make()
    assert_same(ours(long, truncation=True), theirs(long, truncation=True))
    for arguments in ({"truncation": True, "max_length": 12}, {"max_length": 12}):
        assert_same(ours([long, CORPUS[7]], **arguments), theirs([long, CORPUS[7]], **arguments))
        assert_same(ours(pair, **arguments), theirs(pair, **arguments))


def test_too_long_without_truncation_is_an_error_that_says_so(bert: Both) -> None:
    theirs, ours = bert.make()
    long = " ".join(CORPUS * 3)
    with pytest.raises(Exception):  # noqa: B017, PT011  theirs: whatever torch says
        theirs(long)
    with pytest.raises(errors.InputError, match=r"inputs\[1\] has \d+ tokens .* truncation=True"):
        ours([CORPUS[0], long])


def test_generators_stream(bert: Both) -> None:
    theirs, ours = bert.make()
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for text in CORPUS * 40:
            taken += 1
            yield text

    stream = ours(texts())
    assert isinstance(stream, types.GeneratorType)
    assert taken == 0
    first = next(stream)
    assert 0 < taken < 320
    assert_same([first, *stream], list(theirs(text for text in CORPUS * 40)))


def test_lists_of_lists_are_refused_by_both(bert: Both) -> None:
    theirs, ours = bert.make()
    for pipe in (theirs, ours):
        with pytest.raises(ValueError, match="text_pair"):
            pipe([["a", "b"]])


def test_batching_arguments_change_nothing(bert: Both) -> None:
    _, ours = bert.make()
    assert_same(ours(CORPUS, batch_size=4, num_workers=0), ours(CORPUS))
    assert ours([]) == []


def test_a_loaded_model_and_its_heads(two_headed_model: Path) -> None:
    model = affectrt.load(two_headed_model)
    pipe = affectrt.pipeline("sentiment-analysis", model=model, head="vad", top_k=None)
    assert pipe("so happy") == [
        [
            {"label": "valence", "score": 4.0},
            {"label": "arousal", "score": 3.0},
            {"label": "dominance", "score": 3.0},
        ]
    ]
    calibrated = affectrt.pipeline(model=model)("so happy")
    assert calibrated == [{"label": "joy", "score": model("so happy").emotions[0].score}]
    assert "two-headed" in repr(pipe)
    assert pipe.tokenizer is model.tokenizer


BAD_CALLS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda pipe: pipe(5), "inputs is int"),
    (lambda pipe: pipe(("a", "b")), "inputs is tuple"),
    (lambda pipe: pipe(["a", 5]), r"inputs\[1\] is int"),
    (lambda pipe: pipe(["a", ("b", "c")]), r"inputs\[1\] is a tuple; give a pair as"),
    (lambda pipe: pipe({"text": 3}), r'inputs\["text"\] is int|inputs.*is int'),
    (lambda pipe: pipe("a", top_k="all"), "top_k is str"),
    (lambda pipe: pipe("a", function_to_apply="relu"), "function_to_apply is 'relu'"),
    (lambda pipe: pipe("a", truncation="only_third"), "truncation is 'only_third'"),
    (
        lambda pipe: pipe("a", truncation=True, max_length=700),
        r"max_length is 700; .* from 1 to 64",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_calls(lexicon_model: Path, call: Callable[[Any], Any], message: str) -> None:
    pipe = affectrt.pipeline(model=lexicon_model)
    with pytest.raises(errors.InputError, match=message):
        call(pipe)


def test_bad_tasks() -> None:
    with pytest.raises(errors.InputError, match="task is 'translation'; give one of: text-cl"):
        affectrt.pipeline("translation")

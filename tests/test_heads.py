"""Heads of every task on one trunk: torch's logits, the recipe's decisions, the same bits alone."""

from __future__ import annotations

import ctypes
import itertools
import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import export_models as em  # noqa: E402
from test_native import write_model  # noqa: E402

import affectrt  # noqa: E402
from affectrt import _core  # noqa: E402
from affectrt.errors import ExportError, InputError  # noqa: E402
from affectrt.export import export_checkpoint, verify  # noqa: E402
from affectrt.export.checkpoint import (  # noqa: E402
    TOKEN_TASKS,
    HeadSpec,
    LoadedCheckpoint,
    load_checkpoint,
)
from affectrt.export.data import read_data  # noqa: E402
from affectrt.export.recipes.decisions import softmax  # noqa: E402
from affectrt.export.recipes.multitask.inputs import Pass, Tokens, Turn, pad  # noqa: E402
from affectrt.export.recipes.multitask.spans import best_span, decode_bio  # noqa: E402

Made = Callable[[str, Callable[[Path], object]], Path]
CLOSE = 2e-5
WORDS = ["happy", "glad", "furious", "scared", "today", "the", "train", "and", "I", "she", "was"]
TEXTS = ["I was happy today", "the train, naïve café 東京 and I", "glad", "she was furious " * 6]


def some_texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 12))) for _ in range(count)]


def some_passes(tokens: Tokens, count: int, seed: int) -> list[tuple[str, Pass]]:
    """Passes with and without a context, no longer than the tiny network takes."""
    draw = random.Random(seed)
    texts = some_texts(4 * count, seed)
    passes = []
    for i in range(count):
        turns = [
            Turn(draw.choice(["self", "other fear"]), texts[4 * i + k + 1])
            for k in range(draw.randint(0, 3))
        ]
        one = tokens.make_pass(texts[4 * i], turns, em.MAX_TOKENS)
        passes.append((texts[4 * i], one))
    return passes


@pytest.fixture(scope="module")
def checkpoint(made: Made) -> LoadedCheckpoint:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = made(
            "every_task",
            lambda out: em.write_pooled_checkpoint(
                out, "mean_first", heads=em.heads_of_every_task()
            ),
        )
        return load_checkpoint(folder)


@pytest.fixture(scope="module")
def native(checkpoint: LoadedCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(checkpoint, "fp32", tmp_path_factory.mktemp("heads") / "native.affect")


@pytest.fixture(scope="module")
def tokens(checkpoint: LoadedCheckpoint) -> Tokens:
    return Tokens(checkpoint.tokenizer_json)


def core_passes(tokens: Tokens, passes: Sequence[tuple[str, Pass]]) -> list[Any]:
    return [
        (
            row.ids.astype(np.int32),
            row.types.astype(np.int32),
            row.a_tokens,
            np.asarray(tokens.offsets(text)[: row.a_tokens], np.int32).reshape(-1, 2),
        )
        for text, row in passes
    ]


def check_spans(spec: HeadSpec, logits: Any, spans: list[list[int]]) -> None:
    """Spans of one text as the recipe decides them; `logits` with [CLS] first."""
    found = {(first, last, label) for first, last, label, decided, *_ in spans if decided}
    if spec.task == "span":
        first, last, lead = best_span(logits)
        expected = {(first, last, 0)} if lead > (spec.margin or 0.0) else set()
        assert not spans or spans[0][:2] == [first, last]
    elif spec.task == "token_labels":
        expected = decode_bio(logits[1:].argmax(1))
    else:
        flags = 1 / (1 + np.exp(-logits[1:])) >= np.asarray(spec.thresholds, np.float32)
        expected = set()
        for label, column in enumerate(flags.T):
            at = 0
            for value, run in itertools.groupby(column.tolist()):
                count = len(list(run))
                if value:
                    expected.add((at, at + count - 1, label))
                at += count
    assert found == expected


def check_rows(spec: HeadSpec, logits: Any, answer: _core.HeadScores) -> None:
    if spec.task == "regression":
        assert spec.ranges is not None
        low, high = np.asarray(spec.ranges, np.float32).T
        assert np.array_equal(answer.scores, np.clip(logits, low, high))
        assert (answer.scores != logits).any()
        return
    if spec.task == "multi_label":
        scores = 1 / (1 + np.exp(-logits / np.float32(spec.temperature)))
        decided = scores >= np.asarray(spec.thresholds, np.float32)
    else:
        scores = softmax(logits / np.float32(spec.temperature))
        best = (scores / np.asarray(spec.thresholds or [1.0], np.float32)).argmax(1)
        decided = np.arange(scores.shape[1]) == best[:, None]
        if spec.task == "ordinal":
            assert answer.levels == pytest.approx(scores @ np.arange(scores.shape[1]), abs=1e-6)
    assert np.allclose(answer.scores, scores, atol=1e-6)
    assert np.array_equal(answer.decided, decided)


@pytest.mark.parametrize("threads", [1, 2])
def test_passes_have_the_logits_of_torch_and_the_decisions_of_the_recipe(
    checkpoint: LoadedCheckpoint, native: Path, tokens: Tokens, threads: int
) -> None:
    passes = some_passes(tokens, 40, 1)
    model = _core.Model.load(native, num_threads=threads)
    prediction = model.predict_passes(core_passes(tokens, passes))
    assert prediction.answered == list(range(9))
    with torch.inference_mode():
        wanted = checkpoint.model(*pad([row for _, row in passes]))
    for spec, answer in zip(checkpoint.heads, prediction.heads, strict=True):
        values = wanted[spec.output].numpy()
        if spec.task not in TOKEN_TASKS:
            assert np.abs(answer.logits - values).max() < CLOSE
            check_rows(spec, answer.logits, answer)
            continue
        begin, spans = answer.token_begin, answer.spans
        assert begin is not None
        assert spans is not None
        assert answer.span_begin is not None
        for i, (text, row) in enumerate(passes):
            own = answer.logits[begin[i] : begin[i + 1]]
            assert np.abs(own - values[i, : row.a_tokens + 1]).max() < CLOSE
            of_row = spans[answer.span_begin[i] : answer.span_begin[i + 1]].tolist()
            check_spans(spec, own, of_row)
            offsets = tokens.offsets(text)
            for first, last, _, _, start, end in of_row:
                assert (start, end) == (offsets[first][0], offsets[last][1])


def test_a_pass_has_the_same_bits_alone_and_for_any_heads(native: Path, tokens: Tokens) -> None:
    passes = core_passes(tokens, some_passes(tokens, 12, 2))
    model = _core.Model.load(native)
    together = model.predict_passes(passes, embeddings=True)
    assert together.embeddings is not None
    assert together.embeddings.shape == (12, model.embedding_width)
    for i, one in enumerate(passes):
        alone = model.predict_passes([one], [], embeddings=True)
        assert alone.heads == []
        assert alone.embeddings is not None
        assert alone.embeddings.tobytes() == together.embeddings[i].tobytes()
        for head, answer in enumerate(together.heads):
            own = model.predict_passes([one], [head]).heads[0]
            rows = slice(i, i + 1)
            if answer.token_begin is not None:
                rows = slice(answer.token_begin[i], answer.token_begin[i + 1])
            assert own.logits.tobytes() == answer.logits[rows].tobytes()


def test_bad_passes_are_refused(native: Path, tokens: Tokens) -> None:
    model = _core.Model.load(native)
    ids, types, count, offsets = core_passes(tokens, some_passes(tokens, 1, 3))[0]
    bad: list[tuple[Any, str]] = [
        ((ids[:0], types[:0], 0, None), "pass 1 has 0 tokens; 1 to 64 are possible"),
        ((np.tile(ids, 65)[:65], types, count, None), "pass 1 has 65 tokens"),
        ((ids, types[1:], count, None), "token types"),
        ((ids, types, -1, None), "-1 of them behind the first"),
        ((ids, types, len(ids), None), "cannot be those of its text"),
        ((ids, types, count, offsets[1:]), "offsets for the"),
        ((ids + 10**6, types, count, offsets), "is not one of the"),
        ((ids, np.ones_like(types), count, offsets), "begins with token type 1"),
        ((ids, types, count, offsets.T[:1]), "must be an array"),
    ]
    for one, message in bad:
        with pytest.raises(InputError, match=message):
            model.predict_passes([(ids, types, count, offsets), one])
    with pytest.raises(InputError, match="no head 9"):
        model.predict_passes([], [9])


def test_texts_are_answered_by_heads_of_texts_and_turns(native: Path) -> None:
    model = affectrt.load(native)
    results = model(TEXTS)
    names = ["emotion", "mood", "level", "vad", "slots", "words"]
    for text, result in zip(TEXTS, results, strict=True):
        assert list(result.heads) == names
        assert result.heads["level"].level is not None
        assert 0 <= result.heads["level"].level <= 2
        for name in ("slots", "words"):
            answer = result.heads[name]
            assert answer.labels == answer.decided == ()
            for span in answer.spans:
                assert span.text == text[span.start : span.end] != ""
                assert span.label in ("who", "when it was", "er", "ip")
                assert 0 <= span.score <= 1
        record = result.to_dict()["heads"]
        assert record["level"]["level"] == result.heads["level"].level
        assert record["slots"]["spans"] == [s.to_dict() for s in result.heads["slots"].spans]
        assert "labels" not in record["slots"]
        assert result == model(text)
    assert any(result.heads["slots"].spans for result in results)


def test_named_heads_answer_in_their_order(native: Path) -> None:
    model = affectrt.load(native)
    everything = model(TEXTS[0])
    some = model(TEXTS[0], heads=["words", "emotion"])
    assert list(some.heads) == ["words", "emotion"]
    assert some.heads["emotion"] == everything.heads["emotion"]
    assert some.to_dict()["emotions"] == []
    assert repr(some).startswith(f"Result({TEXTS[0]!r}: words: ")
    with pytest.raises(InputError, match="judges a text in the light of a conversation"):
        model(TEXTS, heads=["cause_span"])
    pair = (TEXTS[1], f"other fear: this self: {TEXTS[0]}")
    cause = model(pair, heads=["cause_span", "cause"]).heads["cause_span"]
    assert cause.task == "span"
    assert len(cause.spans) <= 1
    assert [c.score for c in cause.candidates] == sorted(
        (c.score for c in cause.candidates), reverse=True
    )
    assert cause.to_dict().keys() == {"task", "spans", "candidates"}
    for heads, message in (
        ("emotion", "heads is str"),
        ([], "heads is empty"),
        (["emotion", "emotion"], "names one twice"),
        (["x"], "head 'x' is not in this model"),
    ):
        with pytest.raises(InputError, match=message):
            model(TEXTS, heads=heads)
    with pytest.raises(InputError, match="answers with parts of a text"):
        model.predict_proba(TEXTS, "words")


def test_info_tells_what_a_head_reads(native: Path) -> None:
    heads = {head.name: head for head in affectrt.load(native).info.heads}
    assert heads["cause_span"].input == "cause"
    assert heads["cause_span"].margin == 0.25
    assert heads["vad"].ranges == ((-1.0, 1.0), (-0.25, 0.25))
    assert heads["mood"].thresholds == (0.5, 1.0, 0.125, 1.0)
    assert heads["level"].thresholds is None


ROWS: list[dict[str, Any]] = [
    {
        "text": "I was happy today",
        "context": [
            {"tag": "other", "text": "the train was furious"},
            {"tag": "self fear", "text": "this"},
        ],
        "targets": {
            "emotion": ["joy"],
            "mood": "calm",
            "level": 2,
            "vad": [0.5, -0.5],
            "slots": [[2, 5, "who"], [12, 17, 1]],
            "words": [[0, 5, "er"], [2, 11, "ip"]],
            "cause": ["yes"],
            "cause_span": [[6, 11]],
            "reply": "joy",
        },
    },
    {"text": "the train", "targets": {"cause_span": [], "slots": [], "cause": []}},
    {"text": "she was scared and I was glad", "targets": {"vad": [1, 0], "level": "none"}},
]


@pytest.fixture(scope="module")
def both(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for both engines, with its proof on rows of every kind of target."""
    folder = tmp_path_factory.mktemp("both")
    source = made(
        "every_task",
        lambda out: em.write_pooled_checkpoint(out, "mean_first", heads=em.heads_of_every_task()),
    )
    data = em.write_jsonl(folder / "rows.jsonl", ROWS)
    out = folder / "both.affect"
    export_checkpoint(source, out, data=data, engines=["native", "onnxruntime"])
    return out


def test_export_proves_every_head_on_both_engines(both: Path) -> None:
    parity = affectrt.load(both).info.parity
    assert parity is not None
    assert parity["passed"]
    heads = parity["heads"]
    assert len(heads) == 2 * len(em.heads_of_every_task())
    for head in heads:
        assert head["max_logit_difference"] < CLOSE
        assert head["flipped_decisions"] == 0
        assert head["rows_with_target"] > 0
        assert head["metrics"]
    figures = {head["head"]: head["metrics"] for head in heads}
    assert set(figures["cause_span"]) == {"f1_pos", "exact_match", "f1_neg", "f1"}
    assert set(figures["words"]) == {"span_f1", "character_f1"}
    assert set(figures["level"]) == {"accuracy", "macro_f1"}


def test_both_engines_give_the_same_answers(both: Path, native: Path, tokens: Tokens) -> None:
    passes = core_passes(tokens, some_passes(tokens, 30, 5))
    wanted = _core.Model.load(native).predict_passes(passes, embeddings=True)
    model = _core.Model.load(both, backend="onnxruntime", max_batch_tokens=256)
    found = model.predict_passes(passes, embeddings=True)
    assert found.embeddings is not None
    assert wanted.embeddings is not None
    assert np.abs(found.embeddings - wanted.embeddings).max() < CLOSE
    for ours, theirs in zip(found.heads, wanted.heads, strict=True):
        assert np.abs(ours.logits - theirs.logits).max() < CLOSE
        if ours.spans is not None:
            assert np.array_equal(ours.spans, theirs.spans)
            assert np.array_equal(ours.token_begin, theirs.token_begin)
    texts = affectrt.load(both, backend="onnxruntime")(TEXTS)
    for one, other in zip(texts, affectrt.load(native)(TEXTS), strict=True):
        assert one.heads["slots"].to_dict().keys() == other.heads["slots"].to_dict().keys()
        for a, b in zip(one.heads["slots"].spans, other.heads["slots"].spans, strict=True):
            assert (a.start, a.end, a.label) == (b.start, b.end, b.label)


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_int8_keeps_heads_in_float(
    both: Path, checkpoint: LoadedCheckpoint, tmp_path: Path, engine: str
) -> None:
    out = tmp_path / "int8.affect"
    report = export_checkpoint(
        checkpoint.path, out, precision="int8", engines=[engine], enforce_bars=False
    )
    # Random weights lose far more than trained ones; a broken head would be off by its size.
    for head in report.heads:
        assert head.max_logit_difference < 0.25 * max(1.0, head.largest_logit)
        assert head.max_neighbour_difference < (1e-12 if engine == "native" else 1e-2)


def test_verify_finds_what_differs(both: Path, checkpoint: LoadedCheckpoint, made: Made) -> None:
    assert verify(both, checkpoint.path).passed
    other = [
        replace(spec, margin=9.0) if spec.task == "span" else spec
        for spec in em.heads_of_every_task()
    ]
    changed = made(
        "every_task_changed",
        lambda out: em.write_pooled_checkpoint(out, "mean_first", heads=other),
    )
    with pytest.raises(ExportError, match=r"head 'cause_span': margin is 0\.25 in the model file"):
        verify(both, changed)


BAD_ROWS = [
    ({"text": "a", "context": 1}, '"context" must be a list'),
    ({"text": "a", "context": [{"tag": "x"}]}, '"context" must be a list'),
    ({"text": "a", "pair": "b", "targets": {}}, "belong to rows without"),
    ({"text": "a", "targets": []}, '"targets" must be an object'),
    ({"text": "a", "targets": {"x": 1}}, "there is no head 'x'"),
    ({"text": "a", "targets": {"cause_span": [[0, 2]]}}, r"takes a list of \[start, end\], in"),
    ({"text": "a", "targets": {"words": [[0, 1, "no"]]}}, r"list of \[start, end, label\]"),
    ({"text": "a", "targets": {"words": 3}}, r"list of \[start, end, label\]"),
    ({"text": "a", "targets": {"level": ["none", "weak"]}}, "takes exactly one label"),
]


@pytest.mark.parametrize("case", range(len(BAD_ROWS)))
def test_bad_rows_name_their_line(tmp_path: Path, case: int) -> None:
    row, message = BAD_ROWS[case]
    file = em.write_jsonl(tmp_path / "rows.jsonl", [ROWS[1], row])
    with pytest.raises(ExportError, match=f"line 2: .*{message}"):
        read_data(file, em.heads_of_every_task())


BAD_HEADS = [
    ({"task": "rank"}, "task 'rank', not of"),
    ({"input": "title"}, "input 'title', not one of text, turn, cause, reply"),
    ({"output": "pooled_vectors"}, "which is that of pooled vectors"),
    ({"task": "ordinal", "labels": ("a",), "thresholds": None}, "one level"),
    ({"task": "span", "thresholds": None}, "a span has start and end"),
    ({"task": "token_labels", "thresholds": None}, 'then "B-..." and "I-..." of each kind'),
    ({"task": "token_flags"}, "reads tokens and has no unsure_below"),
    ({"ranges": ((0.0, 1.0),) * 4}, "ranges are"),
    ({"margin": 1.0}, "only a span head has a margin"),
]


@pytest.mark.parametrize("case", range(len(BAD_HEADS)))
def test_heads_that_no_manifest_may_have(tmp_path: Path, case: int) -> None:
    change, message = BAD_HEADS[case]
    emotion, vad = em.pooled_heads()
    source = em.write_pooled_checkpoint(tmp_path / "it", heads=(replace(emotion, **change), vad))
    with pytest.raises(ExportError, match=message):
        export_checkpoint(source, tmp_path / "out.affect")


def test_mean_first_needs_token_types(tmp_path: Path) -> None:
    source = em.write_pooled_checkpoint(tmp_path / "it", "mean_first", "distilbert")
    with pytest.raises(ExportError, match="goes by token types"):
        load_checkpoint(source)


class CSpan(ctypes.Structure):
    _fields_ = (
        ("label", ctypes.c_char_p),
        ("begin", ctypes.c_uint32),
        ("end", ctypes.c_uint32),
        ("score", ctypes.c_float),
        ("decided", ctypes.c_uint32),
    )


class CSpans(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("spans", ctypes.POINTER(CSpan)),
        ("num_spans", ctypes.c_uint32),
        ("num_decided", ctypes.c_uint32),
        ("truncated", ctypes.c_int32),
        ("token_count", ctypes.c_uint32),
    )


class CText(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("pair", ctypes.c_char_p),
        ("pair_size", ctypes.c_size_t),
    )


def test_c_gives_the_answers_of_python(native: Path) -> None:
    library = ctypes.CDLL(affectrt.get_library())
    library.affectrt_last_error.restype = ctypes.c_char_p
    model, result, json_text = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_char_p()
    assert library.affectrt_model_load_file(bytes(native), None, ctypes.byref(model)) == 0
    encoded = [text.encode() for text in TEXTS]
    texts = (CText * len(encoded))(*((one, len(one), None, 0) for one in encoded))
    count = ctypes.c_size_t(len(encoded))
    analyse = library.affectrt_model_analyse_json
    assert analyse(model, texts, count, None, ctypes.byref(json_text)) == 0
    results = affectrt.load(native)(TEXTS)
    assert json_text.value is not None
    assert json.loads(json_text.value) == [one.to_dict() for one in results]
    library.affectrt_json_destroy(json_text)

    assert library.affectrt_model_analyse(model, texts, count, None, ctypes.byref(result)) == 0
    spans = CSpans(struct_size=ctypes.sizeof(CSpans))
    get = library.affectrt_result_get_spans
    for head, name in ((4, "slots"), (5, "words")):
        for row, one in enumerate(results):
            assert get(result, ctypes.c_size_t(row), head, ctypes.byref(spans)) == 0
            assert spans.num_spans == spans.num_decided
            found = [spans.spans[i] for i in range(spans.num_spans)]
            assert [(s.begin, s.end, s.label.decode(), s.score) for s in found] == [
                (s.start, s.end, s.label, s.score) for s in one.heads[name].spans
            ]
    bad = (
        (0, 0, b"answers with labels or values"),
        (9, 4, b"no row 9; the result has 4"),
        (0, 7, b"head 'cause_span' did not answer: its input is 'cause'"),
        (0, 9, b"no head 9"),
    )
    for row, head, message in bad:
        assert get(result, ctypes.c_size_t(row), head, ctypes.byref(spans)) == 4
        assert message in library.affectrt_last_error()
    library.affectrt_result_destroy(result)
    library.affectrt_model_destroy(model)

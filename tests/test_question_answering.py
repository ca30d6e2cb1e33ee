"""Question answering models of transformers as span heads: its pipeline's answers, on both
engines."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import export_models as em
import torch

import affectrt
from affectrt.errors import ExportError, InputError
from affectrt.export import describe_checkpoint, export_checkpoint

MAX_TOKENS = 256
MAX_ANSWER = 200  # tokens, as of every span head


UNANSWERED = ("ok", "Why?")


def leave_unanswered(folder: Path, context: str, question: str) -> None:
    """Turn the logits of a checkpoint towards the state of [CLS] in this row, just so far that it
    has no answer, which random ones hardly ever do."""
    reference = Reference(folder)
    network, row = reference.network, reference.tokenizer.encode(question, context)
    feeds = reference.feeds(row)
    with torch.no_grad():
        states = network.bert(**feeds).last_hidden_state[0]
        places = [i for i, s in enumerate(row.sequence_ids) if s == 1]
        gained = states @ states[0]  # what a logit gains; the state's own norm is the largest
        while True:
            logits = network.qa_outputs(states)
            best = max(logits[i, 0] + logits[j, 1] for i in places for j in places if i <= j)
            lead = float(best - logits[0].sum())
            if lead < -0.05:
                break
            step = (lead + 0.1) / float(2 * (gained[0] - gained[places].max()))
            network.qa_outputs.weight += step * states[0]
    network.save_pretrained(folder)


@pytest.fixture(scope="session")
def answering(made: Callable[..., Path]) -> Callable[[str], Path]:
    """`answering(family)`: a random checkpoint ``...ForQuestionAnswering``."""

    def make(family: str) -> Path:
        def build(folder: Path) -> None:
            em.write_random_checkpoint(
                folder, family, ("start", "end"), kind="QuestionAnswering", max_tokens=MAX_TOKENS
            )
            if family == "bert":
                leave_unanswered(folder, *UNANSWERED)

        return made(f"answering_{family}", build)

    return make


@pytest.fixture(scope="session")
def on_both(made: Callable[..., Path], answering: Callable[[str], Path]) -> Path:
    """BERT's model file, for both engines."""
    return made(
        "answering_bert.affect",
        lambda out: export_checkpoint(answering("bert"), out, engines=["native", "onnxruntime"]),
    )


class Reference:
    """What the question-answering pipeline of transformers 4 did with one pair that it does not
    have to cut; a longer text is cut at its end."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer
        from transformers import AutoModelForQuestionAnswering

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS, strategy="only_second")
        load: Any = AutoModelForQuestionAnswering.from_pretrained
        self.network = load(folder).eval()

    def feeds(self, row: Any) -> dict[str, Any]:
        """What the network takes of a row of `tokenizers`."""
        values = {"input_ids": row.ids, "attention_mask": row.attention_mask}
        values["token_type_ids"] = row.type_ids
        return {name: torch.tensor([value]) for name, value in values.items()}

    def scores(self, row: Any) -> tuple[Any, float, Any]:
        """Probability of each first and last token, and of no answer; tokens that may be one."""
        with torch.inference_mode():
            found = self.network(**self.feeds(row))
        possible = np.asarray([s == 1 for s in row.sequence_ids])
        possible[0] = True
        start, end = (
            np.where(possible, logits[0].double().numpy(), -1e4)
            for logits in (found.start_logits, found.end_logits)
        )
        start, end = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (start, end))
        nothing = start[0] * end[0]
        start[0] = end[0] = 0.0
        return np.tril(np.triu(np.outer(start, end)), MAX_ANSWER - 1), nothing, possible

    def __call__(self, context: str, question: str) -> tuple[int, int, bool]:
        """Characters of the best span, and whether it beats the score of no answer."""
        row = self.tokenizer.encode(question, context)
        scores, nothing, _ = self.scores(row)
        first, last = np.unravel_index(int(scores.argmax()), scores.shape)
        begin, stop = row.offsets[first][0], row.offsets[last][1]
        return begin, stop, bool(scores[first, last] > nothing)


def reccon_pairs(shared_dir: Path, count: int) -> list[tuple[str, str]]:
    """Texts and questions: why does who says this feel so?"""
    with gzip.open(shared_dir / "data/text/reccon/dev.jsonl.gz", "rt", encoding="utf-8") as file:
        turns = [turn for line in file for turn in json.loads(line)["turns"]]
    felt = [turn for turn in turns if turn["causes"]]
    return [(t["text"], f"Why does {t['speaker']} feel {t['emotion']}?") for t in felt[:count]]


def teach(folder: Path, leads: dict[str, float], rows: int = 40) -> Path:
    """A random checkpoint whose last layer finds words by least squares: to begin and end with a
    word has the logits `leads` / 2 more than no answer, with any other 20 less."""
    em.write_random_checkpoint(
        folder, "bert", ("start", "end"), kind="QuestionAnswering", max_tokens=MAX_TOKENS
    )
    reference = Reference(folder)
    network, told = reference.network, ("[CLS]", *leads)
    words = network.bert.embeddings.word_embeddings.weight
    with torch.no_grad():  # words can be told apart: each of `told` by a dimension of its own
        network.bert.embeddings.position_embeddings.weight *= 0.1
        for layer in network.bert.encoder.layer:
            layer.attention.output.dense.weight *= 0.1
            layer.output.dense.weight *= 0.1
        words[:, : len(told)] = 0.0
        for dimension, token in enumerate(told):
            words[reference.tokenizer.token_to_id(token)] = 0.0
            words[reference.tokenizer.token_to_id(token), dimension] = 1.0
    states, wanted = [], []
    for seed in range(rows):
        text = long_text(random.Random(seed), list(leads), 70)
        row = reference.tokenizer.encode("why ?", text)
        with torch.no_grad():
            states.append(network.bert(**reference.feeds(row)).last_hidden_state[0].double())
        wanted += [leads.get(token, 0.0 if token == "[CLS]" else -20.0) / 2 for token in row.tokens]
    known, targets = torch.cat(states), torch.tensor(wanted, dtype=torch.float64)
    known = torch.cat([known, torch.ones(len(known), 1, dtype=torch.float64)], dim=1)
    weight = torch.where(targets == -10.0, 1.0, 5.0).double()  # the few words of `told`
    ridge = 1e-3 * torch.eye(known.shape[1], dtype=torch.float64)
    weighted = known.T * weight
    answer = torch.linalg.solve(weighted @ known + ridge, weighted @ targets)
    with torch.no_grad():
        network.qa_outputs.weight.copy_(answer[:-1].float().expand(2, -1))
        network.qa_outputs.bias.copy_(answer[-1].float().expand(2))
    network.save_pretrained(folder)
    return folder


def long_text(chosen: random.Random, words: list[str], count: int) -> str:
    """Words of one token, `words` among them in any order."""
    text = chosen.choices(em.FILLERS, k=count)
    for word in words:
        text.insert(chosen.randint(0, len(text)), word)
    return " ".join(text)


class LongReference(Reference):
    """What that pipeline did with a text of any length (transformers 4.57, `doc_stride`,
    `align_to_words=False`): probabilities of each window's own, those of equal answers added up."""

    def best(self, text: str, question: str, size: int, stride: int) -> tuple[int, int, bool]:
        """Characters of the best span, and whether it beats the least score of no answer."""
        self.tokenizer.enable_truncation(size, stride=stride, strategy="only_second")
        whole = self.tokenizer.encode(question, text)
        answers: dict[str, list[Any]] = {}
        nothing = np.inf
        for row in (whole, *whole.overflowing):
            scores, of_row, possible = self.scores(row)
            nothing = min(nothing, of_row)
            for place in np.argsort(-scores, axis=None)[:12]:
                first, last = np.unravel_index(place, scores.shape)
                if possible[first] and possible[last]:
                    begin, stop = row.offsets[first][0], row.offsets[last][1]
                    answer = answers.setdefault(text[begin:stop].lower(), [0.0, begin, stop])
                    answer[0] += scores[first, last]
        score, begin, stop = max(answers.values(), key=lambda answer: float(answer[0]))
        return begin, stop, bool(score > nothing)


def test_answers_to_long_texts_are_those_of_the_pipeline(
    made: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = made("finds_happy", lambda folder: teach(folder, {"happy": 10.0}))
    out = tmp_path / "x.affect"
    export_checkpoint(checkpoint, out, engines=["native", "onnxruntime"])
    reference = LongReference(checkpoint)
    models = [affectrt.load(out, backend=backend) for backend in ("native", "onnxruntime")]
    verdicts = set()
    for seed in range(100, 124):
        chosen = random.Random(seed)
        text = long_text(chosen, ["happy"] * (seed % 4 > 0), chosen.randint(120, 400))
        wanted = reference.best(text, "why ?", 64, 16)
        verdicts.add(wanted[2])
        for model in models:
            found = model.analyze_long(text, question="why ?", window=64, overlap=16)
            head = found.result.heads["default"]
            assert bool(head.spans) == wanted[2]
            if head.spans:
                assert (head.spans[0].start, head.spans[0].end) == wanted[:2]
                assert head.spans[0].text == "happy"
    assert verdicts == {True, False}


def test_scores_that_are_all_one_do_not_decide(made: Callable[..., Path], tmp_path: Path) -> None:
    """float32 knows no score between that of a lead of 17 and 1."""
    checkpoint = made("finds_both", lambda folder: teach(folder, {"glad": 40.0, "happy": 80.0}))
    out = tmp_path / "x.affect"
    export_checkpoint(checkpoint, out)
    text = " ".join(["glad", *em.FILLERS * 6, "happy", *em.FILLERS])
    found = affectrt.load(out).analyze_long(text, question="why ?", window=64, overlap=16)
    head = found.result.heads["default"]
    assert [span.text for span in head.candidates[:2]] == ["happy", "glad"]
    assert [span.score for span in head.candidates[:2]] == [1.0, 1.0]
    assert head.spans == head.candidates[:1]


def test_answers_are_those_of_the_pipeline(
    answering: Callable[[str], Path], on_both: Path, shared_dir: Path
) -> None:
    reference = Reference(answering("bert"))
    pairs = [*reccon_pairs(shared_dir, 60), UNANSWERED]
    wanted = [reference(*pair) for pair in pairs]
    assert {has_answer for *_, has_answer in wanted} == {True, False}
    for backend in ("native", "onnxruntime"):
        model = affectrt.load(on_both, backend=backend)
        results = model(pairs)
        for result, (text, _), (begin, stop, has_answer) in zip(
            results, pairs, wanted, strict=True
        ):
            head = result.heads["default"]
            best = head.candidates[0]
            assert (best.start, best.end, best.text) == (begin, stop, text[begin:stop])
            assert head.spans == ((best,) if has_answer else ())
            assert (best.score > 0.5) == has_answer
        assert model(pairs[3]).to_dict() == results[3].to_dict()


@pytest.mark.parametrize(
    ("family", "engine"), [("roberta", "native"), ("modernbert", "onnxruntime")]
)
def test_other_families(
    answering: Callable[[str], Path], tmp_path: Path, family: str, engine: str
) -> None:
    """Two separators between the texts; and a layer of its own before the logits."""
    out = tmp_path / "x.affect"
    described = describe_checkpoint(answering(family))
    assert described.engines == (engine,)
    assert "a model that answers questions" in described.to_text()
    report = export_checkpoint(answering(family), out)
    assert (report.rows, report.tokens.equal) == (report.pairs, report.tokens.rows)
    assert report.heads[0].backend == engine
    answered = affectrt.load(out)(("I missed the train today", "What happened?"))
    best = answered.heads["default"].candidates[0]
    assert best.text == "I missed the train today"[best.start : best.end]


def test_int8_on_rows_with_answers(answering: Callable[[str], Path], tmp_path: Path) -> None:
    data = em.write_jsonl(
        tmp_path / "rows.jsonl",
        [
            {"text": "I missed the train", "pair": "What?", "targets": {"default": [[9, 18]]}},
            {"text": "today we never rest", "pair": "Who?", "targets": {"default": []}},
            {"text": "I was scared of her house", "pair": "Why?"},
        ],
    )
    out = tmp_path / "x.affect"
    report = export_checkpoint(
        answering("bert"), out, precision="int8", data=data, enforce_bars=False
    )
    (head,) = report.heads
    assert (head.task, head.rows_with_target) == ("span", 2)
    assert head.max_neighbour_difference == 0.0
    em.write_jsonl(data, [{"text": "no question"}])
    with pytest.raises(ExportError, match='line 1: has no "pair"'):
        export_checkpoint(answering("bert"), tmp_path / "y.affect", data=data)


def test_long_texts_are_read_in_windows_behind_the_question(
    on_both: Path, shared_dir: Path
) -> None:
    """The best over all windows is what each window says of itself, placed in the whole text."""
    model = affectrt.load(on_both)
    text = " ".join(text for text, _ in reccon_pairs(shared_dir, 40))
    question = "Why does B feel joy?"
    tokens = len(model.tokenizer.encode(text).ids)
    assert tokens > 2 * MAX_TOKENS
    found = model.analyze_long(text, question=question, window=96, overlap=24)
    assert len(found.windows) > tokens // 96
    assert found.windows[-1].end == len(text)
    assert found.result.pair == question
    assert not found.result.truncated
    head = found.result.heads["default"]
    best = max(w.result.heads["default"].candidates[0].score for w in found.windows)
    assert head.candidates[0].score == best
    for span in head.candidates:
        assert span.text == text[span.start : span.end]
        own = [w for w in found.windows if w.start <= span.start and span.end <= w.end]
        alone = model([(text[w.start : w.end], question) for w in own])
        places = [
            (w.start + c.start, w.start + c.end, c.score)
            for w, one in zip(own, alone, strict=True)
            for c in one.heads["default"].candidates
        ]
        assert (span.start, span.end, span.score) in places
    ordered = sorted(head.candidates, key=lambda span: span.start)
    assert all(a.end <= b.start for a, b in itertools.pairwise(ordered))
    answered = any(w.result.heads["default"].spans for w in found.windows)
    assert head.spans == (head.candidates[:1] if answered else ())
    short = model.analyze_long(*UNANSWERED[:1], question=UNANSWERED[1])
    assert short.result.heads == model(UNANSWERED).heads
    with pytest.raises(InputError, match="question leaves no room"):
        model.analyze_long(text, question=text)
    with pytest.raises(InputError, match="give the question as its pair"):
        model.analyze_long(text)


def test_a_text_alone_has_no_answer(on_both: Path) -> None:
    model = affectrt.load(on_both)
    assert model.info.heads[0].input == "question"
    with pytest.raises(InputError, match=r"text 1: .*give the question as its pair"):
        model([("a", "b?"), "no question"])
    with pytest.raises(affectrt.errors.Error, match="no head of this model judges the turns"):
        model.conversation()

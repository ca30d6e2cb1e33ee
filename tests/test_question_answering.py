"""Question answering models of transformers as span heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import export_models as em

import affectrt
from affectrt.errors import ExportError, InputError
from affectrt.export import describe_checkpoint, export_checkpoint

MAX_TOKENS = 256


@pytest.fixture(scope="session")
def answering(made: Callable[..., Path]) -> Callable[[str], Path]:
    """`answering(family)`: a random checkpoint ``...ForQuestionAnswering``."""

    def make(family: str) -> Path:
        def build(folder: Path) -> None:
            em.write_random_checkpoint(
                folder, family, ("start", "end"), kind="QuestionAnswering", max_tokens=MAX_TOKENS
            )

        return made(f"answering_{family}", build)

    return make


@pytest.fixture(scope="session")
def on_both(made: Callable[..., Path], answering: Callable[[str], Path]) -> Path:
    """BERT's model file, for both engines."""
    return made(
        "answering_bert.affect",
        lambda out: export_checkpoint(answering("bert"), out, engines=["native", "onnxruntime"]),
    )


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


def test_a_text_alone_has_no_answer(on_both: Path) -> None:
    model = affectrt.load(on_both)
    assert model.info.heads[0].input == "question"
    with pytest.raises(InputError, match=r"text 1: .*give the question as its pair"):
        model([("a", "b?"), "no question"])
    with pytest.raises(affectrt.errors.Error, match="no head of this model judges the turns"):
        model.conversation()

"""Rows to compare on, and the bars that a product must keep to."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em

from affectrt.errors import ExportError, NotFoundError
from affectrt.export import parity as parity_module
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.data import read_data


def report_of(
    head: HeadSpec, source: np.ndarray, product: np.ndarray, rows: list[dict[str, Any]], path: Path
) -> tuple[str, ...]:
    data = read_data(em.write_jsonl(path / "data.jsonl", rows), [head])
    answers = parity_module.ProductAnswers(
        "made up", (product,), (parity_module.decide(head, product),), (product[:1],)
    )
    parity = parity_module.compare_head(head, source, answers, 0, data)
    tokens = parity_module.TokenParity(len(rows), len(rows))
    return parity_module.broken_bars([parity], tokens, parity_module.BARS["int8"])


def test_bars_count_flips_and_losses(tmp_path: Path) -> None:
    head = HeadSpec("h", "multi_label", ("a", "b"), "logits")
    source = np.tile(np.float32([[1.0, -1.0]]), (400, 1))
    rows = [{"text": "x", "labels": ["a"]} for _ in range(400)]
    product = source + np.float32(0.5)
    assert report_of(head, source, product, rows, tmp_path) == ()
    product[0, 0] = -1.0  # one row may flip
    assert report_of(head, source, product, rows, tmp_path) == ()
    product[:24, 0] = -1.0  # in 6 % of the rows; F1 falls by .031
    assert [f.partition(" fell ")[0] for f in report_of(head, source, product, rows, tmp_path)] == [
        "head h on made up: macro_f1",
        "head h on made up: micro_f1",
    ]
    product[:25, 0] = -1.0
    failures = report_of(head, source, product, rows, tmp_path)
    assert "6.25 % of the rows are decided otherwise (25 of 400), bar 6 %" in failures[0]
    assert "fell from 1.0000 to 0.9677, bar 0.0230 less" in failures[1]
    product = source.copy()
    product[:10, 0] = -1.0  # F1 falls by .013: as chance may have it
    assert report_of(head, source, product, rows, tmp_path) == ()
    product[7] = np.nan
    assert "are no numbers" in report_of(head, source, product, rows, tmp_path)[0]

    values = HeadSpec("v", "regression", ("a", "b"), "logits")
    truth = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    rows = [{"text": "x", "value": t.tolist()} for t in truth]
    assert report_of(values, truth, truth * np.float32(1.01), rows, tmp_path) == ()
    # Noise of .04 may cost a Pearson correlation of .005 on 50 rows.
    told = truth + np.random.default_rng(2).normal(size=truth.shape).astype(np.float32) * 2
    small = np.random.default_rng(3).normal(size=truth.shape).astype(np.float32) * 0.08
    assert report_of(values, told, told + small, rows, tmp_path) == ()
    away = 0.08 * (told - truth) / 2  # no noise: all of it leads away from the truth
    lost = report_of(values, told, told + 2 * away, rows, tmp_path)
    assert ["pearson fell from" in failure for failure in lost] == [True]
    noisy = truth + np.random.default_rng(1).normal(size=truth.shape).astype(np.float32) * 0.2
    assert "correlate to" in report_of(values, truth, noisy.astype(np.float32), rows, tmp_path)[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "x"', "line 2: is not a JSON object"),
        ('["x"]', 'line 2: must be an object with a string "text"'),
        ('{"label": "joy"}', 'line 2: must be an object with a string "text"'),
        ('{"text": "x", "pair": 3}', 'line 2: "pair" must be a string'),
        ('{"text": "x", "label": "jou"}', "line 2: head 'default' has no label 'jou'; it has joy"),
        ('{"text": "x", "label": 4}', "line 2: head 'default' has no label 4"),
        ('{"text": "x", "label": true}', "has no label True"),
        ('{"text": "x", "labels": ["joy", "fear"]}', "takes exactly one label"),
        ('{"text": "x", "value": 1.5}', '"value" fits none of the heads'),
        ('{"text": "x", "label": "joy", "value": 1}', "has label and value"),
        ('{"text": "x", "label": "joy", "head": "mood"}', "there is no head 'mood'"),
        ('{"text": "\\ud800"}', "lone surrogate"),
        ('{"text": "\\u00e9" "}', "line 2: is not"),
    ],
)
def test_bad_data_is_named_by_its_line(line: str, message: str, tmp_path: Path) -> None:
    head = HeadSpec("default", "single_label", em.LABELS, "logits")
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "fine", "label": "joy"}\n' + line + "\n", "utf-8")
    with pytest.raises(ExportError) as caught:
        read_data(path, [head])
    assert message in str(caught.value)


def test_data_targets(tmp_path: Path) -> None:
    heads = [
        HeadSpec("emotion", "multi_label", ("a", "b"), "emotion"),
        HeadSpec("vad", "regression", ("v", "d"), "vad"),
    ]
    rows = [
        {"text": "one", "labels": ["b"]},
        {"text": "two", "pair": "deux", "value": [0.5, -1]},
        {"text": "three", "label": 0},
        {"text": "four"},
        {"text": " "},
        {"text": "five", "labels": [], "head": "emotion"},
    ]
    data = read_data(em.write_jsonl(tmp_path / "d.jsonl", rows), heads)
    assert [next(iter(r.targets.values()), None) for r in data.rows] == [
        (0, 1),
        (0.5, -1),
        (1, 0),
        None,
        (0, 0),
    ]
    assert data.tokens_only == (" ",)
    picked, truth = data.truth(heads[0])
    assert picked.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(truth, [[0, 1], [1, 0], [0, 0]])
    with pytest.raises(NotFoundError, match="nowhere"):
        read_data(tmp_path / "nowhere.jsonl", heads)
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    with pytest.raises(ExportError, match="has no rows"):
        read_data(tmp_path / "empty.jsonl", heads)

"""Figures and their intervals against the definitions, written out plainly."""

from __future__ import annotations

import numpy as np
import pytest

from affectrt import metrics


def value(statistics: metrics.Statistics) -> dict[str, float]:
    sums = statistics.rows.sum(axis=0, keepdims=True)
    return {name: float(found[0]) for name, found in statistics.figures(sums).items()}


def test_labels_against_plain_counting() -> None:
    random = np.random.default_rng(0)
    truth, decided = random.random((200, 5)) < 0.3, random.random((200, 5)) < 0.4
    truth[:, 4] = False  # a label that the data never has
    found = value(metrics.label_statistics(decided, truth, exclusive=False))
    each = metrics.f1_per_label(decided, truth)
    assert found["macro_f1"] == pytest.approx(each[:4].mean())
    assert found["micro_f1"] == pytest.approx(metrics.micro_f1(decided, truth))
    assert found["accuracy"] == pytest.approx(metrics.accuracy(decided, truth))
    assert found["weighted_f1"] == pytest.approx((each * truth.sum(0)).sum() / truth.sum())
    for label in range(4):
        hits = (decided & truth)[:, label].sum()
        precision, recall = hits / decided[:, label].sum(), hits / truth[:, label].sum()
        assert each[label] == pytest.approx(2 * precision * recall / (precision + recall))


def test_exclusive_labels_say_accuracy_first() -> None:
    rows = np.eye(3, dtype=bool)
    found = value(metrics.label_statistics(rows, rows[[0, 1, 1]], exclusive=True))
    assert list(found) == ["accuracy", "macro_f1", "weighted_f1"]
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_values_against_plain_formulas() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(1000.0, 1.0, (80, 2))
    values = 0.7 * truth + random.normal(300.0, 0.5, (80, 2))
    truth[3, 1] = np.nan
    found = value(metrics.value_statistics(values, truth, ["valence", "arousal"]))
    for column, name in enumerate(["valence", "arousal"]):
        known = ~np.isnan(truth[:, column])
        x, y = values[known, column], truth[known, column]
        assert found[f"pearson_{name}"] == pytest.approx(np.corrcoef(x, y)[0, 1])
        ccc = 2 * np.cov(x, y, bias=True)[0, 1]
        ccc /= x.var() + y.var() + (x.mean() - y.mean()) ** 2
        assert found[f"ccc_{name}"] == pytest.approx(ccc)
        assert found[f"mean_absolute_error_{name}"] == pytest.approx(np.abs(x - y).mean())
    both = (found["pearson_valence"] + found["pearson_arousal"]) / 2
    assert found["pearson"] == pytest.approx(both)


def test_a_constant_correlates_with_nothing() -> None:
    found = value(metrics.value_statistics([[2.0]] * 3, [[1.0], [2.0], [3.0]], ["v"]))
    assert found["pearson"] == 0.0
    assert found["ccc"] == 0.0


def test_answers() -> None:
    truth = [["the red car"], ["a dog", "cat"], [], []]
    found = value(metrics.answer_statistics(truth, ["red car", "dog", "", "bird"]))
    assert found["f1_pos"] == pytest.approx((1 + 1 + 0) / 3)
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert found["f1_neg"] == pytest.approx(2 * 1 / (1 + 2))
    assert found["f1"] == pytest.approx((1 + 1 + 0 + 1 + 0) / 5)


def test_spans() -> None:
    truth = [[(0, 3, "x")], [(5, 9, "y")]]
    given = [[(0, 3, "x")], [(5, 7, "y"), (0, 1, "x")]]
    found = value(metrics.span_statistics(truth, given, ["x", "y"]))
    assert found["span_f1"] == pytest.approx(2 * 1 / (3 + 2))
    f1_x, f1_y = 2 * 3 / (4 + 3), 2 * 2 / (2 + 4)
    assert found["character_f1"] == pytest.approx((f1_x + f1_y) / 2)


def test_intervals_hold_the_value_and_are_the_same_each_time() -> None:
    random = np.random.default_rng(2)
    truth = random.random((300, 4)) < 0.3
    decided = truth ^ (random.random((300, 4)) < 0.1)
    statistics = metrics.label_statistics(decided, truth, exclusive=False)
    once, again = (metrics.with_intervals(statistics, samples=200, seed=7) for _ in range(2))
    assert once == again
    for figure in once.values():
        assert figure.low < figure.value < figure.high
    few = metrics.label_statistics(decided[:40], truth[:40], exclusive=False)
    narrow, wide = (f["micro_f1"] for f in (once, metrics.with_intervals(few, samples=200)))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_rows_of_a_group_are_drawn_together() -> None:
    """Rows that say the same ten times over are no more evidence than one."""
    random = np.random.default_rng(3)
    truth = random.random((30, 1)) < 0.5
    decided = truth ^ (random.random((30, 1)) < 0.2)
    alone = metrics.label_statistics(decided, truth, exclusive=False)
    many, groups = np.repeat(np.arange(30), 10), np.repeat(np.arange(30), 10)
    tenfold = metrics.label_statistics(decided[many], truth[many], exclusive=False, groups=groups)
    a, b = (metrics.with_intervals(s, samples=300)["accuracy"] for s in (alone, tenfold))
    assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high))

"""The benchmark suite's own machinery, with sides that cost nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import inputs, peers, report, scenarios, sizes, suite, timing

LABELS = ("calm", "glad", "upset")
THRESHOLDS = (0.5, 0.5, 0.5)
TEXTS = [f"text number {n} {'word ' * (n % 7)}".strip() for n in range(64)]
QUICK = scenarios.Setting(
    rounds=2, seconds=0.02, server_rounds=1, server_trial_seconds=0.02, agreement_texts=8
)


class FakeSide:
    """Scores that depend on the text alone, or on its place in the batch where `leaks`."""

    labels = LABELS
    batches = (1, 8)

    def __init__(self, *, wrong: bool = False, leaks: bool = False, log: list[str] | None = None):
        self.wrong, self.leaks, self.log = wrong, leaks, log

    def one(self, text: str) -> list[float]:
        if self.log is not None:
            self.log.append(text)
        place = (len(text) + (1 if self.wrong else 0)) % 3
        return [0.9 if column == place else 0.1 for column in range(3)]

    def many(self, texts: list[str], batch: int) -> list[list[float]]:
        found = [self.one(text) for text in texts]
        return [[0.4, 0.4, 0.4], *found[1:]] if self.leaks else found

    def scores(self, answers: Sequence[Any]) -> Any:
        return np.array(answers, dtype=np.float32)


def peer(tolerance: float | None, flips: float = 0.0) -> peers.Peer:
    return peers.Peer(
        "fake", "a fake", lambda folder, threads: FakeSide(), None, (), tolerance, flips
    )


def pair(other: FakeSide, limit: float = 0.0) -> scenarios.Pair:
    return scenarios.Pair(FakeSide(), other, limit, THRESHOLDS, QUICK)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 0.99, 1.0])
def test_quantiles_are_those_of_numpy(share: float) -> None:
    values = [5.0, 1.0, 4.0, 2.5, 9.0, 7.0, 3.0]
    assert timing.quantile(values, share) == pytest.approx(np.quantile(values, share))
    assert timing.quantile([2.0], share) == 2.0


def test_quantile_of_requests_that_were_never_answered() -> None:
    assert timing.quantile([1.0, float("inf")], 1.0) == float("inf")
    assert timing.quantile([1.0, 2.0, float("inf")], 0.5) == 2.0
    with pytest.raises(ValueError, match="at least one value"):
        timing.quantile([], 0.5)


def test_ratio_goes_turn_by_turn() -> None:
    # The clock doubles its speed half-way: the ratio does not see it, the medians would.
    found = timing.ratio([4.0, 4.0, 2.0, 2.0], [2.0, 2.0, 1.0, 1.0])
    assert (found.median, found.lower, found.upper) == (2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        timing.ratio([1.0], [1.0, 2.0])


def test_sides_take_turns_in_both_orders() -> None:
    seen: list[str] = []
    done: list[tuple[int, int]] = []
    found = timing.interleave(
        {name: lambda name=name: seen.append(name) or len(seen) for name in "ab"},  # type: ignore
        3,
        warmup=1,
        progress=lambda now, of: done.append((now, of)),
    )
    assert "".join(seen) == "ab" + "ab" + "ba" + "ab"
    assert found == {"a": [3, 6, 7], "b": [4, 5, 8]}
    assert done == [(1, 3), (2, 3), (3, 3)]


def test_joined_texts_have_the_length_asked_for() -> None:
    texts = inputs.joined(["one two three", "four five"], 8, 5, lambda t: len(t.split()) + 2)
    assert texts[0] == "one two three four five one"
    assert [len(text.split()) for text in texts] == [6] * 5
    assert inputs.text_set("mixed", ["a", "b", "c"], len, 2) == ["a", "b"]


def test_missing_texts_say_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="beside the checkout"):
        inputs.read_texts([tmp_path / "none.jsonl"])


def test_agreement_of_the_right_answers() -> None:
    side = FakeSide()
    reference = side.scores(side.many(TEXTS, 8))
    found = scenarios.agreement(side, peer(1e-4), TEXTS, reference, THRESHOLDS)
    assert found["flips"] == found["distance"] == found["batch_distance"] == 0.0
    assert found["batch_changed_texts"] == 0


def test_agreement_refuses_wrong_answers() -> None:
    right = FakeSide()
    reference = right.scores(right.many(TEXTS, 8))
    with pytest.raises(scenarios.Disagreement, match=r"scores differ from torch's by 0\.8"):
        scenarios.agreement(FakeSide(wrong=True), peer(1e-4), TEXTS, reference, THRESHOLDS)
    with pytest.raises(scenarios.Disagreement, match=r"66\.67% of the decisions differ"):
        scenarios.agreement(FakeSide(wrong=True), peer(None, 0.02), TEXTS, reference, THRESHOLDS)
    with pytest.raises(scenarios.Disagreement, match="not numbers"):
        scenarios.agreement(right, peer(None), TEXTS, reference * np.nan, THRESHOLDS)
    with pytest.raises(scenarios.Disagreement, match=r"\[64, 3\] against \[63, 3\]"):
        scenarios.agreement(right, peer(None), TEXTS, reference[1:], THRESHOLDS)


def test_agreement_sees_what_a_batch_does() -> None:
    right = FakeSide()
    reference = right.scores(right.many(TEXTS, 8))
    leaky = FakeSide(leaks=True)
    found = scenarios.agreement(leaky, peer(None, 0.02), TEXTS, reference, THRESHOLDS)
    assert found["batch_changed_texts"] == 1
    assert found["batch_distance"] == pytest.approx(0.5)


@pytest.mark.parametrize("name", list(scenarios.SCENARIOS))
def test_every_scenario_refuses_wrong_answers(name: str) -> None:
    with pytest.raises(scenarios.Disagreement, match="differ between the sides"):
        scenarios.SCENARIOS[name](pair(FakeSide(wrong=True), limit=0.02), TEXTS)


@pytest.mark.parametrize("name", ["single", "multi"])
def test_streams_give_percentiles_and_ratios(name: str) -> None:
    log: list[str] = []
    found = scenarios.SCENARIOS[name](pair(FakeSide(log=log)), TEXTS)
    assert log
    for side in ("affectrt", "peer"):
        assert 0 < found[side]["p50"] <= found[side]["p90"] <= found[side]["p99"]
        assert len(found[side]["cdf"]) == 101
        assert found[side]["cdf"] == sorted(found[side]["cdf"])
    assert found["ratio_p50"]["lower"] <= found["ratio_p50"]["median"]


def test_offline_and_call_sizes_report_rates() -> None:
    found = scenarios.offline(pair(FakeSide()), TEXTS)
    assert found["peer"]["batch"] in FakeSide.batches
    assert found["ratio"]["median"] > 0
    calls = scenarios.call_sizes(pair(FakeSide()), TEXTS)
    assert list(calls["affectrt"]) == ["1", "2", "4", "8", "16", "32", "64"]


def test_batcher_takes_all_that_wait() -> None:
    taken: list[list[str]] = []
    waited = scenarios.serve(
        taken.append, ["a", "b", "c", "d", "e"], [0.0, 0.1, 0.2, 0.3, 9.0], cap=2, bound=1.0,
        clock=lambda work: (work(), 1.0)[1],  # type: ignore[func-returns-value]
    )  # fmt: skip
    assert taken == [["a"], ["b", "c"], ["d"], ["e"]]
    # alone from 0; two from 1 to 2; the fourth from 2 to 3; the last after an idle time
    assert waited == pytest.approx([1.0, 1.9, 1.8, 2.7, 1.0])


def test_server_gives_up_on_a_queue_that_only_grows() -> None:
    waited = scenarios.serve(
        lambda batch: None, ["a"], [n * 0.01 for n in range(50)], cap=1, bound=0.05,
        clock=lambda work: 0.1,
    )  # fmt: skip
    assert len(waited) == 50
    assert waited[-1] == float("inf")


def test_bisection_finds_the_rate() -> None:
    assert scenarios.best_rate(lambda rate: rate <= 70, 0, 128, 7) == pytest.approx(70, abs=1)
    assert scenarios.best_rate(lambda rate: False, 0, 128, 7) == 0
    tries = iter([False, True, False, False])  # a rate gets a second chance
    assert scenarios.best_rate(lambda rate: next(tries), 0, 4, 2) == 2


def test_arrivals_are_seeded_and_poisson() -> None:
    times = scenarios.arrivals(4000, 7)
    assert times == scenarios.arrivals(4000, 7) != scenarios.arrivals(4000, 8)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(1, abs=0.1)
    assert gaps.std() == pytest.approx(1, abs=0.1)


def test_scores_come_back_in_the_models_order() -> None:
    rows = [[("upset", 0.7), ("calm", 0.2), ("glad", 0.1)], [("glad", 0.5), ("calm", 0.25)]]
    table = peers.matrix(LABELS, rows)
    assert table[0].tolist() == pytest.approx([0.2, 0.1, 0.7])
    assert np.isnan(table[1, 2])


def test_hand_tuned_sides_keep_the_order_of_the_texts() -> None:
    assert peers.by_length(list("abcde"), [3, 9, 1, 5, 4], 2) == [[1, 3], [4, 0], [2]]
    values, mask = peers.padded([[5, 6, 7], [8]], length=4, rows=3)
    assert values.tolist() == [[5, 6, 7, 0], [8, 0, 0, 0], [0, 0, 0, 0]]
    assert mask.sum(axis=1).tolist() == [3, 1, 0]


def test_installed_size_follows_the_requirements() -> None:
    names = sizes.closure(["affectrt", "no-such-package"])
    assert "affectrt" in names
    assert "numpy" in names
    assert "no-such-package" not in names
    assert sizes.installed_size(["numpy"]) > 1e6


def test_jobs_begin_with_agreement() -> None:
    assert suite.jobs_for(1, ["single"], ["mixed", "128"]) == [
        "agreement", "single/mixed", "single/128",
    ]  # fmt: skip
    assert suite.jobs_for(2, ["calls", "startup"], ["mixed"]) == []


def saved(file: Path) -> suite.Results:
    header = {
        "setting": {"rounds": 2, "seconds": 1.0, "clock": "wall"},
        "model": "abc", "weights": "made up", "note": "",
        "machine": {
            "cpu": "a CPU", "cpus": 2, "load_average": [0.0], "python": "3", "packages": {"x": "1"},
            "revision": "r", "date": "d",
        },
    }  # fmt: skip
    return suite.Results(file, header)


def test_results_survive_and_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "suite.json"
    results = saved(file)
    results.add("fake/1/agreement", {"affectrt": {}, "peer": {}})
    results.add("fake/1/single/mixed", {"ratio_p50": {"median": 2.0, "lower": 2.0, "upper": 2.0}})
    again = saved(file)
    assert again.has("fake/1/single/mixed")

    def no_process(*arguments: object, **options: object) -> None:
        raise AssertionError("started a worker")

    monkeypatch.setattr(suite.subprocess, "Popen", no_process)
    run: list[Any] = [QUICK, tmp_path / "log.txt"]
    suite.measure(again, "fake", 1, ["agreement", "single/mixed"], tmp_path, *run)
    with pytest.raises(AssertionError, match="started a worker"):
        suite.measure(again, "fake", 1, ["agreement", "offline/mixed"], tmp_path, *run)
    assert not list(tmp_path.glob("*.tmp"))


def test_results_of_another_setting_are_not_mixed(tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    results = saved(file)
    results.save()
    with pytest.raises(SystemExit, match="another setting or model"):
        suite.Results(file, {**results.data["header"], "model": "def"})
    assert not suite.Results(file, {"model": "def"}, fresh=True).data["runs"]


def test_report_renders_what_was_measured_and_what_failed(tmp_path: Path) -> None:
    results = saved(tmp_path / "suite.json")
    results.data["peers"] = {
        "transformers": {"title": "The pipeline", "reason": None},
        "broken": {"title": "Broken", "reason": "does not install"},
    }
    setting = pair(FakeSide())
    for job in ("single", "offline", "calls"):
        results.add(f"transformers/1/{job}/mixed", scenarios.SCENARIOS[job](setting, TEXTS))
    run = results.data["runs"]["transformers/1/single/mixed"]
    run["ratio_p50"] = {"median": 8.1234, "lower": 8.0, "upper": 9.0}
    results.add("transformers/1/multi/mixed", {"failed": "Disagreement: 9 %"})
    text = report.markdown(json.loads(results.file.read_text(encoding="utf-8")))
    assert "| The pipeline | 1 | **8.12** (8.00-9.00) |" in text
    assert "- transformers, one text p50, goal 8: **8.12** (8.00-9.00), reached" in text
    assert "- broken: does not install" in text
    assert "- transformers/1/multi/mixed: Disagreement: 9 %" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    pytest.importorskip("matplotlib")
    report.write_report(results.data, tmp_path)
    for name in ("ratios", "latency", "calls"):
        picture = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "<svg" in picture
        assert "transformers" in picture

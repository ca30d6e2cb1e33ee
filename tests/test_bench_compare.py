"""The verdicts of ``python -m bench.compare``, and the parts of the other reports that compute."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from bench import compare

Rounds = list[tuple[float, float, float]]


def rounds(slower: float, jitter: float, count: int = 15, seed: int = 1) -> Rounds:
    """Times of A, B and A again under a clock that drifts twofold from round to round."""
    chance = random.Random(seed)

    def time(factor: float, drift: float) -> float:
        return drift * factor * (1 + chance.uniform(-jitter, jitter))

    found = []
    for _ in range(count):
        drift = chance.uniform(1.0, 2.0)
        found.append((time(1.0, drift), time(slower, drift), time(1.0, drift)))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_same_is_not_slower(seed: int) -> None:
    verdict = compare.judge(rounds(1.0, 0.03, seed=seed))
    assert not verdict.is_slower
    assert not verdict.is_faster
    assert 0 < verdict.noise < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_what_is_slower_past_noise_is_found(seed: int) -> None:
    verdict = compare.judge(rounds(1.10, 0.03, seed=seed))
    assert verdict.is_slower
    assert 1.05 < verdict.slower.median < 1.15
    assert compare.judge(rounds(1 / 1.10, 0.03, seed=seed)).is_faster


def test_noise_hides_what_is_smaller() -> None:
    assert not compare.judge(rounds(1.05, 0.4)).is_slower


def test_less_than_a_percent_never_counts() -> None:
    assert not compare.judge(rounds(1.008, 0.0)).is_slower
    assert compare.judge(rounds(1.02, 0.0)).is_slower


def test_report_says_which_job_is_slower() -> None:
    found = {
        "times": {"single": rounds(1.0, 0.01), "offline": rounds(1.2, 0.01)},
        "different": 0.0,
        "texts": 7,
    }
    table, slower = compare.report(("old", "new"), found, 1)
    assert slower
    single, offline = table.splitlines()[-2:]
    assert "the same, within noise" in single
    assert "**slower**" in offline
    found["times"] = {"single": rounds(1.0, 0.01), "offline": rounds(0.8, 0.01)}
    table, slower = compare.report(("old", "new"), found, 2)
    assert not slower
    assert "faster" in table.splitlines()[-1]
    assert "wall time" in table


def test_difference_is_of_decisions() -> None:
    a = [["joy"], ["anger", "fear"], []]
    assert compare.difference(a, a, 10) == 0
    assert compare.difference(a, [["joy"], ["fear"], ["joy"]], 10) == pytest.approx(2 / 30)


def test_revisions_are_resolved() -> None:
    if not (compare.ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    head = subprocess.run(
        ["git", "-C", str(compare.ROOT), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert compare.resolve("HEAD") == head
    with pytest.raises(SystemExit, match="no-such-revision"):
        compare.resolve("no-such-revision")


def test_a_built_revision_is_not_built_again(tmp_path: Path) -> None:
    (tmp_path / "abc" / "package").mkdir(parents=True)
    assert compare.install("abc", tmp_path) == tmp_path / "abc" / "package"

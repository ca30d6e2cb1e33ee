"""What is measured: MLPerf Inference's scenarios, two sides in turn on the same texts.

Each scenario returns a dict for the results file: figures of both sides and the ratio, peer to
affectrt in times and affectrt to peer in rates: above 1 affectrt is ahead.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .peers import FloatArray, Peer, Side
from .timing import interleave, latencies, percentiles, ratio, seconds, spread

MULTISTREAM = 8
SERVER_BOUND = 0.05
"""p99 of a request's latency that a server has to hold, in seconds."""
_CAPS = (1, 2, 4, 8, 16, 32, 64)
_CALL_SIZES = (1, 2, 4, 8, 16, 32, 64)
CALIBRATION = 8  # texts that tell how long a round may be


class Disagreement(Exception):
    """A side's answers are not those of the model: its speed means nothing."""


@dataclass(frozen=True)
class Setting:
    """How long to measure: `seconds` for both sides of a scenario together, in `rounds` turns."""

    rounds: int = 8
    seconds: float = 3.0
    server_rounds: int = 2
    server_trial_seconds: float = 0.5
    agreement_texts: int = 128
    texts: int = 512
    clock: str = "wall"


def flips(scores: FloatArray, other: FloatArray, thresholds: Sequence[float]) -> float:
    """The share of decisions that differ.

    Raises `Disagreement` on scores of another shape and on scores that are not numbers."""
    if scores.shape != other.shape:
        raise Disagreement(f"scores {list(scores.shape)} against {list(other.shape)}")
    if not (np.isfinite(scores).all() and np.isfinite(other).all()):
        raise Disagreement("some scores are missing or not numbers")
    floors = np.asarray(thresholds, dtype=np.float32)
    return float(((scores >= floors) != (other >= floors)).mean())


def agreement(
    side: Side, peer: Peer, texts: list[str], reference: FloatArray, thresholds: Sequence[float]
) -> dict[str, Any]:
    """How near a side is to plain torch, and whether an answer depends on its batch.

    Raises `Disagreement` when it is further than `peer` allows.
    """
    alone = side.scores([side.one(text) for text in texts])
    batched = side.scores(side.many(texts, 32))
    different = flips(alone, reference, thresholds)
    distance = float(np.abs(alone - reference).max())
    if peer.tolerance is not None and distance > peer.tolerance:
        raise Disagreement(
            f"{peer.name}: scores differ from torch's by {distance:.2g}, "
            f"more than {peer.tolerance:g}"
        )
    if different > peer.flips:
        raise Disagreement(
            f"{peer.name}: {different:.2%} of the decisions differ from torch's, "
            f"more than {peer.flips:.1%}"
        )
    in_batch = flips(batched, reference, thresholds)
    if in_batch > peer.flips:
        raise Disagreement(
            f"{peer.name}: {in_batch:.2%} of the decisions in batches differ from torch's, "
            f"more than {peer.flips:.1%}"
        )
    floors = np.asarray(thresholds, dtype=np.float32)
    changed = ((alone >= floors) != (batched >= floors)).any(axis=1)
    return {
        "texts": len(texts),
        "flips": different,
        "distance": distance,
        "batch_distance": float(np.abs(alone - batched).max()),
        "batch_changed_texts": int(changed.sum()),
    }


@dataclass
class Pair:
    """affectrt and one peer, to be measured in turn."""

    own: Side
    peer: Side
    limit: float
    """Share of decisions in which the two may differ."""
    thresholds: Sequence[float]
    setting: Setting
    progress: Callable[[int, int], object] | None = None

    def sides(self) -> dict[str, Side]:
        return {"affectrt": self.own, "peer": self.peer}

    def check(self, ask: Callable[[Side], Sequence[Any]]) -> None:
        """Raises `Disagreement` unless both sides decide alike, but for `limit` and what chance
        adds to it (three standard deviations) where the decisions are few."""
        found = [side.scores(ask(side)) for side in (self.own, self.peer)]
        different = flips(found[0], found[1], self.thresholds)
        chance = 3 * (self.limit * (1 - self.limit) / max(found[0].size, 1)) ** 0.5
        if different > self.limit + chance:
            raise Disagreement(
                f"{different:.2%} of {found[0].size} decisions differ between the sides, "
                f"more than {self.limit:.1%} and chance"
            )


def _per_round(pair: Pair, ask: Callable[[Side], float], most: int) -> int:
    """Items a round and side may take, for the scenario to last about as long as the setting says.

    `ask` returns the seconds that one item takes a side.
    """
    both = sum(min(ask(side) for _ in range(2)) for side in pair.sides().values())
    wanted = pair.setting.seconds / pair.setting.rounds / max(both, 1e-6)
    return max(4, min(most, int(wanted)))


def _streams(
    pair: Pair, queries: Sequence[Any], call: Callable[[Side, Any], Any]
) -> dict[str, Any]:
    """Latencies of one query after another."""

    def probe(side: Side) -> float:
        return seconds(lambda: [call(side, q) for q in queries[:CALIBRATION]]) / CALIBRATION

    count = _per_round(pair, probe, len(queries))
    # The same in every turn: some peers compile for each new length, once; that is their warm-up.
    chosen = queries[:count]
    times = interleave(
        {
            name: lambda s=side: latencies(lambda q: call(s, q), chosen)  # type: ignore[misc]
            for name, side in pair.sides().items()
        },
        pair.setting.rounds,
        progress=pair.progress,
    )
    report: dict[str, Any] = {
        name: percentiles([t for round_ in times[name] for t in round_]) for name in times
    }
    for share in ("p50", "p90", "p99"):
        by_round = {n: [percentiles(r)[share] for r in times[n]] for n in times}
        report[f"ratio_{share}"] = ratio(by_round["peer"], by_round["affectrt"]).to_dict()
    for name in times:
        every = sorted(round(t, 7) for round_ in times[name] for t in round_)
        report[name]["cdf"] = [every[int(i * (len(every) - 1) / 100)] for i in range(101)]
    return report


def single_stream(pair: Pair, texts: list[str]) -> dict[str, Any]:
    """One text at a time: p50, p90, p99 of the latency."""
    pair.check(lambda side: [side.one(t) for t in texts[:CALIBRATION]])
    return _streams(pair, texts, lambda side, text: side.one(text))


def multi_stream(pair: Pair, texts: list[str]) -> dict[str, Any]:
    """Eight texts at a time: latency until all have their answers."""
    queries = [texts[i : i + MULTISTREAM] for i in range(0, len(texts) - 7, MULTISTREAM)]
    pair.check(lambda side: side.many(queries[0], MULTISTREAM))
    return _streams(pair, queries, lambda side, query: side.many(query, MULTISTREAM))


def offline(pair: Pair, texts: list[str]) -> dict[str, Any]:
    """All texts at once: utterances a second, each side in its best batch size."""
    batches: dict[str, int] = {}
    first = texts[:CALIBRATION]
    slowest = max(seconds(lambda s=s: s.many(first, 1)) for s in pair.sides().values())  # type: ignore[misc]
    # About a second for every trial; long texts gain nothing from large batches.
    few = texts[: max(CALIBRATION, min(64, int(CALIBRATION / slowest)))]
    for name, side in pair.sides().items():
        tried = {}
        for batch in [b for b in side.batches if b <= len(few)]:
            side.many(few, batch)
            tried[batch] = seconds(lambda s=side, b=batch: s.many(few, b))  # type: ignore[misc]
        batches[name] = min(tried, key=tried.__getitem__)
    pair.check(lambda side: side.many(few, 32))
    count = _per_round(
        pair,
        lambda side: (
            seconds(lambda: side.many(few, batches["affectrt" if side is pair.own else "peer"]))
            / len(few)
        ),
        len(texts),
    )
    chosen = texts[: max(count, CALIBRATION)]

    def turn(name: str, side: Side) -> float:
        return len(chosen) / seconds(lambda: side.many(chosen, batches[name]))

    rates = interleave(
        {n: (lambda n=n, s=s: turn(n, s)) for n, s in pair.sides().items()},  # type: ignore[misc]
        pair.setting.rounds,
        progress=pair.progress,
    )
    return {
        **{n: {"per_second": spread(rates[n]).to_dict(), "batch": batches[n]} for n in rates},
        "texts": len(chosen),
        "ratio": ratio(rates["affectrt"], rates["peer"]).to_dict(),
    }


def call_sizes(pair: Pair, texts: list[str]) -> dict[str, Any]:
    """Utterances a second by the number of texts in a call, without looking ahead."""
    report: dict[str, Any] = {name: {} for name in pair.sides()}
    for step, size in enumerate(_CALL_SIZES, start=1):
        for name, rate in _rates_of_calls(pair, texts, size).items():
            report[name][str(size)] = rate
        if pair.progress is not None:
            pair.progress(step, len(_CALL_SIZES))
    return report


def _rates_of_calls(pair: Pair, texts: list[str], size: int) -> dict[str, float]:
    calls = [texts[i : i + size] for i in range(0, len(texts) - size + 1, size)]

    def answer(side: Side, count: int) -> list[Sequence[Any]]:
        return [side.many(call, size) for call in calls[:count]]

    pair.check(lambda side: answer(side, 1)[0])
    both = sum(seconds(lambda s=s: answer(s, 1)) for s in pair.sides().values())  # type: ignore[misc]
    share = pair.setting.seconds / len(_CALL_SIZES) / 2
    count = max(1, min(len(calls), int(share / both)))
    rates = interleave(
        {
            name: lambda s=side: count * size / seconds(lambda: answer(s, count))  # type: ignore[misc]
            for name, side in pair.sides().items()
        },
        2,
        warmup=0,
    )
    return {name: max(found) for name, found in rates.items()}


def arrivals(count: int, seed: int) -> list[float]:
    """Times of a Poisson process of rate 1; divide by the rate wanted."""
    source = random.Random(seed)
    now = 0.0
    times = []
    for _ in range(count):
        now += source.expovariate(1.0)
        times.append(now)
    return times


def serve(
    answer: Callable[[list[str]], object],
    texts: Sequence[str],
    times: Sequence[float],
    cap: int,
    bound: float,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> list[float]:
    """Latencies of requests that arrive at `times`, behind a dynamic batcher.

    When the side is free it takes all that wait, `cap` at most. Batches are computed in earnest,
    their duration measured; the time between them, when nobody waits, is skipped, and so are a
    server's own costs, which are the same for all. Gives up once a request has waited ten times the
    bound: the queue only grows.
    """
    now, place = 0.0, 0
    waited: list[float] = []
    while place < len(times):
        now = max(now, times[place])
        if now - times[place] > 10 * bound:
            return [*waited, *[float("inf")] * (len(times) - place)]
        end = place + 1
        while end < len(times) and end - place < cap and times[end] <= now:
            end += 1
        batch = [texts[i % len(texts)] for i in range(place, end)]
        now += clock(lambda batch=batch: answer(batch))  # type: ignore[misc]
        waited += [now - t for t in times[place:end]]
        place = end
    return waited


def best_rate(holds: Callable[[float], bool], low: float, high: float, steps: int) -> float:
    """The highest rate in `[low, high]` that holds, by bisection; a rate gets a second chance."""
    for _ in range(steps):
        middle = (low + high) / 2
        if holds(middle) or holds(middle):
            low = middle
        else:
            high = middle
    return low


def server(pair: Pair, texts: list[str]) -> dict[str, Any]:
    """The best Poisson rate at which the p99 latency stays within `SERVER_BOUND`."""
    setting = pair.setting
    pair.check(lambda side: side.many(texts[:CALIBRATION], CALIBRATION))
    caps, capacity = {}, {}
    for name, side in pair.sides().items():
        caps[name] = 1
        capacity[name] = 0.0
        for cap in _CAPS:
            if cap > len(texts):
                break
            batch = texts[:cap]
            side.many(batch, cap)
            took = min(seconds(lambda: side.many(batch, cap)) for _ in range(2))  # noqa: B023
            if took > SERVER_BOUND / 2 and cap > 1:
                break
            caps[name] = cap
            capacity[name] = max(capacity[name], cap / took)

    bracket = {name: (0.0, 1.5 * capacity[name]) for name in caps}
    found: dict[str, int] = {name: 0 for name in caps}

    def turn(name: str, side: Side) -> float:
        seed = found[name]

        def holds(rate: float) -> bool:
            count = max(100, int(rate * setting.server_trial_seconds))
            times = [t / rate for t in arrivals(count, seed)]
            waited = serve(
                lambda batch: side.many(batch, len(batch)), texts, times, caps[name], SERVER_BOUND
            )
            return percentiles(waited)["p99"] <= SERVER_BOUND

        low, high = bracket[name]
        rate = best_rate(holds, low, high, 6 if seed == 0 else 4)
        bracket[name] = (0.7 * rate, 1.3 * rate or high)
        found[name] += 1
        return rate

    rates = interleave(
        {n: (lambda n=n, s=s: turn(n, s)) for n, s in pair.sides().items()},  # type: ignore[misc]
        setting.server_rounds,
        warmup=0,
        progress=pair.progress,
    )
    lowest = min(rates["peer"])
    return {
        **{n: {"per_second": spread(rates[n]).to_dict(), "cap": caps[n]} for n in rates},
        "bound_seconds": SERVER_BOUND,
        "ratio": ratio(rates["affectrt"], rates["peer"]).to_dict() if lowest > 0 else None,
    }


SCENARIOS: dict[str, Callable[[Pair, list[str]], dict[str, Any]]] = {
    "single": single_stream,
    "multi": multi_stream,
    "server": server,
    "offline": offline,
    "calls": call_sizes,
}

"""The smallest set of layers that need more than int8, by what they cost on data.

A *unit* is what is multiplied as one (query, key and value; the other matrices one by one) or an
embedding table. Units stand at one of the *levels* of an engine, int8 first. The search:

1. all at int8: done if the bar holds;
2. the first level at which all units together hold the bar; what lies below it is the base;
3. each unit's sensitivity, the logit error that it alone adds at the base to all others above;
4. the shortest list of units, by error for what raising them costs in time and bytes, that holds
   the bar (by bisection), less those that a later and larger one made superfluous.

Every measurement is kept in a JSON file, so that a run that was stopped goes on, and the same data
gives the same set.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from affectrt.errors import ExportError

from .whole_files import write_whole

LEVELS = {
    "native": ("int8", "int8-accurate", "fp32"),
    "onnxruntime": ("int8", "fp32"),
}
# Time of a multiplication at each level: ratios of the native engine's GEMM peaks on AVX2 (98, 80
# and 51 GMAC/s a thread, docs/export.md). An estimate of products, not of attention and the rest.
TIME = {"int8": 1.0, "int8-accurate": 98 / 80, "fp32": 98 / 51}
BYTES = {"int8": 1, "int8-accurate": 1, "fp32": 4}

Progress = Callable[[str], object]
Plan = dict[str, str]  # unit -> level; units that are left out stand at int8


@dataclass(frozen=True)
class Bar:
    """What a product may lose: at most ``bound`` of a task metric (``"loss"``: of the one that
    falls most, over all heads), or the share of flipped decisions (``"flips"``: of the head with
    the most)."""

    kind: str
    bound: float

    def __str__(self) -> str:
        return f"loss of {self.bound:g}" if self.kind == "loss" else f"{100 * self.bound:g} % flips"


@dataclass(frozen=True)
class Unit:
    """What is raised together. `weights` are names without ``.weight``."""

    name: str
    weights: tuple[str, ...]
    values: int
    macs: int  # multiplications for each token; 0 for a table


@dataclass(frozen=True)
class Speed:
    """Time of a plan for a text, one thread, beside that of all at int8 in the same moments."""

    ms: float  # medians over the texts
    base_ms: float
    ratio: float  # plan / all at int8: median over groups of texts, and its quartiles
    low: float
    high: float
    texts: int


# Bytes, flips, loss, error and speed of a plan, as `Point` has them.
Figures = tuple[int, float, float | None, float, Speed | None]


@dataclass(frozen=True)
class Point:
    """One plan, measured."""

    levels: str  # a digit for each unit, the index of its level
    size: int  # bytes of the engine's entry
    time: float  # estimated, all at int8 being 1
    flips: float
    loss: float | None  # None: no row has a target
    error: float  # mean over heads of mean squared logit error / variance of the source's logits
    speed: Speed | None = None  # None: not measured

    def value(self, bar: Bar) -> float:
        """What the bar bounds."""
        return self.flips if bar.kind == "flips" or self.loss is None else self.loss


@dataclass
class Search:
    """What was found on one engine, and on the way there."""

    engine: str
    bar: Bar
    units: tuple[Unit, ...]
    levels: tuple[str, ...]
    points: dict[str, Point] = field(default_factory=dict)
    sensitivity: dict[str, float] = field(default_factory=dict)  # unit -> error it adds at the base
    chosen: str = ""

    def plan(self) -> Plan:
        """Units above int8 in what was chosen."""
        pairs = zip(self.units, self.chosen, strict=True)
        return {u.name: self.levels[int(d)] for u, d in pairs if d != "0"}

    def weights(self, level: str) -> tuple[str, ...]:
        """Names of the weights that stand at a level above int8."""
        plan = self.plan()
        return tuple(w for u in self.units if plan.get(u.name) == level for w in u.weights)

    def cost(self, unit: Unit, low: str, high: str) -> tuple[int, float]:
        """What raising a unit costs: bytes, and time as a share of that of all at int8."""
        total = sum(u.macs for u in self.units) or 1
        added = unit.values * (BYTES[high] - BYTES[low])
        return added, unit.macs * (TIME[high] - TIME[low]) / total

    def time(self, levels: str) -> float:
        """Estimated time of all products, all at int8 being 1."""
        total = sum(u.macs for u in self.units) or 1
        pairs = zip(self.units, levels, strict=True)
        return sum(u.macs * TIME[self.levels[int(d)]] for u, d in pairs) / total

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "engine": self.engine,
            "bar": asdict(self.bar),
            "levels": list(self.levels),
            "units": [asdict(unit) for unit in self.units],
            "sensitivity": self.sensitivity,
            "points": [asdict(p) for _, p in sorted(self.points.items())],
            "chosen": self.chosen,
            "plan": self.plan() if self.chosen else None,
        }

    def to_text(self) -> str:
        """What each choice costs, for people."""
        start, end = self.points["0" * len(self.units)], self.points[self.chosen]
        what = "loss" if self.bar.kind == "loss" else "flips"
        lines = [f"search on {self.engine}, bar {self.bar}: all at int8 {_shown(start, self.bar)}"]
        if self.chosen == start.levels:
            return f"{lines[0]}, which holds it: nothing needs more"
        if self.sensitivity:
            low, high = self._step()
            lines.append(f"  what {high} in place of {low} costs, by what it is worth:")
            for name in self.order():
                unit = next(u for u in self.units if u.name == name)
                added, time = self.cost(unit, low, high)
                mark = "+" if self.levels[int(self.chosen[self.units.index(unit)])] == high else " "
                lines.append(
                    f"  {mark} {name:<44} error {self.sensitivity[name]:.2e}  "
                    f"{added / 1e6:+7.2f} MB  time {100 * time:+5.1f} %"
                )
        lines.append(
            f"  chosen: {len(self.plan())} of {len(self.units)} units above int8, {what} "
            f"{_shown(end, self.bar)}, {(end.size - start.size) / 1e6:+.2f} MB, estimated time "
            f"{100 * (end.time - start.time):+.1f} %"
        )
        if end.speed is not None:
            speed = end.speed
            lines.append(
                f"  measured: {speed.ms:.2f} ms a text, all at int8 {speed.base_ms:.2f} ms; time "
                f"{100 * (speed.ratio - 1):+.1f} % (quartiles {100 * (speed.low - 1):+.1f} to "
                f"{100 * (speed.high - 1):+.1f} %, {speed.texts} texts, one thread)"
            )
        return "\n".join(lines)

    def order(self) -> list[str]:
        """Units by error for what raising them costs, the best first."""
        low, high = self._step()
        bytes_at_int8 = sum(u.values for u in self.units)

        def worth(unit: Unit) -> float:
            added, time = self.cost(unit, low, high)
            return self.sensitivity[unit.name] / max(time + added / bytes_at_int8, 1e-9)

        known = [u for u in self.units if u.name in self.sensitivity]
        return [u.name for u in sorted(known, key=lambda u: (-worth(u), u.name))]

    def _step(self) -> tuple[str, str]:
        high = max(int(d) for d in self.chosen) if self.chosen else 1
        return self.levels[high - 1], self.levels[high]


def _shown(point: Point, bar: Bar) -> str:
    value = point.value(bar)
    return f"{value:+.4f}" if bar.kind == "loss" else f"{100 * value:.3f} %"


def search(
    found: Search,
    measure: Callable[[Plan], Figures],
    *,
    state: Path | None,
    identity: Mapping[str, Any],
    progress: Progress,
) -> Search:
    """Fill `found` in.

    Args:
        found: with units and levels alone.
        measure: gives the figures of a plan. Choices rest on bytes, estimated times and errors
            alone, so that a noisy machine finds the same set.
        state: a JSON file of measurements, read where it is of the same `identity`, and written
            after each; None: none is kept.

    Raises:
        ExportError: not even the highest level of all units holds the bar, or there is nothing
            that the bar could be measured by.
    """
    _resume(found, state, identity)
    count = len(found.units)

    def at(levels: str) -> Point:
        if levels not in found.points:
            pairs = zip(found.units, levels, strict=True)
            plan = {u.name: found.levels[int(d)] for u, d in pairs if d != "0"}
            size, flips, loss, error, speed = measure(plan)
            time = found.time(levels)
            found.points[levels] = Point(levels, size, time, flips, loss, error, speed)
            _keep(found, state, identity)
            raised = sum(d != "0" for d in levels)
            said = _shown(found.points[levels], found.bar)
            progress(f"search on {found.engine}: {raised} of {count} units above int8: {said}")
        return found.points[levels]

    def holds(levels: str) -> bool:
        return at(levels).value(found.bar) <= found.bar.bound

    def together(level: int) -> str:
        # A table has no product, and so nothing between int8 and float.
        high = found.levels[level] == "fp32"
        return "".join(str(level) if u.macs or high else "0" for u in found.units)

    if found.bar.kind == "loss" and at(together(0)).loss is None:
        raise ExportError("no row has a target that a metric could be computed of: give --data "
                          "with targets, or --max-flips")  # fmt: skip
    for low, high in itertools.pairwise(range(len(found.levels))):
        base, ceiling = together(low), together(high)
        if holds(base):
            found.chosen = base
            break
        raisable = [i for i, digit in enumerate(ceiling) if digit == str(high)]
        if not holds(ceiling):
            continue
        found.chosen = ceiling  # for _step(), until there is a better one
        for i in raisable:
            lowered = at(ceiling[:i] + base[i] + ceiling[i + 1 :])
            found.sensitivity[found.units[i].name] = max(lowered.error - at(ceiling).error, 0.0)
        names = [u.name for u in found.units]
        order = [names.index(name) for name in found.order()]
        errors = [found.sensitivity.get(name, 0.0) for name in names]
        found.chosen = _fewest(order, errors, base, str(high), holds)
        break
    if not found.chosen:
        best = at(together(len(found.levels) - 1))
        raise ExportError(
            f"not even {found.levels[-1]} of all layers on {found.engine} holds a {found.bar}: it "
            f"has {_shown(best, found.bar)}; allow more"
        )
    _keep(found, state, identity)
    return found


def _fewest(
    order: Sequence[int],
    errors: Sequence[float],
    base: str,
    high: str,
    holds: Callable[[str], bool],
) -> str:
    """`base` with the shortest beginning of `order` raised that holds, less what is not needed.

    What adds more error than the last of them is never lowered again: if the bar held without it,
    then by luck with these rows.
    """

    def raised(units: Sequence[int]) -> str:
        return "".join(high if i in units else d for i, d in enumerate(base))

    few, enough = 0, len(order)  # `few` are too few
    while enough - few > 1:
        middle = (few + enough) // 2
        if holds(raised(order[:middle])):
            enough = middle
        else:
            few = middle
    kept = list(order[:enough])
    last = order[enough - 1]
    for unit in reversed(order[: enough - 1]):
        if errors[unit] >= errors[last]:
            continue
        without = [i for i in kept if i != unit]
        if without and holds(raised(without)):
            kept = without
    return raised(kept)


def _resume(found: Search, state: Path | None, identity: Mapping[str, Any]) -> None:
    if state is None or not state.exists():
        return
    try:
        stored = json.loads(state.read_text("utf-8"))
        if stored["identity"][found.engine] != dict(identity):
            return
        of_engine = stored["searches"][found.engine]
        if [u["name"] for u in of_engine["units"]] == [u.name for u in found.units]:
            found.points = {p["levels"]: _point(p) for p in of_engine["points"]}
    except (KeyError, TypeError, ValueError):
        raise ExportError(
            f"{state}: is no record of a search; move it away or name another file"
        ) from None


def _point(stored: Mapping[str, Any]) -> Point:
    speed = stored.get("speed")
    return Point(**{**stored, "speed": None if speed is None else Speed(**speed)})


def _keep(found: Search, state: Path | None, identity: Mapping[str, Any]) -> None:
    if state is None:
        return
    whole: dict[str, Any] = {"identity": {}, "searches": {}}
    if state.exists():
        whole = json.loads(state.read_text("utf-8"))
    whole["identity"][found.engine] = dict(identity)
    whole["searches"][found.engine] = found.to_dict()
    write_whole(state, json.dumps(whole, indent=1) + "\n")

"""The measurements of `affectrt bench`: sides in turn, so that their ratio outlives a drifting
clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..loading import load_text
from ..model import Model

_SLICE = 16  # texts asked one by one before the other side's turn
_LEAST_TURNS = 6  # of whole calls, when the time allows

# In a process of its own: what import, load and the first answer take of a bare interpreter.
_STARTUP = """
import json, sys, time
def resident():
    try:
        for line in open("/proc/self/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
path, backend, threads, providers, text = json.loads(sys.argv[1])
before = resident()
t0 = time.perf_counter()
import affectrt
t1 = time.perf_counter()
model = affectrt.load(path, backend=backend, num_threads=threads, providers=providers)
t2 = time.perf_counter()
model(text)
t3 = time.perf_counter()
after = resident()
print(json.dumps({
    "import_ms": (t1 - t0) * 1e3, "load_ms": (t2 - t1) * 1e3, "first_answer_ms": (t3 - t2) * 1e3,
    "resident_bytes": after - before if before and after else None,
}))
"""


@dataclass
class Times:
    """What one side took, in seconds."""

    single: list[float] = field(default_factory=list)  # one text a call
    slices: list[float] = field(default_factory=list)  # medians over a turn of single calls
    whole: list[float] = field(default_factory=list)  # all texts in one call


@dataclass
class Side:
    """One model on one backend."""

    path: str
    backend: str
    providers: list[str] | None
    startup: dict[str, Any] = field(default_factory=dict)
    models: dict[int, Model] = field(default_factory=dict)  # by number of threads
    times: dict[int, Times] = field(default_factory=dict)

    def open(self, threads: int) -> Model:
        """The model on `threads` threads, loaded once."""
        if threads not in self.models:
            self.models[threads] = load_text(
                self.path, backend=self.backend, num_threads=threads, providers=self.providers
            )
        return self.models[threads]

    def start(self, threads: int, text: str) -> None:
        """Fills `startup`; what cannot be measured on this system stays away."""
        given = json.dumps([self.path, self.backend, threads, self.providers, text])
        try:
            done = subprocess.run(
                [sys.executable, "-c", _STARTUP, given],
                capture_output=True,
                check=False,
                env={**os.environ, "PYTHONUTF8": "1"},
            )
        except OSError:
            return
        if done.returncode == 0:
            self.startup = json.loads(done.stdout)


def token_counts(model: Model, texts: Sequence[str]) -> list[int]:
    """Tokens of each text as the model reads them, special tokens included."""
    encodings = model.tokenizer.encode_batch(list(texts), with_offsets=False)
    most = model.info.max_tokens
    return [min(len(e), most) if most else len(e) for e in encodings]


def _seconds(model: Model, texts: str | list[str]) -> float:
    start = time.perf_counter()
    model(texts)
    return time.perf_counter() - start


def measure(sides: Sequence[Side], texts: Sequence[str], threads: int, budget: float) -> int:
    """Fills `times[threads]` of every side within about `budget` seconds, one call at least each.

    Returns how many texts, from the first, went into a whole call: all of them, or as many as leave
    time for several turns.
    """
    models = [side.open(threads) for side in sides]
    for side in sides:
        side.times[threads] = Times()
    begin = time.monotonic()
    pace = max(min(_seconds(model, texts[0]) for _ in range(2)) for model in models)
    place = turn = 0
    while turn == 0 or time.monotonic() - begin < budget / 2:
        texts_now = [texts[(place + i) % len(texts)] for i in range(min(_SLICE, len(texts)))]
        place += len(texts_now)
        for index in _order(len(sides), turn):
            times = sides[index].times[threads]
            taken = []
            for text in texts_now:
                taken.append(_seconds(models[index], text))
                if sum(taken) > budget / 2 / len(sides):
                    break
            times.single += taken
            times.slices.append(float(np.median(taken)))
        turn += 1
    pace = max(pace, *(float(np.mean(side.times[threads].single)) for side in sides))
    fitting = int(budget / 2 / (len(sides) * _LEAST_TURNS * pace))
    count = max(1, min(len(texts), fitting))
    some = list(texts[:count])
    begin = time.monotonic()
    turn = 0
    while turn == 0 or time.monotonic() - begin < budget / 2:
        for index in _order(len(sides), turn):
            sides[index].times[threads].whole.append(_seconds(models[index], some))
        turn += 1
    return count


def _order(count: int, turn: int) -> list[int]:
    """A B in even turns, B A in odd ones: a steady drift of the clock favours nobody."""
    return list(range(count)) if turn % 2 == 0 else list(range(count))[::-1]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {"median": median, "lower": lower, "upper": upper}


def agreement(sides: Sequence[Side], texts: Sequence[str], threads: int) -> float | None:
    """The share of texts on which two sides decide the same labels; None where they know others."""
    first, second = (side.open(threads) for side in sides)
    if first.labels() != second.labels():
        return None
    answers = zip(first(list(texts)), second(list(texts)), strict=True)
    same = [set(a.decided) == set(b.decided) for a, b in answers]
    return sum(same) / len(same)

"""Heads that no manifest may have: a name, what the refusal says, what differs from a right one."""

from __future__ import annotations

from typing import Any

NAN = float("nan")
HEAD_LIES: list[tuple[str, str, dict[str, Any]]] = [
    ("best-zero", r"thresholds\[1\]: is 0", {"task": "single_label", "thresholds": [1, 0]}),
    ("best-tiny", r"thresholds\[0\]", {"task": "single_label", "thresholds": [1e-300, 1]}),
    ("best-negative", r"thresholds\[0\]", {"task": "ordinal", "thresholds": [-0.5, 1]}),
    ("best-above", r"thresholds\[1\]", {"task": "ordinal", "thresholds": [1, 1.5]}),
    ("best-few", "1 thresholds for 2", {"task": "single_label", "thresholds": [0.5]}),
    ("best-nan", "not valid JSON", {"task": "single_label", "thresholds": [NAN, 1]}),
    ("ranges-here", "only a regression head has ranges", {"ranges": [[0, 1], [0, 1]]}),
    ("ranges-few", "1 ranges for 2", {"task": "regression", "ranges": [[0, 1]]}),
    ("ranges-equal", "not below", {"task": "regression", "ranges": [[0, 1], [1, 1]]}),
    ("ranges-order", "not below", {"task": "regression", "ranges": [[1, 0], [0, 1]]}),
    ("ranges-huge", r"ranges\[0\]\[1\]", {"task": "regression", "ranges": [[0, 1e300], [0, 1]]}),
    ("ranges-nan", "not valid JSON", {"task": "regression", "ranges": [[NAN, 1], [0, 1]]}),
    ("ranges-deep", r"ranges\[0\]\[0\]", {"task": "regression", "ranges": [[[0], 1], [0, 1]]}),
    ("margin-here", "only a span head has a margin", {"margin": 0}),
    ("margin-huge", "margin", {"task": "span", "margin": 1e10}),
    ("margin-inf", "not valid JSON", {"task": "span", "margin": float("inf")}),
    ("margin-text", "margin", {"task": "span", "margin": "0"}),
    ("input-list", "input", {"input": ["turn"]}),
    ("input-long", "input", {"input": "t" * 100_000}),
    ("input-newer", r"input: is \"smell\"", {"input": "smell"}),
    ("question-of-labels", "only a head that reads tokens", {"input": "question"}),
    ("layer-negative", "layer: is -1", {"layer": -1}),
    ("layer-huge", "layer", {"layer": 2**63}),
    ("layer-half", "layer: is 0.5", {"layer": 0.5}),
    ("layer-null", "layer: is null", {"layer": None}),
    ("pooling-newer", r"pooling: is \"max\"", {"pooling": "max"}),
    ("pooling-list", "pooling", {"pooling": ["mean"]}),
    ("pooling-of-tokens", "reads every token", {"task": "token_flags", "pooling": "cls"}),
]
# Of these tasks a right head has less than the one that the lies are told of.
WITHOUT = {
    "single_label": ("thresholds",),
    "ordinal": ("thresholds",),
    "regression": ("thresholds", "calibration", "unsure_below"),
    "span": ("thresholds", "unsure_below"),
    "token_flags": ("unsure_below",),
}


def told(head: dict[str, Any], lie: dict[str, Any]) -> dict[str, Any]:
    """`head` with a lie, and without what its task cannot have."""
    dropped = WITHOUT.get(lie.get("task", ""), ())
    return {key: value for key, value in head.items() if key not in dropped} | lie

"""Records as JSON, one a line."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(str(np.float32(value)))
    if isinstance(value, dict):
        # Times are exact: a float32 of them would be milliseconds off after some hours.
        return {k: entry if k.endswith("_s") else _short(entry) for k, entry in value.items()}
    if isinstance(value, list):
        return [_short(entry) for entry in value]
    return value


def json_line(record: dict[str, Any]) -> str:
    """A record on one line; floats are the shortest decimals that are the same float32, but for
    times, keys that end in "_s", which are written as they are."""
    return json.dumps(_short(record), ensure_ascii=False)

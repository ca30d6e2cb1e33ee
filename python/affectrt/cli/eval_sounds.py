"""The part of `affectrt eval` that judges answers to sound."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, NotFoundError
from ..info import HeadInfo
from ..metrics import (
    Figure,
    label_statistics,
    recall_statistics,
    value_statistics,
    with_intervals,
)
from ..sounds import TARGET_KEYS
from ..speech import SpeechModel

_USUAL = ("label", "labels", "value", "values")


def sound_figures(
    model: SpeechModel, args: argparse.Namespace, renamed: Mapping[str, str]
) -> tuple[HeadInfo, int, dict[str, Figure]]:
    """The head that is judged, how many clips have a target, and its figures."""
    name = args.head or model.heads[0]
    model.labels(name)  # says what heads there are, where this is none
    head = model.info.heads[model.heads.index(name)]
    path = Path(args.data)
    keys = (args.target,) if args.target else (name, *TARGET_KEYS.get(name, ()), *_USUAL)
    files, targets = [], []
    for where, record in _records(path, args.split):
        target = _target(head, record, keys, renamed, where)
        if target is not None:
            files.append(str(path.parent / record["file"]))
            targets.append(target)
    if not files:
        raise InputError(
            f"{path}: no row has a target of head {name!r}; looked for {', '.join(keys)}; --target "
            "names another"
        )
    results = model(files, heads=[name])
    bootstrap = {"samples": args.samples, "seed": args.seed}
    truth = np.asarray(targets)
    if head.task == "regression":
        values = [[one.values[label] for label in head.labels] for one in results]
        statistics = value_statistics(values, truth, head.labels)
        return head, len(files), with_intervals(statistics, **bootstrap)
    decided = np.asarray([[label in one.decided for label in head.labels] for one in results])
    exclusive = head.task != "multi_label"
    figures = with_intervals(label_statistics(decided, truth > 0, exclusive=exclusive), **bootstrap)
    if not exclusive:
        return head, len(files), figures
    true = truth.argmax(1)
    seen = [label for i, label in enumerate(head.labels) if truth[:, i].any()]
    if len(seen) < len(head.labels):
        results = model(files, heads=[name], among={name: seen})
    chosen = np.asarray([head.labels.index(one.decided[0]) for one in results])
    sides = {"uar": chosen, "uar_open": decided.argmax(1)}
    recalls = {
        side: with_intervals(recall_statistics(picked, true, len(head.labels)), **bootstrap)["uar"]
        for side, picked in sides.items()
    }
    return head, len(files), {**recalls, **figures}


def _records(path: Path, split: str) -> list[tuple[str, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFoundError(f"no file {str(path)!r}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8: {error}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: is not JSON: {error}") from None
        if not isinstance(record, dict) or not isinstance(record.get("file"), str):
            raise InputError(f'{where}: give an object with a string "file"')
        found.append((where, record))
    if any("split" in record for _, record in found):
        found = [(where, record) for where, record in found if record.get("split") == split]
        if not found:
            raise InputError(f"{path}: no row is of the split {split!r}")
    return found


def _target(
    head: HeadInfo,
    record: Mapping[str, Any],
    keys: tuple[str, ...],
    renamed: Mapping[str, str],
    where: str,
) -> list[float] | None:
    """One number a label; None where the row has no target of the head."""
    value = next((record[key] for key in keys if record.get(key) is not None), None)
    if head.task == "regression":
        if value is None and all(label in record for label in head.labels):
            value = [record[label] for label in head.labels]
        if value is None:
            return None
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) != len(head.labels) or not all(
            isinstance(n, int | float) and not isinstance(n, bool) for n in numbers
        ):
            raise InputError(f"{where}: the target {value!r} is not {len(head.labels)} numbers")
        return [float(n) for n in numbers]
    if value is None:
        return None
    if isinstance(value, bool) and head.task == "multi_label" and len(head.labels) == 1:
        return [float(value)]
    names = value if isinstance(value, list) and head.task == "multi_label" else [value]
    names = [renamed.get(str(name), str(name)) for name in names]
    unknown = [name for name in names if name not in head.labels]
    if unknown:
        raise InputError(
            f"{where}: head {head.name!r} has no label {unknown[0]!r}; it has "
            f"{', '.join(head.labels)}; --rename says what the data means"
        )
    return [float(label in names) for label in head.labels]

"""`affectrt info`: what a model file says of itself."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from .. import _core
from ..info import HeadInfo, ModelInfo
from ..loading import load
from .common import EXIT_OK, add_run_arguments
from .terminal import bold, columns, printable, terminal_width, use_colour, wrap

SUMMARY = "labels, data, licence, metrics, parity, sizes and hashes of a model"
DESCRIPTION = """\
Describes a model and checks every hash in it. Of a plain Hugging Face export, which carries no
hashes, those of its files are computed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help='name, .affect file or directory (default: "text")',
    )
    parser.add_argument("--json", action="store_true", help="everything, as one JSON object")
    add_run_arguments(parser)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _files(info: ModelInfo) -> dict[str, dict[str, Any]]:
    if info.files:
        return {name: dict(entry) for name, entry in info.files.items()}
    if not os.path.isdir(info.path):
        return {}
    found = {}
    for name in sorted(os.listdir(info.path)):
        path = os.path.join(info.path, name)
        if os.path.isfile(path):
            found[name] = {"bytes": os.path.getsize(path), "sha256": _sha256(path)}
    return found


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024 or unit == "MiB":
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"


def _plain(value: Any) -> str:
    """A free-form value of the manifest on one line; what is empty is left out."""
    if isinstance(value, Mapping):
        said = {key: entry for key, entry in value.items() if not _is_empty(entry)}
        rest = ", ".join(f"{key} {_plain(entry)}" for key, entry in said.items() if key != "name")
        if "name" not in said:
            return rest
        return f"{_plain(said['name'])} ({rest})" if rest else _plain(said["name"])
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(entry, Mapping) for entry in value) else ", "
        return separator.join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    return printable(str(value))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | Mapping | list | tuple) and not value)


def _lines(value: Any, width: int) -> str:
    """A free-form value on lines of its own: an object's plain entries first, then its nested
    ones, one a line."""
    if not isinstance(value, Mapping):
        return "\n".join(wrap(_plain(value), width))
    nested = {key: entry for key, entry in value.items() if isinstance(entry, Mapping | list)}
    lines = wrap(_plain({key: value[key] for key in value if key not in nested}), width)
    for key, entry in nested.items():
        for one in entry if isinstance(entry, list) else [entry]:
            if not _is_empty(one):
                first, *more = wrap(f"{key}: {_plain(one)}", width - 2)
                lines += [first, *(f"  {line}" for line in more)]
    return "\n".join(line for line in lines if line)


def _backend(info: ModelInfo) -> str:
    detail = info.backend_detail
    return detail if detail.startswith(info.backend) else f"{info.backend} ({detail})"


def _input(info: ModelInfo) -> str:
    if info.max_seconds is None:
        return f"{info.modality}, up to {info.max_tokens} tokens"
    features = ", ".join(f"{key} {value}" for key, value in info.features.items())
    return (
        f"{info.modality} at {info.sample_rate} Hz, up to {info.max_seconds:g} s at once; "
        f"features: {features}"
    )


# What stands beside the text that a head judges (FORMAT.md, section 3).
_READS = {
    "text": "a text",
    "turn": "a turn, in the light of those before it",
    "cause": "a turn that may have caused the emotion of a later one",
    "reply": "a turn, in the light of who will answer it",
    "question": "a text, for the answer to a question",
    "audio": "a clip of sound",
}
_TELLS_OF_ROWS = ("data", "data_sha256", "split", "rows", "backend")


def _labels(head: HeadInfo) -> list[str]:
    """Each label with what it takes to be decided, or with the range of its values."""
    if head.ranges is not None:
        ranges = zip(head.labels, head.ranges, strict=True)
        return [f"{label} {low:g} to {high:g}" for label, (low, high) in ranges]
    if head.thresholds is None:
        return list(head.labels)
    sign = "≥" if head.task in ("multi_label", "token_flags") else "÷"
    pairs = zip(head.labels, head.thresholds, strict=True)
    return [f"{label} {sign}{threshold:.2f}" for label, threshold in pairs]


def _figures(metric: Mapping[str, Any]) -> str:
    """Figures on some rows, and which rows."""
    said = {key: value for key, value in metric.items() if key not in _TELLS_OF_ROWS}
    rows = [_plain(metric[key]) for key in ("data", "split") if metric.get(key)]
    if metric.get("rows"):
        rows.append(f"{_plain(metric['rows'])} rows")
    return _plain(said) + (f" ({', '.join(rows)})" if rows else "")


def _proof(head: HeadInfo, info: ModelInfo) -> Iterator[str]:
    """The figures of the checkpoint and of this file on the same rows, by backend."""
    parity = info.parity or {}
    entries = parity.get("heads")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or entry.get("head") != head.name:
            continue
        figures = entry.get("metrics")
        said = [
            f"{name} {_plain(value.get('source'))} checkpoint, {_plain(value.get('product'))} this"
            for name, value in (figures.items() if isinstance(figures, Mapping) else ())
            if isinstance(value, Mapping)
        ]
        if entry.get("flipped_rows") is not None and head.task != "regression":
            flipped, rows = _plain(entry["flipped_rows"]), _plain(entry.get("rows"))
            said.append(f"{flipped} of {rows} rows decided otherwise")
        where = f"{info.precision} on {_plain(entry.get('backend'))}, {_plain(parity.get('data'))}"
        yield f"{'; '.join(said)} ({where})"


def _data_of(head: HeadInfo, info: ModelInfo) -> str:
    """The head's data sets, each with its licence where the model's list has it."""
    licences = {_plain(entry.get("name")): entry.get("licence") for entry in info.data}
    return "; ".join(
        f"{name} ({_plain(licences[name])})" if licences.get(name) else name
        for name in map(_plain, head.data)
    )


def _head_rows(head: HeadInfo, info: ModelInfo, width: int) -> list[tuple[str, str]]:
    rows = [("task", f"{head.task}, {len(head.labels)} labels")]
    reads = _READS.get(head.input, head.input)
    if head.layer is not None:
        reads += f", behind layer {head.layer}"
    if head.pooling is not None:
        reads += f", pooling {head.pooling}"
    rows.append(("reads", reads))
    rows.append(("labels", _lines(_labels(head), width)))
    if head.thresholds is not None:
        each = head.task in ("multi_label", "token_flags")
        rule = "each score that reaches its number" if each else "the highest score ÷ its number"
        rows.append(("decides", rule))
    if head.temperature != 1:
        rows.append(("temperature", f"{head.temperature:.4g}"))
    if head.unsure_below is not None:
        rows.append(("unsure below", f"{head.unsure_below:.4g}"))
    if head.margin is not None:
        rows.append(("margin", f"{head.margin:.4g}"))
    rows.extend(("metric", _lines(_figures(metric), width)) for metric in head.metrics)
    rows.extend(("parity", _lines(proof, width)) for proof in _proof(head, info))
    if head.data:
        rows.append(("data", _lines(_data_of(head, info), width)))
    if head.licence:
        rows.append(("licence", _lines(head.licence, width)))
    return rows


def _parity(info: ModelInfo, width: int) -> str:
    """What is true of all heads; each head has its own row."""
    if not info.parity:
        return "no report"
    whole = {key: value for key, value in info.parity.items() if key not in ("heads", "bars")}
    return _lines(whole, width)


def _text(info: ModelInfo, record: dict[str, Any]) -> str:
    strong = use_colour(sys.stdout)
    width = terminal_width() - 18
    title = " ".join(part for part in (info.name, info.version) if part)
    blocks = [bold(printable(title) or "(no name)", strong)]
    if info.description:
        blocks.append(_lines(info.description, terminal_width()))
    if info.non_commercial:
        blocks.append(
            bold("NON-COMMERCIAL: this model may not be used commercially.", strong)
            + ("\n" + _lines(info.notice, terminal_width()) if info.notice else "")
        )
    general = [
        ("file", f"{printable(info.path)}  ({_size(record['bytes'])})"),
        ("model", " ".join(part for part in (info.family, info.precision) if part) or "unknown"),
        ("input", _lines(_input(info), width)),
        ("backend", _lines(_backend(info), width)),
        ("licence", _lines(info.licence or "not stated", width)),
    ]
    if info.notice and not info.non_commercial:
        general.append(("notice", _lines(info.notice, width)))
    general.extend(("data", _lines(entry, width)) for entry in info.data)
    if info.source:
        general.append(("source", _lines(info.source, width)))
    if info.recipe:
        general.append(("recipe", _lines(info.recipe, width)))
    general.append(("parity", _parity(info, width)))
    blocks.append(columns(general))
    blocks.extend(
        bold(f"head {printable(head.name)}", strong) + "\n" + columns(_head_rows(head, info, width))
        for head in info.heads
    )
    files = [
        (printable(name), f"{_size(entry['bytes']):>12}  sha256 {entry['sha256']}")
        for name, entry in record["files"].items()
    ]
    blocks.append(bold(f"files ({record['integrity']})", strong) + "\n" + columns(files))
    return "\n\n".join(blocks)


def run(args: argparse.Namespace) -> int:
    model = load(
        args.model, backend=args.backend, num_threads=args.num_threads, providers=args.provider
    )
    info = model.info
    _core.verify_bundle(info.path)
    record = info.to_dict()
    record["files"] = _files(info)
    if os.path.isdir(info.path):
        record["bytes"] = sum(entry["bytes"] for entry in record["files"].values())
    else:
        record["bytes"] = os.path.getsize(info.path)
        record["sha256"] = _sha256(info.path)
    record["integrity"] = "hashes verified" if info.files else "no hashes in the model; computed"
    if args.json:
        print(json.dumps(record, ensure_ascii=False, indent=2))
    else:
        print(_text(info, record))
    return EXIT_OK

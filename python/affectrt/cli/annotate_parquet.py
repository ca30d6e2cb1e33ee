"""Annotations as a Parquet table, by pyarrow where it is installed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from ..info import HeadInfo

_ROWS = 4096  # of a row group


def check_pyarrow() -> None:
    """`UnsupportedError` where it is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UnsupportedError(
            f'a .parquet file needs pyarrow: pip install "affectrt[parquet]" ({error}); '
            ".jsonl needs nothing"
        ) from None


def _schema(heads: tuple[HeadInfo, ...]) -> Any:
    """Times are doubles, scores single; of a head with an answer its name has the first label that
    is decided, and "NAME.LABEL" the scores."""
    import pyarrow as pa

    fields = [("file", pa.string()), ("index", pa.int64()), ("start_s", pa.float64())]
    fields += [("end_s", pa.float64()), ("cut", pa.bool_()), ("label", pa.string())]
    for head in heads:
        if head.task != "regression":
            fields.append((head.name, pa.string()))
        fields += [(f"{head.name}.{label}", pa.float32()) for label in head.labels]
        if head.task == "ordinal":
            fields.append((f"{head.name}.level", pa.float32()))
    fields.append(("error", pa.string()))
    return pa.schema(fields)


def _row(record: dict[str, Any], heads: tuple[HeadInfo, ...]) -> dict[str, Any]:
    row = {key: record.get(key) for key in ("file", "index", "start_s", "end_s", "cut", "label")}
    row["error"] = record.get("error")
    if "emotions" not in record:
        return row
    alone = {"labels": record["emotions"], "decided": record["decided"]}
    if heads[0].task == "regression":
        alone = {"values": {one["label"]: one["score"] for one in record["emotions"]}}
    answers = record.get("heads", {heads[0].name: alone})
    for head in heads:
        answer = answers[head.name]
        if "values" in answer:
            row.update({f"{head.name}.{name}": value for name, value in answer["values"].items()})
            continue
        row[head.name] = answer["decided"][0] if answer["decided"] else None
        row.update({f"{head.name}.{one['label']}": one["score"] for one in answer["labels"]})
        if "level" in answer:
            row[f"{head.name}.level"] = answer["level"]
    return row


def write_parquet(
    records: Iterator[dict[str, Any]], heads: tuple[HeadInfo, ...], path: str
) -> None:
    """Segments and files with errors, in order; the file appears when it is complete."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(heads)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=folder)
    except OSError as error:
        raise InputError(f"--out {path!r} cannot be written: {error.strerror}") from error
    try:
        os.close(descriptor)
        with pq.ParquetWriter(unfinished, schema) as writer:
            rows: list[dict[str, Any]] = []
            for record in records:
                if "index" not in record and "error" not in record:
                    continue
                rows.append(_row(record, heads))
                if len(rows) == _ROWS:
                    writer.write_table(pa.Table.from_pylist(rows, schema))
                    rows = []
            writer.write_table(pa.Table.from_pylist(rows, schema))
        os.chmod(unfinished, 0o644)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise

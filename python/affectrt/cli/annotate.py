"""`affectrt annotate`: hours of sound to a file of segments, going on where it was killed."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .. import __version__
from ..errors import Error, InputError, NotFoundError, UnsupportedError
from ..sound_blocks import open_sound
from ..speech_stream import segments_of
from .common import (
    EXIT_ERROR,
    EXIT_OK,
    EXIT_PARTIAL,
    UsageError,
    add_run_arguments,
    atomic_writer,
    load_speech_model,
    note,
    positive,
)
from .json_lines import json_line
from .progress import ProgressLine
from .terminal import printable

SUMMARY = "hours of sound to a file of segments with their emotions"
DESCRIPTION = """\
Cuts audio files, and those of folders with all that lies below, into segments of speech and writes
what the model says of each. Files are taken in the order given, those of a folder in that of their
names; a few seconds of each are in memory.

A .jsonl file has a line for each segment ("file" and the keys of Segment.to_dict() in Python) and
behind them one for the file itself: {"file", "segments", "duration_s", "sample_rate", "channels"},
or {"file", "error"} where it could not be read. A .parquet file has a row for each segment, with a
column for each score, and one for each file that could not be read (needs pyarrow).

What is done is kept beside the output, as NAME.unfinished, until all is: the same command goes on
where it was interrupted or killed. Files that cannot be read are reported and skipped.
"""

SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"),
)
_AHEAD = 2  # files a job that may wait for those before them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="DIR|FILE", help="audio files and folders")
    parser.add_argument("--out", required=True, metavar="FILE", help=".jsonl or .parquet")
    parser.add_argument(
        "--model", metavar="M", help='name of a known model or a .affect file (default: "speech")'
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="files at a time (default: 1)"
    )
    parser.add_argument(
        "--max-segment", type=float, default=0.0, metavar="S", help="longest segment in seconds"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that is there")
    parser.add_argument(
        "--restart", action="store_true", help="begin anew, whatever an unfinished run has done"
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="progress on stderr (default: on a terminal)",
    )


def files_of(inputs: list[str]) -> list[str]:
    """The audio files that are meant, each once; `InputError` where there are none."""
    found: dict[str, None] = {}
    for given in inputs:
        if os.path.isdir(given):
            for folder, folders, names in os.walk(given):
                folders.sort()
                paths = [os.path.join(folder, name) for name in sorted(names)]
                found.update(dict.fromkeys(p for p in paths if p.lower().endswith(SUFFIXES)))
        elif os.path.exists(given):
            found[given] = None
        else:
            raise NotFoundError(f"no file or folder {given!r}")
    if not found:
        raise InputError(
            f"no audio files in {', '.join(inputs)}; names end in {' '.join(SUFFIXES)}"
        )
    return list(found)


def _name(path: str) -> str:
    """Of a file, as records have it: a path may be no text."""
    return path.encode("utf-8", "backslashreplace").decode()


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def annotated(
    model: Any, path: str, options: dict[str, float], stopped: threading.Event
) -> list[dict[str, Any]]:
    """The records of a file, that of itself the last; what is wrong with it is its "error"."""
    name = _name(path)
    records: list[dict[str, Any]] = []
    try:
        sound = open_sound(path)
        heard = 0

        def counted() -> Iterator[Any]:
            nonlocal heard
            for block in sound.blocks:
                if stopped.is_set():
                    raise KeyboardInterrupt
                heard += len(block)
                yield block

        stream = model.stream(sample_rate=sound.sample_rate, **options)
        for segment in segments_of(stream, counted()):
            record = segment.to_dict()
            del record["interim"]
            records.append({"file": name, **record})
    except (InputError, NotFoundError, UnsupportedError, OSError) as error:
        return [{"file": name, "error": _name(str(error))}]
    records.append({
        "file": name,
        "segments": len(records),
        "duration_s": heard / sound.sample_rate,
        "sample_rate": sound.sample_rate,
        "channels": sound.channels,
    })  # fmt: skip
    return records


@dataclass
class _Done:
    """A file whose records are written: bytes [begin, end) of the journal."""

    begin: int
    end: int
    segments: int
    error: str | None


@dataclass
class _Journal:
    """What is done, in a file that only grows. A file's records count once the last is whole."""

    path: Path
    done: dict[str, _Done] = field(default_factory=dict)

    @property
    def segments(self) -> int:
        return sum(one.segments for one in self.done.values())

    def open(self, identity: dict[str, Any], restart: bool) -> BinaryIO:
        """For appending; cut behind the last file that is done."""
        first = (json_line({"unfinished": identity}) + "\n").encode()
        if restart or not self.path.exists() or self.path.stat().st_size == 0:
            self.path.write_bytes(first)
        kept = self._read(first)
        file = self.path.open("r+b")
        file.truncate(kept)
        file.seek(kept)
        return file

    def _read(self, first: bytes) -> int:
        """The bytes that count."""
        with self.path.open("rb") as file:
            begin = file.readline()
            if begin != first:
                raise InputError(
                    f"{self.path} is of a run with another model, other options or another version "
                    "of affectrt; give these again, or --restart"
                )
            kept = at = len(begin)
            segments = 0
            for line in file:
                at += len(line)
                try:
                    record = json.loads(line)
                except ValueError:  # the line that was being written
                    break
                if "index" in record:
                    segments += 1
                    continue
                self.done[record["file"]] = _Done(kept, at, segments, record.get("error"))
                kept, segments = at, 0
        return kept

    def write(self, file: BinaryIO, path: str, records: list[dict[str, Any]]) -> _Done:
        """Those of one more file."""
        begin = file.tell()
        file.write("".join(json_line(record) + "\n" for record in records).encode())
        file.flush()
        os.fsync(file.fileno())
        one = _Done(begin, file.tell(), len(records) - 1, records[-1].get("error"))
        self.done[_name(path)] = one
        return one

    def lines(self, files: list[str]) -> Iterator[str]:
        """All that is said of `files`, in their order, once they are done."""
        with self.path.open("rb") as file:
            for path in files:
                one = self.done[_name(path)]
                file.seek(one.begin)
                for line in file.read(one.end - one.begin).splitlines(keepends=True):
                    yield line.decode()


def _in_order(
    model: Any, files: list[str], options: dict[str, float], jobs: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each file with its records, in the order of `files`, so many at a time."""
    stopped = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        waiting: deque[tuple[str, Future[list[dict[str, Any]]]]] = deque()
        try:
            for path in files:
                waiting.append((path, pool.submit(annotated, model, path, options, stopped)))
                if len(waiting) >= jobs * _AHEAD:
                    name, future = waiting.popleft()
                    yield name, future.result()
            while waiting:
                name, future = waiting.popleft()
                yield name, future.result()
        finally:  # an interruption does not wait for files of hours
            stopped.set()
            for _, future in waiting:
                future.cancel()


def _work(args: argparse.Namespace, model: Any, files: list[str], journal: _Journal) -> None:
    options = {"max_segment_s": args.max_segment}
    identity = {
        "version": __version__,
        "model": model.info.name,
        "weights": model.info.files.get("weights.safetensors", {}).get("sha256"),
        "options": options,
    }
    with journal.open(identity, args.restart) as file:
        left = [path for path in files if _name(path) not in journal.done]
        if len(left) < len(files):
            note(f"{len(files) - len(left):,} of {len(files):,} files were done already")
        sizes = {path: _size(path) for path in files}
        read = sum(sizes[path] for path in files if _name(path) in journal.done)
        segments = journal.segments
        with ProgressLine(
            sum(sizes.values()) or None, shown=args.progress, unit="segments"
        ) as progress:
            for path, records in _in_order(model, left, options, args.jobs):
                one = journal.write(file, path, records)
                if one.error is not None:
                    progress.clear()
                    note(f"skipped: {printable(one.error)}")
                segments += one.segments
                read += sizes[path]
                progress.update(segments, read)
            progress.update(segments, read, final=True)


def run(args: argparse.Namespace) -> int:
    kind = os.path.splitext(args.out)[1].lower()
    if kind not in (".jsonl", ".parquet"):
        raise UsageError(f"--out {args.out!r} is neither .jsonl nor .parquet")
    if kind == ".parquet":
        from .annotate_parquet import check_pyarrow

        check_pyarrow()
    journal = _Journal(Path(args.out + ".unfinished"))
    if os.path.exists(args.out) and not args.overwrite and not journal.path.exists():
        raise InputError(f"{args.out!r} is there already; --overwrite replaces it")
    files = files_of(args.inputs)
    model = load_speech_model(args)
    try:
        _work(args, model, files, journal)
    except OSError as error:
        if not isinstance(error, Error) and error.filename == str(journal.path):
            raise InputError(
                f"--out {args.out!r} cannot be written: {error.strerror}; give a file in a folder "
                "that you may write to"
            ) from error
        raise
    if kind == ".parquet":
        from .annotate_parquet import write_parquet

        records = (json.loads(line) for line in journal.lines(files))
        write_parquet(records, model.info.heads, args.out)
    else:
        with atomic_writer(args.out) as out:
            out.writelines(journal.lines(files))
    with contextlib.suppress(OSError):
        journal.path.unlink()
    return _report(files, journal, args.out)


def _report(files: list[str], journal: _Journal, out: str) -> int:
    bad = [path for path in files if journal.done[_name(path)].error is not None]
    segments = sum(journal.done[_name(path)].segments for path in files)
    note(f"{segments:,} segments of {len(files) - len(bad):,} files written to {out}")
    if not bad:
        return EXIT_OK
    note(f"{len(bad):,} of {len(files):,} files could not be read:")
    for path in bad:
        note(f"  {printable(path)}")
    return EXIT_PARTIAL if len(bad) < len(files) else EXIT_ERROR

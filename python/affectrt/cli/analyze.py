"""`affectrt analyze`: the emotions of a text, of every row of a file, or of sound."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias

from ..errors import Error, InputError, NotFoundError
from ..label_maps import check_map, map_names
from ..model import Model
from ..results import Result
from ..speech import SpeechModel
from ..turns import Turn
from . import sounds
from .cards import head_lines, short_answer, to_json
from .common import (
    EXIT_OK,
    EXIT_PARTIAL,
    UsageError,
    add_model_arguments,
    atomic_writer,
    load_model,
    note,
    positive,
)
from .dialogues import Turns, arc_format, subtitle, write_arc
from .progress import ProgressLine
from .readers import READERS, BadLine, Columns, LineReader, Pause, Row
from .terminal import bold, fit, printable, terminal_width, use_colour, wrap

SUMMARY = "the emotions of a text, of every row of a file, or of audio files"
DESCRIPTION = """\
Answers for one text, for every row of a .txt (one text a line), .jsonl ({"text": ...} a line),
.json, .csv or .tsv file, or for the lines of standard input ("-"). Rows that have a "speaker", or
stand under "turns", are turns of a conversation: each is answered in the light of those before it.

With --json each answer is one JSON object on a line:
  {"text": ..., "emotions": [{"label": ..., "score": ...}, ...], "decided": [...], "unsure": ...}
with the emotions sorted by score, "pair" where one was given, "truncated" where the text was too
long, and "heads" where the model has several. Files of any size are read in small portions. Rows
that cannot be used are reported on stderr by line number, and the rest is answered (exit code 3).

Audio files (.wav; .flac, .ogg, .mp3 with the extra "audio"), any number of them, are answered by
the model "speech": arousal, valence and more beside the emotions. "-" with --pcm RATE reads raw
16-bit samples.
"""

Answer: TypeAlias = Result | Turn
_CHUNK_ROWS = 256
_CHUNK_CHARS = 1 << 18
_SHOWN_BYTES = 200  # of a text, when it is quoted in a table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input",
        nargs="*",
        metavar="TEXT|FILE|-",
        help="a text, a file, or - for standard input; or audio files",
    )
    add_model_arguments(parser)
    sounds.add_arguments(parser)
    parser.add_argument(
        "--format",
        choices=("text", *READERS),
        help="what the input is, where its name does not say (standard input: txt)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--out", metavar="FILE", help="write JSON lines there, whole or not at all, not to stdout"
    )
    parser.add_argument(
        "--text-column", metavar="NAME", help='column or key of the text (default: "text")'
    )
    parser.add_argument("--pair-column", metavar="NAME", help="column or key of a second text")
    parser.add_argument("--pair", metavar="TEXT", help="second text, beside a TEXT")
    parser.add_argument(
        "--speaker-column", metavar="NAME", help='column or key of the speaker (default: "speaker")'
    )
    parser.add_argument(
        "--conversation",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether rows are turns of a conversation (default: where they have a speaker)",
    )
    parser.add_argument(
        "--heads", metavar="NAMES", help="the heads that answer, as in emotion,vad (default: all)"
    )
    parser.add_argument(
        "--map",
        choices=map_names(),
        help="answer in the labels of a map: 28 emotions, Ekman's seven, sentiments or families",
    )
    parser.add_argument(
        "--arc", metavar="FILE", help="draw a conversation's course of emotions: .svg, .html, .png"
    )
    parser.add_argument(
        "--line-numbers", action="store_true", help='add "line", the row\'s line in the file'
    )
    parser.add_argument(
        "--top", type=positive, default=5, metavar="N", help="labels in the table (default: 5)"
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="progress on stderr (default: for files, on a terminal)",
    )


@dataclass
class _Tally:
    answered: int = 0
    failed: int = 0
    progress: ProgressLine | None = None

    def report(self, name: str, bad: BadLine) -> None:
        self.failed += 1
        if self.progress is not None:
            self.progress.clear()
        note(f"{name}:{bad.line}: {printable(bad.reason)}")


@dataclass
class _Source:
    """Where rows come from."""

    name: str
    kind: str
    stream: BinaryIO
    total_bytes: int | None
    close: bool = field(default=True)


def _kind_of_file(path: str, given: str | None) -> str:
    suffix = os.path.splitext(path)[1].lower().lstrip(".")
    suffix = {"ndjson": "jsonl"}.get(suffix, suffix)
    if given is not None:
        return given
    if suffix in READERS:
        return suffix
    raise UsageError(
        f"{path!r} is a file, but not .txt, .jsonl, .json, .csv or .tsv; say what it is with "
        "--format (--format text analyses the word itself)"
    )


def _source(given: str, kind: str | None) -> _Source | None:
    """The file or stream that `given` names, `None` when it is a text itself."""
    if kind == "text":
        return None
    if given == "-":
        return _Source("<stdin>", kind or "txt", sys.stdin.buffer, None, close=False)
    short_enough = len(given) < 4096 and "\0" not in given and "\n" not in given
    if short_enough and os.path.isdir(given):
        raise InputError(
            f"{given!r} is a directory; give a .txt, .jsonl or .csv file "
            "(--format text analyses the word itself)"
        )
    if short_enough and os.path.exists(given):
        chosen = _kind_of_file(given, kind)
        stream = open(given, "rb")  # noqa: SIM115  closed by its user
        return _Source(given, chosen, stream, os.fstat(stream.fileno()).st_size or None)
    suffix = os.path.splitext(given)[1].lower().lstrip(".")
    if kind is not None or (suffix in READERS and not any(c.isspace() for c in given)):
        raise NotFoundError(f"no file {given!r} (--format text analyses the word itself)")
    return None


def _chunks(items: Iterator[Row | BadLine | Pause], eager: bool) -> Iterator[list[Row | BadLine]]:
    chunk: list[Row | BadLine] = []
    chars = 0
    for item in items:
        if not isinstance(item, Pause):
            chunk.append(item)
            chars += len(item.text) if isinstance(item, Row) else 0
        full = len(chunk) >= _CHUNK_ROWS or chars >= _CHUNK_CHARS
        if chunk and (full or (eager and isinstance(item, Pause))):
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk


class _Answers:
    """Answers rows in order, as texts or as turns: what the first row is, all are."""

    def __init__(self, model: Model, args: argparse.Namespace) -> None:
        self._model = model
        self._heads = heads_of(args)
        self._map: str | None = args.map
        self._asked: bool | None = args.conversation
        self._draws = bool(args.arc)
        self.turns: Turns | None = None

    def __call__(self, rows: list[Row]) -> Iterator[tuple[Row, Answer | InputError]]:
        """A row that the model refuses costs only itself."""
        for row, answer in self._answered(rows):
            if self._map is not None and not isinstance(answer, InputError):
                answer = answer.mapped(self._map)
            yield row, answer

    def _answered(self, rows: list[Row]) -> Iterator[tuple[Row, Answer | InputError]]:
        if self._asked is None:
            self._asked = rows[0].speaker is not None
        if self._asked:
            if self.turns is None:
                self.turns = Turns(self._model, self._heads, self._draws)
            yield from self.turns.answer(rows)
            return
        if self._draws:
            raise InputError("--arc draws a conversation; the first row has no speaker")
        texts = [row.text if row.pair is None else (row.text, row.pair) for row in rows]
        try:
            yield from zip(rows, self._model(texts, heads=self._heads), strict=True)
        except InputError:
            for row, text in zip(rows, texts, strict=True):
                try:
                    answer: Result | InputError = self._model(text, heads=self._heads)
                except InputError as error:
                    answer = error
                yield row, answer


def heads_of(args: argparse.Namespace) -> list[str] | None:
    """The names that --heads gives."""
    if args.heads is None:
        return None
    return [name.strip() for name in args.heads.split(",") if name.strip()]


def _answer_file(
    answer: _Answers,
    source: _Source,
    args: argparse.Namespace,
    write: Callable[[Row, Answer], None],
) -> _Tally:
    lines = LineReader(source.stream, source.name)
    columns = Columns(args.text_column, args.pair_column, args.speaker_column)
    items = READERS[source.kind](lines, columns)
    tally = _Tally()
    show = args.progress if args.progress is not None or source.total_bytes else False
    with ProgressLine(source.total_bytes, shown=show) as progress:
        tally.progress = progress
        arriving = source.total_bytes is None  # lines come one by one, and so shall the answers
        for chunk in _chunks(items, eager=arriving):
            for item in chunk:
                if isinstance(item, BadLine):
                    tally.report(source.name, item)
            rows = [item for item in chunk if isinstance(item, Row)]
            answers = list(answer(rows)) if rows else []
            if not args.out:
                progress.clear()
            for row, one in answers:
                if isinstance(one, InputError):
                    tally.report(source.name, BadLine(row.line, str(one)))
                else:
                    write(row, one)
                    tally.answered += 1
            if arriving and not args.out:
                sys.stdout.flush()
            progress.update(tally.answered, lines.bytes_read)
        progress.update(tally.answered, lines.bytes_read, final=True)
    if not lines.bytes_read:
        raise InputError(f"{source.name} is empty; give at least one line of text")
    if not tally.answered and not tally.failed:
        raise InputError(f"{source.name} has blank lines only; give at least one line of text")
    return tally


def _run_file(model: Model, source: _Source, args: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        if source.close:
            stack.enter_context(source.stream)
        if args.out:
            file: Any = stack.enter_context(atomic_writer(args.out))
        else:
            file = sys.stdout

        def write_json(row: Row, answer: Answer) -> None:
            line = row.line if args.line_numbers else None
            file.write(to_json(answer, line, row.dialogue) + "\n")

        write = write_json if args.out or args.json else _TableWriter(args.top).write
        answers = _Answers(model, args)
        tally = _answer_file(answers, source, args, write)
        file.flush()
        if tally.failed and not tally.answered:
            raise InputError(f"{source.name}: none of its {tally.failed} lines could be used")
        if args.arc:
            kept = answers.turns.kept if answers.turns is not None else []
            name = os.path.splitext(os.path.basename(source.name))[0]
            write_arc(args.arc, kept, name, subtitle(model))
            note(f"picture written to {args.arc}")
    if args.out:
        note(f"{tally.answered:,} answers written to {args.out}")
    if tally.failed:
        total = tally.answered + tally.failed
        note(f"{tally.failed:,} of {total:,} lines of {source.name} could not be used")
        return EXIT_PARTIAL
    return EXIT_OK


class _TableWriter:
    """One line a row, in columns of fixed width, so that nothing has to be kept."""

    def __init__(self, top: int) -> None:
        width = terminal_width()
        self._top = min(top, 3)
        self._answer_width = min(46, width // 2)
        self._text_width = width - 8 - self._answer_width
        self._bold = use_colour(sys.stdout)
        self._headed = False

    def write(self, row: Row, answer: Answer) -> None:
        result = answer.result if isinstance(answer, Turn) else answer
        if not self._headed:
            head = f"{'line':>6}  {fit('answer', self._answer_width - 2)}  text"
            print(bold(head, self._bold))
            self._headed = True
        shown = fit(short_answer(result.heads, self._top), self._answer_width - 2)
        text = result.text if result.pair is None else f"{result.text} + {result.pair}"
        if isinstance(answer, Turn):
            text = f"{answer.speaker}: {text}"
        print(f"{row.line:>6}  {shown}  {fit(text, self._text_width).rstrip()}")


def _card(result: Result, top: int) -> str:
    """One text and the scores of every head."""
    width = terminal_width(maximum=100)
    quoted = result.text if result.pair is None else f"{result.text} + {result.pair}"
    lines = wrap(quoted[: 4 * _SHOWN_BYTES], width)[:6]
    lines += head_lines(result.heads, top)
    if result.truncated:
        lines.append("the text was longer than the model reads; only its beginning counted")
    return "\n".join(lines)


def _run_text(model: Model, text: str, args: argparse.Namespace) -> int:
    result = model(text if args.pair is None else (text, args.pair), heads=heads_of(args))
    if args.map is not None:
        result = result.mapped(args.map)
    if args.out:
        with atomic_writer(args.out) as file:
            file.write(to_json(result) + "\n")
        note(f"1 answer written to {args.out}")
    elif args.json:
        print(to_json(result))
    else:
        print(_card(result, args.top))
    return EXIT_OK


def run(args: argparse.Namespace) -> int:
    if args.arc:
        arc_format(args.arc)
    sounds.check_plot(args, sounds.are_given(args))
    if sounds.are_given(args):
        args.model = args.model or "speech"
        model = load_model(args)
        if not isinstance(model, SpeechModel):
            raise UsageError(f"{model.info.path!r} is a model of texts, and audio files were given")
        return sounds.run(model, args)
    if len(args.input) > 1:
        raise UsageError("one TEXT or FILE at a time; several go with audio files")
    given: str | None = args.input[0] if args.input else None
    if given is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("no input; give a text, a file, or - for standard input")
        given = "-"
    source = _source(given, args.format)
    if source is not None and args.pair is not None:
        raise UsageError("--pair goes with a TEXT; for files, say --pair-column")
    columns = (args.text_column, args.pair_column, args.speaker_column)
    if source is None and (any(columns) or args.line_numbers):
        raise UsageError("--text-column, --pair-column and --line-numbers go with files")
    if source is None and (args.arc or args.conversation):
        raise UsageError("--arc and --conversation go with files of turns")
    try:
        model = load_model(args)
    except Error:
        if source is not None and source.close:
            source.stream.close()
        raise
    if isinstance(model, SpeechModel):
        if source is not None and source.close:
            source.stream.close()
        if args.map is not None:
            raise UsageError("--map goes with models of texts")
        args.input = [given]
        return sounds.run(model, args)
    if args.map is not None:
        check_map(model.info, args.map)
    if source is None:
        return _run_text(model, given, args)
    return _run_file(model, source, args)

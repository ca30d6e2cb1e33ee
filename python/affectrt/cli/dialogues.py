"""Rows of a file that are the turns of conversations, and the picture of their arc."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import Error, InputError
from .common import UsageError, atomic_writer
from .readers import Row

if TYPE_CHECKING:
    from ..conversation import Conversation
    from ..model import Model
    from ..turns import Turn

ARC_FORMATS = ("svg", "html", "png")
MOST_IN_ARC = 400  # turns of a picture


def arc_format(path: str) -> str:
    """The format of a picture by the name of its file; `UsageError` for another."""
    suffix = os.path.splitext(path)[1].lower().lstrip(".")
    if suffix not in ARC_FORMATS:
        raise UsageError(f"--arc {path!r}: give a name that ends in .svg, .html or .png")
    return suffix


class Turns:
    """Answers rows as the turns that they are; each dialogue is a conversation of its own."""

    def __init__(self, model: Model, heads: Sequence[str] | None, keep: bool) -> None:
        self._model = model
        self._heads = heads
        self._keep = keep
        self._dialogue: str | None = None
        self._conversation: Conversation | None = None
        self.kept: list[Turn] = []

    def answer(self, rows: list[Row]) -> Iterator[tuple[Row, Turn | InputError]]:
        """Answers in order; a row that cannot be a turn costs only itself."""
        begin = 0
        while begin < len(rows):
            name = rows[begin].dialogue
            end = next((i for i in range(begin, len(rows)) if rows[i].dialogue != name), len(rows))
            yield from self._part(self._of(name), rows[begin:end])
            begin = end

    def _of(self, name: str | None) -> Conversation:
        if self._conversation is None or name != self._dialogue:
            if self.kept:
                raise InputError(
                    "--arc draws one conversation, and there are several in this file; "
                    "give a file with one"
                )
            self._conversation = self._model.conversation(heads=self._heads)
            self._dialogue = name
        return self._conversation

    def _part(
        self, conversation: Conversation, rows: list[Row]
    ) -> Iterator[tuple[Row, Turn | InputError]]:
        try:
            answers: list[Turn | InputError] = [
                *conversation.add_all([(row.speaker or "", row.text) for row in rows])
            ]
        except InputError:
            answers = [_added(conversation, row) for row in rows]
        for row, answer in zip(rows, answers, strict=True):
            if self._keep and not isinstance(answer, Error):
                if len(self.kept) == MOST_IN_ARC:
                    raise InputError(f"--arc draws at most {MOST_IN_ARC} turns; there are more")
                self.kept.append(answer)
            yield row, answer


def _added(conversation: Conversation, row: Row) -> Turn | InputError:
    try:
        return conversation.add(row.speaker or "", row.text)
    except InputError as error:
        return error


def subtitle(model: Model) -> str:
    precision = f" ({model.info.precision})" if model.info.precision else ""
    return f"Emotion arc of a conversation, by model {model.info.name!r}{precision}"


def write_arc(path: str, turns: Sequence[Turn], title: str, subtitle: str) -> None:
    """Draws turns of one conversation; `InputError` where there is nothing to draw."""
    from .arc_svg import Point, arc_svg

    wanted = arc_format(path)
    if not turns:
        raise InputError("there is no turn to draw")
    points = []
    for turn in turns:
        point = turn.point
        if point.mix is None or point.valence is None or point.emotion is None:
            raise InputError(
                "a picture needs a model with emotion labels, pleasant and unpleasant ones; "
                "leave --model out for the embedded one"
            )
        answer = point.emotion if len(turns) <= 40 else ""
        causes = tuple(cause.turn - 1 for cause in turn.causes or () if cause.turn < turn.number)
        points.append(Point(turn.speaker, turn.text, answer, point.valence, point.mix, causes))
    with atomic_writer(path) as file:
        if wanted == "svg":
            file.write(arc_svg(points, title, subtitle))
        elif wanted == "html":
            from .arc_html import arc_html

            file.write(arc_html(arc_svg(points, title, subtitle), turns, title))
        else:
            from .arc_png import arc_png

            file.buffer.write(arc_png(points, title))

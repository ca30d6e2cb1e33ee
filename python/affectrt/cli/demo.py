"""`affectrt demo`: a whole conversation, as a table and as a picture."""

from __future__ import annotations

import argparse
import json
import sys

from ..results import HeadResult
from ..turns import Turn
from .common import EXIT_OK, add_model_arguments, load_text_model, note
from .conversation import CONVERSATION, TITLE
from .dialogues import subtitle, write_arc
from .terminal import bar, bold, cells, fit, stdout_is_unicode, terminal_width, use_colour, wrap

SUMMARY = "analyse a conversation: a table and an emotion-arc picture"
DESCRIPTION = """\
Runs the model on a conversation of twelve turns between two people, prints what each turn
expresses, and draws the course of its emotions as an SVG picture.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        default="arc.svg",
        help="the picture: .svg, .html or .png (default: arc.svg)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a turn, no table")


def _answer(head: HeadResult, count: int) -> list[tuple[str, float]]:
    """The labels to show: the decided ones, or the best when there is none."""
    values = head.values
    names = head.decided or tuple(label.label for label in head.labels[:1])
    return [(name, values[name]) for name in names[:count]]


def _table(turns: list[Turn]) -> str:
    heads = [next(iter(turn.heads.values())) for turn in turns]
    unicode, strong = stdout_is_unicode(), use_colour(sys.stdout)
    width = terminal_width(maximum=110)
    name_width = max(cells(turn.speaker) for turn in turns)
    label_width = max(14, *(cells(name) for head in heads for name, _ in _answer(head, 3)))
    bar_width = 12
    right = label_width + 7 + bar_width
    text_width = width - 4 - name_width - 2 - right - 3
    lines = []
    for number, (turn, head) in enumerate(zip(turns, heads, strict=True), start=1):
        texts = wrap(turn.text, text_width)
        answers = [
            f"{fit(name, label_width)} {score:5.2f} {bar(score, bar_width, unicode)}"
            for name, score in _answer(head, 3)
        ]
        if head.unsure:
            answers[0] += " ?"
        for row in range(max(len(texts), len(answers))):
            first = f"{number:>2}  {fit(turn.speaker, name_width)}" if row == 0 else ""
            said = fit(texts[row] if row < len(texts) else "", text_width)
            shown = answers[row] if row < len(answers) else ""
            lines.append(bold(first.ljust(4 + name_width), strong) + f"  {said}   {shown}".rstrip())
    return "\n".join(line.rstrip() for line in lines)


def run(args: argparse.Namespace) -> int:
    model = load_text_model(args)
    conversation = model.conversation()
    turns = conversation.add_all([(turn.speaker, turn.text) for turn in CONVERSATION])
    write_arc(args.out, turns, TITLE, subtitle(model))
    if args.json:
        for turn in turns:
            print(json.dumps(turn.to_dict(), ensure_ascii=False))
    else:
        print(bold(TITLE, use_colour(sys.stdout)) + "\n")
        print(_table(turns))
        print("\n ?  the model is unsure\n" if any(turn.unsure for turn in turns) else "")
    note(f"picture written to {args.out}")
    return EXIT_OK

"""Answers as people and programs are shown them: lines of scores, and JSON."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from ..results import Heads, Label
from .json_lines import json_line
from .terminal import bar, bold, cells, fit, stdout_is_unicode, use_colour


class Answer(Protocol):
    """What `affectrt.Result` and its kin have in common."""

    def to_dict(self) -> dict[str, Any]: ...


def to_json(result: Answer, line: int | None = None, dialogue: str | None = None) -> str:
    """`result.to_dict()` on one line, with float32 scores in their shortest form."""

    record = result.to_dict()
    if dialogue is not None:
        record = {"dialogue": dialogue, **record}
    if line is not None:
        record = {"line": line, **record}
    return json_line(record)


def _shown_labels(labels: tuple[Label, ...], decided: tuple[str, ...], top: int) -> list[Label]:
    chosen = list(labels[:top])
    chosen += [label for label in labels[top:] if label.label in decided]
    return chosen


def head_lines(heads: Heads, top: int) -> list[str]:
    """The scores of every head, a blank line before each."""
    unicode, strong = stdout_is_unicode(), use_colour(sys.stdout)
    lines = []
    for head in heads.values():
        shown = _shown_labels(head.labels, head.decided, top)
        if head.task == "regression":
            shown = list(head.labels)
        lines.append("")
        if len(heads) > 1:
            lines.append(f"{head.name}")
        name_width = min(32, max((cells(label.label) for label in shown), default=1))
        for label in shown:
            name = fit(label.label, name_width)
            if head.task == "regression":
                lines.append(f"  {name}  {label.score:8.3f}")
                continue
            is_in = label.label in head.decided
            mark = ("●" if unicode else "*") if is_in else " "
            drawn = bar(label.score, 30, unicode)
            lines.append(
                f"{mark} {bold(name, strong and is_in)}  {label.score:5.3f}  {drawn}".rstrip()
            )
        if head.task != "regression":
            decided = ", ".join(head.decided) or "none"
            lines.append(f"decided: {decided}" + ("  (unsure)" if head.unsure else ""))
    return lines


def short_answer(heads: Heads, top: int) -> str:
    """The answer of the primary head in a few words."""
    head = next(iter(heads.values()))
    if head.task == "regression":
        return "  ".join(f"{label.label} {label.score:.2f}" for label in head.labels)
    values = head.values
    shown = head.decided[:top] or (head.labels[0].label,)
    text = "  ".join(f"{name} {values[name]:.2f}" for name in shown)
    text = text if head.decided else f"({text})"
    return text + (" ?" if head.unsure else "")

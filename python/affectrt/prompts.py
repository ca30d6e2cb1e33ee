"""Turns as fragments for the prompt of a language model; what they say is in templates.

A template is data. In text, each line holds fields such as ``{emotions}`` and is left out where
one of its fields has no value. In JSON, a string that is nothing but a field is replaced by the
field's value, and a key whose field has none is left out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, NotFoundError

if TYPE_CHECKING:
    from .turns import Cause, Turn

_FIELD = re.compile(r"\{(\w*)\}")
_LEAST_SCORE = 0.05  # of a label that is shortlisted beside the first
_SUFFIXES = {"text": "txt", "json": "json"}


def shortlist(turn: Turn, top: int) -> list[dict[str, Any]]:
    """At most `top` emotions with calibrated scores, best first; improbable ones only as first."""
    if turn.heads and next(iter(turn.heads.values())).task == "regression":
        return []
    return [
        {"label": label.label, "score": round(label.score, 2)}
        for place, label in enumerate(turn.emotions[:top])
        if place == 0 or label.score >= _LEAST_SCORE
    ]


def _cause(cause: Cause) -> dict[str, Any]:
    words = {} if cause.text is None else {"text": cause.text}
    return {"turn": cause.turn, **words, "score": round(cause.score, 2)}


_FIELDS: dict[str, Callable[[Turn, int], Any]] = {
    "turn": lambda turn, top: turn.number,
    "speaker": lambda turn, top: turn.speaker,
    "text": lambda turn, top: turn.text,
    "emotions": shortlist,
    "unsure": lambda turn, top: turn.unsure,
    "valence": lambda turn, top: None if turn.valence is None else round(turn.valence, 2),
    "vad": lambda turn, top: turn.vad and {k: round(v, 2) for k, v in turn.vad.items()},
    "causes": lambda turn, top: [_cause(cause) for cause in turn.causes or ()],
    "act": lambda turn, top: turn.act,
    "strategy": lambda turn, top: turn.strategy,
    "stage": lambda turn, top: turn.stage,
    "empathy": lambda turn, top: turn.empathy,
    "arc": lambda turn, top: [
        round(point.valence, 2) for point in turn.arc if point.valence is not None
    ],
}


def _in_words(name: str, value: Any) -> str:
    """A field's value as it stands in a sentence."""
    if name == "emotions":
        return ", ".join(f"{entry['label']} ({entry['score']:.2f})" for entry in value)
    if name == "causes":
        told = [
            f'"{cause["text"]}" (turn {cause["turn"]})'
            if "text" in cause
            else f"turn {cause['turn']}"
            for cause in value
        ]
        return ", ".join(told)
    if name == "arc":
        return " ".join(f"{point:+.2f}" for point in value)
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {entry}" for key, entry in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:+.2f}" if isinstance(value, float) else str(value)


def _value(turn: Turn, name: str, top: int, origin: str) -> Any:
    """None where there is nothing to say."""
    if name not in _FIELDS:
        known = ", ".join(_FIELDS)
        raise InputError(f"{origin}: there is no field {{{name}}}; there are: {known}")
    value = _FIELDS[name](turn, top)
    return None if value in ("", [], {}) else value


def _filled(line: str, values: dict[str, Any]) -> str:
    return _FIELD.sub(lambda found: _in_words(found[1], values[found[1]]), line)


def _render_text(turn: Turn, template: str, top: int, origin: str) -> str:
    lines = []
    for line in template.splitlines():
        values = {name: _value(turn, name, top, origin) for name in _FIELD.findall(line)}
        if None in values.values():
            continue
        lines.append(_filled(line, values))
    return "\n".join(lines)


def _render_json(turn: Turn, template: Any, top: int, origin: str) -> Any:
    """None stands for what has no value."""
    if isinstance(template, dict):
        entries = {k: _render_json(turn, v, top, origin) for k, v in template.items()}
        return {key: value for key, value in entries.items() if value is not None} or None
    if isinstance(template, list):
        items = [_render_json(turn, entry, top, origin) for entry in template]
        return [entry for entry in items if entry is not None] or None
    field = _FIELD.fullmatch(template) if isinstance(template, str) else None
    return template if field is None else _value(turn, field[1], top, origin)


def render(turn: Turn, format: str, template: str | os.PathLike[str] | None, top: int) -> str:
    """What `Turn.prompt` returns."""
    if format not in _SUFFIXES:
        raise InputError(f'format is {format!r}; give "text" or "json"')
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise InputError(f"top is {top!r}; give a positive int")
    path = Path(__file__).parent / "templates" / f"prompt.{_SUFFIXES[format]}"
    if template is not None:
        path = Path(template)
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"no template {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"template {str(path)!r} cannot be read: {error}") from None
    origin = f"template {path.name!r}"
    if format == "text":
        return _render_text(turn, content, top, origin)
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{origin} is not JSON: {error}") from None
    return json.dumps(_render_json(turn, parsed, top, origin) or {}, ensure_ascii=False)

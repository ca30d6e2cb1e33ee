"""What affectrt says of a file."""

from __future__ import annotations

from pathlib import Path

from affectrt import _core
from affectrt.errors import ModelFileError, UnsupportedError


def refusal(path: Path) -> str:
    """What verification says of `path`; "" when nothing is wrong."""
    try:
        _core.verify_bundle(str(path))
    except (ModelFileError, UnsupportedError) as error:
        return str(error)
    return ""

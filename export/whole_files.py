"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from affectrt.errors import ExportError


def write_whole(path: Path, content: bytes | str) -> None:
    """Write bytes, or text as UTF-8, whole or not at all; replaces what is there.

    Raises:
        ExportError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        unfinished.replace(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)

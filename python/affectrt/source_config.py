"""The checkpoint's own config.json, out of whichever container holds the model."""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

_LIMIT_BYTES = 16 << 20  # far above any real config.json


def source_config(path: str) -> dict[str, Any]:
    """`config.json` of a `.affect` file or a model directory; `{}` when there is none.

    The model at `path` has been opened, and so validated, before.
    """
    try:
        if os.path.isdir(path):
            with open(os.path.join(path, "config.json"), "rb") as file:
                text = file.read(_LIMIT_BYTES)
        else:
            with zipfile.ZipFile(path) as archive, archive.open("config.json") as entry:
                text = entry.read(_LIMIT_BYTES)
        config = json.loads(text)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return {}
    return config if isinstance(config, dict) else {}

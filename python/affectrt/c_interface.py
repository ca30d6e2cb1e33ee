"""Where the C interface lies that is installed beside this package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .errors import UnsupportedError


def _beside_the_module(*parts: str) -> str:
    spec = importlib.util.find_spec("affectrt._core")
    path = Path(spec.origin).parent.joinpath(*parts) if spec and spec.origin else None
    if path is None or not path.exists():
        raise UnsupportedError(f"this installation of affectrt has no {'/'.join(parts)}")
    return str(path)


def get_include() -> str:
    """The folder of `affectrt.h` and its like, for a C or C++ compiler's `-I`.

    Raises `UnsupportedError` where the package was built without them.
    """
    return _beside_the_module("include")


def get_library() -> str:
    """The path of the shared library with the C interface, to be linked or opened by name.

    It needs nothing of Python. A program that links it finds it again by its name
    `libaffectrt.so.1`: in the system's library path, or where `-Wl,-rpath` says. Raises
    `UnsupportedError` where the package was built without it.
    """
    return _beside_the_module("lib", "libaffectrt.so.1")

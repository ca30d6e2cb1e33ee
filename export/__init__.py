"""From fine-tuned checkpoints to model files, with proof. Needs ``pip install "affectrt[export]"``.

    >>> from affectrt.export import export_checkpoint
    >>> export_checkpoint("my-roberta", "my-roberta.affect", precision="int8")  # doctest: +SKIP

Importing this package imports none of torch, transformers and onnx: its names are looked up when
they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import export_checkpoint, verify
    from .bundle import read_manifest, write_bundle
    from .checkpoint import HeadSpec, PooledEncoder, load_checkpoint, save_pooled_checkpoint
    from .parity import ParityReport

__all__ = [
    "HeadSpec",
    "ParityReport",
    "PooledEncoder",
    "export_checkpoint",
    "load_checkpoint",
    "read_manifest",
    "save_pooled_checkpoint",
    "verify",
    "write_bundle",
]

_HOME = {
    "HeadSpec": "checkpoint",
    "ParityReport": "parity",
    "PooledEncoder": "checkpoint",
    "export_checkpoint": "api",
    "load_checkpoint": "checkpoint",
    "read_manifest": "bundle",
    "save_pooled_checkpoint": "checkpoint",
    "verify": "api",
    "write_bundle": "bundle",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

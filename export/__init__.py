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
    from .api import describe_checkpoint, export_checkpoint, verify
    from .bundle import read_manifest, write_bundle
    from .checkpoint import HeadSpec, PooledEncoder, load_checkpoint, save_pooled_checkpoint
    from .parity import ParityReport
    from .probes import LinearHead, attach_heads, make_head, probe_head, read_probe
    from .sources import Source

__all__ = [
    "HeadSpec",
    "LinearHead",
    "ParityReport",
    "PooledEncoder",
    "Source",
    "attach_heads",
    "describe_checkpoint",
    "export_checkpoint",
    "load_checkpoint",
    "make_head",
    "probe_head",
    "read_manifest",
    "read_probe",
    "save_pooled_checkpoint",
    "verify",
    "write_bundle",
]

_HOME = {
    "HeadSpec": "checkpoint",
    "LinearHead": "probes",
    "ParityReport": "parity",
    "PooledEncoder": "checkpoint",
    "Source": "sources",
    "attach_heads": "probes",
    "describe_checkpoint": "api",
    "export_checkpoint": "api",
    "load_checkpoint": "checkpoint",
    "make_head": "probes",
    "probe_head": "probes",
    "read_manifest": "bundle",
    "read_probe": "probes",
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

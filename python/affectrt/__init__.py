"""Compiled inference for affect models: emotion, cause and empathy, on the device.

>>> import affectrt
>>> model = affectrt.load()                                  # doctest: +SKIP
>>> model("I can't believe they cancelled it.").decided      # doctest: +SKIP
('disappointment',)

Importing the package loads nothing but its errors; each name below brings what it needs when it
is first used, and nothing ever imports more than NumPy, the standard library and the compiled
module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import Error

if TYPE_CHECKING:
    from .c_interface import get_include, get_library
    from .info import HeadInfo, ModelInfo
    from .loading import available_models, load
    from .model import Model
    from .pipelines import TextClassificationPipeline, pipeline
    from .results import HeadResult, Label, Result
    from .tokenizer import Encoding, Tokenizer

__version__ = "0.1.0"

__all__ = [
    "Encoding",
    "Error",
    "HeadInfo",
    "HeadResult",
    "Label",
    "Model",
    "ModelInfo",
    "Result",
    "TextClassificationPipeline",
    "Tokenizer",
    "__version__",
    "available_models",
    "errors",
    "get_include",
    "get_library",
    "load",
    "pipeline",
]

_HOME = {
    "Encoding": "tokenizer",
    "HeadInfo": "info",
    "HeadResult": "results",
    "Label": "results",
    "Model": "model",
    "ModelInfo": "info",
    "Result": "results",
    "TextClassificationPipeline": "pipelines",
    "Tokenizer": "tokenizer",
    "available_models": "loading",
    "get_include": "c_interface",
    "get_library": "c_interface",
    "load": "loading",
    "pipeline": "pipelines",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

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
    from . import features
    from .c_interface import get_include, get_library
    from .conversation import Conversation
    from .evidence import Explanation
    from .info import HeadInfo, ModelInfo
    from .label_maps import map_label
    from .loading import available_models, load
    from .long_text import LongResult
    from .model import Model
    from .pipelines import TextClassificationPipeline, pipeline
    from .results import HeadResult, Label, Result, Span
    from .retrieval import Index
    from .speech import SpeechModel
    from .speech_results import SpeechResult, SpeechWindow
    from .speech_stream import Segment, SpeechStream
    from .tokenizer import Encoding, Tokenizer
    from .turns import ArcPoint, Cause, Turn

__version__ = "0.1.0"

__all__ = [
    "ArcPoint",
    "Cause",
    "Conversation",
    "Encoding",
    "Error",
    "Explanation",
    "HeadInfo",
    "HeadResult",
    "Index",
    "Label",
    "LongResult",
    "Model",
    "ModelInfo",
    "Result",
    "Segment",
    "Span",
    "SpeechModel",
    "SpeechResult",
    "SpeechStream",
    "SpeechWindow",
    "TextClassificationPipeline",
    "Tokenizer",
    "Turn",
    "__version__",
    "available_models",
    "errors",
    "features",
    "get_include",
    "get_library",
    "load",
    "map_label",
    "pipeline",
]

_HOME = {
    "ArcPoint": "turns",
    "Cause": "turns",
    "Conversation": "conversation",
    "Encoding": "tokenizer",
    "Explanation": "evidence",
    "HeadInfo": "info",
    "HeadResult": "results",
    "Index": "retrieval",
    "Label": "results",
    "LongResult": "long_text",
    "Model": "model",
    "ModelInfo": "info",
    "Result": "results",
    "Segment": "speech_stream",
    "Span": "results",
    "SpeechModel": "speech",
    "SpeechResult": "speech_results",
    "SpeechStream": "speech_stream",
    "SpeechWindow": "speech_results",
    "TextClassificationPipeline": "pipelines",
    "Tokenizer": "tokenizer",
    "Turn": "turns",
    "available_models": "loading",
    "get_include": "c_interface",
    "get_library": "c_interface",
    "load": "loading",
    "map_label": "label_maps",
    "pipeline": "pipelines",
}


def __getattr__(name: str) -> Any:
    if name == "features":  # a module, not a name in one
        return import_module(".features", __name__)
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

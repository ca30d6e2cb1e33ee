"""The compiled module. Private: only the rest of this package may use it."""

import os
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, final, type_check_only

import numpy as np
import numpy.typing as npt

__version__: str

@type_check_only
class pybind11_type(type): ...

# No class here can be constructed directly (a TypeError): static methods and calls make them.

@final
class Encoding(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    """The tokens of one text or pair; arrays are copies. Unpacks into `ids, offsets`."""

    @property
    def ids(self) -> npt.NDArray[np.int32]: ...
    @property
    def type_ids(self) -> npt.NDArray[np.int32]: ...
    @property
    def special_tokens_mask(self) -> npt.NDArray[np.uint8]: ...
    @property
    def sequence_ids(self) -> npt.NDArray[np.int32]: ...
    @property
    def offsets(self) -> npt.NDArray[np.int32]: ...
    @property
    def overflowing(self) -> list[Encoding]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[npt.NDArray[np.int32]]: ...

@final
class Tokenizer(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def from_json(json: str | bytes, origin: str) -> Tokenizer: ...
    @staticmethod
    def from_bundle(path: str | os.PathLike[str]) -> Tokenizer: ...
    def encode(
        self,
        text: str | bytes,
        pair: str | bytes | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: str = "none",
        max_tokens: int = 0,
        stride: int = 0,
        keep_overflowing: bool = False,
        truncation_side: str = "right",
        with_offsets: bool = True,
    ) -> Encoding: ...
    def encode_batch(
        self,
        texts: Sequence[str | bytes | tuple[str | bytes, str | bytes]],
        num_threads: int = 1,
        *,
        add_special_tokens: bool = True,
        truncation: str = "none",
        max_tokens: int = 0,
        stride: int = 0,
        keep_overflowing: bool = False,
        truncation_side: str = "right",
        with_offsets: bool = True,
    ) -> list[Encoding]: ...
    def token_to_id(self, token: str) -> int | None: ...
    def id_to_token(self, id: int) -> str: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def file_truncation(self) -> tuple[str, int, int, str]: ...

@final
class HeadScores(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def logits(self) -> npt.NDArray[np.float32]: ...
    @property
    def scores(self) -> npt.NDArray[np.float32]: ...
    @property
    def decided(self) -> npt.NDArray[np.bool_]: ...
    @property
    def unsure(self) -> npt.NDArray[np.bool_]: ...
    @property
    def levels(self) -> npt.NDArray[np.float32] | None: ...

    # Of heads that read tokens, whose rows above are tokens, [CLS] first in each text.
    @property
    def token_begin(self) -> npt.NDArray[np.int32] | None: ...
    @property
    def spans(self) -> npt.NDArray[np.int32] | None:
        """[spans, 6]: first and last token of A, label, whether decided, characters begin:end (-1
        where the pass had no offsets)."""
    @property
    def span_scores(self) -> npt.NDArray[np.float32] | None: ...
    @property
    def span_begin(self) -> npt.NDArray[np.int32] | None:
        """[texts + 1]: where the spans of each text begin."""

@final
class Prediction(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def answered(self) -> list[int]:
        """Indices of the heads that answer, in the order of `heads`."""
    @property
    def embeddings(self) -> npt.NDArray[np.float32] | None: ...
    @property
    def heads(self) -> list[HeadScores]: ...
    @property
    def token_counts(self) -> npt.NDArray[np.int32]: ...
    @property
    def truncated(self) -> npt.NDArray[np.bool_]: ...

@final
class Model(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def load(
        path: str | bytes | PathLike[str],
        *,
        backend: str = "auto",
        num_threads: int = 0,
        providers: Sequence[str] = ...,
        max_batch_tokens: int = 0,
        onnxruntime_library: str | bytes | PathLike[str] = "",
    ) -> Model: ...
    def predict(
        self,
        texts: Sequence[str | bytes],
        pairs: Sequence[str | bytes | None] | None = None,
        heads: Sequence[int] | None = None,
        progress: Callable[[int, int], object] | None = None,
        max_tokens: int = 0,
        embeddings: bool = False,
    ) -> Prediction:
        """`heads` are indices; None, or [] without `embeddings`: `text_heads`."""
    def predict_passes(
        self,
        passes: Sequence[
            tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int, npt.NDArray[np.int32] | None]
        ],
        heads: Sequence[int] | None = None,
        progress: Callable[[int, int], object] | None = None,
        embeddings: bool = False,
    ) -> Prediction:
        """Passes that are ready: (ids [n], type_ids [n], tokens of A, their character offsets
        [a_tokens, 2] or None). `heads` None, or [] without `embeddings`: all."""
    def decode(self, head: int, logits: npt.NDArray[np.float32]) -> HeadScores: ...
    @property
    def identity(self) -> str: ...
    @property
    def text_heads(self) -> list[int]: ...
    @property
    def embedding_width(self) -> int: ...
    @property
    def manifest_json(self) -> str: ...
    @property
    def raw_manifest(self) -> str: ...
    @property
    def backend_name(self) -> str: ...
    @property
    def backend_detail(self) -> str: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def path(self) -> str: ...

_Point = tuple[int, str | None, float, float | None, list[float] | None]
_Turn = tuple[str, str, str | None]

@final
class TurnAnswer(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def speaker(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def is_reply(self) -> bool: ...
    @property
    def told_emotion(self) -> str: ...
    @property
    def point(self) -> _Point:
        """Turn, emotion, its score, valence, part of each family."""
    @property
    def causes(self) -> list[tuple[int, float, bool, int, int, float, str]] | None:
        """Turn, score, whether decided, characters begin:end, their score and text, of every pair
        that was judged; None where the model cannot."""
    @property
    def prediction(self) -> Prediction: ...
    @property
    def json(self) -> str: ...

@final
class Conversation(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def create(model: Model, max_turns: int, heads: Sequence[int]) -> Conversation: ...
    @staticmethod
    def restore(model: Model, state: str | bytes) -> Conversation: ...
    def add(
        self, turns: Sequence[_Turn], progress: Callable[[int, int], object] | None = None
    ) -> list[TurnAnswer]: ...
    def scores(
        self,
        turns: Sequence[_Turn],
        at: int,
        head: int,
        progress: Callable[[int, int], object] | None = None,
    ) -> HeadScores: ...
    def arc(self, most: int = ...) -> list[_Point]: ...
    def said(self) -> list[tuple[int, str, str]]: ...
    def state_json(self) -> str: ...
    @property
    def turns(self) -> int: ...
    @property
    def max_turns(self) -> int: ...
    @property
    def heads(self) -> list[int]: ...

def add_turns(
    additions: Sequence[tuple[Conversation, str, str, str | None]],
    progress: Callable[[int, int], object] | None = None,
) -> list[TurnAnswer]: ...
def emotion_families() -> list[tuple[str, int, str]]: ...
def _make_pass(
    tokenizer: Tokenizer, text: str, lines: Sequence[tuple[bool, str | None, str]]
) -> tuple[list[int], list[int], int]: ...
def verify_bundle(path: str | bytes | PathLike[str]) -> None: ...
def cpu_info() -> dict[str, Any]: ...
def kernels_info() -> dict[str, Any]: ...
def onnxruntime_info(library: str | bytes | PathLike[str]) -> dict[str, Any]: ...

@final
class _WhisperEncoder(metaclass=pybind11_type):
    """A folder that `affectrt.export.whisper_weights` wrote; for tests, until speech has an API."""

    def __init__(self, folder: str, *, num_threads: int = 0) -> None: ...
    @property
    def detail(self) -> str: ...
    def forward(
        self, clips: Sequence[npt.NDArray[np.float32]]
    ) -> list[npt.NDArray[np.float32]]: ...

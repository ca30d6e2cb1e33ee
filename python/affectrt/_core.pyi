"""The compiled module. Private: only the rest of this package may use it."""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

@final
class Encoding:
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

@final
class Tokenizer:
    @staticmethod
    def from_json(json: bytes, origin: str) -> Tokenizer: ...
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
        with_offsets: bool = True,
    ) -> Encoding: ...
    def encode_batch(
        self,
        texts: Sequence[str | bytes],
        num_threads: int = 1,
        *,
        add_special_tokens: bool = True,
        truncation: str = "none",
        max_tokens: int = 0,
        stride: int = 0,
        keep_overflowing: bool = False,
        with_offsets: bool = True,
    ) -> list[Encoding]: ...
    def token_to_id(self, token: str) -> int | None: ...
    def id_to_token(self, id: int) -> str: ...
    @property
    def vocab_size(self) -> int: ...

@final
class HeadScores:
    @property
    def logits(self) -> npt.NDArray[np.float32]: ...
    @property
    def scores(self) -> npt.NDArray[np.float32]: ...
    @property
    def decided(self) -> npt.NDArray[np.bool_]: ...
    @property
    def unsure(self) -> npt.NDArray[np.bool_]: ...

@final
class Prediction:
    @property
    def heads(self) -> list[HeadScores]: ...
    @property
    def token_counts(self) -> npt.NDArray[np.int32]: ...
    @property
    def truncated(self) -> npt.NDArray[np.bool_]: ...

@final
class Model:
    @staticmethod
    def load(
        path: str,
        *,
        backend: str = "auto",
        num_threads: int = 0,
        providers: Sequence[str] = (),
        max_batch_tokens: int = 0,
        onnxruntime_library: str = "",
    ) -> Model: ...
    def predict(
        self,
        texts: Sequence[str | bytes],
        pairs: Sequence[str | bytes | None] | None,
        heads: Sequence[int],
        progress: Callable[[int, int], object] | None,
    ) -> Prediction: ...
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

def verify_bundle(path: str) -> None: ...
def cpu_info() -> dict[str, Any]: ...
def onnxruntime_info(library: str) -> dict[str, Any]: ...

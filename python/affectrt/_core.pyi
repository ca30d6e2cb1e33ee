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
            | tuple[
                npt.NDArray[np.int32],
                npt.NDArray[np.int32],
                int,
                npt.NDArray[np.int32] | None,
                int,
            ]
        ],
        heads: Sequence[int] | None = None,
        progress: Callable[[int, int], object] | None = None,
        embeddings: bool = False,
    ) -> Prediction:
        """Passes that are ready: (ids [n], type_ids [n], tokens of A, their character offsets
        [a_tokens, 2] or None), or with where A begins behind these, 1 where it is not said.
        `heads` None, or [] without `embeddings`: all."""
    def decode(self, head: int, logits: npt.NDArray[np.float32]) -> HeadScores: ...
    @property
    def identity(self) -> str: ...
    def run_graph(self, inputs: dict[str, Any]) -> dict[str, DeviceArray]: ...
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

_Point = tuple[int, str | None, float, float | None, list[float] | None, bool, bool]
_Turn = tuple[str, str, str | None]
_SpokenTurn = tuple[str, str | None, str | None, list[float] | None]

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
        """Turn, emotion, its score, valence, part of each family; whether words were fused, and a
        voice."""
    @property
    def causes(self) -> list[tuple[int, float, bool, int, int, float, str]] | None:
        """Turn, score, whether decided, characters begin:end, their score and text, of every pair
        that was judged; None where the model cannot."""
    @property
    def prediction(self) -> Prediction: ...

@final
class Conversation(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def create(
        model: Model, max_turns: int, heads: Sequence[int], speech: SpeechModel | None = None
    ) -> Conversation: ...
    @staticmethod
    def restore(
        model: Model, state: str | bytes, speech: SpeechModel | None = None
    ) -> Conversation: ...
    def add(
        self,
        turns: Sequence[_Turn | _SpokenTurn],
        progress: Callable[[int, int], object] | None = None,
        embeddings: bool = False,
    ) -> list[TurnAnswer]: ...
    def scores(
        self,
        turns: Sequence[_Turn],
        at: int,
        head: int,
        progress: Callable[[int, int], object] | None = None,
    ) -> HeadScores: ...
    def expect(
        self, speaker: str | bytes, emotion: str | bytes, personality: str | bytes, head: int
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
    additions: Sequence[
        tuple[Conversation, str, str, str | None]
        | tuple[Conversation, str, str | None, str | None, list[float] | None]
    ],
    progress: Callable[[int, int], object] | None = None,
    embeddings: bool = False,
) -> list[TurnAnswer]: ...
def label_maps() -> dict[str, list[str]]: ...
def emotion_words() -> dict[str, list[str]]: ...
def emotion_families() -> list[tuple[str, int]]: ...
def map_label(map: str, word: str) -> str | None: ...
def group_scores(
    group: Sequence[int],
    groups: int,
    scores: Sequence[float],
    decided: Sequence[bool],
    exclusive: bool,
) -> tuple[list[float], list[bool]]: ...
def _make_pass(
    tokenizer: Tokenizer, text: str, lines: Sequence[tuple[bool, str | None, str]]
) -> tuple[list[int], list[int], int]: ...
def load(
    path: str | bytes | PathLike[str],
    *,
    backend: str = "auto",
    num_threads: int = 0,
    providers: Sequence[str] = ...,
    max_batch_tokens: int = 0,
    onnxruntime_library: str | bytes | PathLike[str] = "",
) -> Model | SpeechModel: ...
def verify_bundle(path: str | bytes | PathLike[str]) -> None: ...
def cpu_info() -> dict[str, Any]: ...
def kernels_info() -> dict[str, Any]: ...
def onnxruntime_info(library: str | bytes | PathLike[str]) -> dict[str, Any]: ...

@final
class SpeechPrediction(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def answered(self) -> list[int]: ...
    @property
    def heads(self) -> list[HeadScores]: ...
    @property
    def window_heads(self) -> list[HeadScores]: ...
    @property
    def duration_s(self) -> npt.NDArray[np.float64]: ...
    @property
    def level_dbfs(self) -> npt.NDArray[np.float32]: ...
    @property
    def clipped_share(self) -> npt.NDArray[np.float32]: ...
    @property
    def audible(self) -> npt.NDArray[np.bool_]: ...
    @property
    def window_begin(self) -> npt.NDArray[np.int32]:
        """[clips + 1]: where each clip's windows begin."""
    @property
    def windows(self) -> npt.NDArray[np.int64]:
        """[windows, 2]: begin and end, in samples at the model's rate."""
    @property
    def embeddings(self) -> npt.NDArray[np.float32] | None: ...

@final
class SpeechModel(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def predict(
        self,
        clips: Sequence[npt.NDArray[np.float32]],
        sample_rates: Sequence[int],
        *,
        heads: Sequence[int] | None = None,
        restrictions: Sequence[tuple[int, Sequence[int]]] = ...,
        progress: Callable[[int, int], object] | None = None,
        embeddings: bool = False,
    ) -> SpeechPrediction: ...
    def run_graph(self, inputs: dict[str, Any]) -> dict[str, DeviceArray]: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def max_seconds(self) -> float: ...
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
    def path(self) -> str: ...

@final
class _WhisperEncoder(metaclass=pybind11_type):
    """A folder that `affectrt.export.whisper_weights` wrote; for tests."""

    def __init__(self, folder: str, *, num_threads: int = 0) -> None: ...
    @property
    def detail(self) -> str: ...
    def forward(
        self, clips: Sequence[npt.NDArray[np.float32]]
    ) -> list[npt.NDArray[np.float32]]: ...

# Sound: features.py says what these are.

def mono(samples: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]: ...
def read_wav(path: str) -> tuple[npt.NDArray[np.float32], int]: ...

@final
class WavFile(metaclass=pybind11_type):
    def __init__(self, path: str) -> None: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...
    def read(self, begin: int, most: int) -> npt.NDArray[np.float32]:
        """float32 [frames, channels]: at most `most` from frame `begin` on."""

def parse_wav(image: bytes, origin: str) -> tuple[npt.NDArray[np.float32], int]: ...

prosody_names: tuple[str, ...]
prosody_functional_names: tuple[str, ...]

def prosody(
    clip: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]: ...
def check_sample_rate(sample_rate: int) -> None: ...
def normalise_waveform(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

@final
class FrameFeatures(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @staticmethod
    def whisper(num_mels: int) -> FrameFeatures: ...
    @staticmethod
    def kaldi(fields: dict[str, Any]) -> FrameFeatures: ...
    @property
    def columns(self) -> int: ...
    def compute(
        self,
        clips: Sequence[npt.NDArray[np.float32]],
        *,
        total_samples: int = 0,
        feature_major: bool = False,
        normalise: bool = False,
        num_threads: int = 1,
    ) -> list[npt.NDArray[np.float32]]: ...

has_cuda: bool

@final
class DeviceArray(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(self, **kwargs: Any) -> Any: ...

@final
class DeviceFeatures(metaclass=pybind11_type):
    def __init__(self, plan: FrameFeatures, device: int) -> None: ...
    def compute(
        self,
        samples: Any,
        *,
        total_samples: int = 0,
        feature_major: bool = False,
        normalise: bool = False,
    ) -> DeviceArray: ...

@final
class FrameStream(metaclass=pybind11_type):
    def __init__(self, plan: FrameFeatures) -> None: ...
    def feed(self, chunk: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...
    def finish(self) -> npt.NDArray[np.float32]: ...

@final
class Resampler(metaclass=pybind11_type):
    def __init__(self, from_rate: int, to_rate: int) -> None: ...
    @property
    def latency_ms(self) -> float: ...
    def compute(
        self, clips: Sequence[npt.NDArray[np.float32]], *, num_threads: int = 1
    ) -> list[npt.NDArray[np.float32]]: ...

@final
class ResampleStream(metaclass=pybind11_type):
    def __init__(self, plan: Resampler) -> None: ...
    def feed(self, chunk: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...
    def finish(self) -> npt.NDArray[np.float32]: ...

vad_latency_ms: float

@final
class VoiceStream(metaclass=pybind11_type):
    def __init__(self, options: dict[str, float]) -> None: ...
    def feed(
        self, chunk: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], list[tuple[int, int, bool]]]: ...
    def finish(self) -> tuple[npt.NDArray[np.float32], list[tuple[int, int, bool]]]: ...

@final
class SpeechSegment(metaclass=pybind11_type):
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def index(self) -> int: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def interim(self) -> bool: ...
    @property
    def cut(self) -> bool: ...
    @property
    def smoothed(self) -> list[float]: ...
    @property
    def label(self) -> int | None:
        """Index into the labels of the first head."""
    @property
    def heads(self) -> list[HeadScores]: ...
    @property
    def json(self) -> str: ...

@final
class SpeechStream(metaclass=pybind11_type):
    def __init__(self, model: SpeechModel, sample_rate: int, options: dict[str, float]) -> None: ...
    def feed(self, chunk: npt.NDArray[np.float32]) -> list[SpeechSegment]: ...
    def flush(self) -> list[SpeechSegment]: ...
    @property
    def latency_ms(self) -> float: ...
    @property
    def max_segment_s(self) -> float: ...

def family_shares(
    labels: Sequence[str], scores: Sequence[float], voice: bool
) -> list[float] | None:
    """Each family's part, in the order of emotion_families(); None where no label has one."""

def fuse(text: Sequence[float] | None, voice: Sequence[float] | None) -> list[float]: ...

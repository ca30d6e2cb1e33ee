"""Checkpoints of speech models: a Whisper encoder, attention pooling, linear heads.

A directory as of Hugging Face (``config.json``, ``model.safetensors``,
``preprocessor_config.json``) whose ``config.json``, else a Whisper's, has one more key::

    "affectrt": {"modality": "speech", "pooling": "attention", "sample_rate": 16000,
                 "max_seconds": 8.0, "heads": [...], "card": {...}}

``pooling`` is "attention" or "attention_statistics" (see `affectrt.export.pooling`). A key
``"compact": true`` beside it makes the export smaller by what a larger model does not miss: see
`affectrt.export.whisper_weights.write_speech_model`.

Its tensors are ``encoder.*`` (as in `transformers.WhisperEncoder`), ``pooling.weight``
``[pooling heads, width]``, and ``heads.<name>.weight`` and ``.bias``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from affectrt.errors import ExportError

from .checkpoint import TOKEN_TASKS, HeadSpec, head_specs
from .checkpoint_files import PLAIN_ATTENTION, built, network_config, read_json, read_weights
from .pooling import MASKED, AttentionPooling

SAMPLE_RATE = 16000  # Hz
FRAMES_PER_SECOND = 100
FRAMES_PER_TOKEN = 2
POOLINGS = ("attention", "attention_statistics")


class SpeechEncoder(nn.Module):
    """Whisper's encoder on clips of any length, attention pooling, and linear heads.

    A clip has the answer that it has alone, whatever else is in its batch, but for rounding: what
    lies behind its end is zero for both convolutions, as it is for a clip alone, and no token
    attends to it.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        encoder: Any,
        heads: Sequence[HeadSpec],
        pooling_heads: int = 4,
        *,
        statistics: bool = False,
        compact: bool = False,
    ) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.specs = tuple(heads)
        self.compact = compact
        self.pooling = AttentionPooling(int(encoder.config.d_model), pooling_heads, statistics)
        width = self.pooling.width
        self.dropout = nn.Dropout(0.1)
        # Of pooled vectors, while heads are trained; see `standardise`.
        self.register_buffer("centre", torch.zeros(width), persistent=False)
        self.register_buffer("spread", torch.ones(width), persistent=False)
        self.heads = nn.ModuleDict()
        for spec in heads:
            if spec.task in TOKEN_TASKS:
                raise ExportError(f"head {spec.name!r}: a clip has no {spec.task!r}")
            head = nn.Linear(width, len(spec.labels))
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
            self.heads[spec.name] = head

    @property
    def pooling_kind(self) -> str:
        """One of `POOLINGS`."""
        return POOLINGS[self.pooling.statistics]

    @property
    def max_frames(self) -> int:
        """The longest clip."""
        return FRAMES_PER_TOKEN * int(self.encoder.config.max_source_positions)

    def states(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Last hidden states ``float32 [batch, tokens, width]`` and which of them there are.

        Args:
            features: log-mel ``float32 [batch, mels, frames]``; what lies behind a clip's end may
                be anything finite.
            frames: of each clip, ``int64 [batch]``, at least 1.
        """
        gelu, encoder = nn.functional.gelu, self.encoder
        heard = torch.arange(features.shape[2], device=features.device) < frames.unsqueeze(1)
        x = gelu(encoder.conv1(features * heard.unsqueeze(1)))
        x = gelu(encoder.conv2(x * heard.unsqueeze(1))).transpose(1, 2)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        x = nn.functional.dropout(x, encoder.dropout, self.training)
        tokens = (frames + 1) // FRAMES_PER_TOKEN
        known = torch.arange(x.shape[1], device=x.device) < tokens.unsqueeze(1)
        mask = torch.zeros(known.shape, dtype=x.dtype, device=x.device)
        mask = mask.masked_fill(~known, MASKED)[:, None, None, :]
        for layer in encoder.layers:
            x = layer(x, mask)
            x = x[0] if isinstance(x, tuple) else x  # transformers before 5
        return encoder.layer_norm(x), known

    def pool(self, features: Tensor, frames: Tensor) -> Tensor:
        """What the heads read: ``float32 [batch, pooling.width]``; arguments as of `states`."""
        pooled: Tensor = self.pooling(*self.states(features, frames))
        return pooled

    def answer(self, pooled: Tensor) -> dict[str, Tensor]:
        """Logits by output name, ``float32 [batch, labels]``."""
        pooled = self.dropout((pooled - self.centre) / self.spread)
        return {h.output: self.heads[h.name](pooled) for h in self.specs}

    def standardise(self, centre: Tensor, spread: Tensor) -> None:
        """Let the heads read ``(pooled - centre) / spread`` from now on, each ``[width]``."""
        self.centre.copy_(centre)
        self.spread.copy_(spread)

    def fold_standard(self) -> None:
        """Make that part of the heads' weights, as in a checkpoint; answers stay the same."""
        with torch.no_grad():
            for head in self.heads.values():
                assert isinstance(head, nn.Linear)
                head.weight.div_(self.spread)
                head.bias.sub_(head.weight @ self.centre)
        self.standardise(torch.zeros_like(self.centre), torch.ones_like(self.spread))

    def forward(self, features: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """Logits by output name; arguments as of `states`."""
        return self.answer(self.pool(features, frames))


def pad(clips: Sequence[npt.NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Features of clips, each ``float32 [mels, frames]``, as `SpeechEncoder` takes them: ``[clips,
    mels, frames]`` with zeros behind each end, and the frames of each."""
    frames = [clip.shape[1] for clip in clips]
    batch = np.zeros((len(clips), len(clips[0]), max(frames)), np.float32)
    for i, clip in enumerate(clips):
        batch[i, :, : clip.shape[1]] = clip
    return torch.from_numpy(batch), torch.tensor(frames)


@dataclass(frozen=True)
class SpeechCheckpoint:
    """A checkpoint ready to be exported; ``model`` is in eval mode, float32, on the CPU.

    It is a `SpeechEncoder` or an `affectrt.export.audio_classifiers.AudioClassifier`, which has a
    feature extractor of transformers.
    """

    path: Path
    model: Any
    heads: tuple[HeadSpec, ...]
    config: dict[str, Any]
    features: dict[str, Any]  # what it reads, as FORMAT.md has it
    sample_rate: int  # Hz
    max_seconds: float
    source_sha256: str
    card: dict[str, Any] = field(default_factory=dict)
    extractor: Any = None

    @property
    def num_mels(self) -> int:
        """Bands of its features; 0 of a waveform."""
        return int(self.features.get("num_mels", 0))

    @property
    def family(self) -> str:
        """``model_type`` of ``config.json``."""
        return str(self.config["model_type"])


def new_whisper_encoder(config: Any) -> Any:
    """An encoder without weights of its own, attention as products and a softmax: the fused one of
    torch is slower on CPUs, backward above all."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    return WhisperEncoder._from_config(config, **PLAIN_ATTENTION)  # type: ignore[no-untyped-call]


def base_encoder(
    folder: Path, positions: int, dropout: float = 0.0, layers: int | None = None
) -> Any:
    """The encoder of a Whisper checkpoint, float32, with its first `positions` positions and its
    lowest `layers` layers (all if not given) under its last normalisation.

    Raises:
        NotFoundError: the folder or one of its files is missing.
        ExportError: it is no Whisper, weights are damaged, or it has fewer positions or layers.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") != "whisper":
        raise ExportError(
            f"{folder}: model_type {config.get('model_type')!r}; a Whisper encoder is needed"
        )
    weights, _ = read_weights(folder)
    prefixes = ("model.encoder.", "encoder.", "")  # of whole models, and of the encoder alone
    prefix = next((p for p in prefixes if f"{p}conv1.weight" in weights), None)
    if prefix is None:
        raise ExportError(f"{folder}: has no conv1.weight, so it holds no Whisper encoder")
    weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    table = "embed_positions.weight"
    if table not in weights or len(weights[table]) < positions:
        count = len(weights[table]) if table in weights else 0
        raise ExportError(f"{folder}: {count} positions; {positions} are needed")
    weights[table] = weights[table][:positions].clone()
    cut = {**config, "max_source_positions": positions, "dropout": dropout}
    cut.pop("torch_dtype", None)
    if layers is not None:
        if not 0 <= layers <= int(config["encoder_layers"]):
            raise ExportError(
                f"{folder}: has {config['encoder_layers']} layers; {layers} are needed"
            )
        cut["encoder_layers"] = cut["num_hidden_layers"] = layers
        gone = tuple(f"layers.{i}." for i in range(layers, int(config["encoder_layers"])))
        weights = {k: v for k, v in weights.items() if not k.startswith(gone)}
    whole = network_config(folder, cut)
    return built(folder, weights, lambda: new_whisper_encoder(whole))


def save_speech_checkpoint(
    model: SpeechEncoder, path: Path, card: dict[str, Any] | None = None
) -> None:
    """Write `model` as a checkpoint directory; `card` travels into the exported manifest."""
    path.mkdir(parents=True, exist_ok=True)
    config = model.encoder.config.to_dict()
    config.pop("_name_or_path", None)  # where the base lay is nobody's business
    config["dropout"] = 0.0  # of training
    config["affectrt"] = {
        "modality": "speech",
        "pooling": model.pooling_kind,
        **({"compact": True} if model.compact else {}),
        "sample_rate": SAMPLE_RATE,
        "max_seconds": model.max_frames / FRAMES_PER_SECOND,
        "heads": [asdict(h) for h in model.specs],
        "card": card or {},
    }
    tensors = {k: v.detach().cpu().float().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    samples = model.max_frames * SAMPLE_RATE // FRAMES_PER_SECOND
    features = {  # as transformers' feature extractor reads them; clips are not filled up
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": config["num_mel_bins"],
        "sampling_rate": SAMPLE_RATE,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": model.max_frames // FRAMES_PER_SECOND,
        "n_samples": samples,
        "nb_max_frames": model.max_frames,
        "padding_value": 0.0,
        "dither": 0.0,
    }
    text = json.dumps(features, indent=2) + "\n"
    (path / "preprocessor_config.json").write_text(text, encoding="utf-8")


def load_speech_checkpoint(path: Path | str) -> SpeechCheckpoint:
    """Read a local checkpoint directory. No code in it is run and nothing is downloaded.

    Raises:
        NotFoundError: the directory or one of its files is missing.
        ExportError: it is no speech model of ours, or weights are damaged, missing or NaN; the
            message says which and what would be right.
    """
    path = Path(path)
    config = read_json(path / "config.json")
    own = config.get("affectrt")
    if config.get("model_type") != "whisper" or not isinstance(own, dict):
        raise ExportError(
            f'{path}: is no speech model: config.json must have model_type "whisper" and a key '
            '"affectrt"'
        )
    if own.get("pooling") not in POOLINGS:
        raise ExportError(
            f"{path}: pooling must be one of {', '.join(POOLINGS)}, not {own.get('pooling')!r}"
        )
    if own.get("sample_rate") != SAMPLE_RATE:
        raise ExportError(f"{path}: sample_rate must be {SAMPLE_RATE}")
    specs = head_specs(path, own)
    weights, digest = read_weights(path)
    whole = network_config(path, config)
    if "pooling.weight" not in weights:
        raise ExportError(f"{path}: weight 'pooling.weight' is missing from the checkpoint")

    def build() -> nn.Module:
        return SpeechEncoder(
            new_whisper_encoder(whole),
            specs,
            len(weights["pooling.weight"]),
            statistics=own["pooling"] == "attention_statistics",
            compact=bool(own.get("compact")),
        )

    model = built(path, weights, build)
    assert isinstance(model, SpeechEncoder)
    return SpeechCheckpoint(
        path=path,
        model=model.eval(),
        heads=specs,
        config=config,
        features={"kind": "whisper_log_mel", "num_mels": int(config["num_mel_bins"])},
        sample_rate=SAMPLE_RATE,
        max_seconds=model.max_frames / FRAMES_PER_SECOND,
        source_sha256=digest,
        card=dict(own.get("card", {})),
    )

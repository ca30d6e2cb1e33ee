"""Audio classifiers of transformers: wav2vec 2.0, HuBERT, WavLM, AST and Whisper's encoder.

Taken are ``Wav2Vec2ForSequenceClassification`` and its like, ``ASTForAudioClassification``,
``WhisperForAudioClassification``, and a layout that many speech models share without a class in
transformers: wav2vec 2.0 (HuBERT, WavLM), the mean over time, and ``classifier.dense``, tanh,
``classifier.out_proj``, as those have that tell arousal, dominance and valence.

What a network hears is told by ``preprocessor_config.json``. A clip is heard alone, so that there
is no padding to mask: models with a group norm in their convolutions, which were trained without a
mask, and those with layer norms, which were trained with one, answer as they do to one clip in
transformers. AST hears ``max_length`` frames and Whisper 30 s, filled up as in training.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import (
    ASTFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import classifier_head
from .checkpoint_files import PLAIN_ATTENTION, built, network_config, read_json, read_weights
from .native_weights import ACTIVATIONS
from .speech_checkpoint import FRAMES_PER_SECOND, SAMPLE_RATE, SpeechCheckpoint, SpeechEncoder

_WAVEFORM = ("wav2vec2", "hubert", "wavlm")
AST, WHISPER = "audio-spectrogram-transformer", "whisper"
# model_type -> the class of transformers that classifies clips, and its feature extractor
FAMILIES: dict[str, tuple[str, Any]] = {
    "wav2vec2": ("Wav2Vec2ForSequenceClassification", Wav2Vec2FeatureExtractor),
    "hubert": ("HubertForSequenceClassification", Wav2Vec2FeatureExtractor),
    "wavlm": ("WavLMForSequenceClassification", Wav2Vec2FeatureExtractor),
    AST: ("ASTForAudioClassification", ASTFeatureExtractor),
    WHISPER: ("WhisperForAudioClassification", WhisperFeatureExtractor),
}
# Networks of sound that are not taken; what says so is better than a word about tokenizers.
_OTHERS = (
    *("clap", "data2vec-audio", "encodec", "mctct", "sew", "sew-d", "speech_to_text", "speecht5"),
    *("unispeech", "unispeech-sat", "wav2vec2-bert", "wav2vec2-conformer"),
)
# The convolutional networks take clips of any length; attention over longer ones costs its square.
_MAX_SECONDS = 30.0
# In parts of a second that float32 holds exactly, as readers keep it.
_PARTS = 64
_QKV = {"q": "query", "k": "key", "v": "value"}
# How tensors are called by transformers before 5, or by torch before its parametrisations.
_OLDER_NAMES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\.parametrizations\.weight\.original0$"), ".weight_g"),
    (re.compile(r"\.parametrizations\.weight\.original1$"), ".weight_v"),
    (re.compile(r"^(audio_spectrogram_transformer)\.layers\."), r"\1.encoder.layer."),
    (re.compile(r"\.attention\.([qkv])_proj\."), lambda m: f".attention.attention.{_QKV[m[1]]}."),
    (re.compile(r"\.attention\.o_proj\."), ".attention.output.dense."),
    (re.compile(r"\.mlp\.fc1\."), ".intermediate.dense."),
    (re.compile(r"\.mlp\.fc2\."), ".output.dense."),
)


class AudioClassifier(nn.Module):
    """Gives an audio classifier of transformers the interface of a checkpoint's network."""

    def __init__(self, classifier: nn.Module, transposed: bool) -> None:
        super().__init__()
        self.classifier: Any = classifier
        self.transposed = transposed  # its features are [mels, frames]

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits ``float32 [clips, labels]`` by output name.

        Args:
            features: ``float32 [clips, frames, mels]``, or of a waveform ``[clips, samples]``; all
                clips of the same length.
        """
        read = features.transpose(1, 2) if self.transposed else features
        return {"logits": self.classifier(read).logits}


class _Answer:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class _PooledHead(nn.Module):
    """An encoder, the mean of its last states, and dense, tanh, out_proj."""

    def __init__(self, encoder: Any, base: str, labels: int) -> None:
        super().__init__()
        self.base, width = base, int(encoder.config.hidden_size)
        self.add_module(base, encoder)
        self.classifier = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "out_proj": nn.Linear(width, labels)}
        )

    def forward(self, features: Tensor) -> _Answer:
        pooled = getattr(self, self.base)(features).last_hidden_state.mean(dim=1)
        return _Answer(self.classifier["out_proj"](torch.tanh(self.classifier["dense"](pooled))))


def is_audio_classifier(config: dict[str, Any]) -> bool:
    """Whether a ``config.json`` is that of a network of sound."""
    return config.get("model_type") in (*FAMILIES, *_OTHERS)


def load_audio_classifier(path: Path) -> SpeechCheckpoint:
    """Read a local checkpoint directory. No code in it is run and nothing is downloaded.

    Raises:
        NotFoundError: the directory or one of its files is missing.
        ExportError: another family or head, damaged, missing or NaN weights, or a
            ``preprocessor_config.json`` that does not fit the network; the message says which and
            what would be right.
    """
    config = read_json(path / "config.json")
    family = str(config.get("model_type", ""))
    if family not in FAMILIES:
        raise ExportError(
            f"{path}: model_type {family!r} is not one whose audio classifiers affectrt exports "
            f"({', '.join(sorted(FAMILIES))})"
        )
    preprocessor = read_preprocessor(path)
    weights, digest = read_weights(path)
    pooled_head = _check_head(path, config, weights)
    # Masks over time are of training; a network without them has no vector for what is masked.
    untrained = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0} if family in _WAVEFORM else {}
    whole = network_config(path, {**config, **untrained})
    head = classifier_head(path, config, whole, "audio")
    from_config: Any = (AutoModel if pooled_head else AutoModelForAudioClassification).from_config

    def build() -> nn.Module:
        network = from_config(whole, **PLAIN_ATTENTION)
        return _PooledHead(network, family, len(head.labels)) if pooled_head else network

    classifier = built(path, weights, build, _older_name)
    for module in classifier.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
    features, max_seconds = hears(path, whole, preprocessor)
    return SpeechCheckpoint(
        path=path,
        model=AudioClassifier(classifier, transposed=family == WHISPER).eval(),
        heads=(head,),
        config=config,
        features=features,
        sample_rate=int(preprocessor["sampling_rate"]),
        max_seconds=math.floor(max_seconds * _PARTS) / _PARTS,
        source_sha256=digest,
        extractor=FAMILIES[family][1].from_dict(preprocessor),
    )


def read_preprocessor(path: Path) -> dict[str, Any]:
    """The settings of the feature extractor: ``preprocessor_config.json``, or as newer processors
    are saved the ``feature_extractor`` of ``processor_config.json``."""
    file, whole = path / "preprocessor_config.json", path / "processor_config.json"
    if not file.is_file() and whole.is_file():
        settings = read_json(whole).get("feature_extractor")
        if isinstance(settings, dict):
            return settings
    if not file.is_file():
        raise NotFoundError(
            f"{file} is missing: it says what the network hears (sampling_rate, do_normalize, "
            "...); save_pretrained() the feature extractor that it was trained with to get one"
        )
    return read_json(file)


def as_speech_encoder(checkpoint: SpeechCheckpoint) -> SpeechEncoder | None:
    """The same function as a network of the native engine, or None where it computes none such.

    A Whisper that classifies takes the mean of its last states, projected, and that is pooling
    without a preference and one matrix.
    """
    model: Any = checkpoint.model
    if checkpoint.family != WHISPER:
        return None
    classifier = model.classifier
    whole = classifier.config
    if whole.use_weighted_layer_sum or whole.activation_function not in ACTIVATIONS:
        return None
    (head,) = checkpoint.heads
    encoder = SpeechEncoder(classifier.encoder, [head], pooling_heads=1).eval()
    first, second = classifier.projector, classifier.classifier
    matrix = second.weight.double() @ first.weight.double()
    bias = second.weight.double() @ first.bias.double() + second.bias.double()
    state = {"weight": matrix.float(), "bias": bias.float()}
    encoder.heads[head.name].load_state_dict({k: v.detach() for k, v in state.items()})
    nn.init.zeros_(encoder.pooling.weight)
    return encoder


def _older_name(name: str) -> str:
    for pattern, older in _OLDER_NAMES:
        name = pattern.sub(older, name)
    return name


def _check_head(path: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> bool:
    """Whether the head is that of `_PooledHead`, and not that of the family's class.

    Raises:
        ExportError: it is another one.
    """
    family = config["model_type"]
    names = config.get("architectures") or [""]
    name = str(names[0]) if isinstance(names, list) else ""
    expected = FAMILIES[family][0]
    own = sorted(n for n in weights if n.startswith(("classifier", "projector", "score", "head")))
    layout = {f"classifier.{part}.{kind}" for part in ("dense", "out_proj")
              for kind in ("weight", "bias")}  # fmt: skip
    if family in _WAVEFORM and layout == set(own):
        pooling = config.get("pooling_mode") or "mean"
        if pooling != "mean":
            raise ExportError(
                f"{path}: pooling_mode {pooling!r} before classifier.dense is not done; the mean is"
            )
        return True
    if name == expected:
        return False
    if config.get("auto_map"):
        raise ExportError(
            f"{path}: is a {name or 'network'} of its own code (auto_map of config.json), which "
            f"is never run (trust_remote_code); taken are {expected}, and {family} with the mean "
            "over time and the layers classifier.dense and classifier.out_proj"
        )
    if not own:
        raise ExportError(
            f"{path}: is a {name or family}, which has no head that classifies clips; fine-tune "
            f"it as {expected}"
        )
    if name:
        raise ExportError(
            f"{path}: is a {name} with the head {', '.join(own[:6])}, which is not one that "
            f"affectrt knows; taken are {expected}, and for {', '.join(_WAVEFORM)} the mean over "
            "time with the layers classifier.dense and classifier.out_proj"
        )
    return False


def hears(path: Path, whole: Any, preprocessor: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """What a network of the configuration `whole` hears, as FORMAT.md has it, and the longest clip
    in s.

    Raises:
        ExportError: the feature extractor's settings are not those of the family, or not done.
    """
    family, file = whole.model_type, path / "preprocessor_config.json"
    kind = FAMILIES[family][1].__name__

    def need(key: str, wanted: Any, why: str, usual: Any = None) -> Any:
        value = preprocessor.get(key, usual)
        if value != wanted:
            raise ExportError(f"{file}: {key} is {value!r}; {wanted!r} is needed: {why}")
        return value

    need("feature_extractor_type", kind, f"that of {family}", kind)
    rate = preprocessor.get("sampling_rate")
    if not isinstance(rate, int) or isinstance(rate, bool) or not 8000 <= rate <= 192_000:
        raise ExportError(f"{file}: sampling_rate is {rate!r}; Hz from 8000 to 192000 are needed")
    if family in _WAVEFORM:
        need("feature_size", 1, "the network hears one channel", 1)
        least = _least_samples(whole)
        if least > rate // 10:
            raise ExportError(
                f"{path / 'config.json'}: the convolutions need {least} samples for one frame; "
                f"clips begin at 0.1 s, {rate // 10} samples"
            )
        normalise = bool(preprocessor.get("do_normalize", True))
        return {"kind": "waveform", "normalise": normalise}, _MAX_SECONDS
    need("sampling_rate", SAMPLE_RATE, f"the frames of {family} are of 16 kHz")
    if family == AST:
        bands = need("num_mel_bins", whole.num_mel_bins, "what config.json says", 128)
        frames = need("max_length", whole.max_length, "what config.json says", 1024)
        features = {"kind": "fbank", "num_mels": bands, "window": "hanning", "frames": frames}
        if preprocessor.get("do_normalize", True):
            mean = float(preprocessor.get("mean", -4.2677393))
            features |= {"mean": mean, "deviation": 2 * float(preprocessor.get("std", 4.5689974))}
        return features, min((frames - 1) * 0.01 + 0.025, 60.0)
    bands = need("feature_size", whole.num_mel_bins, "num_mel_bins of config.json", 80)
    need("hop_length", 160, "10 ms, as of every Whisper", 160)
    need("n_fft", 400, "25 ms, as of every Whisper", 400)
    frames = 2 * int(whole.max_source_positions)
    seconds = frames / FRAMES_PER_SECOND
    whole_seconds = int(seconds) if seconds.is_integer() else seconds
    need("chunk_length", whole_seconds, "what max_source_positions of config.json says", 30)
    return {"kind": "whisper_log_mel", "num_mels": bands, "frames": frames}, min(seconds, 60.0)


def _least_samples(whole: Any) -> int:
    """Of a clip that the convolutions make one frame of."""
    samples = 1
    for kernel, stride in reversed(list(zip(whole.conv_kernel, whole.conv_stride, strict=True))):
        samples = (samples - 1) * stride + kernel
    return int(samples)

"""Tiny random audio classifiers of every family, as transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LABELS = ("anger", "calm", "fear")
DIMENSIONS = ("arousal", "dominance", "valence")
FRAMES = 128  # of AST
WHISPER_SECONDS = 1
_WIDTHS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_CONVOLUTIONS = {
    "conv_dim": (16,) * 3,  # a frame of 20 ms, as that of the usual seven
    "conv_kernel": (10, 8, 8),
    "conv_stride": (5, 8, 8),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 24,
}


def labels_of(names: tuple[str, ...], problem: str | None) -> dict[str, Any]:
    """What a config says of its labels."""
    named: dict[str, Any] = {"id2label": dict(enumerate(names))}
    named["label2id"] = {name: i for i, name in enumerate(names)}
    return named | ({"problem_type": problem} if problem else {})


def make_classifier(kind: str, labels: dict[str, Any], **more: Any) -> Any:
    """A network of transformers with random weights that are large enough to tell clips apart."""
    import torch
    import transformers as hf

    torch.manual_seed(11)
    config: Any
    if kind == "ast":
        config = hf.ASTConfig(**_WIDTHS, max_length=FRAMES, num_mel_bins=32, **labels, **more)
        model: Any = hf.ASTForAudioClassification(config)
    elif kind == "whisper":
        config = hf.WhisperConfig(
            d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48,
            num_mel_bins=20, max_source_positions=50 * WHISPER_SECONDS, classifier_proj_size=24,
            vocab_size=10, pad_token_id=0, bos_token_id=0, eos_token_id=0,
            decoder_start_token_id=0, **labels, **more,
        )  # fmt: skip
        model = hf.WhisperForAudioClassification(config)
    else:
        of_kind = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
        config = getattr(hf, f"{of_kind}Config")(**_WIDTHS, **_CONVOLUTIONS, **labels, **more)
        model = getattr(hf, f"{of_kind}ForSequenceClassification")(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embed" not in name:
                parameter.normal_(0.0, 0.25)
            if name.endswith("layer_weights"):
                parameter.normal_(0.0, 1.0)
    return model.eval()


def make_extractor(kind: str, normalise: bool, mask: bool) -> Any:
    """The feature extractor that belongs to it."""
    import transformers as hf

    if kind == "ast":
        return hf.ASTFeatureExtractor(max_length=FRAMES, num_mel_bins=32, mean=-6.0, std=3.0)
    if kind == "whisper":
        return hf.WhisperFeatureExtractor(feature_size=20, chunk_length=WHISPER_SECONDS)
    return hf.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=mask)


def write_checkpoint(
    folder: Path,
    kind: str,
    names: tuple[str, ...] = LABELS,
    problem: str | None = None,
    *,
    normalise: bool = True,
    mask: bool = False,
    **more: Any,
) -> Path:
    """A checkpoint directory; `more` are settings of its config."""
    model = make_classifier(kind, labels_of(names, problem), **more)
    model.save_pretrained(folder)
    make_extractor(kind, normalise, mask).save_pretrained(folder)
    return folder


def write_dimensional(folder: Path) -> Path:
    """wav2vec 2.0, mean, dense, tanh, out_proj: a class that transformers does not have."""
    import torch
    from safetensors.torch import load_file, save_file

    write_checkpoint(folder, "wav2vec2", DIMENSIONS, "regression", mask=True,
                     feat_extract_norm="layer", do_stable_layer_norm=True)  # fmt: skip
    file = folder / "model.safetensors"
    tensors = {
        name: tensor
        for name, tensor in load_file(file).items()
        if not name.startswith(("projector.", "classifier."))
    }
    random = torch.Generator().manual_seed(3)
    for layer, shape in (("dense", (32, 32)), ("out_proj", (3, 32))):
        tensors[f"classifier.{layer}.weight"] = torch.randn(shape, generator=random) / 4
        tensors[f"classifier.{layer}.bias"] = torch.randn(shape[0], generator=random) / 4
    save_file(tensors, file, metadata={"format": "pt"})
    edit_json(folder / "config.json", architectures=["Wav2Vec2ForSpeechClassification"])
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file, or with None remove them."""
    values = json.loads(file.read_text("utf-8"))
    values = {k: v for k, v in {**values, **changes}.items() if v is not None}
    file.write_text(json.dumps(values), "utf-8")

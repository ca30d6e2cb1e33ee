"""Exports of audio classifiers of transformers: its pipeline's answers, alone as in a batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_packs as made_up

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

import audio_checkpoints as ac
import torch

import affectrt
from affectrt.errors import ExportError, NotFoundError
from affectrt.export import describe_checkpoint, export_checkpoint, verify
from affectrt.export.audio_classifiers import load_audio_classifier

# transformers' WavLM, in a batch of one as well.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
RATE = 16000
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
# name -> family, labels, problem_type, settings; engine that is chosen
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "wav2vec2": ({"kind": "wav2vec2"}, "onnxruntime"),
    "hubert": (
        {"kind": "hubert", "problem": "multi_label_classification", "normalise": False}
        | {"use_weighted_layer_sum": True},
        "onnxruntime",
    ),
    "wavlm": (
        {"kind": "wavlm", "names": ac.DIMENSIONS, "problem": "regression", "mask": True, **LAYER},
        "onnxruntime",
    ),
    "ast": ({"kind": "ast"}, "onnxruntime"),
    "whisper": ({"kind": "whisper"}, "native"),
    "quality": ({"kind": "whisper", "names": ("snr_db",), "problem": "regression"}, "native"),
    "intensities": (
        {
            "kind": "whisper",
            "names": tuple(f"emotion_{n:02}" for n in range(40)),
            "problem": "regression",
        },
        "native",
    ),
    "age groups": (
        {"kind": "whisper", "names": ("child", "teenager", "adult", "senior")},
        "native",
    ),
    "weighted": ({"kind": "whisper", "use_weighted_layer_sum": True}, "onnxruntime"),
}
Made = Callable[..., Path]


@pytest.fixture(scope="session")
def checkpoint(made: Made) -> Callable[[str], Path]:
    """`checkpoint(name)` of `KINDS`, or ``"dimensional"``."""

    def make(name: str) -> Path:
        if name == "dimensional":
            return made("audio_dimensional", ac.write_dimensional)
        settings = KINDS[name][0]
        return made(f"audio_{name}", lambda folder: ac.write_checkpoint(folder, **settings))

    return make


@pytest.fixture(scope="session")
def product(made: Made, checkpoint: Callable[[str], Path]) -> Callable[[str], Path]:
    """`product(name)`: its float32 model file."""

    def make(name: str) -> Path:
        return made(f"audio_{name}.affect", lambda out: export_checkpoint(checkpoint(name), out))

    return make


def ragged_clips() -> list[Any]:
    return [made_up.clip(s, i) for i, s in enumerate((0.31, 1.25, 0.1, 0.77, 0.5))]


def pipeline_scores(folder: Path, clip: Any, labels: Sequence[str]) -> list[float]:
    """What transformers' own pipeline says of one clip."""
    from transformers import pipeline

    ask: Any = pipeline("audio-classification", model=str(folder))
    found = ask({"raw": clip, "sampling_rate": RATE}, top_k=len(labels))
    scores = {answer["label"]: answer["score"] for answer in found}
    return [scores[label] for label in labels]


@pytest.mark.parametrize("name", KINDS)
def test_answers_are_those_of_transformers_alone_and_in_a_batch(
    name: str, checkpoint: Callable[[str], Path], product: Callable[[str], Path]
) -> None:
    settings, engine = KINDS[name]
    model = affectrt.load(product(name))
    assert model.info.backend == engine
    assert model.info.family == load_audio_classifier(checkpoint(name)).family
    clips = ragged_clips()
    together = model(clips, sample_rate=RATE)
    logits = model.predict_logits(clips, sample_rate=RATE)
    for i, clip in enumerate(clips):
        assert model(clip, sample_rate=RATE) == together[i]
        assert np.array_equal(model.predict_logits(clip, sample_rate=RATE)[0], logits[i])
    labels = settings.get("names", ac.LABELS)
    wanted = pipeline_scores(checkpoint(name), clips[0], labels)
    problem = settings.get("problem")
    scores = logits[0]
    if problem == "multi_label_classification":
        scores = 1 / (1 + np.exp(-scores))
    elif problem is None:
        scores = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=2e-4)
    assert np.ptp(logits, axis=0).max() > 1e-2  # clips are told apart


def test_a_padded_batch_under_a_mask_gives_the_same(
    checkpoint: Callable[[str], Path], product: Callable[[str], Path]
) -> None:
    """Layer-norm models were trained with a mask, which makes a batch what clips alone are."""
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    folder = checkpoint("wavlm")
    network: Any = AutoModelForAudioClassification.from_pretrained(folder).eval()
    extractor: Any = AutoFeatureExtractor.from_pretrained(folder)
    clips = ragged_clips()
    batch = extractor(clips, sampling_rate=RATE, padding=True, return_tensors="pt")
    assert "attention_mask" in batch
    with torch.inference_mode():
        wanted = network(**batch).logits.numpy()
    logits = affectrt.load(product("wavlm")).predict_logits(clips, sample_rate=RATE)
    np.testing.assert_allclose(logits, wanted, rtol=0, atol=2e-4)


def test_a_regression_head_without_a_class_in_transformers(
    checkpoint: Callable[[str], Path], product: Callable[[str], Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModel

    folder = checkpoint("dimensional")
    model = affectrt.load(product("dimensional"))
    clip = made_up.clip(0.6)
    encoder: Any = AutoModel.from_pretrained(folder).eval()
    tensors = load_file(folder / "model.safetensors")
    with torch.inference_mode():
        heard = torch.tensor((clip - clip.mean()) / np.sqrt(clip.var() + 1e-7))[None]
        pooled = encoder(heard).last_hidden_state.mean(1)
        for layer in ("dense", "out_proj"):
            weight = tensors[f"classifier.{layer}.weight"]
            pooled = pooled @ weight.T + tensors[f"classifier.{layer}.bias"]
            pooled = torch.tanh(pooled) if layer == "dense" else pooled
    logits = model.predict_logits(clip, sample_rate=RATE)
    np.testing.assert_allclose(logits[0], pooled[0].numpy(), rtol=0, atol=2e-4)

    other = tmp_path / "x"
    shutil.copytree(folder, other)
    for changes, message in (
        ({"pooling_mode": "max"}, "pooling_mode 'max'"),
        ({"model_type": "wav2vec2-bert"}, "is not one whose audio classifiers"),
    ):
        ac.edit_json(other / "config.json", **changes)
        with pytest.raises(ExportError, match=message):
            describe_checkpoint(other)
        shutil.copy(folder / "config.json", other / "config.json")


def test_int8_and_its_certificate(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder, out = checkpoint("weighted"), tmp_path / "x.affect"
    page = tmp_path / "x.html"
    report = export_checkpoint(
        folder, out, precision="int8", enforce_bars=False, certificates=[page]
    )
    (head,) = report.heads
    assert head.backend == "onnxruntime"
    assert head.max_neighbour_difference == 0.0
    assert 0.0 < head.mean_logit_difference < 0.05 * head.largest_logit
    assert report.features.max_difference < 1e-4
    assert "features" in page.read_text()
    again = verify(out, folder)
    assert again.differences == ()
    image = out.read_bytes()
    assert b"MatMulInteger" in image
    assert b"projector.weight_t.codes" not in image  # what is pooled stays float32
    assert affectrt.load(out).info.precision == "int8"


def test_whisper_on_both_engines(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    report = export_checkpoint(checkpoint("whisper"), out, engines=["native", "onnxruntime"])
    assert [head.backend for head in report.heads] == ["native", "onnxruntime"]
    assert max(head.max_logit_difference for head in report.heads) < 2e-4
    model = affectrt.load(out)
    assert model.info.features == {"kind": "whisper_log_mel", "num_mels": 20, "frames": 100}


def test_dry_run_says_what_is_heard(checkpoint: Callable[[str], Path]) -> None:
    described = describe_checkpoint(checkpoint("ast"), precision="int8")
    text = described.to_text()
    assert "an audio classifier, audio-spectrogram-transformer" in text
    assert "16000 Hz, up to 1.28125 s at once, fbank, num_mels 32, window hanning" in text
    assert "3 labels (anger, calm, fear)" in text
    assert "onnxruntime: int8" in text
    assert "max_tokens" not in described.to_dict()
    regression = describe_checkpoint(checkpoint("dimensional")).to_text()
    assert "arousal, dominance, valence" in regression
    assert "problem_type says regression" in regression


def test_what_is_refused(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source, out = checkpoint("wav2vec2"), tmp_path / "x.affect"

    def copy(**tensors: Any) -> Path:
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        if tensors:
            file = folder / "model.safetensors"
            held = {**load_file(file), **tensors}
            save_file({k: v for k, v in held.items() if v is not None}, file)
        return folder

    def refused(folder: Path, message: str, error: type[Exception] = ExportError) -> None:
        with pytest.raises(error, match=message):
            export_checkpoint(folder, out)

    folder = copy()
    (folder / "preprocessor_config.json").unlink()
    refused(folder, "says what the network hears", NotFoundError)
    folder = copy()
    ac.edit_json(folder / "preprocessor_config.json", sampling_rate="fast")
    refused(folder, "sampling_rate is 'fast'")
    folder = copy()
    ac.edit_json(folder / "preprocessor_config.json", feature_extractor_type="ASTFeatureExtractor")
    refused(folder, "'Wav2Vec2FeatureExtractor' is needed")
    refused(copy(**{"projector.bias": torch.full((24,), torch.nan)}), "NaN or Inf")
    folder = copy(**{"projector.bias": None})
    refused(folder, r"weight 'projector\.bias' is missing")
    (folder / "model.safetensors").unlink()
    refused(folder, "has no weights", NotFoundError)
    folder = copy()
    ac.edit_json(folder / "config.json", **ac.labels_of(("a", "b"), None))
    refused(folder, r"'classifier\.weight' has shape \[3, 24\]")
    folder = copy()
    ac.edit_json(folder / "config.json", architectures=["Mine"], auto_map={"AutoModel": "x.Mine"})
    refused(folder, "own code .*never run")
    folder = copy()
    ac.edit_json(folder / "config.json", architectures=["Wav2Vec2ForXVector"])
    refused(folder, "Wav2Vec2ForXVector with the head classifier")
    folder = copy(**{f"{n}.{k}": None for n in ("projector", "classifier")
                     for k in ("weight", "bias")})  # fmt: skip
    ac.edit_json(folder / "config.json", architectures=["Wav2Vec2ForCTC"])
    refused(folder, "has no head that classifies clips")
    for options, message in (
        ({"engines": ["native"]}, "native engine does not compute"),
        ({"precision": "int8-accurate"}, "native engine does not compute"),
        ({"precision": "int8-static"}, "models of text alone"),
        ({"precision": "int8", "max_flips": 0.1}, "models of text alone"),
    ):
        with pytest.raises(ExportError, match=message):
            export_checkpoint(source, out, **options)
    for kind, key, message in (
        ("ast", "max_length", "max_length is 5; 128 is needed"),
        ("whisper", "chunk_length", "chunk_length is 5; 1 is needed"),
    ):
        other = tmp_path / kind
        shutil.copytree(checkpoint(kind), other)
        ac.edit_json(other / "preprocessor_config.json", **{key: 5})
        refused(other, message)
    assert not out.exists()


def test_names_of_older_checkpoints(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """torch's weight norm had other names once."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "old"
    shutil.copytree(checkpoint("wav2vec2"), folder)
    file = folder / "model.safetensors"
    stem = "wav2vec2.encoder.pos_conv_embed.conv"
    tensors = load_file(file)
    for new, old in (("parametrizations.weight.original0", "weight_g"),
                     ("parametrizations.weight.original1", "weight_v")):  # fmt: skip
        if f"{stem}.{new}" in tensors:
            tensors[f"{stem}.{old}"] = tensors.pop(f"{stem}.{new}")
    assert f"{stem}.weight_v" in tensors
    save_file(tensors, file)
    mine = load_audio_classifier(folder).model.state_dict()
    theirs = load_audio_classifier(checkpoint("wav2vec2")).model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)

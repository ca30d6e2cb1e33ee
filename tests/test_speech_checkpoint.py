"""Speech checkpoints: a clip's answer alone and in a batch, files, and the engine's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speech_packs as made_up

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from safetensors.numpy import load

import affectrt
from affectrt import _core, features
from affectrt.errors import ExportError, ModelFileError, NotFoundError, UnsupportedError
from affectrt.export import export_checkpoint
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.speech_checkpoint import (
    AttentionPooling,
    SpeechEncoder,
    base_encoder,
    load_speech_checkpoint,
    pad,
    save_speech_checkpoint,
)
from affectrt.export.whisper_weights import write_speech_model

MELS = made_up.MELS
SPECS = [
    HeadSpec("emotion", "single_label", ("anger", "calm", "fear"), "emotion", input="audio"),
    HeadSpec("arousal", "regression", ("arousal",), "a", input="audio", ranges=((-1.0, 1.0),)),
]


@pytest.fixture(scope="session")
def base(made: Callable[..., Path]) -> Path:
    return made("tiny_whisper", made_up.write_whisper)


@pytest.fixture
def model(base: Path) -> SpeechEncoder:
    torch.manual_seed(1)
    model = SpeechEncoder(base_encoder(base, 400), SPECS, 3)
    with torch.no_grad():
        model.pooling.weight.normal_(0.0, 0.5)
        for head in model.heads.parameters():
            head.normal_(0.0, 0.5)
    return model.eval()


def clips_of(*frames: int) -> list[Any]:
    random = np.random.default_rng(4)
    return [random.normal(0.0, 1.0, (MELS, n)).astype(np.float32) for n in frames]


def test_clip_in_a_batch_has_the_answer_it_has_alone(model: SpeechEncoder) -> None:
    clips = clips_of(1, 2, 37, 50, 123, 800)
    wide, frames = pad(clips)
    for i, clip in enumerate(clips):
        wide[i, :, clip.shape[1] :] = 7.0  # what lies behind an end is not heard
    with torch.inference_mode():
        together = model(wide, frames)
        for i, clip in enumerate(clips):
            alone = model(*pad([clip]))
            for name, values in alone.items():
                torch.testing.assert_close(together[name][i], values[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("int8", 0.15)])
def test_engine_reads_the_states_of_the_network(
    model: SpeechEncoder, tmp_path: Path, precision: str, tolerance: float
) -> None:
    files = write_speech_model(model, precision)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    clips = clips_of(1, 37, 800)
    states = _core._WhisperEncoder(str(tmp_path)).forward([c.T.copy() for c in clips])
    with torch.inference_mode():
        expected, known = model.states(*pad(clips))
        pooled = model.pool(*pad(clips))
        logits = model.answer(pooled)
    tensors = load(files["weights.safetensors"])
    for i, actual in enumerate(states):
        wanted = expected[i][known[i]].numpy()
        assert np.abs(actual - wanted).max() < tolerance * np.abs(wanted).max()
        if precision == "fp32":  # what the engine has to do with the tensors that follow
            scores = actual @ tensors["pooling.weight"].T
            weights = np.exp(scores - scores.max(0))
            weights /= weights.sum(0)
            parts = actual.reshape(len(actual), 3, -1)
            vector = np.einsum("th,thc->hc", weights, parts).ravel()
            np.testing.assert_allclose(vector, pooled[i].numpy(), rtol=1e-3, atol=1e-4)
            answer = vector @ tensors["heads.emotion.weight"].T + tensors["heads.emotion.bias"]
            np.testing.assert_allclose(answer, logits["emotion"][i].numpy(), rtol=1e-3, atol=1e-4)
    config = json.loads(files["config.json"])
    assert config["max_source_positions"] == 400
    assert config["affectrt"] == {"modality": "speech", "pooling": "attention"}
    with pytest.raises(ExportError, match="int4"):
        write_speech_model(model, "int4")


def test_checkpoint_comes_back_or_says_what_is_wrong(
    model: SpeechEncoder, base: Path, tmp_path: Path
) -> None:
    save_speech_checkpoint(model, tmp_path, {"description": "d"})
    loaded = load_speech_checkpoint(tmp_path)
    assert loaded.heads == model.specs
    assert loaded.card == {"description": "d"}
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.model.state_dict().items())
    config = json.loads((tmp_path / "config.json").read_text())
    for change, message in (
        ({"model_type": "bert"}, "is no speech model"),
        ({"affectrt": None}, "is no speech model"),
        ({"affectrt": {**config["affectrt"], "pooling": "mean"}}, "pooling must be"),
        ({"affectrt": {**config["affectrt"], "sample_rate": 8000}}, "sample_rate must be 16000"),
        ({"max_source_positions": 401}, "embed_positions"),
    ):  # fmt: skip
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ExportError, match=message):
            load_speech_checkpoint(tmp_path)
    with pytest.raises(NotFoundError, match=r"config\.json"):
        load_speech_checkpoint(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="450 positions; 451 are needed"):
        base_encoder(base, 451)
    with pytest.raises(ExportError, match="5 pooling heads do not divide the width 24"):
        AttentionPooling(24, 5)

    with pytest.raises(ExportError, match="'x': a clip has no 'span'"):
        SpeechEncoder(model.encoder, [HeadSpec("x", "span", ("start", "end"), "x")])


def test_attention_pooling_without_weights_is_the_mean() -> None:
    tokens = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([[True] * 5, [True, True, False, False, False]])
    pooled = AttentionPooling(8, 2)(tokens, known)
    torch.testing.assert_close(pooled[0], tokens[0].mean(0))
    torch.testing.assert_close(pooled[1], tokens[1, :2].mean(0))


def test_statistics_of_one_token_and_of_many() -> None:
    tokens = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([[True] * 5, [True, False, False, False, False]])
    pooled = AttentionPooling(8, 2, statistics=True)(tokens, known)
    torch.testing.assert_close(pooled[0, :8], tokens[0].mean(0))
    torch.testing.assert_close(pooled[0, 8:], tokens[0].var(0, correction=0).add(1e-5).sqrt())
    torch.testing.assert_close(pooled[1, :8], tokens[1, 0])
    torch.testing.assert_close(pooled[1, 8:], torch.full((8,), 1e-5).sqrt())


def test_heads_keep_their_answers_when_the_standard_is_folded(base: Path) -> None:
    torch.manual_seed(1)
    model = SpeechEncoder(base_encoder(base, 400), SPECS, 3, statistics=True).eval()
    model.standardise(torch.randn(48), torch.rand(48) + 0.5)
    clips = pad(clips_of(37, 90))
    with torch.inference_mode():
        before = model(*clips)
        model.fold_standard()
        after = model(*clips)
    assert torch.equal(model.spread, torch.ones(48))
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "int8-accurate"])
def test_compact_models_with_statistics_on_the_engine(
    base: Path, tmp_path: Path, precision: str
) -> None:
    """Positions are computed, not stored; both convolutions are integers."""
    torch.manual_seed(1)
    model = SpeechEncoder(base_encoder(base, 400), SPECS, 3, statistics=True, compact=True)
    with torch.no_grad():
        model.pooling.weight.normal_(0.0, 0.5)
        for head in model.heads.parameters():
            head.normal_(0.0, 0.5)
    save_speech_checkpoint(model.eval(), tmp_path / "checkpoint")
    loaded = load_speech_checkpoint(tmp_path / "checkpoint").model
    assert (loaded.compact, loaded.pooling_kind) == (True, "attention_statistics")
    file = tmp_path / "small.affect"
    export_checkpoint(tmp_path / "checkpoint", file, precision=precision, enforce_bars=False)
    engine = affectrt.load(file, num_threads=1)
    sounds = [made_up.clip(seconds, seed) for seed, seconds in enumerate((0.2, 1.0, 3.1, 9.0))]
    with torch.inference_mode():
        heard = pad([features.log_mel(s, 16000, MELS, pad_to_s=None) for s in sounds[:3]])
        pooled = loaded.pool(*heard)
    tolerance = 1e-3 if precision == "fp32" else 0.05
    vectors = engine.embed(sounds, sample_rate=16000)
    assert vectors.shape == (4, 48)
    np.testing.assert_allclose(vectors[:3], pooled.numpy(), atol=tolerance)
    alone = np.concatenate([engine.embed([one], sample_rate=16000) for one in sounds])
    assert np.array_equal(alone, vectors)  # bit by bit, whatever is beside a clip
    tensors = load(write_speech_model(loaded, precision)["weights.safetensors"])
    assert "embed_positions.weight" not in tensors
    assert tensors["conv1.weight"].dtype == (np.float32 if precision == "fp32" else np.int8)


def test_positions_that_are_no_sinusoids_stay_in_the_file(base: Path) -> None:
    model = SpeechEncoder(base_encoder(base, 400), SPECS, 3, compact=True)
    with torch.no_grad():
        model.encoder.embed_positions.weight.add_(0.1)
    files = write_speech_model(model, "int8")
    assert "embed_positions.weight" in load(files["weights.safetensors"])
    assert json.loads(files["config.json"])["affectrt"]["pooling"] == "attention"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"affectrt": {"modality": "speech", "pooling": "median"}}, "attention_statistics"),
        ({"max_source_positions": 8193}, "at most 8192 positions"),
    ],
)
def test_engine_says_what_it_does_not_compute(
    base: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    files = write_speech_model(
        SpeechEncoder(base_encoder(base, 400), SPECS, 3, compact=True), "fp32"
    )
    config = {**json.loads(files["config.json"]), **change}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights.safetensors").write_bytes(files["weights.safetensors"])
    with pytest.raises((ModelFileError, UnsupportedError), match=message):
        _core._WhisperEncoder(str(tmp_path))

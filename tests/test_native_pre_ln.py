"""ModernBERT's and Whisper's encoders in the native engine: torch's numbers, at any length."""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import export_models as made_checkpoints  # noqa: E402
from test_native import Row, predict, torch_logits, write_model  # noqa: E402

from affectrt import _core  # noqa: E402
from affectrt.errors import ExportError, UnsupportedError  # noqa: E402
from affectrt.export.checkpoint import LoadedCheckpoint, load_checkpoint  # noqa: E402
from affectrt.export.native_weights import native_engine_runs, write_native_weights  # noqa: E402
from affectrt.export.whisper_weights import write_whisper_encoder  # noqa: E402

Made = Callable[[str, Callable[[Path], object]], Path]
States = npt.NDArray[np.float32]

# Largest |difference| from torch, relative to the largest value above 1. All weights are random and
# far wider than trained ones, which is hard on integers; see the cosines of the real encoder below.
TOLERANCE = {"fp32": 5e-6, "int8": 0.18, "int8-accurate": 0.09}
FRAMES = (1, 2, 3, 8, 15, 96, 97, 200, 211)


def assert_close(actual: States, expected: States, tolerance: float) -> None:
    assert actual.shape == expected.shape
    bound = tolerance * max(1.0, float(np.abs(expected).max()))
    assert np.abs(actual - expected).max() <= bound


# ------------------------------------------------------------------------------------ ModernBERT

# Biases everywhere, the other pooling, activation and order of layers, and a small window.
VARIANT = {
    "attention_bias": True,
    "mlp_bias": True,
    "norm_bias": True,
    "classifier_bias": True,
    "classifier_pooling": "mean",
    "classifier_activation": "relu",
    "hidden_activation": "gelu_pytorch_tanh",
    "local_attention": 2,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 500.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
    },
    "num_hidden_layers": 3,
}


def write_long_checkpoint(folder: Path, changes: dict[str, Any]) -> Path:
    """Rows of up to 400 tokens, with windows of 32 tokens where `changes` does not say."""
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(5)
    tokenizer = made_checkpoints.make_tokenizer("modernbert")
    config = made_checkpoints.make_config(
        "modernbert", tokenizer, made_checkpoints.LABELS, None, 48
    )
    shape = {**config.to_dict(), "max_position_embeddings": 400, "local_attention": 32}
    if "num_hidden_layers" in changes:
        shape.pop("layer_types")
    config = type(config)(**{**shape, **changes})
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            wide = parameter.dim() > 1
            parameter.normal_(1.0 if not wide and "norm.weight" in name else 0.0, 0.2)
    return made_checkpoints.save(folder, model, tokenizer)


@pytest.fixture(scope="module")
def long_checkpoint(made: Made) -> Callable[[str], LoadedCheckpoint]:
    def make(kind: str) -> LoadedCheckpoint:
        changes = VARIANT if kind == "variant" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_checkpoint(
                made(f"modernbert_{kind}", lambda folder: write_long_checkpoint(folder, changes))
            )

    return make


LONG_ROWS: list[Row] = [
    (" ".join((["happy", "the", "train", "livid", "I"] * 60)[i : i + words]), None)
    for i, words in enumerate((1, 2, 7, 16, 17, 18, 30, 33, 34, 60, 95, 130, 250))
]


@pytest.mark.parametrize("precision", list(TOLERANCE))
@pytest.mark.parametrize("kind", ["plain", "variant"])
def test_modernbert_at_any_length(
    long_checkpoint: Callable[[str], LoadedCheckpoint],
    tmp_path: Path,
    kind: str,
    precision: str,
) -> None:
    checkpoint = long_checkpoint(kind)
    path = str(write_model(checkpoint, precision, tmp_path / "it.affect"))
    one = _core.Model.load(path, backend="native", num_threads=1)
    many = _core.Model.load(path, backend="native", num_threads=3)
    expected = torch_logits(checkpoint, one, LONG_ROWS)
    together = predict(one, LONG_ROWS)
    assert np.ptp(expected, axis=0).min() > 0.1
    assert_close(together, expected, TOLERANCE[precision])
    assert predict(many, LONG_ROWS).tobytes() == together.tobytes()
    alone = np.concatenate([predict(many, [row]) for row in LONG_ROWS])
    assert alone.tobytes() == together.tobytes()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooled_heads_on_a_modernbert_trunk(made: Made, tmp_path: Path, pooling: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint = load_checkpoint(
            made(
                f"modernbert_pooled_{pooling}",
                lambda folder: made_checkpoints.write_pooled_checkpoint(
                    folder, pooling, "modernbert"
                ),
            )
        )
    rows = LONG_ROWS[:10]
    for precision, tolerance in TOLERANCE.items():
        path = write_model(checkpoint, precision, tmp_path / f"{precision}.affect")
        model = _core.Model.load(str(path), backend="native", num_threads=2)
        assert_close(predict(model, rows), torch_logits(checkpoint, model, rows), tolerance)


def test_rotations_that_the_engine_does_not_compute_are_said(
    long_checkpoint: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    checkpoint = long_checkpoint("plain")
    weights = write_native_weights(checkpoint, "fp32")
    for change, key in (
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
    ):
        other = dataclasses.replace(checkpoint, config={**checkpoint.config, **change})
        assert not native_engine_runs(other)
        with pytest.raises(ExportError, match="does not compute"):
            write_native_weights(other, "fp32")
        path = write_model(other, "fp32", tmp_path / "other.affect", weights)
        with pytest.raises(UnsupportedError, match=key):
            _core.Model.load(str(path), backend="native")


# --------------------------------------------------------------------------------------- Whisper


def torch_states(encoder: Any, features: States) -> States:
    """transformers' own modules, which its forward() would run on 30 seconds alone."""
    gelu = torch.nn.functional.gelu
    with torch.inference_mode():
        x = torch.from_numpy(features.T.copy())[None].to(encoder.layer_norm.weight.dtype)
        x = gelu(encoder.conv2(gelu(encoder.conv1(x)))).permute(0, 2, 1)
        x = x + encoder.embed_positions.weight[: x.shape[1]]
        for layer in encoder.layers:
            x = layer(x, None)
            x = x[0] if isinstance(x, tuple) else x
        return np.asarray(encoder.layer_norm(x)[0].numpy())


def write_folder(folder: Path, files: dict[str, bytes]) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


@pytest.fixture(scope="module")
def random_whisper() -> Any:
    from transformers import WhisperConfig, WhisperModel

    torch.manual_seed(3)
    config = WhisperConfig(
        d_model=36,  # heads of 12, which fill no vector
        encoder_layers=3,
        encoder_attention_heads=3,
        encoder_ffn_dim=52,
        num_mel_bins=20,
        max_source_positions=120,
        decoder_layers=1,
        decoder_attention_heads=3,
        decoder_ffn_dim=36,
        vocab_size=10,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    encoder = WhisperModel(config).encoder.eval()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            wide = parameter.dim() > 1
            parameter.normal_(1.0 if not wide and "norm.weight" in name else 0.0, 0.2)
    return encoder


def random_clips() -> list[States]:
    random = np.random.default_rng(4)
    return [random.normal(0.0, 1.0, (n, 20)).astype(np.float32) for n in FRAMES]


@pytest.mark.parametrize("precision", list(TOLERANCE))
def test_whisper_gives_the_states_of_torch(
    random_whisper: Any, tmp_path: Path, precision: str
) -> None:
    clips = random_clips()
    folder = write_folder(tmp_path / "it", write_whisper_encoder(random_whisper, precision))
    states = _core._WhisperEncoder(folder, num_threads=2).forward(clips)
    for clip, actual in zip(clips, states, strict=True):
        assert actual.shape == ((len(clip) + 1) // 2, 36)
        assert_close(actual, torch_states(random_whisper, clip), TOLERANCE[precision])
    assert _core._WhisperEncoder(folder).forward([]) == []


@pytest.mark.parametrize("precision", list(TOLERANCE))
def test_a_clip_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    random_whisper: Any, tmp_path: Path, precision: str
) -> None:
    clips = random_clips()
    folder = write_folder(tmp_path / "it", write_whisper_encoder(random_whisper, precision))
    encoders = {n: _core._WhisperEncoder(folder, num_threads=n) for n in (1, 2, 3, 16)}
    alone = [encoders[1].forward([clip])[0].tobytes() for clip in clips]

    @settings(max_examples=20, deadline=None)
    @given(
        st.lists(st.integers(0, len(clips) - 1), min_size=1, max_size=20),
        st.sampled_from(list(encoders)),
    )
    def check(picked: list[int], threads: int) -> None:
        together = encoders[threads].forward([clips[i] for i in picked])
        assert [states.tobytes() for states in together] == [alone[i] for i in picked]

    check()


def test_cut_positions_and_what_is_wrong_are_said(random_whisper: Any, tmp_path: Path) -> None:
    clips = random_clips()
    whole = write_folder(tmp_path / "whole", write_whisper_encoder(random_whisper, "int8"))
    files = write_whisper_encoder(random_whisper, "int8", positions=50)
    assert json.loads(files["config.json"])["max_source_positions"] == 50
    cut = _core._WhisperEncoder(write_folder(tmp_path / "cut", files))
    for i in (5, 6):
        expected = _core._WhisperEncoder(whole).forward([clips[i]])[0]
        assert cut.forward([clips[i]])[0].tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match="clip 1 has 200 frames; 1 to 100 are possible"):
        cut.forward([clips[0], clips[7]])
    with pytest.raises(ValueError, match=r"clip 0 must be float32 \[frames, 20\]"):
        cut.forward([np.zeros((4, 21), np.float32)])
    broken = clips[3].copy()
    broken[2, 5] = np.nan
    with pytest.raises(ValueError, match="features of clip 1 have NaN"):
        cut.forward([clips[0], broken])
    for positions in (0, 121):
        with pytest.raises(ExportError, match="positions are not possible"):
            write_whisper_encoder(random_whisper, "fp32", positions=positions)
    with pytest.raises(ExportError, match="int4"):
        write_whisper_encoder(random_whisper, "int4")


def real_features(shared: Path) -> list[States]:
    """Log-mel frames of real speech, as many as each clip has."""
    soundfile = pytest.importorskip("soundfile")
    from transformers import WhisperFeatureExtractor

    files = [
        path
        for pack in ("ravdess", "emodb", "urdu")
        for path in sorted((shared / "data" / "speech" / pack).glob("*.flac"))[:1]
    ]
    if not files:
        pytest.skip("the speech packs are not here")
    extract = WhisperFeatureExtractor()
    clips = []
    for path in files:
        samples, rate = soundfile.read(path, dtype="float32")
        features = extract(samples, sampling_rate=rate, return_tensors="np").input_features[0]
        frames = min(len(samples) // 160, 800)
        clips.append(np.ascontiguousarray(features.T[:frames]))
    return clips


def test_states_of_a_real_whisper_on_real_speech(shared_dir: Path, tmp_path: Path) -> None:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    source = shared_dir / "weights" / "whisper-tiny-en-encoder"
    if not source.is_dir():
        pytest.skip("the weights of whisper-tiny-en-encoder are not here")
    clips = real_features(shared_dir)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = WhisperEncoder.from_pretrained(source, dtype=torch.float32).eval()
    exact = copy.deepcopy(encoder).double()
    expected = [torch_states(encoder, clip) for clip in clips]
    for precision, least in (("fp32", 0.999999), ("int8", 0.99), ("int8-accurate", 0.998)):
        files = write_whisper_encoder(encoder, precision, positions=400)
        folder = write_folder(tmp_path / precision, files)
        states = _core._WhisperEncoder(folder, num_threads=2).forward(clips)
        for clip, actual, wanted in zip(clips, states, expected, strict=True):
            cosine = (actual * wanted).sum(1) / (
                np.linalg.norm(actual, axis=1) * np.linalg.norm(wanted, axis=1)
            )
            assert cosine.mean() > least
            if precision == "fp32":
                # Some frames magnify every rounding: there, torch is as far from double.
                own_error = np.abs(wanted - torch_states(exact, clip)).max()
                bound = 2e-5 * np.abs(wanted).max() + own_error
                assert np.abs(actual - wanted).max() <= bound

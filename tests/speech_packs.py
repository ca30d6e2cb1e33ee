"""Packs of made-up recordings in the formats of the real ones and a random Whisper encoder of two
small layers, for tests of speech models and their recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from affectrt.export.checkpoint import HeadSpec

RATE = 16000
MELS = 20
# What a made-up emotion sounds like: Hz of its tone, and how often a second it swells.
SOUNDS = {
    "anger": (700.0, 9.0),
    "boredom": (140.0, 0.5),
    "calm": (200.0, 1.0),
    "fear": (1000.0, 12.0),
    "happiness": (1500.0, 5.0),
    "neutral": (300.0, 3.0),
    "sadness": (2200.0, 1.0),
}
HAS = {
    "ravdess": ("neutral", "calm", "happiness", "anger", "fear"),
    "emodb": ("anger", "boredom", "neutral", "happiness"),
    "urdu": ("anger", "happiness", "neutral", "sadness"),
}
SPEAKERS = {"train": ("01", "02"), "dev": ("03", "04"), "test": ("05", "06")}


def sound(
    emotion: str, sex: str, seconds: float, rng: np.random.Generator, level: float = 0.1
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A swelling tone with its octave; women's lie a fourth above men's."""
    time = np.arange(int(seconds * RATE)) / RATE
    hertz, swells = SOUNDS[emotion]
    hertz *= (4 / 3 if sex == "female" else 1.0) * rng.uniform(0.97, 1.03)
    tone = np.sin(2 * np.pi * hertz * time) + 0.5 * np.sin(4 * np.pi * hertz * time)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * (swells * time + rng.random()))
    return np.asarray(level * tone * swell / 1.5 + 1e-4 * rng.standard_normal(len(time)), "f4")


def write_packs(folder: Path, repeats: int = 2) -> Path:
    """All three packs; a second of sound a clip at most, half a megabyte."""
    import soundfile

    rng = np.random.default_rng(7)
    for pack, emotions in HAS.items():
        (folder / pack).mkdir(parents=True)
        rows = []
        for split, speakers in SPEAKERS.items():
            for i, speaker in enumerate(speakers):
                sex = ("male", "female")[i]
                for n, emotion in enumerate(e for e in emotions for _ in range(repeats)):
                    strong = pack == "ravdess" and n % 2 == 1 and emotion != "neutral"
                    samples = sound(
                        emotion, sex, rng.uniform(0.4, 0.9), rng, 0.5 if strong else 0.05
                    )
                    row: dict[str, Any] = {"file": f"{speaker}_{n}.flac", "split": split}
                    row |= {"speaker": speaker, "sex": sex, "language": "xx", "emotion": emotion}
                    if pack == "ravdess":
                        row["intensity"] = "strong" if strong else "normal"
                    soundfile.write(folder / pack / row["file"], samples, RATE, "PCM_16")
                    rows.append(row)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / pack / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def write_whisper(folder: Path) -> None:
    """A checkpoint of the encoder alone."""
    import torch
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(5)
    config = WhisperConfig(
        d_model=24,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        num_mel_bins=MELS,
        max_source_positions=450,
        vocab_size=10,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    WhisperEncoder(config).save_pretrained(folder)


def audio_head(name: str, task: str, labels: tuple[str, ...], **more: Any) -> HeadSpec:
    from affectrt.export.checkpoint import HeadSpec

    return HeadSpec(name, task, labels, name, input="audio", **more)


def write_speech_checkpoint(
    folder: Path, whisper: Path, specs: Sequence[HeadSpec] | None = None
) -> None:
    """A checkpoint with these heads, or one of each kind: random weights, clips of up to 8 s."""
    import torch

    from affectrt.export.speech_checkpoint import (
        SpeechEncoder,
        base_encoder,
        save_speech_checkpoint,
    )

    torch.manual_seed(1)
    both = ((-1.0, 1.0), (-1.0, 1.0))
    labels = ("anger", "calm", "fear", "neutral")
    head = audio_head
    specs = specs or [
        head("emotion", "single_label", labels, temperature=1.5, unsure_below=0.3),
        head("arousal_valence", "regression", ("arousal", "valence"), ranges=both),
        head("intensity", "ordinal", ("normal", "strong")),
        head("speaker_sex", "single_label", ("female", "male")),
        head("shout", "multi_label", ("shout",), thresholds=(0.4,)),
        head("quality", "regression", ("snr_db",), ranges=((0.0, 30.0),)),
    ]
    model = SpeechEncoder(base_encoder(whisper, 400), specs, 3)
    with torch.no_grad():
        model.pooling.weight.normal_(0.0, 0.5)
        for parameter in model.heads.parameters():
            parameter.normal_(0.0, 0.5)
    licence = {"weights": "none", "non_commercial": True, "notice": "Made up."}
    save_speech_checkpoint(
        model.eval(), folder, {"description": "tiny", "version": "0.1", "licence": licence}
    )


def clip(
    seconds: float, seed: int = 0, emotion: str = "anger"
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A made-up emotion, the same for the same seed."""
    return sound(emotion, "female", seconds, np.random.default_rng(seed), level=0.2)


def write_wav(path: Path, samples: Any, rate: int = RATE) -> Path:
    """A 16-bit file, of one channel or as many as `samples` has."""
    pcm = np.asarray(np.rint(np.clip(samples, -1, 1) * 32767), "<i2")
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    data = pcm.tobytes()
    size, block = len(data), 2 * channels
    head = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += (1).to_bytes(2, "little") + channels.to_bytes(2, "little")
    head += rate.to_bytes(4, "little") + (rate * block).to_bytes(4, "little")
    head += block.to_bytes(2, "little") + (16).to_bytes(2, "little")
    path.write_bytes(head + b"data" + size.to_bytes(4, "little") + data)
    return path

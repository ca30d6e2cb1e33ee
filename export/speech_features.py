"""What a speech model hears of a clip: as transformers' feature extractors have it, and as affectrt
computes it (`csrc/runtime/clip_features.cc`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from affectrt import features
from affectrt.metrics import FloatArray

from .speech_checkpoint import FRAMES_PER_SECOND, SpeechCheckpoint

_FRAME_S = 0.025  # of Kaldi's frames


def product_features(checkpoint: SpeechCheckpoint, samples: FloatArray) -> FloatArray:
    """affectrt's: ``float32 [frames, mels]``, or of a waveform ``[samples]``."""
    settings, rate, mels = checkpoint.features, checkpoint.sample_rate, checkpoint.num_mels
    filled = _filled(checkpoint, samples)
    if settings["kind"] == "waveform":
        # It resamples sound of other rates than 16 kHz, and this has the network's own.
        return features.normalised_waveform(filled, 16000) if settings["normalise"] else filled
    if settings["kind"] == "whisper_log_mel":
        if settings.get("normalise"):
            filled = features.normalised_waveform(filled, rate)
        rows = features.log_mel(filled, rate, mels, pad_to_s=None).T
        return np.asarray(rows[: settings.get("frames")], np.float32)
    frames = int(settings["frames"])
    rows = features.fbank(filled, rate, mels, window=settings["window"])[:frames]
    rows = np.pad(rows, ((0, frames - len(rows)), (0, 0)))
    mean, deviation = settings.get("mean", 0.0), settings.get("deviation", 1.0)
    return np.asarray((rows - np.float32(mean)) / np.float32(deviation), np.float32)


def source_features(checkpoint: SpeechCheckpoint, samples: FloatArray) -> FloatArray:
    """transformers', of the clip alone, in the shape of `product_features`; affectrt's of clips
    below 13 ms of the recipe's models, which Whisper's cannot mirror."""
    if checkpoint.extractor is None:
        return _whisper_of_any_length(checkpoint, samples)
    settings = checkpoint.features
    filled = _filled(checkpoint, samples)
    if settings["kind"] == "whisper_log_mel" and settings.get("normalise"):
        filled = (filled - filled.mean()) / np.sqrt(filled.var() + 1e-7)
    found = checkpoint.extractor(filled, sampling_rate=checkpoint.sample_rate, return_tensors="np")
    whisper = settings["kind"] == "whisper_log_mel"
    values: FloatArray = np.asarray(found["input_features" if whisper else "input_values"][0])
    values = values.astype(np.float32, copy=False)
    return values.T[: settings["frames"]] if whisper else values


def _whisper_of_any_length(checkpoint: SpeechCheckpoint, samples: FloatArray) -> FloatArray:
    from transformers import WhisperFeatureExtractor

    make: Any = WhisperFeatureExtractor
    extractor = make(feature_size=checkpoint.num_mels)
    if len(samples) <= extractor.n_fft // 2:
        return product_features(checkpoint, samples)
    values = extractor._np_extract_fbank_features(samples[None], "cpu")[0]
    rows: FloatArray = np.asarray(values, np.float32).T
    return rows


def _filled(checkpoint: SpeechCheckpoint, samples: FloatArray) -> FloatArray:
    """With silence behind or before a clip that is shorter than what is heard at least."""
    rate, kind = checkpoint.sample_rate, checkpoint.features["kind"]
    least: int = {
        "waveform": rate // 10,
        "fbank": round(_FRAME_S * rate),
        "whisper_log_mel": checkpoint.features.get("frames", 1) * rate // FRAMES_PER_SECOND,
    }[kind]
    silence = max(0, least - len(samples))
    first = checkpoint.features.get("silence") == "before"
    filled: FloatArray = np.pad(samples, (silence, 0) if first else (0, silence))
    return filled

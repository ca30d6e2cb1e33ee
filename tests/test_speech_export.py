"""Exports of speech checkpoints: reports on made-up recordings, certificates, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import speech_packs as made_up

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("soundfile")

import affectrt
from affectrt.errors import ExportError, ModelFileError, NotFoundError, ProofError
from affectrt.export import export_checkpoint, verify
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.speech_data import builtin_sounds, read_speech_data


@pytest.fixture(scope="module")
def packs(made: Callable[..., Path]) -> Path:
    return made("speech_packs", made_up.write_packs)


def test_a_report_on_recordings(speech_checkpoint: Path, packs: Path, tmp_path: Path) -> None:
    data = packs / "ravdess" / "metadata.jsonl"
    out, page = tmp_path / "x.affect", tmp_path / "x.html"
    report = export_checkpoint(speech_checkpoint, out, data=data, certificates=[page])
    assert report.passed
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    test = [row for row in rows if row["split"] == "test"]
    assert report.rows == len(test)
    assert report.features.max_difference < 1e-4
    heads = {head.head: head for head in report.heads}
    assert list(heads) == list(affectrt.load(out).heads)
    known = sum(row["emotion"] in ("anger", "calm", "fear", "neutral") for row in test)
    assert heads["emotion"].rows_with_target == known
    assert heads["speaker_sex"].rows_with_target == len(test)  # under "sex"
    assert heads["intensity"].rows_with_target == len(test)
    assert heads["shout"].rows_with_target == 0
    for name in ("uar", "accuracy", "macro_f1"):
        values = heads["emotion"].metrics[name]
        assert values["source"] == values["product"]
    assert all(head.max_neighbour_difference == 0 for head in report.heads)
    assert "features max |d|" in report.to_text()
    assert "clips (0 cut)" in page.read_text()

    again = verify(out, speech_checkpoint, data=data)
    assert again.differences == ()
    assert again.to_dict()["heads"] == report.to_dict()["heads"]
    model = affectrt.load(out, require_parity={"max_flips": 0.0, "min_rows": len(test)})
    assert model.info.parity["data"] == "metadata.jsonl"
    assert model.info.metrics["emotion"][-1]["rows"] == known
    assert (model.info.description, model.info.version) == ("tiny", "0.1")
    assert model.info.notice == "Made up."
    assert model.info.recipe == (
        "affectrt export tiny_speech --out x.affect --precision fp32 --data metadata.jsonl"
    )
    assert set(model.info.files) == {
        *("config.json", "preprocessor_config.json", "weights.safetensors"),
    }
    with pytest.raises(ProofError, match="max_loss needs"):
        affectrt.load(out, require_parity={"max_loss": 0.1})


def test_what_is_refused(speech_checkpoint: Path, speech_files: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match="native engine alone"):
        export_checkpoint(speech_checkpoint, out, engines=["onnxruntime"])
    with pytest.raises(ExportError, match="models of text alone"):
        export_checkpoint(speech_checkpoint, out, precision="int8", max_loss=0.01)
    other = tmp_path / "other"
    shutil.copytree(speech_checkpoint, other)
    config = json.loads((other / "config.json").read_text())
    config["affectrt"]["heads"][0]["input"] = "text"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match="input 'text', not one of audio"):
        export_checkpoint(other, out)
    config["affectrt"]["heads"][0].update(input="audio", labels=["a", "b", "c", "d"])
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match="head 'emotion': labels is"):
        verify(speech_files / "fp32.affect", other)
    with pytest.raises(NotFoundError, match="nowhere"):
        export_checkpoint(speech_checkpoint, out, data=tmp_path / "nowhere.jsonl")
    with pytest.raises(ModelFileError):
        verify(speech_checkpoint / "config.json", speech_checkpoint)
    assert not out.exists()


# What speech models of the field answer, and the packs have no labels for all of.
HEADS = (
    made_up.audio_head("emotion", "single_label", tuple(made_up.SOUNDS), unsure_below=0.3),
    made_up.audio_head(
        "dimensions", "regression", ("arousal", "dominance", "valence"), ranges=((0.0, 1.0),) * 3
    ),
    made_up.audio_head(
        "intensities", "regression", tuple(f"emotion_{n:02}" for n in range(40)),
        ranges=((0.0, 2.0),) * 40,
    ),
    made_up.audio_head("present", "multi_label", tuple(f"emotion_{n:02}" for n in range(40)),
                       thresholds=(0.5, *(0.3,) * 39)),
    made_up.audio_head("speaker_sex", "single_label", ("female", "male", "child")),
    made_up.audio_head("age_group", "ordinal", ("child", "teenager", "adult", "senior")),
    made_up.audio_head("shout", "multi_label", ("shout",), thresholds=(0.4,)),
    made_up.audio_head("quality", "regression", ("snr_db",), ranges=((-10.0, 40.0),)),
)  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "int8-accurate"])
def test_heads_of_all_kinds(made: Callable[..., Path], tmp_path: Path, precision: str) -> None:
    whisper = made("tiny_whisper", made_up.write_whisper)
    checkpoint = made(
        "speech_heads", lambda folder: made_up.write_speech_checkpoint(folder, whisper, HEADS)
    )
    rows = []
    for n in range(6):
        made_up.write_wav(tmp_path / f"{n}.wav", made_up.clip(0.5 + 0.1 * n, n))
        values = [round((n * k % 7) / 3.5, 3) for k in range(40)]
        rows.append({
            "file": f"{n}.wav", "split": "test", "emotion": list(made_up.SOUNDS)[n],
            "arousal": n / 6, "dominance": 1 - n / 6, "valence": n % 2,
            "intensities": values, "present": [f"emotion_{n:02}"],
            "sex": ("female", "male", "child")[n % 3], "age_group": ("child", "adult")[n % 2],
            "shout": ["shout"] * (n % 2), "snr_db": 5 * n,
        })  # fmt: skip
    data = tmp_path / "metadata.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "x.affect"
    report = export_checkpoint(checkpoint, out, data=data, precision=precision)
    by_name = {head.head: head for head in report.heads}
    assert list(by_name) == [head.name for head in HEADS]
    assert all(head.rows_with_target == 6 for head in report.heads)
    assert all(head.max_neighbour_difference == 0 for head in report.heads)
    if precision == "fp32":
        assert report.passed
        assert all(head.max_logit_difference < 1e-4 for head in report.heads)
    for name in ("dimensions", "intensities", "quality"):
        assert {"pearson", "mean_absolute_error"} <= set(by_name[name].metrics)
    model = affectrt.load(out)
    clip = made_up.clip(0.9)
    result = model(clip, sample_rate=made_up.RATE)
    for spec in HEADS:
        head, logits = (
            result.heads[spec.name],
            model.predict_logits(clip, spec.name, sample_rate=made_up.RATE),
        )
        assert logits.shape == (1, len(spec.labels))
        assert {label.label for label in head.labels} == set(spec.labels)
        if spec.ranges is not None:
            low, high = spec.ranges[0]
            assert all(low <= label.score <= high for label in head.labels)
    json.dumps(result.to_dict(), allow_nan=False)


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    heads = [
        HeadSpec("emotion", "single_label", ("anger", "calm"), "e", input="audio"),
        HeadSpec("tone", "multi_label", ("dark", "bright"), "t", input="audio"),
        HeadSpec("mood", "regression", ("arousal", "valence"), "m", input="audio"),
    ]
    made_up.write_wav(tmp_path / "a.wav", made_up.clip(0.5))
    made_up.write_wav(tmp_path / "long.wav", made_up.clip(1.5), 8000)
    file = tmp_path / "metadata.jsonl"

    def read(*rows: object) -> object:
        file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
        return read_speech_data(file, heads, 16000, 2.0)

    data = read(
        {"file": "a.wav", "emotion": "anger", "arousal": 0.5, "valence": 1, "tone": []},
        {"file": "long.wav", "emotion": "joy", "mood": [1, 2.5], "tone": ["bright"]},
        "",
    )
    assert [dict(row.targets) for row in data.rows] == [  # type: ignore[attr-defined]
        {"emotion": (1.0, 0.0), "tone": (0.0, 0.0), "mood": (0.5, 1.0)},
        {"tone": (0.0, 1.0), "mood": (1.0, 2.5)},
    ]
    assert data.cut == 1  # type: ignore[attr-defined]
    assert len(data.rows[1].samples) == 32000  # type: ignore[attr-defined]
    for rows, message in (
        (["{"], "line 1: is not JSON"),
        ([{"file": 5}], 'a string "file"'),
        ([{"text": "x"}], 'a string "file"'),
        ([{"file": "a.wav", "split": "train"}], "has no rows"),
        (["", ""], "has no rows"),
        ([{"file": "metadata.jsonl"}], "metadata.jsonl"),
    ):
        with pytest.raises(ExportError, match=message):
            read(*rows)
    with pytest.raises(NotFoundError, match=r"b\.wav"):
        read({"file": "b.wav"})


def test_builtin_sounds_stay_as_they_are() -> None:
    data = builtin_sounds(16000, 2.0)
    assert len(data.rows) == 15
    assert max(len(row.samples) for row in data.rows) == 32000
    again = builtin_sounds(16000, 2.0)
    assert all((a.samples == b.samples).all() for a, b in zip(data.rows, again.rows, strict=True))

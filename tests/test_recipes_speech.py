"""The speech recipe on made-up packs and a random encoder of two small layers."""

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
pytest.importorskip("soundfile")

import torch

from affectrt.errors import ExportError, InputError, NotFoundError
from affectrt.export.checkpoint import HeadSpec
from affectrt.export.recipes.speech import augment, evaluate, hearing, losses, packs, product
from affectrt.export.recipes.speech.cli import main
from affectrt.export.recipes.speech.train import Settings, narrow, new_model, parameter_groups
from affectrt.export.speech_checkpoint import SpeechEncoder, load_speech_checkpoint

HEADS = ["emotion", "arousal_valence", "intensity", "speaker_sex", "shout", "quality"]
MELS = made_up.MELS


@pytest.fixture(scope="session")
def data(made: Callable[..., Path]) -> Path:
    return made("speech_packs", made_up.write_packs)


@pytest.fixture(scope="session")
def base(made: Callable[..., Path]) -> Path:
    return made("tiny_whisper", made_up.write_whisper)


@pytest.fixture(scope="session")
def made_packs(data: Path) -> list[packs.Pack]:
    return [packs.read_pack(data, name) for name in packs.PACKS]


@pytest.fixture
def model(base: Path, made_packs: list[packs.Pack]) -> SpeechEncoder:
    return new_model(base, packs.heads_of(made_packs), Settings(pooling_heads=3))


def run(data: Path, base: Path, out: Path, *more: str) -> None:
    words = ["--base", str(base), "--data", str(data), "--out", str(out), "--threads", "1"]
    words += ["--device", "cpu", "--tokens-per-batch", "400", "--eval-every", "50"]
    assert main([*words, "--eval-rows", "6", *more]) == 0


# The run


def test_from_packs_to_checkpoint_and_report(data: Path, base: Path, tmp_path: Path) -> None:
    fast = ["--lr", "3e-3", "--head-lr", "2e-2", "--augment", "0.3", "--layer-dropout", "0"]
    run(data, base, tmp_path, "--steps", "60", *fast)
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["metrics"]) == set(HEADS)
    assert report["licence"]["non_commercial"] is True
    assert "NON-COMMERCIAL" in report["licence"]["weights"]
    assert {d["name"] for d in report["data"]} == set(packs.PACKS)
    emotion = {(m["data"], m.get("condition")): m for m in report["metrics"]["emotion"]}
    assert set(emotion) == {
        (name, c) for name in packs.PACKS for c in (None, "noise", "telephone", "far")
    }
    # Chance is .2 to .25; the speakers are new ones.
    assert np.mean([emotion[name, None]["uar"] for name in packs.PACKS]) > 0.5
    assert all(m["uar_open"] <= m["uar"] + 1e-9 for m in emotion.values())
    assert set(emotion["urdu", None]["accuracy_by_speaker"]) == {"05", "06"}
    assert {m["data"] for m in report["metrics"]["intensity"]} == {"ravdess"}
    assert {m["data"] for m in report["metrics"]["quality"]} == {"ravdess", "emodb"}
    assert (tmp_path / "curves.png").stat().st_size > 0
    curves = [e for e in json.loads((tmp_path / "curves.json").read_text()) if "loss" in e]
    assert curves[-1]["loss"]["emotion"] < curves[0]["loss"]["emotion"]

    loaded = load_speech_checkpoint(tmp_path / "checkpoint")
    assert [h.name for h in loaded.heads] == HEADS
    assert loaded.heads[0].labels == (*sorted({*made_up.SOUNDS}),)
    assert (loaded.max_seconds, loaded.num_mels, loaded.sample_rate) == (8.0, MELS, 16000)
    assert loaded.card["licence"] == report["licence"]
    assert loaded.heads[0].temperature != 1.0
    assert loaded.heads[4].thresholds is not None


def test_resumed_run_has_the_weights_of_an_uninterrupted_one(
    data: Path, base: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(data, base, whole, "--steps", "8", "--no-report")
    run(data, base, parts, "--steps", "8", "--no-report", "--stop-step", "3", "--save-every", "2")
    run(data, base, parts, "--steps", "8", "--no-report")
    one, two = (torch.load(f / "state.pt", weights_only=True) for f in (whole, parts))
    assert one["step"] == two["step"] == 8
    for key in ("model", "average"):
        assert all(torch.equal(one[key][name], two[key][name]) for name in one[key])
    with pytest.raises(ExportError, match="of another run"):
        run(data, base, parts, "--steps", "8", "--no-report", "--mixup", "0")


def test_pack_that_is_left_out_is_tested_whole(data: Path, base: Path, tmp_path: Path) -> None:
    run(data, base, tmp_path, "--steps", "2", "--leave-out", "ravdess", "--bf16", "1")
    report = json.loads((tmp_path / "report.json").read_text())
    assert {d["name"] for d in report["data"]} == {"emodb", "urdu"}
    assert "intensity" not in report["metrics"]
    rows = [m for m in report["metrics"]["emotion"] if m["data"] == "ravdess"]
    whole = next(m for m in rows if m["split"].startswith("all"))
    # Neither "calm" nor "fear" was ever heard: their clips count for nothing.
    assert whole["rows"] == 3 * 2 * 3 * 2
    assert set(whole["recall"]) == {"anger", "happiness", "neutral"}
    assert "--leave-out ravdess --bf16 1" not in report["recipe"]  # every setting by its name
    assert "--leave-out ravdess" in report["recipe"]
    assert "--bf16 1" in report["recipe"]
    with pytest.raises(ExportError, match="also in --only"):
        run(data, base, tmp_path, "--only", "urdu", "--leave-out", "urdu")


def test_fewer_layers_learn_from_a_teacher(data: Path, base: Path, tmp_path: Path) -> None:
    both = ["--steps", "2", "--only", "ravdess", "emodb"]
    run(data, base, tmp_path / "teacher", *both)
    checkpoint = str(tmp_path / "teacher" / "checkpoint")
    with pytest.raises(ExportError, match="its head 'emotion' has the labels"):
        run(data, base, tmp_path / "unlike", "--only", "urdu", "--teacher", checkpoint)
    with pytest.raises(ExportError, match="has 2 layers; 3 are needed"):
        run(data, base, tmp_path / "deep", "--layers", "3")
    out = tmp_path / "pupil"
    run(data, base, out, *both, "--layers", "1", "--teacher", checkpoint)
    loaded = load_speech_checkpoint(out / "checkpoint")
    assert loaded.config["encoder_layers"] == 1
    assert "--teacher teacher/checkpoint" in loaded.card["recipe"]
    assert "--layers 1" in loaded.card["recipe"]


def test_heads_on_a_frozen_narrow_encoder(data: Path, base: Path, tmp_path: Path) -> None:
    words = ["--only", "ravdess", "emodb", "--neurons", "8", "--statistics", "1", "--layers", "1"]
    words += ["--steps", "0"]
    small = ["--tokens-per-batch", "300", "--augment", "0"]
    run(data, base, tmp_path, *words, *small, "--hearings", "4")
    first = load_speech_checkpoint(tmp_path / "checkpoint")
    run(data, base, tmp_path, *words, *small, "--hearings", "6")  # two more
    loaded = load_speech_checkpoint(tmp_path / "checkpoint")
    assert loaded.config["encoder_ffn_dim"] == 8
    assert (loaded.model.compact, loaded.model.pooling_kind) == (True, "attention_statistics")
    frozen = [n for n, _ in loaded.model.named_parameters() if n.startswith("encoder.")]
    for name in frozen:
        assert torch.equal(loaded.model.get_parameter(name), first.model.get_parameter(name))
    assert loaded.model.heads["emotion"].weight.shape[1] == 48
    assert "--hearings 6" in loaded.card["recipe"]
    with pytest.raises(ExportError, match="neurons is 33; the base has 1 to 32 a layer"):
        run(data, base, tmp_path, "--neurons", "33")
    with pytest.raises(ExportError, match="of another run"):
        run(data, base, tmp_path, *words, "--hearings", "4")


def test_narrowing_keeps_what_moves_the_states_most(
    made_packs: list[packs.Pack], base: Path
) -> None:
    model = new_model(base, packs.heads_of(made_packs), Settings(layers=1))
    layer = model.encoder.layers[0]
    with torch.no_grad():
        layer.fc2.weight[:, 5:] = 0.0
        wanted = evaluate.run_pool(model.eval(), made_packs[0].clips["dev"])
    narrow(model, made_packs, 5)
    assert layer.fc1.weight.shape == (5, 24)
    found = evaluate.run_pool(model, made_packs[0].clips["dev"])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_loss_towards_a_teacher_is_least_at_its_answers(made_packs: list[packs.Pack]) -> None:
    for spec in packs.heads_of(made_packs):
        loss = losses.HeadLoss(spec, made_packs)
        soft = torch.linspace(-1, 1, len(spec.labels)).unsqueeze(0)  # folded
        same = (soft - loss.centre) / loss.scale if spec.task == "regression" else soft + loss.shift
        least = loss.like(same, soft)
        for other in (same + torch.linspace(0.1, 0.3, same.shape[1]), same * 2 + 0.05):
            assert loss.like(other, soft) > least


def test_figures_of_a_model_file_are_those_of_its_checkpoint(
    data: Path, speech_checkpoint: Path, speech_files: Path, tmp_path: Path
) -> None:
    words = [str(speech_files / "fp32.affect"), "--data", str(data), "--out", str(tmp_path / "t")]
    assert product.main([*words, "--num-threads", "1"]) == 0
    found = json.loads((tmp_path / "t.json").read_text())
    source = load_speech_checkpoint(speech_checkpoint)
    made = {p.name: p for p in (packs.read_pack(data, name) for name in packs.PACKS)}
    spec, clips = source.heads[0], made["emodb"].clips["test"]
    logits = evaluate.run_heads(source.model, clips)[spec.name]
    expected = evaluate.figures_of(spec, made["emodb"], clips, logits)
    plain = [e for e in found[spec.name] if e["data"] == "emodb" and "condition" not in e]
    assert expected is not None
    assert plain[0]["uar"] == pytest.approx(expected["uar"], abs=1e-4)
    table = (tmp_path / "t.md").read_text()
    assert "| emodb test, 8 | as it is | uar | - |" in table  # its card has no figures
    with pytest.raises(InputError, match="no speech model"):
        product.main(["text", *words[1:]])


# Packs


def test_targets_of_a_clip(made_packs: list[packs.Pack]) -> None:
    ravdess, emodb, urdu = made_packs
    clips = {c.id: c for part in ravdess.clips.values() for c in part}
    loud, soft = clips["ravdess/05_5"], clips["ravdess/05_4"]  # happiness, strong and normal
    assert loud.targets == {
        "emotion": "happiness",
        "arousal_valence": (0.75, 0.8),
        "speaker_sex": "male",
        "intensity": "strong",
        "shout": 1.0,
    }
    assert soft.targets["shout"] == 0.0
    assert soft.targets["arousal_valence"] == (0.5, pytest.approx(0.6))
    assert "intensity" not in clips["ravdess/05_0"].targets  # neutral
    assert "shout" not in emodb.clips["test"][0].targets
    assert urdu.labels == ("anger", "happiness", "neutral", "sadness")
    assert not urdu.studio
    assert [h.name for h in packs.heads_of(made_packs)] == HEADS
    assert [h.name for h in packs.heads_of([urdu])] == ["emotion", "arousal_valence", "speaker_sex"]


def test_what_is_wrong_with_a_pack_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="urdu"):
        packs.read_pack(tmp_path, "urdu")
    source = data / "urdu"
    rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text().splitlines()]

    def broken(**change: Any) -> Path:
        folder = tmp_path / "urdu"
        folder.mkdir(exist_ok=True)
        for file in source.glob("*.flac"):
            (folder / file.name).write_bytes(file.read_bytes())
        text = "\n".join(json.dumps(r) for r in [{**rows[0], **change}, *rows[1:]])
        (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
        return folder

    for change, message in (
        ({"emotion": "envy"}, "line 1: .*'envy' is not one of anger"),
        ({"sex": "?"}, "line 1: .*is not one of female"),
        ({"split": "valid"}, "line 1: split 'valid'"),
        ({"split": "test"}, "train and test share speakers"),
    ):
        broken(**change)
        with pytest.raises(ExportError, match=message):
            packs.read_pack(tmp_path, "urdu")
    import soundfile

    folder = broken()
    soundfile.write(folder / rows[0]["file"], np.zeros((100, 2)), 8000)
    with pytest.raises(ExportError, match="must hold mono sound at 16000 Hz, not 2 channels"):
        packs.read_pack(tmp_path, "urdu")
    (folder / rows[0]["file"]).write_bytes(b"fLaC and then nothing")
    with pytest.raises(InputError, match=rows[0]["file"]):
        packs.read_pack(tmp_path, "urdu")
    (folder / rows[0]["file"]).unlink()
    with pytest.raises(NotFoundError, match=rows[0]["file"]):
        packs.read_pack(tmp_path, "urdu")


# Augmentation


def tone(hertz: float, seconds: float = 1.0) -> augment.Samples:
    return 0.1 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16000)) / 16000)


def peak_hertz(samples: augment.Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * 16000 / len(samples))


def test_augmentation_is_a_function_of_its_seed(made_packs: list[packs.Pack]) -> None:
    other = hearing.other_clips(made_packs)
    results = [
        augment.augment(tone(440, 8.1), np.random.default_rng(s), other, augment.Chances())
        for s in (*range(24), *range(24))
    ]
    for (one, snr), (again, snr_again) in zip(results[:24], results[24:], strict=True):
        assert np.array_equal(one, again)
        assert snr == snr_again
        assert 0 < len(one) <= 8 * 16000
        assert np.isfinite(one).all()
        assert np.abs(one).max() <= 1.0
    assert len({r[0].tobytes() for r in results}) > 20
    assert {snr == 30.0 for _, snr in results} == {True, False}


def test_changes_do_what_they_say() -> None:
    rng = np.random.default_rng(0)
    fast = augment.speed(tone(440), 1.1)
    assert len(fast) == round(16000 / 1.1)
    assert peak_hertz(fast) == pytest.approx(484, abs=2)
    assert augment.active_level_db(fast) == pytest.approx(augment.active_level_db(tone(440)), abs=1)
    line = augment.band_limit(tone(440) + tone(6000) + tone(60), 300, 3400)
    np.testing.assert_allclose(line[800:-800], tone(440)[800:-800], atol=3e-3)
    voice = tone(440)
    for kind in ("white", "pink"):
        added = augment.with_noise(voice, augment.noise(kind, 16000, rng, lambda _: voice), 10.0)
        ratio = np.square(voice).mean() / np.square(added - voice).mean()
        assert 10 * np.log10(ratio) == pytest.approx(10, abs=0.3)
    click = np.zeros(16000)
    click[100] = 1.0
    tail = augment.reverberate(click, 0.5, 6.0, rng) - click
    assert 10 * np.log10(1 / np.square(tail).sum()) == pytest.approx(6, abs=0.1)
    early, late = (np.square(tail[i : i + 1600]).sum() for i in (101, 4101))
    assert 10 * np.log10(early / late) == pytest.approx(30, abs=3)  # 60 dB in .5 s
    levels = [augment.active_level_db(augment.far(voice, m, rng)) for m in (1.0, 6.0)]
    assert augment.active_level_db(voice) > levels[0] > levels[1]
    masked = augment.mask_features(np.arange(800, dtype=np.float32).reshape(20, 40), rng)
    assert masked.shape == (20, 40)
    assert (masked == np.float32(399.5)).any()


def test_mixture_starts_anywhere_and_leaves_no_clip_out(made_packs: list[packs.Pack]) -> None:
    def mixture() -> hearing.Mixture:
        return hearing.Mixture(made_packs, MELS, 300, seed=3)

    whole = mixture().at(0)
    batches = [next(whole) for _ in range(12)]
    again = next(mixture().at(9))
    assert [c.id for c in again.clips] == [c.id for c in batches[9].clips]
    assert torch.equal(again.features, batches[9].features)
    for batch in batches:
        longest = max(hearing.tokens_of(c) for c in batch.clips)
        assert longest * len(batch.clips) <= 300
        for pack, snr in zip(batch.packs, batch.snr_db.tolist(), strict=True):
            assert np.isnan(snr) != pack.studio
    heard = [c.id for b in batches for c in b.clips if c.id.startswith("urdu")]
    size = len(made_packs[2].clips["train"])
    assert len(heard) >= size
    assert len(set(heard)) == size


# Training


def test_lower_layers_move_slower_or_not_at_all(model: SpeechEncoder) -> None:
    with pytest.raises(ExportError, match="0 to 3 are possible"):
        parameter_groups(model, Settings(freeze=4))
    rates = [g["lr"] for g in parameter_groups(model, Settings(lr=1.0, layer_decay=0.5))]
    assert rates == [0.25, 0.5, 1.0, 1.0, 1e-3]
    parameter_groups(model, Settings(freeze=2))
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(
        n.startswith(("encoder.conv", "encoder.layers.0", "encoder.embed")) for n in moving
    )
    assert any(n.startswith("encoder.layers.1") for n in moving)


# Heads and decisions


def test_softmax_of_the_loss_runs_over_the_labels_of_the_pack(
    made_packs: list[packs.Pack],
) -> None:
    spec = packs.heads_of(made_packs)[0]
    loss = losses.HeadLoss(spec, made_packs)
    urdu, emodb = made_packs[2], made_packs[1]
    clips = [urdu.clips["train"][0], emodb.clips["train"][0]]  # anger, both
    batch = hearing.Batch(torch.zeros(2, MELS, 4), torch.tensor([4, 4]), [urdu, emodb], clips,
                          torch.full((2,), torch.nan))  # fmt: skip
    targets = loss.targets(batch)
    value = loss(torch.zeros(2, len(spec.labels)), targets)
    torch.testing.assert_close(value, torch.log(torch.tensor([4.0, 4.0])))
    wild = torch.zeros(2, len(spec.labels))
    wild[:, spec.labels.index("calm")] = 50.0  # neither pack has it
    torch.testing.assert_close(loss(wild, targets), value)
    sad = torch.zeros(2, len(spec.labels))
    sad[:, spec.labels.index("sadness")] = 50.0  # urdu alone has it
    assert loss(sad, targets)[0] > 40
    assert loss(sad, targets)[1] == value[1]
    silent = losses.HeadLoss(packs.heads_of(made_packs)[2], made_packs).targets(batch)
    assert silent.weights.tolist() == [0.0, 0.0]  # nothing is known of intensity


def test_unweighted_recall_and_temperature() -> None:
    chosen, truth = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 0, 0, 1])
    figures = evaluate.recall_statistics(chosen, truth, 3)
    assert figures.figures(figures.rows.sum(0, keepdims=True))["uar"][0] == 0.375
    spec = HeadSpec("emotion", "single_label", ("a", "b"), "emotion", input="audio")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    right = rng.random(600) < 0.8
    logits = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)] * 10
    decided = evaluate.decide(spec, [(logits, labels)])
    assert decided.temperature == pytest.approx(10 / np.log(4), rel=0.1)  # .8 sure, not .99995
    assert decided.unsure_below == 0.0

"""The multi-task recipe on made-up packs and a random encoder of two small layers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import multitask_packs as made_up
import numpy as np
import pytest
import tiny_models

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

import affectrt
from affectrt.errors import ExportError, NotFoundError
from affectrt.export.api import export_checkpoint
from affectrt.export.checkpoint import HeadSpec, PooledEncoder, load_checkpoint
from affectrt.export.recipes import decisions
from affectrt.export.recipes.multitask import evaluate, inputs, packs, product, rows, spans
from affectrt.export.recipes.multitask.cli import main
from affectrt.export.recipes.multitask.inputs import Tokens, Turn, history_turn
from affectrt.export.recipes.multitask.losses import HeadLoss
from affectrt.export.recipes.multitask.mixture import Mixture
from affectrt.export.recipes.running import factor, fold
from affectrt.metrics import squad_f1

FEW = ["goemotions", "reccon", "nlupp", "emobank"]


@pytest.fixture(scope="session")
def data(made: Callable[..., Path]) -> Path:
    return made("multitask_packs", made_up.write_packs)


@pytest.fixture(scope="session")
def base(made: Callable[..., Path]) -> Path:
    def build(folder: Path) -> None:
        from transformers import BertConfig, BertModel

        torch.manual_seed(5)
        config = BertConfig(
            vocab_size=len(made_up.VOCABULARY) + len(tiny_models.SPECIAL),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        tokenizer = tiny_models.wordpiece_json(made_up.VOCABULARY)
        tiny_models.write_json(folder / "tokenizer.json", tokenizer)

    return made("multitask_base", build)


@pytest.fixture(scope="session")
def tokens(base: Path) -> Tokens:
    return Tokens(base / "tokenizer.json")


def run(data: Path, base: Path, out: Path, *more: str, only: list[str] | None = FEW) -> None:
    words = ["--base", str(base), "--data", str(data), "--out", str(out), "--threads", "1"]
    words += ["--tokens-per-batch", "128", "--eval-every", "50", "--eval-rows", "20"]
    if "--model" not in more:
        words += ["--model", "text"]
    assert main([*words, *(["--only", *only] if only else []), *more]) == 0


def test_every_head_from_packs_to_checkpoint(data: Path, base: Path, tmp_path: Path) -> None:
    run(data, base, tmp_path, "--steps", "8", only=None)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    specs = {h.name: h for h in loaded.heads}
    assert isinstance(loaded.model, PooledEncoder)
    assert loaded.model.pooling_kind == "mean_first"
    assert {h.task for h in loaded.heads} == {
        *("single_label", "multi_label", "ordinal", "regression"),
        *("span", "token_labels", "token_flags"),
    }
    assert specs["emotion7"].input == "turn"
    assert specs["cause_span"].input == "cause"
    assert specs["turn_empathy"].ranges == ((0.0, 5.0), (0.0, 3.0), (0.0, 5.0))
    assert specs["cause_span"].margin is not None
    assert specs["emotion7"].thresholds is not None
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["metrics"]) == set(specs)
    assert {m["data"] for m in report["metrics"]["emotion7"]} == {"dailydialog", "meld"}
    assert {m["data"] for m in report["metrics"]["stage"]} == {"esconv", "longemotion"}
    assert report["metrics"]["turn_empathy"][0]["split"] == "dev"  # the only public gold
    assert report["licence"]["non_commercial"] is True
    assert (tmp_path / "curves.png").stat().st_size > 0
    out, rows_file = tmp_path / "x.affect", tmp_path / "rows.jsonl"
    words = ["--model", "text", "--data", str(data), "--tokenizer", str(base / "tokenizer.json")]
    words += ["--out", str(rows_file), "--tokens", "100", "--without", "reply_fit"]
    assert rows.main(words) == 0
    export_checkpoint(tmp_path / "checkpoint", out, data=rows_file)
    assert {h.name: h.input for h in affectrt.load(out).info.heads} == {
        s.name: s.input for s in loaded.heads
    }
    words = [str(out), "--checkpoint", str(tmp_path / "checkpoint"), "--data", str(data)]
    assert product.main([*words, "--out", str(tmp_path / "figures")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == set(specs)
    for name, entries in report["metrics"].items():
        for ours, theirs in zip(figures[name], entries, strict=True):
            assert {**ours, **theirs} == pytest.approx(ours, abs=2e-3), name
    table = (tmp_path / "figures.md").read_text().splitlines()
    assert len(table) == 2 + sum(map(len, figures.values()))


def test_permissive_model_reads_permissive_packs_only(
    data: Path, base: Path, tmp_path: Path
) -> None:
    words = ["--steps", "2", "--model", "text-permissive", "--leave-out", "slots"]
    run(data, base, tmp_path, *words, only=None)
    assert "slots" not in {h.name for h in load_checkpoint(tmp_path / "checkpoint").heads}
    with pytest.raises(ExportError, match="--leave-out names nonsense; the heads are emotion, "):
        run(data, base, tmp_path, "--leave-out", "nonsense")
    report = json.loads((tmp_path / "report.json").read_text())
    assert {d["name"] for d in report["data"]} == {
        *("goemotions", "brighter/eng", "emobank", "wassa22_essays"),
        *("nlupp", "banking77", "clinc150"),
    }
    assert not any("NC" in d["licence"] or "GPL" in d["licence"] for d in report["data"])
    assert report["licence"]["non_commercial"] is False


def test_resumed_run_has_the_weights_of_an_uninterrupted_one(
    data: Path, base: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(data, base, whole, "--steps", "20", "--no-report")
    run(data, base, parts, "--steps", "20", "--no-report", "--stop-step", "7", "--save-every", "5")
    run(data, base, parts, "--steps", "20", "--no-report")
    one, two = (torch.load(f / "state.pt", weights_only=True) for f in (whole, parts))
    assert one["step"] == two["step"] == 20
    for key in ("model", "average"):
        assert all(torch.equal(one[key][name], two[key][name]) for name in one[key])
    with pytest.raises(ExportError, match="of another run"):
        run(data, base, parts, "--steps", "20", "--no-report", "--seed", "1")


def _ids_of_specials(tokenizer: dict[str, Any], vocabulary: list[str]) -> str:
    """The file with the vocabulary's numbers wherever a special token is named with one."""

    def renumber(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                renumber(item)
        elif isinstance(node, dict):
            for key, item in node.items():
                if key in ("cls", "sep"):
                    item[1] = vocabulary.index(item[0])
                elif key == "ids" and "tokens" in node:
                    node["ids"] = [vocabulary.index(t) for t in node["tokens"]]
                elif key == "id" and node.get("content") in vocabulary:
                    node["id"] = vocabulary.index(node["content"])
                elif key != "vocab":
                    renumber(item)

    renumber(tokenizer)
    return json.dumps(tokenizer)


def test_training_learns_and_start_and_teacher_are_taken(
    data: Path, base: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fast = ["--lr", "3e-3", "--head-lr", "3e-2", "--dropout", "0"]
    packs = ["goemotions", "emobank", "nlupp"]  # a regression, and two heads that can be distilled
    run(data, base, first, "--steps", "60", *fast, only=packs)
    report = json.loads((first / "report.json").read_text())
    assert report["metrics"]["emotion"][0]["macro_f1"] > 0.6  # chance is about .2
    start, shipped = str(first / "checkpoint"), str(tmp_path / "first.affect")
    export_checkpoint(start, shipped)
    run(data, base, second, "--steps", "1", "--start", shipped, "--teacher", start, "--lr", "0",
        "--head-lr", "0")  # fmt: skip
    both = json.loads((second / "report.json").read_text())
    assert both["metrics"]["emotion"][0]["macro_f1"] == pytest.approx(
        report["metrics"]["emotion"][0]["macro_f1"], abs=0.05
    )
    # The heads of a checkpoint are in their own units; trained on, they are standardised again.
    weights = [load_checkpoint(f / "checkpoint").model.state_dict() for f in (first, second)]
    assert all(torch.allclose(weights[0][n], weights[1][n], atol=1e-5) for n in weights[0])
    with pytest.raises(ExportError, match="no head that this recipe trains"):
        run(data, base, tmp_path / "none", "--teacher", start, only=["meld"])


def test_teacher_with_other_numbers_for_the_same_pieces_says_the_same(
    data: Path, base: Path, tokens: Tokens, tmp_path: Path
) -> None:
    from transformers import MPNetConfig, MPNetModel

    from affectrt.export.recipes.multitask.teacher import Teacher

    pieces = [*tiny_models.SPECIAL, *made_up.VOCABULARY]
    own = ["<s>", "<pad>", "</s>", "<unk>", *reversed(pieces)]  # as MPNet has BERT's pieces behind
    tokenizer = tiny_models.wordpiece_json(made_up.VOCABULARY)
    tokenizer["model"]["vocab"] = {piece: i for i, piece in enumerate(own)}
    text = json.dumps(tokenizer).replace('"[CLS]"', '"<s>"').replace('"[SEP]"', '"</s>"')
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "tokenizer.json").write_text(_ids_of_specials(json.loads(text), own))
    torch.manual_seed(3)
    config = MPNetConfig(
        vocab_size=len(own),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    MPNetModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "base")
    run(data, tmp_path / "base", tmp_path / "big", "--steps", "4", "--lr", "1e-3")
    sources = [packs.SOURCES[name](data) for name in (*FEW, "isear")]
    teacher = Teacher(tmp_path / "big" / "checkpoint", sources, tokens, torch.device("cpu"))
    assert set(teacher.heads) == {"emotion", "cause", "cause_span", "intents", "slots", "vad"}
    theirs = Tokens(tmp_path / "base" / "tokenizer.json")
    strange = (Turn("self", "so dark"),)
    batch, alone = [], []
    for source in sources:
        example = source.examples["train"][0]
        batch.append((example, tokens.make_pass(example.text, example.context or strange)))
        alone.append(theirs.make_pass(example.text, example.context))
    found = teacher.logits(batch, tokens, bf16=False)
    with torch.no_grad():
        wanted = teacher.model(*inputs.pad(alone))
    for name, head in teacher.heads.items():
        for i, row in enumerate(alone):
            inside = slice(0, row.a_tokens + 1) if head.task in ("span", "token_labels") else ...
            torch.testing.assert_close(
                found[name][i, inside] * head.temperature, wanted[name][i, inside]
            )
    # Its emotions and values are learnt from the other texts, not from causes.
    assert teacher.unlabelled(batch) == {"emotion": [2, 3, 4], "vad": [0, 2, 4]}
    run(data, base, tmp_path / "small", "--steps", "3", "--teacher",
        str(tmp_path / "big" / "checkpoint"))  # fmt: skip
    log = json.loads((tmp_path / "small" / "curves.json").read_text())
    assert "vad as taught" in log[0]["loss"]
    words = text.replace('"so"', '"unsaid"')
    checkpoint = tmp_path / "big" / "checkpoint"
    (checkpoint / "tokenizer.json").write_text(_ids_of_specials(json.loads(words), own))
    with pytest.raises(ExportError, match=r"lacks 1 word pieces of the student's \('so', "):
        Teacher(checkpoint, sources, tokens, torch.device("cpu"))


def test_labels_weigh_beside_what_a_teacher_says(data: Path, tokens: Tokens) -> None:
    """Cross-entropy of ``(1 - w) * label + w * softmax(teacher)``, labels weighted by rarity."""
    source = packs.isear(data)
    loss = HeadLoss(source.heads[0], [source])
    batch = [(e, tokens.make_pass(e.text)) for e in source.examples["train"][:3]]
    rng = torch.Generator().manual_seed(0)
    logits, taught = torch.randn(2, 3, len(loss.spec.labels), generator=rng)
    truth = torch.tensor([e.targets[loss.spec.name] for e, _ in batch])
    entropy = torch.nn.functional.cross_entropy
    hard = entropy(logits, truth, weight=loss.weight, reduction="sum")
    soft = entropy(logits, taught.softmax(-1), weight=loss.weight, reduction="sum")
    rows = [0, 1, 2]
    torch.testing.assert_close(loss(logits, batch, rows, tokens), hard)
    torch.testing.assert_close(loss.imitate(logits, taught, rows), soft)
    mixed = loss(logits, batch, rows, tokens, taught, 0.3)
    torch.testing.assert_close(mixed, 0.7 * hard + 0.3 * soft)


def test_mean_of_two_checkpoints(data: Path, base: Path, tmp_path: Path) -> None:
    from affectrt.export.recipes.multitask import average

    new, old = tmp_path / "new", tmp_path / "old"
    run(data, base, new, "--steps", "2", "--lr", "1e-3", only=["goemotions", "nlupp"])
    run(data, base, old, "--steps", "2", "--lr", "1e-3", "--seed", "1", only=["goemotions"])
    words = [str(f / "checkpoint") for f in (new, old)]
    words += ["--part", "0.25", "--model", "text", "--data", str(data), "--out", str(tmp_path)]
    assert average.main(words) == 0
    ours, theirs, mean = (
        load_checkpoint(f / "checkpoint").model.state_dict() for f in (new, old, tmp_path)
    )
    for name in ours:
        one = name.startswith(("heads.intents", "heads.slots"))  # OLD has them not
        wanted = ours[name] if one else 0.75 * ours[name] + 0.25 * theirs[name]
        torch.testing.assert_close(mean[name], wanted)
    recipe = json.loads((tmp_path / "report.json").read_text())["recipe"]
    assert recipe.count("python -m") == 2
    assert "--part 0.25" in recipe
    with pytest.raises(SystemExit):
        average.main([*words[:3], "2", *words[4:]])


def test_parts_of_the_teachers_base_are_joined(tmp_path: Path) -> None:
    from affectrt.export.recipes import mpnet

    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name in ("1_Pooling/config.json", *mpnet.NEEDED):
            archive.writestr(f"model/{name}", name)
    wheels = []
    for i, part in enumerate((whole.getvalue()[:200], whole.getvalue()[200:])):
        wheels.append(tmp_path / f"part_{i}.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            archive.writestr(f"part_{i}/model.zip.00{i}", part)
    mpnet.unpack(wheels, tmp_path / "base")
    assert {f.name: f.read_text() for f in (tmp_path / "base").iterdir()} == {
        name: name for name in mpnet.NEEDED
    }
    with pytest.raises(ExportError, match="do not make an archive"):
        mpnet.unpack(wheels[:1], tmp_path / "base")


def test_missing_pack_is_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="reccon"):
        run(tmp_path, base, tmp_path / "out", only=["reccon"])


# What a pass sees


def test_single_text_and_pair_have_the_tokens_of_the_tokenizer(tokens: Tokens) -> None:
    text = "i felt so glad today"
    context = (
        history_turn("we saw the dark", same_speaker=False, emotion="fear"),
        history_turn("so sudden , at home", same_speaker=True),
    )
    alone, pair = tokens.make_pass(text), tokens.make_pass(text, context)
    assert alone.ids.tolist() == tokens.tokenizer.encode(text).ids
    assert not alone.types.any()
    string = inputs.render(context)
    assert string == "other fear: we saw the dark self: so sudden , at home"
    encoded = tokens.tokenizer.encode(text, string)
    assert pair.ids.tolist() == encoded.ids
    assert pair.types.tolist() == encoded.type_ids


def test_oldest_turns_are_dropped_whole(tokens: Tokens) -> None:
    turns = tuple(Turn("self", f"{i} " * 9) for i in range(6))  # 11 tokens each with "self:"
    row = tokens.make_pass("glad", turns, context_tokens=40)
    kept = row.ids[row.types == 1]
    assert (
        kept.tolist()[:-1]
        == np.concatenate([tokens.ids(t.tag + ": " + t.text) for t in turns[-3:]]).tolist()
    )
    assert len(row) == 1 + 1 + 1 + 33 + 1


def test_long_text_leaves_its_context_room(tokens: Tokens) -> None:
    row = tokens.make_pass("glad " * 300, (Turn("other", "home " * 90),))
    assert row.a_tokens == inputs.MAX_TOKENS - inputs.MIN_ROOM - inputs.SPECIAL
    assert int((row.types == 1).sum()) == inputs.MIN_ROOM + 1  # its [SEP] too
    assert len(row) == inputs.MAX_TOKENS


def test_pooling_reads_the_first_segment_alone(base: Path) -> None:
    from affectrt.export.recipes.multitask.train import new_model

    model = new_model(base, [HeadSpec("h", "regression", ("x",), "h")]).eval()
    ids = torch.tensor([[2, 5, 6, 3, 7, 8, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0]])
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 0]])
    with torch.no_grad():
        hidden = model.encoder(ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        expected = model.heads["h"](hidden[:, :4].mean(1))
        torch.testing.assert_close(model(ids, mask, types)["h"], expected)
        single = torch.zeros_like(types)
        by_mean = PooledEncoder(model.encoder, model.specs, "mean").eval()
        by_mean.heads.load_state_dict(model.heads.state_dict())
        torch.testing.assert_close(model(ids, mask, single)["h"], by_mean(ids, mask, single)["h"])


# RECCON


def dialogue() -> dict[str, Any]:
    def turn(n: int, speaker: str, text: str, emotion: str, *causes: tuple[int, str]) -> Any:
        told = [{"turn": t, "span": s} for t, s in causes]
        return {"turn": n, "speaker": speaker, "text": text, "emotion": emotion, "causes": told}

    return {
        "id": "d",
        "turns": [
            turn(1, "A", "it was so dark", "neutral"),
            turn(2, "B", "i felt scared", "fear", (1, "so dark"), (2, "scared"), (1, "dark")),
            turn(3, "A", "we saw it", "happiness"),  # its cause lies outside the dialogue
        ],
    }


def test_every_turn_before_an_emotion_is_a_candidate() -> None:
    found = {e.id: e for e in packs.reccon_pairs(dialogue())}
    assert set(found) == {"d/1/0", "d/1/1", "d/2/0", "d/2/1", "d/2/2"}
    positive = {k for k, e in found.items() if e.targets["cause"][0] == 1}
    assert positive == {"d/1/0", "d/1/1"}
    assert found["d/1/0"].targets["cause_span"] == [(7, 14), (10, 14)]
    assert found["d/2/2"].targets["cause_span"] == []
    assert inputs.render(found["d/1/0"].context) == "self: this other fear: i felt scared"
    assert inputs.render(found["d/1/1"].context) == "other: it was so dark self fear: this"
    assert inputs.render(found["d/2/1"].context).endswith("self: this other joy: we saw it")


def test_rows_of_test_sets_are_never_trained_on(data: Path, tmp_path: Path) -> None:
    for pack in ("dailydialog", "reccon"):
        (tmp_path / pack).mkdir()
        for file in (data / pack).iterdir():
            (tmp_path / pack / file.name).write_bytes(file.read_bytes())
    rows = packs.read_rows(data, "dailydialog", "train")
    tested = packs.read_rows(data, "reccon", "test")[0]
    rows[0]["reccon_split"] = "test"
    rows[1]["reccon_split"] = "dev"
    rows[2]["reccon_split"] = "train"
    rows[3]["also_in"] = ["test"]
    rows[4]["also_in"] = ["dev"]
    rows[5]["turns"] = [
        {"speaker": "A", "text": t["text"].upper() + " .", "emotion": "neutral", "act": "inform"}
        for t in tested["turns"]
    ]
    made_up.write_rows(tmp_path, "dailydialog", "train", rows)
    kept = {e.id.split("/")[0] for e in packs.dailydialog(tmp_path).examples["train"]}
    assert kept == {r["id"] for r in rows} - {rows[i]["id"] for i in (0, 1, 3, 4, 5)}

    rows = packs.read_rows(data, "reccon", "train")
    rows[0]["turns"] = tested["turns"]
    made_up.write_rows(tmp_path, "reccon", "train", rows)
    kept = {e.id.split("/")[0] for e in packs.reccon(tmp_path).examples["train"]}
    assert rows[0]["id"] not in kept
    assert rows[1]["id"] in kept


def test_missing_dev_is_a_fixed_part_of_train(data: Path) -> None:
    source = packs.banking(data)
    train, dev = ({e.id for e in source.examples[s]} for s in ("train", "dev"))
    assert train
    assert dev
    assert not train & dev
    assert all(packs.in_tenth(i) for i in dev)
    turns = packs.wassa_turns(data).examples  # by conversation, so that none is in two splits
    train, dev = ({e.id.split("/")[0] for e in turns[s]} for s in ("train", "dev"))
    assert train
    assert dev
    assert not train & dev


@pytest.mark.parametrize(
    ("truth", "answer", "f1"),
    [
        ("so dark", "so dark", 1.0),
        ("The dark!", "a dark", 1.0),  # articles and punctuation do not count
        ("so dark", "", 0.0),
        ("", "", 1.0),
        ("so very dark", "it was so dark", 2 * 2 / 7),
        ("no no yes", "no yes yes", 2 * 2 / 6),
    ],
)
def test_squad_f1(truth: str, answer: str, f1: float) -> None:
    assert squad_f1(truth, answer) == pytest.approx(f1)


def test_best_span_is_ordered_and_beats_no_answer() -> None:
    logits = np.array([[1.0, 1.0], [0.0, 9.0], [4.0, 0.0], [0.0, 3.0]], np.float32)
    # end 9 of token 0 stands before start 4 of token 1: (0, 0) has 9, (1, 2) has 7
    assert spans.best_span(logits) == (0, 0, pytest.approx(7.0))
    logits[1, 1] = 0
    assert spans.best_span(logits) == (1, 2, pytest.approx(5.0))


def test_span_figures_by_hand(tokens: Tokens) -> None:
    examples = list(packs.reccon_pairs(dialogue()))

    def row(example: packs.Example, words: slice | None) -> np.ndarray:
        n = len(tokens.ids(example.text))
        logits = np.zeros((1 + n, 2), np.float32)
        if words is None:
            logits[0] = 5
        else:
            logits[1 + words.start, 0] = logits[words.stop, 1] = 5
        return logits

    answers = [slice(2, 4), None, None, slice(0, 1), None]  # "so dark"; missed; -; "i"; -
    logits = [row(e, a) for e, a in zip(examples, answers, strict=True)]
    found = evaluate.predicted_spans(examples, logits, tokens, 0.0)
    assert found == ["so dark", "", "", "i", ""]
    figures = evaluate.span_figures(examples, logits, tokens, 0.0)
    # positives, one a span: "so dark" 1, "scared" 0, "dark" 2/3; negatives: right, wrong, right
    assert figures["f1_pos"] == pytest.approx(100 * (1 + 0 + 2 / 3) / 3)
    assert figures["exact_match"] == pytest.approx(100 / 3)
    assert figures["f1_neg"] == pytest.approx(100 * 2 * 2 / (2 + 1 + 3))
    assert figures["f1"] == pytest.approx(100 * (1 + 2 / 3 + 2) / 6)


# Heads and decisions


def test_token_targets_stand_where_the_words_are(data: Path, tokens: Tokens) -> None:
    source = packs.nlupp(data)
    spec = next(h for h in source.heads if h.name == "slots")
    assert spec.labels == ("O", "B-when", "I-when", "B-who", "I-who")
    example = packs.Example("x", "home soon today", {"slots": [(5, 15, 0)]})
    row = tokens.make_pass(example.text)
    wanted = HeadLoss(spec, [source]).token_targets([(example, row)], [0], tokens, len(row))
    assert wanted.tolist() == [[-100, 0, 1, 2, -100]]
    flags = HeadSpec("f", "token_flags", ("a", "b"), "f")
    example = packs.Example("x", example.text, {"f": [(0, 4, 1), (6, 7, 0)]})
    wanted = HeadLoss(flags, []).token_targets([(example, row)], [0], tokens, len(row))
    assert wanted[0, 1:4].tolist() == [[0, 1], [1, 0], [0, 0]]
    assert spans.decode_bio(np.array([0, 1, 2, 3, 2, 2, 0, 4])) == {
        *((1, 2, 0), (3, 3, 1), (4, 5, 0), (7, 7, 1))
    }


def test_folded_heads_say_what_the_data_says(data: Path, base: Path) -> None:
    from affectrt.export.recipes.multitask.train import new_model

    source = packs.emobank(data)
    loss = HeadLoss(source.heads[0], [source])
    model = new_model(base, source.heads)
    with torch.no_grad():
        model.get_parameter("heads.vad.weight").zero_()
    fold(model, {"vad": loss})
    values = np.stack([e.targets["vad"] for e in source.examples["train"]])
    bias = model.get_parameter("heads.vad.bias").detach().numpy()
    np.testing.assert_allclose(bias, values.mean(0), rtol=1e-5)


def test_prior_is_fitted_to_the_frequencies_of_dev() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.9).astype(np.int64)
    logits = np.zeros((4000, 2), np.float32)
    _, bias = decisions.fit_prior(logits, labels, np.ones(4000, np.float32))
    share = decisions.softmax(bias[None])[0, 1]
    assert share == pytest.approx(0.9, abs=0.03)
    weights = np.where(labels == 1, 1 / 9, 1).astype(np.float32)  # as if both were as frequent
    _, bias = decisions.fit_prior(logits, labels, weights)
    assert decisions.softmax(bias[None])[0, 1] == pytest.approx(0.5, abs=0.03)


def test_label_thresholds_help_rare_labels_or_do_nothing() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(2000) < 0.1).astype(np.int64)
    signal = rng.normal(size=2000) + 1.2 * labels
    logits = np.stack([np.zeros(2000), signal - 3.2], 1).astype(np.float32)
    scores = decisions.softmax(logits)
    cuts = decisions.fit_label_thresholds(scores, labels, np.ones(2000, np.float32))
    assert max(cuts) == 1.0
    assert cuts[1] < cuts[0]
    plain, lifted = ((scores / np.asarray(c)).argmax(1) for c in ((1.0, 1.0), cuts))
    assert (lifted[labels == 1] == 1).mean() > (plain[labels == 1] == 1).mean()
    sharp = np.eye(2, dtype=np.float32)[labels] * 0.98 + 0.01
    assert set(decisions.fit_label_thresholds(sharp, labels, np.ones(2000, np.float32))) == {1.0}


def test_stages_follow_the_strategies_and_never_go_back() -> None:
    told = ["Question", None, "Information", "Self-disclosure", "Others", "Information", None]
    assert packs.stages(told) == sorted(packs.stages(told))
    assert packs.stages(["Question", "Self-disclosure", "Information"]) == [0, 1, 2]
    assert packs.stages(told)[0] == 0
    assert packs.stages(told)[5] == 2


def test_right_reply_leads_its_rivals(data: Path) -> None:
    source = packs.replies(data)
    for split in ("dev", "test"):
        fits = [float(e.targets["reply_fit"][0]) for e in source.examples[split]]
        assert fits == ([1.0] + [0.0] * (packs.REPLY_CANDIDATES - 1)) * (
            len(fits) // packs.REPLY_CANDIDATES
        )
    scores = np.array([3, *[0] * 8, 5, 1, *[0] * 9], np.float32)
    assert evaluate.rank_figures(scores) == {"mrr": 0.75, "recall_at_1": 0.5}


def test_mixture_starts_anywhere_and_leaves_no_example_out(data: Path, tokens: Tokens) -> None:
    sources = [packs.meld(data), packs.isear(data), packs.dailydialog(data)]
    whole = Mixture(sources, tokens, 96, seed=3).at(0)
    batches = [next(whole) for _ in range(60)]
    for step in (1, 45):
        again = next(Mixture(sources, tokens, 96, seed=3).at(step))
        assert [e.id for e, _ in again] == [e.id for e, _ in batches[step]]
        assert all(
            np.array_equal(a.ids, b.ids)
            for (_, a), (_, b) in zip(again, batches[step], strict=True)
        )
    for batch in batches:
        longest = max(len(row) for _, row in batch)
        assert len(batch) == 1 or len(batch) * longest <= 96
    seen = [e.id for batch in batches for e, _ in batch if "event_emotion" in e.targets]
    one_epoch = seen[: len(sources[1].examples["train"])]
    assert len(seen) > 24
    assert len(set(seen)) == 24
    assert len(one_epoch) == 24


def test_learning_rate_warms_holds_and_cools() -> None:
    rates = [factor(step, 1000) for step in range(1000)]
    assert rates[0] < 0.05
    assert rates[30:750] == [1.0] * 720
    assert rates[999] == pytest.approx(1 / 250)
    assert [factor(s, 4000) for s in range(200, 750)] == [1.0] * 550  # the schedule may grow

"""Checkpoints of every family that export takes: random, or fine-tuned in seconds on a toy task."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affectrt.export import HeadSpec

FAMILIES = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "mpnet",
    "xlm-roberta",
    "modernbert",
    "deberta",
    "deberta-v2",
    "deberta-v3",
)
LABELS = ("joy", "anger", "fear", "calm")
MAX_TOKENS = 64

# What the toy task is about: every word of a list speaks for its label.
CUES = {
    "joy": ("happy", "glad", "wonderful", "delighted"),
    "anger": ("furious", "angry", "outrageous", "livid"),
    "fear": ("scared", "afraid", "terrified", "trembling"),
    "calm": ("quiet", "peaceful", "gentle", "resting"),
}
_FILLER_TEXT = (
    "today the train and I she was very much a little because of that long story about my house "
    "we they you it in on at with without before after never always"
)
FILLERS = _FILLER_TEXT.split()
CORPUS = [
    *(" ".join(words) for words in CUES.values()),
    " ".join(FILLERS),
    "I can't believe they cancelled it, I was so looking forward to tonight.",
    "naïve café, straße, Ünïcödé and 東京 — with emoji 😀 as well; it costs 3.50!",
    "Я так боялась, что ты не придёшь. 今日は本当に楽しかった、ありがとう!",
]

_BERT = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
_ROBERTA = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}


def _pieces(tokenizer: Any, inside: str = "") -> list[str]:
    """The words of `CORPUS` and their characters: the same list in every process.

    The trainers of `tokenizers` break ties by the order of a hash map, BPE's excepted; another
    vocabulary is another random network.
    """
    words: dict[str, None] = {}
    for line in CORPUS:
        text = tokenizer.normalizer.normalize_str(line)
        words |= dict.fromkeys(w for w, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text))
    letters = sorted(set("".join(words)))
    return list(dict.fromkeys([*words, *letters, *(inside + c for c in letters)]))


def make_tokenizer(family: str) -> Any:
    """A `tokenizers.Tokenizer` of the kind that the family's checkpoints come with."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    names = _ROBERTA if family in ("roberta", "xlm-roberta", "mpnet") else _BERT
    order = ("cls", "pad", "sep", "unk", "mask")
    if names is _BERT:
        order = ("pad", "unk", "cls", "sep", "mask")
    special = [names[n] for n in order]
    if family in ("bert", "distilbert", "electra", "mpnet"):
        tokenizer = Tokenizer(models.WordPiece(unk_token=names["unk"]))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        pieces = _pieces(tokenizer, inside="##")
        vocab = {piece: i for i, piece in enumerate(special + pieces)}
        tokenizer.model = models.WordPiece(vocab, unk_token=names["unk"])
    elif family in ("roberta", "deberta", "modernbert"):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(CORPUS * 3, trainer)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        scored = [(piece, 0.0) for piece in special]
        scored += [(piece, -4.0 - 0.01 * i) for i, piece in enumerate(_pieces(tokenizer))]
        tokenizer.model = models.Unigram(scored, special.index(names["unk"]), False)
    tokenizer.add_special_tokens(special)
    ids = [(names[n], tokenizer.token_to_id(names[n])) for n in ("cls", "sep")]
    if names is _ROBERTA:
        pair = "<s> $A </s> </s> $B </s>"
        single = "<s> $A </s>"
    else:
        second = "" if family in ("deberta", "deberta-v2", "deberta-v3", "modernbert") else ":1"
        pair = f"[CLS] $A [SEP] $B{second} [SEP]{second}"
        single = "[CLS] $A [SEP]"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=ids
    )
    return tokenizer


def make_config(
    family: str, tokenizer: Any, labels: Sequence[str], problem_type: str | None, width: int = 32
) -> Any:
    """A small configuration with everything that makes the family what it is."""
    import transformers as t

    names = _ROBERTA if family in ("roberta", "xlm-roberta", "mpnet") else _BERT
    pad = tokenizer.token_to_id(names["pad"])
    rest: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": pad,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": problem_type,
    }
    shape = {
        "hidden_size": width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
    }
    positions = {"max_position_embeddings": MAX_TOKENS}
    shifted = {"max_position_embeddings": MAX_TOKENS + pad + 1}
    relative = {
        "relative_attention": True,
        "position_biased_input": False,
        "max_relative_positions": -1,
        "type_vocab_size": 0,
    }
    if family == "bert":
        return t.BertConfig(**rest, **shape, **positions)
    if family == "electra":
        return t.ElectraConfig(**rest, **shape, **positions, embedding_size=width // 2)
    if family == "distilbert":
        return t.DistilBertConfig(
            **rest, **positions, dim=width, n_layers=2, n_heads=4, hidden_dim=2 * width
        )
    if family == "roberta":
        return t.RobertaConfig(**rest, **shape, **shifted, type_vocab_size=1)
    if family == "xlm-roberta":
        return t.XLMRobertaConfig(**rest, **shape, **shifted, type_vocab_size=1)
    if family == "mpnet":
        return t.MPNetConfig(**rest, **shape, **shifted)
    if family == "modernbert":  # half of the layers see 8 tokens to each side
        ids = {f"{n}_token_id": tokenizer.token_to_id(names["cls"]) for n in ("bos", "cls")}
        ids |= {f"{n}_token_id": tokenizer.token_to_id(names["sep"]) for n in ("eos", "sep")}
        local = {"num_hidden_layers": 4, "local_attention": 16}
        return t.ModernBertConfig(**rest, **{**shape, **local}, **positions, **ids)
    if family == "deberta":
        return t.DebertaConfig(
            **rest, **shape, **positions, **relative, pos_att_type=["c2p", "p2c"]
        )
    extra: dict[str, Any] = {"position_buckets": 16, "norm_rel_ebd": "layer_norm"}
    if family == "deberta-v3":  # the same model_type; its attention shares the projections
        extra |= {"share_att_key": True}
    else:
        extra |= {"conv_kernel_size": 3, "conv_act": "gelu"}
    return t.DebertaV2Config(
        **rest, **shape, **positions, **relative, **extra, pos_att_type=["p2c", "c2p"]
    )


def write_random_checkpoint(
    folder: Path,
    family: str,
    labels: Sequence[str] = LABELS,
    problem_type: str | None = None,
    *,
    kind: str = "SequenceClassification",
    max_tokens: int = MAX_TOKENS,
) -> Path:
    """A randomly initialised ``AutoModelFor<kind>``, with weights wide enough for answers that
    differ."""
    import torch
    import transformers

    torch.manual_seed(7)
    tokenizer = make_tokenizer(family)
    config = make_config(family, tokenizer, labels, problem_type)
    config.max_position_embeddings += max_tokens - MAX_TOKENS
    model = getattr(transformers, f"AutoModelFor{kind}").from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
    return save(folder, model, tokenizer)


def save(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def toy_rows(count: int, seed: int, task: str) -> list[dict[str, Any]]:
    """Rows of the toy task: which labels' cue words are in the text (in either part of a pair); of
    heads that read tokens, where they are."""
    chosen = random.Random(seed)
    if task in ("token_labels", "span"):
        return [_marked_row(chosen, task) for _ in range(count)]
    rows = []
    for i in range(count):
        present = chosen.sample(LABELS, 1 if task == "single_label" else chosen.randint(0, 2))
        words = chosen.choices(FILLERS, k=chosen.randint(2, 14))
        for label in present:
            words.insert(chosen.randint(0, len(words)), chosen.choice(CUES[label]))
        cut = chosen.randint(1, len(words) - 1) if i % 4 == 0 else len(words)
        row: dict[str, Any] = {"text": " ".join(words[:cut])}
        if cut < len(words):
            row["pair"] = " ".join(words[cut:])
        if task == "single_label":
            row["label"] = present[0]
        elif task == "multi_label":
            row["labels"] = sorted(present)
        else:
            row["value"] = [float(len(present)), float("joy" in present) - float("fear" in present)]
        rows.append(row)
    return rows


def _marked_row(chosen: random.Random, task: str) -> dict[str, Any]:
    """A text with its cue words marked, or a question and the first label's cue word, if one is in
    the text. (A question that names the label takes more than seconds to learn.)"""
    words: list[tuple[str, str]] = [(w, "") for w in chosen.choices(FILLERS, k=8)]
    for label in chosen.sample(LABELS, chosen.randint(0, 3)):
        words.insert(chosen.randint(0, len(words)), (chosen.choice(CUES[label][1:]), label))
    text = " ".join(word for word, _ in words)
    spans, at = [], 0
    for word, label in words:
        if label and task == "token_labels":
            spans.append([at, at + len(word), label])
        elif label == LABELS[0]:
            spans.append([at, at + len(word)])
        at += len(word) + 1
    row = {"text": text, "targets": {"default": spans}}
    return row | {"pair": "is she happy ?"} if task == "span" else row


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


_PROBLEMS = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
TOY_TAGS = ("O", *(f"{prefix}-{label}" for label in LABELS for prefix in "BI"))
_TUNED = {  # what a checkpoint of a task is, and its labels
    "regression": ("SequenceClassification", ("count", "valence")),
    "token_labels": ("TokenClassification", TOY_TAGS),
    "span": ("QuestionAnswering", ("start", "end")),
}


def write_tuned_checkpoint(folder: Path, family: str, task: str, steps: int = 450) -> Path:
    """A checkpoint fine-tuned on the toy task until it is nearly always right."""
    import torch
    import transformers

    torch.manual_seed(11)
    kind, labels = _TUNED.get(task, ("SequenceClassification", LABELS))
    tokenizer = make_tokenizer(family)
    config = make_config(family, tokenizer, labels, _PROBLEMS.get(task), width=48)
    auto = getattr(transformers, f"AutoModelFor{kind}")
    model = auto.from_config(config).eval()  # trains without dropout
    rows = toy_rows(2048, 1, task)
    pairs = [(r["text"], r.get("pair")) for r in rows]
    if task == "span":  # the question stands first
        pairs = [(question, text) for text, question in pairs]
    encoded = [tokenizer.encode(*pair) for pair in pairs]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    order = torch.Generator().manual_seed(3)
    for _ in range(steps):
        picked = torch.randint(len(rows), (32,), generator=order).tolist()
        width = max(len(encoded[i].ids) for i in picked)
        ids = torch.full((32, width), config.pad_token_id)
        mask = torch.zeros_like(ids)
        types = torch.zeros_like(ids)
        for row, i in enumerate(picked):
            n = len(encoded[i].ids)
            ids[row, :n] = torch.tensor(encoded[i].ids)
            types[row, :n] = torch.tensor(encoded[i].type_ids)
            mask[row, :n] = 1
        extra = {"token_type_ids": types} if family in ("bert", "electra") else {}
        truth = _truth(task, [rows[i] for i in picked], [encoded[i] for i in picked])
        loss = model(ids, attention_mask=mask, **truth, **extra).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return save(folder, model.eval(), tokenizer)


def _truth(task: str, rows: list[dict[str, Any]], encoded: list[Any]) -> dict[str, Any]:
    """What a model of transformers takes as the targets of a batch."""
    import torch

    if task == "regression":
        return {"labels": torch.tensor([row["value"] for row in rows])}
    if task == "single_label":
        return {"labels": torch.tensor([LABELS.index(row["label"]) for row in rows])}
    if task == "multi_label":
        return {
            "labels": torch.tensor([[float(x in row["labels"]) for x in LABELS] for row in rows])
        }
    first_last = torch.zeros(2, len(rows), dtype=torch.long)  # [CLS]: nothing in the text
    tags = torch.full((len(rows), max(len(e.ids) for e in encoded)), -100)
    for i, (row, tokens) in enumerate(zip(rows, encoded, strict=True)):
        second = int(task == "span")
        inside = [k for k, of in enumerate(tokens.sequence_ids) if of == second]
        tags[i, inside] = 0
        for begin, end, *label in row["targets"]["default"]:
            held = [
                k for k in inside if tokens.offsets[k][0] < end and begin < tokens.offsets[k][1]
            ]
            first_last[:, i] = torch.tensor([held[0], held[-1]])
            if label:
                tags[i, held] = TOY_TAGS.index(f"I-{label[0]}")
                tags[i, held[0]] = TOY_TAGS.index(f"B-{label[0]}")
    if task == "span":
        return {"start_positions": first_last[0], "end_positions": first_last[1]}
    return {"labels": tags}


def pooled_heads() -> tuple[HeadSpec, ...]:
    """A multi-label and a regression head."""
    from affectrt.export import HeadSpec

    emotion = HeadSpec(
        "emotion", "multi_label", LABELS, "emotion", (0.4, 0.5, 0.6, 0.5), 1.25, unsure_below=0.3
    )
    return emotion, HeadSpec("vad", "regression", ("valence", "arousal"), "vad")


def heads_of_every_task() -> tuple[HeadSpec, ...]:
    """One head of every task and of every input."""
    from affectrt.export import HeadSpec

    emotion, _ = pooled_heads()
    ranges = ((-1.0, 1.0), (-0.25, 0.25))
    bio = ("O", "B-who", "I-who", "B-when it was", "I-when it was")
    return (
        emotion,
        HeadSpec("mood", "single_label", LABELS, "mood", (0.5, 1.0, 0.125, 1.0), 0.8, input="turn"),
        HeadSpec("level", "ordinal", ("none", "weak", "strong"), "level", input="turn"),
        HeadSpec("vad", "regression", ("valence", "arousal"), "vad", ranges=ranges),
        HeadSpec("slots", "token_labels", bio, "slots"),
        HeadSpec("words", "token_flags", ("er", "ip"), "words", (0.5, 0.4), input="turn"),
        HeadSpec("cause", "multi_label", ("yes",), "cause", (0.4,), input="cause"),
        HeadSpec("cause_span", "span", ("start", "end"), "cause_span", input="cause", margin=0.25),
        HeadSpec("reply", "single_label", LABELS, "reply", input="reply"),
    )


def write_pooled_checkpoint(
    folder: Path,
    pooling: str = "mean",
    family: str = "bert",
    heads: Sequence[HeadSpec] | None = None,
) -> Path:
    """One of our own: an encoder, pooling, heads (those of `pooled_heads` if not given), a card."""
    import torch
    from transformers import AutoModel

    from affectrt.export import PooledEncoder, save_pooled_checkpoint

    torch.manual_seed(13)
    tokenizer = make_tokenizer(family)
    config = make_config(family, tokenizer, LABELS, None)
    extra = {"add_pooling_layer": False} if family == "bert" else {}
    encoder = AutoModel.from_config(config, **extra)
    model = PooledEncoder(encoder, heads or pooled_heads(), pooling).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
    source = folder.parent / f"{folder.name}.tokenizer.json"
    tokenizer.save(str(source))
    card = {
        "description": "Made for tests.",
        "version": "0.0.1",
        "metrics": {"macro_f1": 0.5, "data": "toy", "split": "test"},
        "data": {"train": "0" * 64},
        "recipe": "python -m tests.export_models",
        "licence": {"weights": "CC0-1.0", "non_commercial": False},
    }
    save_pooled_checkpoint(model, folder, source, card)
    return folder

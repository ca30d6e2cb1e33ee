"""Builders of small models for tests: a lexicon without torch, and random BERT / RoBERTa."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

EMOTIONS = [  # those of GoEmotions
    "admiration",
    "amusement",
    "anger",
    "annoyance",
    "approval",
    "caring",
    "confusion",
    "curiosity",
    "desire",
    "disappointment",
    "disapproval",
    "disgust",
    "embarrassment",
    "excitement",
    "fear",
    "gratitude",
    "grief",
    "joy",
    "love",
    "nervousness",
    "optimism",
    "pride",
    "realization",
    "relief",
    "remorse",
    "sadness",
    "surprise",
    "neutral",
]

LEXICON = {
    "happy": {"joy": 4.0},
    "wonderful": {"joy": 3.0, "admiration": 3.0},
    "thank": {"gratitude": 5.0},
    "proud": {"pride": 4.5},
    "brilliant": {"admiration": 3.0, "excitement": 1.5},
    "sad": {"sadness": 4.0},
    "cancelled": {"disappointment": 3.5, "sadness": 1.0},
    "sorry": {"remorse": 5.0},
    "angry": {"anger": 4.0},
    "hate": {"anger": 3.0, "disgust": 1.0},
    "sick": {"annoyance": 4.0},
    "nervous": {"nervousness": 4.0},
    "scared": {"fear": 4.0},
    "afraid": {"fear": 4.0},
    "love": {"love": 4.5},
    "relief": {"relief": 5.0},
    "promised": {"disappointment": 4.0},
    "when": {"curiosity": 3.0},
    "what": {"curiosity": 1.5},
}

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def wordpiece_json(words: Sequence[str]) -> dict[str, Any]:
    """A BERT tokenizer.json over whole `words`."""
    vocab = {token: index for index, token in enumerate((*SPECIAL, *words))}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, token in enumerate(SPECIAL)
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
            ],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocab,
        },
    }


def write_lexicon_onnx(path: Path, outputs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """A graph whose outputs are sums of word scores: name -> (table [vocab, width], bias)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([2], np.int64), "last"),
        numpy_helper.from_array(np.array([1], np.int64), "tokens_axis"),
    ]
    for name, (table, bias) in outputs.items():
        nodes += [
            helper.make_node("Gather", [f"{name}.table", "input_ids"], [f"{name}.rows"]),
            helper.make_node("Mul", [f"{name}.rows", "mask3"], [f"{name}.kept"]),
            helper.make_node(
                "ReduceSum", [f"{name}.kept", "tokens_axis"], [f"{name}.sum"], keepdims=0
            ),
            helper.make_node("Add", [f"{name}.sum", f"{name}.bias"], [name]),
        ]
        constants += [
            numpy_helper.from_array(table.astype(np.float32), f"{name}.table"),
            numpy_helper.from_array(bias.astype(np.float32), f"{name}.bias"),
        ]
    shape = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes,
        "lexicon",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", len(bias)])
            for name, (_, bias) in outputs.items()
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _lexicon_table(labels: Sequence[str], scale: float = 1.0) -> np.ndarray:
    table = np.zeros((len(SPECIAL) + len(LEXICON), len(labels)), np.float32)
    for row, scores in enumerate(LEXICON.values(), start=len(SPECIAL)):
        for label, score in scores.items():
            if label in labels:
                table[row, labels.index(label)] = score * scale
    return table


def write_lexicon_model(
    folder: Path,
    labels: Sequence[str] = EMOTIONS,
    *,
    problem_type: str | None = "multi_label_classification",
    max_tokens: int = 64,
) -> Path:
    """A plain export directory (config.json, tokenizer.json, model.onnx) that knows a few words."""
    folder.mkdir(parents=True)
    labels = list(labels)
    bias = np.full(len(labels), -2.5, np.float32)
    if "neutral" in labels:
        bias[labels.index("neutral")] = -0.5
    write_lexicon_onnx(folder / "model.onnx", {"logits": (_lexicon_table(labels), bias)})
    config: dict[str, Any] = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "max_position_embeddings": max_tokens,
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    if problem_type is not None:
        config["problem_type"] = problem_type
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", wordpiece_json(list(LEXICON)))
    return folder


def write_two_headed_model(folder: Path, *, non_commercial: bool = False) -> Path:
    """A directory with `affectrt.json`: multi-label "emotion" and regression "vad"."""
    folder.mkdir(parents=True)
    emotions = ["joy", "sadness", "anger", "neutral"]
    bias = np.array([-2.0, -2.0, -2.0, 0.25], np.float32)
    vad_table = np.zeros((len(SPECIAL) + len(LEXICON), 3), np.float32)
    vad_table[len(SPECIAL) :, 0] = [
        1.0 if set(scores) & {"joy", "gratitude", "love", "relief", "pride"} else -0.5
        for scores in LEXICON.values()
    ]
    write_lexicon_onnx(
        folder / "model.onnx",
        {
            "emotion": (_lexicon_table(emotions), bias),
            "vad": (vad_table, np.array([3.0, 3.0, 3.0], np.float32)),
        },
    )
    write_json(folder / "tokenizer.json", wordpiece_json(list(LEXICON)))
    write_json(folder / "config.json", {"model_type": "bert", "max_position_embeddings": 64})
    write_json(
        folder / "affectrt.json",
        {
            "format": "affectrt-model",
            "format_version": 1,
            "name": "two-headed",
            "description": "A lexicon for tests.",
            "version": "0.0.1",
            "modality": "text",
            "model": {"family": "bert", "precision": "fp32", "onnx": "model.onnx"},
            "input": {"max_tokens": 64},
            "heads": [
                {
                    "name": "emotion",
                    "task": "multi_label",
                    "output": "emotion",
                    "labels": emotions,
                    "thresholds": [0.5, 0.5, 0.5, 0.6],
                    "calibration": {"temperature": 2.0},
                    "unsure_below": 0.4,
                    "metrics": [{"name": "macro-F1", "value": 0.5, "data": "made up"}],
                },
                {
                    "name": "vad",
                    "task": "regression",
                    "output": "vad",
                    "labels": ["valence", "arousal", "dominance"],
                },
            ],
            "licence": {
                "weights": "CC-BY-NC-4.0" if non_commercial else "Apache-2.0",
                "non_commercial": non_commercial,
                "notice": "Made for tests.",
            },
            "data": [{"name": "none", "split": "none", "licence": "CC0-1.0", "cite": "nobody"}],
            "source": {"checkpoint": "none", "sha256": "0" * 64},
            "parity": None,
            "recipe": "tests/tiny_models.py",
            "files": {
                file.name: {
                    "bytes": file.stat().st_size,
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
                for file in sorted(folder.iterdir())
            },
        },
    )
    return folder


CORPUS = [
    "I can't believe they cancelled it, I was so looking forward to tonight.",
    "Thank you so much, this is the best present that anybody ever gave me!",
    "Leave me alone. I have had enough of your excuses, every single day.",
    "Is there anything left to eat, or did you finish it all without me?",
    "We walked along the harbour and watched the boats come in.",
    "He was frightened of the dark, but he would never have admitted it.",
    "naïve café, straße, Ünïcödé and 東京 — with emoji 😀 as well",
    "It costs 3.50 at the corner shop; I'd pay 4 at most.",
]


def _word_piece_tokenizer(max_tokens: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        CORPUS * 3, trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(SPECIAL))
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_tokens)


def _byte_level_tokenizer(max_tokens: int) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(
        CORPUS * 3,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_tokens,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def write_checkpoint(
    folder: Path,
    kind: str,
    labels: Sequence[str],
    problem_type: str | None,
    *,
    max_tokens: int = 96,
    seed: int = 0,
) -> Path:
    """A randomly initialised "bert" or "roberta" sequence classifier as transformers saves it."""
    import torch
    import transformers

    torch.manual_seed(seed)
    build = _word_piece_tokenizer if kind == "bert" else _byte_level_tokenizer
    tokenizer = build(max_tokens)
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "initializer_range": 0.3,  # wide enough for answers that differ from text to text
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": problem_type,
    }
    if kind == "bert":
        config = transformers.BertConfig(max_position_embeddings=max_tokens, **common)
        model = transformers.BertForSequenceClassification(config)
    else:
        config = transformers.RobertaConfig(
            max_position_embeddings=max_tokens + 2,
            type_vocab_size=1,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            **common,
        )
        model = transformers.RobertaForSequenceClassification(config)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_onnx_graph(folder: Path, checkpoint: Path) -> None:
    """`checkpoint` as folder/model.onnx, output "logits", batch and length free."""
    import torch
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        checkpoint, attn_implementation="eager"
    )
    model.eval()
    takes_types = model.config.model_type == "bert"
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if takes_types else [])
    ids = torch.full((2, 7), 5, dtype=torch.int64)
    mask = torch.ones_like(ids)
    inputs = (ids, mask, torch.zeros_like(ids)) if takes_types else (ids, mask)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            return self.model(input_ids=input_ids, attention_mask=attention_mask, **extra).logits

    folder.mkdir(parents=True, exist_ok=True)
    batch, tokens = torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the exporter are not ours to answer for
        torch.onnx.export(
            Logits().eval(),
            inputs,
            str(folder / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=tuple({0: batch, 1: tokens} for _ in names),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def write_onnx_export(folder: Path, checkpoint: Path, graph: Path) -> None:
    """What optimum would make of `checkpoint`: model.onnx beside its config and tokenizer."""
    folder.mkdir(parents=True)
    shutil.copy(graph / "model.onnx", folder / "model.onnx")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / name, folder / name)

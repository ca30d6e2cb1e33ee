"""config.json of plain exports, read as transformers reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models

from affectrt import _core
from affectrt.errors import ModelFileError
from affectrt.loading import find_onnxruntime


def reference(name: str) -> Any:
    """The library `name`; CI must have it."""
    if os.environ.get("CI"):
        return __import__(name)
    return pytest.importorskip(name)


TASKS = {
    "regression": "regression",
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
}


def read(folder: Path, config: dict[str, Any], width: int, **tokenizer: Any) -> dict[str, Any]:
    """What affectrt makes of `config` beside a graph with `width` logits."""
    reference("onnx")
    folder.mkdir(exist_ok=True)
    tiny_models.write_json(folder / "config.json", config)
    tiny_models.write_json(folder / "tokenizer_config.json", tokenizer)
    tiny_models.write_json(folder / "tokenizer.json", tiny_models.wordpiece_json(["a"]))
    table = np.zeros((len(tiny_models.SPECIAL) + 1, width), np.float32)
    tiny_models.write_lexicon_onnx(folder / "model.onnx", {"logits": (table, table[0])})
    model = _core.Model.load(str(folder), onnxruntime_library=find_onnxruntime())
    manifest = json.loads(model.manifest_json)
    assert isinstance(manifest, dict)
    return manifest


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"num_labels": 1},
        {"num_labels": 5},
        {"id2label": None},
        {"id2label": None, "num_labels": 4},
        {"id2label": {"0": "no", "1": "yes"}},
        {"id2label": {"1": "yes", "0": "no"}},
        {"id2label": {str(i): f"l{i}" for i in (10, 2, 11, 0, 1, 3, 4, 5, 9, 8, 7, 6)}},
        {"id2label": {"0": "same", "1": "same"}},
        {"id2label": {"0": "", "1": "émotion \u4e2d"}},
        {"id2label": {"0": "a", "1": "b"}, "num_labels": 2},
        {"id2label": {"0": "a", "1": "b"}, "num_labels": 3},
        {"id2label": {"0": "a", "1": "b", "2": "c"}, "num_labels": 1},
        {"id2label": {"0": "a", "1": "b"}, "label2id": {"x": 0, "y": 1}},
        {"id2label": {"0": "score"}},
        {"_num_labels": 7},
        {"problem_type": None},
        {"problem_type": "regression"},
        {"problem_type": "regression", "num_labels": 3},
        {"problem_type": "single_label_classification"},
        {"problem_type": "multi_label_classification"},
        {"problem_type": "multi_label_classification", "num_labels": 1},
        {"model_type": "bart"},
        {"model_type": "bart", "num_labels": 5},
        {"model_type": "distilbert", "num_labels": 4},
        {"model_type": "xlm-roberta", "id2label": {"0": "a", "1": "b", "2": "c"}},
    ],
    ids=json.dumps,
)
def test_labels_and_task_are_those_of_transformers(fields: dict[str, Any], tmp_path: Path) -> None:
    transformers = reference("transformers")
    config = {"model_type": "bert", **fields}
    tiny_models.write_json(tmp_path / "config.json", config)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    ours = read(tmp_path, config, theirs.num_labels)
    [head] = ours["heads"]
    assert head["labels"] == [theirs.id2label[i] for i in range(theirs.num_labels)]
    if theirs.problem_type is not None:
        assert head["task"] == TASKS[theirs.problem_type]
    else:
        assert head["task"] == ("regression" if theirs.num_labels == 1 else "single_label")
    assert ours["family"] == config["model_type"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id2label": {"0": "a", "2": "b"}}, "without gaps"),
        ({"id2label": {"1": "a", "2": "b"}}, "without gaps"),
        ({"id2label": {"-1": "a", "0": "b"}}, "number of a logit"),
        ({"id2label": {"zero": "a", "one": "b"}}, "number of a logit"),
        ({"id2label": {"0": None, "1": "b"}}, "a string"),
        ({"id2label": {}}, "0 labels"),
        ({"id2label": ["a", "b"]}, "an object"),
        ({"num_labels": 0}, "num_labels"),
        ({"num_labels": None}, "num_labels"),
        ({"num_labels": "2"}, "num_labels"),
        ({"num_labels": 1 << 40}, "num_labels"),
        ({"problem_type": "multi-label"}, "problem_type"),
        ({"problem_type": "single_label_classification", "num_labels": 1}, "two labels or more"),
    ],
)
def test_what_fails_or_would_fail_in_transformers(
    fields: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelFileError, match=rf"config\.json: .*{expected}"):
        read(tmp_path, {"model_type": "bert", **fields}, 2)


SMALL = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
SMALL |= {"vocab_size": 30, "max_position_embeddings": 20, "num_labels": 2}
DISTIL = {"dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 8, "vocab_size": 30}
GPT = {
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 1,
    "n_positions": 20,
    "vocab_size": 30,
    "pad_token_id": 1,
}


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("bert", {}),
        ("electra", {"embedding_size": 8}),
        ("distilbert", {**DISTIL, "max_position_embeddings": 20}),
        ("albert", {"embedding_size": 8}),
        ("roberta", {}),
        ("roberta", {"pad_token_id": 0}),
        ("roberta", {"pad_token_id": 5}),
        ("xlm-roberta", {}),
        ("camembert", {}),
        ("roberta-prelayernorm", {}),
        ("mpnet", {}),
        ("mpnet", {"pad_token_id": 0}),
        ("deberta", {"position_biased_input": True}),
        ("deberta-v2", {"position_biased_input": True}),
        ("ibert", {}),
        ("gpt2", GPT),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_the_longest_row_is_the_longest_that_the_encoder_takes(
    family: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    transformers, torch = reference("transformers"), reference("torch")
    config = {"model_type": family, **({} if family in ("distilbert", "gpt2") else SMALL), **fields}
    # The class defaults of token ids can lie beyond so small a vocabulary.
    small_ids = {"bos_token_id": 0, "eos_token_id": 2}
    theirs = transformers.AutoConfig.for_model(**{**small_ids, **config})
    model = transformers.AutoModelForSequenceClassification.from_config(theirs).eval()
    longest = read(tmp_path, config, 2)["max_tokens"]
    token = 7  # no padding

    def run(tokens: int) -> Any:
        rows = torch.full((1, tokens), token)
        with torch.no_grad():
            return model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits

    assert run(longest).shape == (1, 2)
    with pytest.raises((IndexError, RuntimeError)):
        run(longest + 1)


def test_relative_positions_have_the_tokenizer_s_bound(tmp_path: Path) -> None:
    config = {
        "model_type": "deberta-v2",
        "relative_attention": True,
        "position_biased_input": False,
        "max_position_embeddings": 512,
    }
    assert read(tmp_path, config, 2, model_max_length=1024)["max_tokens"] == 1024
    assert read(tmp_path, config, 2, model_max_length=int(1e30))["max_tokens"] == 512
    assert read(tmp_path, config, 2)["max_tokens"] == 512


def test_the_tokenizer_s_bound_is_never_above_the_encoder_s(tmp_path: Path) -> None:
    config = {"model_type": "bert", "max_position_embeddings": 64}
    for length, expected in ((32, 32), (64, 64), (65, 64), (int(1e30), 64), (0, 64), (None, 64)):
        assert read(tmp_path, config, 2, model_max_length=length)["max_tokens"] == expected

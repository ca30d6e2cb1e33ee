"""Linear probes on a layer of a decoder language model, against transformers."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
import torch
from conftest import Made

import affectrt
from affectrt.errors import ExportError
from affectrt.export import Source, attach_heads, export_checkpoint, make_head, read_probe, verify

LAYERS, WIDTH = 3, 32
TEXTS = ["I was so happy, furious and afraid today.", "no", "naïve café 東京 😀", "the train " * 20]


pytestmark = pytest.mark.usefixtures("one_thread")


def write_decoder(folder: Path, family: str) -> Path:
    """A random causal language model, with a byte-level BPE as its like have it."""
    import transformers as t
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    torch.manual_seed(9)
    tokenizer = Tokenizer(models.BPE())
    split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split + r"|\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(em.CORPUS * 3, trainer)
    shape = {
        "vocab_size": tokenizer.get_vocab_size(), "hidden_size": WIDTH, "intermediate_size": 64,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    if family == "qwen2":  # its last layer sees near tokens alone
        shape |= {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": LAYERS - 1}
        config: Any = t.Qwen2Config(**shape)
    elif family == "mistral":  # all of its layers do
        config = t.MistralConfig(**shape, sliding_window=8)
    elif family == "qwen3":  # norms of queries and keys, heads wider than their share
        config = t.Qwen3Config(**shape, head_dim=16)
    else:
        config = t.LlamaConfig(**shape)
    model = t.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.2)
            elif name.endswith("norm.weight"):  # one that tells where the final norm is
                parameter.uniform_(0.5, 1.5)
    return em.save(folder, model, tokenizer)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("probe") / "probe.npz"
    random = np.random.default_rng(5)
    np.savez(file, coef=random.normal(size=(4, WIDTH)), intercept=random.normal(size=4),
             classes=np.asarray(em.LABELS))  # fmt: skip
    return file


@pytest.mark.parametrize(
    ("family", "layer", "pooling", "precision"),
    [
        ("qwen2", None, "mean", "fp32"),
        ("qwen2", 2, "last", "fp32"),
        ("llama", 1, "mean", "fp16"),
        ("mistral", 2, "last", "fp32"),
        ("qwen3", None, "mean", "fp32"),
    ],
)
def test_probes_read_the_states_of_a_layer(
    made: Made, probe: Path, tmp_path: Path, family: str, layer: int | None, pooling: str,
    precision: str,
) -> None:  # fmt: skip
    from transformers import AutoModelForCausalLM

    folder = made(f"decoder_{family}", lambda out: write_decoder(out, family))
    source = Source(folder, probe=probe, layer=layer, pooling=pooling)
    out = tmp_path / "x.affect"
    report = export_checkpoint(source, out, precision=precision)
    assert [(h.head, h.backend) for h in report.heads] == [("probe", "onnxruntime")]
    assert report.tokens.equal == report.tokens.rows
    model = affectrt.load(out)
    assert model.labels() == em.LABELS
    arrays = np.load(probe)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    rows = []
    for text in TEXTS:
        ids = torch.from_numpy(model.tokenizer.encode(text).ids.astype(np.int64))[None, :64]
        with torch.inference_mode():
            states = network(ids, output_hidden_states=True).hidden_states
        picked = states[LAYERS if layer is None else layer][0].numpy()
        vector = picked[-1] if pooling == "last" else picked.mean(0)
        rows.append(vector @ arrays["coef"].T + arrays["intercept"])
    atol = 2e-3 if precision == "fp32" else 5e-2
    np.testing.assert_allclose(model.predict_logits(TEXTS), rows, atol=atol, rtol=1e-3)
    if (family, layer) == ("qwen2", 2):
        assert verify(out, source).differences == ()
        assert f"--pooling {pooling}" in report.command


def test_what_a_decoder_is_not(made: Made, probe: Path, tmp_path: Path) -> None:
    folder = made("decoder_llama", lambda out: write_decoder(out, "llama"))
    out = tmp_path / "x.affect"
    with pytest.raises(ExportError, match="is a language model; put a linear probe"):
        export_checkpoint(folder, out)
    with pytest.raises(ExportError, match="pooling 'cls': llama reads from left to right"):
        export_checkpoint(Source(folder, probe=probe, pooling="cls"), out)
    with pytest.raises(ExportError, match=r"layer 4: .* has layers 1 to 3"):
        export_checkpoint(Source(folder, probe=probe, layer=4), out)
    with pytest.raises(ExportError, match="native engine does not compute model_type 'llama'"):
        export_checkpoint(Source(folder, probe=probe), out, engines=["native"])
    bert = made("export_bert", lambda made_at: em.write_random_checkpoint(made_at, "bert"))
    with pytest.raises(ExportError, match="pooling 'last': bert reads in both directions"):
        attach_heads(bert, [read_probe(probe)], tmp_path / "out", pooling="last")
    own = make_head(
        "x", "single_label", em.LABELS, np.ones((4, WIDTH)), np.zeros(4), pooling="last"
    )
    attach_heads(folder, [own], tmp_path / "own")
    with pytest.raises(ExportError, match="which only the whole model may have"):
        export_checkpoint(tmp_path / "own", out)
    assert not out.exists()

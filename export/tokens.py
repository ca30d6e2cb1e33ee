"""The checkpoint's own tokenizer, as the reference for token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

from affectrt.errors import ExportError

from .checkpoint import LoadedCheckpoint
from .data import ParityData
from .onnx_export import network_config


def read_tokenizer(checkpoint: LoadedCheckpoint) -> Tokenizer:
    """``tokenizer.json`` without its padding and truncation.

    Those sections are settings of the run that saved it (all-MiniLM's cuts at 128 tokens and pads
    to them, for instance); affectrt truncates at the model's `max_tokens` and never pads a text.

    Raises:
        ExportError: Hugging Face `tokenizers` cannot read the file, or it has ids that the
            network's embedding table has no row for.
    """
    try:
        tokenizer = Tokenizer.from_file(str(checkpoint.tokenizer_json))
    except Exception as error:  # tokenizers raises Exception itself
        raise ExportError(f"{checkpoint.path / 'tokenizer.json'} cannot be read: {error}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = int(network_config(checkpoint).vocab_size)
    beyond = [(i, t) for t, i in tokenizer.get_vocab(with_added_tokens=True).items() if i >= rows]
    if beyond:
        number, token = min(beyond)
        raise ExportError(
            f"{checkpoint.path}: tokenizer.json has {len(beyond)} tokens beyond the embedding "
            f"table of {rows} rows, the first of them {token!r} with id {number}: it belongs to "
            "another checkpoint, or tokens were added without resizing the embeddings"
        )
    return tokenizer


def encode_inputs(data: ParityData) -> list[Any]:
    """The rows as `tokenizers` takes them: texts, and pairs as tuples, a question first."""
    return [first if second is None else (first, second) for first, second in data.segments()]


def tokenizer_note(
    checkpoint: LoadedCheckpoint, data: ParityData, ids: Sequence[Sequence[int]]
) -> str | None:
    """A remark where transformers itself would tokenize otherwise than ``tokenizer.json`` says.

    AutoTokenizer applies ``tokenizer_config.json`` and rules of its classes on top. A model file
    follows ``tokenizer.json`` alone; whoever fine-tuned through AutoTokenizer wants to know.
    """
    from transformers import AutoTokenizer

    try:
        wrapper = AutoTokenizer.from_pretrained(
            checkpoint.tokenizer_json.parent, local_files_only=True, trust_remote_code=False
        )
        tokenizer = wrapper.backend_tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        encodings = tokenizer.encode_batch(encode_inputs(data))
    except Exception:  # a directory that AutoTokenizer cannot read has no second opinion
        return None
    different = [i for i, e in enumerate(encodings) if tuple(e.ids) != tuple(ids[i])]
    if not different:
        return None
    text = data.rows[different[0]].text
    shown = text if len(text) <= 60 else text[:59] + "…"
    return (
        f"transformers' {type(wrapper).__name__} gives other token ids than tokenizer.json on "
        f"{len(different)} of {len(encodings)} rows, such as {shown!r}; the model file follows "
        "tokenizer.json"
    )

"""Vocabulary pruning: a model file without the embeddings of tokens that a corpus has not.

The tokenizer stays whole, and so do the ids: a text is cut as before. Rows of the token table that
are left out go to a file of their own, ``X.affect.rows``. A text that needs one of them is answered
bit by bit as the whole model would where that file lies beside ``X.affect`` (the native engine maps
it and reads a row when a text first asks for it), and is refused where it does not.
"""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, save
from tokenizers import pre_tokenizers

from affectrt.errors import ExportError, NotFoundError

from .checkpoint import LoadedCheckpoint
from .onnx_export import network_config
from .tokens import read_tokenizer

ROWS_SUFFIX = ".rows"
_TABLES = ("embeddings.word_embeddings.weight", "embeddings.tok_embeddings.weight")
_BATCH = 1000  # texts that are tokenised at once
# What affectrt itself writes into the second segment of a row, beside names of emotions.
_OWN_WORDS = (
    "self: other: this personality: openness conscientiousness extraversion agreeableness "
    "neuroticism 1 2 3 4 5 6 7"
)


@dataclass(frozen=True)
class Vocabulary:
    """Which tokens keep their embeddings, and why."""

    kept: npt.NDArray[np.int32]  # ids, ascending
    size: int  # of the whole
    corpus: str
    corpus_sha256: str
    texts: int

    def to_manifest(self, other_rows: bytes) -> dict[str, Any]:
        """As ``x-vocabulary`` of ``affectrt.json``; `other_rows` is the file that `split_rows` gave
        as the second."""
        return {
            "kept": len(self.kept),
            "of": self.size,
            "corpus": self.corpus,
            "corpus_sha256": self.corpus_sha256,
            "corpus_texts": self.texts,
            "rows_sha256": hashlib.sha256(other_rows).hexdigest(),
        }

    def lacking(self, rows: Iterable[Sequence[int]]) -> int:
        """How many of some rows of token ids need another token."""
        return sum(not np.isin(np.asarray(ids, np.int64), self.kept).all() for ids in rows)

    def note(self, rows: Sequence[Sequence[int]], rows_file: str) -> str:
        """For the parity report, which is of those rows."""
        return (
            f"the vocabulary is pruned to {len(self.kept)} of {self.size} tokens: those of "
            f"{self.corpus} ({self.texts} texts, SHA-256 {self.corpus_sha256}) and special ones. "
            f"{self.lacking(rows)} of the {len(rows)} rows need others, which are in {rows_file}; "
            "without it such texts are refused"
        )


def prune_to(checkpoint: LoadedCheckpoint, corpus: Path) -> Vocabulary:
    """The tokens that `corpus` has; beside them special and added ones, single bytes and letters,
    and those of the words that affectrt writes into rows itself.

    Args:
        corpus: a text a line or, where its name ends with ``.jsonl``, rows ``{"text", "pair"?,
            "context"?}`` as of parity data.

    Raises:
        NotFoundError: no such file.
        ExportError: it is not such a file, or has no text.
    """
    content = _read(corpus)
    tokenizer = read_tokenizer(checkpoint)
    size = int(network_config(checkpoint).vocab_size)
    seen = np.zeros(size, bool)
    count = 0

    def add(texts: list[str]) -> None:
        for encoding in tokenizer.encode_batch(texts):
            seen[encoding.ids] = True

    batch: list[str] = []
    for text in _texts(corpus, content):
        batch.append(text)
        count += 1
        if len(batch) == _BATCH:
            add(batch)
            batch = []
    if not count:
        raise ExportError(f"{corpus}: has no text to take a vocabulary from")
    labels = {label for head in checkpoint.heads for label in head.labels}
    own = [_OWN_WORDS, *sorted(labels)] if any(h.input != "text" for h in checkpoint.heads) else []
    add([*batch, *own, ""])
    seen[sorted(tokenizer.get_added_tokens_decoder())] = True
    config = checkpoint.config
    special = [v for k, v in config.items() if k.endswith("_token_id") and isinstance(v, int)]
    seen[[i for i in special if 0 <= i < size]] = True
    unknown = getattr(tokenizer.model, "unk_token", None)
    bytes_and_letters = {*string.printable, *pre_tokenizers.ByteLevel.alphabet()}
    for token, number in tokenizer.get_vocab(with_added_tokens=True).items():
        piece = token.removeprefix("##").removeprefix("\u2581")
        is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
        if piece in bytes_and_letters or is_byte or token in ("\u2581", unknown):
            seen[number] = True
    return Vocabulary(
        kept=np.flatnonzero(seen).astype(np.int32),
        size=size,
        corpus=corpus.name,
        corpus_sha256=hashlib.sha256(content).hexdigest(),
        texts=count,
    )


def split_rows(weights: bytes, vocabulary: Vocabulary) -> tuple[bytes, bytes]:
    """``weights.safetensors`` with the rows of `vocabulary`, and the file with the others.

    Each has the table's rows, in whatever precision they are, in the order of ``NAME.rows`` int32
    ``[n]``; the second says in its metadata which weights it belongs to.

    Raises:
        ExportError: weights without a table of that many tokens.
    """
    tensors = load(weights)
    names = [
        name for name, tensor in tensors.items()
        if name.endswith(_TABLES) and len(tensor) == vocabulary.size
    ]  # fmt: skip
    if not names:
        raise ExportError(f"the weights have no table of embeddings of {vocabulary.size} tokens")
    name = names[0]
    is_kept = torch.zeros(vocabulary.size, dtype=torch.bool)
    is_kept[torch.from_numpy(vocabulary.kept.astype(np.int64))] = True
    table = {key: tensors.pop(key) for key in (name, f"{name}.scale") if key in tensors}

    def part(picked: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = {key: tensor[picked].contiguous() for key, tensor in table.items()}
        numbers = picked.nonzero().flatten()
        return {**rows, f"{name}.rows": numbers.to(torch.int32)}

    own = bytes(save({**tensors, **part(is_kept)}, _metadata(weights)))
    belongs = {"affectrt.rows_of": hashlib.sha256(own).hexdigest()}
    return own, bytes(save(part(~is_kept), belongs))


def _metadata(weights: bytes) -> dict[str, str]:
    length = int.from_bytes(weights[:8], "little")
    found = json.loads(weights[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(value) for key, value in found.items()}


def _read(corpus: Path) -> bytes:
    try:
        return corpus.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"{corpus}: no such corpus") from None
    except OSError as error:
        raise ExportError(f"{corpus}: cannot be read: {error.strerror or error}") from None


def _texts(corpus: Path, content: bytes) -> Iterator[str]:
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{corpus}, line {number}"
        try:
            text = line.decode("utf-8")
            if corpus.suffix != ".jsonl":
                yield text
                continue
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ExportError(f"{where}: is no text in UTF-8, or no JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ExportError(f'{where}: must be an object with a string "text"')
        yield row["text"]
        if isinstance(row.get("pair"), str):
            yield row["pair"]
        for turn in row["context"] if isinstance(row.get("context"), list) else ():
            for key in ("tag", "text"):
                if isinstance(turn, dict) and isinstance(turn.get(key), str):
                    yield turn[key]

"""Tokenizers: text to token ids with character offsets, as the checkpoint's own tokenizer does it.

`Tokenizer` reads the `tokenizer.json` of Hugging Face `tokenizers` and gives the same ids, type ids
and offsets. What a file asks for that is not done is a `TokenizerError` that names it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from . import _core
from ._core import Encoding
from .errors import NotFoundError

__all__ = ["Encoding", "Tokenizer"]

TextLike = str | bytes
TruncationStrategy = Literal["none", "longest_first", "only_first", "only_second"]
Side = Literal["right", "left"]


class Tokenizer:
    """Turns texts into token ids. Immutable, and safe to use from many threads.

    `Tokenizer.from_file` opens one; `Model.tokenizer` is that of a model.
    """

    __slots__ = ("_core",)

    def __init__(self, core: _core.Tokenizer) -> None:
        self._core = core

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Reads a `tokenizer.json`, a directory that has one, or the one in a `.affect` file.

        Raises `NotFoundError` when there is none, `TokenizerError` when it is damaged or asks for
        something that is not done, `ModelFileError` when the model file is damaged.
        """
        file = Path(path)
        if file.is_dir():
            file = file / "tokenizer.json"
        if file.suffix == ".affect":
            return cls(_core.Tokenizer.from_bundle(str(file)))
        try:
            json = file.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise NotFoundError(f"cannot read the tokenizer '{file}': {reason}") from error
        return cls(_core.Tokenizer.from_json(json, f"'{file}'"))

    @classmethod
    def from_json(cls, json: TextLike, origin: str = "tokenizer.json") -> Tokenizer:
        """The tokenizer that `json`, the text of a `tokenizer.json`, describes.

        `origin` names the text in errors. Raises `TokenizerError` as `from_file` does.
        """
        data = json.encode("utf-8", "surrogatepass") if isinstance(json, str) else json
        return cls(_core.Tokenizer.from_json(data, origin))

    def encode(
        self,
        text: TextLike,
        pair: TextLike | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: TruncationStrategy = "none",
        max_tokens: int = 0,
        stride: int = 0,
        keep_overflowing: bool = False,
        truncation_side: Side = "right",
        with_offsets: bool = True,
    ) -> Encoding:
        """The tokens of `text` (str, or UTF-8 bytes), or of the pair of it and `pair`.

        The result unpacks into two: `ids, offsets = tokenizer.encode(text)`.

        `truncation` says which of the two texts is cut when there are more than `max_tokens`
        tokens, special ones included; `truncation_side` at which end. What is cut off comes back
        in `Encoding.overflowing` if `keep_overflowing`, as windows that overlap by `stride`
        tokens. The sections "truncation" and "padding" of the file are not applied by themselves:
        see `file_truncation`. `with_offsets=False` is faster.

        Raises `InputError` when a text is not valid Unicode or cannot be cut that far.
        """
        return self._core.encode(
            text,
            pair,
            add_special_tokens=add_special_tokens,
            truncation=truncation,
            max_tokens=max_tokens,
            stride=stride,
            keep_overflowing=keep_overflowing,
            truncation_side=truncation_side,
            with_offsets=with_offsets,
        )

    def encode_batch(
        self,
        texts: Sequence[TextLike | tuple[TextLike, TextLike]],
        *,
        num_threads: int = 1,
        add_special_tokens: bool = True,
        truncation: TruncationStrategy = "none",
        max_tokens: int = 0,
        stride: int = 0,
        keep_overflowing: bool = False,
        truncation_side: Side = "right",
        with_offsets: bool = True,
    ) -> list[Encoding]:
        """`encode` for a list of texts, or of (text, pair), on up to `num_threads` threads.

        Nothing is padded. An error names the number of its text, counted from 0.
        """
        return self._core.encode_batch(
            texts,
            num_threads,
            add_special_tokens=add_special_tokens,
            truncation=truncation,
            max_tokens=max_tokens,
            stride=stride,
            keep_overflowing=keep_overflowing,
            truncation_side=truncation_side,
            with_offsets=with_offsets,
        )

    def token_to_id(self, token: str) -> int | None:
        """The id of `token`, or None where the vocabulary lacks it."""
        return self._core.token_to_id(token)

    def id_to_token(self, id: int) -> str:
        """The token with this id. Raises `InputError` where there is none."""
        return self._core.id_to_token(id)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, added ones included."""
        return self._core.vocab_size

    @property
    def file_truncation(self) -> tuple[str, int, int, str]:
        """What the file's "truncation" section asks for: (truncation, max_tokens, stride,
        truncation_side) as `encode` takes them; ("none", 0, 0, "right") where it asks for none.
        """
        return self._core.file_truncation

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab_size} tokens)"

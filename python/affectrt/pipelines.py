"""`pipeline("text-classification")` with the shapes and numbers of transformers' own.

What comes back, as in transformers 5 (`TextClassificationPipeline`), where S is one
`{"label", "score"}` dict of the best label and L the list of such dicts, best first:

| input                  | no top_k at all | top_k when made | top_k in the call |
|------------------------|-----------------|-----------------|-------------------|
| "text"                 | [S]             | [L]             | L                 |
| {"text", "text_pair"}  | S               | L               | L                 |
| a list of n of these   | [S, ...] (n)    | [L, ...] (n)    | [L, ...] (n)      |
| a generator            | an iterator over what a list would give             |||

and `[[["text", "pair"]]]`, an old spelling of a list with one pair, is understood as well.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from .errors import InputError
from .inputs import rows_of
from .loading import load_text
from .model import FloatArray, Model
from .source_config import source_config

Scored: TypeAlias = dict[str, Any]  # {"label": str, "score": float}

_TASKS = ("text-classification", "sentiment-analysis")
_FUNCTIONS = ("sigmoid", "softmax", "none")
_TRUNCATIONS = (True, "longest_first")
_GENERATOR_ROWS = 64  # rows of a generator that are answered together


class _NotGiven:
    """`top_k=None` means "all labels", so that "not given" needs a value of its own."""

    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN: Final = _NotGiven()
TopK: TypeAlias = int | _NotGiven | None


def _sigmoid(logits: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # exp overflows to inf, and the quotient to the right 0
        scores: FloatArray = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return scores


def _softmax(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return scores


def _checked_function(value: str | None) -> str | None:
    if value is None or value == "default":
        return None
    if not isinstance(value, str) or value.lower() not in _FUNCTIONS:
        raise InputError(
            f"function_to_apply is {value!r}; give one of: {', '.join(_FUNCTIONS)}, or None"
        )
    return value.lower()


def _checked_top_k(value: TopK) -> TopK:
    if isinstance(value, int | _NotGiven) or value is None:
        return value
    raise InputError(f"top_k is {type(value).__name__}; give an int, or None for all labels")


def _row(value: Any, where: str) -> Any:
    """One element in the spellings that transformers takes."""
    if isinstance(value, str | Mapping):
        return value
    if isinstance(value, list | tuple):
        if isinstance(value, list) and len(value) == 1:
            inner = value[0]
            if isinstance(inner, list) and len(inner) == 2:
                return (inner[0], inner[1])
        raise InputError(
            f'{where} is a {type(value).__name__}; give a pair as {{"text": ..., "text_pair": ...}}'
        )
    return value  # rows_of says what is wrong with it


class TextClassificationPipeline:
    """Made by `affectrt.pipeline`. Safe to call from many threads."""

    task: Literal["text-classification"] = "text-classification"

    def __init__(
        self,
        model: Model,
        *,
        head: str | None = None,
        top_k: TopK = NOT_GIVEN,
        function_to_apply: str | None = None,
        truncation: bool | str | None = None,
        max_length: int | None = None,
    ) -> None:
        self.model = model
        self._head = head
        self._labels = model.labels(head)
        self._task = model.info.heads[model.heads.index(head) if head is not None else 0].task
        self._top_k = _checked_top_k(top_k)
        self._function = _checked_function(function_to_apply)
        self._cut = self._checked_truncation(truncation, max_length)
        config = source_config(model.info.path) if self._task == "regression" else {}
        # One label without a problem type: transformers trains a regression, yet answers with a
        # sigmoid (TextClassificationPipeline.postprocess).
        self._default_sigmoid = (
            self._task == "regression"
            and len(self._labels) == 1
            and bool(config)
            and config.get("problem_type") != "regression"
        )

    @property
    def tokenizer(self) -> Any:
        return self.model.tokenizer

    def _checked_truncation(self, truncation: bool | str | None, max_length: int | None) -> int:
        """The length in tokens at which texts are cut; 0 when they are not."""
        limit = self.model.info.max_tokens
        if max_length is not None and (
            not isinstance(max_length, int) or not 0 < max_length <= limit
        ):
            raise InputError(
                f"max_length is {max_length!r}; this model takes from 1 to {limit} tokens"
            )
        if truncation is None:  # transformers lets a length given alone mean that it is wanted
            truncation = max_length is not None
        if truncation in (False, "do_not_truncate"):
            return 0
        if truncation in _TRUNCATIONS:
            return max_length or limit
        raise InputError(f'truncation is {truncation!r}; give True, "longest_first", False or None')

    def __call__(
        self,
        inputs: Any,
        *,
        top_k: TopK = NOT_GIVEN,
        function_to_apply: str | None = None,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        batch_size: int | None = None,
        num_workers: int | None = None,
    ) -> Any:
        """Classifies a str, a `{"text", "text_pair"}` dict, a list of these, or a generator.

        `top_k`: how many labels to return, `None` for all. `function_to_apply`: "sigmoid",
        "softmax" or "none" on the raw logits; by default what the head's task asks for, with the
        model's calibration. `truncation=True` cuts texts that are too long; without it they are
        an `InputError`. `batch_size` and `num_workers` are accepted and have no effect: rows are
        batched by length, and answers do not depend on it. `max_length` is the length in tokens,
        special ones included, at which truncation cuts; by default what the model takes.
        """
        call_top_k = _checked_top_k(top_k)
        legacy_call = isinstance(call_top_k, _NotGiven)
        wanted = self._top_k if legacy_call else call_top_k
        function = _checked_function(function_to_apply) or self._function
        cut = self._cut
        if truncation is not None or max_length is not None:
            cut = self._checked_truncation(truncation, max_length)

        if isinstance(inputs, GeneratorType):
            return self._stream(inputs, wanted, function, cut)
        if isinstance(inputs, list):
            rows = [_row(value, f"inputs[{index}]") for index, value in enumerate(inputs)]
            return self._answers(rows, wanted, function, cut)
        if isinstance(inputs, str | Mapping):
            answer = self._answers([inputs], wanted, function, cut)[0]
            return [answer] if isinstance(inputs, str) and legacy_call else answer
        raise InputError(
            f"inputs is {type(inputs).__name__}; give a str, "
            '{"text": ..., "text_pair": ...}, or a list of these'
        )

    def _stream(
        self, inputs: Iterator[Any], top_k: TopK, function: str | None, cut: int
    ) -> Iterator[Any]:
        numbered = enumerate(inputs)
        while block := list(itertools.islice(numbered, _GENERATOR_ROWS)):
            rows = [_row(value, f"inputs[{index}]") for index, value in block]
            yield from self._answers(rows, top_k, function, cut)

    def _answers(
        self, values: Sequence[Any], top_k: TopK, function: str | None, cut: int
    ) -> list[Any]:
        rows = rows_of(values, argument="inputs", allow_empty=True)
        head = self.model._head_index(self._head)
        prediction = self.model._predict(rows, [head], None, cut)
        if not cut:
            too_long = np.flatnonzero(prediction.truncated)
            if too_long.size:
                row = int(too_long[0])
                raise InputError(
                    f"inputs[{row}] has {int(prediction.token_counts[row])} tokens and the model "
                    f"takes {self.model.info.max_tokens}; shorten it or give truncation=True"
                )
        scores = self._activated(prediction.heads[0], function)
        if isinstance(top_k, _NotGiven):
            best = scores.argmax(axis=1).tolist() if len(scores) else []
            return [
                {"label": self._labels[index], "score": row[index].item()}
                for index, row in zip(best, scores, strict=True)
            ]
        return [self._ranked(row, top_k) for row in scores.tolist()]

    def _activated(self, head: Any, function: str | None) -> FloatArray:
        logits: FloatArray = head.logits
        if function is None:
            if self._default_sigmoid:
                return _sigmoid(logits)
            scores: FloatArray = head.scores
            return scores
        if function == "sigmoid":
            return _sigmoid(logits)
        return _softmax(logits) if function == "softmax" else logits

    def _ranked(self, scores: Iterable[float], top_k: int | None) -> list[Scored]:
        ranked: list[Scored] = [
            {"label": label, "score": score}
            for label, score in zip(self._labels, scores, strict=True)
        ]
        ranked.sort(key=lambda entry: entry["score"], reverse=True)
        return ranked if top_k is None else ranked[:top_k]

    def __repr__(self) -> str:
        return f"<affectrt.TextClassificationPipeline of {self.model!r}>"


def pipeline(
    task: str = "text-classification",
    model: Model | str | os.PathLike[str] | None = None,
    *,
    head: str | None = None,
    top_k: TopK = NOT_GIVEN,
    function_to_apply: str | None = None,
    truncation: bool | str | None = None,
    max_length: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    num_threads: int | None = None,
    providers: Sequence[str] | None = None,
) -> TextClassificationPipeline:
    """A stand-in for `transformers.pipeline("text-classification")`.

    `model` is a loaded `Model` or what `affectrt.load` takes; `head` picks one of several heads.
    The other arguments are those of a call, as defaults for all calls, and those of `load`.
    Differences from transformers: a text that is too long is an `InputError` that says so, an
    empty list gives an empty list, and there is no `device`: say `providers`.
    """
    if task not in _TASKS:
        raise InputError(f"task is {task!r}; give one of: {', '.join(_TASKS)}")
    if not isinstance(model, Model):
        model = load_text(model, backend=backend, num_threads=num_threads, providers=providers)
    return TextClassificationPipeline(
        model,
        head=head,
        top_k=top_k,
        function_to_apply=function_to_apply,
        truncation=truncation,
        max_length=max_length,
    )

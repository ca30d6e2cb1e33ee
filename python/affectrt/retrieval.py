"""Labelled examples that are like a text: search by embedding, and scores blended with a head's.

After PRC-Emo (Li et al. 2025, retrieval of labelled utterances beside a fine-tuned model) and
kNN-LM's interpolation (Khandelwal et al. 2020).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InputError, NotFoundError, UnsupportedError
from .inputs import TextLike, _kind, rows_of
from .results import Heads, Result

if TYPE_CHECKING:
    from .model import Model

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Library = Literal["numpy", "usearch", "faiss"]
Dialogue = Sequence[tuple[str, str, str | Sequence[str] | None]]
"""Turns `(speaker, text, label)`; `None`: a turn that others are read in the light of."""

_FORMAT = "affectrt-index"
_VERSION = 1
_BLOCK = 1 << 22  # similarities that are held at a time
_SHARPNESS = (5.0, 10.0, 20.0, 40.0)
_WEIGHTS = tuple(np.linspace(0.0, 1.0, 21).tolist())


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An example of an index: its text, its labels and its cosine similarity, -1 to 1."""

    text: str
    labels: tuple[str, ...]
    similarity: float


class _Search(Protocol):
    def __call__(self, queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Positions and similarities, ``[queries, k]``, the most similar first."""


def _exact(vectors: FloatArray) -> _Search:
    def search(queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        step = max(1, _BLOCK // max(1, len(vectors)))
        places, found = [], []
        for begin in range(0, len(queries), step):
            scores = queries[begin : begin + step] @ vectors.T
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            best.sort(axis=1)  # ties stay in the order of the examples
            values = np.take_along_axis(scores, best, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            places.append(np.take_along_axis(best, order, axis=1))
            found.append(np.take_along_axis(values, order, axis=1))
        return np.concatenate(places).astype(np.int64), np.concatenate(found)

    return search


def _missing(library: str, error: ImportError) -> UnsupportedError:
    package = {"faiss": "faiss-cpu"}.get(library, library)
    return UnsupportedError(
        f"searching with {library!r} needs its package: pip install {package} ({error}); "
        'library="numpy" needs nothing'
    )


def _usearch(vectors: FloatArray) -> _Search:
    try:
        from usearch.index import Index as UsearchIndex
    except ImportError as error:
        raise _missing("usearch", error) from None
    index = UsearchIndex(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(vectors)), vectors)

    def search(queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        found = index.search(queries, k)
        shape = (len(queries), -1)
        places = np.asarray(found.keys, np.int64).reshape(shape)
        return places, 1 - np.asarray(found.distances, np.float32).reshape(shape)

    return search


def _faiss(vectors: FloatArray) -> _Search:
    try:
        import faiss
    except ImportError as error:
        raise _missing("faiss", error) from None
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)

    def search(queries: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        similarities, places = index.search(queries, k)
        return places.astype(np.int64), similarities

    return search


_LIBRARIES = {"numpy": _exact, "usearch": _usearch, "faiss": _faiss}


def _normalised(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.maximum(lengths, 1e-12), np.float32)


class _Turns:
    """The labelled turns of dialogues with what a model says of them, in one batch."""

    def __init__(self, model: Model, head: str | None, dialogues: Iterable[Dialogue]) -> None:
        index = model._head_index(head)
        self.texts: list[str] = []
        self.labels: list[str | Sequence[str]] = []
        additions: list[tuple[_core.Conversation, str, str, str | None]] = []
        labelled = []
        for number, dialogue in enumerate(dialogues):
            conversation = _core.Conversation.create(model._core, 1, [index])
            for place, turn in enumerate(dialogue):
                if not isinstance(turn, tuple | list) or len(turn) != 3:
                    raise InputError(
                        f"dialogues[{number}][{place}] is {_kind(turn)}; give (speaker, text, "
                        "label)"
                    )
                speaker, text, label = turn
                if label is not None:
                    labelled.append(len(additions))
                    self.texts.append(text)
                    self.labels.append(label)
                # Of neutral turns no causes are looked for.
                additions.append((conversation, speaker, text, "neutral"))
        answers = _core.add_turns(additions, None, True) if additions else []
        kept = [answers[i].prediction for i in labelled]
        none = np.zeros((0, 1), np.float32)
        self.scores = np.concatenate([p.heads[0].scores for p in kept]) if kept else none
        vectors = [p.embeddings for p in kept if p.embeddings is not None]
        self.vectors = np.concatenate(vectors) if vectors else none


class Index:
    """Labelled examples of one model's head, to be searched by the model's own embeddings.

    >>> index = Index(model, texts, labels)                  # doctest: +SKIP
    >>> index.search("I miss her so much.", k=3)             # doctest: +SKIP
    >>> index.fit(dev_texts, dev_labels)                     # doctest: +SKIP
    >>> index.predict_proba(["I miss her so much."])         # doctest: +SKIP

    `Index.of_dialogues` holds turns, and `model.conversation(index=index)` blends its answers with
    their votes. Search is exact and in NumPy, which is good for some 100,000 examples;
    `library="usearch"` or "faiss" hands large sets over to that library, which searches
    approximately.
    """

    def __init__(
        self,
        model: Model,
        texts: Iterable[str],
        labels: Iterable[str | Sequence[str]],
        head: str | None = None,
        *,
        library: Library = "numpy",
    ) -> None:
        """Embeds `texts`, each with a label (or several, of a multi-label head) of `head`, the
        primary one if not given.

        Raises `InputError` for labels that the head does not have, naming the example;
        `UnsupportedError` where the model gives no embeddings or the library is not installed.
        """
        rows = rows_of(list(texts))
        if rows.pairs is not None:
            raise InputError("an index holds texts, not pairs")
        if not rows.texts:
            raise InputError("an index needs at least one example")
        targets = self._read_targets(model, head, list(labels), len(rows.texts))
        vectors = _normalised(model.embed(rows.texts))
        self._set(model, head, rows.texts, targets, vectors, library)

    @classmethod
    def of_dialogues(
        cls,
        model: Model,
        dialogues: Iterable[Dialogue],
        head: str | None = None,
        *,
        library: Library = "numpy",
    ) -> Index:
        """An index of labelled turns, each embedded in the light of those before it, as
        `Model.conversation` reads them.

        Errors are those of the constructor.
        """
        turns = _Turns(model, head, dialogues)
        if not turns.texts:
            raise InputError("an index needs at least one turn with a label")
        targets = cls._read_targets(model, head, turns.labels, len(turns.texts))
        index = cls.__new__(cls)
        index._set(model, head, turns.texts, targets, _normalised(turns.vectors), library)
        return index

    def _set(
        self,
        model: Model,
        head: str | None,
        texts: list[str],
        targets: FloatArray,
        vectors: FloatArray,
        library: Library,
    ) -> None:
        if library not in _LIBRARIES:
            raise InputError(f"library is {library!r}; give one of: {', '.join(_LIBRARIES)}")
        self._model = model
        self._info = model.info.heads[model._head_index(head)]
        self._texts = texts
        self._targets = targets
        self._vectors = vectors
        self._search = _LIBRARIES[library](self._vectors)
        self.k = min(16, len(texts))
        self.sharpness = 20.0
        self.weight = 0.5

    @staticmethod
    def _read_targets(
        model: Model, head: str | None, labels: list[str | Sequence[str]], count: int
    ) -> FloatArray:
        info = model.info.heads[model._head_index(head)]
        if info.task not in ("single_label", "multi_label", "ordinal"):
            raise InputError(f"head {info.name!r} has no labels to vote for (task {info.task!r})")
        if len(labels) != count:
            raise InputError(f"{len(labels)} labels for {count} texts; give one entry for each")
        column = {label: i for i, label in enumerate(info.labels)}
        targets = np.zeros((count, len(column)), np.float32)
        for row, entry in enumerate(labels):
            names = [entry] if isinstance(entry, str) else list(entry)
            for name in names:
                if name not in column:
                    raise InputError(
                        f"labels[{row}]: head {info.name!r} has no label {name!r}; it has: "
                        + ", ".join(info.labels[:30])
                    )
                targets[row, column[name]] = 1
            if info.task != "multi_label" and len(names) != 1:
                raise InputError(f"labels[{row}]: head {info.name!r} takes exactly one label")
        return targets

    def __len__(self) -> int:
        return len(self._texts)

    def search(self, text: str, k: int = 5) -> list[Neighbour]:
        """The `k` most similar examples, the most similar first."""
        if not isinstance(text, str):
            raise InputError(f"text is {_kind(text)}; give one str")
        places, found = self._nearest(self._model.embed([text]), k)
        names = np.asarray(self._info.labels)
        return [
            Neighbour(self._texts[i], tuple(names[self._targets[i] > 0].tolist()), float(s))
            for i, s in zip(places[0], found[0], strict=True)
        ]

    def _nearest(self, vectors: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InputError(f"k is {k!r}; give a positive int")
        return self._search(_normalised(vectors), min(k, len(self)))

    def _votes(self, places: IntArray, found: FloatArray, k: int, sharpness: float) -> FloatArray:
        places, found = places[:, :k], found[:, :k]
        weights = np.exp(sharpness * (found - found[:, :1]))
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("nk,nkl->nl", weights, self._targets[places]), np.float32)

    def predict_proba(self, texts: TextLike | Iterable[TextLike]) -> FloatArray:
        """Scores of the head blended with the neighbours' votes, float32 `[texts, labels]`:
        ``(1 - weight) * head + weight * votes``. One pass gives both."""
        rows = rows_of(texts)
        scores, vectors = self._model._scores_and_embeddings(rows, self._info.name)
        votes = self._votes(*self._nearest(vectors, self.k), self.k, self.sharpness)
        return np.asarray((1 - self.weight) * scores + self.weight * votes, np.float32)

    def fit(self, texts: Iterable[str], labels: Iterable[str | Sequence[str]]) -> dict[str, float]:
        """Chooses `k`, `sharpness` and `weight` with the least log-loss on texts that are neither
        in the index nor what the model was trained on.

        Returns log-loss of the head alone, of the votes alone and of the blend.
        """
        rows = rows_of(list(texts))
        truth = self._read_targets(self._model, self._info.name, list(labels), len(rows.texts))
        scores, vectors = self._model._scores_and_embeddings(rows, self._info.name)
        return self._fit(scores, vectors, truth)

    def fit_dialogues(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        """As `fit`, on the labelled turns of dialogues."""
        turns = _Turns(self._model, self._info.name, dialogues)
        if not turns.texts:
            raise InputError("fitting needs at least one turn with a label")
        truth = self._read_targets(self._model, self._info.name, turns.labels, len(turns.texts))
        return self._fit(turns.scores, turns.vectors, truth)

    def _fit(self, scores: FloatArray, vectors: FloatArray, truth: FloatArray) -> dict[str, float]:
        most = min(64, len(self))
        nearest = self._nearest(vectors, most)
        best, found = np.inf, (self.k, self.sharpness, 0.0)
        votes_alone = np.inf
        for k in sorted({min(k, most) for k in (4, 8, 16, 32, 64)}):
            for sharpness in _SHARPNESS:
                votes = self._votes(*nearest, k, sharpness)
                for weight in _WEIGHTS:
                    loss = self._loss((1 - weight) * scores + weight * votes, truth)
                    if loss < best:
                        best, found = loss, (k, sharpness, weight)
                votes_alone = min(votes_alone, loss)  # the last weight is 1
        self.k, self.sharpness, self.weight = found
        return {"head": self._loss(scores, truth), "votes": votes_alone, "blend": best}

    def _check_conversation(self, model: Model, heads: tuple[str, ...]) -> None:
        if model is not self._model:
            raise InputError("the index was made with another model than the conversation's")
        if self._info.name not in heads:
            raise InputError(
                f"the index votes for head {self._info.name!r}, which does not judge the turns of "
                f"this conversation; these do: {', '.join(heads)}"
            )

    def _blended(self, result: Result, prediction: _core.Prediction) -> Result:
        """A turn's answer with the neighbours' votes in the scores of the index's head."""
        head = self._model._head_index(self._info.name)
        if head not in prediction.answered or prediction.embeddings is None:
            return result
        own = prediction.heads[prediction.answered.index(head)].scores
        # One row at a time: its votes then have the same bits however turns come.
        votes = self._votes(*self._nearest(prediction.embeddings, self.k), self.k, self.sharpness)
        scores = np.clip((1 - self.weight) * own + self.weight * votes, 1e-9, 1 - 1e-7)
        logits = np.log(scores.astype(np.float64))
        if self._info.task == "multi_label":
            logits -= np.log1p(-scores.astype(np.float64))
        logits *= self._info.temperature
        answer = self._model._decoded(head, np.asarray(logits, np.float32))
        heads = (answer if one.name == answer.name else one for one in result.heads.values())
        return replace(result, heads=Heads(tuple(heads)))

    def _loss(self, scores: FloatArray, truth: FloatArray) -> float:
        clipped = np.clip(scores.astype(np.float64), 1e-4, 1 - 1e-4)
        loss = -truth * np.log(clipped)
        if self._info.task == "multi_label":
            loss -= (1 - truth) * np.log1p(-clipped)
        return float(loss.sum(axis=1).mean())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes examples, vectors and settings as one `.npz` file without pickles."""
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": self._model._core.identity,
            "head": self._info.name,
            "labels": list(self._info.labels),
            "settings": [self.k, self.sharpness, self.weight],
            "texts": self._texts,
        }
        text = json.dumps(header, ensure_ascii=False).encode()
        with open(path, "wb") as file:
            np.savez(
                file,
                header=np.frombuffer(text, np.uint8),
                vectors=self._vectors,
                targets=np.packbits(self._targets > 0, axis=1),
            )

    @classmethod
    def load(
        cls, model: Model, path: str | os.PathLike[str], *, library: Library = "numpy"
    ) -> Index:
        """Reads what `save` wrote.

        Raises `NotFoundError` when there is no such file, `InputError` for one that is no index or
        was made with another model, `UnsupportedError` for one of a later version.
        """
        try:
            header, vectors, targets = cls._read(path)
        except FileNotFoundError:
            raise NotFoundError(f"no index {os.fspath(path)!r}") from None
        except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
            raise InputError(f"{os.fspath(path)!r} is no index of affectrt: {error}") from None
        if header.get("version") != _VERSION:
            raise UnsupportedError(
                f"{os.fspath(path)!r} has version {header.get('version')!r}; "
                f"this affectrt reads {_VERSION}"
            )
        if header["model"] != model._core.identity:
            raise InputError(
                f"{os.fspath(path)!r} was made with another model than {model.info.name!r}; "
                "vectors of different models cannot be compared"
            )
        index = cls.__new__(cls)
        index._set(model, header["head"], header["texts"], targets, vectors, library)
        index.k, index.sharpness, index.weight = header["settings"]
        return index

    @staticmethod
    def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], FloatArray, FloatArray]:
        import zipfile

        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                if not isinstance(header, dict) or header.get("format") != _FORMAT:
                    raise ValueError("its header is not one")
                vectors = np.asarray(file["vectors"], np.float32)
                width = len(header["labels"])
                targets = np.unpackbits(file["targets"], axis=1)[:, :width].astype(np.float32)
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from None
        count = len(header["texts"])
        if vectors.ndim != 2 or len(vectors) != count or targets.shape != (count, width):
            raise ValueError("its parts do not have the same number of examples")
        return header, vectors, targets

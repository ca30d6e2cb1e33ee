"""The sides of the benchmark: affectrt and its peers, each as its own documentation advises.

A `Side` turns strings into answers. What is timed is the whole way: tokenising, the network, the
sigmoid, all labels with their scores in descending order, and those above their thresholds. Each
side gives its answers the form its users get; `Side.scores` makes them alike outside the clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
MAX_TOKENS = 512


class Side(Protocol):
    """One way from strings to answers. Not safe for concurrent calls unless its class says so."""

    labels: tuple[str, ...]
    batches: tuple[int, ...]
    """Batch sizes worth trying; one alone where the side chooses for itself."""

    def one(self, text: str) -> Any:
        """The answer to one text, by the side's fastest way for one."""

    def many(self, texts: list[str], batch: int) -> Sequence[Any]:
        """The answers in the order of `texts`, `batch` texts at a time, by its way for many."""

    def scores(self, answers: Sequence[Any]) -> FloatArray:
        """The answers as one matrix `[texts, labels]`."""


def matrix(labels: Sequence[str], rows: Sequence[Sequence[tuple[str, float]]]) -> FloatArray:
    """Rows of (label, score) in any order, as `[rows, labels]` in the order of `labels`."""
    columns = {label: index for index, label in enumerate(labels)}
    table = np.full((len(rows), len(labels)), np.nan, dtype=np.float32)
    for row, pairs in enumerate(rows):
        for label, score in pairs:
            table[row, columns[label]] = score
    return table


class Own:
    """affectrt itself. A list may be as long as it likes: batches are the runtime's business."""

    batches: tuple[int, ...] = (0,)

    def __init__(self, file: Path | None, threads: int) -> None:
        import affectrt

        self._model = affectrt.load(file, num_threads=threads)
        self._heads = self._model.heads[:1]  # the one that the peers have
        self.labels = self._model.labels()

    def one(self, text: str) -> Any:
        return self._model(text, heads=self._heads)

    def many(self, texts: list[str], batch: int) -> Sequence[Any]:
        return self._model(texts, heads=self._heads)

    def scores(self, answers: Sequence[Any]) -> FloatArray:
        return matrix(
            self.labels, [[(e.label, e.score) for e in answer.emotions] for answer in answers]
        )


def by_length(texts: list[str], lengths: Sequence[int], batch: int) -> list[list[int]]:
    """Indices of `texts` in batches of like length, the longest first."""
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    return [order[i : i + batch] for i in range(0, len(order), batch)]


class Pipeline:
    """A `text-classification` pipeline of transformers or optimum."""

    batches: tuple[int, ...] = (1, 8, 16, 32)

    def __init__(self, pipe: Any, folder: Path) -> None:
        self._pipe = pipe
        own = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        self.labels = tuple(own["labels"])
        self._thresholds = dict(zip(self.labels, own["thresholds"], strict=True))

    def _decided(self, scored: list[dict[str, Any]]) -> tuple[Any, tuple[str, ...]]:
        floors = self._thresholds
        return scored, tuple(s["label"] for s in scored if s["score"] >= floors[s["label"]])

    def one(self, text: str) -> Any:
        return self._decided(self._pipe(text, top_k=None, truncation=True))

    def many(self, texts: list[str], batch: int) -> Sequence[Any]:
        # Sorting by characters is what a user can do without tokenising twice.
        answers: list[Any] = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        found = self._pipe([texts[i] for i in order], top_k=None, truncation=True, batch_size=batch)
        for index, scored in zip(order, found, strict=True):
            answers[index] = self._decided(scored)
        return answers

    def scores(self, answers: Sequence[Any]) -> FloatArray:
        return matrix(self.labels, [[(s["label"], s["score"]) for s in a[0]] for a in answers])


Forward = Callable[[list[list[int]]], FloatArray]
"""Token ids of a batch, ragged -> logits float32 `[batch, labels]`."""


def padded(ids: list[list[int]], length: int = 0, rows: int = 0) -> tuple[Any, Any]:
    """Ids and mask, int64 `[max(rows, len(ids)), max(length, the longest)]`."""
    shape = (max(rows, len(ids)), max(length, max(map(len, ids))))
    values = np.zeros(shape, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for row, tokens in enumerate(ids):
        values[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return values, mask


class HandTuned:
    """Hugging Face `tokenizers`, a runtime, NumPy.

    One text goes to `alone`; many are tokenised together and sorted by length, and their batches
    shared among the functions of `together`, one thread each.
    """

    batches: tuple[int, ...] = (1, 8, 16, 32, 64)

    def __init__(self, folder: Path, alone: Forward, together: Sequence[Forward]) -> None:
        import tokenizers

        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        own = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        self.labels = tuple(own["labels"])
        self._names = np.array(self.labels, dtype=np.object_)
        self._thresholds = np.array(own["thresholds"], dtype=np.float32)
        self._alone = alone
        self._together = list(together)
        self._pool: Any = None
        if len(self._together) > 1:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(len(self._together))

    def _decode(self, logits: FloatArray) -> list[Any]:
        scores = 1 / (1 + np.exp(-logits))
        order = np.argsort(-scores, axis=1)
        decided = np.take_along_axis(scores >= self._thresholds, order, axis=1).tolist()
        names = self._names[order].tolist()
        values = np.take_along_axis(scores, order, axis=1).tolist()
        return [
            (list(zip(n, v, strict=True)), tuple(x for x, is_in in zip(n, d, strict=True) if is_in))
            for n, v, d in zip(names, values, decided, strict=True)
        ]

    def one(self, text: str) -> Any:
        return self._decode(self._alone([self._tokenizer.encode(text).ids]))[0]

    def many(self, texts: list[str], batch: int) -> Sequence[Any]:
        ids = [e.ids for e in self._tokenizer.encode_batch_fast(texts)]
        batches = by_length(texts, list(map(len, ids)), batch)
        answers: list[Any] = [None] * len(texts)

        def work(forward: Forward, mine: list[list[int]]) -> None:
            for rows in mine:
                logits = forward([ids[i] for i in rows])
                for row, answer in zip(rows, self._decode(logits), strict=True):
                    answers[row] = answer

        count = len(self._together)
        if len(batches) == 1:
            work(self._alone, batches)
        elif self._pool is None:
            work(self._together[0], batches)
        else:  # dealt out like cards: neighbours cost about the same
            shares = [
                self._pool.submit(work, forward, batches[i::count])
                for i, forward in enumerate(self._together)
            ]
            for share in shares:
                share.result()
        return answers

    def scores(self, answers: Sequence[Any]) -> FloatArray:
        return matrix(self.labels, [pairs for pairs, _ in answers])


def transformers_pipeline(folder: Path, threads: int) -> Side:
    import torch
    from transformers import AutoTokenizer, pipeline

    from .checkpoint import load_classifier

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    model = load_classifier(folder)
    return Pipeline(pipeline("text-classification", model=model, tokenizer=tokenizer), folder)


def _optimum(folder: Path, sub: str, file: str, threads: int) -> Side:
    import onnxruntime as ort
    import torch
    from optimum.onnxruntime import ORTModelForSequenceClassification, pipeline
    from transformers import AutoTokenizer

    torch.set_num_threads(threads)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    model = ORTModelForSequenceClassification.from_pretrained(
        folder / sub, file_name=file, session_options=options
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / sub)
    return Pipeline(pipeline("text-classification", model=model, tokenizer=tokenizer), folder)


def _onnxruntime(folder: Path, file: str, threads: int) -> Side:
    import onnxruntime as ort

    def forward(threads: int) -> Forward:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        session = ort.InferenceSession(
            str(folder / "ort" / file), options, providers=["CPUExecutionProvider"]
        )

        def run(ids: list[list[int]]) -> FloatArray:
            values, mask = padded(ids)
            feed = {
                "input_ids": values,
                "attention_mask": mask,
                "token_type_ids": np.zeros_like(values),
            }
            logits: FloatArray = session.run(None, feed)[0]
            return logits

        return run

    alone = forward(threads)
    # A session may be run by several threads at once.
    return HandTuned(folder, alone, [alone] if threads == 1 else [forward(1)] * threads)


def _ctranslate2(folder: Path, threads: int) -> Side:
    import ctranslate2

    head = np.load(folder / "head.npz")
    weight, bias = np.ascontiguousarray(head["weight"].T), head["bias"]

    def forward(inter: int, intra: int) -> Forward:
        encoder = ctranslate2.Encoder(
            str(folder / "ct2"),
            device="cpu",
            compute_type="int8",
            inter_threads=inter,
            intra_threads=intra,
        )

        def run(ids: list[list[int]]) -> FloatArray:
            hidden = np.asarray(encoder.forward_batch(ids).last_hidden_state)
            counts = np.array([len(tokens) for tokens in ids])
            mask = np.arange(hidden.shape[1]) < counts[:, None]
            pooled = np.einsum("btw,bt->bw", hidden, mask) / counts[:, None]
            logits: FloatArray = (pooled @ weight + bias).astype(np.float32)
            return logits

        return run

    alone = forward(1, threads)
    return HandTuned(folder, alone, [alone] if threads == 1 else [forward(threads, 1)] * threads)


def _openvino(folder: Path, file: str, precision: str | None, threads: int) -> Side:
    import openvino as ov

    core = ov.Core()

    def compiled(hint: str, streams: int) -> Any:
        settings: dict[str, Any] = {"PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads}
        if streams > 1:
            settings["NUM_STREAMS"] = streams
        if precision is not None:
            settings["INFERENCE_PRECISION_HINT"] = precision
        return core.compile_model(str(folder / "openvino" / file), "CPU", settings)

    def forward(model: Any) -> Forward:
        request = model.create_infer_request()

        def run(ids: list[list[int]]) -> FloatArray:
            values, mask = padded(ids)
            feed = {
                "input_ids": values,
                "attention_mask": mask,
                "token_type_ids": np.zeros_like(values),
            }
            logits: FloatArray = request.infer(feed, share_inputs=True)[0]
            return logits

        return run

    alone = forward(compiled("LATENCY", 1))
    if threads == 1:
        return HandTuned(folder, alone, [alone])
    many = compiled("THROUGHPUT", threads)
    return HandTuned(folder, alone, [forward(many) for _ in range(threads)])


def _litert(folder: Path, threads: int) -> Side:
    from ai_edge_litert.interpreter import Interpreter

    from .convert import LITERT_BATCHES, LITERT_LENGTHS

    def forward(threads: int) -> Forward:
        interpreter = Interpreter(str(folder / "litert" / "int8.tflite"), num_threads=threads)
        runners: dict[str, Any] = {}

        def call(ids: list[list[int]], rows: int, length: int) -> FloatArray:
            name = f"b{rows}_t{length}"
            if name not in runners:
                runners[name] = interpreter.get_signature_runner(name)
            values, mask = (a.astype(np.int32) for a in padded(ids, length, rows))
            feed = {"args_0": values, "args_1": mask, "args_2": np.zeros_like(values)}
            logits: FloatArray = runners[name](**feed)["output_0"][: len(ids)]
            return logits

        def run(ids: list[list[int]]) -> FloatArray:
            longest = max(map(len, ids))
            for rows, lengths in LITERT_BATCHES.items():
                if 1 < len(ids) <= rows and longest <= lengths[-1]:
                    return call(ids, rows, next(n for n in lengths if n >= longest))
            return np.concatenate(
                [
                    call([tokens], 1, next(n for n in LITERT_LENGTHS if n >= len(tokens)))
                    for tokens in ids
                ]
            )

        return run

    alone = forward(threads)
    side = HandTuned(
        folder, alone, [alone] if threads == 1 else [forward(1) for _ in range(threads)]
    )
    side.batches = (1, *LITERT_BATCHES)
    return side


@dataclass(frozen=True)
class Peer:
    """A side that can be measured: how it is made, what it weighs, how near its answers must be.

    `tolerance` bounds the difference of its scores from plain torch's; None: int8, whose decisions
    may differ from torch's in `flips` of all cases at most.
    """

    name: str
    title: str
    load: Callable[[Path, int], Side]
    conversion: str | None
    packages: tuple[str, ...]
    tolerance: float | None
    flips: float = 0.02


_HAND = ("tokenizers", "numpy")
_TORCH = ("transformers", "torch")
_OPTIMUM = ("optimum-onnx", "onnxruntime", "transformers", "torch")
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("transformers", "transformers pipeline (torch, fp32)", transformers_pipeline,
             None, _TORCH, 1e-4),
        Peer("optimum-fp32", "optimum pipeline (ONNX Runtime, fp32)",
             lambda f, n: _optimum(f, "onnx", "model.onnx", n), "onnx_fp32", _OPTIMUM, 1e-4),
        Peer("optimum-int8", "optimum pipeline (ONNX Runtime, int8)",
             lambda f, n: _optimum(f, "optimum_int8", "model_quantized.onnx", n),
             "optimum_int8", _OPTIMUM, None),
        Peer("ort-fp32", "ONNX Runtime by hand (fused, sorted, fp32)",
             lambda f, n: _onnxruntime(f, "fp32.onnx", n), "ort_fused",
             ("onnxruntime", *_HAND), 1e-4),
        Peer("ort-int8", "ONNX Runtime by hand (fused, sorted, int8)",
             lambda f, n: _onnxruntime(f, "int8.onnx", n), "ort_int8",
             ("onnxruntime", *_HAND), None),
        Peer("ctranslate2-int8", "CTranslate2 (int8) + head in NumPy", _ctranslate2,
             "ctranslate2", ("ctranslate2", *_HAND), None),
        Peer("openvino-fp32", "OpenVINO (fp32)",
             lambda f, n: _openvino(f, "fp32.xml", "f32", n), "openvino_fp32",
             ("openvino", *_HAND), 1e-4),
        Peer("openvino-int8", "OpenVINO (NNCF int8)",
             lambda f, n: _openvino(f, "int8.xml", None, n), "openvino_int8",
             ("openvino", *_HAND), None),
        Peer("litert-int8", "LiteRT (XNNPACK, dynamic int8 per row)", _litert,
             "litert_int8", ("ai-edge-litert", *_HAND), None),
        Peer("affectrt-fp32", "affectrt's own engine, fp32",
             lambda f, n: Own(f / "affectrt" / "fp32.affect", n), "affectrt_fp32",
             ("affectrt",), 1e-4),
    )
}  # fmt: skip
OWN = Peer(
    "affectrt", "affectrt (int8)", lambda f, n: Own(None, n), None, ("affectrt",), None, 0.005
)

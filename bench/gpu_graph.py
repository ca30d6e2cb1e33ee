"""Model files on ONNX Runtime's CUDA provider: answers against the CPU's, arrays that stay on the
GPU, errors, times. Parts of `python -m bench.gpu --model FILE.affect`."""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import affectrt
from affectrt.errors import Error

from .gpu_feature_times import median_ms
from .gpu_features import copies, module, told
from .timing import interleave

Facts = dict[str, Any]

CUDA = ["CUDAExecutionProvider"]
BUILT_IN = (
    "Thank you so much, you made my day!", "I can't believe they cancelled it again.", "ok",
    "Why would you say that to her?", "We waited three hours in the rain and nobody came, and when "
    "I called them they hung up on me.", "wow :)", "My grandmother died last night.",
)  # fmt: skip


def texts_of(arguments: argparse.Namespace) -> list[str]:
    if not arguments.texts:
        return list(BUILT_IN) * 8
    lines = Path(arguments.texts).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip()]


def _models(arguments: argparse.Namespace) -> Iterator[tuple[str, affectrt.Model]]:
    for path in arguments.model:
        yield Path(path).stem, affectrt.load(path, providers=CUDA)


def _nothing(arguments: argparse.Namespace) -> Facts | None:
    return None if arguments.model else {"passed": False, "left out": "needs --model"}


def _row_heads(model: affectrt.Model) -> list[str]:
    return [
        h.name
        for h in model.info.heads
        if h.input in ("text", "turn") and "token" not in h.task and h.task != "span"
    ]


def agreement(arguments: argparse.Namespace) -> Facts:
    """Logits and decisions of every head on the GPU, on ONNX Runtime's CPU, and natively."""
    facts: Facts = _nothing(arguments) or {}
    texts = texts_of(arguments)
    for name, gpu in _models(arguments):
        report: Facts = {"backend": gpu.info.backend_detail, "texts": len(texts)}
        path = gpu.info.path
        others = {"onnxruntime on the CPU": "onnxruntime", "native": "native"}
        alone = [gpu.predict_logits(text) for text in texts[:50]]
        together = gpu.predict_logits(texts)
        report["alone or in a batch, max"] = float(
            np.abs(np.concatenate(alone) - together[:50]).max()
        )
        report["the same call twice"] = bool(np.array_equal(together, gpu.predict_logits(texts)))
        for other, backend in others.items():
            try:
                model: Any = affectrt.load(path, backend=backend)
            except Error as error:
                report[other] = f"{type(error).__name__}: {str(error)[:200]}"
            else:
                report[other] = _compared(gpu, model, texts)
        facts[name] = report
        print(name, report, flush=True)  # its last words, should the next model fail
        told_by, bar = report["onnxruntime on the CPU"], _bar(gpu)
        if isinstance(told_by, str) or told_by["max |logit difference| / largest"] > bar:
            facts["passed"] = False
    return facts


def _bar(model: affectrt.Model) -> float:
    """|difference| / largest between two processors. `fp16` graphs compute in float32; in 8 bits a
    scale is that of a whole batch, which a last bit may move."""
    return 0.05 if model.info.precision.startswith("int8") else 2e-4


def _compared(gpu: affectrt.Model, other: affectrt.Model, texts: list[str]) -> Facts:
    worst, mean, largest, flips, decisions = 0.0, [], 1.0, 0, 0
    heads = _row_heads(gpu)
    for head in heads:
        a, b = gpu.predict_logits(texts, head), other.predict_logits(texts, head)
        worst, largest = (
            max(worst, float(np.abs(a - b).max())),
            max(largest, float(np.abs(b).max())),
        )
        mean.append(float(np.abs(a - b).mean()))
    for mine, theirs in zip(gpu(texts, heads=heads), other(texts, heads=heads), strict=True):
        for head in heads:
            left, right = mine.heads[head], theirs.heads[head]
            decisions += len(left.labels)
            flips += len(set(left.decided) ^ set(right.decided))
    return {
        "heads": len(heads),
        "max |logit difference|": worst,
        "max |logit difference| / largest": worst / largest,
        "mean": statistics.mean(mean),
        "decisions": decisions,
        "flips": flips,
    }


def padded_rows(model: affectrt.Model, texts: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    """Padded rows of texts, int64 [rows, tokens], those inputs that every graph here has."""
    encoded = [e.ids for e in model.tokenizer.encode_batch(texts, with_offsets=False)]
    longest = min(max(len(ids) for ids in encoded), model.info.max_tokens)
    ids = np.zeros((len(texts), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, whole in enumerate(encoded):
        tokens = whole[:longest]
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def accepted(model: affectrt.Model, given: dict[str, Any]) -> dict[str, Any]:
    """Those inputs that the graph has, which an error tells."""
    while True:
        try:
            model.run_graph(given)
        except Error as error:
            extra = str(error).partition("there is no input '")[2].partition("'")[0]
            if not extra:
                raise
            given = {name: array for name, array in given.items() if name != extra}
        else:
            return given


def _there_and_back(model: affectrt.Model, host: dict[str, Any]) -> list[Any]:
    outputs = model.run_graph({name: array.cuda() for name, array in host.items()})
    return [module("torch").from_dlpack(array).cpu() for array in outputs.values()]


def arrays(arguments: argparse.Namespace) -> Facts:
    """`run_graph` of arrays on the GPU: the CPU's values, no copies, any stream, any lifetime."""
    torch = module("torch")

    facts: Facts = _nothing(arguments) or {}
    texts = texts_of(arguments)[:32]
    for name, gpu in _models(arguments):
        cpu = affectrt.load(gpu.info.path, backend="onnxruntime")
        rows = accepted(cpu, padded_rows(cpu, texts))
        expected = {k: np.array(np.from_dlpack(v)) for k, v in cpu.run_graph(rows).items()}
        given = {key: torch.from_numpy(array).cuda() for key, array in rows.items()}
        report: Facts = {"rows": list(rows["input_ids"].shape), "outputs": len(expected)}
        made = {k: torch.from_dlpack(v) for k, v in gpu.run_graph(given).items()}
        report["outputs lie on"] = sorted({str(v.device) for v in made.values()})
        report["max difference"], report["max difference / largest"] = (
            max(float(np.abs(made[k].cpu().numpy() - v).max() / of(v)) for k, v in expected.items())
            for of in (lambda _: 1.0, lambda v: max(1.0, float(np.abs(v).max())))
        )
        side = torch.cuda.Stream()
        late = 0.0
        for _ in range(5):
            with torch.cuda.stream(side):
                slow = {key: torch.ones_like(array) for key, array in given.items()}
                torch.cuda._sleep(30_000_000)
                for key, array in given.items():
                    slow[key].copy_(array)
                again = {k: torch.from_dlpack(v) for k, v in gpu.run_graph(slow).items()}
            torch.cuda.synchronize()
            late = max(late, *(float((again[k] - made[k]).abs().max()) for k in made))
        report["a late producer, max difference"] = late
        report["copies in a call"] = copies(partial(gpu.run_graph, given))
        host = {k: v.cpu().pin_memory() for k, v in given.items()}
        report["copies of a call with copies"] = copies(partial(_there_and_back, gpu, host))
        free = torch.cuda.mem_get_info()[0]
        for _ in range(100):
            gpu.run_graph(given)
        report["bytes lost in 100 calls"] = free - torch.cuda.mem_get_info()[0]
        kept = {k: torch.from_dlpack(v) for k, v in gpu.run_graph(given).items()}
        bar = _bar(gpu)
        del gpu
        spoilt = [torch.full((1 << 20,), 3.0, device="cuda") for _ in range(8)]
        report["outputs outlive the model"] = all(torch.equal(kept[k], made[k]) for k in made)
        del spoilt, kept
        facts[name] = report
        print(name, report, flush=True)  # its last words, should the next model fail
        if not (
            late < 1e-4
            and report["outputs outlive the model"]
            and report["bytes lost in 100 calls"] < 16 << 20
            and report["max difference / largest"] < bar
            and all("cuda" in device for device in report["outputs lie on"])
        ):
            facts["passed"] = False
    return facts


def refusals(arguments: argparse.Namespace) -> Facts:
    """Errors of providers and of arrays."""
    torch = module("torch")

    if not arguments.model:
        return {"passed": False, "left out": "needs --model"}
    path = arguments.model[0]
    gpu = affectrt.load(path, providers=CUDA)
    given = accepted(
        gpu, {k: torch.from_numpy(v).cuda() for k, v in padded_rows(gpu, list(BUILT_IN)).items()}
    )

    def run(**changed: Any) -> None:
        gpu.run_graph({k: v for k, v in {**given, **changed}.items() if v is not None})

    def load(*providers: str, **options: Any) -> None:
        affectrt.load(path, providers=list(providers), **options)

    ids = given["input_ids"]
    cases: dict[str, tuple[Callable[[], object], str]] = {
        "device 7": (lambda: load("CUDAExecutionProvider:7"), "BackendError"),
        "device x": (lambda: load("CUDAExecutionProvider:x"), "InputError"),
        "device 0 by number": (lambda: load("CUDAExecutionProvider:0"), "no error"),
        "TensorRT, not installed": (lambda: load("TensorrtExecutionProvider"), "BackendError"),
        "unknown provider": (lambda: load("RocketExecutionProvider"), "BackendError"),
        "native with a provider": (lambda: load(*CUDA, backend="native"), "InputError"),
        "CPU tensor": (lambda: run(input_ids=ids.cpu()), "InputError"),
        "int32": (lambda: run(input_ids=ids.int()), "InputError"),
        "float64": (lambda: run(input_ids=ids.double()), "InputError"),
        "gaps": (lambda: run(input_ids=ids[:, ::2]), "InputError"),
        "one dimension": (lambda: run(input_ids=ids[0]), "InputError"),
        "missing": (lambda: run(input_ids=None), "InputError"),
        "unknown": (lambda: run(more=ids), "InputError"),
        "shapes that differ": (lambda: run(input_ids=ids[:1]), "BackendError"),
    }
    facts: Facts = {name: told(work) for name, (work, _) in cases.items()}
    facts["works after them"] = told(run)
    wrong = [n for n, (_, kind) in cases.items() if not facts[n].startswith(kind)]
    return facts | {
        "not as they should": wrong,
        "passed": not wrong and facts["works after them"] == "no error",
    }


def certificate(arguments: argparse.Namespace) -> Facts:
    """The report of the first model against its checkpoint, with the CUDA provider in it."""
    if not (arguments.model and arguments.checkpoint):
        return {"left out": "needs --model and --checkpoint"}
    affectrt.load(arguments.model[0], providers=CUDA)  # before export imports Python's onnxruntime
    verify = module("affectrt.export").verify
    report = verify(arguments.model[0], arguments.checkpoint, providers=CUDA).to_dict()
    return {
        "versions": report["versions"],
        "rows": report["rows"],
        "passed": not report["failures"],
        "differences from the report in the file": report["differences"],
        "heads": [
            {
                key: head[key]
                for key in (
                    "head",
                    "backend",
                    "max_logit_difference",
                    "flipped_decisions",
                    "decisions",
                    "min_cosine",
                )
                if key in head
            }
            for head in report["heads"]
        ],
    }


def _one_by_one_ms(model: affectrt.Model, texts: list[str]) -> float:
    return median_ms(map(model, texts).__next__, 25, 0)


def times(arguments: argparse.Namespace) -> Facts:
    """One text, and all texts, from string to decisions, on the GPU and on the CPU in turn."""
    facts: Facts = _nothing(arguments) or {}
    texts = texts_of(arguments)
    for name, gpu in _models(arguments):
        sides = {"CUDA": gpu, "CPU": affectrt.load(gpu.info.path, backend="onnxruntime")}
        report: Facts = {}
        for model in sides.values():
            for _ in range(3):
                model(texts)
                model(texts[0])
        jobs: dict[str, Callable[[], float]] = {}
        for key, model in sides.items():
            jobs[f"{key} 1"] = partial(_one_by_one_ms, model, texts)
            jobs[f"{key} all"] = partial(median_ms, partial(model, texts), 2, 0)
        turns = interleave(jobs, 3, warmup=0)
        medians = {key: statistics.median(values) for key, values in turns.items()}
        report["one text: CPU / CUDA"] = round(medians["CPU 1"] / medians["CUDA 1"], 2)
        report["all texts: CPU / CUDA"] = round(medians["CPU all"] / medians["CUDA all"], 2)
        report["ms"] = {key: [round(v, 3) for v in values] for key, values in turns.items()}
        report["texts per second"] = {
            key: round(len(texts) / medians[f"{key} all"] * 1e3) for key in sides
        }
        facts[name] = report
        print(name, report, flush=True)  # its last words, should the next model fail
    return facts


def torch_times(arguments: argparse.Namespace) -> Facts:
    """`run_graph` of arrays on the GPU and PyTorch's own forward of the same network, in float32
    and float16, in turn: ratios of call times (above 1: PyTorch takes longer)."""
    torch = module("torch")

    facts: Facts = _nothing(arguments) or {}
    texts = texts_of(arguments)
    peers: dict[str, Any] = {}
    if arguments.checkpoint:
        loaded = module("affectrt.export.checkpoint").load_checkpoint(arguments.checkpoint)
        peers["torch fp32"] = loaded.model.cuda()
        peers["torch fp16"] = copy.deepcopy(loaded.model).half()
    for name, gpu in _models(arguments):
        for rows in (1, 64, 512):
            given = accepted(gpu, {
                k: torch.from_numpy(np.ascontiguousarray(v)).cuda()
                for k, v in padded_rows(gpu, (texts * (rows // len(texts) + 1))[:rows]).items()
            })  # fmt: skip
            sides: dict[str, Callable[[], object]] = {"run_graph": partial(gpu.run_graph, given)}
            for peer, network in peers.items():
                sides[peer] = partial(_forward, network, given)
            jobs = {side: partial(median_ms, work, 15) for side, work in sides.items()}
            turns = interleave(jobs, 3, warmup=0)
            best = {side: statistics.median(values) for side, values in turns.items()}
            report: Facts = {
                f"{peer} / run_graph": round(best[peer] / best["run_graph"], 2) for peer in peers
            }
            report["ms"] = {side: [round(v, 3) for v in values] for side, values in turns.items()}
            print(name, rows, report, flush=True)
            if peers:
                report |= _apart(gpu.run_graph(given), sides)
            facts[f"{name}, {list(given['input_ids'].shape)}"] = report
    return facts


def _forward(network: Any, given: dict[str, Any]) -> Any:
    with module("torch").inference_mode():
        return network(*given.values())


def _apart(outputs: dict[str, Any], peers: dict[str, Callable[[], Any]]) -> Facts:
    """How far the graph's outputs are from PyTorch's, of the largest of each."""
    torch = module("torch")

    facts = {}
    for peer, work in peers.items():
        if peer == "run_graph":
            continue
        wanted = work()
        facts[f"from {peer}"] = max(
            float((torch.from_dlpack(outputs[key]) - array).abs().max() / array.abs().max())
            for key, array in wanted.items()
            if key in outputs
        )
    return facts

"""`python -m bench.export_matrix`: family x head x precision x backend: sizes, parity and flips.

Checkpoints are tiny and made on the spot: random ones of every family and head, whose errors bound
those of trained ones from above, and some that were fine-tuned on a toy task. What a product loses
on a trained model is in the rows of the toy task, and for the embedded models in their own reports
(``affectrt info text``).
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectrt.errors import Error, ExportError

ROOT = Path(__file__).resolve().parent.parent
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-accurate", "int8-static", "int4")
HEADS = ("single_label", "multi_label", "regression", "token_labels", "span")
# Audio classifiers: what `audio_checkpoints.write_checkpoint` takes of each.
_LAYER_NORM = {"mask": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
SOUNDS: dict[str, dict[str, Any]] = {
    "wav2vec2": {"kind": "wav2vec2"},
    "wav2vec2 (layer norm)": {"kind": "wav2vec2", **_LAYER_NORM},
    "hubert": {"kind": "hubert"},
    "wavlm": {"kind": "wavlm"},
    "ast": {"kind": "ast"},
    "whisper": {"kind": "whisper"},
    "whisper (weighted layers)": {"kind": "whisper", "use_weighted_layer_sum": True},
}
_PROBLEMS = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
_TAGS = ("O", "B-who", "I-who", "B-when", "I-when")


@dataclass(frozen=True)
class Line:
    """One product on one backend."""

    family: str
    weights: str
    head: str
    precision: str
    backend: str
    kilobytes: float
    inputs: str  # token ids that are equal, or how far features differ
    difference: float  # mean |logit difference| / largest |logit|
    flips: str
    metric: str
    verdict: str


def _trace_once() -> None:
    """Tracing is the slow part: a checkpoint's graph is traced once, and copied."""
    import onnx_ir as ir

    from affectrt.export import api

    traced: dict[str, Any] = {}
    trace = api.export_onnx

    def once(checkpoint: Any) -> Any:
        key = f"{checkpoint.path}:{checkpoint.source_sha256}"
        if key not in traced:
            traced.clear()
            traced[key] = ir.to_proto(trace(checkpoint))
        return ir.from_proto(traced[key])

    vars(api)["export_onnx"] = once


def _random(folder: Path, family: str, head: str) -> Path:
    import export_models as em

    if head == "token_labels":
        return em.write_random_checkpoint(folder, family, _TAGS, kind="TokenClassification")
    if head == "span":
        return em.write_random_checkpoint(
            folder, family, ("start", "end"), kind="QuestionAnswering"
        )
    labels = ("valence", "arousal") if head == "regression" else em.LABELS
    return em.write_random_checkpoint(folder, family, labels, _PROBLEMS[head])


def _random_sound(folder: Path, sound: str, head: str) -> Path:
    import audio_checkpoints as ac

    names = ac.DIMENSIONS if head == "regression" else ac.LABELS
    return ac.write_checkpoint(folder, names=names, problem=_PROBLEMS[head], **SOUNDS[sound])


def _lines(
    checkpoint: Path, family: str, weights: str, head: str, data: Path | None, scratch: Path
) -> Iterator[Line]:
    from affectrt.export import describe_checkpoint, export_checkpoint
    from affectrt.export.api import OF_ONNXRUNTIME

    described = describe_checkpoint(checkpoint)
    native = described.engines == ("native",)
    for precision in PRECISIONS:
        engines = ["native", "onnxruntime"] if native else ["onnxruntime"]
        if precision == "int8-accurate":
            engines = ["native"] if native else []
        if precision in OF_ONNXRUNTIME:
            engines = ["onnxruntime"]
        if described.audio is not None and precision not in ("fp32", "int8", "int8-accurate"):
            continue
        for engine in engines:
            out = scratch / "product.affect"
            try:
                report = export_checkpoint(
                    checkpoint, out, precision=precision, data=data, engines=[engine],
                    enforce_bars=False, overwrite=True,
                )  # fmt: skip
            except ExportError as error:
                reason = str(error).partition(": ")[2][:80]
                yield Line(family, weights, head, precision, engine, 0, "", 0, "", "", reason)
                continue
            (of_head,) = report.heads
            flips = "values" if head == "regression" else (
                f"{100 * of_head.flipped_decisions / of_head.decisions:.2f} %"
            )  # fmt: skip
            if of_head.correlation is not None:
                flips = f"r {of_head.correlation:.5f}"
            name, values = next(iter(of_head.metrics.items()), ("", {}))
            metric = f"{name} {values['source']:.3f} → {values['product']:.3f}" if name else ""
            inputs = (
                f"{report.tokens.equal}/{report.tokens.rows}" if described.audio is None
                else f"{report.features.max_difference:.0e}"
            )  # fmt: skip
            yield Line(
                family, weights, head, precision, engine, out.stat().st_size / 1e3, inputs,
                of_head.mean_logit_difference / of_head.largest_logit, flips, metric,
                "passed" if report.passed else "beyond the bars",
            )  # fmt: skip


def _tasks(args: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Family, weights and head of every checkpoint."""
    for family in args.families:
        yield from ((family, "random", head) for head in args.heads)
        yield from ((family, "fine-tuned", head) for head in args.tuned)
    for sound in args.sounds:
        yield from ((sound, "random", head) for head in args.heads if head in _PROBLEMS)


def _made(task: tuple[str, str, str], rows: int) -> Iterator[Line]:
    """The lines of one checkpoint, which is on disk meanwhile."""
    import export_models as em

    family, weights, head = task
    with tempfile.TemporaryDirectory(prefix="affectrt-matrix-") as folder:
        scratch, data = Path(folder), None
        if family in SOUNDS:
            checkpoint = _random_sound(scratch / "checkpoint", family, head)
        elif weights == "random":
            try:
                checkpoint = _random(scratch / "checkpoint", family, head)
            except (Error, ValueError) as error:  # transformers has no such class
                print(f"{family} {head}: {error}", file=sys.stderr)
                return
        else:
            checkpoint = em.write_tuned_checkpoint(scratch / "checkpoint", family, head)
            data = em.write_jsonl(scratch / f"{head}.jsonl", em.toy_rows(rows, 2, head))
        yield from _lines(checkpoint, family, weights, head, data, scratch)


def run(args: argparse.Namespace) -> list[Line]:
    """All lines, and before them those of checkpoints that `args.resume` has from earlier runs."""
    known: dict[tuple[str, ...], list[Line]] = {}
    if args.resume is not None and args.resume.exists():
        for row in map(json.loads, args.resume.read_text("utf-8").splitlines()):
            known[tuple(row["task"])] = [Line(**line) for line in row["lines"]]
    for task in _tasks(args):
        if task in known:
            continue
        known[task] = []
        for line in _made(task, args.rows):
            print(*vars(line).values(), sep="\t", file=sys.stderr, flush=True)
            known[task].append(line)
        if args.resume is not None:
            row = {"task": task, "lines": [vars(line) for line in known[task]]}
            with args.resume.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    return [line for task in sorted(known, key=_place) for line in known[task]]


def _place(task: tuple[str, ...]) -> tuple[int, ...]:
    """Where the lines of a checkpoint stand in the table."""
    import export_models as em

    family, weights, head = task
    return (*em.FAMILIES, *SOUNDS).index(family), int(weights != "random"), HEADS.index(head)


def to_markdown(lines: list[Line], command: str) -> str:
    """The table, with how it was made."""
    from affectrt.export.parity import versions

    titles = ("family", "weights", "head", "precision", "backend", "kB", "inputs",
              "mean \\|d\\| / largest", "flips", "metric", "verdict")  # fmt: skip
    table = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for line in lines:
        cells: list[Any] = list(vars(line).values())
        cells[5] = f"{line.kilobytes:.0f}" if line.kilobytes else ""
        cells[7] = f"{line.difference:.1e}" if line.kilobytes else ""
        table.append(f"| {' | '.join(map(str, cells))} |")
    made = ", ".join(f"{k} {v}" for k, v in versions().items())
    return (
        "# Exports: family x head x precision x backend\n\n"
        f"`{command}` ({made}).\n\n"
        "Networks of 2 to 4 layers, 32 wide (fine-tuned: 48). Random ones have weights of 0.2 and\n"
        "are compared on the built-in texts: near ties are many there, and flips say how large\n"
        "errors are, not what a trained model loses. Fine-tuned ones learned the toy task of the\n"
        "tests and are compared on rows of it. `inputs` are the texts with equal token ids, or of\n"
        "audio classifiers how far features differ at most from transformers' extractor.\n\n"
        + "\n".join(table)
        + "\n"
    )


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results/export-matrix.md")
    parser.add_argument("--families", nargs="*", help="of text (default: all)")
    parser.add_argument("--sounds", nargs="*", choices=list(SOUNDS), default=list(SOUNDS))
    parser.add_argument("--heads", nargs="*", default=list(HEADS), choices=HEADS)
    parser.add_argument("--tuned", nargs="*", default=["single_label"], choices=HEADS)
    parser.add_argument("--rows", type=int, default=500, help="of the toy task")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE.jsonl",
        help="keeps what is done; a later run goes on, or adds other families and heads",
    )
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    import export_models as em
    import torch

    _trace_once()
    torch.set_num_threads(1)  # networks this small only lose by threads
    warnings.simplefilter("ignore")
    args.families = list(em.FAMILIES) if args.families is None else args.families
    lines = run(args)
    command = shlex.join(["python", "-m", "bench.export_matrix", *sys.argv[1:]])
    args.out.write_text(to_markdown(lines, command), "utf-8")


if __name__ == "__main__":
    main()

"""Arguments of the recipe, and the run from packs to checkpoint and report."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from affectrt.errors import ExportError
from affectrt.export.recipes.running import add_settings, changed_settings, plot_curves
from affectrt.export.unpack import unpack_checkpoint

from .inputs import Tokens
from .packs import MODELS, SOURCES, heads_of
from .report import finish
from .train import Settings, new_model, train

_SETTINGS = {
    "steps": "length of the schedule; may be raised until the cool-down (its last quarter) began",
    "tokens_per_batch": "with padding",
    "lr": "of the trunk",
    "head_lr": "of the heads",
    "dropout": "of pooled vectors and tokens",
    "seed": "of everything that is drawn",
    "teacher_weight": "of what the teacher says beside the labels",
    "imitation": "of what it says where a row has no label, beside other rows",
    "save_every": "steps between saved states",
    "eval_every": "steps between dev figures",
    "eval_rows": "dev rows of each pack for them",
    "bf16": "1: products in bfloat16, about twice as fast where the CPU has instructions for it",
}


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; returns the exit status."""
    args = _arguments(argv)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    names = [n for n in MODELS[args.model] if not args.only or n in args.only]
    sources = [SOURCES[name](args.data) for name in names]
    tokens = Tokens(args.base / "tokenizer.json")
    start, teacher = (
        unpack_checkpoint(path, args.out / name)
        if path is not None and path.suffix == ".affect"
        else path
        for name, path in (("start", args.start), ("teacher", args.teacher))
    )
    torch.manual_seed(args.seed)  # the heads' first weights
    specs = heads_of(sources)
    unknown = set(args.leave_out) - {spec.name for spec in specs}
    if unknown:
        raise ExportError(
            f"--leave-out names {', '.join(sorted(unknown))}; the heads are "
            f"{', '.join(spec.name for spec in specs)}"
        )
    model = new_model(args.base, specs).to(args.device)
    settings = Settings(**{name: getattr(args, name) for name in _SETTINGS})
    losses = train(
        model,
        sources,
        tokens,
        settings,
        args.out,
        start=start,
        teacher=teacher,
        stop_step=args.stop_step,
        resume=args.resume,
    )
    plot_curves(args.out)
    if not args.no_report:
        finish(
            model,
            losses,
            sources,
            tokens,
            args.data,
            args.base / "tokenizer.json",
            args.out,
            name=args.model,
            command=_command(args),
            report_tokens=args.report_tokens,
            leave_out=args.leave_out,
        )
    return 0


def _command(args: argparse.Namespace) -> str:
    """What makes the checkpoint again, without anybody's paths."""
    words = ["python -m affectrt.export.recipes.multitask", f"--model {args.model}"]
    words += ["--base minilm-l6 --data data/text --out OUT"]
    if args.only:
        words.append(f"--only {' '.join(args.only)}")
    for name in ("start", "teacher"):
        if getattr(args, name):
            words.append(f"--{name} {name.upper()}")
    words += changed_settings(args, Settings, _SETTINGS)
    if args.report_tokens:  # decisions are fitted on them
        words.append(f"--report-tokens {args.report_tokens}")
    if args.leave_out:
        words.append(f"--leave-out {' '.join(args.leave_out)}")
    if args.stop_step:
        words.append(f"--stop-step {args.stop_step}")
    return " ".join(words)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.multitask",
        description="Fine-tune one trunk with the heads of many packs; see the package's docstring",
    )
    parser.add_argument("--model", choices=tuple(MODELS), required=True)
    parser.add_argument("--base", type=Path, required=True, help="folder of the MiniLM-L6 encoder")
    parser.add_argument("--data", type=Path, required=True, help="folder of the text packs")
    parser.add_argument("--out", type=Path, required=True, help="where state and figures go")
    parser.add_argument("--only", nargs="+", choices=tuple(SOURCES), help="these packs alone")
    either = "pooled checkpoint or model file (.affect)"
    parser.add_argument("--start", type=Path, help=f"{either} to take trunk and heads of")
    parser.add_argument("--teacher", type=Path, help=f"{either} to distil shared heads of")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_settings(parser, Settings, _SETTINGS)
    parser.add_argument(
        "--leave-out", nargs="+", default=[], metavar="HEAD", help="train it, but do not keep it"
    )
    parser.add_argument("--stop-step", type=int, help="end before the schedule does")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--report-tokens", type=int, help="of each dev and test, about; all if not given"
    )
    parser.add_argument("--no-report", action="store_true", help="train only")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(argv)

"""Arguments of the recipe, and the run from packs to checkpoint and report."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from affectrt.errors import ExportError
from affectrt.export.recipes.running import add_settings, changed_settings, plot_curves

from .losses import HeadLoss
from .packs import PACKS, heads_of, read_pack
from .probe import fit_heads, hear
from .report import finish
from .train import Settings, Teacher, narrow, new_model, standardise, train

_SETTINGS = {
    "steps": "of the schedule, 0 for none; may be raised until the cool-down (last quarter) began",
    "tokens_per_batch": "with padding; a token is 20 ms",
    "lr": "of the encoder's highest layer",
    "layer_decay": "times the rate from each layer to the one below",
    "layers": "of the base that are kept: voice is lowest, words are above",
    "freeze": "of the encoder's lowest parts: 1 the convolutions, 2 the first layer too, ...",
    "head_lr": "of pooling and heads",
    "weight_decay": "of AdamW",
    "dropout": "of pooled vectors",
    "layer_dropout": "in the encoder's layers",
    "mixup": "parameter of its beta distribution; 0 for none",
    "augment": "share of clips that are changed before they are heard",
    "pooling_heads": "means with weights of their own",
    "statistics": "1: deviations over time behind the means",
    "neurons": "that stay in each layer's feed-forward, in a model to be exported small; 0 for all",
    "hearings": "batches of a frozen encoder that heads are fitted on first",
    "seed": "of everything that is drawn",
    "save_every": "steps between saved states",
    "eval_every": "steps between dev figures",
    "eval_rows": "dev clips of each pack for them",
    "teacher_weight": "of the teacher's answers beside the labels",
    "bf16": "1: products in bfloat16, faster where the CPU has instructions for it",
}


def main(argv: list[str] | None = None) -> int:
    """Run the recipe; returns the exit status."""
    args = _arguments(argv)
    if args.leave_out in (args.only or []) or (args.only or [""]) == [args.leave_out]:
        raise ExportError(f"--leave-out {args.leave_out} is also in --only")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    names = [n for n in args.only or PACKS if n != args.leave_out]
    packs = [read_pack(args.data, name) for name in names]
    left_out = read_pack(args.data, args.leave_out) if args.leave_out else None
    settings = Settings(**{name: getattr(args, name) for name in _SETTINGS})
    torch.manual_seed(args.seed)  # the heads' first weights
    heads = heads_of(packs)
    teacher = Teacher(args.teacher, heads, args.device) if args.teacher else None
    model = new_model(args.base, heads, settings)
    if settings.neurons:
        narrow(model, packs, settings.neurons)
    losses = {spec.name: HeadLoss(spec, packs) for spec in model.specs}
    if settings.hearings:
        heard = hear(model, losses, packs, settings, args.out, teacher)
        fit_heads(model, losses, packs, heard, settings)
    else:
        standardise(model, packs)
    if settings.steps:
        train(
            model.to(args.device),
            packs,
            settings,
            args.out,
            stop_step=args.stop_step,
            resume=args.resume,
            teacher=teacher,
        )
        plot_curves(args.out)
    if not args.no_report:
        finish(
            model,
            losses,
            packs,
            left_out,
            args.out,
            command=_command(args),
            rows=args.report_rows,
        )
    return 0


def _command(args: argparse.Namespace) -> str:
    """What makes the checkpoint again, without anybody's paths."""
    base = args.base.name
    if base == "checkpoint":  # of another run of this recipe
        base = f"{args.base.parent.name}/{base}"
    words = [f"python -m affectrt.export.recipes.speech --base {base}"]
    words.append("--data data/speech --out OUT")
    if args.teacher:
        words.append(f"--teacher {args.teacher.parent.name}/{args.teacher.name}")
    if args.only:
        words.append(f"--only {' '.join(args.only)}")
    if args.leave_out:
        words.append(f"--leave-out {args.leave_out}")
    words += changed_settings(args, Settings, _SETTINGS)
    if args.stop_step:
        words.append(f"--stop-step {args.stop_step}")
    return " ".join(words)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.speech",
        description="Fine-tune Whisper's encoder for affect; see the package's docstring",
    )
    parser.add_argument("--base", type=Path, required=True, help="folder of a Whisper encoder")
    parser.add_argument("--teacher", type=Path, help="checkpoint to distil, for fewer --layers")
    parser.add_argument("--data", type=Path, required=True, help="folder of the speech packs")
    parser.add_argument("--out", type=Path, required=True, help="where state and figures go")
    parser.add_argument("--only", nargs="+", choices=tuple(PACKS), help="these packs alone")
    parser.add_argument(
        "--leave-out", choices=tuple(PACKS), help="train on the others, test on all of this one"
    )
    add_settings(parser, Settings, _SETTINGS)
    parser.add_argument("--stop-step", type=int, help="end before the schedule does")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--report-rows", type=int, help="of each dev and test; all if not given")
    parser.add_argument("--no-report", action="store_true", help="train only")
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(argv)

"""`affectrt export`: a fine-tuned checkpoint to one model file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import InputError
from .common import EXIT_OK, UsageError, note
from .exporting import add_source_arguments, existing, source_of

SUMMARY = "make a model file of a fine-tuned checkpoint"
DESCRIPTION = """\
Turns a local checkpoint into one .affect file, checks it against the checkpoint, and keeps the
report in the file. Taken are sequence, token and audio classifiers and question answering models
of Hugging Face, LoRA adapters, encoders with a linear probe, and existing ONNX models.
Needs: pip install "affectrt[export]"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="the checkpoint's directory, or a file .onnx"
    )
    parser.add_argument("--out", metavar="X.affect", help="the file to write")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done and why: family, heads, activation, precision, bytes",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16", "int8", "int8-accurate", "int8-static", "int4"),
        default="fp32",
        help="of the weights",
    )
    parser.add_argument(
        "--engine",
        action="append",
        choices=("native", "onnxruntime"),
        help="what the file runs on; may be given twice "
        "(default: native where it computes the family, else onnxruntime)",
    )
    parser.add_argument(
        "--data", metavar="FILE.jsonl", help='rows {"text", "label"|"labels"|"value"} to check on'
    )
    parser.add_argument(
        "--calibration",
        choices=("minmax", "percentile", "entropy"),
        default="minmax",
        help="of int8-static: how scales of activations are found on --data",
    )
    parser.add_argument(
        "--smooth",
        type=float,
        nargs="?",
        const=0.5,
        metavar="S",
        help="of int8: move outliers of activations into weights first, with strength S (0.5)",
    )
    parser.add_argument(
        "--tensorrt",
        metavar="CC,CC",
        help="put TensorRT-RTX engines for these GPU compute capabilities (8.6,8.9,12.0) in as "
        "well: float16 with --precision fp32 --engine onnxruntime, int8 with int8-static",
    )
    parser.add_argument(
        "--via",
        choices=("torch", "optimum"),
        default="torch",
        help='what makes the ONNX graph; optimum needs pip install "affectrt[optimum]"',
    )
    bars = parser.add_mutually_exclusive_group()
    bars.add_argument(
        "--max-loss",
        type=_share,
        metavar="X",
        help="of int8: keep the fewest layers in higher precision with which no task metric falls "
        "by more than X (0.003) on --data",
    )
    bars.add_argument(
        "--max-flips",
        type=_share,
        metavar="X",
        help="the same for the share of decisions that flip (0.5%% or 0.005)",
    )
    parser.add_argument(
        "--no-search-times",
        action="store_true",
        help="do not measure the times of what --max-loss and --max-flips try",
    )
    parser.add_argument(
        "--prune-vocabulary",
        metavar="CORPUS",
        help="of the native engine: put embeddings of tokens that these texts (one a line, or "
        ".jsonl) have not into a file X.affect.rows of their own",
    )
    parser.add_argument("--name", help="the model's name (default: the checkpoint's)")
    parser.add_argument(
        "--certificate",
        action="append",
        default=[],
        metavar="FILE",
        help="write the parity report to a .html or .json file as well; may be repeated",
    )
    parser.add_argument(
        "--sign-key", metavar="KEY.pem", help="sign the file with this Ed25519 private key"
    )
    add_source_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.005 or 0.5%")
    return value


def run(args: argparse.Namespace) -> int:
    if args.out is None and not args.dry_run:
        raise UsageError("the following arguments are required: --out (or --dry-run)")
    existing(args.checkpoint, "checkpoint", folder=not args.checkpoint.endswith(".onnx"))
    data = existing(args.data, "data file") if args.data else None
    corpus = existing(args.prune_vocabulary, "corpus") if args.prune_vocabulary else None
    if args.sign_key:
        existing(args.sign_key, "key to sign with")
    if args.dry_run:
        module, source = source_of(args, args.checkpoint)
        described = module.describe_checkpoint(
            source, precision=args.precision, engines=args.engine
        )
        said = json.dumps(described.to_dict()) if args.json else described.to_text()
        print(said)
        return EXIT_OK
    out = Path(args.out)
    if out.is_dir():
        raise InputError(f"--out {args.out!r} is a directory; give a file")
    if out.exists() and not args.overwrite:
        raise InputError(f"--out {args.out!r} exists; replace it with --overwrite")
    if not out.parent.is_dir():
        raise InputError(f"--out {args.out!r}: there is no directory {str(out.parent)!r}")
    module, source = source_of(args, args.checkpoint)
    report = module.export_checkpoint(
        source,
        out,
        precision=args.precision,
        engines=args.engine,
        data=data,
        name=args.name,
        overwrite=args.overwrite,
        max_loss=args.max_loss,
        max_flips=args.max_flips,
        search_times=not args.no_search_times,
        calibration=args.calibration,
        smooth=args.smooth,
        tensorrt=args.tensorrt.split(",") if args.tensorrt else (),
        via=args.via,
        certificates=[Path(file) for file in args.certificate],
        sign_key=args.sign_key,
        prune_vocabulary=corpus,
        progress=lambda *step: note(" ".join(map(str, step))),
    )
    print(json.dumps(report.to_dict(), ensure_ascii=False) if args.json else report.to_text())
    note(f"{out} written, {out.stat().st_size / 1e6:,.1f} MB")
    return EXIT_OK

"""`affectrt export`: a fine-tuned checkpoint to one model file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import InputError
from .common import EXIT_OK, note
from .exporting import existing, export_module

SUMMARY = "make a model file of a fine-tuned checkpoint"
DESCRIPTION = """\
Turns a local Hugging Face sequence-classification checkpoint into one .affect file, checks it
against the checkpoint, and keeps the report in the file. Needs: pip install "affectrt[export]"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="the checkpoint's directory")
    parser.add_argument("--out", required=True, metavar="X.affect", help="the file to write")
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8", "int8-accurate"),
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
    parser.add_argument("--name", help="the model's name (default: the checkpoint's)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--json", action="store_true", help="print the parity report as JSON")


def run(args: argparse.Namespace) -> int:
    checkpoint = existing(args.checkpoint, "checkpoint", folder=True)
    data = existing(args.data, "data file") if args.data else None
    out = Path(args.out)
    if out.is_dir():
        raise InputError(f"--out {args.out!r} is a directory; give a file")
    if out.exists() and not args.overwrite:
        raise InputError(f"--out {args.out!r} exists; replace it with --overwrite")
    if not out.parent.is_dir():
        raise InputError(f"--out {args.out!r}: there is no directory {str(out.parent)!r}")
    report = export_module().export_checkpoint(
        checkpoint,
        out,
        precision=args.precision,
        engines=args.engine,
        data=data,
        name=args.name,
        overwrite=args.overwrite,
        progress=lambda *step: note(" ".join(map(str, step))),
    )
    print(json.dumps(report.to_dict(), ensure_ascii=False) if args.json else report.to_text())
    note(f"{out} written, {out.stat().st_size / 1e6:,.1f} MB")
    return EXIT_OK

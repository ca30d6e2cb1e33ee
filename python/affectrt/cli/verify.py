"""`affectrt verify`: does a model file give its checkpoint's answers?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .common import EXIT_OK
from .exporting import existing, export_module

SUMMARY = "prove that a model file gives its checkpoint's answers"
DESCRIPTION = """\
Compares token ids, logits and decided labels of a model file with those of the checkpoint it was
made of. Fails (exit code 1) beyond the bars. Needs: pip install "affectrt[export]"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="X.affect", help="the model file")
    parser.add_argument(
        "--against", required=True, metavar="CHECKPOINT", help="the checkpoint's directory"
    )
    parser.add_argument(
        "--data", metavar="FILE.jsonl", help='rows {"text", ...} to compare on (default: built in)'
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    model = existing(args.model, "model file", folder=Path(args.model).is_dir())
    checkpoint = existing(args.against, "checkpoint", folder=True)
    data = existing(args.data, "data file") if args.data else None
    report = export_module().verify(model, checkpoint, data=data)
    print(json.dumps(report.to_dict(), ensure_ascii=False) if args.json else report.to_text())
    return EXIT_OK

"""`affectrt verify`: does a model file give its checkpoint's answers?"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from .. import _core
from ..errors import NotFoundError
from ..loading import available_models
from ..proof import check_proof, check_rows, check_signature
from .common import EXIT_OK, UsageError
from .exporting import add_source_arguments, existing, source_of

SUMMARY = "prove that a model file gives its checkpoint's answers"
DESCRIPTION = """\
Compares token ids, logits, decided labels and task metrics of a model file with those of the
checkpoint it was made of, and the outcome with the report in the file. Fails (exit code 1) beyond
the bars. Needs: pip install "affectrt[export]"

Without --against, checks what needs no checkpoint: every hash, that the report in the file passed
and is about these bytes, and with --public-key its signature.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="M", help="name of a known model or a .affect file")
    parser.add_argument("--against", metavar="CHECKPOINT", help="the checkpoint's directory")
    parser.add_argument(
        "--data", metavar="FILE.jsonl", help='rows {"text", ...} to compare on (default: built in)'
    )
    parser.add_argument(
        "--certificate",
        action="append",
        default=[],
        metavar="FILE",
        help="write the report to a .html or .json file as well; may be repeated",
    )
    parser.add_argument(
        "--public-key", metavar="KEY.pem", help="the Ed25519 key that the file must be signed with"
    )
    parser.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="NAME",
        help="compare on this execution provider of ONNX Runtime as well; may be repeated",
    )
    add_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    model = _model_file(args.model)
    if args.public_key:
        existing(args.public_key, "public key")
    if args.against is None:
        return _check_alone(model, args)
    existing(args.against, "checkpoint", folder=not args.against.endswith(".onnx"))
    data = existing(args.data, "data file") if args.data else None
    module, source = source_of(args, args.against)
    report = module.verify(
        model,
        source,
        data=data,
        certificates=[Path(file) for file in args.certificate],
        public_key=args.public_key,
        providers=args.provider,
    )
    print(json.dumps(report.to_dict(), ensure_ascii=False) if args.json else report.to_text())
    return EXIT_OK


def _model_file(given: str) -> Path:
    """That of a known model, or the path itself."""
    known = available_models()
    if given in known:
        return known[given]
    if not os.path.exists(given):
        names = ", ".join(known) or "none"
        raise NotFoundError(f"no model file {given!r}; models known by name: {names}")
    return existing(given, "model file", folder=Path(given).is_dir())


def _check_alone(model: Path, args: argparse.Namespace) -> int:
    if args.data or args.certificate or args.provider:
        raise UsageError(
            "--data, --certificate and --provider compare anew and need --against CHECKPOINT"
        )
    from affectrt.export.bundle import read_manifest  # needs none of export's packages

    manifest = read_manifest(model)
    _core.verify_bundle(str(model))
    check_rows(str(model), manifest)
    if args.public_key:
        check_signature(str(model), manifest, args.public_key)
    check_proof(str(model), manifest, None)
    report = manifest["parity"]
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
        return EXIT_OK
    signed = "signature right, " if args.public_key else ""
    print(
        f"{model}: {signed}hashes right; its report passed on {report['rows']} rows of "
        f"{report['data']} ({len(report['heads'])} heads and backends). "
        "--against CHECKPOINT measures anew."
    )
    return EXIT_OK

"""The weighted mean of two checkpoints that were fine-tuned from the same base ("model soup",
Wortsman et al. 2022), with decisions fitted anew.

    python -m affectrt.export.recipes.multitask.average NEW OLD --part 0.25 \\
        --model text-permissive --data data/text --out OUT

NEW and OLD are pooled checkpoints or model files; OLD may lack heads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from affectrt.errors import ExportError
from affectrt.export.checkpoint import LoadedCheckpoint, PooledEncoder, load_checkpoint
from affectrt.export.unpack import unpack_checkpoint

from .inputs import Tokens
from .packs import MODELS, SOURCES, shared_heads
from .report import finish


def averaged(loaded: LoadedCheckpoint, old: Path, part: float) -> PooledEncoder:
    """The model of `loaded` with ``(1 - part) * its + part * old`` as the weights that both have;
    heads that `old` has not, or has with other labels, stay as they are.

    Raises:
        ExportError: their trunks have other shapes, or one is no pooled checkpoint.
    """
    other = load_checkpoint(old)
    if not (isinstance(loaded.model, PooledEncoder) and isinstance(other.model, PooledEncoder)):
        raise ExportError("only pooled checkpoints are averaged")
    shared = shared_heads(loaded.heads, other.heads)
    alone = tuple(f"heads.{h.name}." for h in loaded.heads if h.name not in shared)
    theirs = other.model.state_dict()
    mean = {}
    for name, ours in loaded.model.state_dict().items():
        if name.startswith(alone) or not ours.is_floating_point():
            mean[name] = ours
        elif name not in theirs or theirs[name].shape != ours.shape:
            raise ExportError(f"{old}: has no {name} of shape {list(ours.shape)}: another trunk")
        else:
            mean[name] = torch.lerp(ours, theirs[name], part)
    loaded.model.load_state_dict(mean)
    return loaded.model


def main(argv: Sequence[str] | None = None) -> int:
    """Average, fit, measure, write; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.multitask.average",
        description="The weighted mean of two checkpoints of one base",
    )
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("--part", type=float, required=True, help="of OLD, from 0 to 1")
    parser.add_argument("--model", choices=tuple(MODELS), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the text packs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--report-tokens", type=int, help="of each dev and test, about")
    args = parser.parse_args(argv)
    if not 0 <= args.part <= 1:
        parser.error(f"--part is {args.part}, not from 0 to 1")
    args.out.mkdir(parents=True, exist_ok=True)
    new, old = (
        unpack_checkpoint(path, args.out / name) if path.suffix == ".affect" else path
        for name, path in (("new", args.new), ("old", args.old))
    )
    loaded = load_checkpoint(new)
    model = averaged(loaded, old, args.part)
    names = {spec.name for spec in model.specs}
    sources = [SOURCES[name](args.data) for name in MODELS[args.model]]
    sources = [s for s in sources if names & {h.name for h in s.heads}]
    command = loaded.card.get("recipe", "NEW")
    finish(
        model,
        {},
        sources,
        Tokens(new / "tokenizer.json"),
        args.data,
        new / "tokenizer.json",
        args.out,
        name=args.model,
        command=f"{command}; then python -m affectrt.export.recipes.multitask.average OUT OLD "
        f"--part {args.part} --model {args.model} --data data/text --out MEAN"
        + (f" --report-tokens {args.report_tokens}" if args.report_tokens else ""),
        report_tokens=args.report_tokens,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

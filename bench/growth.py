"""How cost grows: with a text's length, with the texts of a call and threads, and with heads.

    python -m bench.growth [--seconds S] [--only length batch heads]

Writes ``bench/results/growth.{json,md,png}``. Sizes take turns within every round, so that a
drifting clock changes all of them alike. The heads are linear layers on one random trunk of the
default model's shape, made by `affectrt.export`; they need its extra (torch).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import affectrt

from .inputs import goemotions, joined
from .plots import OWN_COLOUR, PEER_COLOURS, figure, save, tidy
from .report import write_results
from .timing import ROOT, Spread, interleave, machine, ratio, seconds, spread

RESULTS = ROOT / "bench" / "results"
LENGTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
HEADS = (1, 2, 3, 4, 5, 6, 7, 8)
PARTS = ("length", "batch", "heads")

Data = Mapping[str, Any]
Sides = Mapping[str, Callable[[], float]]


def timed(sides: Sides, budget: float) -> dict[str, list[float]]:
    """As many rounds of all sides as fit `budget` seconds; five at least, for quartiles."""
    start = time.perf_counter()
    for side in sides.values():
        side()
    round_seconds = time.perf_counter() - start
    return interleave(sides, max(5, min(200, int(budget / max(round_seconds, 1e-6)))), warmup=0)


def _length_of(model: affectrt.Model) -> Callable[[str], int]:
    return lambda text: len(model.tokenizer.encode(text).ids)


def lengths(budget: float) -> dict[str, Any]:
    """Milliseconds of one text by its tokens, one thread and two."""
    texts = goemotions()
    models = {threads: affectrt.load(num_threads=threads) for threads in (1, 2)}
    length = _length_of(models[1])
    inputs = {tokens: joined(texts, tokens, 8, length) for tokens in LENGTHS}
    for chosen in inputs.values():  # both sides agree
        same = np.array_equal(models[1].predict_logits(chosen), models[2].predict_logits(chosen))
        if not same:
            raise SystemExit("one thread and two answer differently")

    def side(model: affectrt.Model, chosen: Sequence[str]) -> Callable[[], float]:
        return lambda: seconds(lambda: [model(text) for text in chosen]) / len(chosen)

    sides = {
        f"{threads}/{tokens}": side(model, chosen)
        for threads, model in models.items()
        for tokens, chosen in inputs.items()
    }
    times = timed(sides, budget)
    return {
        str(threads): {
            str(tokens): spread([1e3 * t for t in times[f"{threads}/{tokens}"]]).to_dict()
            for tokens in LENGTHS
        }
        for threads in models
    }


def batches(budget: float) -> dict[str, Any]:
    """Texts a second by texts in a call, one thread and two."""
    texts = goemotions("test", max(BATCHES))
    models = {threads: affectrt.load(num_threads=threads) for threads in (1, 2)}
    alone = np.concatenate([models[1].predict_logits(text) for text in texts])
    for model in models.values():
        if not np.array_equal(model.predict_logits(texts), alone):
            raise SystemExit("a batch answers differently from its texts alone")

    def side(model: affectrt.Model, size: int) -> Callable[[], float]:
        calls = [texts[i : i + size] for i in range(0, len(texts), size)]
        return lambda: len(texts) / seconds(lambda: [model(call) for call in calls])

    sides = {
        f"{threads}/{size}": side(model, size)
        for threads, model in models.items()
        for size in BATCHES
    }
    rates = timed(sides, budget)
    return {
        str(threads): {str(size): spread(rates[f"{threads}/{size}"]).to_dict() for size in BATCHES}
        for threads in models
    }


def make_models(folder: Path) -> dict[int, Path]:
    """Random int8 models of the default model's shape with so many heads, which share weights:
    head 0 of all of them is the same."""
    import torch
    from transformers import AutoModel, BertConfig

    from affectrt.export import HeadSpec, PooledEncoder, save_pooled_checkpoint
    from affectrt.export.bundle import write_bundle
    from affectrt.export.checkpoint import load_checkpoint
    from affectrt.export.manifest import make_manifest
    from affectrt.export.native_weights import write_native_weights

    source = affectrt.available_models()["text"]
    with zipfile.ZipFile(source) as archive:
        given = json.loads(archive.read("config.json"))
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_bytes(archive.read("tokenizer.json"))
    labels = affectrt.load(source).labels()
    known = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = BertConfig(vocab_size=given["vocab_size"], **{key: given[key] for key in known})
    torch.manual_seed(1)
    encoder = AutoModel.from_config(config, add_pooling_layer=False)
    specs = [HeadSpec(f"head{i}", "multi_label", labels, f"head{i}") for i in range(max(HEADS))]
    largest = PooledEncoder(encoder, specs).eval()
    found = {}
    for count in HEADS:
        network = PooledEncoder(encoder, specs[:count]).eval()
        for spec in specs[:count]:
            network.heads[spec.name].load_state_dict(largest.heads[spec.name].state_dict())
        checkpoint_folder = folder / f"heads{count}"
        save_pooled_checkpoint(network, checkpoint_folder, tokenizer)
        checkpoint = load_checkpoint(checkpoint_folder)
        manifest = make_manifest(
            checkpoint,
            name=f"heads{count}",
            precision="int8",
            recipe="python -m bench.growth",
            entries=("config.json", "tokenizer.json", "weights.safetensors"),
        )
        found[count] = folder / f"heads{count}.affect"
        write_bundle(
            found[count],
            manifest,
            {
                "config.json": (checkpoint_folder / "config.json").read_bytes(),
                "tokenizer.json": tokenizer,
                "weights.safetensors": write_native_weights(checkpoint, "int8"),
            },
        )
    return found


def heads(budget: float) -> dict[str, Any]:
    """One trunk with n heads against n models with one: the ratio of times, and bytes."""
    texts = goemotions("test", 64)
    with tempfile.TemporaryDirectory() as scratch:
        files = make_models(Path(scratch))
        together = {count: affectrt.load(file, num_threads=1) for count, file in files.items()}
        apart = [affectrt.load(files[1], num_threads=1) for _ in range(max(HEADS))]
        expected = apart[0].predict_logits(texts, "head0")
        for model in together.values():
            if not np.array_equal(model.predict_logits(texts, "head0"), expected):
                raise SystemExit("a head answers differently beside others")

        def one(model: affectrt.Model, single: bool) -> Callable[[], float]:
            if single:
                return lambda: seconds(lambda: [model(text) for text in texts]) / len(texts)
            return lambda: seconds(lambda: model(texts)) / len(texts)

        def many(models: Sequence[affectrt.Model], single: bool) -> Callable[[], float]:
            works = [one(model, single) for model in models]
            return lambda: sum(work() for work in works)

        sides: dict[str, Callable[[], float]] = {}
        for count in HEADS:
            for job, single in (("single", True), ("offline", False)):
                sides[f"together/{count}/{job}"] = one(together[count], single)
                sides[f"apart/{count}/{job}"] = many(apart[:count], single)
        times = timed(sides, budget)
        return {
            str(count): {
                "bytes_together": files[count].stat().st_size,
                "bytes_apart": count * files[1].stat().st_size,
                **{
                    job: {
                        "together_us": spread(
                            [1e6 * t for t in times[f"together/{count}/{job}"]]
                        ).to_dict(),
                        "ratio": ratio(
                            times[f"apart/{count}/{job}"], times[f"together/{count}/{job}"]
                        ).to_dict(),
                    }
                    for job in ("single", "offline")
                },
            }
            for count in HEADS
        }


def _cell(value: Mapping[str, float]) -> str:
    shown = Spread(**value)
    digits = 0 if shown.median >= 100 else 2
    return f"{shown.median:,.{digits}f} ({shown.lower:,.{digits}f}-{shown.upper:,.{digits}f})"


def markdown(data: Data) -> str:
    """The report: medians, quartiles in brackets."""
    about = data["machine"]
    lines = ["# Growth of cost", ""]
    if data["provisional"]:
        lines += ["**Provisional: taken on a machine that did other work, too.**", ""]
    lines += [
        f"{about['cpu']}, {about['date']}, revision {about['revision']}. Made by "
        "`python -m bench.growth`. Medians, quartiles in brackets; within a table all rows took "
        "turns.",
    ]
    if "length" in data:
        one, two = data["length"]["1"], data["length"]["2"]
        lines += ["", "## One text by its length", ""]
        lines += ["| tokens | 1 thread, ms | us a token | 2 threads, ms |", "|---|---|---|---|"]
        for tokens, value in one.items():
            each = 1e3 * value["median"] / int(tokens)
            lines.append(f"| {tokens} | {_cell(value)} | {each:.1f} | {_cell(two[tokens])} |")
    if "batch" in data:
        one, two = data["batch"]["1"], data["batch"]["2"]
        lines += ["", "## Texts a second by texts in a call (GoEmotions)", ""]
        lines += ["| texts | 1 thread | 2 threads |", "|---|---|---|"]
        lines += [f"| {size} | {_cell(one[size])} | {_cell(two[size])} |" for size in one]
    if "heads" in data:
        lines += ["", "## Heads on one trunk against as many models with one head, 1 thread", ""]
        lines += [
            "| heads | one text, us | models / trunk | offline, us a text | models / trunk | MB |",
            "|---|---|---|---|---|---|",
        ]
        for count, row in data["heads"].items():
            size = f"{row['bytes_together'] / 1e6:.1f} against {row['bytes_apart'] / 1e6:.1f}"
            cells = [
                cell
                for job in ("single", "offline")
                for cell in (_cell(row[job]["together_us"]), _cell(row[job]["ratio"]))
            ]
            lines.append(f"| {count} | {' | '.join(cells)} | {size} |")
    return "\n".join(lines) + "\n"


def _curve(axes: Any, rows: Mapping[str, Mapping[str, float]], label: str, colour: str) -> None:
    places = [int(key) for key in rows]
    axes.plot(places, [row["median"] for row in rows.values()], ".-", color=colour, label=label)
    lower = [row["lower"] for row in rows.values()]
    upper = [row["upper"] for row in rows.values()]
    axes.fill_between(places, lower, upper, color=colour, alpha=0.2)


def picture(data: Data, file: Path) -> None:
    """A panel for each part."""
    parts = [part for part in PARTS if part in data]
    image = figure(4.5 * len(parts), 4.0)
    for axes, part in zip(image.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        if part == "heads":
            for job, colour in (("single", OWN_COLOUR), ("offline", PEER_COLOURS[0])):
                rows = {count: row[job]["ratio"] for count, row in data[part].items()}
                _curve(axes, rows, "one text" if job == "single" else "offline", colour)
            axes.set_xlabel("heads")
            axes.set_ylabel("models of one head / one trunk, time")
        else:
            for threads, colour in (("1", OWN_COLOUR), ("2", PEER_COLOURS[0])):
                label = f"{threads} thread{'s' if threads != '1' else ''}"
                _curve(axes, data[part][threads], label, colour)
            axes.set_xlabel("tokens" if part == "length" else "texts in a call")
            axes.set_ylabel("ms" if part == "length" else "texts a second")
        if part == "length":
            axes.set_yscale("log", base=2)
            axes.yaxis.set_major_formatter("{x:g}")
        else:
            axes.set_ylim(bottom=0)
        tidy(axes)
        axes.legend(fontsize="small")
    save(image, file)


def main() -> int:
    parser = argparse.ArgumentParser(description="How cost grows.")
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="of each part (default: 60)"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--provisional", action="store_true", help="say so in the report")
    arguments = parser.parse_args()
    if not (arguments.seconds > 0 and math.isfinite(arguments.seconds)):
        parser.error("--seconds must be above 0")
    work = {"length": lengths, "batch": batches, "heads": heads}
    data: dict[str, Any] = {"machine": machine(), "provisional": arguments.provisional}
    for part in PARTS:
        if part in arguments.only:
            data[part] = work[part](arguments.seconds)
    picture(data, write_results(arguments.out, "growth", data, markdown(data)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

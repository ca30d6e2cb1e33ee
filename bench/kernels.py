"""Kernels beside what the machine can do, and where the time of an offline run goes.

    python -m bench.kernels [--isa avx512-vnni avx2] [--model FILE.affect] [--rounds N]

Builds ``bench/cpp`` (CMake, a C++17 compiler), runs it once per instruction set and writes
``bench/results/kernels.{json,md,png}``. The peak is a loop over registers of the same instructions,
run just before and after each measurement; times are those that the thread had a CPU for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import affectrt

from .inputs import goemotions
from .plots import OWN_COLOUR, PEER_COLOURS, figure, save, tidy
from .report import write_results
from .timing import ROOT, interleave, limit_threads, machine, quantile

RESULTS = ROOT / "bench" / "results"
PROGRAMS = ("kernels_bench", "offline_profile")
_KINDS = {
    "u8s8": "W7A8: 7-bit weights x 8-bit activations",
    "s16s16": "W8A16: 8-bit weights x 16-bit activations",
    "f32": "float32",
}
_GOAL = 0.75  # of the kernels' own measured peak, end to end

Data = Mapping[str, Any]


def build(folder: Path) -> Path:
    """Builds the programs in `folder`; returns where they lie.

    Raises:
        SystemExit: CMake or the compiler failed; what they said stands above.
    """
    configure = ["cmake", "-S", str(ROOT), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"]
    configure += ["-DAFFECTRT_BENCH=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    make = ["cmake", "--build", str(folder), "--target", *PROGRAMS, "--parallel", "2"]
    for command in (configure, make):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise SystemExit(f"failed: {' '.join(command)}")
    return folder / "bench" / "cpp"


def run(program: Path, *arguments: str, isa: str) -> dict[str, Any]:
    """What `program` reports on the instruction set `isa` ("": the best).

    Raises:
        SystemExit: it failed; its message.
    """
    environment = {k: v for k, v in os.environ.items() if k != "AFFECTRT_ISA"}
    if isa:
        environment["AFFECTRT_ISA"] = isa
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip() or f"{program} failed")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def python_share(model_file: Path, texts: Sequence[str], rounds: int) -> float:
    """The share of calling a model that is spent above the compiled module, single-threaded."""
    model = affectrt.load(model_file, num_threads=1)
    given = list(texts)

    def seconds(work: Any) -> float:
        start = time.thread_time()
        work()
        return time.thread_time() - start

    times = interleave(
        {
            "whole": lambda: seconds(lambda: model(given)),
            "core": lambda: seconds(lambda: model._core.predict(given)),
        },
        rounds,
    )
    return max(0.0, 1 - quantile(times["core"], 0.5) / quantile(times["whole"], 0.5))


def best_gemm(kernels: Data) -> float:
    """The kernels' own best share of the peak in W7A8, at the default model's shapes."""
    found = [
        g["share"]
        for g in kernels["gemm"]
        if g["kind"] == "u8s8" and g["model"] == "MiniLM-L6" and g["rows"] >= 48
    ]
    return float(max(found))


def _gemm(kernels: Data, kind: str, model: str, weights: str) -> dict[str, list[Data]]:
    layers: dict[str, list[Data]] = {}
    for one in kernels["gemm"]:
        if (one["kind"], one["model"], one["weights"]) == (kind, model, weights):
            layers.setdefault(one["layer"], []).append(one)
    return layers


def _cell(one: Data) -> str:
    gops = f"{2e-9 * one['rate']:.0f}"
    return f"{gops} ({one['share']:.0%})" if "share" in one else gops


def _gemm_tables(kernels: Data) -> list[str]:
    lines: list[str] = []
    for kind, title in _KINDS.items():
        lines += ["", f"### {title}", ""]
        rows = sorted({one["rows"] for one in kernels["gemm"]})
        lines.append("| layer | weights | " + " | ".join(f"{n}" for n in rows) + " |")
        lines.append("|---|---|" + "---|" * len(rows))
        for model in ("MiniLM-L6", "BERT-base"):
            for weights in ("cached", "streamed"):
                for layer, found in _gemm(kernels, kind, model, weights).items():
                    shape = f"{found[0]['inputs']} x {found[0]['outputs']}"
                    cells = " | ".join(_cell(one) for one in found)
                    name = f"{model} {layer}, {shape} ({found[0]['epilogue']})"
                    lines.append(f"| {name} | {weights} | {cells} |")
    return lines


def _attention_table(kernels: Data) -> list[str]:
    cells: dict[tuple[str, str], dict[int, str]] = {}
    for one in kernels["attention"]:
        cells.setdefault((one["step"], one["arithmetic"]), {})[one["tokens"]] = _cell(one)
    tokens = sorted({one["tokens"] for one in kernels["attention"]})
    lines = [
        "",
        "### Attention, heads of 32 columns",
        "",
        "Tokens across. *All* is the attention of a layer of 12 heads: packing, both products and "
        "the softmax; its Gop/s count the products alone.",
        "",
        "| step | numbers | " + " | ".join(f"{n}" for n in tokens) + " |",
        "|---|---|" + "---|" * len(tokens),
    ]
    for (step, arithmetic), row in sorted(cells.items()):
        lines.append(f"| {step} | {arithmetic} | " + " | ".join(row[n] for n in tokens) + " |")
    return lines


def profile(run_of: Data) -> list[tuple[str, float]]:
    """Parts of a call of the Python model and their shares, the largest first."""
    offline = run_of["offline"]
    seconds = offline["seconds"]
    below = 1 - run_of["python_share"]  # the compiled module's share
    shares = {
        "Python: arguments and results": run_of["python_share"],
        "tokeniser": below * seconds["tokenise"] / seconds["predict"],
        "decoding": below * seconds["decode"] / seconds["predict"],
    }
    encode = below * min(1.0, seconds["encode"] / seconds["predict"])
    kernels = offline["share_of_encode"]
    rates = {
        one["layer"]: one["rate"]
        for one in run_of["kernels"]["gemm"]
        if (one["kind"], one["model"], one["rows"], one["weights"])
        == ("u8s8", "MiniLM-L6", 96, "streamed")
    }
    gelu = max(0.0, 1 - rates["up"] / rates["query, key, value"])
    for name, share in kernels.items():
        if name == "matrix products with GELU":
            shares["matrix products"] = encode * (
                kernels["matrix products"] + (1 - gelu) * kernels[name]
            )
            shares["GELU (the rate of its product against one without)"] = encode * gelu * share
        elif name != "matrix products":
            shares[name] = encode * share
    shares["batches, copies and what is left"] = max(0.0, 1 - sum(shares.values()))
    return sorted(shares.items(), key=lambda item: -item[1])


def markdown(data: Data) -> str:
    """The report."""
    about = data["machine"]
    lines = ["# Kernels", ""]
    if data["provisional"]:
        lines += ["**Provisional: taken on a machine that did other work, too.**", ""]
    lines += [
        f"{about['cpu']}, {about['date']}, revision {about['revision']}. Made by "
        "`python -m bench.kernels`; Gop/s count a multiply-add as two. In brackets the share of "
        "the machine's own peak: a loop over registers of the same instructions, run just before "
        "and after. *Cached* weights are those of the last call, *streamed* ones come from beyond "
        "the second-level cache, as in a pass through a model.",
        "",
        "| instruction set | numbers | instructions | peak, Gop/s |",
        "|---|---|---|---|",
    ]
    for isa, run_of in data["isas"].items():
        for kind, peak in run_of["kernels"].get("peak", {}).items():
            lines.append(f"| {isa} | {kind} | {peak['instructions']} | {2e-9 * peak['rate']:.0f} |")
    lines += ["", "## End to end", ""]
    lines += [
        f"The default model on {data['texts']:,} texts of GoEmotions ({data['split']}), one "
        f"thread, `model(texts)`. Goal: {_GOAL:.0%} of the kernels' own best.",
        "",
        "| instruction set | int8 Gop/s | of the register peak | of the kernels' own best "
        "| texts/s in C++ |",
        "|---|---|---|---|---|",
    ]
    for isa, run_of in data["isas"].items():
        offline = run_of["offline"]
        if "share_of_peak" not in offline:
            continue
        low, high = offline["share_of_peak_quartiles"]
        rate = offline["macs_int"] / offline["seconds"]["predict"]
        share = offline["share_of_peak"]
        lines.append(
            f"| {isa} | {2e-9 * rate:.0f} | {share:.0%} ({low:.0%}-{high:.0%}) "
            f"| **{share / best_gemm(run_of['kernels']):.0%}** "
            f"| {offline['texts'] / offline['seconds']['predict']:,.0f} |"
        )
    lines += ["", "### Where the time goes", ""]
    lines += ["| part | " + " | ".join(data["isas"]) + " |", "|---|" + "---|" * len(data["isas"])]
    tables = {
        isa: dict(profile(run_of))
        for isa, run_of in data["isas"].items()
        if "share_of_peak" in run_of["offline"]
    }
    for name in next(iter(tables.values()), {}):
        cells = " | ".join(f"{table.get(name, 0):.1%}" for table in tables.values())
        lines.append(f"| {name} | {cells} |")
    for isa, run_of in data["isas"].items():
        kernels = run_of["kernels"]
        lines += ["", f"## {isa}", "", "Rows across, Gop/s and share of the peak below."]
        lines += _gemm_tables(kernels)
        lines += _attention_table(kernels)
        lines += [
            "",
            "### Row kernels: GB/s read and written, against `memcpy` of as many bytes",
            "",
        ]
        lines += ["| kernel | rows x columns | GB/s | of memcpy |", "|---|---|---|---|"]
        lines += [
            f"| {one['kernel']} | {one['rows']} x {one['columns']} | {1e-9 * one['rate']:.1f} "
            f"| {one['share']:.0%} |"
            for one in kernels["rows"]
        ]
    return "\n".join(lines) + "\n"


def picture(data: Data, file: Path) -> None:
    """Share of the peak over rows, for the default model's layers."""
    isas = [isa for isa, run_of in data["isas"].items() if "peak" in run_of["kernels"]]
    if not isas:
        return
    image = figure(4.5 * len(isas), 4.0)
    for axes, isa in zip(image.subplots(1, len(isas), squeeze=False)[0], isas, strict=True):
        kernels = data["isas"][isa]["kernels"]
        for index, kind in enumerate(_KINDS):
            colour = OWN_COLOUR if kind == "u8s8" else PEER_COLOURS[index]
            for weights, style in (("cached", "-"), ("streamed", "--")):
                layers = _gemm(kernels, kind, "MiniLM-L6", weights).values()
                rows = [one["rows"] for one in next(iter(layers))]
                shares = [[one["share"] for one in layer] for layer in layers]
                share = [sum(column) / len(column) for column in zip(*shares, strict=True)]
                label = f"{kind}, {weights}"
                axes.plot(rows, share, style, marker=".", color=colour, label=label)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylim(0, 1.05)
        axes.set_title(isa)
        axes.set_xlabel("rows (tokens)")
        axes.set_ylabel("share of the machine's peak")
        tidy(axes)
        axes.legend(fontsize="small")
    save(image, file)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures of a run."""
    programs = build(arguments.build)
    model = arguments.model or affectrt.available_models()["text"]
    texts = [" ".join(text.split()) for text in goemotions("test", arguments.texts)]
    isas: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch) / "texts.txt"
        lines.write_text("\n".join(texts) + "\n", encoding="utf-8")
        rounds = str(arguments.rounds)
        for wanted in arguments.isa or [""]:
            kernels = run(programs / "kernels_bench", "--rounds", rounds, isa=wanted)
            isa = kernels["isa"]
            offline = run(
                programs / "offline_profile", str(model), str(lines), "--rounds", "5", isa=isa
            )
            isas[isa] = {"kernels": kernels, "offline": offline}
            code = (
                "import sys; from pathlib import Path; from bench.kernels import python_share; "
                "texts = Path(sys.argv[2]).read_text(encoding='utf-8').splitlines(); "
                "print(python_share(Path(sys.argv[1]), texts, 3))"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, str(model), str(lines)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, **limit_threads(1), "AFFECTRT_ISA": isa},
            )
            isas[isa]["python_share"] = float(done.stdout)
    return {
        "machine": machine(),
        "provisional": arguments.provisional,
        "texts": len(texts),
        "split": "test",
        "isas": isas,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Kernels against the machine's own peak.")
    parser.add_argument("--isa", nargs="+", metavar="NAME", help="default: the best one here")
    parser.add_argument("--model", type=Path, help="an int8 .affect file (default: the embedded)")
    parser.add_argument("--texts", type=int, metavar="N", help="texts at most (default: all)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="of each kernel")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", metavar="DIR")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--provisional", action="store_true", help="say so in the report")
    arguments = parser.parse_args()
    data = measure(arguments)
    picture(data, write_results(arguments.out, "kernels", data, markdown(data)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

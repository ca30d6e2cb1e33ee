"""What affectrt does on a GPU: checks and times, for a machine that has one.

    python -m bench.gpu [--parts machine,features,...] [--model FILE.affect ...] [--checkpoint DIR]
                        [--texts FILE] [--test-cuda PROGRAM] [--rtx-model FILE.affect]
                        [--seconds N] [--out FOLDER]

Each part runs in a process of its own with a time limit; one that fails or hangs leaves the others
alone, and its last words stand in the result. `gpu.json` and `gpu.md` are written after each part.
Needs affectrt built with CUDA (`-C cmake.define.AFFECTRT_CUDA=ON`) and PyTorch; CuPy, torchaudio,
onnxruntime-gpu, compute-sanitizer and model files with a graph are used where they are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import gpu_feature_times, gpu_features, gpu_graph, gpu_rtx
from .report import write_results
from .timing import PACKAGES, ROOT, versions

Facts = dict[str, Any]


def _output(*command: str, limit: float = 60) -> tuple[bool, str]:
    """Whether a program ended well, and what it wrote."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return False, f"stopped after {limit:.0f} s"
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def machine_facts(_: argparse.Namespace) -> Facts:
    """The GPU, its driver, the processor, versions."""
    facts: Facts = {
        "versions": versions((*PACKAGES, "cupy-cuda13x", "torchaudio", "onnxruntime-gpu"))
    }
    query = "name,driver_version,compute_cap,memory.total,clocks.sm,clocks.mem,temperature.gpu"
    if shutil.which("nvidia-smi"):
        facts["gpu"] = _output("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader")[1]
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            facts["cpu"] = f"{line.partition(':')[2].strip()}, {os.cpu_count()} CPUs"
            break
    torch = gpu_features.module("torch")

    facts["torch"] = f"{torch.__version__}, CUDA {torch.version.cuda}"
    facts["cuda"] = torch.cuda.is_available()
    return facts


def sanitizer(arguments: argparse.Namespace) -> Facts:
    """The C++ test of the kernels under compute-sanitizer's four tools."""
    program = arguments.test_cuda
    tool = shutil.which("compute-sanitizer")
    if not program or not tool:
        return {"left out": "needs --test-cuda and compute-sanitizer"}
    passed, said = _output(program)
    facts: Facts = {"alone": _verdict(said)}
    for name in ("memcheck", "racecheck", "initcheck", "synccheck"):
        start = time.perf_counter()
        clean, said = _output(
            tool, "--tool", name, "--error-exitcode", "9", program, "-tc=a GPU's*", limit=25
        )
        passed = passed and clean
        facts[name] = _verdict(said)
        facts[f"{name}_s"] = round(time.perf_counter() - start, 1)
    return facts | {"passed": passed}


def _verdict(output: str) -> str:
    """The lines that say how it ended, else the last ones."""
    lines = output.splitlines()
    told = [
        s for s in lines if "SUMMARY" in s or "Status" in s or "ERROR" in s or "assertions" in s
    ]
    return " | ".join((told or lines)[-4:])[-600:]


PARTS: dict[str, tuple[Callable[[argparse.Namespace], Facts], float]] = {
    "machine": (machine_facts, 90),
    "features": (gpu_features.equality, 100),
    "graph": (gpu_graph.agreement, 90),
    "graph arrays": (gpu_graph.arrays, 90),
    "streams": (gpu_features.streams, 60),
    "refusals": (gpu_features.refusals, 40),
    "graph refusals": (gpu_graph.refusals, 40),
    "certificate": (gpu_graph.certificate, 90),
    "feature times": (gpu_feature_times.times, 90),
    "graph times": (gpu_graph.times, 120),
    "torch times": (gpu_graph.torch_times, 90),
    "tensorrt-rtx": (gpu_rtx.engines, 60),
    "sanitizer": (sanitizer, 120),
}


def _run_part(name: str, limit: float, given: list[str]) -> Facts:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "facts.json"
        command = [sys.executable, "-u", "-m", "bench.gpu", *given, "--part", name]
        start = time.perf_counter()
        with (Path(folder) / "log").open("w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                [*command, "--result", str(result)], cwd=ROOT, stdout=log, stderr=log
            )
            try:
                ended = f"exit status {process.wait(limit)}"
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                ended = f"stopped after {limit:.0f} s"
            log.seek(0)
            words = log.read()[-4000:]
        facts: Facts = json.loads(result.read_text("utf-8")) if result.is_file() else {}
        if not result.is_file() or "passed" not in facts:
            facts |= {"passed": False, "ended": ended, "last words": words}
        facts["seconds"] = round(time.perf_counter() - start, 1)
        return facts


def markdown(parts: dict[str, Facts]) -> str:
    """All facts, a list a part."""
    lines = [
        "# On a GPU",
        "",
        "Made by `python -m bench.gpu`; what each line is: `bench/gpu*.py`.",
        "",
    ]
    for name, facts in parts.items():
        verdict = "" if "passed" not in facts else ("passed" if facts["passed"] else "FAILED")
        lines += [f"## {name}: {verdict}, {facts.get('seconds', 0)} s", ""]
        for key, value in facts.items():
            if key in ("passed", "seconds"):
                continue
            text = (
                json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
            )
            lines.append(f"- {key}: {text}")
        lines.append("")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--parts", default=",".join(PARTS), help="names, with commas")
    parser.add_argument("--model", action="append", default=[], help="a file with model.onnx")
    parser.add_argument("--checkpoint", help="that of the first --model")
    parser.add_argument("--texts", help="a file, a text a line")
    parser.add_argument("--test-cuda", help="the program tests/cpp/test_cuda, built with CUDA")
    parser.add_argument("--rtx-model", help="a file exported with --tensorrt")
    parser.add_argument("--seconds", type=float, default=300, help="no part begins after this")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """The command; 1 where a part failed."""
    arguments = _parser().parse_args()
    if arguments.part:
        facts = PARTS[arguments.part][0](arguments)
        facts.setdefault("passed", True)
        arguments.result.write_text(json.dumps(facts), encoding="utf-8")
        return 0
    given = [part for model in arguments.model for part in ("--model", model)]
    for option in ("checkpoint", "texts", "test_cuda", "rtx_model"):
        value = getattr(arguments, option)
        given += [f"--{option.replace('_', '-')}", value] if value else []
    names = [name.strip() for name in arguments.parts.split(",")]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    begun = time.perf_counter()
    results: dict[str, Facts] = {}
    for name in names:
        left = arguments.seconds - (time.perf_counter() - begun)
        if left < 5:
            results[name] = {"passed": False, "left out": "no time was left"}
        else:
            results[name] = _run_part(name, min(PARTS[name][1], left), given)
        write_results(arguments.out, "gpu", results, markdown(results))
        print(f"== {name}: {json.dumps(results[name], ensure_ascii=False)[:1500]}", flush=True)
    return 0 if all(facts["passed"] for facts in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

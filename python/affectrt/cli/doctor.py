"""`affectrt doctor`: what this machine and this installation can do."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, _core
from ..errors import Error
from ..loading import available_models, find_onnxruntime, load
from .common import EXIT_ERROR, EXIT_OK
from .terminal import bold, columns, printable, terminal_width, use_colour, wrap

SUMMARY = "versions, CPU, backends, GPU and models of this installation"
DESCRIPTION = """\
Reports what there is and tries every known model on a sentence or a second of sound. Exit code 1
when something that inference needs is missing or broken; the report says what.
"""

_PROBE = "What a lovely surprise, thank you!"
_OPTIONAL = ("onnxruntime", "torch", "transformers", "tokenizers", "onnx", "safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tried(work: Callable[[], Any], problems: list[str], what: str) -> Any:
    """What `work` gives; an error of ours becomes a line of the report."""
    try:
        return work()
    except (Error, OSError) as error:
        problems.append(f"{what}: {error}")
        return None


def _onnxruntime(problems: list[str]) -> dict[str, Any]:
    library = _tried(find_onnxruntime, problems, "ONNX Runtime") or ""
    found: dict[str, Any] = {"library": library or None, "version": None, "providers": []}
    if not library:
        return found
    details = _tried(lambda: _core.onnxruntime_info(library), problems, "ONNX Runtime")
    if details:
        found["version"] = details["version"]
        found["providers"] = list(details["providers"])
    return found


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").partition("\n")[0].strip() or None
    except OSError:
        return None


def _nvidia_names(root: Path) -> list[str]:
    names = []
    for information in sorted(root.glob("gpus/*/information")):
        try:
            lines = information.read_text(errors="replace").splitlines()
        except OSError:
            continue
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return names


def _gpu() -> dict[str, Any]:
    """What the kernel shows of GPUs; no driver library is loaded for it."""
    nvidia = Path("/proc/driver/nvidia")
    return {
        "nvidia": _nvidia_names(nvidia),
        "nvidia_driver": _first_line(nvidia / "version"),
        "amd_compute": os.path.exists("/dev/kfd"),
    }


def _hum() -> Any:
    """A second of a tone that swells, float32 at 16 kHz."""
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 180 * time) + 0.5 * np.sin(2 * np.pi * 360 * time)
    return np.asarray(0.1 * tone * np.sin(np.pi * time), np.float32)


def _try_model(path: Path) -> dict[str, Any]:
    _core.verify_bundle(str(path))
    model: Any = load(path)
    result = model(_hum(), sample_rate=16000) if model.info.modality == "speech" else model(_PROBE)
    return {
        "backend": model.info.backend,
        "precision": model.info.precision,
        "answer": list(result.decided) or [f"none decided, nearest {result.emotions[0].label}"],
    }


def _models(problems: list[str]) -> list[dict[str, Any]]:
    found = []
    for name, path in available_models().items():
        entry: dict[str, Any] = {"name": name, "path": str(path), "works": False}
        details = _tried(partial(_try_model, path), problems, f"model {name!r}")
        if details:
            entry |= {"works": True, **details}
        found.append(entry)
    if not found:
        problems.append("no model is known by name; this installation came without its own")
    return found


def examine() -> dict[str, Any]:
    """The report as plain values; `problems` is empty when inference works."""
    problems: list[str] = []
    return {
        "affectrt": __version__,
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "cpu": _core.cpu_info(),
        "kernels": _tried(_core.kernels_info, problems, "native engine"),
        "onnxruntime": _onnxruntime(problems),
        "gpu": _gpu(),
        "models": _models(problems),
        "packages": {name: _version(name) for name in _OPTIONAL},
        "problems": problems,
    }


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):  # of names to whether they are there
        return " ".join(name for name, present in value.items() if present) or "none"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else printable(str(value))


def _text(report: Mapping[str, Any]) -> str:
    strong = use_colour(sys.stdout)
    width = terminal_width() - 20
    runtime, gpu = report["onnxruntime"], report["gpu"]
    versions = [
        ("affectrt", report["affectrt"]),
        ("python", f"{report['python']} ({sys.executable})"),
        ("numpy", str(report["numpy"])),
        ("platform", report["platform"]),
    ]
    cpu = [
        (printable(str(name)).replace("_", " "), "\n".join(wrap(_plain(value), width)))
        for name, value in report["cpu"].items()
    ]
    kernels = report["kernels"] or {"chosen": "none", "available": []}
    backend = [
        ("native", f"{kernels['chosen']} kernels"),
        ("possible", f"{_plain(kernels['available'])} (force one with AFFECTRT_ISA)"),
        ("onnxruntime", runtime["version"] or "not available"),
        (
            "library",
            printable(runtime["library"] or 'none; optional: pip install "affectrt[onnxruntime]"'),
        ),
        ("providers", "\n".join(runtime["providers"]) or "none"),
    ]
    cards = ", ".join(gpu["nvidia"]) or ("AMD (/dev/kfd)" if gpu["amd_compute"] else "none found")
    backend.append(("gpu", printable(cards)))
    if gpu["nvidia_driver"]:
        backend.append(("driver", printable(gpu["nvidia_driver"])))
    models = [
        (
            printable(model["name"]),
            f"{printable(model['path'])}\n"
            + (
                f"{model['precision'] or 'unknown precision'} on {model['backend']}, "
                f"answers {', '.join(model['answer'])}"
                if model["works"]
                else "does not work"
            ),
        )
        for model in report["models"]
    ]
    packages = [(name, version or "-") for name, version in report["packages"].items()]
    blocks = [
        columns(versions, 0),
        bold("cpu", strong) + "\n" + columns(cpu),
        bold("backends", strong) + "\n" + columns(backend),
        bold("models", strong) + "\n" + (columns(models) or "  none"),
        bold("optional packages", strong) + "\n" + columns(packages),
    ]
    if report["problems"]:
        listed = "\n".join(f"  - {printable(problem)}" for problem in report["problems"])
        blocks.append(bold("problems", strong) + "\n" + listed)
    else:
        blocks.append("everything that inference needs is there")
    return "\n\n".join(blocks)


def run(args: argparse.Namespace) -> int:
    report = examine()
    print(json.dumps(report, ensure_ascii=False, indent=2) if args.json else _text(report))
    return EXIT_ERROR if report["problems"] else EXIT_OK

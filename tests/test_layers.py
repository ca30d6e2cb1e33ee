"""The one-way rule between folders, as ARCHITECTURE.md states it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BELOW = {
    "base": set(),
    "bundle": {"base"},
    "text": {"base", "bundle"},
    "kernels": {"base"},
    "audio": {"base", "kernels"},
    "cuda": {"base", "kernels", "audio"},
    "encoders": {"base", "bundle", "kernels"},
    "engine": {"base", "bundle", "kernels", "encoders"},
    "tasks": {"base", "bundle"},
    "runtime": {"base", "bundle", "text", "kernels", "audio", "encoders", "engine", "tasks"},
}
BELOW["capi"] = BELOW["runtime"] | {"runtime"}
BELOW["bindings"] = BELOW["capi"] | {"cuda"}
HEAVY = {"torch", "transformers", "onnx", "onnxscript", "optimum", "safetensors", "tensorrt"}


def folders() -> list[str]:
    return sorted(p.name for p in (ROOT / "csrc").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", folders())
def test_folder_includes_only_what_lies_below(folder: str) -> None:
    assert folder in BELOW, f"csrc/{folder} has no row in ARCHITECTURE.md"
    allowed = BELOW[folder] | {folder}
    files = [
        p for p in (ROOT / "csrc" / folder).rglob("*") if p.suffix in {".h", ".hpp", ".cc", ".cu"}
    ]
    assert files
    for file in files:
        for name in re.findall(r'#include "([^"]+)"', file.read_text(encoding="utf-8")):
            beside = (file.parent / name).is_file()  # a header that is installed with its like
            ok = beside or name.split("/")[0] in allowed
            assert ok, f"{file.relative_to(ROOT)} includes {name}"


def test_architecture_names_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for folder in folders():
        assert f"`csrc/{folder}/`" in text


def imports(file: Path, *, top_level: bool) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    body = tree.body if top_level else list(ast.walk(tree))
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("file", sorted((ROOT / "python").rglob("*.py")), ids=lambda p: p.name)
def test_package_stays_light(file: Path) -> None:
    inside = imports(file, top_level=False)
    assert not {name for name in inside if name.split(".")[0] in HEAVY}
    assert not {
        name for name in imports(file, top_level=True) if name.startswith("affectrt.export")
    }
    if "cli" not in file.relative_to(ROOT).as_posix():
        assert not {name for name in inside if name.startswith("affectrt.export")}

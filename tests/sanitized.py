"""Runs tests of the Python package on a module built with sanitizers: `python tests/sanitized.py`.

`--sanitizer thread` for data races, `address,undefined` (the default) for memory and undefined
behaviour. The module is built into build/python-SANITIZER, from which the tests then import; the
sanitizer's runtime is loaded before Python. What is not named on the command line is a subset
without torch, which no sanitizer knows. Takes minutes; needs gcc.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNTIMES = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
SUBSET = (
    *("api", "conversation_voices", "engine", "evidence", "label_maps", "readers", "results"),
    *("runtime", "speech_stream", "tokenizer"),
)
# Python's own leaks at its end are not ours. Reports go to files, since pytest keeps what a test
# prints, and with it what a sanitizer says before it ends the process.
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:halt_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": f"second_deadlock_stack=1:suppressions={ROOT}/tests/tsan.supp",
}


def built(sanitizer: str) -> Path:
    """The folder with the package, up to date."""
    base = ROOT / "build" / f"python-{sanitizer.replace(',', '-')}"
    target = base / "site"
    settings = (
        f"build-dir={base}/build",
        "cmake.build-type=RelWithDebInfo",
        f"cmake.define.AFFECTRT_SANITIZE={sanitizer}",
        "install.strip=false",
    )
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    command += ["--upgrade", "--target", str(target)]
    for setting in settings:
        command += ["-C", setting]
    subprocess.run([*command, str(ROOT)], check=True)
    shutil.copy(ROOT / "tests" / "without_editable.py", target / "sitecustomize.py")
    return target


def library(name: str) -> str:
    """Where the compiler has it."""
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sanitizer", default="address,undefined")
    parser.add_argument("tests", nargs="*", help="and options of pytest")
    args, more = parser.parse_known_args()
    site = built(args.sanitizer)
    reports = site.parent / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    # The C++ runtime with them: theirs asks it for what throws.
    runtimes = [library(RUNTIMES[name]) for name in args.sanitizer.split(",")]
    environment = {
        **os.environ,
        **{key: f"{value}:log_path={reports}/report" for key, value in OPTIONS.items()},
        "PYTHONMALLOC": "malloc",
        "LD_PRELOAD": " ".join([*runtimes, library("libstdc++.so.6")]),
        "PYTHONPATH": str(site),
    }
    probe = "import affectrt._core as c; print(c.__file__)"
    # Addresses as ThreadSanitizer expects them.
    python = ["setarch", "--addr-no-randomize", sys.executable]
    subprocess.run([*python, "-c", probe], env=environment, cwd=site, check=True)
    tests = args.tests or [f"tests/test_{name}.py" for name in SUBSET]
    # Sanitizers keep freed memory, so its growth says nothing; a child that was forked from threads
    # may have none of its own under ThreadSanitizer.
    left_out = "not without_growing" + (" and not forked" if "thread" in args.sanitizer else "")
    sensible = ["-p", "no:cacheprovider", "-k", left_out]
    command = [*python, "-m", "pytest", "-q", *sensible, *more, *tests]
    status = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    for report in sorted(reports.iterdir()):
        print(report.read_text(encoding="utf-8", errors="replace"))
    print(f"{len(list(reports.iterdir()))} reports")
    return status or int(any(reports.iterdir()))


if __name__ == "__main__":
    sys.exit(main())

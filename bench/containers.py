"""Each case of docs/containers.md, tried out: `python -m bench.containers` writes the table.

A case is a test; what happened is what the test says of it. Needs root and Linux for control groups
and mount namespaces; what is skipped says why.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "bench" / "results" / "containers.md"

# What the C programs among the cases are built with.
BUILD = (
    ("cmake", "--preset", "dev", f"-DPython_EXECUTABLE={sys.executable}"),
    ("cmake", "--build", "--preset", "dev", "--target", "test_capi_dlopen", "affectrt_copy",
     "affectrt_tiny_model"),
)  # fmt: skip

# What the system does, what has to happen, the test.
CASES = (
    ("CPU quota of half a core (cgroup v1)", "answers on one thread",
     "tests/test_containers.py::test_half_a_core_of_quota"),
    ("one allowed core of two", "answers on one thread",
     "tests/test_containers.py::test_one_allowed_core"),
    ("seccomp forbids the calls for CPU affinity", "answers",
     "tests/test_containers.py::test_no_calls_that_tell_the_affinity"),
    ("read-only file system", "answers", "tests/test_containers.py::test_a_read_only_file_system"),
    ("no /proc", "answers", "tests/test_containers.py::test_no_proc"),
    ("64 MB of address space", "answers",
     "tests/test_containers.py::test_little_address_space[65536]"),
    ("28 MB of address space", "AFFECTRT_NO_MEMORY, the process goes on",
     "tests/test_containers.py::test_little_address_space[28672]"),
    ("64 MB memory control group", "answers",
     "tests/test_containers.py::test_a_control_group_of_64_mb"),
    ("fork after load", "parent and child answer",
     "tests/test_containers.py::test_a_child_forked_after_loading_answers"),
    ("fork while other threads compute", "parent and children answer, the same bits",
     "tests/test_native.py::test_a_forked_child_answers_as_its_parent"),
    ("SIGINT in a long batch", "KeyboardInterrupt within a batch",
     "tests/test_runtime.py::test_keyboard_interrupt_ends_a_long_call"),
    ("interpreter exit with calls in progress", "exit code 0, nothing printed",
     "tests/test_native.py::test_the_interpreter_may_end_while_daemon_threads_predict"),
    ("interpreter exit with live streams", "exit code 0",
     "tests/test_speech_stream.py::test_the_interpreter_may_end_with_streams_that_are_fed"),
    ("dlopen and dlclose a hundred times; two copies of the library in one process, "
     "one in a namespace of its own", "unmapped each time, less than 1 MB more; all answer",
     "ctest --test-dir build/dev -V -R capi_dlopen"),
)  # fmt: skip


def command_of(test: str) -> str:
    return test if test.startswith("ctest") else f"pytest {test}"


def outcome(test: str) -> tuple[str, float]:
    """What a test of pytest, or a command, says, and the seconds it took."""
    begin = time.monotonic()
    command = test.split()
    if command[0] != "ctest":
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    skipped = re.search(r"^SKIPPED.*?: (.*)$", done.stdout, flags=re.M)
    if done.returncode != 0 or "No tests were found" in done.stderr:
        return f"FAILED ({done.returncode})", seconds
    if skipped and " passed" not in done.stdout:
        return f"skipped: {skipped[1]}", seconds
    memory = re.search(r"\d+ kB before, \d+ kB after", done.stdout)
    return "as it has to" + (f": {memory[0]}" if memory else ""), seconds


def main() -> int:
    for command in BUILD:
        subprocess.run(command, cwd=ROOT, check=True)
    lines = [
        "# Where the system gives little, tried out",
        "",
        f"Made by `python -m bench.containers`, {platform.release()}, "
        f"{time.strftime('%Y-%m-%d', time.gmtime())}. docs/containers.md says more of each case.",
        "",
        "| case | has to | happened | command |",
        "|---|---|---|---|",
    ]
    failed = False
    for case, expected, test in CASES:
        said, seconds = outcome(test)
        failed = failed or said.startswith("FAILED")
        print(f"{case}: {said}, {seconds:.0f} s", flush=True)
        lines.append(f"| {case} | {expected} | {said} | `{command_of(test)}` |")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

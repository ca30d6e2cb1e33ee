"""The C library where the system gives little; docs/containers.md is the table of these cases."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cmake_build import ROOT, run

import affectrt

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")
ANSWER = "answer gratitude\n"
CGROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory, default_model: Path) -> list[str]:
    """The command of tests/capi/container_probe.c on the embedded model."""
    program = str(tmp_path_factory.mktemp("probe") / "container_probe")
    library = affectrt.get_library()
    source = str(ROOT / "tests" / "capi" / "container_probe.c")
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", f"-I{affectrt.get_include()}"]
    rpath = f"-Wl,-rpath,{Path(library).parent}"
    run("gcc", *flags, source, library, rpath, "-o", program)
    return [program, str(default_model)]


def output(*command: str) -> str:
    """What it prints, whether it succeeds or not; only a signal or noise on stderr is a failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode >= 0, f"ended by signal {-done.returncode}"
    assert not done.stderr, done.stderr
    return done.stdout


@contextlib.contextmanager
def cgroup(controller: str, file: str, value: str) -> Iterator[Path]:
    """A control group (version 1) of its own with one limit; skips where none can be made."""
    folder = CGROUPS / controller / f"affectrt-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a control group: {error}")
    try:
        limit = folder / file
        if not limit.exists():
            pytest.skip(f"{limit} is not there")
        limit.write_text(value)
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


def in_namespace(script: str, *arguments: str) -> tuple[str, ...]:
    """Runs a shell script with `$@` in a mount namespace; skips where none can be made."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-m", "true"], check=False).returncode != 0:
        pytest.skip("needs the right to make mount namespaces")
    return (unshare, "-m", "sh", "-ec", script, "sh", *arguments)


def test_half_a_core_of_quota(probe: list[str]) -> None:
    with cgroup("cpu", "cpu.cfs_quota_us", "50000") as processes:
        said = output("sh", "-c", f'echo $$ > {processes}; exec "$@"', "sh", *probe)
    assert ", 1 thread\n" in said
    assert ANSWER in said


def test_one_allowed_core(probe: list[str]) -> None:
    allowed = min(os.sched_getaffinity(0))
    said = output("taskset", "-c", str(allowed), *probe)
    assert ", 1 thread\n" in said
    assert ANSWER in said


def test_no_calls_that_tell_the_affinity(probe: list[str]) -> None:
    assert ANSWER in output(*probe, "--no-affinity")


def test_a_child_forked_after_loading_answers(probe: list[str]) -> None:
    assert output(*probe, "--fork").count(ANSWER) == 3


def test_a_read_only_file_system(probe: list[str], tmp_path: Path) -> None:
    script = (
        'mount --bind / "$1"; mount -o remount,ro,bind "$1"; cd /; root="$1"; shift; '
        'exec chroot "$root" "$@"'
    )
    assert ANSWER in output(*in_namespace(script, str(tmp_path), *probe))


def test_no_proc(probe: list[str]) -> None:
    assert ANSWER in output(*in_namespace('umount -l /proc; exec "$@"', *probe))


@pytest.mark.parametrize("kib", [65536, 40960, 32768, 28672])
def test_little_address_space(probe: list[str], kib: int) -> None:
    """64 MB is enough for the embedded model and two threads; less is an error that says so."""
    said = output("sh", "-c", f'ulimit -v {kib}; exec "$@"', "sh", *probe)
    assert said.endswith((ANSWER, ": AFFECTRT_NO_MEMORY: not enough memory\n")), said
    if kib == 65536 and len(os.sched_getaffinity(0)) <= 2:
        assert ANSWER in said


def test_a_control_group_of_64_mb(probe: list[str]) -> None:
    with cgroup("memory", "memory.limit_in_bytes", "64M") as processes:
        said = output("sh", "-c", f'echo $$ > {processes}; exec "$@"', "sh", *probe)
    assert ANSWER in said

"""The benchmark suite: prepares the peers, measures each against affectrt, writes the results.

    python -m bench [--quick] [--peers A,B] [--scenarios single,offline] [--threads 1,2]
                    [--rounds N] [--checkpoint DIR] [--out bench/results] [--fresh]

Every finished measurement is saved at once; run again, the suite goes on where it stopped. Each
pair has a process of its own in which affectrt and the peer take turns, so that no third library's
threads or settings come between them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .inputs import SETS, goemotions, text_set
from .timing import CLOCKS, ROOT, interleave, limit_threads, machine, ratio, spread

RESULTS = ROOT / "bench" / "results"
WORK = ROOT / "build" / "bench"
NAME = "suite.json"
# (scenario, set) measured with one thread, and with more
_ONE = (
    ("single", "mixed"), ("multi", "mixed"), ("server", "mixed"), ("offline", "mixed"),
    ("calls", "mixed"), ("single", "128"), ("offline", "128"), ("single", "512"),
    ("offline", "512"),
)  # fmt: skip
_MORE = (("single", "mixed"), ("multi", "mixed"), ("server", "mixed"), ("offline", "mixed"))
_WORKER_LIMIT = 1800  # seconds after which a worker is given up
_STARTUP = "startup"


def note(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def jobs_for(threads: int, scenarios: Iterable[str] | None, sets: Iterable[str]) -> list[str]:
    """The jobs of one worker, ``agreement`` first."""
    wanted = _ONE if threads == 1 else _MORE
    chosen = [
        f"{scenario}/{name}"
        for scenario, name in wanted
        if name in sets and (scenarios is None or scenario in scenarios)
    ]
    return ["agreement", *chosen] if chosen else []


class Results:
    """The results file: what is in it need not be measured again."""

    def __init__(self, file: Path, header: dict[str, Any], fresh: bool = False) -> None:
        self.file = file
        self.data: dict[str, Any] = {"header": header, "runs": {}, "peers": {}}
        if file.is_file() and not fresh:
            before = json.loads(file.read_text(encoding="utf-8"))
            same = all(before["header"].get(k) == header.get(k) for k in ("setting", "model"))
            if not same:
                raise SystemExit(
                    f"{file} was measured with another setting or model: give --fresh to begin "
                    "anew, or another --out"
                )
            self.data["runs"], self.data["peers"] = before["runs"], before["peers"]

    def has(self, key: str) -> bool:
        """Whether `key` (``peer/threads/scenario/set``) is measured."""
        return key in self.data["runs"]

    def add(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result, on disk before this returns."""
        self.data["runs"][key] = result
        self.save()

    def save(self) -> None:
        """Write the file: whole or untouched at every moment."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.file.with_suffix(".tmp")
        unfinished.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(self.file)


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"bench.{name}", *arguments]


def prepare(model: Path, checkpoint: Path | None, texts: int, agreement_texts: int) -> Path:
    """The folder with the checkpoint in all forms the peers take, the texts, torch's answers."""
    from .checkpoint import read_source, reference_scores, write_checkpoint

    source = read_source(model, checkpoint)
    folder = WORK / source.digest[:16]
    if not (folder / "head.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        note(f"writing the checkpoint to {folder}")
        write_checkpoint(source, folder)
    wanted = hashlib.sha256(f"{texts} {agreement_texts} {list(SETS)}".encode()).hexdigest()
    stamp = folder / "texts.stamp"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        import numpy as np

        from affectrt import Tokenizer

        tokenizer = Tokenizer.from_file(folder / "tokenizer.json")
        all_texts = goemotions("test")
        sets = {
            # Texts that people wrote long are few; joined ones repeat after a while.
            name: text_set(
                name, all_texts, lambda t: len(tokenizer.encode(t)), texts if n is None else 96
            )
            for name, n in SETS.items()
        }
        (folder / "texts.json").write_text(json.dumps(sets), encoding="utf-8")
        note(f"asking torch for {agreement_texts} answers")
        np.save(folder / "reference.npy", reference_scores(folder, sets["mixed"][:agreement_texts]))
        stamp.write_text(wanted, encoding="utf-8")
    return folder


def convert(kind: str, folder: Path, log: Path, litert_python: str | None = None) -> str | None:
    """Makes a peer's files unless they are there. What went wrong, in one line, or None."""
    from .convert import NEEDS

    command = _module("convert", kind, str(folder))
    if kind == "litert_int8" and litert_python is not None:
        command[0] = litert_python
    done = folder / f"{kind}.done"
    for needed in NEEDS.get(kind, ()):
        if reason := convert(needed, folder, log):
            return reason
    if done.is_file():
        return None
    note(f"  converting: {kind}")
    start = time.perf_counter()
    with log.open("ab") as out:
        try:
            code = subprocess.run(
                command,
                cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, timeout=1800, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"{kind}: the conversion took more than 30 minutes"
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{kind}: {lines[-1][:200] if lines else f'exit status {code}'}"
    done.write_text(f"{time.perf_counter() - start:.1f}\n", encoding="utf-8")
    return None


def _messages(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    from .worker import MARK

    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(MARK):
            yield json.loads(line[len(MARK) :])


def measure(
    results: Results,
    peer: str,
    threads: int,
    jobs: list[str],
    folder: Path,
    setting: Any,
    log: Path,
) -> None:
    """Runs what is missing of `jobs` in one worker and keeps each result."""
    missing = [job for job in jobs if not results.has(f"{peer}/{threads}/{job}")]
    if not [job for job in missing if job != "agreement"]:
        return
    command = _module(
        "worker", "--peer", peer, "--folder", str(folder), "--threads", str(threads),
        "--jobs", ",".join(missing), "--setting", json.dumps(dataclasses.asdict(setting)),
    )  # fmt: skip
    environment = {**os.environ, **limit_threads(threads), **_QUIET}
    with log.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        job, start, ended = "loading", time.perf_counter(), False
        watchdog = threading.Timer(_WORKER_LIMIT, process.kill)
        watchdog.start()
        try:
            for message in _messages(process):
                if message["kind"] == "begin":
                    job, start = message["job"], time.perf_counter()
                elif message["kind"] == "progress":
                    _progress(f"  {peer} x{threads} {job} {message['done']}/{message['of']}")
                elif message["kind"] == "failed":
                    results.add(f"{peer}/{threads}/{job}", {"failed": message["reason"]})
                    note(f"  {peer} x{threads} {job}: FAILED, {message['reason']}")
                else:
                    results.add(f"{peer}/{threads}/{job}", message["result"])
                    took = time.perf_counter() - start
                    note(f"  {peer} x{threads} {job}: {_headline(message['result'])}  {took:.0f} s")
            ended = True
        finally:
            watchdog.cancel()
            if not ended:
                process.kill()
            code = process.wait()
    if code != 0:
        results.data["peers"].setdefault(peer, {})["reason"] = (
            f"the process ended with status {code} in {job}; see {log.name}"
        )
        results.save()
        note(f"  {peer} x{threads}: ended with status {code} in {job}, see {log}")


_QUIET = {
    "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONWARNINGS": "ignore",
}  # fmt: skip


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}\r")
        sys.stderr.flush()


def _headline(result: dict[str, Any]) -> str:
    for key in ("ratio", "ratio_p50"):
        if result.get(key):
            return "{median:.2f}x ({lower:.2f}-{upper:.2f})".format(**result[key])
    return "done"


def startup(results: Results, peer: str, folder: Path, rounds: int, clock: str, log: Path) -> None:
    """Import to first answer, and memory, in fresh processes that take turns with affectrt's."""
    from .peers import OWN, PEERS
    from .sizes import installed_size
    from .worker import MARK

    key = f"{peer}/1/{_STARTUP}"
    if results.has(key):
        return

    def fresh(name: str) -> dict[str, Any]:
        with log.open("a", encoding="utf-8") as errors:
            done = subprocess.run(
                _module("startup", name, str(folder), "1", clock),
                cwd=ROOT, env={**os.environ, **limit_threads(1), **_QUIET},
                stdout=subprocess.PIPE, stderr=errors, text=True, check=False, timeout=240,
            )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
        if not lines:
            raise RuntimeError(f"{name} gave no answer in a fresh process; see {log.name}")
        return dict(json.loads(lines[-1][len(MARK) :]))

    try:
        found = interleave(
            {"affectrt": lambda: fresh(OWN.name), "peer": lambda: fresh(peer)}, rounds
        )
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        results.add(key, {"failed": str(error)})
        return
    report: dict[str, Any] = {}
    for side, packages in (("affectrt", OWN.packages), ("peer", PEERS[peer].packages)):
        report[side] = {
            "seconds": spread([f["seconds"] for f in found[side]]).to_dict(),
            "rss": spread([f["rss"] for f in found[side]]).to_dict(),
            "installed": installed_size(packages),
        }
    times = {side: [f["seconds"] for f in found[side]] for side in found}
    report["ratio"] = ratio(times["peer"], times["affectrt"]).to_dict()
    results.add(key, report)
    note(f"  {peer} start-up: {_headline(report)}")


def main(arguments: list[str] | None = None) -> int:
    """The command ``python -m bench``; returns its exit status."""
    options = _parser().parse_args(arguments)
    from .report import write_report

    file = options.out / NAME
    if options.report_only:
        write_report(json.loads(file.read_text(encoding="utf-8")), options.out)
        return 0
    import affectrt

    from .peers import PEERS
    from .scenarios import Setting

    setting = Setting()
    if options.quick:
        setting = Setting(
            rounds=3, seconds=1.0, server_rounds=1, server_trial_seconds=0.3, agreement_texts=64
        )
    if options.rounds:
        setting = dataclasses.replace(setting, rounds=options.rounds)
    setting = dataclasses.replace(setting, clock=options.clock)
    if options.clock == "cpu" and options.threads != [1]:
        raise SystemExit("--clock cpu measures one thread: give --threads 1")
    unknown = [name for name in options.peers or () if name not in PEERS]
    if unknown:
        raise SystemExit(f"unknown peers {', '.join(unknown)}; there are {', '.join(PEERS)}")
    model = Path(affectrt.load().info.path)
    header = {
        "setting": dataclasses.asdict(setting),
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "weights": "dequantised from the model file"
        if options.checkpoint is None
        else "the checkpoint that the model was exported from",
        "machine": machine(),
        "note": options.note,
    }
    results = Results(file, header, options.fresh)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the worker, too
    start = time.perf_counter()
    folder = prepare(model, options.checkpoint, setting.texts, Setting().agreement_texts)
    log = folder / "log.txt"
    note(f"files and log in {folder}")
    sets = ("mixed",) if options.quick else options.sets
    try:
        for name in options.peers or PEERS:
            note(name)
            peer = PEERS[name]
            reason = None
            if peer.conversion:
                reason = convert(peer.conversion, folder, log, options.litert_python)
            results.data["peers"][name] = {"title": peer.title, "reason": reason}
            known = results.data["peers"]
            results.data["peers"] = {key: known[key] for key in PEERS if key in known}
            results.save()
            if reason:
                note(f"  not measured: {reason}")
                continue
            for threads in options.threads:
                jobs = jobs_for(threads, options.scenarios, sets)
                measure(results, name, threads, jobs, folder, setting, log)
            if options.scenarios is None or _STARTUP in options.scenarios:
                rounds = 2 if options.quick else 4
                startup(results, name, folder, rounds, options.clock, log)
    except KeyboardInterrupt:
        note(f"\nstopped; what is measured is in {file}, the same command goes on from there")
        return 130
    finally:
        with contextlib.suppress(ImportError):  # matplotlib
            write_report(results.data, options.out)
    note(f"{time.perf_counter() - start:.0f} s; results in {options.out}")
    return 0


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="affectrt against its peers; see bench/README.md."
    )
    parser.add_argument("--quick", action="store_true", help="a short look, mixed lengths only")
    parser.add_argument("--peers", type=_names, metavar="A,B", help="all if not given")
    parser.add_argument(
        "--scenarios", type=_names, metavar="A,B",
        help="of single, multi, server, offline, calls, startup; all if not given",
    )  # fmt: skip
    parser.add_argument(
        "--sets", type=_names, default=list(SETS), metavar="A,B", help=f"of {', '.join(SETS)}"
    )
    parser.add_argument(
        "--threads", type=lambda t: [int(n) for n in t.split(",")], default=[1, 2], metavar="1,2"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each scenario")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR",
        help="what the embedded model was exported from; its own int8 weights if not given",
    )  # fmt: skip
    parser.add_argument(
        "--litert-python", metavar="FILE",
        help="the Python of an environment with litert-torch; this one if not given",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--fresh", action="store_true", help="measure anew what is in --out")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="wall",
        help="cpu: processor time, for one thread on a machine that does other work",
    )  # fmt: skip
    parser.add_argument("--note", default="", help="a line for the report, such as the load")
    parser.add_argument("--report-only", action="store_true", help="write the report again")
    return parser

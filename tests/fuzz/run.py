"""Fuzzes all targets in turn: `python tests/fuzz/run.py --cpu-seconds 300` (each; preset `fuzz`).

Rounds of a minute, until every target has had its processor time, however busy the machine is. The
corpus is kept (`--corpus`) and goes on with the next run; findings are written beside it. What all
runs on it have done is printed, and with `--report FILE` written as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FUZZ = Path(__file__).resolve().parent
ROOT = FUZZ.parent.parent
BUILD = ROOT / "build" / "fuzz" / "tests" / "fuzz"
# How far sanitizers and a stopped machine may stretch one input, in seconds of wall clock.
TIMEOUT_S = 3600
HEAD = """\
# Fuzzing

libFuzzer with ASan and UBSan, `python tests/fuzz/run.py`; edges are those of instrumented code that
the corpus reaches. tests/fuzz/README.md says what each target promises and what fuzzing has found.

| target | inputs | CPU seconds | edges | corpus | findings |
|---|---|---|---|---|---|
"""


def targets() -> list[str]:
    return sorted(path.stem for path in FUZZ.glob("*.cc") if path.stem != "replay")


def fuzz(target: str, seconds: int, kept: Path) -> dict[str, Any]:
    """What one round did."""
    corpus, findings = kept / target, kept / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    command = [
        str(BUILD / f"fuzz_{target}"),
        *(f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", "-print_final_stats=1"),
        f"-report_slow_units={TIMEOUT_S}",
        f"-artifact_prefix={findings}/{target}-",
        *(str(corpus), str(FUZZ / "seeds" / target)),
    ]
    output = kept / f"{target}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, _, usage = os.wait4(process.pid, 0)
    text = output.read_text(encoding="utf-8", errors="replace")
    edges = re.findall(r" cov: (\d+) ", text)
    inputs = re.search(r"stat::number_of_executed_units: (\d+)", text)
    return {
        "inputs": int(inputs[1]) if inputs else 0,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "edges": int(edges[-1]) if edges else 0,
        "findings": sorted(path.name for path in set(findings.iterdir()) - before),
    }


def table(done: dict[str, Any], kept: Path) -> str:
    lines = []
    for target in targets():
        if target not in done:
            continue
        one = done[target]
        files = sum(1 for _ in (kept / target).iterdir())
        found = ", ".join(one["findings"]) or "none"
        lines.append(
            f"| `{target}` | {one['inputs']:,} | {one['cpu_s']:,.0f} | {one['edges']:,} "
            f"| {files:,} | {found} |"
        )
    inputs = sum(one["inputs"] for one in done.values())
    cpu_s = sum(one["cpu_s"] for one in done.values())
    lines.append(f"| all | {inputs:,} | {cpu_s:,.0f} | | | |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu-seconds", type=float, default=300.0, help="of each target, in all")
    parser.add_argument("--round", type=int, default=60, help="seconds of a round")
    parser.add_argument("--corpus", type=Path, default=ROOT / "build" / "corpus")
    parser.add_argument("--report", type=Path)
    parser.add_argument("targets", nargs="*", default=targets())
    args = parser.parse_args()
    log = args.corpus / "log.json"
    done: dict[str, Any] = json.loads(log.read_text()) if log.exists() else {}
    waiting = list(args.targets)
    while waiting:
        for target in list(waiting):
            new = {"inputs": 0, "cpu_s": 0.0, "edges": 0, "findings": []}
            one = done.setdefault(target, new)
            if one["cpu_s"] >= args.cpu_seconds:
                waiting.remove(target)
                continue
            last = fuzz(target, args.round, args.corpus)
            one["inputs"] += last["inputs"]
            one["cpu_s"] += last["cpu_s"]
            one["edges"] = max(one["edges"], last["edges"])
            one["findings"] += last["findings"]
            log.write_text(json.dumps(done, indent=1))
            print(f"{time.strftime('%H:%M:%S')} {target}: {last}", flush=True)
            if last["findings"]:
                waiting.remove(target)
    print(table(done, args.corpus))
    if args.report:
        args.report.write_text(HEAD + table(done, args.corpus), encoding="utf-8")
    return int(any(one["findings"] for one in done.values()))


if __name__ == "__main__":
    sys.exit(main())

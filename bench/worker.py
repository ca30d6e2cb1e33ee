"""One process with affectrt and one peer in it: runs the jobs it is told and prints what it found.

Started by suite.py. Each result is a line on standard output that begins with `MARK`.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .peers import OWN, PEERS
from .scenarios import SCENARIOS, Pair, Setting, agreement
from .timing import use_clock

MARK = "@bench "


def say(kind: str, **values: Any) -> None:
    sys.stdout.write(f"{MARK}{json.dumps({'kind': kind, **values})}\n")
    sys.stdout.flush()


def run(peer_name: str, folder: Path, threads: int, jobs: list[str], setting: Setting) -> None:
    """Runs `jobs` (``scenario/set``, or ``agreement``), saying each result as it is there."""
    use_clock(setting.clock)
    peer = PEERS[peer_name]
    sets = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    head = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    reference = np.load(folder / "reference.npy")
    other = peer.load(folder, threads)
    own = OWN.load(folder, threads)
    # Both may miss torch's decisions, and need not miss the same ones.
    limit = OWN.flips + (peer.flips if peer.tolerance is None else 0.0)
    for job in jobs:
        scenario, _, name = job.partition("/")
        say("begin", job=job)
        try:
            if scenario == "agreement":
                texts = sets["mixed"][: min(setting.agreement_texts, len(reference))]
                known = reference[: len(texts)]
                found: dict[str, Any] = {
                    "affectrt": agreement(own, OWN, texts, known, head["thresholds"]),
                    "peer": agreement(other, peer, texts, known, head["thresholds"]),
                }
            else:
                pair = Pair(
                    own, other, limit, head["thresholds"], setting,
                    lambda done, of: say("progress", done=done, of=of),
                )  # fmt: skip
                found = SCENARIOS[scenario](pair, sets[name][: setting.texts])
        except Exception as error:  # a peer may raise anything; the others go on
            traceback.print_exc()
            say("failed", job=job, reason=f"{type(error).__name__}: {error}"[:300])
            if scenario == "agreement":
                return  # the speed of wrong answers means nothing
            continue
        say("result", job=job, result=found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one pair's jobs; started by bench.suite.")
    parser.add_argument("--peer", required=True, choices=sorted(PEERS))
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--jobs", required=True, type=lambda text: text.split(","))
    parser.add_argument("--setting", required=True, type=json.loads)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    run(
        arguments.peer, arguments.folder, arguments.threads, arguments.jobs,
        Setting(**arguments.setting),
    )  # fmt: skip


if __name__ == "__main__":
    main()

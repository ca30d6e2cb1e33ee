"""What a speech model says of a corpus that it was not trained on: a table of the recipe's reports.

    python -m affectrt.export.recipes.speech --leave-out PACK ... --out RUN   # for every pack
    python -m bench.cross_corpus RUN/report.json... [--out FOLDER]

All clips of the corpus left out are answered, but for those whose emotion no other corpus has. The
answer is taken among the emotions that the corpus shares with the others; "open" among all that the
model knows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .timing import ROOT

_SPLIT = "all, never trained on"
_WORTH = """\
What it is worth: a stranger's recordings, language, actors and orders are all new at once, so this
is nearer to what an app will meet than the figures on test splits, whose corpus was trained on
(bench/results/tasks-speech.md). Arousal carries over, valence hardly does: two corpora of other
words and voices do not say what sounds pleasant in a third. A run
of fewer steps is less than the recipe can do. No corpus has more than 1,440 clips or
29 speakers, and with one left out the others have few: figures say how far so little data goes,
and the interval is over clips, not over corpora. Of a voice that sounds like none of these, ask
for arousal, and take an emotion as a guess; or train on recordings of your own.
"""


def left_out(report: dict[str, Any]) -> tuple[str, dict[str, dict[str, Any]]]:
    """The corpus, and the figures on it by head."""
    found = {
        head: entry
        for head, entries in report["metrics"].items()
        for entry in entries
        if entry["split"] == _SPLIT
    }
    if "emotion" not in found:
        raise SystemExit("a report has no corpus that was left out: train with --leave-out")
    return str(found["emotion"]["data"]), found


def row(report: dict[str, Any]) -> str:
    """A corpus in the table."""
    name, found = left_out(report)
    emotion, mood, sex = found["emotion"], found["arousal_valence"], found["speaker_sex"]
    low, high = emotion["uar_interval"]
    recall = ", ".join(f"{label} {value:.2f}" for label, value in emotion["recall"].items())
    steps = report["recipe"].partition("--steps ")[2].split()
    return (
        f"| {name} | {emotion['rows']} | {steps[0] if steps else ''} "
        f"| **{emotion['uar']:.3f}** ({low:.3f}-{high:.3f}) "
        f"| {1 / len(emotion['recall']):.3f} | {emotion['uar_open']:.3f} "
        f"| {mood['ccc_arousal']:.2f} | {mood['ccc_valence']:.2f} | {sex['uar']:.3f} | {recall} |"
    )


def main() -> None:
    """Writes cross-corpus.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments = parser.parse_args()
    reports = [json.loads(file.read_text("utf-8")) for file in arguments.reports]
    lines = [
        "# Corpora that were not trained on",
        "",
        "`python -m affectrt.export.recipes.speech --leave-out PACK` on the two others, then "
        "`python -m bench.cross_corpus`; the checkpoint in float32. Steps: batches of training.",
        "",
        "| left out | clips | steps | emotion, unweighted average recall | of guessing | open "
        "| arousal, CCC | valence, CCC | sex, UAR | recall |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *map(row, reports),
        "",
        _WORTH.rstrip(),
    ]
    text = "\n".join(lines) + "\n"
    (arguments.out / "cross-corpus.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

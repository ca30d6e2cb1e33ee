"""Whether labelled neighbours help a conversation: MELD with and without retrieval.

    python -m bench.retrieval --data DIR [--model text]

DIR holds the text packs. The index has the turns of MELD's train dialogues, each embedded in the
light of those before it; how much their votes weigh is fitted on dev; figures are of test. After
PRC-Emo (Li et al. 2025). Writes ``bench/results/retrieval.{json,md}``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

import affectrt
from affectrt.metrics import label_statistics, with_intervals
from affectrt.retrieval import Index

from .label_maps import read
from .report import write_results
from .timing import ROOT

RESULTS = ROOT / "bench" / "results"
HEAD = "emotion7"


def dialogues(data: Path, split: str) -> list[list[tuple[str, str, str | None]]]:
    return [
        [(turn["speaker"], turn["text"], turn["emotion"]) for turn in row["turns"]]
        for row in read(data, "meld", split)
    ]


def measured(model: affectrt.Model, index: Index | None, data: Path) -> dict[str, Any]:
    """Figures on test with 95 % intervals over dialogues."""
    labels = model.labels(HEAD)
    truth, said, groups = [], [], []
    for number, dialogue in enumerate(dialogues(data, "test")):
        conversation = model.conversation(heads=[HEAD], index=index, max_turns=1)
        # A told "neutral" spares the search for causes.
        turns = [conversation.add(s, text, emotion="neutral") for s, text, _ in dialogue]
        for turn, (_, _, emotion) in zip(turns, dialogue, strict=True):
            said.append([label in turn.heads[HEAD].decided for label in labels])
            truth.append([label == emotion for label in labels])
            groups.append(number)
    statistics = label_statistics(
        np.array(said), np.array(truth), exclusive=True, groups=np.array(groups)
    )
    return {
        name: {"value": f.value, "low": f.low, "high": f.high}
        for name, f in with_intervals(statistics, samples=1000, seed=0).items()
    }


def markdown(data: dict[str, Any]) -> str:
    kept = data["index"]
    lines = [
        "# Retrieval in conversations",
        "",
        f"`python -m bench.retrieval`, model {data['model']}, head {HEAD}: MELD, the index of "
        f"{kept['turns']:,} train turns, settings of dev, figures of all {data['rows']:,} test "
        "turns with 95 % intervals over dialogues. The model was trained on the same train turns.",
        "",
        "| answers of | weighted F1 | macro-F1 | accuracy |",
        "|---|---|---|---|",
    ]
    for name, figures in data["test"].items():
        cells = [
            f"{figures[key]['value']:.4f} ({figures[key]['low']:.4f}-{figures[key]['high']:.4f})"
            for key in ("weighted_f1", "macro_f1", "accuracy")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    losses = data["dev_log_loss"]
    lines += [
        "",
        f"Chosen on dev by log-loss (head {losses['head']:.4f}, votes {losses['votes']:.4f}, blend "
        f"{losses['blend']:.4f}): {kept['k']} neighbours, sharpness {kept['sharpness']:g}, weight "
        f"of the votes {kept['weight']:.2f}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Retrieval in conversations.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the text packs")
    parser.add_argument("--model", default="text")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR")
    arguments = parser.parse_args()
    model = affectrt.load(arguments.model)
    index = Index.of_dialogues(model, dialogues(arguments.data, "train"), HEAD)
    losses = index.fit_dialogues(dialogues(arguments.data, "dev"))
    kept = {"turns": len(index), "k": index.k, "sharpness": index.sharpness, "weight": index.weight}
    test = {"the head": measured(model, None, arguments.data)}
    test["head and neighbours"] = measured(model, index, arguments.data)
    index.weight = 1.0
    test["neighbours alone"] = measured(model, index, arguments.data)
    data = {
        "model": f"{model.info.name} {model.info.version}",
        "rows": sum(map(len, dialogues(arguments.data, "test"))),
        "index": kept,
        "dev_log_loss": losses,
        "test": test,
    }
    write_results(arguments.out, "retrieval", data, markdown(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`affectrt eval`: the figures of a model on data with targets."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..inputs import rows_of
from ..label_maps import check_map, map_label, map_labels, map_names
from ..metrics import (
    Figure,
    Statistics,
    answer_statistics,
    label_statistics,
    span_statistics,
    value_statistics,
    with_intervals,
)
from ..speech import SpeechModel
from .common import EXIT_OK, UsageError, add_run_arguments, load_model, positive
from .eval_data import Data, Item, Wanted, read_data
from .eval_sounds import sound_figures
from .terminal import printable

if TYPE_CHECKING:
    from ..info import HeadInfo
    from ..model import Model

SUMMARY = "the figures of a model on data with targets"
DESCRIPTION = """\
Answers every row of a file and compares with its targets. Rows are {"text": ..., TARGET}, or
dialogues {"turns": [{"speaker": ..., "text": ..., TARGET}, ...]}, whose turns are answered in the
light of those before them; TARGET is "label", "labels", "value", "spans" or what --target names.
Files are .jsonl, .json, .csv or .tsv, also as .gz. Each figure has a 95 % bootstrap interval.

Rows of a speech model are {"file": ..., TARGET} of a .jsonl, the files beside it; where rows have a
"split", those of --split are taken. "uar" is the unweighted average recall of answers among the
labels that these rows have, "uar_open" that among all.
"""

_PERCENT = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a known model, .affect file or directory")
    parser.add_argument("--head", metavar="H", help="the head to judge (default: the first)")
    parser.add_argument("--data", metavar="FILE", required=True, help="rows with targets")
    parser.add_argument("--target", metavar="KEY", help="key or column of the target")
    parser.add_argument(
        "--split", default="test", metavar="S", help='sound: rows of this "split" (test)'
    )
    parser.add_argument(
        "--rename",
        metavar="DATA=HEAD",
        action="append",
        default=[],
        help="a label of the data and what the head calls it; repeat for others",
    )
    parser.add_argument(
        "--map",
        choices=map_names(),
        help="judge in the labels of a map, the head's and the data's labels both mapped onto it",
    )
    parser.add_argument(
        "--samples", type=positive, default=1000, metavar="N", help="of the bootstrap (1000)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (0)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_run_arguments(parser)


def _renamed(given: list[str]) -> dict[str, str]:
    pairs = {}
    for entry in given:
        data, equals, head = entry.partition("=")
        if not equals or not data or not head:
            raise UsageError(f"--rename {entry!r}: give DATA=HEAD, as in happiness=joy")
        pairs[data] = head
    return pairs


def _texts(model: Model, head: HeadInfo, items: list[Item]) -> Any:
    """Scores of a head for texts; of one that reads tokens its answers."""
    pairs = [item.text if item.pair is None else (item.text, item.pair) for item in items]
    rows = rows_of(pairs, argument="rows")
    if head.task in ("token_labels", "token_flags", "span"):
        return [result.heads[head.name] for result in model(pairs, heads=[head.name])]
    index = model._head_index(head.name)
    return model._predict(rows, [index], None).heads[0]


class _Answers:
    """What a head says of each item with a target, and which group the item is of."""

    def __init__(self, model: Model, head: HeadInfo, data: Data) -> None:
        self.items: list[Item] = []
        self.decided: list[Any] = []  # bool [labels]
        self.values: list[Any] = []
        self.found: list[Any] = []  # HeadResult of heads that read tokens
        self.groups: npt.NDArray[np.int64] | None = None
        groups: list[int] = []
        if data.dialogues:
            for number, turns in enumerate(data.groups):
                self._dialogue(model, head, turns)
                groups += [number] * (len(self.items) - len(groups))
            self.groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
            return
        self.items = [item for group in data.groups for item in group if item.target is not None]
        answers = _texts(model, head, self.items)
        if isinstance(answers, list):
            self.found = answers
        else:
            self.decided, self.values = list(answers.decided), list(answers.scores)

    def _dialogue(self, model: Model, head: HeadInfo, turns: list[Item]) -> None:
        conversation = model.conversation(heads=[head.name], max_turns=1)
        answers = conversation._core.add([(turn.speaker, turn.text, None) for turn in turns])
        for item, answer in zip(turns, answers, strict=True):
            if item.target is None or not answer.prediction.heads:
                continue
            self.items.append(item)
            if head.task in ("token_labels", "token_flags", "span"):
                result = model._results(rows_of([item.text]), answer.prediction)[0]
                self.found.append(result.heads[head.name])
            else:
                self.decided.append(answer.prediction.heads[0].decided[0])
                self.values.append(answer.prediction.heads[0].scores[0])


def _statistics(
    model: Model, head: HeadInfo, data: Data, onto: str | None
) -> tuple[Statistics, int]:
    if head.input == "cause":
        return _cause_statistics(model, head, data)
    if head.input == "reply":
        raise InputError(f"head {head.name!r} judges before a reply, which eval has no rows for")
    answers = _Answers(model, head, data)
    if not answers.items:
        raise InputError(f"head {head.name!r} answers none of the rows with a target")
    count = len(answers.items)
    targets = [item.target for item in answers.items]
    if head.task == "regression":
        values = np.stack(answers.values)
        return value_statistics(values, targets, head.labels, answers.groups), count
    if head.task == "span":
        texts = [found.spans[0].text if found.spans else "" for found in answers.found]
        truth = [[item.text[start:end] for start, end, _ in item.target] for item in answers.items]
        return answer_statistics(truth, texts, answers.groups), count
    if head.task in ("token_labels", "token_flags"):
        labels = head.labels
        if head.task == "token_labels":
            labels = tuple(label[2:] for label in labels[1::2])
        said = [
            [(span.start, span.end, span.label or "") for span in found.spans]
            for found in answers.found
        ]
        return span_statistics(targets, said, labels, answers.groups), count
    decided = np.stack(answers.decided)
    if onto is not None:
        decided = _onto(head, decided, onto)
    truth_rows = np.zeros(decided.shape, bool)
    for row, target in enumerate(targets):
        truth_rows[row, target] = True
    exclusive = head.task != "multi_label"
    return label_statistics(decided, truth_rows, exclusive=exclusive, groups=answers.groups), count


def _onto(head: HeadInfo, decided: Any, onto: str) -> Any:
    """``bool [rows, labels]`` in the labels of a map: a group is decided where one of its is."""
    names = map_labels(onto)
    groups = np.zeros((len(decided), len(names)), bool)
    for column, label in zip(decided.T, head.labels, strict=True):
        groups[:, names.index(str(map_label(label, onto)))] |= column
    return groups


def _cause_statistics(model: Model, head: HeadInfo, data: Data) -> tuple[Statistics, int]:
    """Every turn with an emotion against each of the dozen up to it (Poria et al. 2021, fold 1),
    the emotion as the data tells it."""
    if not data.dialogues:
        raise InputError(f'head {head.name!r} judges turns of dialogues; give rows with "turns"')
    truth: list[list[str]] = []
    texts, flags, groups = [], [], []
    for number, turns in enumerate(data.groups):
        conversation = model.conversation(max_turns=1)
        added = conversation._core.add([(t.speaker, t.text, t.emotion) for t in turns])
        for item, answer in zip(turns, added, strict=True):
            for turn, _, decided, _, _, span_score, words in answer.causes or ():
                spans = [span for at, span in item.target if at == turn]
                truth.append(spans)
                flags.append(decided)
                texts.append(words if span_score > 0.5 else "")
                groups.append(number)
    if not truth:
        raise InputError(f"no turn of the data has an emotion that head {head.name!r} is asked for")
    of_group = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    if head.task == "span":
        return answer_statistics(truth, texts, of_group), len(truth)
    said = np.asarray(flags, bool)
    true = np.asarray([bool(spans) for spans in truth])
    both = (np.stack([~side, side], axis=1) for side in (said, true))
    return label_statistics(*both, exclusive=True, groups=of_group), len(truth)


def _table(figures: dict[str, Figure]) -> str:
    width = max(map(len, figures))
    lines = [f"{'figure':<{width}}   value   95 % interval"]
    lines += [
        f"{name:<{width}}  {figure.value:6.4f}   {figure.low:.4f} to {figure.high:.4f}"
        for name, figure in figures.items()
    ]
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    renamed = _renamed(args.rename)
    model = load_model(args)
    if isinstance(model, SpeechModel):
        if args.map is not None:
            raise UsageError("--map goes with models of texts")
        head, count, figures = sound_figures(model, args, renamed)
        return _show(model, head, args, count, figures, "clips")
    head = model.info.heads[model._head_index(args.head)]
    judged = head
    if args.map is not None:
        check_map(replace(model.info, heads=(head,)), args.map)
        judged = replace(head, labels=map_labels(args.map))
    data = read_data(Path(args.data), Wanted(judged, args.target, renamed, args.map))
    statistics, count = _statistics(model, head, data, args.map)
    figures = with_intervals(statistics, samples=args.samples, seed=args.seed)
    rows = "pairs" if head.input == "cause" else "turns" if data.dialogues else "texts"
    return _show(model, head, args, count, figures, rows)


def _show(
    model: Model | SpeechModel,
    head: HeadInfo,
    args: argparse.Namespace,
    count: int,
    figures: dict[str, Figure],
    rows: str,
) -> int:
    if args.json:
        record = {
            "model": model.info.name,
            "head": head.name,
            "task": head.task,
            **({} if args.map is None else {"map": args.map}),
            "data": args.data,
            "rows": count,
            "samples": args.samples,
            "seed": args.seed,
            "interval": _PERCENT,
            "figures": {
                name: {"value": f.value, "low": f.low, "high": f.high}
                for name, f in figures.items()
            },
        }
        print(json.dumps(record, ensure_ascii=False))
        return EXIT_OK
    onto = "" if args.map is None else f" onto {args.map}"
    print(f"{model.info.name}, head {head.name} ({head.task}){onto}, {count:,} {rows}")
    print(printable(args.data) + "\n")
    print(_table(figures))
    return EXIT_OK

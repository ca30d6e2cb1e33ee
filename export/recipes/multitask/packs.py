"""The data packs as examples: a text, its context, and a target for one or more heads.

Splits are those of the packs; where a pack has no dev (or its dev serves as test, because no test
is public), a tenth of train by hash stands in. What a test set holds is never trained on:
`dailydialog` leaves out the rows that RECCON tests on and those that its other splits share.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectrt.errors import NotFoundError
from affectrt.export.checkpoint import HeadSpec

from .inputs import HISTORY_TURNS, Turn, history_turn

SPLITS = ("train", "dev", "test")
EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
LEVELS = ("none", "weak", "strong")
EMPATHY = ("emotional_reactions", "interpretations", "explorations")
STAGES = ("exploration", "comforting", "action")
# Hill's three stages, as ESConv's paper ties them to the strategies; "Others" belongs to none.
STAGE_OF_STRATEGY = {
    "Question": 0,
    "Restatement or Paraphrasing": 0,
    "Reflection of feelings": 1,
    "Self-disclosure": 1,
    "Affirmation and Reassurance": 1,
    "Providing Suggestions": 2,
    "Information": 2,
}
REPLY_CANDIDATES = 10
_SAME = {"happiness": "joy"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """One pass and what is known of it.

    Targets by head: a label's index (single_label, ordinal), ``float32 [labels]`` (multi_label,
    regression; NaN where unknown), characters ``(start, end, label)`` (token heads) and
    ``(start, end)`` (span; none: no answer).
    """

    id: str
    text: str
    targets: dict[str, Any]
    context: tuple[Turn, ...] = ()


@dataclass
class Source:
    """Examples of one pack for some heads.

    ``share`` weighs it in the mixture; ``keep`` is the chance of each train example to take part
    in an epoch (frequent classes are thinned out).
    """

    name: str
    pack: str
    heads: tuple[HeadSpec, ...]
    examples: dict[str, list[Example]]
    share: float = 1.0
    keep: NDArray[np.float32] | None = None
    notes: str = ""
    official: dict[str, str] = field(default_factory=dict)  # our split -> the pack's

    def epoch(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Indices of the train examples of one epoch, shuffled."""
        order = rng.permutation(len(self.examples["train"]))
        if self.keep is None:
            return order
        return order[rng.random(len(order)) < self.keep[order]]

    def expected(self) -> float:
        """Examples an epoch."""
        return float(len(self.examples["train"]) if self.keep is None else self.keep.sum())


def read_rows(data: Path, pack: str, split: str) -> list[Row]:
    """All rows of a split; none where the pack does not have it.

    Raises:
        NotFoundError: `data` has no such pack.
    """
    folder = data / pack
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is missing: --data must name the folder of the text packs")
    file = folder / f"{split}.jsonl.gz"
    if not file.is_file():
        return []
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def in_tenth(name: str) -> bool:
    """Whether a row belongs to the tenth that stands in for a missing dev."""
    return hashlib.sha256(name.encode()).digest()[0] < 26


Rows = dict[str, list[Row]]


def _splits(data: Path, pack: str, group: str = "id", dev_is_test: bool = False) -> Rows:
    rows = {split: read_rows(data, pack, split) for split in SPLITS}
    if dev_is_test:
        rows["test"], rows["dev"] = rows["dev"], []
    if not rows["dev"]:
        rows["dev"] = [r for r in rows["train"] if in_tenth(str(r[group]))]
        rows["train"] = [r for r in rows["train"] if not in_tenth(str(r[group]))]
    return rows


def _head(
    name: str, task: str, labels: Iterable[str], given: str = "text", **more: Any
) -> HeadSpec:
    return HeadSpec(name, task, tuple(labels), name, input=given, **more)


def _each(rows: Rows, make: Callable[[Row], Iterator[Example]]) -> dict[str, list[Example]]:
    return {split: [e for row in part for e in make(row)] for split, part in rows.items()}


def _one_hot(labels: Sequence[str], names: Iterable[str]) -> NDArray[np.float32]:
    target = np.zeros(len(labels), np.float32)
    target[[labels.index(n) for n in names]] = 1
    return target


def _single(
    data: Path, name: str, pack: str, head: str, text: str, label: str, **more: Any
) -> Source:
    """A text with one of some labels."""
    rows = _splits(data, pack, group=more.pop("group", "id"))
    labels = sorted({r[label] for r in rows["train"]})
    spec = _head(head, "single_label", labels)
    index = {label: i for i, label in enumerate(labels)}

    def make(row: Row) -> Iterator[Example]:
        yield Example(row["id"], row[text], {head: index[row[label]]})

    return Source(name, pack, (spec,), _each(rows, make), **more)


def history(turns: Sequence[Row], at: int) -> tuple[Turn, ...]:
    """What was said before turn `at`, seen by its speaker."""
    me = turns[at]["speaker"]
    return tuple(
        history_turn(t["text"], same_speaker=t["speaker"] == me)
        for t in turns[max(0, at - HISTORY_TURNS) : at]
    )


def goemotions(data: Path) -> Source:
    labels = json.loads((data / "goemotions" / "labels.json").read_text("utf-8"))["labels"]
    spec = _head("emotion", "multi_label", labels)

    def make(row: Row) -> Iterator[Example]:
        yield Example(row["id"], row["text"], {"emotion": _one_hot(labels, row["labels"])})

    return Source(
        "goemotions", "goemotions", (spec,), _each(_splits(data, "goemotions"), make), share=1.3
    )


def brighter(data: Path) -> Source:
    folder = "brighter/eng"
    rows = _splits(data, folder, dev_is_test=True)
    labels = sorted(rows["train"][0]["labels"])

    def make(row: Row) -> Iterator[Example]:
        said = [k for k, v in row["labels"].items() if v]
        yield Example(row["id"], row["text"], {"emotion5": _one_hot(labels, said)})

    spec = _head("emotion5", "multi_label", labels)
    return Source("brighter", folder, (spec,), _each(rows, make), official={"test": "dev"})


def dialogue_key(row: Row) -> str:
    """The words of a dialogue: equal for what is the same dialogue in two packs or splits."""
    text = " ".join(t["text"] for t in row["turns"]).lower()
    return "".join(c for c in text if c.isalnum())


def dailydialog(data: Path) -> Source:
    tested = {
        dialogue_key(row) for split in ("dev", "test") for row in read_rows(data, "reccon", split)
    }
    rows = _splits(data, "dailydialog")
    rows["train"] = [
        row
        for row in rows["train"]
        if row["reccon_split"] not in ("dev", "test")
        and not {"dev", "test"} & set(row["also_in"])
        and dialogue_key(row) not in tested
    ]
    acts = ("inform", "question", "directive", "commissive")
    specs = (
        _head("emotion7", "single_label", EKMAN, "turn"),
        _head("act4", "single_label", acts, "turn"),
    )

    def make(row: Row) -> Iterator[Example]:
        for i, turn in enumerate(row["turns"]):
            emotion = _SAME.get(turn["emotion"], turn["emotion"])
            targets = {"emotion7": EKMAN.index(emotion), "act4": acts.index(turn["act"])}
            yield Example(f"{row['id']}/{i}", turn["text"], targets, history(row["turns"], i))

    examples = _each(rows, make)
    calm = EKMAN.index("neutral")
    keep = [0.12 if e.targets["emotion7"] == calm else 1.0 for e in examples["train"]]
    return Source(
        "dailydialog", "dailydialog", specs, examples, 0.9, keep=np.asarray(keep, np.float32)
    )


def meld(data: Path) -> Source:
    def make(row: Row) -> Iterator[Example]:
        for i, turn in enumerate(row["turns"]):
            target = {"emotion7": EKMAN.index(turn["emotion"])}
            yield Example(f"{row['id']}/{i}", turn["text"], target, history(row["turns"], i))

    spec = _head("emotion7", "single_label", EKMAN, "turn")
    return Source("meld", "meld", (spec,), _each(_splits(data, "meld"), make), share=1.2)


def emocontext(data: Path) -> Source:
    labels = ("happy", "sad", "angry", "others")

    def make(row: Row) -> Iterator[Example]:
        first, second, third = row["turns"]
        context = (
            history_turn(first, same_speaker=True),
            history_turn(second, same_speaker=False),
        )
        yield Example(row["id"], third, {"emotion4": labels.index(row["label"])}, context)

    spec = _head("emotion4", "single_label", labels, "turn")
    return Source(
        "emocontext", "emocontext", (spec,), _each(_splits(data, "emocontext"), make), share=0.7
    )


def isear(data: Path) -> Source:
    return _single(data, "isear", "isear", "event_emotion", "text", "emotion", share=2.0)


def empathetic(data: Path) -> Source:
    """The situation as its writer describes it, and as a dialogue's first turn tells it."""
    rows = _splits(data, "empatheticdialogues")
    labels = sorted({r["emotion"] for r in rows["train"]})

    def make(row: Row) -> Iterator[Example]:
        target = {"situation": labels.index(row["emotion"])}
        yield Example(f"{row['id']}/situation", row["situation"], target)
        yield Example(f"{row['id']}/0", row["turns"][0]["text"], target)

    spec = _head("situation", "single_label", labels)
    return Source("empathetic", "empatheticdialogues", (spec,), _each(rows, make), share=1.2)


def emobank(data: Path) -> Source:
    axes = ("valence", "arousal", "dominance")

    def make(row: Row) -> Iterator[Example]:
        yield Example(
            row["id"], row["text"], {"vad": np.asarray([row[a] for a in axes], np.float32)}
        )

    spec = _head("vad", "regression", axes, ranges=((1.0, 5.0),) * 3)
    return Source("emobank", "emobank", (spec,), _each(_splits(data, "emobank"), make), share=3.0)


def cause_context(turns: Sequence[Row], target: int, candidate: int) -> tuple[Turn, ...]:
    """B of a cause: the turns up to the target, seen by the candidate's speaker.

    The candidate, which is A, stands there as "this"; the target's tag has its emotion.
    """
    me = turns[candidate]["speaker"]
    told = []
    for i in range(max(0, target + 1 - HISTORY_TURNS), target + 1):
        turn = turns[i]
        emotion = _SAME.get(turn["emotion"], turn["emotion"]) if i == target else None
        text = "this" if i == candidate else turn["text"]
        told.append(history_turn(text, same_speaker=turn["speaker"] == me, emotion=emotion))
    return tuple(told)


def reccon_pairs(row: Row) -> Iterator[Example]:
    """Fold 1 of Poria et al. 2021 (section 4): every turn with an emotion against every turn up to
    it; positive where a cause span lies in that turn, else negative."""
    turns = row["turns"]
    for t, turn in enumerate(turns):
        if turn["emotion"] == "neutral":
            continue
        for c in range(t + 1):
            text = turns[c]["text"]
            spans = [cause["span"] for cause in turn["causes"] if cause["turn"] == c + 1]
            places = [(text.find(s), text.find(s) + len(s)) for s in spans if s in text]
            targets = {"cause": np.asarray([bool(spans)], np.float32), "cause_span": places}
            yield Example(f"{row['id']}/{t}/{c}", text, targets, cause_context(turns, t, c))


def reccon(data: Path) -> Source:
    specs = (
        _head("cause", "multi_label", ("cause",), "cause"),
        _head("cause_span", "span", ("start", "end"), "cause"),
    )
    rows = _splits(data, "reccon")
    tested = {dialogue_key(row) for split in ("dev", "test") for row in rows[split]}
    rows["train"] = [row for row in rows["train"] if dialogue_key(row) not in tested]
    examples = _each(rows, reccon_pairs)
    keep = [1.0 if e.targets["cause_span"] else 0.6 for e in examples["train"]]
    return Source("reccon", "reccon", specs, examples, 2.4, keep=np.asarray(keep, np.float32))


def epitome(data: Path) -> Source:
    specs = [_head(f"empathy_{k}", "ordinal", LEVELS, "turn") for k in EMPATHY]
    specs.append(_head("empathy_words", "token_flags", EMPATHY, "turn"))

    def make(row: Row) -> Iterator[Example]:
        reply = row["response"]
        words = [
            (reply.find(span), reply.find(span) + len(span), label)
            for label, kind in enumerate(EMPATHY)
            for span in row["rationales"][kind]
            if span and span in reply
        ]
        targets: dict[str, Any] = {f"empathy_{k}": int(row[k]) for k in EMPATHY}
        targets["empathy_words"] = words
        context = (history_turn(row["seeker"], same_speaker=False),)
        yield Example(row["id"], reply, targets, context)

    examples = _each(_splits(data, "epitome"), make)
    return Source("epitome", "epitome", tuple(specs), examples, share=2.0)


def wassa_turns(data: Path) -> Source:
    scores = ("emotion", "polarity", "empathy")
    ranges = ((0.0, 5.0), (0.0, 3.0), (0.0, 5.0))
    spec = _head("turn_empathy", "regression", scores, "turn", ranges=ranges)
    rows = _splits(data, "wassa24_turns", group="conversation_id", dev_is_test=True)

    def dialogues(part: list[Row]) -> list[Row]:
        found: dict[str, list[Row]] = {}
        for row in part:
            found.setdefault(f"{row['conversation_id']}/{row['article_id']}", []).append(row)
        return [
            {"id": k, "turns": sorted(v, key=lambda r: int(r["turn"]))} for k, v in found.items()
        ]

    def make(row: Row) -> Iterator[Example]:
        for i, turn in enumerate(row["turns"]):
            values = [np.nan if turn[s] is None else turn[s] for s in scores]
            target = {"turn_empathy": np.asarray(values, np.float32)}
            yield Example(f"{row['id']}/{i}", turn["text"], target, history(row["turns"], i))

    examples = _each({k: dialogues(v) for k, v in rows.items()}, make)
    return Source("wassa_turns", "wassa24_turns", (spec,), examples, 1.3, official={"test": "dev"})


def wassa_essays(data: Path) -> Source:
    scores = ("empathy", "distress")
    spec = _head("essay_empathy", "regression", scores, ranges=((1.0, 7.0),) * 2)
    rows = _splits(data, "wassa22_essays", group="article_id", dev_is_test=True)

    def make(row: Row) -> Iterator[Example]:
        target = {"essay_empathy": np.asarray([row[s] for s in scores], np.float32)}
        yield Example(row["id"], row["essay"], target)

    examples = _each(rows, make)
    return Source(
        "wassa_essays", "wassa22_essays", (spec,), examples, 1.5, official={"test": "dev"}
    )


def swda(data: Path) -> Source:
    names = json.loads((data / "swda" / "labels.json").read_text("utf-8"))["acts"]
    codes = sorted(names)
    labels = [names[c] if list(names.values()).count(names[c]) == 1 else c for c in codes]

    def make(row: Row) -> Iterator[Example]:
        for i, turn in enumerate(row["turns"]):
            target = {"act": codes.index(turn["act"])}
            yield Example(f"{row['id']}/{i}", turn["text"], target, history(row["turns"], i))

    spec = _head("act", "single_label", labels, "turn")
    return Source("swda", "swda", (spec,), _each(_splits(data, "swda"), make), share=0.3)


def stages(strategies: Sequence[str | None]) -> list[int]:
    """A stage for each turn: the course exploration, comforting, action with the most strategies in
    their own stage. ESConv has no stage labels; this is what its strategies say of them."""
    n = len(strategies)
    wanted = [STAGE_OF_STRATEGY.get(s or "", -1) for s in strategies]
    hits = np.array([[w == stage for w in wanted] for stage in range(3)], np.int64)
    before = np.concatenate([np.zeros((3, 1), np.int64), hits.cumsum(1)], axis=1)
    best, cut = -1, (0, 0)
    for i in range(n + 1):
        for j in range(i, n + 1):
            score = before[0, i] + before[1, j] - before[1, i] + before[2, n] - before[2, j]
            if score > best:
                best, cut = int(score), (i, j)
    return [0 if i < cut[0] else 1 if i < cut[1] else 2 for i in range(n)]


def esconv(data: Path) -> Source:
    rows = _splits(data, "esconv")
    labels = sorted({t["strategy"] for r in rows["train"] for t in r["turns"] if t.get("strategy")})

    def make(row: Row) -> Iterator[Example]:
        turns = row["turns"]
        for i, stage in enumerate(stages([t.get("strategy") for t in turns])):
            targets = {"stage": stage}
            if turns[i].get("strategy"):
                targets["strategy"] = labels.index(turns[i]["strategy"])
            yield Example(f"{row['id']}/{i}", turns[i]["text"], targets, history(turns, i))

    specs = (
        _head("strategy", "single_label", labels, "turn"),
        _head("stage", "single_label", STAGES, "turn"),
    )
    examples = _each(rows, make)
    keep = [1.0 if "strategy" in e.targets else 0.2 for e in examples["train"]]
    return Source(
        "esconv",
        "esconv",
        specs,
        examples,
        0.9,
        keep=np.asarray(keep, np.float32),
        notes="stages are derived from the strategies",
    )


def longemotion_stages(data: Path) -> list[Example]:
    """Counselling dialogues in four stages, for evaluation only; each is mapped onto ours."""
    mapped = {
        "Reception and Inquiry Stage": 0,
        "Diagnostic Stage": 1,
        "Consultation Stage": 2,
        "Consolidation and Ending Stage": 2,
    }
    found = []
    for row in read_rows(data, "longemotion_conversations", "test"):
        turns = [{**t, "stage": mapped[s["stage"]]} for s in row["stages"] for t in s["turns"]]
        for i, turn in enumerate(turns):
            target = {"stage": turn["stage"]}
            found.append(Example(f"{row['id']}/{i}", turn["text"], target, history(turns, i)))
    return found


def banking(data: Path) -> Source:
    return _single(data, "banking", "banking77", "intent_banking", "text", "label", share=2.6)


def clinc(data: Path) -> Source:
    return _single(data, "clinc", "clinc150", "intent", "text", "label", share=2.4)


def nlupp(data: Path) -> Source:
    ontology = json.loads((data / "nlupp" / "ontology.json").read_text("utf-8"))
    intents, slots = sorted(ontology["intents"]), sorted(ontology["slots"])
    bio = ["O", *(f"{mark}-{slot}" for slot in slots for mark in "BI")]

    def make(row: Row) -> Iterator[Example]:
        found = [
            (*slot["span"], slots.index(name))
            for name, slot in row["slots"].items()
            if slot.get("span")
        ]
        targets = {"intents": _one_hot(intents, row["intents"]), "slots": found}
        yield Example(row["id"], row["text"], targets)

    specs = (_head("intents", "multi_label", intents), _head("slots", "token_labels", bio))
    return Source("nlupp", "nlupp", specs, _each(_splits(data, "nlupp"), make), share=2.5)


def personality_turn(traits: dict[str, float]) -> Turn:
    """The Big Five of who replies, each 0-1, as the last line of B."""
    told = " ".join(f"{name} {round(10 * value)}" for name, value in traits.items())
    return Turn("personality", told)


def peld(data: Path) -> Source:
    """The emotion of a reply before it is given: A is what is replied to; B has the replier's own
    last turn with its emotion, and their Big Five."""

    def make(row: Row) -> Iterator[Example]:
        before, said, reply = row["turns"]
        context = (
            history_turn(before["text"], same_speaker=False, emotion=before["emotion"]),
            personality_turn(row["personality"]),
        )
        target = {"reply_emotion": EKMAN.index(reply["emotion"])}
        yield Example(row["id"], said["text"], target, context)

    spec = _head("reply_emotion", "single_label", EKMAN, "reply")
    return Source("peld", "peld", (spec,), _each(_splits(data, "peld"), make), share=1.2)


def replies(data: Path) -> Source:
    """Listeners' replies in their own dialogue and in others'.

    Train has one wrong reply for a right one, three of four from a dialogue of another emotion;
    dev and test have `REPLY_CANDIDATES` - 1, one after another behind the right one.
    """
    spec = _head("reply_fit", "multi_label", ("fits",), "turn")
    examples: dict[str, list[Example]] = {}
    for split in SPLITS:
        rng = np.random.default_rng(len(split))
        told = [
            (row, i)
            for row in read_rows(data, "empatheticdialogues", split)
            for i in range(1, min(len(row["turns"]), 6), 2)
        ]
        if split == "train":
            told = [told[i] for i in rng.permutation(len(told))[:20_000]]
        else:
            told = [told[i] for i in rng.permutation(len(told))[:300]]
        part = []
        for row, i in told:
            turns = row["turns"]
            context = history(turns, i)
            wrong: list[str] = []
            while len(wrong) < (1 if split == "train" else REPLY_CANDIDATES - 1):
                other, j = told[int(rng.integers(len(told)))]
                alike = other["emotion"] == row["emotion"]
                if other is not row and (not alike or rng.random() < 0.25 or len(told) < 20):
                    wrong.append(other["turns"][j]["text"])
            for fits, text in enumerate([turns[i]["text"], *wrong]):
                target = {"reply_fit": np.asarray([fits == 0], np.float32)}
                part.append(Example(f"{row['id']}/{i}/{fits}", text, target, context))
        examples[split] = part
    return Source("replies", "empatheticdialogues", (spec,), examples, share=0.2)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "goemotions": goemotions,
    "brighter": brighter,
    "dailydialog": dailydialog,
    "meld": meld,
    "emocontext": emocontext,
    "isear": isear,
    "empathetic": empathetic,
    "emobank": emobank,
    "reccon": reccon,
    "epitome": epitome,
    "wassa_turns": wassa_turns,
    "wassa_essays": wassa_essays,
    "swda": swda,
    "esconv": esconv,
    "banking": banking,
    "clinc": clinc,
    "nlupp": nlupp,
    "peld": peld,
    "replies": replies,
}
# What may be given away with attribution; EmoBank is share-alike (CC BY-SA 4.0).
PERMISSIVE = ("goemotions", "brighter", "emobank", "wassa_essays", "nlupp", "banking", "clinc")
MODELS = {
    "text": tuple(name for name in SOURCES if name != "brighter"),
    "text-permissive": PERMISSIVE,
}


def heads_of(sources: Iterable[Source]) -> tuple[HeadSpec, ...]:
    """The heads of some sources, each once, in order."""
    found: dict[str, HeadSpec] = {}
    for source in sources:
        for spec in source.heads:
            found.setdefault(spec.name, spec)
    return tuple(found.values())


def shared_heads(ours: Iterable[HeadSpec], theirs: Iterable[HeadSpec]) -> dict[str, HeadSpec]:
    """Those of `theirs` that are of a name, task and labels of `ours`, by name."""
    known = {(h.name, h.task, h.labels) for h in ours}
    return {h.name: h for h in theirs if (h.name, h.task, h.labels) in known}

"""Packs of made-up rows in the formats of the real ones, for tests of the multi-task recipe."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]

MOODS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
WORDS = {
    "anger": ["furious", "rude"],
    "disgust": ["gross", "rotten"],
    "fear": ["scared", "dark"],
    "joy": ["glad", "sunny"],
    "sadness": ["lonely", "lost"],
    "surprise": ["sudden", "unexpected"],
    "neutral": ["table", "paper"],
}
FILLER = ["the", "a", "we", "saw", "it", "today", "and", "then", "i", "felt", "so", "at", "home"]
VOCABULARY = [
    *sorted({w for words in WORDS.values() for w in words}),
    *FILLER,
    *(*MOODS, "self", "other", "this", "personality", "openness", "neuroticism"),
    *("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", ":", ",", ".", "because", "soon"),
]


class Maker:
    """Rows from a seeded source of words; a text carries two words of its mood."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)

    def text(self, mood: str = "neutral") -> str:
        words = [self.random.choice(FILLER) for _ in range(self.random.randint(2, 6))]
        for word in WORDS[mood]:
            words.insert(self.random.randint(0, len(words)), word)
        return " ".join(words)

    def mood(self) -> str:
        return self.random.choice(MOODS)

    def turns(self, n: int, **more: Callable[[str, int], Any]) -> list[Row]:
        made = []
        for i in range(n):
            mood = self.mood()
            row: Row = {"speaker": "AB"[i % 2], "text": self.text(mood), "emotion": mood}
            made.append({**row, **{k: f(mood, i) for k, f in more.items()}})
        return made


def dd(emotion: str) -> str:
    """As DailyDialog and RECCON call it."""
    return "happiness" if emotion == "joy" else emotion


def reccon_row(make: Maker, name: str) -> Row:
    turns = []
    for i, turn in enumerate(make.turns(4)):
        causes = []
        if turn["emotion"] != "neutral":
            causes = [{"turn": i + 1, "span": turn["text"].split()[0]}]
            if i:
                causes.append({"turn": i, "span": turns[i - 1]["text"].split()[-1]})
        mood = dd(turn["emotion"])
        turns.append({**turn, "turn": i + 1, "emotion": mood, "causes": causes, "cause_types": []})
    return {"id": name, "turns": turns}


def _splits(make_row: Callable[[str, int], Row], sizes: dict[str, int]) -> dict[str, list[Row]]:
    return {s: [make_row(f"{s}_{i}", i) for i in range(n)] for s, n in sizes.items()}


ALL = {"train": 24, "dev": 6, "test": 6}


def write_packs(folder: Path) -> Path:
    """Every pack of the recipe; a few kilobytes."""
    make = Maker()
    rng = make.random
    packs: dict[str, dict[str, list[Row]]] = {}

    def moody(name: str, i: int) -> Row:
        mood = MOODS[i % 7]
        return {"id": name, "text": make.text(mood), "labels": [mood]}

    packs["goemotions"] = _splits(moody, {"train": 60, "dev": 21, "test": 14})
    packs["brighter/eng"] = _splits(
        lambda name, i: {
            "id": name,
            "text": make.text(MOODS[i % 5]),
            "labels": {m: int(m == MOODS[i % 5]) for m in ("anger", "fear", "joy")},
        },
        {"train": 40, "dev": 10},
    )
    acts = ("inform", "question", "directive", "commissive")
    packs["dailydialog"] = _splits(
        lambda name, i: {
            "id": name,
            "reccon_split": None,
            "also_in": [],
            "turns": [
                {**t, "emotion": dd(t["emotion"])}
                for t in make.turns(3, act=lambda _, k: acts[k % 4])
            ],
        },
        ALL,
    )
    packs["meld"] = _splits(lambda name, _: {"id": name, "turns": make.turns(3)}, ALL)
    packs["emocontext"] = _splits(
        lambda name, i: {
            "id": name,
            "turns": [make.text() for _ in range(3)],
            "label": ("happy", "sad", "angry", "others")[i % 4],
        },
        ALL,
    )
    packs["isear"] = _splits(
        lambda name, i: {"id": name, "text": make.text(MOODS[i % 6]), "emotion": MOODS[i % 6]}, ALL
    )
    packs["empatheticdialogues"] = _splits(
        lambda name, i: {
            "id": name,
            "emotion": MOODS[i % 4],
            "situation": make.text(MOODS[i % 4]),
            "turns": [
                {"speaker": ("speaker", "listener")[k % 2], "text": make.text(MOODS[i % 4])}
                for k in range(4)
            ],
        },
        {"train": 24, "dev": 12, "test": 12},
    )
    packs["emobank"] = _splits(
        lambda name, _: {
            "id": name,
            "text": make.text(),
            **{k: round(rng.uniform(1, 5), 2) for k in ("valence", "arousal", "dominance")},
        },
        ALL,
    )
    packs["reccon"] = _splits(lambda name, _: reccon_row(make, name), ALL)
    kinds = ("emotional_reactions", "interpretations", "explorations")

    def epitome(name: str, i: int) -> Row:
        reply = make.text("joy")
        return {
            "id": name,
            "seeker": make.text("sadness"),
            "response": reply,
            **{k: (i + j) % 3 for j, k in enumerate(kinds)},
            "rationales": {
                k: reply.split()[:2] if (i + j) % 3 else [] for j, k in enumerate(kinds)
            },
        }

    packs["epitome"] = _splits(epitome, ALL)
    packs["wassa24_turns"] = _splits(
        lambda name, i: {
            "conversation_id": f"{name.split('_')[0]}_{i // 4}",
            "article_id": 1,
            "turn": i % 4,
            "speaker": str(1 + i % 2),
            "text": make.text(),
            **{k: rng.uniform(0, 3) for k in ("emotion", "polarity", "empathy")},
        },
        {"train": 160, "dev": 8},
    )
    packs["wassa22_essays"] = _splits(
        lambda name, i: {
            "id": name,
            "article_id": i,
            "essay": make.text("sadness"),
            "empathy": rng.uniform(1, 7),
            "distress": rng.uniform(1, 7),
        },
        {"train": 60, "dev": 8},
    )
    packs["swda"] = _splits(
        lambda name, _: {"id": name, "turns": make.turns(3, act=lambda _, k: ("sd", "b", "qy")[k])},
        ALL,
    )
    strategies = (
        *("Question", "Reflection of feelings", "Information", "Others"),
        *("Self-disclosure", "Affirmation and Reassurance", "Providing Suggestions"),
        "Restatement or Paraphrasing",
    )

    def support(name: str, i: int) -> Row:
        turns = []
        for k in range(6):
            role = ("seeker", "supporter")[k % 2]
            turn: Row = {"speaker": role, "text": make.text("sadness")}
            if role == "supporter":
                turn["strategy"] = strategies[(i + k) % 8]
            turns.append(turn)
        return {"id": name, "turns": turns}

    packs["esconv"] = _splits(support, ALL)
    packs["longemotion_conversations"] = _splits(
        lambda name, _: {
            "id": name,
            "stages": [
                {"stage": f"{stage} Stage", "turns": make.turns(2)}
                for stage in ("Reception and Inquiry", "Diagnostic", "Consultation")
            ],
        },
        {"test": 2},
    )
    packs["banking77"] = _splits(
        lambda name, i: {"id": name, "text": make.text(MOODS[i % 3]), "label": f"i{i % 3}"},
        {"train": 60, "test": 6},
    )
    packs["clinc150"] = _splits(
        lambda name, i: {
            "id": name,
            "text": make.text(MOODS[i % 3]),
            "label": ("pay", "call", "oos")[i % 3],
        },
        ALL,
    )

    def intent(name: str, i: int) -> Row:
        text = make.text() + " soon"
        span = [len(text) - 4, len(text)]
        slots = {"when": {"text": "soon", "span": span}} if i % 2 else {"who": {"text": "?"}}
        return {"id": name, "text": text, "intents": [("ask", "pay")[i % 2]], "slots": slots}

    packs["nlupp"] = _splits(intent, ALL)
    packs["peld"] = _splits(
        lambda name, i: {
            "id": name,
            "personality": {"openness": 0.7, "neuroticism": 0.1 * (i % 10)},
            "turns": make.turns(3),
        },
        ALL,
    )
    for pack, splits in packs.items():
        for split, rows in splits.items():
            write_rows(folder, pack, split, rows)
    files: dict[str, Any] = {
        "goemotions/labels.json": {"labels": list(MOODS)},
        "swda/labels.json": {"acts": {"sd": "Statement", "b": "Backchannel", "qy": "Question"}},
        "nlupp/ontology.json": {
            "intents": {"ask": {}, "pay": {}},
            "slots": {"when": {}, "who": {}},
        },
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


def write_rows(folder: Path, pack: str, split: str, rows: list[Row]) -> None:
    """One split of a pack."""
    file = folder / pack / f"{split}.jsonl.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))

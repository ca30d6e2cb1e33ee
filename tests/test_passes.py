"""Passes over turns in their conversation: those of the recipe's reference, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from affectrt import _core
from affectrt.export.recipes.multitask import inputs, packs
from affectrt.export.recipes.multitask.inputs import Tokens, Turn, history_turn


@pytest.fixture(scope="module")
def tokenizer_json(shared_dir: Path) -> Path:
    return shared_dir / "weights" / "minilm-l6" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokens(tokenizer_json: Path) -> Tokens:
    return Tokens(tokenizer_json)


@pytest.fixture(scope="module")
def core(tokenizer_json: Path) -> _core.Tokenizer:
    return _core.Tokenizer.from_json(tokenizer_json.read_bytes(), "tokenizer.json")


def assert_same(core: _core.Tokenizer, tokens: Tokens, text: str, context: Sequence[Turn]) -> None:
    lines = []
    for turn in context:
        who, _, emotion = turn.tag.partition(" ")
        lines.append((who == "self", emotion or None, turn.text))
    ids, types, a_tokens = _core._make_pass(core, text, lines)
    wanted = tokens.make_pass(text, context)
    assert ids == wanted.ids.tolist()
    assert types == wanted.types.tolist()
    assert a_tokens == wanted.a_tokens


@pytest.mark.parametrize("pack", ["reccon", "esconv", "meld", "wassa_turns", "epitome"])
def test_dialogue_packs(core: _core.Tokenizer, tokens: Tokens, shared_dir: Path, pack: str) -> None:
    source = packs.SOURCES[pack](shared_dir / "data" / "text")
    for example in source.examples["dev"][:120]:
        assert_same(core, tokens, example.text, example.context)


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.lists(st.sampled_from(["yes", "unbelievable", "😀", "日本", "don't"]), max_size=90).map(
        " ".join
    ),
)
LINES = st.lists(
    st.builds(
        lambda text, same, emotion: history_turn(text, same_speaker=same, emotion=emotion),
        TEXTS,
        st.booleans(),
        st.one_of(st.none(), st.sampled_from(packs.EKMAN)),
    ),
    max_size=inputs.HISTORY_TURNS,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(text=TEXTS, context=LINES)
def test_any_turns(core: _core.Tokenizer, tokens: Tokens, text: str, context: list[Turn]) -> None:
    assert_same(core, tokens, text, context)


@pytest.mark.parametrize("words", [0, 1, 90, 124, 125, 126, 220, 221, 222, 300, 5000])
@pytest.mark.parametrize("line_words", [29, 30, 31, 123, 400])
def test_where_things_just_fit(
    core: _core.Tokenizer, tokens: Tokens, words: int, line_words: int
) -> None:
    lines = [
        history_turn(" ".join(["so"] * n), same_speaker=n % 2 == 0)
        for n in (3, line_words, 7, line_words)
    ]
    text = " ".join(["well"] * words)
    for context in ([], lines[-1:], lines[-2:], lines[:3], lines):
        assert_same(core, tokens, text, context)

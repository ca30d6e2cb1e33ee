"""Evidence by occlusion, long texts in windows, the odd one out, retrieval of examples."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import affectrt
from affectrt import Index, Model
from affectrt.errors import InputError, NotFoundError, UnsupportedError
from affectrt.evidence import MOST_PARTS, parts_of
from affectrt.long_text import windows_of


@pytest.fixture(scope="module")
def model(default_model: Path) -> Model:
    return affectrt.load(default_model)


@pytest.fixture(scope="module")
def lexicon(lexicon_model: Path) -> Model:
    """Its answers are sums over words, so that the weight of a word is known."""
    pytest.importorskip("onnxruntime")
    return affectrt.load(lexicon_model)


# ---------------------------------------------------------------------------------------- evidence


def test_words_weigh_what_they_add(lexicon: Model) -> None:
    text = "so happy , and  wonderful 日本!"
    found = lexicon.explain(text, label="joy", top=20)
    assert (found.head, found.label) == ("emotion", "joy") or found.label == "joy"
    weights = {word.text: word.weight for word in found.words}
    assert weights["happy"] == pytest.approx(4.0, abs=1e-4)
    assert weights["wonderful"] == pytest.approx(3.0, abs=1e-4)
    assert [word.text for word in found.words[:2]] == ["happy", "wonderful"]
    assert all(abs(weights[word]) < 1e-4 for word in ("so", "and", ",", "日", "本", "!"))
    for word in found.words:
        assert text[word.start : word.end] == word.text
    assert len(lexicon.explain(text, top=1).words) == 1
    assert found.to_dict()["words"][0]["text"] == "happy"


def test_the_label_is_the_decided_one(model: Model) -> None:
    found = model.explain("Thank you so much, that was kind.")
    assert found.label == "gratitude"
    assert found.words[0].text == "Thank"
    assert found.score == pytest.approx(
        model("Thank you so much, that was kind.").values["gratitude"]
    )
    assert model.explain("x").words[0].text == "x"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_parts_lie_in_order_and_hold_all_but_space(text: str) -> None:
    at = 0
    for start, end in parts_of(text):
        assert at <= start < end <= len(text)
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


def test_very_long_texts_are_weighed_in_groups() -> None:
    parts = parts_of("word " * 10_000)
    assert len(parts) <= MOST_PARTS
    assert parts[-1][1] == 49_999


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ["a"]}, "text is list; give one str"),
        ({"text": " "}, "only white space"),
        ({"text": "a", "head": "mood"}, "head 'mood' is not in this model"),
        ({"text": "a", "label": "bliss"}, "has no label 'bliss'; it has: admiration"),
        ({"text": "a", "top": 0}, "top is 0; give a positive int"),
    ],
)
def test_bad_questions(model: Model, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.explain(**given)


# --------------------------------------------------------------------------------------- long texts


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    words=st.lists(st.sampled_from(["a", "bb", "unbelievable", "日本語", "-"]), max_size=120),
    room=st.integers(4, 40),
    share=st.floats(0, 0.5),
)
def test_windows_cover_everything(words: list[str], room: int, share: float) -> None:
    text = " ".join(words)
    offsets, at = [], 0
    for word in words:  # a token a character
        offsets += [(at + i, at + i + 1) for i in range(len(word))]
        at += len(word) + 1
    if not offsets:
        return
    windows = windows_of(text, np.asarray(offsets, np.int32), room, int(share * room))
    assert windows[0][0] == 0
    assert windows[-1][1] == len(offsets)
    for (first, end), (second, last) in itertools.pairwise(windows):
        assert first < second <= end < last
    assert all(0 < end - first <= room for first, end in windows)


def test_a_long_text_is_its_windows(model: Model) -> None:
    text = "I am so happy today. " * 60 + "\n\nThen he died, and I cried for days. " * 60
    found = model.analyze_long(text, window=128, overlap=16)
    assert len(found.windows) > 5
    for window in found.windows:
        part = text[window.start : window.end]
        assert window.result.text == part
        assert window.result == model(part)
        assert not window.result.truncated
    assert found.windows[0].result.decided[0] == "joy"
    assert "sadness" in found.windows[-1].result.decided
    loudest = model.analyze_long(text, window=128, overlap=16, pool="max").result
    assert {"joy", "sadness"} <= set(loudest.decided)
    assert {w["start"] for w in found.to_dict()["windows"]} == {w.start for w in found.windows}


def test_a_short_text_is_one_window(model: Model) -> None:
    found = model.analyze_long(" I am so happy. ")
    assert [(w.start, w.end) for w in found.windows] == [(0, 16)]
    alone = model(" I am so happy. ")
    assert found.result.decided == alone.decided
    assert found.result.values == pytest.approx(alone.values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ["a"]}, "text is list"),
        ({"text": ""}, "text is empty"),
        ({"text": "a", "window": 4}, "window is 4; give 10 to 512 tokens"),
        ({"text": "a", "window": 1000}, "window is 1000"),
        ({"text": "a", "overlap": 300}, "overlap is 300; give 0 to 255"),
        ({"text": "a", "pool": "sum"}, 'pool is \'sum\'; give "mean" or "max"'),
    ],
)
def test_bad_windows(model: Model, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.analyze_long(**given)


def test_odd_one_out(model: Model) -> None:
    texts = ["I am so happy.", "What a wonderful day!", "I hate you, get out.", "I love this."]
    found = model.odd_one_out(texts)
    assert found.index == 2
    assert found.distances[2] == max(found.distances)
    with pytest.raises(InputError, match="at least 3"):
        model.odd_one_out(texts[:2])


# ---------------------------------------------------------------------------------------- retrieval

VERBS = ("I love", "I lost", "We broke", "She found", "They hate", "He forgot")
NOUNS = ("cat", "train", "book", "rain", "friend", "house", "song", "letter", "dream", "game")
EXAMPLES = [
    ("I miss my grandmother so much", "sadness"),
    ("My dog died last night", "sadness"),
    ("We won the championship!", "joy"),
    ("Best birthday ever", "joy"),
    ("He lied to my face and I am livid", "anger"),
]


@pytest.fixture(scope="module")
def index(model: Model) -> Index:
    texts, labels = zip(*EXAMPLES, strict=True)
    return Index(model, texts, labels)


def test_search_is_exact(model: Model, index: Index) -> None:
    found = index.search("My cat died yesterday", k=3)
    assert found[0].text == "My dog died last night"
    assert found[0].labels == ("sadness",)
    vectors = model.embed([text for text, _ in EXAMPLES] + ["My cat died yesterday"])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = vectors[:-1] @ vectors[-1]
    assert [n.similarity for n in found] == pytest.approx(sorted(similar, reverse=True)[:3])
    assert len(index.search("x", k=99)) == len(EXAMPLES)
    assert index.search(EXAMPLES[3][0], k=1)[0].similarity == pytest.approx(1.0)


def test_blend_is_head_and_votes(model: Model, index: Index) -> None:
    texts = ["My cat died yesterday", "We won!"]
    before = index.weight
    index.weight = 0.0
    np.testing.assert_array_equal(index.predict_proba(texts), model.predict_proba(texts))
    index.weight = 1.0
    votes = index.predict_proba(texts)
    assert model.labels()[votes[0].argmax()] == "sadness"
    assert votes.sum(axis=1) == pytest.approx(1.0)
    index.weight = 0.5
    half = (model.predict_proba(texts) + votes) / 2
    np.testing.assert_allclose(index.predict_proba(texts), half, atol=1e-6)
    index.weight = before


def test_fit_is_never_worse_than_the_head(model: Model) -> None:
    texts, labels = zip(*EXAMPLES, strict=True)
    index = Index(model, texts, labels)
    losses = index.fit(["My cat died", "We won the cup"], ["sadness", ["joy"]])
    assert losses["blend"] <= losses["head"]
    assert 0.0 <= index.weight <= 1.0


def test_saved_index_is_the_same(model: Model, index: Index, tmp_path: Path) -> None:
    file = tmp_path / "examples.npz"
    index.save(file)
    again = Index.load(model, file)
    assert again.search("We lost", k=5) == index.search("We lost", k=5)
    assert (again.k, again.sharpness, again.weight) == (index.k, index.sharpness, index.weight)
    np.testing.assert_array_equal(
        again.predict_proba(["We lost"]), index.predict_proba(["We lost"])
    )


def test_bad_indices(
    model: Model, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="has no label 'bliss'"):
        Index(model, ["a"], ["bliss"])
    with pytest.raises(InputError, match="2 labels for 1 texts"):
        Index(model, ["a"], ["joy", "joy"])
    with pytest.raises(InputError, match="at least one example"):
        Index(model, [], [])
    with pytest.raises(InputError, match="library is 'annoy'"):
        Index(model, ["a"], ["joy"], library="annoy")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="k is 0"):
        index.search("a", k=0)
    with pytest.raises(NotFoundError, match="no index"):
        Index.load(model, tmp_path / "none.npz")
    file = tmp_path / "broken.npz"
    for content in (b"", b"PK\x03\x04", b"nonsense"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="is no index of affectrt"):
            Index.load(model, file)
    np.savez(file, header=np.frombuffer(b'{"format": "x"}', np.uint8))
    with pytest.raises(InputError, match="its header is not one"):
        Index.load(model, file)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(UnsupportedError, match="pip install usearch"):
        Index(model, ["a"], ["joy"], library="usearch")


@pytest.mark.parametrize("library", ["usearch", "faiss"])
def test_libraries_find_the_same(model: Model, index: Index, library: Any) -> None:
    pytest.importorskip(library)
    texts, labels = zip(*EXAMPLES, strict=True)
    other = Index(model, texts, labels, library=library)
    for found, wanted in zip(other.search("We won"), index.search("We won"), strict=True):
        assert found.text == wanted.text
        assert found.similarity == pytest.approx(wanted.similarity, abs=1e-3)
    things = [f"{verb} the {noun} {n}" for verb in VERBS for noun in NOUNS for n in range(5)]
    exact = Index(model, things, ["joy"] * len(things))
    large = Index(model, things, ["joy"] * len(things), library=library)
    queries = model.embed(["I found a cat", "Nobody likes the rain", "They broke it"])
    places, found_at = large._nearest(queries, 20)
    wanted_at, similarities = exact._nearest(queries, 20)
    recall = [len(set(a) & set(b)) / 20 for a, b in zip(places, wanted_at, strict=True)]
    assert min(recall) >= 0.8
    assert (np.diff(found_at, axis=1) <= 1e-6).all()
    assert np.abs(found_at[:, 0] - similarities[:, 0]).max() < 1e-3


def test_an_index_of_another_model(model: Model, index: Index, tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    index.save(file)
    with np.load(file) as parts:
        header = parts["header"].tobytes().replace(model._core.identity[:8].encode(), b"00000000")
        changed = {**parts, "header": np.frombuffer(header, np.uint8)}
    np.savez(file, **changed)
    with pytest.raises(InputError, match="another model"):
        Index.load(model, file)

# ruff: noqa: RUF001  (letters that look alike are the point)
"""Vocabulary models, regular expressions and charsmaps against Hugging Face `tokenizers`.

Each is put alone into a tokenizer.json, so that what differs is named by the test. Vocabularies and
patterns are random on purpose: checkpoints' own kinds are in test_tokenizer_parity.py.
"""

from __future__ import annotations

import functools
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_parity import compare, generated, outcome, own, report
from tokenizer_zoo import SENTENCES
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Reference

from affectrt import Tokenizer
from affectrt.errors import TokenizerError

WORDS = sorted({word for sentence in SENTENCES for word in sentence.split()})


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield


# Models


@functools.cache
def anything(count: int) -> list[str]:
    return generated(count)


@functools.cache
def pieces(count: int) -> list[str]:
    """Words, runs of words, repetitions, and anything; no pre-tokeniser splits them."""
    rng = random.Random(count)
    out = list(anything(count // 2))
    while len(out) < count:
        word = rng.choice(WORDS)
        kind = rng.randrange(4)
        if kind == 0:
            out.append(word)
        elif kind == 1:
            out.append("▁" + "▁".join(rng.choices(WORDS, k=rng.randrange(1, 6))))
        elif kind == 2:
            out.append(word[:3] * rng.randrange(1, 60))
        else:
            cut = rng.randrange(len(word) + 1)
            out.append(word[:cut] + chr(rng.randrange(1, 0xD800)) + rng.choice(WORDS))
    return out


def trained(model: models.Model, trainer: trainers.Trainer) -> Any:
    """The "model" object after training."""
    reference = Reference(model)
    reference.pre_tokenizer = pre_tokenizers.Metaspace()
    reference.train_from_iterator(SENTENCES * 3, trainer)
    return json.loads(reference.to_str())["model"]


def vary(model: dict[str, Any], **changes: object) -> dict[str, Any]:
    return model | changes


def byte_tokens(vocab: dict[str, int], share: float) -> dict[str, int]:
    rng = random.Random(1)
    first = max(vocab.values()) + 1
    kept = [b for b in range(256) if rng.random() < share]
    return vocab | {f"<0x{b:02X}>": first + i for i, b in enumerate(kept)}


def wordpiece_models() -> dict[str, dict[str, Any]]:
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=["[UNK]"], show_progress=False
    )
    base = trained(models.WordPiece(unk_token="[UNK]"), trainer)
    vocab = base["vocab"]
    return {
        "plain": base,
        "short words": vary(base, max_input_chars_per_word=5),
        "no prefix": vary(base, continuing_subword_prefix=""),
        "absent prefix": vary(base, continuing_subword_prefix="@@"),
        "no unknown": vary(base, vocab={t: i for t, i in vocab.items() if t != "[UNK]"}),
        "sparse ids": vary(base, vocab={t: 7 * i + 3 for t, i in vocab.items()}),
        "wordlevel": {"type": "WordLevel", "unk_token": "[UNK]", "vocab": vocab},
    }


def bpe_models() -> dict[str, dict[str, Any]]:
    def train(prefix: str | None = None, suffix: str | None = None) -> dict[str, Any]:
        options = {"continuing_subword_prefix": prefix, "end_of_word_suffix": suffix}
        given = {k: v for k, v in options.items() if v is not None}
        trainer = trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=["<unk>"],
            limit_alphabet=90,
            show_progress=False,
            **given,
        )
        return dict(trained(models.BPE(unk_token="<unk>", **given), trainer))

    base = train()
    shuffled = list(base["merges"])
    random.Random(2).shuffle(shuffled)
    fallback = {"byte_fallback": True, "vocab": byte_tokens(base["vocab"], 1)}
    partial = {"byte_fallback": True, "vocab": byte_tokens(base["vocab"], 0.85)}
    return {
        "plain": base,
        "fused": vary(base, fuse_unk=True),
        "no unknown": vary(base, unk_token=None),
        "absent unknown": vary(base, unk_token="<absent>"),
        "whole words": vary(base, ignore_merges=True, merges=base["merges"][:50]),
        "shuffled ranks": vary(base, merges=shuffled),
        "repeated merges": vary(base, merges=base["merges"] + shuffled[:200]),
        "bytes": vary(base, **fallback),
        "fused bytes": vary(base, fuse_unk=True, **fallback),
        "some bytes": vary(base, **partial),
        "fused, some bytes": vary(base, fuse_unk=True, **partial),
        "suffix": train(suffix="</w>"),
        "prefix": train(prefix="##"),
        "prefix and suffix": train(prefix="##", suffix="</w>"),
    }


def unigram_models() -> dict[str, dict[str, Any]]:
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    base = trained(models.Unigram(), trainer)
    vocab = base["vocab"]
    rng = random.Random(3)
    parts = sorted({w[a : a + n] for w in WORDS for a in range(3) for n in range(1, 6) if w[a:]})
    letters = [["<unk>", 0.0]]
    all_bytes = [[f"<0x{b:02X}>", -rng.random()] for b in range(256)]
    some_bytes = [row for row in all_bytes if rng.random() < 0.85]
    return {
        "plain": base,
        "no unknown": vary(base, unk_id=None),
        "last is unknown": vary(base, unk_id=len(vocab) - 1),
        "bytes": vary(base, byte_fallback=True, vocab=vocab + all_bytes),
        "some bytes": vary(base, byte_fallback=True, vocab=vocab + some_bytes),
        # Few different scores: ties everywhere, and those that rounding makes or breaks.
        "ties": vary(base, vocab=letters + [[p, -float(rng.randrange(1, 4))] for p in parts]),
        "near ties": vary(
            base, vocab=letters + [[p, -len(p) * rng.choice([0.1, 0.7])] for p in parts]
        ),
        "long scores": vary(
            base, vocab=letters + [[p, -len(p) / 3 * rng.choice([1, 1 + 2**-52])] for p in parts]
        ),
        "repeated": vary(base, vocab=vocab + [[t, -rng.random() * 9] for t, _ in vocab[5:200]]),
        "positive": vary(base, vocab=[["<unk>", 30.0]] + [[p, 25 + rng.random()] for p in parts]),
    }


FAMILIES = {"wordpiece": wordpiece_models, "bpe": bpe_models, "unigram": unigram_models}


@pytest.mark.parametrize("family", FAMILIES)
def test_models(family: str) -> None:
    texts = pieces(1500)
    for name, model in FAMILIES[family]().items():
        document = {"version": "1.0", "added_tokens": [], "model": model}
        text = json.dumps(document)
        reference = Reference.from_str(text)
        tokenizer = Tokenizer.from_json(text)
        parity = compare(reference, tokenizer, texts)
        assert parity.mismatches == 0, report(f"{family}, {name}", parity)
        again = compare(reference, tokenizer, texts)  # from the cache
        assert again.mismatches == 0, report(f"{family}, {name}, again", again)


def test_long_pieces() -> None:
    rng = random.Random(4)
    text = "".join(rng.choices(["the", "e", " ", "happy", "a", "né", "?", "ss"], k=30_000))
    for family in ("bpe", "unigram"):
        model = FAMILIES[family]()["plain"]
        document = json.dumps({"version": "1.0", "added_tokens": [], "model": model})
        expected = Reference.from_str(document).encode(text)
        got = Tokenizer.from_json(document).encode(text)
        assert got.ids.tolist() == expected.ids
        assert list(map(tuple, got.offsets.tolist())) == expected.offsets


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"type": "Markov", "vocab": {}}, "Markov"),
        ({"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5}, "dropout"),
        ({"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}, "merges"),
        ({"type": "BPE", "vocab": {"a": -1}, "merges": []}, '"a"'),
        ({"type": "Unigram", "vocab": [["a"]], "unk_id": 0}, r"vocab\[0\]"),
        ({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 1}, "unk_id"),
        ({"type": "WordLevel", "vocab": {"a": 0}}, "unk_token"),
    ],
)
def test_broken_models_are_named(model: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_json(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))


# Regular expressions


def splitting(pattern: str, behavior: str = "isolated") -> Reference:
    """Its tokens are the pieces that the pattern leaves, or makes."""
    reference = Reference(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    reference.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior)
    return reference


def replacing(pattern: str) -> Reference:
    """Its normaliser shows each match, the empty ones too."""
    vocab = {f"<0x{b:02X}>": b for b in range(256)} | {"<unk>": 256}
    reference = Reference(models.BPE(vocab, [], byte_fallback=True, unk_token="<unk>"))
    reference.normalizer = normalizers.Replace(Regex(pattern), "\ue000")
    return reference


CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]*[{LOWER}]+{CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{UPPER}]+[{LOWER}]*{CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k as classes": r"[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+"
    rf"{CONTRACTIONS}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "clip": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]"
    r"|[^\s\p{L}\p{N}]+",
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "deepseek cjk": "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    "spaces": " {2,}",
    "words": r"\w+|[^\w\s]+",
    "bounded words": r"\b\w+\b",
    "lines": r"^.*$",
    "thousands": r"(?<=\d)(?=(?:\d{3})+(?!\d))",
    "after space": r"(?<![^\s])\S+",
    "scripts": r"[\p{Han}\p{Hiragana}\p{Katakana}]|\p{Arabic}+|\p{Devanagari}+",
    "intersection": r"[\p{L}&&[^\p{Lu}\p{Latin}]]+",
    "posix": r"[[:punct:][:^print:]]+",
    "newlines": r"\R+|\h+",
    "folding": r"(?i)strasse|office|ſt|ǆ|[k-s]+",
    "atomic": r"(?>\s+)\S|\p{L}++'?",
    "lazy": r"<.+?>|'.{2,4}?'",
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str) -> None:
    pattern = PATTERNS[name]
    texts = anything(750) + pieces(300)
    for reference in (splitting(pattern), splitting(pattern, "removed"), replacing(pattern)):
        parity = compare(reference, own(reference), texts)
        assert parity.mismatches == 0, report(name, parity)


ATOMS = [
    r"a",
    r"b",
    r"s",
    r"S",
    r"t",
    r"k",
    r"K",
    r"0",
    r"_",
    r"ß",
    r"ss",
    r"st",
    r"ﬁ",
    r"fi",
    r"\n",
    r"\s",
    r"\S",
    r"\w",
    r"\W",
    r"\d",
    r"\D",
    r"\p{L}",
    r"\P{L}",
    r"\p{^Lu}",
    r"\p{M}",
    r".",
    r"[ab]",
    r"[^ab]",
    r"[a-s]",
    r"[^\s]",
    r"[\s\d]",
    r"[^\p{L}\s]",
    r"[[:alpha:]]",
    r"[[:^space:]]",
    r"[a-z&&[^b]]",
    r"[a[bs]]",
    r"[ß]",
    r"[^ß]",
    r"\x61",
    r"\u0073",
    r"\h",
    r"\H",
    r"\R",
    r"\N",
    r"\O",
    r"你",
    r"[k]",
    r"[\x{0}-\x{ff}]",
    r"[-a]",
    r"[a-]",
    r"[]a]",
    r"[^]a]",
]
ANCHORS = [r"^", r"$", r"\b", r"\B", r"\A", r"\z", r"\Z", r"\G"]
QUANTIFIERS = [
    "*",
    "+",
    "?",
    "*?",
    "+?",
    "??",
    "*+",
    "++",
    "?+",
    "{2}",
    "{1,2}",
    "{0,2}?",
    "{,2}",
    "{1,}",
    "{2,1}",
    "{1}",
]
OPENINGS = ["(", "(?:", "(?>", "(?i:", "(?-i:", "(?m:", "(?=", "(?!", "(?<n>"]
ALPHABET = "aabbABsSſkK09_'\n\r\t  tT-éßẞﬁﬆΐŉǆİıiI你١\u3000\u00a0\u0301\U0001f600.,Ωω²¼$+ª·×µ"


@st.composite
def quantified(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    body = draw(inner)
    looks = body.startswith(("(?=", "(?!", "(?<=", "(?<!"))
    return body if looks else body + draw(st.sampled_from([*QUANTIFIERS, *[""] * 12]))


def alternatives(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    branch = st.lists(inner, min_size=1, max_size=3).map("".join)
    return st.lists(branch, min_size=1, max_size=3).map("|".join)


def grouped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.tuples(st.sampled_from(OPENINGS), alternatives(inner)).map("".join)
    return quantified(group.map(lambda text: text + ")"))


LEAVES = st.one_of(
    quantified(st.sampled_from(ATOMS)),
    st.sampled_from(ANCHORS),
    st.tuples(st.sampled_from(["(?<=", "(?<!"]), alternatives(st.sampled_from(ATOMS))).map(
        lambda parts: "".join(parts) + ")"
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    pattern=alternatives(st.recursive(LEAVES, grouped, max_leaves=6)),
    texts=st.lists(st.text(alphabet=ALPHABET, max_size=16), min_size=4, max_size=8),
)
def test_random_patterns(pattern: str, texts: list[str]) -> None:
    """What Oniguruma refuses we refuse; what we take matches as there."""
    try:
        references = [splitting(pattern), replacing(pattern)]
    except Exception:
        document = json.loads(splitting("a").to_str())
        document["pre_tokenizer"]["pattern"]["Regex"] = pattern
        with pytest.raises(TokenizerError):
            Tokenizer.from_json(json.dumps(document))
        return
    for reference in references:
        try:
            tokenizer = own(reference)
        except TokenizerError as error:
            if "unsupported" not in str(error):
                raise
            return
        for text in texts:
            expected = outcome(reference.encode, text)
            got = outcome(tokenizer.encode, text)
            # Of exponential patterns each side gives up on its own.
            assert got == expected or got is None or expected is None, (pattern, text)


def test_properties() -> None:
    rng = random.Random(5)
    points = [c for c in rng.sample(range(0x110000), 12_000) if not 0xD800 <= c < 0xE000]
    points += [c for c in range(0x3000) if c not in (0x0D,)]
    text = "".join(map(chr, points))
    categories = (
        "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co"
    )
    others = (
        "L M N P S Z C Letter Alpha Upper Lower Punct Graph Print Alnum Cntrl Word XDigit ASCII "
        "Any Latin Greek Cyrillic Han Hiragana Katakana Hangul Arabic Hebrew Thai Ethiopic Common "
        "Inherited Emoji Extended_Pictographic White_Space ID_Start Ideographic"
    )
    for name in (categories + " " + others).split():
        reference = splitting(rf"\p{{{name}}}+")
        assert outcome(own(reference).encode, text) == outcome(reference.encode, text), name


def test_case_folding() -> None:
    cased = [chr(c) for c in range(0x20000) if chr(c).lower() != chr(c).upper()]
    rng = random.Random(6)
    text = "\x01".join(cased) + "\x01ss\x01ffi\x01ʼn\x01ΐ\x01i̇\x01"
    for c in [*rng.sample(cased, 60), *"ßẞŉǰΐﬀﬃﬆİiKÅſsẖᾳΣ"]:
        for pattern in (f"(?i){c}", f"(?i)[{c}]+", f"(?i)[^{c}]+"):
            reference = splitting(pattern)
            assert outcome(own(reference).encode, text) == outcome(reference.encode, text), pattern


# Charsmaps


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"])
def test_charsmaps(rule: str) -> None:
    from tokenizer_zoo import charsmap

    reference = replacing("\ue000")
    reference.normalizer = normalizers.Precompiled(charsmap(rule))
    rng = random.Random(7)
    bases = [*range(0x41, 0x250), *range(0x1100, 0x1113), 0xFB03, 0x2126, 0x212B, 0x3031, 0xFF76]
    marks = [*range(0x300, 0x345), 0x1161, 0x11A8, 0x3099, 0xFF9E]
    texts = ["".join(map(chr, [rng.choice(bases), *rng.choices(marks, k=2)])) for _ in range(1500)]
    texts += [chr(c) for c in rng.sample(range(0x30000), 1500) if not 0xD800 <= c < 0xE000]
    parity = compare(reference, own(reference), texts + anything(750))
    assert parity.mismatches == 0, report(rule, parity)


@pytest.mark.parametrize("blob", ["", "AAAA", "!!!!", "/////w==", "BAAAAP///w8="])
def test_broken_charsmaps_are_refused(blob: str) -> None:
    document = json.loads(replacing("a").to_str())
    document["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": blob}
    with pytest.raises(TokenizerError, match="charsmap"):
        Tokenizer.from_json(json.dumps(document)).encode("abc")

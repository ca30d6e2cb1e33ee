"""Ids, type ids and offsets equal those of Hugging Face `tokenizers`.

AFFECTRT_PARITY_STRINGS sets how many generated strings each tokenizer is compared on;
tests/parity_tokenizer.py is the full run over the shared packs.
"""

from __future__ import annotations

import functools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizer_parity import compare, generated, outcome, own, report
from tokenizer_zoo import SENTENCES, ZOO, precompiled
from tokenizers import AddedToken, Regex, models
from tokenizers import Tokenizer as Reference
from tokenizers import normalizers as norm
from tokenizers import pre_tokenizers as pre
from tokenizers import processors as post

from affectrt import Tokenizer

COUNT = int(os.environ.get("AFFECTRT_PARITY_STRINGS", "2000"))
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """The reference forks no threads, and Rust panics stay quiet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENIZERS_PARALLELISM", "false")
        yield


@functools.cache
def all_strings() -> list[str]:
    return SENTENCES + generated(COUNT)


def strings(count: int) -> list[str]:
    return all_strings()[: len(SENTENCES) + count]


def byte_model() -> models.Model:
    """Shows every byte of the normalised text, and where it came from."""
    vocab = {f"<0x{b:02X}>": b for b in range(256)} | {"<unk>": 256}
    return models.BPE(vocab, [], byte_fallback=True, unk_token="<unk>")


def piece_model() -> models.Model:
    """Shows where the pieces begin and end."""
    return models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")


@pytest.mark.parametrize("name", ZOO)
def test_kinds_of_tokenizers(name: str) -> None:
    reference = ZOO[name](SENTENCES, 700)
    parity = compare(reference, own(reference), strings(COUNT))
    assert parity.mismatches == 0, report(name, parity)
    assert parity.tokens > 5 * COUNT


def test_real_tokenizers(shared_dir: Path) -> None:
    files = sorted(shared_dir.glob("weights/*/tokenizer.json"))
    assert files, "the shared weights have no tokenizer.json"
    for file in files:
        reference = Reference.from_file(str(file))
        reference.no_truncation()
        reference.no_padding()
        parity = compare(reference, Tokenizer.from_file(file), strings(COUNT))
        assert parity.mismatches == 0, report(file.parent.name, parity)


@pytest.mark.parametrize("name", ["bert-uncased", "bert-cased", "bert-not-cleaned", "mpnet"])
def test_short_cuts_change_nothing(name: str) -> None:
    state = json.loads(ZOO[name](SENTENCES, 700).to_str())
    fast = Tokenizer.from_json(json.dumps(state))
    # A token that is matched after normalisation, and never occurs, rules the short cut out.
    never = {"id": 10**6, "content": "\u2603\u2604\u2603", "normalized": True, "special": False}
    state["added_tokens"].append(never | dict.fromkeys(["single_word", "lstrip", "rstrip"], False))
    general = Tokenizer.from_json(json.dumps(state))
    texts = strings(COUNT)
    options = {"truncation": "longest_first", "max_tokens": 9}
    for text, other in zip(texts, reversed(texts), strict=True):
        assert outcome(fast.encode, text) == outcome(general.encode, text), text
        expected = outcome(general.encode, text, other)
        assert outcome(fast.encode, text, other) == expected, (text, other)
        assert outcome(fast.encode, text, **options) == outcome(general.encode, text, **options)


NORMALIZERS = {
    "bert": norm.BertNormalizer(),
    "bert cased": norm.BertNormalizer(lowercase=False),
    "bert raw": norm.BertNormalizer(clean_text=False, handle_chinese_chars=False),
    "bert accents": norm.BertNormalizer(strip_accents=False),
    "NFC": norm.NFC(),
    "NFD": norm.NFD(),
    "NFKC": norm.NFKC(),
    "NFKD": norm.NFKD(),
    "lowercase": norm.Lowercase(),
    "strip accents": norm.StripAccents(),
    "strip": norm.Strip(),
    "strip left": norm.Strip(right=False),
    "strip right": norm.Strip(left=False),
    "Nmt": norm.Nmt(),
    "byte level": norm.ByteLevel(),
    "prepend": norm.Prepend("\u2581"),
    "prepend nothing": norm.Prepend(""),
    "replace": norm.Replace(" ", "\u2581\u2581"),
    "replace nothing": norm.Replace("", "x"),
    "replace regex": norm.Replace(Regex(r"\s+"), " "),
    "replace start": norm.Replace(Regex("^"), "\u2581"),
    "replace start, then lowercase": norm.Sequence(
        [norm.Replace(Regex("^"), "\u2581"), norm.Lowercase()]
    ),
    "precompiled": precompiled("nmt_nfkc"),
    "precompiled casefold": precompiled("nmt_nfkc_cf"),
    "sequence": norm.Sequence([norm.NFD(), norm.StripAccents(), norm.Lowercase(), norm.NFC()]),
}
PRE_TOKENIZERS = {
    "bert": pre.BertPreTokenizer(),
    "whitespace": pre.Whitespace(),
    "whitespace split": pre.WhitespaceSplit(),
    "digits": pre.Digits(),
    "single digits": pre.Digits(individual_digits=True),
    "scripts": pre.UnicodeScripts(),
    "fixed length": pre.FixedLength(3),
    "delimiter": pre.CharDelimiterSplit("e"),
    "byte level": pre.ByteLevel(),
    "byte level, no prefix": pre.ByteLevel(add_prefix_space=False),
    "byte level, no regex": pre.ByteLevel(use_regex=False),
    "metaspace": pre.Metaspace(),
    "metaspace first": pre.Metaspace(prepend_scheme="first"),
    "metaspace never": pre.Metaspace(prepend_scheme="never"),
    "metaspace whole": pre.Metaspace(split=False),
    "metaspace e": pre.Metaspace(replacement="e"),
    "sequence": pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()]),
    "digits, byte level": pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel()]),
    **{f"punctuation {b}": pre.Punctuation(b) for b in BEHAVIORS},
    **{
        f"split {pattern} {b} {invert}": pre.Split(kind(pattern), b, invert)
        for kind, pattern in ((str, " "), (str, ""), (Regex, r"\w+"), (Regex, r"e*"))
        for b in BEHAVIORS
        for invert in (False, True)
    },
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers(name: str) -> None:
    for model in (byte_model(), piece_model()):
        reference = Reference(model)
        reference.normalizer = NORMALIZERS[name]
        parity = compare(reference, own(reference), strings(COUNT // 2))
        assert parity.mismatches == 0, report(name, parity)


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizers(name: str) -> None:
    for model in (byte_model(), piece_model()):
        reference = Reference(model)
        reference.pre_tokenizer = PRE_TOKENIZERS[name]
        parity = compare(reference, own(reference), strings(COUNT // 4))
        assert parity.mismatches == 0, report(name, parity)


def template(single: str, pair: str) -> post.PostProcessor:
    return post.TemplateProcessing(single, pair, [("[CLS]", 301), ("[SEP]", 300)])


BERT_TEMPLATE = template("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
POST_PROCESSORS = [
    None,
    post.BertProcessing(("[SEP]", 300), ("[CLS]", 301)),
    *(
        post.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=t, add_prefix_space=p)
        for t in (False, True)
        for p in (False, True)
    ),
    BERT_TEMPLATE,
    template("[CLS]:1 $A:0 [SEP]:2", "[CLS] $A:0 [SEP] $B:3 [SEP]:1"),
    template("$A:7", "$B:1 [SEP] $A:5"),
    post.ByteLevel(trim_offsets=True),
    post.ByteLevel(trim_offsets=False),
    post.Sequence([post.ByteLevel(trim_offsets=True, add_prefix_space=False), BERT_TEMPLATE]),
    post.Sequence([BERT_TEMPLATE, post.ByteLevel(trim_offsets=True)]),
    post.Sequence(
        [
            post.BertProcessing(("[SEP]", 300), ("[CLS]", 301)),
            post.RobertaProcessing(("</s>", 2), ("<s>", 0)),
        ]
    ),
]
WORDS = ["hello", "Hello", "hell", "lo", "[X]", "[x]", "<s>", "  ", "mask", " x", "ab", "abc", "bc"]
WORDS += ["\u00e9", "e\u0301", "\u4e2d", "_", "-"]


def random_tokenizer(rng: random.Random) -> Reference:
    letters = {c: i for i, c in enumerate(sorted(pre.ByteLevel.alphabet()))}
    pieces = [("<unk>", 0.0), ("a", -1.0), ("hel", -2.0), ("\u2581", -2.0), (" ", -3.0)]
    model = rng.choice(
        [
            byte_model(),
            piece_model(),
            models.BPE(letters | {"he": 256, "lo": 257}, [("h", "e"), ("l", "o")]),
            models.Unigram(pieces, 0, False),
            models.WordPiece(
                {"[UNK]": 0, "he": 1, "##llo": 2, "##l": 3, "a": 4}, unk_token="[UNK]"
            ),
        ]
    )
    reference = Reference(model)
    normalizer = rng.choice(
        [
            None,
            norm.Lowercase(),
            norm.BertNormalizer(),
            norm.Sequence([norm.NFD(), norm.StripAccents()]),
            norm.Prepend("_"),
            norm.Replace(" ", "_"),
            norm.Strip(),
            norm.Sequence([norm.Strip(), norm.Replace("a", "")]),
        ]
    )
    if normalizer is not None:
        reference.normalizer = normalizer
    pre_tokenizer = rng.choice(
        [None, *(PRE_TOKENIZERS[n] for n in ("bert", "byte level", "metaspace first", "metaspace"))]
    )
    if pre_tokenizer is not None:
        reference.pre_tokenizer = pre_tokenizer
    processor = rng.choice(POST_PROCESSORS)
    if processor is not None:
        reference.post_processor = processor

    def chance() -> bool:
        return rng.random() < 0.3

    # Two that become the same are told apart by chance in the reference: one of each spelling.
    chosen: dict[str, AddedToken] = {}
    for word in rng.sample(WORDS, rng.randint(0, 5)):
        normalized = word if normalizer is None else normalizer.normalize_str(word)
        token = AddedToken(
            word,
            single_word=chance(),
            lstrip=chance(),
            rstrip=chance(),
            normalized=rng.random() < 0.5,
            special=rng.random() < 0.5,
        )
        chosen.setdefault(normalized.strip().lower(), token)
    reference.add_tokens([token for key, token in chosen.items() if key])
    return reference


@pytest.mark.parametrize("seed", range(8))
def test_added_tokens_pairs_and_truncation(seed: int) -> None:
    rng = random.Random(seed)

    def text() -> str:
        parts = [*WORDS, " ", " ", "\t", "\u3000", "a", "B", "!"]
        return "".join(rng.choice(parts) for _ in range(rng.randint(0, 10)))

    compared = 0
    for _ in range(max(1, COUNT // 10)):
        reference = random_tokenizer(rng)
        tokenizer = own(reference)
        for _ in range(6):
            first, second = text(), text() if rng.random() < 0.5 else None
            special = rng.random() < 0.8
            options: dict[str, object] = {}
            reference.no_truncation()
            if rng.random() < 0.6:
                strategy = rng.choice(["longest_first", "only_first", "only_second"])
                most, stride = rng.randint(8, 16), rng.randint(0, 1)
                side = rng.choice(["left", "right"])
                reference.enable_truncation(most, stride=stride, strategy=strategy, direction=side)
                options = {
                    "truncation": strategy,
                    "max_tokens": most,
                    "stride": stride,
                    "truncation_side": side,
                    "keep_overflowing": True,
                }
            expected = outcome(reference.encode, first, second, add_special_tokens=special)
            got = outcome(tokenizer.encode, first, second, add_special_tokens=special, **options)
            assert got == expected, (first, second, special, options, reference.to_str())
            compared += expected is not None
    assert compared > COUNT // 4

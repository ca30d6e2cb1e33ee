"""Every code point, through every component that looks at what a character is.

Of the large uniform ranges (ideographs, Hangul syllables, private use, unassigned planes) a sample
does, unless AFFECTRT_PARITY_STRINGS asks for a full run of 100 000 strings or more.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

import pytest
from tokenizer_parity import compare, own, report
from tokenizer_zoo import precompiled
from tokenizers import Regex, models
from tokenizers import Tokenizer as Reference
from tokenizers import normalizers as norm
from tokenizers import pre_tokenizers as pre

FULL = int(os.environ.get("AFFECTRT_PARITY_STRINGS", "0")) >= 100_000
UNIFORM = (
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xAC00, 0xD7A4),
    (0xE000, 0xF900),
    (0x17000, 0x18D80),
    (0x20000, 0x2F800),
    (0x2FA20, 0xE0000),
    (0xE0200, 0x110000),
)


def chosen(c: int) -> bool:
    if 0xD800 <= c < 0xE000:
        return False
    for begin, end in UNIFORM:
        if begin <= c < end:
            # The edges, a sample, and where blocks begin and end.
            return FULL or c - begin < 4 or end - c < 4 or c % 997 == 0 or (c + 2) % 0x400 < 4
    return True


CODE_POINTS = [chr(c) for c in range(0x110000) if chosen(c)]


def every(template: str, code_points: Sequence[str] = CODE_POINTS, size: int = 400) -> list[str]:
    """All code points within `template`, several to a text."""
    starts = range(0, len(code_points), size)
    return ["".join(template.format(c) for c in code_points[i : i + size]) for i in starts]


def byte_model() -> models.Model:
    vocab = {f"<0x{b:02X}>": b for b in range(256)} | {"<unk>": 256}
    return models.BPE(vocab, [], byte_fallback=True, unk_token="<unk>")


def single_entry_charsmap(key: str, value: str) -> bytes:
    """A Darts double array that knows one key, in SentencePiece's layout."""
    units = [0] * 4096
    node, units[0] = 256, 256 << 10  # offsets are XORed onto the index
    data = key.encode()
    for i, byte in enumerate(data):
        node ^= byte
        below = 512 * (i + 2)
        units[node] = byte | below << 10 | (1 << 8 if i + 1 == len(data) else 0)
        node ^= below
    units[node] = 1 << 31  # a leaf: the replacement begins at 0
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + value.encode() + b"\0"


NORMALIZERS = {
    "bert": norm.BertNormalizer(),
    "bert cased": norm.BertNormalizer(lowercase=False, strip_accents=True),
    "NFC": norm.NFC(),
    "NFD": norm.NFD(),
    "NFKC": norm.NFKC(),
    "NFKD": norm.NFKD(),
    "lowercase": norm.Lowercase(),
    "strip accents": norm.StripAccents(),
    "Nmt": norm.Nmt(),
    "strip": norm.Strip(),
    "precompiled": precompiled("nmt_nfkc"),
    "precompiled casefold": precompiled("nmt_nfkc_cf"),
    "white space": norm.Replace(Regex(r"\s"), "_"),
}
PRE_TOKENIZERS = {
    "bert": pre.BertPreTokenizer(),
    "whitespace": pre.Whitespace(),
    "digits": pre.Digits(individual_digits=True),
    "scripts": pre.UnicodeScripts(),
    "byte level": pre.ByteLevel(add_prefix_space=False),
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers(name: str) -> None:
    reference = Reference(byte_model())
    reference.normalizer = NORMALIZERS[name]
    # Strip looks at the ends of a text only.
    texts = every("{}", size=1) if name == "strip" else every("{}") + every("x{} ")
    if name == "strip":
        texts = [t for t in texts if ord(t) < 0x4000 or 0xFE00 <= ord(t) < 0x11000]
    parity = compare(reference, own(reference), texts)
    assert parity.mismatches == 0, report(name, parity)


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizers(name: str) -> None:
    reference = Reference(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    reference.pre_tokenizer = PRE_TOKENIZERS[name]
    parity = compare(reference, own(reference), every("{}") + every("a{} "))
    assert parity.mismatches == 0, report(name, parity)


@pytest.mark.parametrize("key", ["a", "\u00e9", "\u0600", "\u3042"])
def test_grapheme_clusters(key: str) -> None:
    """A cluster of at most five bytes is replaced as one: so its bounds show."""
    reference = Reference(byte_model())
    reference.normalizer = norm.Precompiled(single_entry_charsmap(key, "X"))
    tokenizer = own(reference)
    assert tokenizer.encode(key).ids.tolist() == [ord("X")]
    for template in (key + "{}", "{}" + key):
        parity = compare(reference, tokenizer, every(template))
        assert parity.mismatches == 0, report(key, parity)

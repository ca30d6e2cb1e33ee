"""Writes unicode_tables.inc: Unicode properties as Hugging Face `tokenizers` sees them.

`tokenizers` mixes several libraries, each with its own Unicode version (Rust's standard library,
the regex crate, Oniguruma, unicode_categories, unicode-normalization-alignments). A table made from
one version of the standard would differ from it on thousands of code points, so every property is
asked of the installed `tokenizers`, over all code points. What cannot be asked (combining classes,
the pairs that compose, grapheme clusters) comes from `unicodedata` and `regex`, and is checked
against `tokenizers` here, or by tests/test_tokenizer_unicode.py.

    pip install tokenizers==0.23.3 regex fonttools
    python csrc/text/generate_unicode_tables.py
"""

from __future__ import annotations

import argparse
import itertools
import struct
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import regex
import tokenizers
from fontTools import unicodedata as font_unicodedata
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, CODE_POINTS))
CATEGORIES = [
    "Lu",
    "Ll",
    "Lt",
    "Lm",
    "Lo",
    "Mn",
    "Mc",
    "Me",
    "Nd",
    "Nl",
    "No",
    "Pc",
    "Pd",
    "Ps",
    "Pe",
    "Pi",
    "Pf",
    "Po",
    "Sm",
    "Sc",
    "Sk",
    "So",
    "Zs",
    "Zl",
    "Zp",
    "Cc",
    "Cf",
    "Cs",
    "Co",
    "Cn",
]
GRAPHEMES = [
    "Other",
    "CR",
    "LF",
    "Control",
    "Extend",
    "ZWJ",
    "Regional_Indicator",
    "Prepend",
    "SpacingMark",
    "L",
    "V",
    "T",
    "LV",
    "LVT",
]  # and then Extended_Pictographic and Consonant, which are Other for the standard
FLAGS = [
    "white_space",
    "alphabetic",
    "word",
    "regex_word",
    "numeric",
    "bert_punctuation",
    "bert_control",
    "nonspacing_mark",
    "combining_mark",
    "cjk",
    "canonical",
    "compatible",
    "composes_second",
    "lowercases",
    "incb_linker",
    "incb_extend",
]
BLOCK_BITS = 7


def matching(pattern: str, text: str = ALL) -> set[int]:
    """The code points of `text` that one Oniguruma property matches."""
    split = pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed", invert=True)
    return {ord(c) for piece, _ in split.pre_tokenize_str(text) for c in piece}


def removed_by(split: pre_tokenizers.PreTokenizer) -> set[int]:
    kept = {ord(c) for piece, _ in split.pre_tokenize_str(ALL) for c in piece}
    return set(CODE_POINTS) - kept


def mapped(normalize: Callable[[str], str], separator: str = "\x01") -> dict[int, str]:
    """What a normaliser makes of each code point that it does not leave alone."""
    text = separator.join(chr(c) for c in CODE_POINTS if c != ord(separator))
    out = normalize(text).split(separator)
    points = [c for c in CODE_POINTS if c != ord(separator)]
    assert len(out) == len(points)
    return {c: piece for c, piece in zip(points, out, strict=True) if piece != chr(c)}


def regex_crate_word() -> set[int]:
    """`\\w` of the regex crate: what `Whitespace` leaves together with a letter before it."""
    text = " ".join("a" + chr(c) for c in CODE_POINTS)
    pieces = {p for p, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text)}
    return {c for c in CODE_POINTS if "a" + chr(c) in pieces}


def numeric() -> set[int]:
    """`Digits` isolates them; a letter before each keeps one apart from the next."""
    pieces = pre_tokenizers.Digits(individual_digits=False).pre_tokenize_str(
        "".join("a" + chr(c) for c in CODE_POINTS)
    )
    # A non-numeric run is everything up to the next number, so the numbers are the short pieces
    # that do not start with the letter.
    return {ord(piece) for piece, _ in pieces if len(piece) == 1 and piece != "a"}


def script_classes() -> dict[int, int]:
    """The classes of `UnicodeScripts`; 0 never splits."""
    split = pre_tokenizers.UnicodeScripts()

    def splits(pairs: Sequence[tuple[int, int]]) -> list[bool]:
        # A pair splits or not whatever comes before it, when a third script stands between pairs:
        # Ogham (both ends) is none that a test pair below starts or ends with.
        ogham = "\u1681"
        text = "".join(ogham + chr(a) + chr(b) for a, b in pairs)
        starts = {offsets[0] for _, offsets in split.pre_tokenize_str(text)}
        return [3 * i + 2 in starts for i in range(len(pairs))]

    greek, cyrillic, other = ord("\u03b1"), ord("\u044f"), set(CODE_POINTS)
    after_greek = splits([(greek, c) for c in CODE_POINTS])
    after_cyrillic = splits([(cyrillic, c) for c in CODE_POINTS])
    other = {c for c, g, y in zip(CODE_POINTS, after_greek, after_cyrillic, strict=True) if g or y}
    ordered = sorted(other)
    changes = splits(list(itertools.pairwise(ordered)))
    runs: list[list[int]] = [[ordered[0]]]
    for c, change in zip(ordered[1:], changes, strict=True):
        if change:
            runs.append([c])
        else:
            runs[-1].append(c)
    classes: dict[int, int] = {}
    heads: list[int] = []
    for run in runs:
        verdicts = splits([(h, run[0]) for h in heads])
        index = verdicts.index(False) + 1 if False in verdicts else len(heads) + 1
        if index > len(heads):
            heads.append(run[0])
        classes.update(dict.fromkeys(run, index))
    return classes


def combining_classes() -> dict[int, int]:
    """unicodedata's classes, of the code points that the normaliser reorders."""
    nfd = normalizers.NFD().normalize_str
    decomposed = mapped(nfd)
    singles = [c for c in CODE_POINTS if c not in decomposed and c != 1]

    def reorders(before: str, after: str) -> set[int]:
        text = "\x01".join(before + chr(c) + after for c in singles)
        out = nfd(text).split("\x01")
        return {c for c, o in zip(singles, out, strict=True) if o != before + chr(c) + after}

    above_one = reorders("", "\u0334")  # U+0334 has class 1
    below_240 = reorders("\u0345", "")  # U+0345 has class 240
    classes = {}
    for c in singles:
        expected = unicodedata.combining(chr(c))
        known = c in above_one or c in below_240
        assert not known or expected > 0, hex(c)
        if known:
            classes[c] = expected
    return classes


def compositions() -> dict[tuple[int, int], int]:
    nfc = normalizers.NFC().normalize_str
    pairs = {}
    for c in CODE_POINTS:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) != 2 or parts[0].startswith("<"):
            continue
        first, second = int(parts[0], 16), int(parts[1], 16)
        if nfc(chr(first) + chr(second)) == chr(c):
            pairs[first, second] = c
    return pairs


def scripts(assigned: str) -> tuple[list[tuple[str, str]], dict[int, int]]:
    """Oniguruma's scripts: (long name, code) by index, and the index of each code point."""
    names = [("Unknown", "Zzzz")]
    index: dict[int, int] = {}
    for code, name in sorted(font_unicodedata.Scripts.NAMES.items(), key=lambda item: item[1]):
        if code in ("Zzzz", "Hrkt"):
            continue
        try:
            points = matching(rf"\p{{{name}}}", assigned)
        except Exception as error:  # a script that this Oniguruma does not know
            if "invalid character property name" not in str(error):
                raise
            continue
        for c in points:
            assert c not in index, (name, hex(c))
            index[c] = len(names)
        if points:
            names.append((name, code))
    return names, index


def clusters_with_a() -> set[int]:
    """What stays in one grapheme cluster with a letter before it.

    `Precompiled` replaces clusters as a whole: this map (a Darts double array as SentencePiece
    lays it out) has "a" become "X", and with it the rest of its cluster.
    """
    units = [0] * 1024
    node = 256 ^ ord("a")
    units[0] = 256 << 10
    units[node] = ord("a") | 1 << 8 | 512 << 10
    units[node ^ 512] = 1 << 31
    trie = struct.pack("<1024I", *units)
    normalizer = normalizers.Precompiled(struct.pack("<I", len(trie)) + trie + b"X\0")
    out = normalizer.normalize_str("".join("a" + chr(c) for c in CODE_POINTS if chr(c) != "X"))
    # Lengths alone would not tell which: walk along.
    found, at = set(), 0
    for c in CODE_POINTS:
        if chr(c) == "X":
            continue
        at += 1
        if out[at : at + 1] == chr(c) or (chr(c) == "a" and out[at : at + 1] == "X"):
            at += 1
        else:
            found.add(c)
    return found


def graphemes(attached: set[int]) -> dict[int, int]:
    """Cluster properties. Those that `regex` knows of newer characters do not count."""
    values = {}
    for i, name in enumerate(GRAPHEMES):
        if i:
            pattern = regex.compile(rf"\p{{GCB={name}}}")
            values.update({ord(m): i for m in pattern.findall(ALL)})
    for i, prop in enumerate(("Extended_Pictographic", "InCB=Consonant"), len(GRAPHEMES)):
        for m in regex.compile(rf"\p{{{prop}}}").findall(ALL):
            assert ord(m) not in values, hex(ord(m))
            values[ord(m)] = i
    extends = {GRAPHEMES.index(name) for name in ("Extend", "ZWJ", "SpacingMark")}
    assert attached <= {c for c, value in values.items() if value in extends}
    return {c: v for c, v in values.items() if v not in extends or c in attached}


def wrapped(values: Iterable[object]) -> str:
    lines, line = [], "   "
    for value in values:
        text = f" {value},"
        if len(line) + len(text) > 100:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join([*lines, line])


def array(kind: str, name: str, values: Sequence[object]) -> str:
    return f"constexpr {kind} {name}[{len(values)}] = {{\n{wrapped(values)}\n}};\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the Unicode tables of csrc/text.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("unicode_tables.inc"))
    out_path: Path = parser.parse_args().out

    category = dict.fromkeys(range(0x110000), CATEGORIES.index("Cn"))
    for c in range(0xD800, 0xE000):
        category[c] = CATEGORIES.index("Cs")
    for i, name in enumerate(CATEGORIES):
        if name not in ("Cs", "Cn"):
            category.update(dict.fromkeys(matching(rf"\p{{{name}}}"), i))

    bert = {"handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = mapped(normalizers.BertNormalizer(clean_text=True, **bert).normalize_str, "a")
    strip = mapped(
        normalizers.BertNormalizer(
            clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
        ).normalize_str
    )
    cjk = mapped(
        normalizers.BertNormalizer(
            clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
        ).normalize_str
    )
    canonical = mapped(normalizers.NFD().normalize_str)
    compatible = mapped(normalizers.NFKD().normalize_str)
    lower = mapped(normalizers.Lowercase().normalize_str)
    pairs = compositions()
    white_space = removed_by(pre_tokenizers.WhitespaceSplit())
    assert white_space == matching(r"\s") == matching(r"\p{White_Space}")
    regex_words = regex_crate_word()
    attached = clusters_with_a()

    hangul = set(range(0xAC00, 0xD7A4))  # done by arithmetic
    canonical = {c: s for c, s in canonical.items() if c not in hangul}
    compatible = {c: s for c, s in compatible.items() if c not in hangul and s != canonical.get(c)}

    flags: dict[str, set[int]] = {
        "white_space": white_space,
        "alphabetic": matching(r"\p{Alphabetic}"),
        "word": matching(r"\w"),
        "regex_word": regex_words,
        "numeric": numeric(),
        "bert_punctuation": removed_by(pre_tokenizers.Punctuation("removed")),
        "bert_control": {c for c, s in clean.items() if s == ""},
        "nonspacing_mark": {c for c, s in strip.items() if s == ""},
        "combining_mark": set(mapped(normalizers.StripAccents().normalize_str)),
        "cjk": set(cjk),
        "canonical": set(canonical),
        "compatible": set(compatible),
        "composes_second": {b for _, b in pairs} | set(range(0x1161, 0x1176))
        | set(range(0x11A8, 0x11C3)),
        "lowercases": set(lower),
        "incb_linker": {ord(m) for m in regex.findall(r"\p{InCB=Linker}", ALL)},
        "incb_extend": attached & {ord(m) for m in regex.findall(r"\p{InCB=Extend}", ALL)},
    }  # fmt: skip
    assert list(flags) == FLAGS
    # BertNormalizer turns white space into spaces by the same definition.
    assert {c for c, s in clean.items() if s == " "} | {0x20} == white_space - flags["bert_control"]
    # A code point that decomposes is gone before its marks are looked at: leave those out.
    flags["nonspacing_mark"] -= set(canonical)

    unassigned = {CATEGORIES.index("Cn"), CATEGORIES.index("Co")}
    names, script = scripts("".join(c for c in ALL if category[ord(c)] not in unassigned))
    ccc, grapheme, classes = combining_classes(), graphemes(attached), script_classes()
    bits = {c: 0 for c in range(0x110000)}
    for i, name in enumerate(FLAGS):
        for c in flags[name]:
            bits[c] |= 1 << i

    records: dict[tuple[int, ...], int] = {}
    index = []
    for c in range(0x110000):
        key = (bits[c], category[c], ccc.get(c, 0), script.get(c, 0), classes.get(c, 0),
               grapheme.get(c, 0))  # fmt: skip
        index.append(records.setdefault(key, len(records)))
    size = 1 << BLOCK_BITS
    blocks: dict[tuple[int, ...], int] = {}
    stage_one = []
    for start in range(0, 0x110000, size):
        block = tuple(index[start : start + size])
        stage_one.append(blocks.setdefault(block, len(blocks)))
    assert len(blocks) < 65536

    pool: list[int] = []

    def decomposition(table: dict[int, str]) -> list[str]:
        rows = []
        for c in sorted(table):
            points = [ord(x) for x in table[c]]
            rows.append(f"{{{c:#x}, {len(pool)}, {len(points)}}}")
            pool.extend(points)
        return rows

    canonical_rows, compatible_rows = decomposition(canonical), decomposition(compatible)
    lower_rows = []
    for c in sorted(lower):
        points = [ord(x) for x in lower[c]] + [0]
        assert len(points) <= 3
        lower_rows.append(f"{{{c:#x}, {points[0]:#x}, {points[1]:#x}}}")

    parts = [
        "// Generated by generate_unicode_tables.py with tokenizers "
        f"{tokenizers.__version__}, unicodedata {unicodedata.unidata_version}. Do not edit.\n",
        "enum Flag : uint32_t {\n"
        + "".join(
            f"  k{''.join(w.capitalize() for w in name.split('_'))} = 1u << {i},\n"
            for i, name in enumerate(FLAGS)
        )
        + "};\n",
        f"constexpr uint32_t kBlockBits = {BLOCK_BITS};\n",
        array("Record", "kRecords", ["{" + ", ".join(map(str, key)) + "}" for key in records]),
        array("uint16_t", "kStageOne", stage_one),
        array("uint16_t", "kStageTwo", [i for block in blocks for i in block]),
        array("uint32_t", "kDecomposed", [hex(c) for c in pool]),
        array("Decomposition", "kCanonicalRows", canonical_rows),
        array("Decomposition", "kCompatibleRows", compatible_rows),
        array(
            "Composition",
            "kCompositions",
            [f"{{{a:#x}, {b:#x}, {pairs[a, b]:#x}}}" for a, b in sorted(pairs)],
        ),
        array("Lowercase", "kLowercase", lower_rows),
        array("ScriptName", "kScripts", [f'{{"{name}", "{code}"}}' for name, code in names]),
    ]
    out_path.write_text("\n".join(parts), encoding="utf-8")
    print(f"{len(records)} records, {len(blocks)} blocks, {out_path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Writes regex_tables.inc: the Unicode sets and case folding of Oniguruma inside `tokenizers`.

Every property is asked of the installed `tokenizers` over all code points, so that the table has
the Unicode version of the reference whatever this interpreter's own is. The names that are tried
come from the Unicode standard (property aliases) and from fontTools (scripts); a name that the
reference does not know is left out, and so is unknown to us as well. Takes some minutes.

    pip install tokenizers==0.23.3 fonttools
    python csrc/text/generate_regex_tables.py
"""

from __future__ import annotations

from pathlib import Path

from fontTools.unicodedata import Scripts
from tokenizers import Regex, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ALL = "".join(map(chr, CODE_POINTS))

# Long name and aliases of each general category, and the groups.
CATEGORIES = """
Lu Uppercase_Letter; Ll Lowercase_Letter; Lt Titlecase_Letter; LC Cased_Letter; Lm Modifier_Letter
Lo Other_Letter; L Letter; Mn Nonspacing_Mark; Mc Spacing_Mark; Me Enclosing_Mark
M Mark Combining_Mark; Nd Decimal_Number; Nl Letter_Number; No Other_Number; N Number
Pc Connector_Punctuation; Pd Dash_Punctuation; Ps Open_Punctuation; Pe Close_Punctuation
Pi Initial_Punctuation; Pf Final_Punctuation; Po Other_Punctuation; P Punctuation
Sm Math_Symbol; Sc Currency_Symbol; Sk Modifier_Symbol; So Other_Symbol; S Symbol
Zs Space_Separator; Zl Line_Separator; Zp Paragraph_Separator; Z Separator
Cc Control; Cf Format; Cs Surrogate; Co Private_Use; Cn Unassigned; C Other
"""
# POSIX brackets and the binary properties of UAX #44 and UTS #51.
BINARY = """
Alnum; Alpha; Blank; Cntrl; Digit; Graph; Lower; Print; Punct; Space; Upper; XDigit; Word; ASCII
Any; Assigned; Alphabetic; Uppercase; Lowercase; White_Space WSpace; Cased; Case_Ignorable CI
Changes_When_Casefolded CWCF; Changes_When_Casemapped CWCM; Dash; Default_Ignorable_Code_Point DI
Diacritic Dia; Extender Ext; Grapheme_Base Gr_Base; Grapheme_Extend Gr_Ext; Hex_Digit Hex
ASCII_Hex_Digit AHex; ID_Start IDS; ID_Continue IDC; XID_Start XIDS; XID_Continue XIDC
Ideographic Ideo; Join_Control Join_C; Math; Noncharacter_Code_Point NChar
Quotation_Mark QMark; Radical; Regional_Indicator RI; Sentence_Terminal STerm; Soft_Dotted SD
Terminal_Punctuation Term; Unified_Ideograph UIdeo; Variation_Selector VS
Emoji; Emoji_Presentation EPres; Emoji_Modifier EMod; Emoji_Modifier_Base EBase
Emoji_Component EComp; Extended_Pictographic ExtPict
"""
# Full foldings to two or three code points. Stable since Unicode 5.1 by the stability policy; the
# single ones are asked of the reference below.
MULTIPLE = {c: chr(c).casefold() for c in CODE_POINTS if len(chr(c).casefold()) > 1}


def matched(pattern: str, text: str = ALL) -> set[int] | None:
    """The code points of `text` that `pattern` matches; None for a name that Oniguruma lacks."""
    try:
        split = pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed", invert=True)
    except Exception as error:  # the binding raises bare Exception
        if "invalid character property name" not in str(error):
            raise
        return None
    return {ord(c) for piece, _ in split.pre_tokenize_str(text) for c in piece}


def runs(points: set[int]) -> list[tuple[int, int]]:
    """Half-open ranges; surrogates never occur in text, and fill the gap where that joins two."""
    out: list[list[int]] = []
    for c in sorted(points):
        if out and (out[-1][1] == c or (out[-1][1] == 0xD800 and c == 0xE000)):
            out[-1][1] = c + 1
        else:
            out.append([c, c + 1])
    return [(a, b) for a, b in out]


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def encoded(points: set[int]) -> bytes:
    """Deltas between successive range ends, as base-128 integers."""
    out, last = b"", 0
    for a, b in runs(points):
        out += varint(a - last) + varint(b - a)
        last = b
    return out


def normalised(name: str) -> str:
    return "".join(c for c in name.lower() if c not in " -_")


def orbits(cased: set[int]) -> list[list[int]]:
    """The classes of code points that stand for one another, each alone, under (?i)."""
    text = "\x01".join(chr(c) for c in sorted(cased))
    found: dict[int, list[int]] = {}
    for c in sorted(cased):
        if c not in found:
            same = matched(f"(?i:\\x{{{c:x}}})", text)
            assert same is not None
            members = sorted((same | {c}) - {1})
            found.update(dict.fromkeys(members, members))
    unique = {tuple(members) for members in found.values() if len(members) > 1}
    assert sum(map(len, unique)) == len({c for u in unique for c in u})
    return [list(u) for u in sorted(unique)]


def array(kind: str, name: str, values: list[str], per_line: int) -> str:
    lines = [", ".join(values[i : i + per_line]) for i in range(0, len(values), per_line)]
    return f"constexpr {kind} {name}[] = {{\n    " + ",\n    ".join(lines) + "};\n"


def set_names(names: list[tuple[str, int]]) -> str:
    """Names as places in one text: pointers would have to be relocated in each process."""
    text = "".join(name for name, _ in names)
    lines = [text[i : i + 96] for i in range(0, len(text), 96)]
    begins = [sum(len(name) for name, _ in names[:i]) for i in range(len(names))]
    entries = [
        f"{{{begin}, {len(name)}, {index}}}"
        for begin, (name, index) in zip(begins, names, strict=True)
    ]
    body = "\n// Names of sets: lower case, without spaces, hyphens and underscores.\n"
    body += "constexpr char kSetNameText[] =\n"
    body += "\n".join(f'    "{line}"' for line in lines) + ";\n"
    body += "\nstruct SetName {\n  uint16_t begin;  // in kSetNameText\n  uint16_t length;\n"
    body += "  uint16_t set;\n};\n// Sorted by name.\n"
    return body + array("SetName", "kSetNames", entries, 6)


def main() -> None:
    groups = [group.split() for group in (CATEGORIES + BINARY).replace("\n", ";").split(";")]
    groups += [[code, name] for code, name in sorted(Scripts.NAMES.items())]
    names: dict[str, int] = {}
    sets: list[bytes] = []
    index_of: dict[bytes, int] = {}
    for group in filter(None, groups):
        for name in group:
            points = matched(f"\\p{{{name}}}")
            if points is None or normalised(name) in names:
                continue
            code = encoded(points)
            if code not in index_of:
                index_of[code] = len(sets)
                sets.append(code)
            names[normalised(name)] = index_of[code]

    offsets = [0]
    for code in sets:
        offsets.append(offsets[-1] + len(code))
    cased = matched(r"\p{Cased}") | matched(r"\p{CWCF}") | matched(r"\p{CWCM}")
    cased |= {ord(c) for fold in MULTIPLE.values() for c in fold}
    members = orbits(cased)
    next_in_orbit = sorted((a, b) for o in members for a, b in zip(o, o[1:] + o[:1], strict=True))

    body = (
        "// Written by generate_regex_tables.py from tokenizers' own Oniguruma; do not edit.\n\n"
        "// Sets of code points: base-128 deltas between successive ends of half-open ranges.\n"
    )
    body += array("uint8_t", "kSetBytes", [str(b) for b in b"".join(sets)], 24)
    body += array("uint32_t", "kSetOffsets", [str(o) for o in offsets], 14)
    body += set_names(sorted(names.items()))
    body += "\n// The next code point of the same case folding, in a cycle; sorted by the first.\n"
    body += array("uint32_t", "kNextInOrbit", [f"0x{a:x}, 0x{b:x}" for a, b in next_in_orbit], 6)
    body += "\nstruct MultipleFold {\n  uint32_t from;\n  uint32_t to[3];  // 0: absent\n};\n"
    folds = []
    for c, fold in sorted(MULTIPLE.items()):
        sequence = ", ".join(f"0x{ord(x):x}" for x in fold)
        folds.append(f"{{0x{c:x}, {{{sequence}}}}}")
    body += array("MultipleFold", "kMultipleFolds", folds, 3)
    path = Path(__file__).with_name("regex_tables.inc")
    path.write_text(body)
    print(f"{path.name}: {len(names)} names of {len(sets)} sets in {offsets[-1]} bytes")


if __name__ == "__main__":
    main()

"""Comparison of `affectrt.Tokenizer` with Hugging Face `tokenizers`, text by text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tokenizer_zoo import SENTENCES
from tokenizers import Tokenizer as Reference

from affectrt import Tokenizer
from affectrt.errors import Error

BATCH = 512


def plain(encoding: Any) -> tuple[object, ...]:
    """An encoding of either side as Python objects, its overflowing windows included."""
    if isinstance(encoding.ids, list):
        sequences = [-1 if s is None else s for s in encoding.sequence_ids]
        return (
            encoding.ids,
            [tuple(o) for o in encoding.offsets],
            encoding.type_ids,
            encoding.special_tokens_mask,
            sequences,
            [plain(window) for window in encoding.overflowing],
        )
    return (
        encoding.ids.tolist(),
        [tuple(o) for o in encoding.offsets.tolist()],
        encoding.type_ids.tolist(),
        encoding.special_tokens_mask.tolist(),
        encoding.sequence_ids.tolist(),
        [plain(window) for window in encoding.overflowing],
    )


@dataclass
class Parity:
    """What a comparison found; `examples` are the first few mismatches."""

    texts: int = 0
    tokens: int = 0
    mismatches: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, text: object, expected: object, got: object) -> None:
        self.mismatches += 1
        if len(self.examples) < 5:
            self.examples.append(f"{text!a}\n  expected {expected!s:.600}\n  got      {got!s:.600}")


def own(reference: Reference) -> Tokenizer:
    """The same tokenizer, read by us from what the reference writes."""
    return Tokenizer.from_json(reference.to_str())


def outcome(encode: Callable[..., Any], *arguments: object, **options: object) -> object:
    """The encoding as Python objects, or None when the side refuses the text."""
    try:
        return plain(encode(*arguments, **options))
    except Error:
        return None
    except BaseException as error:  # a Rust panic is a BaseException
        if type(error).__name__ != "PanicException" and not isinstance(error, Exception):
            raise
        return None


def compare(
    reference: Reference, tokenizer: Tokenizer, texts: Sequence[str], parity: Parity | None = None
) -> Parity:
    """Ids, type ids and offsets of `texts`, in batches; one by one where the reference fails."""
    parity = parity or Parity()
    for start in range(0, len(texts), BATCH):
        chunk = texts[start : start + BATCH]
        try:
            expected = reference.encode_batch(chunk)
            got = tokenizer.encode_batch(chunk)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            for text in chunk:
                parity.texts += 1
                a = outcome(reference.encode, text)
                b = outcome(tokenizer.encode, text)
                if a != b:
                    parity.note(text, a, b)
            continue
        for text, a, b in zip(chunk, expected, got, strict=True):
            ids = a.ids
            parity.texts += 1
            parity.tokens += len(ids)
            if (
                b.ids.tolist() != ids
                or list(map(tuple, b.offsets.tolist())) != a.offsets
                or b.type_ids.tolist() != a.type_ids
            ):
                parity.note(text, plain(a), plain(b))
    return parity


TROUBLE = (
    " \t\n\r\u00a0\u0085\u2028\u3000\u200b\u200d\ufeff\u00ad\x00\x07\x7f\u2581\u0120\u010a"
    "'\"`.,!?-_#@$%^&*()[]{}<>|\\/~+=:;0123456789\u00b2\u0663\u216b"
    "aAzZ\u00e9e\u0301\u0323\u0308\u0345\u1e69\u0130\u0131\u00df\u1e9e\u03a3\u03c2\u017f\u212a"
    "\ufb01\u2122\u210c\uff21\u338f\ufdfa\uac00\uac01\u1100\u1161\u11a8\u0e01\u0e33\u0915\u094d"
    "\u0937\u093e\u4e00\u4e2d\uf900\u3041\u30a2\uff76\uff9e\u05d0\u05b8\u0627\u064b\u0651\u1f600"
    "\U0001f600\U0001f468\U0001f1e9\U0001f1ea\U0001f3fd\ufe0f\u20e3\U0001d400\U0001d165\U00020000"
    "\ufffd\uffff\U0010ffff\ue000\u0378\u180e\u0903\u302e\u034f\u0f73\u1fbf"
)


def texts(most: int = 40) -> st.SearchStrategy[str]:
    """Unicode strings: anything, troublesome characters, and words of many scripts."""
    words = sorted({word for sentence in SENTENCES for word in sentence.split(" ")})
    word = st.sampled_from(words)
    trouble = st.text(alphabet=st.sampled_from(sorted(set(TROUBLE))), max_size=most)
    special = st.sampled_from(["[CLS]", "[MASK]", " <mask> ", "<s>", "</s>", "<pad>", "New York"])
    anything = st.text(max_size=most)
    piece = st.one_of(word, word.map(lambda w: " " + w), trouble, special, st.text(max_size=4))
    return st.one_of(anything, trouble, st.lists(piece, max_size=12).map("".join))


def generated(count: int) -> list[str]:
    """`count` different strings of `texts()`, the same in each run."""
    found: dict[str, None] = {}
    run = 0
    while len(found) < count:

        @seed(run)
        @settings(
            max_examples=min(count, 5_000),
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
        )
        @given(texts())
        def collect(text: str) -> None:
            found[text] = None

        collect()
        run += 1
    return list(found)[:count]


def report(name: str, parity: Parity) -> str:
    lines = [
        f"{name:24} {parity.texts:>9} texts {parity.tokens:>11} tokens "
        f"{parity.mismatches:>6} mismatches"
    ]
    return "\n".join([*lines, *parity.examples])


NO_TEXT = frozenset({"id", "conversation_id", "subject"})


def strings_of(value: object) -> Iterable[str]:
    """Every string in a JSON value but keys and identifiers."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in NO_TEXT:
                yield from strings_of(item)

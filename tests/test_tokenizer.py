"""`affectrt.Tokenizer` as a user meets it: files, results, options, and whatever can go wrong."""

from __future__ import annotations

import json
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_zoo import SENTENCES, ZOO
from tokenizers import Tokenizer as Reference

from affectrt import Tokenizer
from affectrt.errors import Error, InputError, ModelFileError, NotFoundError, TokenizerError


@pytest.fixture(scope="module")
def reference() -> Reference:
    return ZOO["bert-uncased"](SENTENCES, 700)


@pytest.fixture(scope="module")
def state(reference: Reference) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(reference.to_str())
    return loaded


@pytest.fixture(scope="module")
def tokenizer(reference: Reference) -> Tokenizer:
    return Tokenizer.from_json(reference.to_str())


@pytest.fixture
def file(tmp_path: Path, reference: Reference) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_text(reference.to_str(), encoding="utf-8")
    return path


def changed(state: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> str:
    copy = json.loads(json.dumps(state))
    change(copy)
    return json.dumps(copy)


def test_unpacks_into_ids_and_offsets(tokenizer: Tokenizer) -> None:
    ids, offsets = tokenizer.encode("I can't believe it")
    assert ids.dtype == np.int32
    assert offsets.dtype == np.int32
    assert offsets.shape == (len(ids), 2)
    assert tokenizer.id_to_token(int(ids[0])) == "[CLS]"
    text = "I can't believe it"
    assert "".join(text[a:b] for a, b in offsets.tolist()) == text.replace(" ", "")


def test_encoding_has_everything(tokenizer: Tokenizer, reference: Reference) -> None:
    encoding = tokenizer.encode("thank you", "so much!")
    expected = reference.encode("thank you", "so much!")
    assert encoding.type_ids.tolist() == expected.type_ids
    assert encoding.special_tokens_mask.tolist() == expected.special_tokens_mask
    assert encoding.sequence_ids.tolist() == [-1 if s is None else s for s in expected.sequence_ids]
    assert encoding.overflowing == []
    assert len(encoding) == len(expected.ids)
    assert repr(encoding) == f"Encoding({len(expected.ids)} tokens)"
    encoding.ids[:] = 0  # arrays are copies
    assert encoding.ids.tolist() == expected.ids


def test_batches(tokenizer: Tokenizer) -> None:
    texts: list[Any] = [*SENTENCES, "", b"bytes", ("a text", "and its pair")] * 30
    one_by_one = [tokenizer.encode(*(t if isinstance(t, tuple) else (t,))) for t in texts]
    for threads in (0, 1, 3):
        batch = tokenizer.encode_batch(texts, num_threads=threads)
        for a, b in zip(one_by_one, batch, strict=True):
            assert a.ids.tolist() == b.ids.tolist()
            assert a.offsets.tolist() == b.offsets.tolist()
    assert tokenizer.encode_batch([]) == []


def test_without_offsets(tokenizer: Tokenizer) -> None:
    encoding = tokenizer.encode(SENTENCES[0], with_offsets=False)
    assert encoding.offsets.shape == (0, 2)
    assert encoding.ids.tolist() == tokenizer.encode(SENTENCES[0]).ids.tolist()


def test_windows(tokenizer: Tokenizer) -> None:
    text = " ".join(SENTENCES)
    whole = tokenizer.encode(text, add_special_tokens=False).ids.tolist()
    first = tokenizer.encode(
        text, truncation="only_first", max_tokens=32, stride=6, keep_overflowing=True
    )
    windows = [first, *first.overflowing]
    assert all(len(w) <= 32 for w in windows)
    assert "overflowing" in repr(first)
    joined: list[int] = []
    for i, window in enumerate(windows):
        inner = window.ids.tolist()[1:-1]
        if i:
            assert joined[-6:] == inner[:6]
            inner = inner[6:]
        joined += inner
    assert joined == whole


def test_vocabulary(tokenizer: Tokenizer, reference: Reference) -> None:
    assert tokenizer.vocab_size == len(tokenizer) == reference.get_vocab_size()
    assert f"{tokenizer.vocab_size} tokens" in repr(tokenizer)
    for token, number in reference.get_vocab().items():
        assert tokenizer.token_to_id(token) == number
        assert tokenizer.id_to_token(number) == token
    assert tokenizer.token_to_id("no such token") is None
    with pytest.raises(InputError, match="1000000"):
        tokenizer.id_to_token(1_000_000)
    with pytest.raises(InputError, match="id"):
        tokenizer.id_to_token(-1)


def test_files(file: Path, tokenizer: Tokenizer) -> None:
    expected = tokenizer.encode(SENTENCES[0]).ids.tolist()
    for path in (file, str(file), file.parent):
        assert Tokenizer.from_file(path).encode(SENTENCES[0]).ids.tolist() == expected


def test_model_file(default_model: Path, tmp_path: Path) -> None:
    ids, offsets = Tokenizer.from_file(default_model).encode("so happy")
    assert len(ids) == len(offsets) > 2
    damaged = tmp_path / "damaged.affect"
    damaged.write_bytes(default_model.read_bytes()[:5000])
    with pytest.raises(ModelFileError):
        Tokenizer.from_file(damaged)


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "tokenizer.json", tmp_path / "none.affect"):
        with pytest.raises(NotFoundError, match=tmp_path.name):
            Tokenizer.from_file(path)


def test_file_truncation_is_told_but_not_applied(state: dict[str, Any]) -> None:
    section = {"direction": "Left", "max_length": 4, "strategy": "OnlyFirst", "stride": 1}
    padding = {"strategy": {"Fixed": 99}, "direction": "Right", "pad_id": 0, "pad_type_id": 0}
    tokenizer = Tokenizer.from_json(
        changed(state, lambda s: s.update(truncation=section, padding=padding))
    )
    assert tokenizer.file_truncation == ("only_first", 4, 1, "left")
    assert 99 > len(tokenizer.encode(SENTENCES[0])) > 4
    assert Tokenizer.from_json(json.dumps(state)).file_truncation == ("none", 0, 0, "right")


def test_odd_texts(tokenizer: Tokenizer, reference: Reference) -> None:
    for text in ("", "\0", "a\0b", " ", "\ufeff", "\U0010ffff", "\u0301", "#" * 1000):
        assert tokenizer.encode(text).ids.tolist() == reference.encode(text).ids
        assert tokenizer.encode(text.encode()).ids.tolist() == reference.encode(text).ids


@pytest.mark.parametrize("name", ZOO)
def test_a_megabyte(name: str) -> None:
    tokenizer = Tokenizer.from_json(ZOO[name](SENTENCES, 700).to_str())
    million = 1_000_000
    for text in (
        "a" * million,
        " " * million,
        "word " * (million // 5),
        "e\u0301" * (million // 3),
        "\u0301" * (million // 2),
        "\U0001f600" * (million // 4),
        "\u4e2d\u6587" * (million // 6),
        "[MASK]" * (million // 6),
    ):
        try:
            encoding = tokenizer.encode(text)
        except InputError:  # some models refuse a word of a megabyte, and say so
            continue
        assert len(encoding.ids) == len(encoding.offsets)
        assert encoding.offsets.max(initial=0) <= len(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab\ud800", "U\\+D800"),
        (b"ab\xff", "byte 2"),
        (b"\xed\xa0\x80", "byte 0"),
        (b"ab\xc3", "byte 2"),
        (3, "int"),
        (None, "NoneType"),
        (["a"], "list"),
    ],
)
def test_bad_texts(tokenizer: Tokenizer, text: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer.encode(text)
    with pytest.raises(InputError, match=f"(?s)text 1.*{message}"):
        tokenizer.encode_batch(["fine", text])
    if text is not None:
        with pytest.raises(InputError, match=message):
            tokenizer.encode("fine", text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": "longest"}, "longest_first"),
        ({"truncation": "longest_first"}, "max_tokens is 0"),
        ({"truncation": "longest_first", "max_tokens": 1}, "special tokens"),
        ({"truncation": "longest_first", "max_tokens": -1}, "max_tokens"),
        ({"truncation": "longest_first", "max_tokens": 6, "stride": 5}, "stride"),
        ({"truncation": "only_second", "max_tokens": 6}, "pair"),
        ({"truncation_side": "top"}, "left"),
    ],
)
def test_bad_options(tokenizer: Tokenizer, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer.encode(SENTENCES[0], **options)


def test_bad_batches(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="list"):
        tokenizer.encode_batch("one text")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pair"):
        tokenizer.encode_batch([("a", "b", "c")])  # type: ignore[list-item]
    with pytest.raises(InputError, match="num_threads"):
        tokenizer.encode_batch(["a"], num_threads=-1)


def unknown(path: str, **component: object) -> tuple[str, dict[str, object]]:
    return path, component


@pytest.mark.parametrize(
    ("path", "component"),
    [
        unknown("normalizer", type="Spell"),
        unknown("normalizer", type="Sequence", normalizers=[{"type": "Spell"}]),
        unknown("normalizer", type="Precompiled", precompiled_charsmap="????"),
        unknown("normalizer", type="Replace", pattern={"Regex": "(a"}, content=""),
        unknown("normalizer", type="Strip"),
        unknown("normalizer", nothing="here"),
        unknown("pre_tokenizer", type="Words"),
        unknown("pre_tokenizer", type="FixedLength", length=0),
        unknown("pre_tokenizer", type="Metaspace", replacement="__"),
        unknown("pre_tokenizer", type="Punctuation", behavior="Eaten"),
        unknown("pre_tokenizer", type="Split", pattern={"Regex": "(?<n>a)\\k<n>"}, invert=False),
        unknown("post_processor", type="Ends"),
        unknown("post_processor", type="BertProcessing", sep=["[SEP]"], cls=["[CLS]", 0]),
        unknown(
            "post_processor",
            type="TemplateProcessing",
            single=[{"SpecialToken": {"id": "[X]", "type_id": 0}}],
            pair=[],
            special_tokens={},
        ),
        unknown("model", type="Stones", vocab={}),
        unknown("model", vocab={}),
    ],
)
def test_what_is_not_done_is_named(
    state: dict[str, Any], path: str, component: dict[str, Any]
) -> None:
    with pytest.raises(TokenizerError, match=path):
        Tokenizer.from_json(changed(state, lambda s: s.update({path: component})))


def test_damaged_added_tokens(state: dict[str, Any]) -> None:
    for damage in ({"id": -1}, {"content": 7}, {"special": None}):
        text = changed(state, lambda s, d=damage: s["added_tokens"][0].update(d))
        with pytest.raises(TokenizerError, match="added_tokens"):
            Tokenizer.from_json(text)


def test_damaged_json(state: dict[str, Any]) -> None:
    text = json.dumps(state)
    rng = random.Random(0)
    for end in [0, 1, *rng.sample(range(len(text)), 40), len(text) - 1]:
        with pytest.raises(TokenizerError):
            Tokenizer.from_json(text[:end], origin="cut.json")
    for nested in ("[" * 100_000, '{"normalizer":' * 100_000, '{"model":' + "[" * 100_000):
        with pytest.raises(TokenizerError, match=r"cut\.json"):
            Tokenizer.from_json(nested, origin="cut.json")
    for other in (b"", b"\xff\xfe", b"\0", b"null", b"3", b"[]", b"{}", b'{"model": null}'):
        with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
            Tokenizer.from_json(other)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_bytes_never_crash(data: st.DataObject) -> None:
    text = bytearray(FLIPPED)
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        tokenizer = Tokenizer.from_json(bytes(text))
        tokenizer.encode("I can't believe it 123 [MASK]", "caf\u00e9 \u4e2d")
    except Error:
        pass
    assert len(text) == len(FLIPPED)


FLIPPED = ZOO["llama3"](SENTENCES[:3], 300).to_str().encode()


def test_many_threads_share_one(tokenizer: Tokenizer) -> None:
    expected = [tokenizer.encode(s).ids.tolist() for s in SENTENCES]
    wrong: list[str] = []

    def work() -> None:
        for _ in range(20):
            for sentence, ids in zip(SENTENCES, expected, strict=True):
                if tokenizer.encode(sentence * 2).ids.tolist()[1:3] != ids[1:3]:
                    wrong.append(sentence)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_affect_suffix_of_a_directory(file: Path) -> None:
    folder = file.parent / "model.affect"
    folder.mkdir()
    shutil.copy(file, folder / "tokenizer.json")
    assert len(Tokenizer.from_file(folder)) > 100

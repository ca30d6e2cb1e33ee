# ruff: noqa: RUF001  (the sentences are in many scripts)
"""Tokenizers of the kinds that checkpoints come with, trained on the spot with `tokenizers`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sentencepiece
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

GPT4_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = GPT4_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")

SENTENCES = [
    "I can't believe they cancelled it, I was so looking forward to tonight.",
    "That's the best thing that has happened all year -- thank you so much!",
    "He said: \u201cWe'll see\u2026\u201d, and didn't call for 3 days (72 hours).",
    "no no no no, not again :( my 2nd phone this year, $499.99 gone",
    "Ich freue mich sehr darüber, daß die Größe jetzt paßt.",
    "Je suis désolé, ça m'a fait de la peine d'apprendre la nouvelle.",
    "¡Qué alegría verte después de tantos años! ¿Cómo estás?",
    "Eu não acredito que você fez isso comigo, que decepção.",
    "Sunt foarte fericit că ai venit, îți mulțumesc din suflet.",
    "Мне так грустно сегодня, я не хочу никого видеть.",
    "Я щаслива, що ти поруч, дякую тобі за все.",
    "मुझे बहुत खुशी हुई कि तुम आए, धन्यवाद।",
    "मला खूप आनंद झाला, पण थोडी भीतीही वाटते.",
    "ስለ እርዳታህ በጣም አመሰግናለሁ፣ ደስ ብሎኛል።",
    "أنا سعيد جدا بلقائك اليوم، شكرا لك.",
    "怎么了？我今天真的很难过，不想说话。",
    "私は今日とても嬉しいです。ありがとうございます！カタカナも",
    "오늘 정말 기분이 좋아요. 고맙습니다!",
    "วันนี้ฉันมีความสุขมาก ขอบคุณ",
    "Mọi người đều rất vui vẻ và hạnh phúc hôm nay.",
    "so happy \U0001f600\U0001f389 love u \u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "Ina jin dadi sosai yau. Nimefurahi sana leo. Ndagushimiye cyane.",
    "OMG!!! LOL... u r sooooo funny hahaha xD #blessed @friend http://t.co/abc",
    "word-level tests_with_underscores and CamelCase, 1,000,000.5 and 3/4",
]


def charsmap(rule: str) -> bytes:
    """SentencePiece's own normalisation table: field 2 of field 3 of its model file."""
    proto = sentencepiece.SentencePieceNormalizer(rule_name=rule).serialized_model_proto()

    def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0

        def varint() -> int:
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(data):
            key = varint()
            if key & 7 == 0:
                varint()
                continue
            assert key & 7 == 2
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size

    return dict(fields(dict(fields(proto))[3]))[2]


def precompiled(rule: str) -> normalizers.Normalizer:
    return normalizers.Precompiled(charsmap(rule))


def finish(tokenizer: Tokenizer, cls: str, sep: str, kind: str) -> Tokenizer:
    """A post-processor of `kind` with the ids that `cls` and `sep` got."""
    cls_id, sep_id = tokenizer.token_to_id(cls), tokenizer.token_to_id(sep)
    special = [(cls, cls_id), (sep, sep_id)]
    if kind == "bert":
        tokenizer.post_processor = processors.BertProcessing((sep, sep_id), (cls, cls_id))
    elif kind.startswith("roberta"):
        tokenizer.post_processor = processors.RobertaProcessing(
            (sep, sep_id),
            (cls, cls_id),
            trim_offsets="trim" in kind,
            add_prefix_space="prefix" in kind,
        )
    elif kind == "double":
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} {sep} $B {sep}", special_tokens=special
        )
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=special,
        )
    return tokenizer


def word_piece(corpus: Sequence[str], vocab: int, kind: str, **options: Any) -> Tokenizer:
    names = ["<s>", "</s>", "<unk>"] if "mpnet" in options else ["[CLS]", "[SEP]", "[UNK]"]
    mpnet = options.pop("mpnet", False)
    tokenizer = Tokenizer(models.WordPiece(unk_token=names[2]))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [*names, "<pad>" if mpnet else "[PAD]"]
    tokenizer.train_from_iterator(
        corpus,
        trainers.WordPieceTrainer(vocab_size=vocab, special_tokens=special, show_progress=False),
    )
    mask = AddedToken("<mask>" if mpnet else "[MASK]", lstrip=mpnet, special=True)
    tokenizer.add_special_tokens([mask])
    return finish(tokenizer, names[0], names[1], kind)


def byte_level(
    corpus: Sequence[str],
    vocab: int,
    *,
    add_prefix_space: bool,
    split: str | None = None,
    normalizer: normalizers.Normalizer | None = None,
    ignore_merges: bool = False,
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    level = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=split is None)
    tokenizer.pre_tokenizer = (
        level
        if split is None
        else pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), level])
    )
    tokenizer.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=vocab,
            special_tokens=["<s>", "</s>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def unigram(
    corpus: Sequence[str],
    vocab: int,
    normalizer: normalizers.Normalizer,
    pre_tokenizer: pre_tokenizers.PreTokenizer,
    kind: str,
    *,
    byte_fallback: bool = False,
) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if byte_fallback:
        special += [f"<0x{b:02X}>" for b in range(256)]
    tokenizer.train_from_iterator(
        corpus,
        trainers.UnigramTrainer(
            vocab_size=vocab, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    if byte_fallback:
        state = json.loads(tokenizer.to_str())
        state["model"]["byte_fallback"] = True
        state["added_tokens"] = [t for t in state["added_tokens"] if "<0x" not in t["content"]]
        tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return finish(tokenizer, "<s>", "</s>", kind)


def llama2(corpus: Sequence[str], vocab: int) -> Tokenizer:
    """Character BPE with byte fallback over a text whose spaces became U+2581."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    tokenizer.train_from_iterator(
        [word for text in corpus for word in text.split()],
        trainers.BpeTrainer(
            vocab_size=vocab, special_tokens=special, limit_alphabet=300, show_progress=False
        ),
    )
    state = json.loads(tokenizer.to_str())
    state["model"]["byte_fallback"] = True
    state["added_tokens"] = [t for t in state["added_tokens"] if "<0x" not in t["content"]]
    return finish(Tokenizer.from_str(json.dumps(state)), "<s>", "</s>", "template")


def word_level(corpus: Sequence[str], vocab: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        corpus,
        trainers.WordLevelTrainer(vocab_size=vocab, special_tokens=["[UNK]"], show_progress=False),
    )
    tokenizer.add_tokens([AddedToken("New York", single_word=True), AddedToken("\u00e9tage")])
    return tokenizer


def spiece_normalizer(rule: str, *before: normalizers.Normalizer) -> normalizers.Normalizer:
    return normalizers.Sequence(
        [*before, precompiled(rule), normalizers.Replace(Regex(" {2,}"), " ")]
    )


def gpt2(corpus: Sequence[str], vocab: int, *, prefix: bool, trim: bool) -> Tokenizer:
    tokenizer = byte_level(corpus, vocab, add_prefix_space=prefix)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim, add_prefix_space=prefix)
    return tokenizer


def llama3(corpus: Sequence[str], vocab: int) -> Tokenizer:
    tokenizer = byte_level(
        corpus, vocab, add_prefix_space=False, split=GPT4_SPLIT, ignore_merges=True
    )
    special = [("<s>", tokenizer.token_to_id("<s>"))]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", special),
        ]
    )
    return tokenizer


def albert_normalizer() -> normalizers.Normalizer:
    return spiece_normalizer(
        "nmt_nfkc",
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    )


Builder = Callable[[Sequence[str], int], Tokenizer]

ZOO: dict[str, Builder] = {
    "bert-uncased": lambda c, v: word_piece(c, v, "template"),
    "bert-cased": lambda c, v: word_piece(c, v, "bert", lowercase=False),
    "bert-multilingual": lambda c, v: word_piece(c, v, "bert", lowercase=False, strip_accents=True),
    "electra-keep-accents": lambda c, v: word_piece(c, v, "template", strip_accents=False),
    "bert-not-cleaned": lambda c, v: word_piece(
        c, v, "template", clean_text=False, handle_chinese_chars=False
    ),
    "mpnet": lambda c, v: word_piece(c, v, "roberta-trim", mpnet=True),
    "gpt2": lambda c, v: gpt2(c, v, prefix=False, trim=False),
    "gpt2-prefix-trim": lambda c, v: gpt2(c, v, prefix=True, trim=True),
    "roberta": lambda c, v: finish(
        byte_level(c, v, add_prefix_space=False), "<s>", "</s>", "roberta-trim"
    ),
    "roberta-prefix": lambda c, v: finish(
        byte_level(c, v, add_prefix_space=True), "<s>", "</s>", "roberta-trim-prefix"
    ),
    "modernbert": lambda c, v: finish(
        byte_level(c, v, add_prefix_space=False, normalizer=normalizers.NFC()),
        "<s>",
        "</s>",
        "template",
    ),
    "llama3": llama3,
    "qwen2": lambda c, v: byte_level(
        c, v, add_prefix_space=False, split=QWEN_SPLIT, normalizer=normalizers.NFC()
    ),
    "xlm-roberta": lambda c, v: unigram(
        c,
        v,
        precompiled("nmt_nfkc"),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
        "double",
    ),
    "albert": lambda c, v: unigram(
        c, v, albert_normalizer(), pre_tokenizers.Metaspace(), "template"
    ),
    "deberta-v3": lambda c, v: unigram(
        c,
        v,
        spiece_normalizer("nmt_nfkc", normalizers.Strip()),
        pre_tokenizers.Metaspace(),
        "template",
    ),
    "unigram-casefold": lambda c, v: unigram(
        c,
        v,
        spiece_normalizer("nmt_nfkc_cf"),
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        "bert",
    ),
    "unigram-nfkc-bytes": lambda c, v: unigram(
        c,
        v,
        normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]),
        pre_tokenizers.Metaspace(split=False),
        "roberta-trim",
        byte_fallback=True,
    ),
    "llama2": llama2,
    "word-level": word_level,
}


def charsmap_base64(rule: str) -> str:
    return base64.b64encode(charsmap(rule)).decode()

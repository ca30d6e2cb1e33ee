"""A random model with the heads that a conversation asks, large enough for whole passes."""

from __future__ import annotations

from pathlib import Path

import tiny_models

WORDS = (
    *("i", "you", "we", "never", "so", "happy", "sad", "furious", "scared", "lost", "won", "the"),
    *("train", "job", "today", "why", "this", "self", "other", ":", ".", "!", "?", "'", "é", "日"),
    *("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral"),
)
EKMAN = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")


def write_checkpoint(folder: Path) -> Path:
    import torch
    from transformers import BertConfig, BertModel

    from affectrt.export import HeadSpec, PooledEncoder, save_pooled_checkpoint

    heads = (
        HeadSpec("emotion", "multi_label", tuple(tiny_models.EMOTIONS), "emotion", (0.5,) * 28),
        HeadSpec("emotion7", "single_label", EKMAN, "emotion7", input="turn"),
        HeadSpec(
            *("vad", "regression", ("valence", "arousal", "dominance"), "vad"),
            ranges=((1.0, 5.0),) * 3,
        ),
        HeadSpec(
            *(
                "empathy_interpretations",
                "ordinal",
                ("none", "weak", "strong"),
                "empathy_interpretations",
            ),
            input="turn",
        ),
        HeadSpec(
            "empathy_words",
            "token_flags",
            ("interpretations",),
            "empathy_words",
            (0.5,),
            input="turn",
        ),
        HeadSpec("act", "single_label", ("inform", "question"), "act", input="turn"),
        HeadSpec("reply_fit", "multi_label", ("fits",), "reply_fit", (0.5,), input="turn"),
        HeadSpec("cause", "multi_label", ("cause",), "cause", (0.5,), input="cause"),
        HeadSpec("cause_span", "span", ("start", "end"), "cause_span", input="cause", margin=0.0),
    )
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS) + len(tiny_models.SPECIAL),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
    )
    encoder = BertModel(config, add_pooling_layer=False)
    model = PooledEncoder(encoder, heads, "mean_first").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.35)
    tokenizer = folder.parent / f"{folder.name}.tokenizer.json"
    tiny_models.write_json(tokenizer, tiny_models.wordpiece_json(WORDS))
    save_pooled_checkpoint(model, folder, tokenizer, {"description": "Made for tests."})
    return folder

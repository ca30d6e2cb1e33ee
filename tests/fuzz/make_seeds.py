"""Writes the seeds of the fuzz targets: `python tests/fuzz/make_seeds.py` (from any folder).

Small files, one feature each, so that mutation starts from what the readers accept. What the fuzzer
found is kept beside them by hand, in files whose names begin with `found-`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import attacks.model_files as files
import attacks.speech_files as speech
import attacks.wav_files as wav
import tokenizer_zoo as zoo

SEEDS = Path(__file__).resolve().parent / "seeds"
CORPUS = ["I am so happy!", "naïve CAFÉ 東京 it's 12,345.67", "so sad \U0001f600 I'm here"]
TOKENIZERS = {
    "bert-uncased": 60,
    "llama2": 320,
    "llama3": 290,
    "roberta-prefix": 290,
    "unigram-nfkc-bytes": 300,
    "word-level": 30,
}
PATTERNS = [
    zoo.GPT4_SPLIT,
    r"'s|'t|'re| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i)(?:ab|a)*+c(?<=c)\b[[:alpha:]&&[^x-z]]{2,3}?(?=d|$)",
    r"(?<!a)(?>x|xy)[^\W\d_]\h\R?\X\Aend\z",
]
BERT = {
    "model_type": "bert",
    "hidden_size": 36,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "vocab_size": 11,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "affectrt": {"pooling": "mean"},
}
MODERNBERT = {
    "model_type": "modernbert",
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "vocab_size": 40,
    "max_position_embeddings": 64,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "local_rope_theta": 10000.0,
    "local_attention": 16,
    "norm_eps": 1e-5,
    "classifier_pooling": "mean",
}
WHISPER = {
    "model_type": "whisper",
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 128,
    "num_mel_bins": 80,
    "max_source_positions": 100,
    "activation_function": "gelu",
}
TINY_WHISPER = {
    "model_type": "whisper",
    "d_model": 36,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 22,
    "num_mel_bins": 10,
    "max_source_positions": 100,
    "affectrt": {"modality": "speech", "pooling": "attention"},
}
EXPORTED = {
    "model_type": "bert",
    "id2label": {"0": "joy", "1": "fear"},
    "label2id": {"joy": 0, "fear": 1},
    "problem_type": "multi_label_classification",
    "max_position_embeddings": 512,
}
TENSORS = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "I8", "shape": [4], "data_offsets": [24, 28]},
}


def put(target: str, name: str, data: bytes) -> None:
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


def main() -> None:
    good = files.pack(files.records())
    put("model_file", "image", b"\0" + good)
    put("model_file", "image-verified", b"\1" + good)
    put("model_file", "config", b"\3" + dumped(BERT))
    put("json_files", "manifest", b"\0" + dumped(files.manifest()))
    put("json_files", "manifest-speech", b"\0" + dumped(speech.speech_manifest()))
    for name, config in (("bert", BERT), ("modernbert", MODERNBERT)):
        put("json_files", name, b"\1" + dumped(config))
    put("json_files", "export", b"\2" + dumped(EXPORTED) + b'\xff{"model_max_length": 128}')
    put("json_files", "whisper", b"\3" + dumped(WHISPER))
    header = dumped(TENSORS)
    header += b" " * (-len(header) % 8)
    put("safetensors", "two", len(header).to_bytes(8, "little") + header + bytes(28))
    tensor = b"\x08\x02\x10\x01\x22\x04\x00\x00\x80\x3f\x42\x01w"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    put("onnx_graph", "weight", b"\x08\x08\x3a" + bytes([len(graph)]) + graph)
    for number, pattern in enumerate(PATTERNS):
        text = "I'm so happy!! abacxd 123 xyé\n"
        put("regex", f"pattern-{number}", f"{pattern}".encode() + b"\xff" + text.encode())
    for number, (name, vocabulary) in enumerate(sorted(TOKENIZERS.items())):
        state = json.loads(zoo.ZOO[name](CORPUS, vocabulary).to_str())
        text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
        put("tokenizer_json", f"{name}.json", text.encode())
        put("text", f"{name}-plain", bytes([number, 0, 0]) + CORPUS[1].encode())
        put("text", f"{name}-cut", bytes([number, 0x14, 0x2A]) + b"I am\xffso sad")
    put("wav", "s16", wav.wav(bytes(range(64)), channels=2))
    put("wav", "s24-list", wav.wav(bytes(60), bits=24, before=b"LIST\4\0\0\0abcd"))
    put("wav", "f64", wav.wav(bytes(64), tag=3, bits=64))
    put("wav", "extensible", wav.wav(bytes(64), tag=0xFFFE, extension=wav.extension(1, 16)))
    ds64 = b"ds64\x1c\0\0\0" + bytes(8) + b"\x40" + bytes(19)
    put("wav", "rf64", wav.wav(bytes(64), riff=b"RF64", size=0xFFFFFFFF, before=ds64))
    # Rate, options, cuts, stretches of sound: see speech_stream.cc.
    stretches = b"\2\x64\x78\1\xff\x14\0\xc8\0\1\xff\x28\3\x64\x14\2\xff\x78\1\xff\x0a" * 2
    put("speech_stream", "defaults", b"\0\x64\x58\x19\x4b\x64\xc8\0\x50\x14\3abc" + stretches)
    put(
        "speech_stream",
        "interim",
        b"\3\x32\x20\x05\x19\x28\x32\x28\x50\x14\5\xff\1\0zz" + stretches,
    )
    put("speech_model_file", "manifest", b"\2" + dumped(speech.speech_manifest()))
    put("speech_model_file", "config", b"\3" + dumped(TINY_WHISPER))
    # Kind, cuts, stretches of sound, options: see capi_features.cc.
    begin = b"\3\x14\x20\7\4" + stretches[:12]
    put("capi_features", "log_mel", b"\0" + begin + b"\x29\0\0")
    put("capi_features", "fbank", b"\1" + begin + bytes(4) + b"\1" + bytes(8))
    put("capi_features", "mfcc", b"\2" + begin + b"\2\1\x15\x0e\2\x64\0\x28\0" + bytes(5))
    put("capi_features", "voice", b"\3" + begin + b"\1" + bytes(6))
    # An operation's number and its arguments: see capi_calls.cc. Text model in slot 0, speech in 1.
    loads = b"".join(b"\0\0\0\0\1\0\0\0" + bytes((slot, 1 + 2 * slot)) for slot in range(2))
    options, texts = b"\0\0\1", b"\2I am so happy!\xff\1so sad\xff\1\1"
    put("capi_calls", "texts", loads + b"\2" + options + b"\0\0" + texts + b"\3\0\1\0\0\0")
    put("capi_calls", "predict", loads + b"\4" + options + b"\0\0\3" + texts + b"\0\0")
    put("capi_calls", "json", loads + b"\5\0\0\0\0emotion\xff\x0c" + options + b"\0" + texts)
    tokens = b"\7\0\0\0\x09\0\x02\x08\1\2\0\0" + texts + b"\1\x0a\0\0\0"
    put("capi_calls", "tokens", loads + tokens)
    sounds = b"\2\1\1\x64\x14\2\x28\2\1\x50\x0a\2\x1e\2\x28"
    begin = b"\x0e\0\0\1\1\0\0"
    said = b"\x0f" + options + b"\1" + texts + sounds + b"\0\0\3\0"
    put("capi_calls", "conversation", loads + begin + said + b"\x10\0\0\0\1" + said)
    put("capi_calls", "sound", loads + b"\x12" + options + b"\1\0" + sounds + b"\0\0\0")
    put("capi_calls", "stream", loads + b"\x13\0\x28\2\x14\x64\1" + sounds)


if __name__ == "__main__":
    main()

"""Each peer's files, made from the checkpoint by that peer's own converter.

    python -m bench.convert KIND FOLDER

runs one conversion in a process of its own, so that a converter that dies takes nothing with it.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .inputs import goemotions

CALIBRATION_TEXTS = 300  # what NNCF takes when nothing is said
# Shapes are fixed when converting; each costs seconds then and memory later.
LITERT_LENGTHS = (16, 24, 32, 64, 128, 512)
LITERT_BATCHES = {8: (16, 24, 32, 64)}


def onnx_fp32(folder: Path) -> None:
    """`onnx/model.onnx`: the TorchScript export, as optimum makes it."""
    import torch

    from .checkpoint import load_classifier

    model = load_classifier(folder, "eager")
    example = torch.ones((2, 16), dtype=torch.long)
    out = folder / "onnx"
    out.mkdir(exist_ok=True)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        _logits_of(model),
        (example, example, torch.zeros_like(example)),
        str(out / "model.onnx"),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={n: {0: "batch", 1: "tokens"} for n in names} | {"logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    _beside(folder, out)


def _logits_of(model: Any) -> Any:
    """`model` with its logits as a plain tensor, as tracing wants it."""
    from torch import nn

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(input_ids, attention_mask, token_type_ids).logits

    return Logits().eval()


def _beside(folder: Path, out: Path) -> None:
    for name in (
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ):
        file = folder / "hf" / name
        if file.is_file():
            (out / name).write_bytes(file.read_bytes())


def _cpu_quantisation() -> Any:
    """The configuration that optimum has for this CPU."""
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    from affectrt import _core

    info = _core.cpu_info()
    has = info["features"]
    if info["architecture"] != "x86-64":
        return AutoQuantizationConfig.arm64(is_static=False)
    if has["avx512_vnni"]:
        return AutoQuantizationConfig.avx512_vnni(is_static=False)
    if has["avx512f"]:
        return AutoQuantizationConfig.avx512(is_static=False)
    return AutoQuantizationConfig.avx2(is_static=False)


def optimum_int8(folder: Path) -> None:
    """`optimum_int8/`: optimum's own dynamic quantiser with its configuration for this CPU."""
    from optimum.onnxruntime import ORTQuantizer

    quantizer = ORTQuantizer.from_pretrained(folder / "onnx", file_name="model.onnx")
    out = folder / "optimum_int8"
    quantizer.quantize(save_dir=out, quantization_config=_cpu_quantisation())
    _beside(folder, out)


def ort_fused(folder: Path) -> None:
    """`ort/fp32.onnx`: attention, layer norms and GELU fused by ORT's transformer optimiser."""
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    config = json.loads((folder / "hf" / "config.json").read_text(encoding="utf-8"))
    fused = optimize_model(
        str(folder / "onnx" / "model.onnx"),
        model_type="bert",
        num_heads=config["num_attention_heads"],
        hidden_size=config["hidden_size"],
        optimization_options=FusionOptions("bert"),
        opt_level=1,
    )
    counts = fused.get_fused_operator_statistics()
    if counts.get("Attention", 0) != config["num_hidden_layers"]:
        raise RuntimeError(f"attention was not fused in every layer: {counts}")
    (folder / "ort").mkdir(exist_ok=True)
    fused.save_model_to_file(str(folder / "ort" / "fp32.onnx"))


def ort_int8(folder: Path) -> None:
    """`ort/int8.onnx`: the fused graph, weights per channel, activations per tensor and call."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from affectrt import _core

    # Without VNNI 8-bit weights saturate in vpmaddubsw: ORT's docs say to keep 7 bits there.
    vnni = any(_core.cpu_info()["features"][name] for name in ("avx512_vnni", "avx_vnni"))
    quantize_dynamic(
        str(folder / "ort" / "fp32.onnx"),
        str(folder / "ort" / "int8.onnx"),
        per_channel=True,
        reduce_range=not vnni,
        weight_type=QuantType.QInt8,
        # The fused operators have no shape inference; what they put out is float32.
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": 1},
    )


def ctranslate2(folder: Path) -> None:
    """`ct2/`: the encoder with int8 weights."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder / "bert")).convert(
        str(folder / "ct2"), quantization="int8", force=True
    )


def openvino_fp32(folder: Path) -> None:
    """`openvino/fp32.xml`."""
    import openvino as ov

    (folder / "openvino").mkdir(exist_ok=True)
    model = ov.convert_model(str(folder / "onnx" / "model.onnx"))
    ov.save_model(model, str(folder / "openvino" / "fp32.xml"), compress_to_fp16=False)


def openvino_int8(folder: Path) -> None:
    """`openvino/int8.xml`: NNCF's post-training quantisation for transformers."""
    import nncf
    import openvino as ov

    model = ov.Core().read_model(str(folder / "openvino" / "fp32.xml"))
    quantised = nncf.quantize(
        model,
        nncf.Dataset(list(_calibration(folder))),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=CALIBRATION_TEXTS,
    )
    ov.save_model(quantised, str(folder / "openvino" / "int8.xml"), compress_to_fp16=False)


def _calibration(folder: Path) -> Iterator[dict[str, Any]]:
    import numpy as np
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.no_padding()
    for text in goemotions("train", CALIBRATION_TEXTS):
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        yield {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }


def litert_int8(folder: Path) -> None:
    """`litert/int8.tflite`: one signature a shape, weights int8, rows quantised as they come."""
    import litert_torch
    import torch
    from ai_edge_quantizer import quantizer, recipe

    from .checkpoint import load_classifier

    model = _logits_of(load_classifier(folder, "eager"))
    shapes = [(1, n) for n in LITERT_LENGTHS]
    shapes += [(batch, n) for batch, lengths in LITERT_BATCHES.items() for n in lengths]
    converter: Any = litert_torch
    for batch, length in shapes:
        # Three tensors: torch.export takes one given twice for one input.
        example = tuple(torch.ones((batch, length), dtype=torch.int32) for _ in range(3))
        converter = converter.signature(f"b{batch}_t{length}", model, example)
    out = folder / "litert"
    out.mkdir(exist_ok=True)
    whole = out / "fp32.tflite"
    converter.convert().export(str(whole))
    work = quantizer.Quantizer(str(whole), recipe.dynamic_wi8_afp32())
    work.quantize().export_model(str(out / "int8.tflite"), overwrite=True)
    whole.unlink()


def affectrt_fp32(folder: Path) -> None:
    """`affectrt/fp32.affect`: the same weights on affectrt's own engine, unquantised."""
    from affectrt.export import export_checkpoint

    (folder / "affectrt").mkdir(exist_ok=True)
    export_checkpoint(
        folder / "pooled", folder / "affectrt" / "fp32.affect", precision="fp32", overwrite=True
    )


KINDS = {
    "onnx_fp32": onnx_fp32,
    "optimum_int8": optimum_int8,
    "ort_fused": ort_fused,
    "ort_int8": ort_int8,
    "ctranslate2": ctranslate2,
    "openvino_fp32": openvino_fp32,
    "openvino_int8": openvino_int8,
    "litert_int8": litert_int8,
    "affectrt_fp32": affectrt_fp32,
}
NEEDS = {
    "optimum_int8": ("onnx_fp32",),
    "ort_fused": ("onnx_fp32",),
    "ort_int8": ("onnx_fp32", "ort_fused"),
    "openvino_fp32": ("onnx_fp32",),
    "openvino_int8": ("onnx_fp32", "openvino_fp32"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make one peer's files.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    KINDS[arguments.kind](arguments.folder)


if __name__ == "__main__":
    main()

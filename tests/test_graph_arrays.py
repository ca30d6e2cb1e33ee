"""A model's graph on arrays where they lie, by DLPack: on the CPU here, on a GPU by
`python -m bench.gpu`."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import gc
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

for needed in ("onnx", "onnxruntime", "tokenizers"):
    pytest.importorskip(needed)

from onnx_models import LABELS, graph_bytes, head, write_model

import affectrt
from affectrt import cuda_libraries
from affectrt.errors import BackendError, InputError

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [head(), head("other", "more")]
    graph = graph_bytes({"logits": len(LABELS), "more": len(LABELS)})
    return write_model(tmp_path_factory.mktemp("graph") / "m", graph, heads)


def loaded(folder: Path, **options: Any) -> affectrt.Model:
    return affectrt.load(str(folder), backend="onnxruntime", **options)


def rows_of(model: affectrt.Model, texts: list[str]) -> dict[str, Array]:
    encoded = [e.ids for e in model.tokenizer.encode_batch(texts)]
    ids = np.zeros((len(texts), max(map(len, encoded))), np.int64)
    for row, tokens in enumerate(encoded):
        ids[row, : len(tokens)] = tokens
    return {
        "input_ids": ids,
        "attention_mask": (ids > 0).astype(np.int64),
        "token_type_ids": np.zeros_like(ids),
    }


TEXTS = ["w1 w2 w3", "w4", "w5 w6"]


def test_outputs_are_the_logits_and_outlive_the_model(folder: Path) -> None:
    model = loaded(folder)
    outputs = model.run_graph(rows_of(model, TEXTS))
    assert list(outputs) == ["logits", "more"]
    assert outputs["logits"].shape == (3, len(LABELS))
    assert outputs["logits"].__dlpack_device__() == (1, 0)
    kept = {name: np.from_dlpack(array) for name, array in outputs.items()}
    wanted = {"logits": model.predict_logits(TEXTS), "more": model.predict_logits(TEXTS, "other")}
    del model, outputs
    gc.collect()
    for name, values in wanted.items():
        np.testing.assert_allclose(kept[name], values, atol=1e-6)


def test_float16_and_int32(tmp_path: Path) -> None:
    model = loaded(
        write_model(tmp_path / "m", graph_bytes(input_type="int32", output_type="float16"))
    )
    rows = {name: array.astype(np.int32) for name, array in rows_of(model, TEXTS).items()}
    half = np.from_dlpack(model.run_graph(rows)["logits"])
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, model.predict_logits(TEXTS), atol=1e-3)


class Elsewhere:
    """An array of a GPU, as it says."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 1

    def __dlpack__(self, *, stream: Any = None) -> Any:
        assert stream == 1  # the legacy default stream
        return GpuCapsule.of(np.zeros((3, 5), np.int64))


class GpuCapsule:
    """A NumPy array's capsule whose device is changed to the GPU's."""

    @staticmethod
    def of(array: Array) -> Any:
        import ctypes

        capsule = array.__dlpack__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        place = pointer(capsule, b"dltensor")
        assert place is not None
        (ctypes.c_int32 * 2).from_address(place + 8)[:] = [2, 1]
        return capsule


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"input_ids": None}, "input 'input_ids' is missing; .* wants input_ids"),
        ({"more": np.zeros((3, 5), np.int64)}, "there is no input 'more'"),
        ({"input_ids": np.zeros((3, 5), np.int32)}, r"\(int32 \[3, 5\]\) does not fit"),
        ({"input_ids": np.zeros(5, np.int64)}, r"\(int64 \[5\]\) does not fit"),
        ({"input_ids": np.zeros((3, 10), np.int64)[:, ::2]}, "'input_ids' has gaps"),
        ({"input_ids": np.zeros((3, 5))}, "neither float32, float16, int32 nor int64"),
        ({"input_ids": [[1]]}, "'input_ids' is a list; an array that speaks DLPack"),
        ({"input_ids": Elsewhere()}, r"lies on DLPack device \(2, 1\).*CUDAExecutionProvider"),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, change: dict[str, Any], told: str) -> None:
    model = loaded(folder)
    given = {**rows_of(model, TEXTS), **change}
    with pytest.raises(InputError, match=told):
        model.run_graph({name: array for name, array in given.items() if array is not None})
    with pytest.raises(InputError, match="not a dict of arrays by name"):
        model.run_graph([1])  # type: ignore[arg-type]


def test_failure_of_the_graph_is_told_and_native_has_none(folder: Path) -> None:
    model = loaded(folder)
    rows = rows_of(model, TEXTS)
    with pytest.raises(BackendError, match=r"failed to run model\.onnx"):
        model.run_graph({**rows, "token_type_ids": rows["token_type_ids"][:2]})
    assert len(model.run_graph(rows)) == 2
    with pytest.raises(InputError, match="run_graph is of the backend 'onnxruntime'"):
        affectrt.load().run_graph(rows)


def test_device_of_a_provider(folder: Path) -> None:
    with pytest.raises(InputError, match="a device stands behind a colon"):
        loaded(folder, providers=["CUDAExecutionProvider:one"])
    with pytest.raises(InputError, match="a device stands behind a colon"):
        loaded(folder, providers=["CPUExecutionProvider:0"])
    with pytest.raises(BackendError):  # no such device, or no such provider in this build
        loaded(folder, providers=["CUDAExecutionProvider:999"])


def test_libraries_of_cuda_are_found_newest_first_needed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "cublas/lib/libcublas.so.9",
        "cu13/lib/libcublas.so.13",
        "cu13/lib/libcublasLt.so.13",
        "cudnn/lib/libcudnn.so.9",
        "cu13/lib/libcudart.so.13",
        "cu13/lib/libother.so.1",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    package = types.ModuleType("nvidia")
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    package.__spec__ = spec  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "nvidia", package)
    names = [file.name for file in cuda_libraries.found_libraries()]
    assert names == ["libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcudnn.so.9"]
    cuda_libraries.load_for(["CPUExecutionProvider"])  # loads nothing

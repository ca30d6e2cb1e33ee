"""TensorRT-RTX on the GPU at hand: which engines of a model file it takes, one built there, and its
answers. A part of `python -m bench.gpu --rtx-model FILE.affect`."""

from __future__ import annotations

import argparse
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import affectrt

from .gpu_feature_times import median_ms
from .gpu_features import module, told
from .gpu_graph import accepted, padded_rows, texts_of

Facts = dict[str, Any]


def _logger(trt: Any, complaints: list[str]) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.WARNING:
                complaints.append(message[:300])

    return Log()


def _built_here(trt: Any, image: bytes, logger: Any, rows: tuple[int, int]) -> bytes | None:
    """An engine for the GPU at hand, as `affectrt.export.tensorrt_engines` has them for others."""
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(image):
        return None
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.CURRENT, 0)
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        profile.set_shape(network.get_input(index).name, (1, 1), rows, rows)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    return None if engine is None else bytes(engine)


def _answers(trt: Any, engine: Any, rows: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """Outputs of an engine for arrays on the GPU, bound where they lie."""
    torch = module("torch")
    context = engine.create_execution_context()
    outputs: dict[str, Any] = {}
    for name, array in rows.items():
        context.set_input_shape(name, tuple(array.shape))
        context.set_tensor_address(name, array.data_ptr())
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
            shape = tuple(context.get_tensor_shape(name))
            outputs[name] = torch.empty(shape, dtype=torch.float32, device="cuda")
            context.set_tensor_address(name, outputs[name].data_ptr())
    stream = torch.cuda.current_stream().cuda_stream

    def run() -> None:
        if not context.execute_async_v3(stream):
            raise RuntimeError("execute_async_v3 failed")

    facts["a run"] = told(run)
    if facts["a run"] == "no error":
        facts["ms"] = round(median_ms(run), 3)
    return outputs


def engines(arguments: argparse.Namespace) -> Facts:
    """What TensorRT-RTX says of the engines of `--rtx-model`, and of its graph on this GPU."""
    try:
        trt = module("tensorrt_rtx")
    except ImportError as error:
        return {"left out": f"needs tensorrt-rtx: {error}"}
    if not arguments.rtx_model:
        return {"left out": "needs --rtx-model"}
    torch = module("torch")
    find_engine = module("affectrt.export.tensorrt_engines").find_engine
    read_manifest = module("affectrt.export.bundle").read_manifest
    path = Path(arguments.rtx_model)
    here = ".".join(map(str, torch.cuda.get_device_capability()))
    facts: Facts = {"version": trt.__version__, "compute capability": here}
    facts["compiled ahead for"] = [
        name for name in trt.ComputeCapability.__members__ if name.startswith("SM")
    ]
    facts["find_engine"] = told(lambda: find_engine(path, here, trt.__version__))
    model: Any = affectrt.load(path, backend="onnxruntime")
    given = accepted(model, padded_rows(model, texts_of(arguments)[:8]))
    expected = {k: np.array(np.from_dlpack(v)) for k, v in model.run_graph(given).items()}
    on_gpu = {k: torch.from_numpy(v).cuda() for k, v in given.items()}
    made: dict[str, bytes] = {}
    for listed in read_manifest(path).get("x-engines", ()):
        capability = listed["capability"]
        made[f"engine for {capability}"] = find_engine(path, capability, trt.__version__)
    complaints: list[str] = []
    logger = _logger(trt, complaints)
    start = time.perf_counter()
    shape = given["input_ids"].shape
    with zipfile.ZipFile(path) as archive:
        built = _built_here(trt, archive.read("model.onnx"), logger, shape)
    facts["built here"] = {
        "bytes": len(built) if built else None,
        "seconds": round(time.perf_counter() - start, 1),
        "said": complaints[:6],
    }
    print(facts, flush=True)
    if built:
        made["engine built here"] = built
    runtime = trt.Runtime(logger)
    ran = False
    for name, image in made.items():
        complaints.clear()
        engine = runtime.deserialize_cuda_engine(image)
        report: Facts = {"taken": engine is not None}
        if engine is not None:
            outputs = _answers(trt, engine, on_gpu, report)
            if report["a run"] == "no error":
                ran = True
                report["max difference from the CPU's"] = max(
                    float(np.abs(outputs[k].cpu().numpy() - expected[k]).max()) for k in expected
                )
        facts[name] = report | {"said": complaints[:6]}
        print(name, facts[name], flush=True)  # stands in the result if the next one is a crash
    # A GPU that is in no list of TensorRT-RTX must be told so by find_engine.
    listed_here = f"SM{here.replace('.', '')}" in facts["compiled ahead for"]
    facts["passed"] = ran if listed_here else facts["find_engine"].startswith("UnsupportedError")
    return facts

"""TensorRT-RTX engines of a model file's ONNX graph, built ahead of time on any machine.

`tensorrt-rtx` (PyPI; ``pip install "affectrt[tensorrt]"``) compiles for the compute capabilities
that it is told, without a GPU. Engines lie in the model file under ``engines/``, one for each
capability, and can be read by the version that wrote them alone: ``x-engines`` of the manifest says
which that is, and `find_engine` refuses what does not fit, with the reason.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from affectrt.errors import ExportError, InputError, UnsupportedError

from .bundle import read_manifest
from .checkpoint import LoadedCheckpoint
from .onnx_export import input_names

KEY = "x-engines"
# Consumer GPUs from Ampere to Blackwell. (Turing, 7.5, takes a graph of its own; 9.0 is not done by
# TensorRT-RTX at all.)
CAPABILITIES = ("8.6", "8.9", "12.0")
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Engine:
    """One compiled engine: its entry, what it runs on, rows and tokens that it was tuned for."""

    entry: str
    library: str
    version: str
    capability: str
    precision: str
    batch: tuple[int, int, int]  # least, best, most rows
    tokens: tuple[int, int, int]


def build_engines(
    image: bytes,
    checkpoint: LoadedCheckpoint,
    capabilities: Sequence[str] = CAPABILITIES,
    *,
    precision: str = "fp16",
    batch: tuple[int, int, int] = (1, 8, 32),
    best_tokens: int = 64,
) -> dict[Engine, bytes]:
    """Compile a graph for each compute capability.

    Args:
        image: float32, as `export_onnx` gives it, or for int8 of `quantize_static`, symmetric;
            integer products of `quantize_onnx` are not taken.
        capabilities: as NVIDIA numbers them, ``"8.9"``.
        precision: ``"fp16"``, with inputs and outputs as they are, ``"fp32"``, or ``"int8"``.
        batch: least, best and most rows of one run.
        best_tokens: what rows are tuned for; least is 1, most what the model takes.

    Raises:
        UnsupportedError: tensorrt-rtx is not installed, or does not do a capability.
        ExportError: it cannot compile the graph; the message has its first complaint.
    """
    trt = _library()
    if precision not in PRECISIONS:
        raise ExportError(f"engines: precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    targets = {name: _target(trt, name) for name in capabilities}
    if precision == "fp16":
        image = _as_float16(image)
    most = checkpoint.max_tokens
    tokens = (1, min(best_tokens, most), most)
    engines: dict[Engine, bytes] = {}
    for name, target in targets.items():
        content = _compile(trt, image, input_names(checkpoint), target, batch, tokens)
        entry = f"engines/tensorrt-rtx-{trt.__version__}-sm{name.replace('.', '')}.engine"
        about = Engine(entry, "tensorrt-rtx", trt.__version__, name, precision, batch, tokens)
        engines[about] = content
    return engines


def add_to_manifest(manifest: dict[str, Any], engines: Sequence[Engine]) -> None:
    """List engines in a manifest."""
    manifest[KEY] = [asdict(engine) for engine in engines]


def find_engine(model: Path | str, capability: str, version: str) -> bytes:
    """The engine of a model file for a GPU and a version of TensorRT-RTX.

    Raises:
        UnsupportedError: there is none; the message says for what there are some.
        InputError: `model` is a directory.
    """
    path = Path(model)
    if path.is_dir():
        raise InputError(f"{path}: give the .affect file")
    listed = [e for e in read_manifest(path).get(KEY) or () if isinstance(e, dict)]
    fitting = [e for e in listed if e.get("capability") == capability]
    exact = next((e for e in fitting if e.get("version") == version), None)
    if exact is not None:
        with zipfile.ZipFile(path) as archive:
            return archive.read(str(exact["entry"]))
    if not listed:
        raise UnsupportedError(f"{path}: has no engines; export it with --tensorrt")
    if fitting:
        there = ", ".join(sorted(str(e.get("version")) for e in fitting))
        raise UnsupportedError(
            f"{path}: its engine for compute capability {capability} is of TensorRT-RTX {there}, "
            f"which {version} cannot read; export it anew with that version"
        )
    there = ", ".join(sorted({str(e.get("capability")) for e in listed}))
    raise UnsupportedError(
        f"{path}: has engines for compute capabilities {there}, and this GPU has {capability}"
    )


def _library() -> Any:
    try:
        import tensorrt_rtx
    except ImportError as error:
        raise UnsupportedError(
            f"tensorrt-rtx cannot be imported ({error}); get it with: "
            'pip install "affectrt[tensorrt]"'
        ) from None
    return tensorrt_rtx


def _target(trt: Any, capability: str) -> Any:
    known = trt.ComputeCapability.__members__
    name = f"SM{capability.replace('.', '')}"
    if name not in known:
        done = ", ".join(f"{k[2:-1]}.{k[-1]}" for k in known if k.startswith("SM"))
        raise UnsupportedError(
            f"TensorRT-RTX {trt.__version__} does not compile for compute capability {capability}, "
            f"only for {done}; there the CUDA provider of onnxruntime runs model.onnx"
        )
    return known[name]


def _as_float16(image: bytes) -> bytes:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = convert_float_to_float16(
        onnx.load_from_string(image), keep_io_types=True, disable_shape_infer=False
    )
    return bytes(model.SerializeToString(deterministic=True))


def _compile(
    trt: Any,
    image: bytes,
    inputs: Sequence[str],
    target: Any,
    batch: tuple[int, int, int],
    tokens: tuple[int, int, int],
) -> bytes:
    complaints: list[str] = []

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                complaints.append(message)

    logger = Log()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(image):
        complaints += [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise ExportError(f"TensorRT-RTX cannot read the graph: {_first(complaints)}")
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(target, 0)
    profile = builder.create_optimization_profile()
    for name in inputs:
        shapes = list(zip(batch, tokens, strict=True))
        profile.set_shape(name, *shapes)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"TensorRT-RTX cannot compile the graph: {_first(complaints)}")
    return bytes(engine)


def _first(complaints: Sequence[str]) -> str:
    return complaints[0].splitlines()[0][:300] if complaints else "it does not say why"

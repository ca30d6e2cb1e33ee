"""Checkpoint -> ONNX float32 through torch's dynamo exporter, cleaned and checked against torch.

The graph takes ``input_ids``, ``attention_mask`` and, where the family is fed them,
``token_type_ids``, each ``int64 [batch, tokens]`` with both axes free, and gives one
``float32 [batch, labels]`` output per head, or ``[batch, tokens, labels]`` where the head reads
tokens. That of a pooled checkpoint has one output more, `EMBEDDING`, with the pooled vectors.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from onnx_ir.passes import common as ir_passes
from torch import Tensor, nn

from affectrt.errors import ExportError, UnsupportedError
from affectrt.export.checkpoint import TOKEN_TASKS, LoadedCheckpoint, PooledEncoder
from affectrt.export.decoder import causal_mask

# Opset 20 has Gelu as one node, and every ONNX Runtime that affectrt runs with (1.22) knows it.
OPSET = 20
# A serialised protobuf message cannot pass 2 GiB; the margin covers what is not weights.
MAX_ONNX_BYTES = 2**31 - 2**24
# Bound on the largest |logit difference| to torch, relative to the largest |logit| where that
# passes 1: 24 layers of float32 in another summation order stay an order of magnitude below.
FP32_TOLERANCE = 2e-4

EMBEDDING = "pooled_vectors"  # torch names values of its own "embedding"
Feeds = dict[str, npt.NDArray[np.int64]]
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class _Traced(nn.Module):
    """The checkpoint's network with a tuple of logits, in the order of its heads, and the pooled
    vectors where it has such."""

    def __init__(self, checkpoint: LoadedCheckpoint) -> None:
        super().__init__()
        self.model: Any = checkpoint.model
        self.outputs = tuple(h.output for h in checkpoint.heads)
        self.names = (*self.outputs, *embedding_names(checkpoint))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        if len(self.names) == len(self.outputs):
            logits = self.model(input_ids, attention_mask, token_type_ids)
            return tuple(logits[output] for output in self.outputs)
        read, pooled = self.model.encode(input_ids, attention_mask, token_type_ids)
        logits = self.model.logits(read)
        return (*(logits[output] for output in self.outputs), pooled)


def embedding_names(checkpoint: LoadedCheckpoint) -> tuple[str, ...]:
    """The output with the pooled vectors, where the graph has one."""
    pooled = isinstance(checkpoint.model, PooledEncoder)
    return (EMBEDDING,) if pooled or getattr(checkpoint.model, "gives_embedding", False) else ()


def input_names(checkpoint: LoadedCheckpoint) -> tuple[str, ...]:
    """Names of the graph's inputs, in order."""
    names = ("input_ids", "attention_mask")
    return (*names, "token_type_ids") if checkpoint.uses_token_types else names


def export_onnx(checkpoint: LoadedCheckpoint) -> ir.Model:
    """Trace a checkpoint into an ONNX model (float32, opset 20) and prove it on padded batches.

    Raises:
        ExportError: torch cannot trace the network, or the graph's logits differ from torch's.
        UnsupportedError: the weights don't fit an ONNX file without external data (2 GB).
    """
    example = probe_feeds(checkpoint)[0]
    traced = _Traced(checkpoint)
    what = f"{checkpoint.path}: this {checkpoint.family} model"
    feeds = {name: example[name] for name in input_names(checkpoint)}
    model = trace(traced, feeds, (0, 1), traced.names, what)
    graph = model.graph
    for value in graph.inputs:
        value.shape = ir.Shape(["batch", "tokens"])
    for value, head in zip(graph.outputs, checkpoint.heads, strict=False):
        tokens = ("tokens",) if head.task in TOKEN_TASKS else ()
        value.shape = ir.Shape(["batch", *tokens, len(head.labels)])
    for value in graph.outputs[len(checkpoint.heads) :]:
        value.shape = ir.Shape(["batch", int(network_config(checkpoint).hidden_size)])
    return model


def trace(
    module: nn.Module,
    feeds: Mapping[str, npt.NDArray[Any]],
    free: Sequence[int],
    outputs: Sequence[str],
    what: str,
) -> ir.Model:
    """Trace a network into an ONNX model (float32, opset 20) with names as in the checkpoint.

    Args:
        module: its attribute `model` is the checkpoint's network, a `classifier` in it that of
            transformers; it takes `feeds` in their order and gives a tuple of `outputs`.
        feeds: an example.
        free: the axes of the feeds that may have any size; those of the outputs are to be said.
        what: the file and the model, for errors.

    Raises:
        ExportError: torch cannot trace the network.
    """
    axes = {axis: torch.export.Dim.DYNAMIC for axis in free}
    module.eval()
    try:
        with quiet(), _plain_attention(module), torch.no_grad():
            program = torch.onnx.export(
                module,
                tuple(torch.from_numpy(feed) for feed in feeds.values()),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes={name: axes for name in feeds},
                input_names=list(feeds),
                output_names=list(outputs),
                verbose=False,
            )
    except Exception as error:  # the exporter has its own tree of exceptions, torch another
        cause: BaseException = error
        while cause.__cause__ is not None:  # the exporter wraps what happened in advice
            cause = cause.__cause__
        reason = (str(cause).strip() or repr(cause)).splitlines()[0]
        raise ExportError(
            f"{what} cannot be traced to ONNX by torch {torch.__version__}: "
            f"{type(cause).__name__}: {reason}"
        ) from error
    assert program is not None  # it is None only where export() is given a file to write
    model: ir.Model = program.model
    _tidy(model)
    return model


def check_against_torch(model: bytes, checkpoint: LoadedCheckpoint) -> float:
    """The largest |logit difference| between a float32 graph and torch on the probe batches.

    Raises:
        ExportError: it is beyond the tolerance, for instance because padding leaks.
    """
    session = cpu_session(model)
    worst = 0.0
    for feeds in probe_feeds(checkpoint):
        batch, tokens = feeds["input_ids"].shape
        where = f"a batch of {batch} rows and {tokens} tokens"
        wanted, got = torch_logits(checkpoint, feeds), run_session(session, feeds)
        worst = max(worst, check_logits(got, wanted, str(checkpoint.path), where))
    return worst


def check_logits(
    got: Mapping[str, Any], wanted: Mapping[str, Any], model: str, where: str
) -> float:
    """The largest |difference| of a graph's outputs to torch's, `wanted`.

    Raises:
        ExportError: it is beyond the tolerance; `model` and `where` say of what.
    """
    worst = 0.0
    for output, reference in wanted.items():
        bound = FP32_TOLERANCE * max(1.0, float(np.abs(reference).max()))
        difference = float(np.abs(got[output] - reference).max())
        if not difference <= bound:
            raise ExportError(
                f"{model}: output {output!r} of the ONNX graph differs from torch by "
                f"{difference:.3g} (bound {bound:.3g}) on {where}: the graph is wrong, please "
                "report it with the versions of torch and transformers"
            )
        worst = max(worst, difference)
    return worst


def to_bytes(model: ir.Model) -> bytes:
    """Serialise and check a model.

    Raises:
        UnsupportedError: it would pass 2 GB, where ONNX needs external data.
        ExportError: onnx.checker refuses it.
    """
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value)
    if size > MAX_ONNX_BYTES:
        raise UnsupportedError(
            f"the ONNX graph would hold {size / 1e9:.2f} GB of weights and one file can hold 2 GB: "
            "export with precision 'int8'"
        )
    proto = ir.to_proto(model)
    try:
        onnx.checker.check_model(proto, full_check=False)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"onnx.checker refuses the graph: {error}") from error
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def cpu_session(model: bytes, threads: int = 0) -> Any:
    """An onnxruntime session on the CPU with all graph optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, feeds: Mapping[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs by name; inputs that the graph does not have are left out."""
    wanted = {i.name for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    values = session.run(names, {k: v for k, v in feeds.items() if k in wanted})
    return dict(zip(names, values, strict=True))


def torch_logits(checkpoint: LoadedCheckpoint, feeds: Feeds) -> dict[str, npt.NDArray[np.float32]]:
    """Logits of the source network by output name, each ``float32 [batch, labels]``, or
    ``[batch, tokens, labels]`` where the head reads tokens."""
    tensors = {name: torch.from_numpy(feeds[name]) for name in input_names(checkpoint)}
    with torch.inference_mode():
        logits = checkpoint.model(
            tensors["input_ids"], tensors["attention_mask"], tensors.get("token_type_ids")
        )
    return {h.output: logits[h.output].float().numpy() for h in checkpoint.heads}


def probe_feeds(checkpoint: LoadedCheckpoint) -> list[Feeds]:
    """Padded batches of random ids: mixed lengths, one row, one token, and the longest row.

    The first has several rows of several tokens, so that tracing cannot mistake a free axis for a
    constant 1; the others are the shapes that a specialised graph would fail on.
    """
    longest = checkpoint.max_tokens
    shapes: list[Sequence[int]] = [(11, 7, 3), (1,), (2,), (1, 1), (9, 1, 5, 8, 2), (64, 33)]
    shapes.append((min(longest, 512),))
    random = np.random.default_rng(20)
    return [
        padded_batch(checkpoint, [min(n, longest) for n in lengths], random) for lengths in shapes
    ]


def padded_batch(
    checkpoint: LoadedCheckpoint, lengths: Sequence[int], random: np.random.Generator
) -> Feeds:
    """Random ids (never the padding id) with `lengths`, padded to the longest."""
    vocabulary = int(network_config(checkpoint).vocab_size)
    pad = pad_id(checkpoint)
    ids = random.integers(0, vocabulary, (len(lengths), max(lengths)), dtype=np.int64)
    ids[ids == pad] = (pad + 1) % vocabulary
    mask = (np.arange(max(lengths)) < np.asarray(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, ids, pad)
    types = np.zeros_like(ids)
    if int(getattr(network_config(checkpoint), "type_vocab_size", 0)) > 1:
        types = np.where((np.arange(max(lengths)) >= 4) & (mask == 1), 1, 0)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types.astype(np.int64)}


def pad_id(checkpoint: LoadedCheckpoint) -> int:
    """The id that fills rows up; RoBERTa-like models count their positions by it."""
    return int(network_config(checkpoint).pad_token_id or 0)


def network_config(checkpoint: LoadedCheckpoint) -> Any:
    """transformers' configuration, with the defaults for what config.json leaves out."""
    return next(m.config for m in checkpoint.model.modules() if hasattr(m, "config"))


def _tidy(model: ir.Model) -> None:
    """Names as in the checkpoint, nothing unused, no trace of this machine."""
    graph = model.graph
    _fold_transposes(graph)
    for node in graph:
        scope = _scope(node)
        if scope:
            node.name = f"{scope}/{node.op_type}_{node.outputs[0].name}"
        for position, value in enumerate(node.inputs):
            # The exporter folds a Linear's transposition into a constant without a speaking name.
            if (
                node.op_type == "MatMul"
                and position == 1
                and value is not None
                and value.is_initializer()
                and scope
                and f"{scope}.weight_t" not in graph.initializers
            ):
                value.name = f"{scope}.weight_t"
    for name, value in list(graph.initializers.items()):
        cleaned = _strip_wrapper(name)
        if cleaned != name and cleaned not in graph.initializers:
            value.name = cleaned
    ir_passes.RemoveUnusedNodesPass()(model)
    deduplicate(model)
    scrub(model)


def deduplicate(model: ir.Model) -> None:
    """One initialiser for all that hold the same bytes (tied embeddings, shared projections)."""
    seen: dict[tuple[Any, ...], ir.Value] = {}
    for name, value in list(model.graph.initializers.items()):
        if value.const_value is None or value.is_graph_output():
            continue
        tensor = value.const_value
        digest = hashlib.sha256(np.ascontiguousarray(tensor.numpy()).tobytes()).digest()
        first = seen.setdefault((tensor.dtype, tuple(tensor.shape), digest), value)
        if first is not value:
            ir.convenience.replace_all_uses_with(value, first)
            del model.graph.initializers[name]


def scrub(model: ir.Model) -> None:
    """Drop doc strings and metadata: the exporter writes stack traces with local paths there."""
    ir_passes.ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for node in model.graph:
        for output in node.outputs:
            output.metadata_props.clear()
    model.producer_name = "affectrt"
    model.producer_version = None
    model.graph.name = "affectrt"


def _fold_transposes(graph: ir.Graph) -> None:
    """Constant matrices are stored the way they are read. (The exporter does this itself for those
    that have one reader only.)"""
    for node in list(graph):
        matrix = node.inputs[0] if node.op_type == "Transpose" else None
        if matrix is None or not matrix.is_initializer() or matrix.const_value is None:
            continue
        array = np.ascontiguousarray(
            np.transpose(matrix.const_value.numpy(), node.attributes.get_ints("perm"))
        )
        folded = node.outputs[0]
        tensor = ir.tensor(array, name=folded.name)
        value = ir.Value(
            name=folded.name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        ir.convenience.replace_all_uses_with(folded, value)
        graph.remove(node, safe=True)
        graph.register_initializer(value)


def _scope(node: ir.Node) -> str:
    """The module that a node comes from, as its weights are named in the checkpoint."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
    except (SyntaxError, ValueError):
        return ""
    return _strip_wrapper(str(scopes[-2]) + ".").rstrip(".") if len(scopes) > 1 else ""


def _strip_wrapper(name: str) -> str:
    """`model.` is ours, `classifier.` comes from the adapter around Hugging Face classifiers."""
    own = name.removeprefix("model.")
    return own.removeprefix("classifier.") if own != name else name


@contextmanager
def _plain_attention(module: nn.Module) -> Iterator[None]:
    """Trace attention as matmul, add, softmax, matmul, with a mask of shape [batch, 1, 1, tokens].

    torch's scaled_dot_product_attention exports with NaN guards and half as many nodes again, and
    transformers builds its mask by indexing over [batch, 1, tokens, tokens]. Newer versions of
    transformers look the mask function up in the model's own file, where it is replaced for the
    time of the trace; where there is none (older ones, DeBERTa) the model's own mask is traced.
    """
    configs: dict[int, Any] = {
        id(m.config): m.config for m in module.modules() if hasattr(m, "config")
    }
    files = {sys.modules[type(m).__module__] for m in module.modules()}
    attention = {i: getattr(c, "_attn_implementation", None) for i, c in configs.items()}
    masks = [
        (f, name, getattr(f, name)) for f in files for name in _PLAIN_MASKS if hasattr(f, name)
    ]
    try:
        for config in configs.values():
            config._attn_implementation = "eager"
        for file, name, _ in masks:
            vars(file)[name] = _PLAIN_MASKS[name]
        yield
    finally:
        for i, config in configs.items():
            config._attn_implementation = attention[i]
        for file, name, function in masks:
            vars(file)[name] = function


def _additive_mask(*_: Any, attention_mask: Tensor | None, **__: Any) -> Tensor | None:
    if attention_mask is None:  # of a clip that is alone
        return None
    blocked = 1.0 - attention_mask[:, None, None, :].to(torch.float32)
    return blocked * torch.finfo(torch.float32).min


def _additive_local_mask(config: Any, attention_mask: Tensor, **_: Any) -> Tensor:
    """[batch, 1, tokens, tokens]: tokens further away than the window are blocked as well."""
    places = torch.arange(attention_mask.shape[1])
    far = (places[None, :] - places[:, None]).abs() > config.sliding_window
    blocked: Tensor = (attention_mask[:, None, None, :] == 0) | far[None, None]
    return blocked.to(torch.float32) * torch.finfo(torch.float32).min


def _additive_causal_mask(*_: Any, attention_mask: Tensor, **__: Any) -> Tensor:
    return causal_mask(attention_mask)


def _additive_local_causal_mask(config: Any, attention_mask: Tensor, **_: Any) -> Tensor:
    return causal_mask(attention_mask, config.sliding_window)


_PLAIN_MASKS = {
    "create_causal_mask": _additive_causal_mask,
    "create_sliding_window_causal_mask": _additive_local_causal_mask,
    "create_bidirectional_mask": _additive_mask,
    "create_bidirectional_sliding_window_mask": _additive_local_mask,
}


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter's remarks on its own insides are of no use to whoever exports; whether the graph
    is right is measured."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

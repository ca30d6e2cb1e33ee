"""What a loaded model is, whatever it reads: its facts and its heads by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from .dlpack import DeviceArray, OnDevice, capsule_of
from .errors import InputError
from .info import ModelInfo, model_info

if TYPE_CHECKING:
    from .loading import LoadOptions


class LoadedModel:
    """What `Model` and `SpeechModel` have in common."""

    def __init__(
        self, core: _core.Model | _core.SpeechModel, options: LoadOptions | None = None
    ) -> None:
        self._graph = core
        self._options = options
        self._info = model_info(core)

    @property
    def info(self) -> ModelInfo:
        """Name, licence, data, metrics, parity, backend and limits of this model."""
        return self._info

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of the heads; the first is the primary one."""
        return tuple(head.name for head in self._info.heads)

    def labels(self, head: str | None = None) -> tuple[str, ...]:
        """The labels of `head` (the primary one if not given), in the order of the score columns.

        Raises `InputError` when there is no such head.
        """
        return self._info.heads[self._head_index(head)].labels

    def run_graph(self, inputs: Mapping[str, OnDevice]) -> dict[str, DeviceArray]:
        """All outputs of the file's ONNX graph for arrays that lie where the model computes.

        For callers whose data is on a GPU already: arrays come and go by DLPack and nothing is
        copied between devices or to the CPU. Of the backend "onnxruntime" alone, on the device of
        its first provider; the CPU's memory without one:

            model = affectrt.load(path, providers=["CUDAExecutionProvider"])  # or "...Provider:1"
            outputs = model.run_graph({"input_ids": ids, "attention_mask": mask})  # on the GPU
            logits = torch.from_dlpack(outputs["logits"])

        Names, shapes and types are those of the graph (`docs/export.md`): of text, int64
        `[rows, tokens]`. Outputs are logits as they come, before temperature, thresholds and
        decisions, and are complete when this returns.

        Raises `InputError`, with what the graph wants, for inputs that are missing, unknown, of
        another type or shape, with gaps, or that lie elsewhere, and for other backends;
        `BackendError` when inference fails.
        """
        if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
            raise InputError("inputs are not a dict of arrays by name")
        return self._graph.run_graph(
            {name: capsule_of(array, f"input {name!r} is") for name, array in inputs.items()}
        )

    def _primary(self) -> int:
        """The head that answers where none is named."""
        return 0

    def _limits(self) -> str:
        """What it takes at once, in words."""
        raise NotImplementedError

    def _head_index(self, head: str | None) -> int:
        if head is None:
            return self._primary()
        if not isinstance(head, str):
            raise InputError(f"head is {type(head).__name__}; give one of: {self._head_list()}")
        for index, info in enumerate(self._info.heads):
            if info.name == head:
                return index
        raise InputError(f"head {head!r} is not in this model; it has: {self._head_list()}")

    def _head_indices(self, heads: Sequence[str]) -> list[int]:
        if isinstance(heads, str) or not isinstance(heads, Sequence):
            raise InputError(f"heads is {type(heads).__name__}; give a list of names of heads")
        if not heads:
            raise InputError(f"heads is empty; give some of: {self._head_list()}")
        indices = [self._head_index(head) for head in heads]
        if len(set(indices)) < len(indices):
            raise InputError(f"heads names one twice: {', '.join(heads)}")
        return indices

    def _head_list(self) -> str:
        return ", ".join(self.heads)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as its file and options: the other process maps the same file again."""
        from .loading import LoadOptions, load_path

        return load_path, (self._info.path, self._options or LoadOptions())

    def __repr__(self) -> str:
        info = self._info
        heads = ", ".join(f"{h.name} ({h.task}, {len(h.labels)} labels)" for h in info.heads)
        kind = " ".join(part for part in (info.family, info.precision) if part)
        return (
            f"<affectrt.{type(self).__name__} {info.name!r}: {kind} on {info.backend}; {heads}; "
            f"{self._limits()}>"
        )

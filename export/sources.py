"""What export is given, as a checkpoint directory that can be read: a checkpoint as it is, one
whose tokenizer has yet to be converted, a LoRA adapter merged into its base, an encoder with a
probe.

Everything is a view in a folder that lives as long as it is read; the source is never written to.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from affectrt.errors import Error, ExportError, NotFoundError

from .lora import find_base, is_adapter, merge
from .probes import attach_heads, read_probe

# Files that transformers can make a tokenizer.json of.
_SLOW_TOKENIZERS = (
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
# What other tools leave behind, by a file of theirs, and what to do.
_FOREIGN = {
    "model.bin": "a CTranslate2 conversion, whose weights cannot be read back",
    "saved_model.pb": "a TensorFlow model",
    "tf_model.h5": "a TensorFlow checkpoint; load it with from_pretrained(..., from_tf=True)",
    "flax_model.msgpack": "a Flax checkpoint; load it with from_pretrained(..., from_flax=True)",
    "openvino_model.xml": "an OpenVINO conversion, whose weights cannot be read back",
}


@dataclass(frozen=True)
class Source:
    """What to export.

    Args:
        path: a checkpoint's directory, a LoRA adapter's, or a file ``.onnx``.
        base: of an adapter, where the directory that it names is not here.
        probe: a file of a linear head to put on an encoder (`affectrt.export.probes`).
        layer: the layer that the probe reads; None: the last.
        pooling: of the tokens, before the probe.
        labels: names of the probe's labels, of those of a bare ``.onnx``, or of a merged adapter.
        task: of the probe, or of a bare ``.onnx``.
        tokenizer: of a bare ``.onnx``: a ``tokenizer.json`` or a directory with one.
        features: of a bare ``.onnx`` of sound, what it hears: ``"KIND,KEY=VALUE,..."`` with the
            kinds and keys of FORMAT.md, ``"whisper_log_mel"`` or ``"waveform,normalise=true"``;
            bands and frames are told by its shape.
    """

    path: Path
    base: Path | None = None
    probe: Path | None = None
    layer: int | None = None
    pooling: str = "mean"
    labels: tuple[str, ...] | None = None
    task: str | None = None
    tokenizer: Path | None = None
    features: str | None = None

    def flags(self) -> list[str]:
        """The options of the command line that say the same; names without folders."""
        words: list[str] = []
        for option, value in (("--base", self.base), ("--probe", self.probe),
                              ("--tokenizer", self.tokenizer)):  # fmt: skip
            words += [option, value.resolve().name] if value is not None else []
        words += ["--layer", str(self.layer)] if self.layer is not None else []
        words += ["--pooling", self.pooling] if self.pooling != "mean" else []
        words += ["--labels", ",".join(self.labels)] if self.labels is not None else []
        words += ["--features", self.features] if self.features is not None else []
        return words + (["--task", self.task] if self.task is not None else [])


@contextlib.contextmanager
def readable(source: Source) -> Iterator[Path]:
    """A directory with ``config.json``, weights and ``tokenizer.json``.

    Raises:
        NotFoundError: a file is missing.
        ExportError: what is there cannot be made one; the message says why and what to do.
    """
    path = source.path
    refuse_foreign(path)
    with tempfile.TemporaryDirectory(prefix="affectrt-source-") as scratch:
        folder = path
        if is_adapter(path):
            base = find_base(path, source.base)
            folder = merge(path, base, Path(scratch) / path.resolve().name)
            if source.labels is not None:
                _name_labels(folder, source.labels)
        elif source.base is not None:
            raise ExportError(f"{path}: is no adapter (it has no adapter_config.json), so that "
                              "--base means nothing")  # fmt: skip
        if source.probe is not None:
            head = read_probe(source.probe, labels=source.labels, task=source.task)
            folder = attach_heads(
                folder, [head], Path(scratch) / "probe" / path.resolve().name,
                pooling=source.pooling, layer=source.layer,
            )  # fmt: skip
        slow = [n for n in _SLOW_TOKENIZERS if (folder / n).is_file()]
        if not (folder / "tokenizer.json").exists() and slow:
            folder = _with_tokenizer(folder, slow, Path(scratch) / "tokenizer")
        if folder is path:
            yield path
            return
        try:
            yield folder
        except NotFoundError as error:
            raise NotFoundError(str(error).replace(str(folder), str(path))) from None
        except Error as error:
            raise type(error)(str(error).replace(str(folder), str(path))) from error


def refuse_foreign(path: Path) -> None:
    """Raise ExportError for what another tool made of a checkpoint."""
    if not path.is_dir():
        return
    own = any(path.glob("*.safetensors")) or any(path.glob("pytorch_model*.bin"))
    found = next((name for name in _FOREIGN if (path / name).is_file()), None)
    found = found or next((p.name for p in sorted(path.glob("*.gguf"))), None)
    if found is None or own or is_adapter(path):
        return
    what = _FOREIGN.get(found, "a GGUF conversion, whose weights are quantised already")
    advice = "" if "load it" in what else "; export the Hugging Face checkpoint that it was made of"
    advice = advice or " and save it with save_pretrained()"
    raise ExportError(f"{path}: {found} says that this is {what}{advice}")


def _name_labels(folder: Path, labels: Sequence[str]) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text("utf-8"))
    config["id2label"] = {str(i): label for i, label in enumerate(labels)}
    config["label2id"] = {label: i for i, label in enumerate(labels)}
    config.pop("num_labels", None)
    file.unlink()  # it may be a link to the base's
    file.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _with_tokenizer(folder: Path, slow: list[str], scratch: Path) -> Path:
    """A view of a directory that has the tokenizer.json that transformers makes."""
    view = scratch / folder.resolve().name
    view.mkdir(parents=True)
    for file in folder.iterdir():
        (view / file.name).symlink_to(file.resolve())
    (view / "tokenizer.json").write_text(_converted(folder, slow), encoding="utf-8")
    return view


def _converted(checkpoint: Path, slow: list[str]) -> str:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint, local_files_only=True, trust_remote_code=False
        )
        text: str = tokenizer.backend_tokenizer.to_str()
        json.loads(text)
    except Exception as error:  # transformers raises whatever the file makes it raise
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ExportError(
            f"{checkpoint}: tokenizer.json is missing, and transformers cannot make one of "
            f"{', '.join(slow)}: {reason}"
        ) from None
    return text

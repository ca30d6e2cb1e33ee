"""Fixtures for all tests: shared data where there is some, and small models made in the session."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import command
import pytest
import speech_packs
import tiny_models

import affectrt

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_MODEL = Path(affectrt.__file__).parent / "models" / "text.affect"

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach for the network
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of data packs and weights that may lie beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not here")
    if not (folder / "data" / "text").is_dir():
        pytest.fail("the shared folder is here, but it has no data/text")
    return folder


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The embedded model's file."""
    if not DEFAULT_MODEL.is_file():
        pytest.skip("the embedded model text.affect is not in this checkout")
    return DEFAULT_MODEL


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: networks as small as the tests' only lose by more."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def traced_once() -> Iterator[None]:
    """Tracing is the slow part: a checkpoint's graph is traced once, and copied."""
    import onnx_ir as ir

    from affectrt.export import api

    traced: dict[str, Any] = {}
    real = api.export_onnx

    def once(checkpoint: Any) -> Any:
        key = f"{checkpoint.path}:{checkpoint.source_sha256}"
        if key not in traced:
            traced[key] = ir.to_proto(real(checkpoint))
        return ir.from_proto(traced[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "export_onnx", once)
        yield


@pytest.fixture(scope="session")
def made_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this session keeps the models it makes; parallel workers share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "models"
    folder.mkdir(exist_ok=True)
    return folder


Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made(made_models: Path) -> Made:
    """`made(name, build)`: the folder `name`, built once by `build(folder)` and seen whole."""

    def make(name: str, build: Callable[[Path], object]) -> Path:
        target = made_models / name
        if not target.exists():
            unfinished = made_models / f"{name}.{os.getpid()}.tmp"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what torch and its kin say of themselves
                build(unfinished)
            with contextlib.suppress(OSError):  # another worker was faster
                unfinished.rename(target)
        return target

    return make


@pytest.fixture(scope="session")
def lexicon_model(made: Made) -> Path:
    """A plain export directory: 28 labels, multi-label; knows the words of tiny_models.LEXICON."""
    pytest.importorskip("onnx")
    return made("lexicon", tiny_models.write_lexicon_model)


@pytest.fixture(scope="session")
def two_headed_model(made: Made) -> Path:
    """A directory with affectrt.json: multi-label "emotion", regression "vad"."""
    pytest.importorskip("onnx")
    return made("two_headed", tiny_models.write_two_headed_model)


Checkpoint = Callable[[str, Sequence[str], "str | None"], Path]


@pytest.fixture(scope="session")
def tiny_checkpoint(made: Made) -> Checkpoint:
    """`tiny_checkpoint(kind, labels, problem_type)`: a random Hugging Face checkpoint."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")

    def make(kind: str, labels: Sequence[str], problem_type: str | None) -> Path:
        name = f"{kind}_{len(labels)}_{problem_type or 'unset'}"
        return made(
            name,
            lambda folder: tiny_models.write_checkpoint(folder, kind, labels, problem_type),
        )

    return make


@pytest.fixture(scope="session")
def tiny_bert(tiny_checkpoint: Checkpoint) -> Path:
    """A random BERT classifier with three labels, problem type not set."""
    return tiny_checkpoint("bert", ["calm", "glad", "upset"], None)


@pytest.fixture(scope="session")
def tiny_roberta(tiny_checkpoint: Checkpoint) -> Path:
    """A random RoBERTa classifier with three labels, multi-label."""
    return tiny_checkpoint("roberta", ["calm", "glad", "upset"], "multi_label_classification")


@pytest.fixture(scope="session")
def speech_checkpoint(made: Made) -> Path:
    """A random speech checkpoint with a head of each kind; see speech_packs."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    whisper = made("tiny_whisper", speech_packs.write_whisper)
    return made("tiny_speech", lambda folder: speech_packs.write_speech_checkpoint(folder, whisper))


@pytest.fixture(scope="session")
def speech_files(made: Made, speech_checkpoint: Path) -> Path:
    """A folder with fp32.affect and int8.affect of it."""
    from affectrt.export import export_checkpoint

    def build(folder: Path) -> None:
        folder.mkdir()
        for precision in ("fp32", "int8"):  # random weights make near ties, which int8 flips
            out = folder / f"{precision}.affect"
            bars = precision == "fp32"
            export_checkpoint(speech_checkpoint, out, precision=precision, enforce_bars=bars)

    return made("tiny_speech_files", build)


OnnxExport = Callable[[Path], Path]


@pytest.fixture(scope="session")
def onnx_export(made: Made) -> OnnxExport:
    """`onnx_export(checkpoint)`: what optimum would make of it, as a directory."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")

    def make(checkpoint: Path) -> Path:
        # Checkpoints that differ in their problem type alone have the same weights, and so graph.
        kind, width, _ = checkpoint.name.split("_", 2)
        graph = made(
            f"{kind}_{width}_graph",
            lambda folder: tiny_models.write_onnx_graph(folder, checkpoint),
        )
        return made(
            f"{checkpoint.name}_onnx",
            lambda folder: tiny_models.write_onnx_export(folder, checkpoint, graph),
        )

    return make


@pytest.fixture(scope="session")
def tiny_bert_onnx(tiny_bert: Path, onnx_export: OnnxExport) -> Path:
    return onnx_export(tiny_bert)


@pytest.fixture(scope="session")
def tiny_roberta_onnx(tiny_roberta: Path, onnx_export: OnnxExport) -> Path:
    return onnx_export(tiny_roberta)


@pytest.fixture(scope="session")
def speech_model_file(speech_files: Path) -> Path:
    """The random speech model in float32."""
    return speech_files / "fp32.affect"


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> command.Run:
    """Runs a command in this process: `(exit code, stdout, stderr)`."""
    monkeypatch.setenv("COLUMNS", "100")
    return command.runner(capfd)

"""The native engine: torch's numbers, and the same bits for a text whatever surrounds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import export_models as made_checkpoints  # noqa: E402

from affectrt import _core  # noqa: E402
from affectrt.errors import ModelFileError, UnsupportedError  # noqa: E402
from affectrt.export.bundle import write_bundle  # noqa: E402
from affectrt.export.checkpoint import LoadedCheckpoint, load_checkpoint  # noqa: E402
from affectrt.export.native_weights import (  # noqa: E402
    NATIVE_FAMILIES,
    native_engine_runs,
    write_native_weights,
)

Logits = npt.NDArray[np.float32]
Row = tuple[str, "str | None"]
Made = Callable[[str, Callable[[Path], object]], Path]

# Largest |difference| of a logit from torch's. Every weight is drawn from N(0, .2), several times
# wider than in trained checkpoints, and the logits are of size 1 to 2; what integers lose there is
# far more than what they lose on a trained model (see the parity reports).
TOLERANCE = {"fp32": 2e-5, "int8": 0.25, "int8-accurate": 0.12}
LENGTHS = (1, 2, 3, 9, 17, 30, 58)
WORDS = ["happy", "glad", "furious", "scared", "today", "the", "train", "and", "I", "she", "was"]


def rows_of_all_lengths() -> list[Row]:
    rows: list[Row] = [(" ".join((WORDS * 6)[:n]), None) for n in LENGTHS]
    rows += [(WORDS[0], " ".join(WORDS)), (" ".join(WORDS), "no"), ("naïve 東京 😀 & 3.50!", None)]
    return rows


ROWS = rows_of_all_lengths()


def write_model(
    checkpoint: LoadedCheckpoint, precision: str, out: Path, weights: bytes | None = None
) -> Path:
    """A model file with native weights only, without the parity report that export makes."""
    manifest: dict[str, Any] = {
        "name": out.stem,
        "version": "1.0.0",
        "modality": "text",
        "model": {
            "family": checkpoint.family,
            "precision": precision,
            "weights": "weights.safetensors",
        },
        "input": {"max_tokens": checkpoint.max_tokens},
        "heads": [head.to_manifest() for head in checkpoint.heads],
        "licence": {"weights": "CC0-1.0", "non_commercial": False},
    }
    files: dict[str, bytes | Path] = {
        "config.json": json.dumps(checkpoint.config).encode(),
        "tokenizer.json": checkpoint.tokenizer_json,
        "weights.safetensors": weights or write_native_weights(checkpoint, precision),
    }
    write_bundle(out, manifest, files, overwrite=True)
    return out


def predict(model: _core.Model, rows: list[Row], head: int = 0) -> Logits:
    pairs = [pair for _, pair in rows]
    prediction = model.predict([text for text, _ in rows], pairs, [], None)
    return np.asarray(prediction.heads[head].logits)


def torch_logits(checkpoint: LoadedCheckpoint, model: _core.Model, rows: list[Row]) -> Logits:
    answers = []
    for text, pair in rows:
        encoding = model.tokenizer.encode(
            text, pair, truncation="longest_first", max_tokens=checkpoint.max_tokens
        )
        ids = torch.tensor(np.asarray(encoding.ids, np.int64))[None]
        types = torch.tensor(np.asarray(encoding.type_ids, np.int64))[None]
        with torch.no_grad():
            output = checkpoint.model(
                ids, torch.ones_like(ids), types if checkpoint.uses_token_types else None
            )
        answers.append(next(iter(output.values()))[0].numpy())
    return np.stack(answers)


@pytest.fixture(scope="session")
def checkpoint_of(made: Made) -> Callable[[str], LoadedCheckpoint]:
    """`checkpoint_of(family)`: random weights; "mean" and "cls" are pooled checkpoints."""
    loaded: dict[str, LoadedCheckpoint] = {}

    def build(folder: Path, kind: str) -> object:
        folder.mkdir()
        if kind in ("mean", "cls"):
            return made_checkpoints.write_pooled_checkpoint(folder / "it", kind)
        return made_checkpoints.write_random_checkpoint(folder / "it", kind)

    def make(kind: str) -> LoadedCheckpoint:
        if kind not in loaded:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what torch and its kin say of themselves
                folder = made(f"native_{kind}", lambda target: build(target, kind))
                loaded[kind] = load_checkpoint(folder / "it")
        return loaded[kind]

    return make


@pytest.fixture(scope="session")
def model_of(
    checkpoint_of: Callable[[str], LoadedCheckpoint], made: Made
) -> Callable[[str, str], Path]:
    """`model_of(kind, precision)`: the model file of that checkpoint."""

    def build(folder: Path, kind: str, precision: str) -> object:
        folder.mkdir()
        return write_model(checkpoint_of(kind), precision, folder / "it.affect")

    def make(kind: str, precision: str) -> Path:
        name = f"native_{kind}_{precision}"
        return made(name, lambda folder: build(folder, kind, precision)) / "it.affect"

    return make


def run_script(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("precision", list(TOLERANCE))
@pytest.mark.parametrize("kind", [*NATIVE_FAMILIES, "mean", "cls"])
def test_logits_are_those_of_torch(
    checkpoint_of: Callable[[str], LoadedCheckpoint],
    model_of: Callable[[str, str], Path],
    kind: str,
    precision: str,
) -> None:
    model = _core.Model.load(str(model_of(kind, precision)), backend="native", num_threads=2)
    assert model.backend_name == "native"
    expected = torch_logits(checkpoint_of(kind), model, ROWS)
    actual = predict(model, ROWS)
    assert np.abs(actual - expected).max() <= TOLERANCE[precision]
    assert np.abs(expected).max() > 0.3  # the weights make answers that differ


@pytest.mark.parametrize("precision", list(TOLERANCE))
@pytest.mark.parametrize("kind", ["mean", "cls", "mpnet", "roberta", "modernbert"])
def test_a_text_has_the_same_bits_alone_in_any_batch_and_with_any_threads(
    model_of: Callable[[str, str], Path], kind: str, precision: str
) -> None:
    path = str(model_of(kind, precision))
    models = {
        (threads, batch): _core.Model.load(
            path, backend="native", num_threads=threads, max_batch_tokens=batch
        )
        for threads in (1, 2, 3, 16)
        for batch in (0, 40, 300)
    }
    one = models[1, 0]
    alone = np.concatenate([predict(one, [row]) for row in ROWS])

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=40),
        st.sampled_from(list(models)),
    )
    def check(picked: list[int], options: tuple[int, int]) -> None:
        together = predict(models[options], [ROWS[i] for i in picked])
        assert together.tobytes() == alone[picked].tobytes()

    check()


def test_a_literal_padding_token_in_a_text_gets_no_position(
    checkpoint_of: Callable[[str], LoadedCheckpoint], model_of: Callable[[str, str], Path]
) -> None:
    for kind in ("roberta", "xlm-roberta", "mpnet", "bert"):
        model = _core.Model.load(str(model_of(kind, "fp32")), backend="native")
        pad = "[PAD]" if kind == "bert" else "<pad>"
        rows: list[Row] = [(f"glad {pad} {pad} today", None), (f"{pad} I", f"was {pad}")]
        expected = torch_logits(checkpoint_of(kind), model, rows)
        assert np.abs(predict(model, rows) - expected).max() <= TOLERANCE["fp32"]


def test_every_instruction_set_agrees_and_a_wrong_name_is_refused(
    model_of: Callable[[str, str], Path],
) -> None:
    path = str(model_of("mean", "int8"))
    script = f"""
        import sys
        from affectrt import _core
        from affectrt.errors import UnsupportedError
        try:
            model = _core.Model.load({path!r}, backend="native", num_threads=1)
        except UnsupportedError as error:
            print("refused", error)
            sys.exit()
        answer = model.predict(["I was happy today", "the train"], None, [], None)
        print(model.backend_detail.split(",")[0], answer.heads[0].logits.tobytes().hex())
    """
    refusal = run_script(script, AFFECTRT_ISA="abacus")
    assert refusal.startswith("refused AFFECTRT_ISA='abacus'")
    names = [n.strip() for n in refusal.rsplit(":", 1)[1].split(",")]
    assert "scalar" in names
    answers = {}
    for name in names:
        detail, bits = run_script(script, AFFECTRT_ISA=name).split()
        assert detail == name
        answers[name] = np.frombuffer(bytes.fromhex(bits), np.float32)
    best, _ = run_script(script, AFFECTRT_ISA="").split()
    assert best == names[0]
    simd = [answers[name] for name in names if name != "scalar"]
    for answer in simd:
        assert answer.tobytes() == simd[0].tobytes()
        assert np.abs(answer - answers["scalar"]).max() < 0.05  # codes may round the other way


@pytest.mark.parametrize("precision", list(TOLERANCE))
def test_a_text_has_the_same_bits_in_any_batch_on_every_instruction_set(
    model_of: Callable[[str, str], Path], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(model_of("mean", precision))
    models = {}
    for isa in _core.kernels_info()["available"]:
        monkeypatch.setenv("AFFECTRT_ISA", isa)
        models[isa] = [
            _core.Model.load(path, backend="native", num_threads=threads) for threads in (1, 2)
        ]
    alone = {
        isa: np.concatenate([predict(one, [row]) for row in ROWS])
        for isa, (one, _) in models.items()
    }

    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(0, len(ROWS) - 1), min_size=1, max_size=30))
    def check(picked: list[int]) -> None:
        for isa, pair in models.items():
            for model in pair:
                together = predict(model, [ROWS[i] for i in picked])
                assert together.tobytes() == alone[isa][picked].tobytes()

    check()


def test_a_batch_of_a_million_tokens(model_of: Callable[[str, str], Path]) -> None:
    model = _core.Model.load(
        str(model_of("cls", "int8")), backend="native", max_batch_tokens=2_000_000
    )
    rows = [row for row in ROWS if row[1] is None]
    copies = 1_000_000 // sum(LENGTHS) + 1
    answers = predict(model, rows * copies).reshape(copies, len(rows), -1)
    assert (answers == predict(model, rows)).all()


def test_concurrent_callers_get_their_own_answers(model_of: Callable[[str, str], Path]) -> None:
    model = _core.Model.load(str(model_of("mean", "int8")), backend="native", num_threads=2)
    expected = predict(model, ROWS)

    def ask(caller: int) -> bool:
        order = np.random.default_rng(caller).permutation(len(ROWS))
        return all(
            predict(model, [ROWS[i] for i in order]).tobytes() == expected[order].tobytes()
            for _ in range(20)
        )

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(ask, range(16)))


def test_an_empty_list_and_more_threads_than_cores(model_of: Callable[[str, str], Path]) -> None:
    model = _core.Model.load(str(model_of("cls", "int8")), backend="native", num_threads=64)
    assert predict(model, []).shape == (0, len(made_checkpoints.LABELS))
    assert predict(model, ROWS * 50).shape == (50 * len(ROWS), len(made_checkpoints.LABELS))
    with pytest.raises(ValueError, match="num_threads is 5000"):
        _core.Model.load(str(model_of("cls", "int8")), backend="native", num_threads=5000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_answers_as_its_parent(
    model_of: Callable[[str, str], Path], busy: bool
) -> None:
    """`busy`: other threads of the parent are at work in the pool when it forks."""
    output = run_script(
        f"""
        import os, sys, threading, warnings
        from affectrt import _core
        warnings.simplefilter("ignore")
        model = _core.Model.load({str(model_of("mean", "int8"))!r}, backend="native", num_threads=3)
        texts = ["I was happy " * 8, "the train"] * 20
        def answer():
            return model.predict(texts, None, [], None).heads[0].logits.tobytes()
        expected = answer()
        stop = threading.Event()
        def work():
            while not stop.is_set():
                answer()
        workers = [threading.Thread(target=work) for _ in range({3 if busy else 0})]
        for worker in workers:
            worker.start()
        for turn in range({12 if busy else 3}):
            child = os.fork()
            if child == 0:
                right = answer() == expected and answer() == expected
                if not {busy}:
                    del model
                    sys.exit(0 if right else 1)
                os._exit(0 if right else 1)  # Python would wait for threads that are not here
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), answer() == expected)
        stop.set()
        for worker in workers:
            worker.join()
        """
    )
    assert output.split() == ["0", "True"] * (12 if busy else 3)


def test_the_interpreter_may_end_while_daemon_threads_predict(
    model_of: Callable[[str, str], Path],
) -> None:
    output = run_script(
        f"""
        import threading
        from affectrt import _core
        model = _core.Model.load({str(model_of("mean", "int8"))!r}, backend="native", num_threads=2)
        started = threading.Semaphore(0)
        def work():
            model.predict(["I was happy"], None, [], None)
            started.release()
            while True:
                model.predict(["I was happy " * 8] * 50, None, [], None)
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        for _ in range(3):
            started.acquire()
        print("end")
        """
    )
    assert output == "end\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_under_mixed_lengths(model_of: Callable[[str, str], Path]) -> None:
    script = Path(__file__).with_name("soak.py")
    model = str(model_of("mean", "int8"))
    few = ["--texts", "20000", "--callers", "8", "--clips", "0", "--conversations", "0"]
    done = subprocess.run(
        [sys.executable, str(script), "--model", model, *few, "--loads", "300"],
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},  # many take long to fill
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "texts, 8 threads" in done.stdout
    assert "loads: 300 of 300, 0 answers differ" in done.stdout


def test_damaged_weights_are_named(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    from safetensors.numpy import load, save

    checkpoint = checkpoint_of("mean")
    up = "encoder.encoder.layer.1.intermediate.dense.weight"

    def refused(change: Callable[[dict[str, Any]], object], precision: str = "fp32") -> str:
        tensors = load(write_native_weights(checkpoint, precision))
        change(tensors)
        path = write_model(checkpoint, precision, tmp_path / "bad.affect", save(tensors))
        with pytest.raises(ModelFileError) as caught:
            _core.Model.load(str(path), backend="native")
        assert "weights.safetensors" in str(caught.value)
        return str(caught.value)

    assert f"no tensor '{up}'" in refused(lambda t: t.pop(up))
    assert f"'{up}' is F32 [32, 64]; F32 [64, 32]" in refused(
        lambda t: t.update({up: np.ascontiguousarray(t[up].T)})
    )
    assert f"'{up}' has NaN" in refused(lambda t: t[up].__setitem__((3, 4), np.nan))
    assert "above 0" in refused(lambda t: t[f"{up}.scale"].__setitem__(7, 0), "int8")
    assert "beyond +-63" in refused(lambda t: t[up].__setitem__((3, 4), 64), "int8")


def test_more_tokens_than_positions_are_refused(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    import dataclasses

    checkpoint = checkpoint_of("bert")
    more = dataclasses.replace(checkpoint, max_tokens=checkpoint.max_tokens + 1)
    path = write_model(more, "fp32", tmp_path / "more.affect")
    with pytest.raises(ModelFileError, match=f"positions .* end at {checkpoint.max_tokens}"):
        _core.Model.load(str(path), backend="native")


def test_what_the_engine_does_not_compute_is_said(
    checkpoint_of: Callable[[str], LoadedCheckpoint], tmp_path: Path
) -> None:
    import dataclasses

    from affectrt.errors import ExportError

    checkpoint = checkpoint_of("bert")
    weights = write_native_weights(checkpoint, "fp32")
    swish = dataclasses.replace(checkpoint, config={**checkpoint.config, "hidden_act": "silu"})
    assert native_engine_runs(checkpoint)
    assert not native_engine_runs(swish)
    with pytest.raises(ExportError, match="does not compute"):
        write_native_weights(swish, "fp32")
    with pytest.raises(ExportError, match="int4"):
        write_native_weights(checkpoint, "int4")
    path = write_model(swish, "fp32", tmp_path / "swish.affect", weights)
    with pytest.raises(UnsupportedError, match="hidden_act"):
        _core.Model.load(str(path), backend="native")


def test_kept_weights_stay_float(checkpoint_of: Callable[[str], LoadedCheckpoint]) -> None:
    from safetensors.numpy import load

    checkpoint = checkpoint_of("bert")
    layer = "bert.encoder.layer.0."
    kept = load(
        write_native_weights(
            checkpoint,
            "int8",
            keep=[f"{layer}attention.self.key", f"{layer}output.dense.weight"],
        )
    )
    for name in ("query", "key", "value"):
        assert kept[f"{layer}attention.self.{name}.weight"].dtype == np.float32
    assert kept[f"{layer}output.dense.weight"].dtype == np.float32
    assert kept[f"{layer}intermediate.dense.weight"].dtype == np.int8
    assert f"{layer}output.dense.weight.scale" not in kept


def test_hidden_states_of_a_real_encoder(shared_dir: Path, tmp_path: Path) -> None:
    """MiniLM's own weights; a head of unit vectors shows the pooled hidden state itself."""
    from transformers import AutoModel

    from affectrt.export import HeadSpec, PooledEncoder, save_pooled_checkpoint

    source = shared_dir / "weights" / "minilm-l6"
    if not source.is_dir():
        pytest.skip("the weights of minilm-l6 are not here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder = AutoModel.from_pretrained(source, dtype=torch.float32)
        width = encoder.config.hidden_size
        head = HeadSpec("state", "regression", tuple(f"h{i}" for i in range(width)), "state")
        whole = PooledEncoder(encoder, (head,), "mean").eval()
        with torch.no_grad():
            whole.heads["state"].weight.copy_(torch.eye(width))
        save_pooled_checkpoint(whole, tmp_path / "minilm", source / "tokenizer.json")
        checkpoint = load_checkpoint(tmp_path / "minilm")
    texts = [
        "I can't believe they cancelled it, I was so looking forward to tonight.",
        "Thank you!",
        "We drove for hours, and when we came to the sea it was dark and she was asleep. " * 6,
    ]
    rows: list[Row] = [(text, None) for text in texts]
    model = _core.Model.load(
        str(write_model(checkpoint, "fp32", tmp_path / "fp32.affect")), backend="native"
    )
    expected = torch_logits(checkpoint, model, rows)
    assert np.abs(predict(model, rows) - expected).max() < 5e-6
    for precision, least in (("int8", 0.96), ("int8-accurate", 0.99)):
        path = write_model(checkpoint, precision, tmp_path / f"{precision}.affect")
        actual = predict(_core.Model.load(str(path), backend="native"), rows)
        cosine = (actual * expected).sum(1) / (
            np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
        )
        assert cosine.min() > least

"""The ONNX Runtime backend: what it takes, what it refuses, threads, fork, and its end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_models import LABELS, graph_bytes, head, write_model

from affectrt import _core
from affectrt.errors import BackendError, Error, InputError, ModelFileError, NotFoundError
from affectrt.loading import find_onnxruntime

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = find_onnxruntime()
TEXTS = ["w1 w2 w3", "w4", "", "w5 w6 w7 w8 w9 w10 w11", "w12 w12", "unknown words only"]

Build = Callable[..., _core.Model]


def load(path: Path, **options: Any) -> _core.Model:
    return _core.Model.load(str(path), onnxruntime_library=LIBRARY, **options)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """`build(graph, heads, **options)`: a loaded model made for one test."""

    def make(
        graph: bytes | None = None,
        heads: list[dict[str, Any]] | None = None,
        *,
        max_tokens: int = 32,
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> _core.Model:
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        write_model(folder, graph, heads, max_tokens=max_tokens, config=config)
        return load(folder, **options)

    return make


def logits(model: _core.Model, texts: list[str], index: int = 0) -> np.ndarray:
    return model.predict(texts, None, [], None).heads[index].logits


def reference(graph: bytes, rows: list[list[int]], types: list[list[int]]) -> list[np.ndarray]:
    """Every row alone through Python's onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    answers = []
    for ids, row_types in zip(rows, types, strict=True):
        feed = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "token_type_ids": np.array([row_types], np.int64),
        }
        answers.append(session.run(None, {k: v for k, v in feed.items() if k in names})[0][0])
    return answers


def test_slots_agree_with_a_header_of_onnxruntime(tmp_path: Path) -> None:
    """Slot numbers, signatures and constants, against a real header where one is installed."""
    given = os.environ.get("AFFECTRT_ONNXRUNTIME_INCLUDE")
    candidates = [Path(given)] if given else []
    for root in (Path("/usr/include"), Path("/usr/local/include"), Path(sys.prefix) / "include"):
        candidates += [root, root / "onnxruntime", root / "onnxruntime" / "core" / "session"]
    folder = next((f for f in candidates if (f / "onnxruntime_c_api.h").is_file()), None)
    if folder is None:
        pytest.skip("no onnxruntime_c_api.h here: Debian has it in libonnxruntime-dev")
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    source = ROOT / "tests" / "cpp" / "check_onnxruntime_slots.cc"
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{ROOT / 'csrc'}", f"-I{folder}", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_library_says_what_it_is() -> None:
    import onnxruntime

    info = _core.onnxruntime_info(LIBRARY)
    assert info["version"] == onnxruntime.__version__
    assert "CPUExecutionProvider" in info["providers"]
    assert sorted(info["providers"]) == sorted(onnxruntime.get_available_providers())
    assert info["path"] == os.path.realpath(LIBRARY)


@pytest.mark.parametrize("kind", ["missing", "not a library", "another library"])
def test_library_that_is_none(kind: str, tmp_path: Path) -> None:
    import _ctypes

    path = {
        "missing": tmp_path / "libonnxruntime.so",
        "not a library": Path(__file__),
        "another library": Path(_ctypes.__file__),
    }[kind]
    with pytest.raises(BackendError, match=r"onnxruntime 1\.22 or newer") as caught:
        _core.onnxruntime_info(str(path))
    assert path.name in str(caught.value)


def test_logits_are_those_of_python_onnxruntime_row_by_row(build: Build) -> None:
    graph = graph_bytes(layers=2)
    model = build(graph)
    encodings = [model.tokenizer.encode(text) for text in TEXTS]
    expected = reference(
        graph,
        [encoding.ids.tolist() for encoding in encodings],
        [encoding.type_ids.tolist() for encoding in encodings],
    )
    assert np.abs(logits(model, TEXTS) - np.array(expected)).max() < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"input_type": "int32"},
        {"inputs": ("input_ids", "attention_mask")},
        {"inputs": ("token_type_ids", "attention_mask", "input_ids")},
        {"rows": 1},
        {"rows": 4},
        {"tokens": 32},
        {"rows": 2, "tokens": 40},
        {"open_width": True},
        {"inputs": ("input_ids",)},
    ],
    ids=str,
)
def test_graphs_of_many_shapes_give_the_same_answers(build: Build, settings: Any) -> None:
    model = build(graph_bytes(**settings))
    alone = np.concatenate([logits(model, [text]) for text in TEXTS])
    together = logits(model, TEXTS)
    assert together.shape == (len(TEXTS), len(LABELS))
    assert np.abs(together - alone).max() < 1e-5
    types_used = "token_type_ids" in settings.get("inputs", ("token_type_ids",))
    if types_used and settings.get("inputs") is None:
        assert np.abs(together - logits(build(), TEXTS)).max() < 1e-5


def test_float16_outputs_are_widened(build: Build) -> None:
    exact = logits(build(graph_bytes()), TEXTS)
    half = logits(build(graph_bytes(output_type="float16")), TEXTS)
    assert half.dtype == np.float32
    assert np.array_equal(half, exact.astype(np.float16).astype(np.float32))


def test_heads_read_the_outputs_they_name(build: Build) -> None:
    heads = [
        head("second", "b", labels=["x", "y"]),
        head("first", "a"),
        head("again", "b", labels=["p", "q"], task="regression"),
    ]
    model = build(graph_bytes({"a": 3, "b": 2, "unused": 7}), heads)
    prediction = model.predict(TEXTS, None, [], None)
    assert [one.logits.shape[1] for one in prediction.heads] == [2, 3, 2]
    assert np.array_equal(prediction.heads[0].logits, prediction.heads[2].scores)
    swapped = model.predict(TEXTS, None, [1, 0], None)
    assert np.array_equal(swapped.heads[0].scores, prediction.heads[1].scores)
    assert np.array_equal(swapped.heads[1].scores, prediction.heads[0].scores)


REFUSED = {
    "an input we do not know": (
        {"inputs": ("input_ids", "attention_mask", "position_ids")},
        ["'position_ids'", "input_ids (int64 [?, ?])", "token_type_ids"],
    ),
    "no such output": (
        {"outputs": {"scores": 3}},
        ["no output 'logits'", "scores (float32 [?, 3])"],
    ),
    "wrong width": ({"outputs": {"logits": 5}}, ["5 values", "3 labels", "'mood'"]),
    "wrong width, told by a trial row": (
        {"outputs": {"logits": 5}, "open_width": True},
        ["5 values", "3 labels", "'mood'"],
    ),
    "three dimensions": ({"three_dimensions": True}, ["[?, 1, 3]", "[rows, 3]"]),
    "float64": ({"output_type": "float64"}, ["'mood'", "float32 or float16"]),
    "fewer tokens than the manifest": ({"tokens": 16}, ["exactly 16 tokens", "allows 32"]),
    "fixed tokens without a mask": (
        {"tokens": 32, "inputs": ("input_ids",)},
        ["no attention_mask"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_graph_that_does_not_fit_is_refused_at_load(build: Build, case: str) -> None:
    settings, parts = REFUSED[case]
    with pytest.raises(ModelFileError) as caught:
        build(graph_bytes(**settings))
    for part in parts:
        assert part in str(caught.value)
    assert "model.onnx" in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99])
def test_truncated_graph(build: Build, share: float) -> None:
    graph = graph_bytes()
    with pytest.raises((ModelFileError, BackendError)):
        build(graph[: int(len(graph) * share)])


def test_flipped_graphs_never_crash(tmp_path: Path) -> None:
    """Any single damaged byte: an error of ours, or a model that answers."""
    script = f"""
        import sys
        sys.path.insert(0, {str(ROOT / "tests")!r})
        import random, shutil
        from pathlib import Path
        from affectrt import _core
        from affectrt.errors import Error
        from onnx_models import graph_bytes, write_model
        graph = graph_bytes(hidden=4)
        dice = random.Random(3)
        outcomes = set()
        for turn in range(120):
            damaged = bytearray(graph)
            damaged[dice.randrange(len(graph))] ^= 1 << dice.randrange(8)
            folder = Path({str(tmp_path)!r}) / str(turn)
            write_model(folder, bytes(damaged))
            try:
                model = _core.Model.load(str(folder), onnxruntime_library={LIBRARY!r})
                model.predict(["w1 w2", "w3"], None, [], None)
                outcomes.add("answered")
            except Error as error:
                outcomes.add(type(error).__name__)
            shutil.rmtree(folder)
        print(sorted(outcomes))
    """
    output = run_script(script)
    assert "answered" in output
    assert "ModelFileError" in output


def test_nothing_is_printed(build: Build, capfd: pytest.CaptureFixture[str]) -> None:
    model = build()
    model.predict(TEXTS, None, [], None)
    with pytest.raises(ModelFileError):
        build(graph_bytes({"logits": 5}))
    with pytest.raises((ModelFileError, BackendError)):
        build(graph_bytes()[:100])
    with pytest.raises(BackendError):
        build(providers=["CUDAExecutionProvider", "NoSuchExecutionProvider"])
    assert capfd.readouterr() == ("", "")


def test_logits_that_are_no_numbers(build: Build) -> None:
    model = build(graph_bytes(not_a_number=True))
    with pytest.raises(BackendError, match=r"nan.*label 'calm'.*head 'mood'.*row 0"):
        model.predict(TEXTS, None, [], None)


def test_providers(build: Build) -> None:
    with pytest.raises(BackendError) as caught:
        build(providers=["NoSuchExecutionProvider"])
    assert "'NoSuchExecutionProvider'" in str(caught.value)
    for name in _core.onnxruntime_info(LIBRARY)["providers"]:
        assert name in str(caught.value)
    model = build(providers=["CPUExecutionProvider"])
    assert "CPUExecutionProvider" in model.backend_detail
    assert model.backend_name == "onnxruntime"


def test_provider_in_a_library_of_its_own(build: Build, tmp_path: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler")
    source, library = ROOT / "tests" / "cpp" / "plugin_provider.c", tmp_path / "mine.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    other = shutil.copy(library, tmp_path / "other.so")
    for name in ("MineProvider", "MineProvider:0"):
        model = build(providers=[f"{name}={library}"])
        assert f"{name}={library}, CPUExecutionProvider" in model.backend_detail
        assert np.array_equal(logits(model, TEXTS), logits(build(), TEXTS))
    for provider, message in {
        f"MineProvider:1={library}": "device 1 is not there; it knows 1 of this machine",
        f"MineProvider={other}": "this process has it of .*mine.so' already",
        f"Other={tmp_path}/none.so": "none.so: cannot open shared object file",
        f"Other={LIBRARY}": "CreateEpFactories",
    }.items():
        with pytest.raises(BackendError, match=message):
            build(providers=[provider])
    with pytest.raises(InputError, match="libraries of their own"):
        build(providers=[f"MineProvider:one={library}"])


@pytest.mark.parametrize("threads", [-1, 5000])
def test_impossible_thread_counts(build: Build, threads: int) -> None:
    with pytest.raises(InputError, match="num_threads"):
        build(num_threads=threads)


def test_concurrent_callers_get_identical_answers(build: Build) -> None:
    model = build(graph_bytes(layers=2), max_batch_tokens=64)
    texts = [f"w{i % 40} w{i % 7} " * (1 + i % 9) for i in range(60)]
    expected = logits(model, texts)
    wrong: list[int] = []
    start = threading.Barrier(16)

    def call(number: int) -> None:
        start.wait()
        for _ in range(5):
            if not np.array_equal(logits(model, texts), expected):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def run_script(
    script: str, *, timeout_s: float = 120, environment: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_threads_are_as_many_as_asked_for_and_idle_ones_sleep(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", graph_bytes(hidden=64, layers=4))
    output = run_script(
        f"""
        import os, time
        import numpy  # which has threads of its own
        from affectrt import _core
        def threads():
            return len(os.listdir("/proc/self/task"))
        for wanted in (1, 2, 5):
            before = threads()
            model = _core.Model.load({str(folder)!r}, onnxruntime_library={LIBRARY!r},
                                     num_threads=wanted)
            model.predict(["w1 w2 w3 " * 8] * 64, None, [], None)
            print(threads() - before)
            used = time.process_time()
            time.sleep(0.5)
            print(time.process_time() - used < 0.1)
            del model
        """
    )
    # The calling thread is the first of each pool.
    assert output.split() == ["0", "True", "1", "True", "4", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_forked_child_answers_as_its_parent(tmp_path: Path, threads: int) -> None:
    folder = write_model(tmp_path / "model", graph_bytes(hidden=64, layers=2))
    output = run_script(
        f"""
        import os, sys, warnings
        import numpy as np
        from affectrt import _core
        warnings.simplefilter("ignore")
        model = _core.Model.load({str(folder)!r}, onnxruntime_library={LIBRARY!r},
                                 num_threads={threads})
        texts = ["w1 w2 w3 " * 8, "w4"] * 20
        def answer():
            return model.predict(texts, None, [], None).heads[0].logits
        expected = answer()
        for turn in range(3):
            child = os.fork()
            if child == 0:
                right = np.array_equal(answer(), expected) and np.array_equal(answer(), expected)
                del model
                sys.exit(0 if right else 1)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), np.array_equal(answer(), expected))
        """
    )
    assert output.split() == ["0", "True"] * 3


@pytest.mark.parametrize("threads", [1, 2])
def test_the_interpreter_may_end_while_daemon_threads_predict(tmp_path: Path, threads: int) -> None:
    folder = write_model(tmp_path / "model", graph_bytes(hidden=64, layers=2))
    output = run_script(
        f"""
        import threading, time
        from affectrt import _core
        model = _core.Model.load({str(folder)!r}, onnxruntime_library={LIBRARY!r},
                                 num_threads={threads}, max_batch_tokens=64)
        started = threading.Semaphore(0)
        def work(progress):
            first = True
            while True:
                model.predict(["w1 w2 w3 " * 8] * 50, None, [], progress)
                if first:
                    started.release()
                    first = False
        for progress in (None, None, lambda done, total: None):
            threading.Thread(target=work, args=(progress,), daemon=True).start()
        for _ in range(3):
            started.acquire()
        print("ending")
        """
    )
    assert output == "ending\n"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_onnxruntime_reports_to_nobody(tmp_path: Path) -> None:
    """No telemetry: neither its thread, nor the identifier that it keeps in the home folder."""
    folder = write_model(tmp_path / "model")
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key.isupper()}
    for key in ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "GITHUB_ACTIONS"):
        environment.pop(key, None)
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    output = run_script(
        f"""
        import os
        import numpy
        from affectrt import _core
        before = len(os.listdir("/proc/self/task"))
        model = _core.Model.load({str(folder)!r}, onnxruntime_library={LIBRARY!r}, num_threads=1)
        model.predict(["w1"], None, [], None)
        print(len(os.listdir("/proc/self/task")) - before)
        """,
        environment=environment,
    )
    assert output == "0\n"
    assert list(home.rglob("*")) == []


def test_python_onnxruntime_may_live_in_the_same_process(build: Build) -> None:
    import onnxruntime

    graph = graph_bytes()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    model = build(graph)
    ids = model.tokenizer.encode("w1 w2").ids.astype(np.int64)[None]
    feed = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    for _ in range(3):
        theirs = session.run(None, feed)[0]
        assert np.abs(logits(model, ["w1 w2"]) - theirs).max() < 1e-5


def test_a_provider_is_refused_where_another_onnxruntime_is_its_bridge(tmp_path: Path) -> None:
    """Seen on a GPU: the provider called into the wrong one, and the process ended."""
    if sys.platform != "linux":
        pytest.skip("reads the list of loaded libraries")
    folder = write_model(tmp_path / "model", graph_bytes())
    copy = shutil.copy(LIBRARY, tmp_path)
    output = run_script(
        f"""
        import onnxruntime
        from affectrt import _core, errors
        for library in ({str(copy)!r}, {LIBRARY!r}):
            try:
                _core.Model.load({str(folder)!r}, onnxruntime_library=library,
                                 providers=["CUDAExecutionProvider"])
            except errors.BackendError as error:
                print("another ONNX Runtime" in str(error))
        print(_core.Model.load({str(folder)!r}, onnxruntime_library={str(copy)!r}).backend_name)
        """
    )
    assert output.split() == ["True", "False", "onnxruntime"]


def test_models_come_and_go_without_growing(tmp_path: Path) -> None:
    """Threads, descriptors and memory of models that were dropped are gone."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    folder = write_model(tmp_path / "model", graph_bytes(hidden=64, layers=2))
    output = run_script(
        f"""
        import gc, os
        from affectrt import _core
        def resident_kib():
            return int(open("/proc/self/statm").read().split()[1]) * 4
        def turn():
            model = _core.Model.load({str(folder)!r}, onnxruntime_library={LIBRARY!r},
                                     num_threads=3)
            model.predict(["w1 w2"] * 10, None, [], None)
        def counts():
            return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            turn()
        gc.collect()
        before, memory = counts(), resident_kib()
        for _ in range(60):
            turn()
        gc.collect()
        print(counts() == before, resident_kib() - memory < 8192)
        """
    )
    assert output.split() == ["True", "True"]


def test_missing_model() -> None:
    with pytest.raises(NotFoundError):
        _core.Model.load("/nowhere/model.affect", onnxruntime_library=LIBRARY)


def test_path_that_cannot_be_one() -> None:
    bad: Any
    for bad in (3, None, "a\0b"):
        with pytest.raises(InputError, match="path"):
            _core.Model.load(bad, onnxruntime_library=LIBRARY)


def test_unknown_backend(build: Build) -> None:
    with pytest.raises(InputError, match="'tpu'"):
        build(backend="tpu")


def test_native_needs_weights_and_has_no_providers(build: Build) -> None:
    assert build(backend="auto").backend_name == "onnxruntime"
    with pytest.raises(Error, match=r"weights\.safetensors"):
        build(backend="native")
    with pytest.raises(InputError, match="providers"):
        build(backend="native", providers=["CPUExecutionProvider"])


def test_tokenizer_is_the_models_own_and_outlives_it(build: Build) -> None:
    model = build()
    tokenizer = model.tokenizer
    del model
    assert tokenizer.encode("w1").ids.tolist() == [2, 5, 3]


def test_cpu_info() -> None:
    info = _core.cpu_info()
    assert 1 <= info["usable"] <= info["affinity"] <= info["hardware"]
    if hasattr(os, "sched_getaffinity"):
        assert info["affinity"] == len(os.sched_getaffinity(0))
    assert all(isinstance(present, bool) for present in info["features"].values())
    assert info["cgroup_quota"] is None or info["cgroup_quota"] > 0

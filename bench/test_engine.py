"""``pytest bench``: times of the library's own parts, by pytest-benchmark.

    pip install pytest-benchmark
    pytest bench --benchmark-json=FILE

Every benchmark checks what it measured against another way to the same answer; none asserts a time.
``pytest`` alone does not run them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import affectrt

from .inputs import GOEMOTIONS, goemotions

pytest.importorskip("pytest_benchmark")
Benchmark = Callable[..., Any]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    if not GOEMOTIONS.is_dir():
        pytest.skip("the shared data folder is not here")
    return goemotions("test", 256)


@pytest.fixture(scope="module")
def path() -> Path:
    models = affectrt.available_models()
    if "text" not in models:
        pytest.skip("the embedded model text.affect is not in this checkout")
    return models["text"]


@pytest.fixture(scope="module")
def alone(path: Path, texts: list[str]) -> npt.NDArray[np.float32]:
    """Every text on its own: what all other ways have to give."""
    model = affectrt.load(path, num_threads=1)
    return np.concatenate([model.predict_logits(text) for text in texts])


def test_tokenizer(benchmark: Benchmark, path: Path, texts: list[str]) -> None:
    tokenizer = affectrt.load(path).tokenizer
    encodings = benchmark(tokenizer.encode_batch, texts, with_offsets=False)
    assert [e.ids.tolist() for e in encodings] == [tokenizer.encode(t).ids.tolist() for t in texts]


@pytest.mark.parametrize("threads", [1, 2])
def test_single(
    benchmark: Benchmark,
    path: Path,
    texts: list[str],
    alone: npt.NDArray[np.float32],
    threads: int,
) -> None:
    model = affectrt.load(path, num_threads=threads)
    places = count()

    def next_text() -> None:
        model(texts[next(places) % len(texts)])

    benchmark(next_text)
    again = np.concatenate([model.predict_logits(text) for text in texts[:32]])
    assert np.array_equal(again, alone[:32])


@pytest.mark.parametrize("threads", [1, 2])
def test_offline(
    benchmark: Benchmark,
    path: Path,
    texts: list[str],
    alone: npt.NDArray[np.float32],
    threads: int,
) -> None:
    model = affectrt.load(path, num_threads=threads)
    results = benchmark(model, texts)
    assert np.array_equal(model.predict_logits(texts), alone)
    assert [r.decided for r in results[:32]] == [model(t).decided for t in texts[:32]]


def test_scores_as_an_array(
    benchmark: Benchmark, path: Path, texts: list[str], alone: npt.NDArray[np.float32]
) -> None:
    model = affectrt.load(path, num_threads=1)
    scores = benchmark(model.predict_proba, texts)
    assert scores.shape == alone.shape
    assert np.array_equal(scores[0], model.predict_proba(texts[0])[0])


def test_long_text(benchmark: Benchmark, path: Path, texts: list[str]) -> None:
    model = affectrt.load(path, num_threads=1)
    long = " ".join(texts)
    result = benchmark(model, long)
    assert result.truncated
    assert result.decided == model([texts[0], long])[1].decided


def test_load(benchmark: Benchmark, path: Path, texts: list[str]) -> None:
    model = benchmark(affectrt.load, path)
    assert model.labels() == affectrt.load(path).labels()
    assert model(texts[0]).text == texts[0]

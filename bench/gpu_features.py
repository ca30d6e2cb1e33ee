"""`affectrt.device_features` on a GPU: bits against the CPU's, streams, errors, times. Parts of
`python -m bench.gpu`."""

from __future__ import annotations

import argparse
import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from affectrt import device_features, features
from affectrt.errors import Error

Facts = dict[str, Any]
Values = np.ndarray[Any, np.dtype[np.float32]]

RATE = 16000
LENGTHS = (1, 2, 159, 160, 200, 201, 399, 400, 401, 560, 1601, 4799, 16000, 47999, 160000, 480000,
           960000)  # fmt: skip
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
FBANKS: tuple[dict[str, Any], ...] = (
    {}, {"snip_edges": False}, {"round_to_power_of_two": False}, {"window": "hamming"},
    {"remove_dc_offset": False, "preemphasis": 0.0, "window": "rectangular"}, {"scale": 32768.0},
    {"frame_length_ms": 21.0, "round_to_power_of_two": False, "num_mels": 40},
    {"frame_length_ms": 200.0, "frame_shift_ms": 50.0},
)  # fmt: skip


def module(name: str) -> Any:
    """A library that only a machine with a GPU has, or that has no types."""
    return importlib.import_module(name)


def noise(*shape: int, seed: int = 3) -> Values:
    """Clips of noise, louder by the clip, so that no two are alike."""
    drawn = np.random.default_rng(seed).normal(0, 0.1, shape)
    if len(shape) == 2:
        drawn *= np.linspace(0.02, 2.0, shape[0])[:, None]
    return drawn.astype(np.float32)


def on_host(array: Any) -> Values:
    """A device array's values."""
    torch = module("torch")

    return np.asarray(torch.from_dlpack(array).cpu().numpy())


class Tally:
    """Comparisons of two sides that shall be equal to the bit."""

    def __init__(self) -> None:
        self.comparisons = 0
        self.values = 0
        self.differences: list[str] = []

    def equal(self, name: str, actual: Values, expected: Values) -> None:
        self.comparisons += 1
        self.values += expected.size
        if actual.shape != expected.shape:
            self.differences.append(f"{name}: shape {actual.shape}, not {expected.shape}")
            return
        same = actual.view(np.uint32) == expected.view(np.uint32)
        if not same.all():
            apart = float(np.nanmax(np.abs(actual - expected)))
            self.differences.append(
                f"{name}: {int((~same).sum())} of {same.size}, up to {apart:.3g}"
            )

    def facts(self) -> Facts:
        return {
            "passed": not self.differences,
            "comparisons": self.comparisons,
            "values": self.values,
            "differences": self.differences[:20],
        }


Job = tuple[str, Values, Callable[[Any], Any], Callable[[list[Values]], Any]]


def _job(kind: str, clips: Values, rate: int, **options: Any) -> Job:
    """Name, clips [clips, samples], what a GPU and a CPU do with them."""

    def on_gpu(given: Any) -> Any:
        rates = () if kind == "log_mel" else (rate,)
        return getattr(device_features, kind)(given, *rates, **options)

    def on_cpu(given: list[Values]) -> Any:
        return getattr(features, kind)(given, rate, num_threads=0, **options)

    return f"{kind} of {clips.shape} at {rate} Hz, {options}", clips, on_gpu, on_cpu


def _jobs() -> Iterator[Job]:
    log_mels: tuple[dict[str, Any], ...] = (
        {}, {"normalise": False}, {"pad_to_s": None}, {"pad_to_s": 2.0, "num_mels": 128},
    )  # fmt: skip
    for samples in LENGTHS:
        clips = noise(2, samples)
        for options in log_mels:
            yield _job("log_mel", clips, RATE, **options)
        yield _job("fbank", clips, RATE)
    for rate in RATES:
        clips = noise(3, rate + 77, seed=rate)
        for options in FBANKS:
            yield _job("fbank", clips, rate, **options)
        yield _job("mfcc", clips, rate)
        yield _job("mfcc", clips, rate, use_energy=False, snip_edges=False)
    yield _job("fbank", noise(70_000, 560), RATE)


def _answer(work: Callable[[Any], Any], given: Any) -> Any:
    """The features, [clips, ...], or the error in words."""
    try:
        made = work(given)
    except Error as error:
        return f"{type(error).__name__}: {error}"
    return np.stack(made) if isinstance(made, list) else on_host(made)


def equality(_: argparse.Namespace) -> Facts:
    """Features of many lengths, rates and options, from PyTorch's arrays and CuPy's."""
    torch = module("torch")

    tally = Tally()
    outcomes = []
    for name, clips, gpu, cpu in _jobs():
        given = torch.from_numpy(clips).cuda()
        answers = [_answer(gpu, given), _answer(cpu, list(clips))]
        if isinstance(answers[0], str) or isinstance(answers[1], str):
            alike = isinstance(answers[0], str) and isinstance(answers[1], str)
            outcomes.append(f"{name}: {[a if isinstance(a, str) else a.shape for a in answers]}")
            if not alike:
                tally.differences.append(outcomes[-1])
            continue
        tally.equal(name, *answers)
    alone = noise(20_000)
    expected = features.log_mel(alone, RATE)
    tally.equal(
        "one clip", on_host(device_features.log_mel(torch.from_numpy(alone).cuda())), expected
    )
    odd = alone.copy()
    odd[5000] = np.nan
    got = on_host(device_features.fbank(torch.from_numpy(odd).cuda(), RATE))
    far = features.fbank(alone, RATE)
    hit = range(5000 // 160 - 2, 5000 // 160 + 1)
    kept = [i for i in range(len(far)) if i not in hit]
    tally.equal("frames without the NaN", got[kept], far[kept])
    facts = tally.facts() | {"refused on one side or both": outcomes[:10]}
    facts["cupy"] = _with_cupy(alone, expected)
    facts["passed"] = facts["passed"] and facts["cupy"] in ("equal", "not installed")
    return facts


def _with_cupy(samples: Values, expected: Values) -> str:
    try:
        cupy = module("cupy")
    except ImportError:
        return "not installed"
    got = cupy.asnumpy(cupy.from_dlpack(device_features.log_mel(cupy.asarray(samples))))
    return "equal" if np.array_equal(got, expected) else "differs"


def streams(_: argparse.Namespace) -> Facts:
    """Producers and consumers on streams of their own; threads; memory; copies."""
    torch = module("torch")

    tally = Tally()
    clips = noise(8, 160_000)
    expected = np.stack(features.log_mel(list(clips), RATE, num_threads=0))
    source = torch.from_numpy(clips).cuda()
    for _turn in range(5):
        side, other = torch.cuda.Stream(), torch.cuda.Stream()
        with torch.cuda.stream(side):
            given = torch.zeros_like(source)
            torch.cuda._sleep(30_000_000)  # some 15 ms, so that the samples come late
            given.copy_(source)
            made = torch.from_dlpack(device_features.log_mel(given))
        with torch.cuda.stream(other):
            torch.cuda._sleep(30_000_000)
            doubled = made * 2
        del made  # its memory must not be used anew before `doubled` has read it
        spoilt = [torch.full_like(doubled, 7.0) for _ in range(3)]
        device_features.log_mel(source)
        torch.cuda.synchronize()
        tally.equal("a late producer and a late consumer", doubled.cpu().numpy() / 2, expected)
        del spoilt
    wrong: list[str] = []

    def call() -> None:
        for _ in range(20):
            if not np.array_equal(on_host(device_features.log_mel(source)), expected):
                wrong.append("a thread's answer differs")

    workers = [threading.Thread(target=call) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    free_before = torch.cuda.mem_get_info()[0]
    for _turn in range(200):
        device_features.log_mel(source)
    lost = free_before - torch.cuda.mem_get_info()[0]
    facts = tally.facts() | {"threads": wrong or "160 answers of 8 threads equal"}
    facts["bytes lost in 200 calls"] = lost
    facts["copies in a call"] = copies(lambda: device_features.log_mel(source))
    facts["passed"] = (
        facts["passed"] and not wrong and lost < 8 << 20
        and not any("HtoD" in c or "DtoH" in c for c in facts["copies in a call"])
    )  # fmt: skip
    return facts


def copies(work: Callable[[], object]) -> dict[str, int]:
    """How often what is copied or set during `work`, as CUPTI sees it."""
    torch = module("torch")
    profiler = module("torch.profiler")

    work()
    torch.cuda.synchronize()
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    return {
        event.key: event.count
        for event in seen.key_averages()
        if "Memcpy" in event.key or "Memset" in event.key
    } or {"none, kernels": sum(event.count for event in seen.key_averages())}


def told(work: Callable[[], object]) -> str:
    """The error of `work`, in words."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:400]}"
    return "no error"


def refusals(_: argparse.Namespace) -> Facts:
    """What cannot be computed is refused, and the device goes on."""
    torch = module("torch")

    x = torch.zeros(2, 16000, device="cuda")

    class Claims:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 99

        def __dlpack__(self, *, stream: Any = None) -> Any:
            return x.__dlpack__()

    cases: dict[str, tuple[Callable[[], object], str]] = {
        "CPU tensor": (lambda: device_features.log_mel(x.cpu()), "InputError"),
        "NumPy": (lambda: device_features.fbank(np.zeros(400, np.float32), RATE), "InputError"),
        "float64": (lambda: device_features.log_mel(x.double()), "InputError"),
        "float16": (lambda: device_features.fbank(x.half(), RATE), "InputError"),
        "int16": (lambda: device_features.fbank(x.to(torch.int16), RATE), "InputError"),
        "gaps": (lambda: device_features.log_mel(x[:, ::2]), "InputError"),
        "transposed": (lambda: device_features.log_mel(x.T), "InputError"),
        "three dimensions": (lambda: device_features.log_mel(x[None]), "InputError"),
        "a gradient": (lambda: device_features.log_mel(x.clone().requires_grad_()), "InputError"),
        "device 99": (lambda: device_features.log_mel(Claims()), "BackendError"),
        "rate 4000": (lambda: device_features.fbank(x, 4000), "InputError"),
        "no memory": (
            lambda: device_features.log_mel(
                torch.zeros(60_000, 16, device="cuda"), pad_to_s=3600.0
            ),
            "BackendError",
        ),
    }
    facts: Facts = {name: told(work) for name, (work, _) in cases.items()}
    wrong = [name for name, (_, kind) in cases.items() if not facts[name].startswith(f"{kind}: ")]
    good = np.array_equal(
        on_host(device_features.log_mel(x[0])), features.log_mel(x[0].cpu().numpy(), RATE)
    )
    return facts | {
        "passed": not wrong and good,
        "not as they should": wrong,
        "works after them": good,
    }

"""Times of `affectrt.device_features` against PyTorch and torchaudio on the same GPU. A part of
`python -m bench.gpu`."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from affectrt import device_features

from .gpu_features import RATE, Facts, module, noise


def median_ms(work: Callable[[], object], rounds: int = 30, warm_up: int = 5) -> float:
    """Of one call with its end waited for."""
    torch = module("torch")

    for _ in range(warm_up):
        work()
    torch.cuda.synchronize()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return float(statistics.median(times))


def event_ms(work: Callable[[], object], rounds: int = 30) -> float:
    """Between two events of the default stream around one call."""
    torch = module("torch")

    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return float(statistics.median(times))


def kernel_ms(work: Callable[[], object], rounds: int = 10) -> float:
    """What the device computes and sets for one call, gaps left out."""
    torch = module("torch")
    profiler = module("torch.profiler")

    work()
    torch.cuda.synchronize()
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as seen:
        for _ in range(rounds):
            work()
        torch.cuda.synchronize()
    return float(sum(e.self_device_time_total for e in seen.key_averages())) / 1e3 / rounds


def torch_log_mel() -> Callable[[Any], Any]:
    """Whisper's log-mel as torch users write it: stft, filters, logarithm."""
    torch = module("torch")
    melscale_fbanks = module("torchaudio.functional").melscale_fbanks

    window = torch.hann_window(400, device="cuda")
    filters = (
        melscale_fbanks(201, 0.0, 8000.0, 80, RATE, norm="slaney", mel_scale="slaney").cuda().T
    )

    def compute(x: Any) -> Any:
        spectrum = torch.stft(x, 400, 160, window=window, return_complex=True)
        power = spectrum[..., :-1].abs().square()
        logs = (filters @ power).clamp(min=1e-10).log10()
        top = logs.amax(dim=(-2, -1), keepdim=True)
        return (torch.maximum(logs, top - 8.0) + 4.0) / 4.0

    return compute


def torch_fbank(x: Any) -> Any:
    """Kaldi's bands by torchaudio, a clip at a time as it takes them."""
    torch, kaldi = module("torch"), module("torchaudio.compliance.kaldi")

    rows = x if x.ndim == 2 else x[None]
    return torch.stack(
        [kaldi.fbank(row[None], num_mel_bins=80, sample_frequency=RATE, dither=0.0) for row in rows]
    )


def _in_turn(work: Callable[[Any], Any], given: list[Any]) -> Callable[[], object]:
    # Several inputs, so that not the cache of one of them is measured.
    turn = itertools.cycle(given)
    return lambda: work(next(turn))


def times(_: argparse.Namespace) -> Facts:
    """30 s clips, 1 and 64 at once, against torch and torchaudio on the same GPU: ratios of call
    times (above 1: theirs takes longer), milliseconds by host clock, events, and kernels alone."""
    torch = module("torch")

    facts: Facts = {}
    peers: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], float]] = {}
    try:
        peers["log_mel / torch.stft"] = (device_features.log_mel, torch_log_mel(), 2e-2)
        peers["fbank / torchaudio kaldi"] = (
            lambda x: device_features.fbank(x, RATE),
            torch_fbank,
            0.1,
        )
    except ImportError as error:
        facts["left out"] = str(error)
    sets = [torch.from_numpy(noise(64, 480_000, seed=s)).cuda() for s in range(3)]
    copied = torch.empty_like(sets[0])
    ms = event_ms(lambda: copied.copy_(sets[1]))
    facts["device copy, TB/s"] = round(2 * copied.numel() * 4 / ms / 1e9, 2)
    for clips in (1, 64):
        given = [one[:clips].contiguous() for one in sets]
        for name, (own, theirs, tolerance) in peers.items():
            sides = [_in_turn(work, given) for work in (own, theirs)]
            apart = torch.from_dlpack(own(given[0])) - theirs(given[0])
            rounds = 30 if clips == 1 or "stft" in name else 8
            calls = [median_ms(side, rounds) for side in sides * 2]
            measured = [[fn(side) for side in sides] for fn in (event_ms, kernel_ms)]
            best = [min(calls[0::2]), min(calls[1::2])]
            least = clips * (480_000 + 80 * 3000) * 4 / facts["device copy, TB/s"] / 1e9
            facts[f"{name}, {clips} x 30 s"] = {
                "ratio": round(best[1] / best[0], 2),
                "call ms": [round(t, 3) for t in best],
                "call ms, second time": [round(t, 3) for t in (max(calls[0::2]), max(calls[1::2]))],
                "events ms": [round(t, 3) for t in measured[0]],
                "kernels ms": [round(t, 3) for t in measured[1]],
                "least by bytes, ms": round(least, 4),
                "max difference": float(apart.abs().max()),
                "quantile .999": float(np.quantile(apart.abs().cpu().numpy()[:2], 0.999)),
            }
            print(name, clips, facts[f"{name}, {clips} x 30 s"], flush=True)
            if facts[f"{name}, {clips} x 30 s"]["quantile .999"] > tolerance:
                facts["passed"] = False
    return facts

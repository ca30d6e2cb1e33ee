"""A speech model on one thread, samples in, scores out, against its checkpoint in torch.

    python -m bench.speech --checkpoint DIR [--model M] [--rounds N] [--clips N]
        [--clock wall|cpu] [--out FOLDER]

The peer is transformers' `WhisperFeatureExtractor` on each clip alone and the checkpoint's network
in torch, one thread, float32; each takes the clips one by one, and in batches of 16 of similar
length. Both sides run in one process in turn: see timing.py. What they decide must agree on all but
one clip in ten, as int8 flips near ties.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import numpy.typing as npt

import affectrt
from affectrt import features

from .prosody import SPEECH
from .report import spread_cell, write_results
from .timing import (
    CLOCK_NAMES,
    CLOCKS,
    ROOT,
    interleave,
    machine,
    percentiles,
    ratio,
    seconds,
    use_clock,
)

RATE = 16000
BATCH = 16
Clip = npt.NDArray[np.float32]


def recordings(count: int) -> list[Clip]:
    """Clips of EmoDB and RAVDESS in turn, up to 8 s each, the shortest first."""
    packs = [sorted((SPEECH / pack).glob("*.flac")) for pack in ("emodb", "ravdess")]
    files = [file for pair in zip(*packs, strict=False) for file in pair][:count]
    if not files:
        raise SystemExit(f"no recordings in {SPEECH}")
    clips = [features.read_audio(file)[0][: 8 * RATE, 0].copy() for file in files]
    return sorted(clips, key=len)


def torch_side(folder: Path) -> Callable[[list[Clip]], npt.NDArray[Any]]:
    """Logits of the first head of a batch of clips."""
    import torch
    from transformers import WhisperFeatureExtractor

    from affectrt.export.speech_checkpoint import load_speech_checkpoint, pad

    torch.set_num_threads(1)
    loaded = load_speech_checkpoint(folder)
    extractor = WhisperFeatureExtractor(feature_size=loaded.num_mels)
    output = loaded.heads[0].output

    def answer(clips: list[Clip]) -> npt.NDArray[Any]:
        rows = [extractor._np_extract_fbank_features(clip[None], "cpu")[0] for clip in clips]
        with torch.inference_mode():
            return loaded.model(*pad(rows))[output].numpy()

    return answer


def one_by_one(side: Callable[[list[Clip]], Any], clips: list[Clip]) -> list[Any]:
    return [side([clip]) for clip in clips]


def batches(side: Callable[[list[Clip]], Any], clips: list[Clip]) -> list[Any]:
    return [side(clips[i : i + BATCH]) for i in range(0, len(clips), BATCH)]


def main() -> None:
    """Measures, and writes `MODEL`.md and .json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--model", default="speech")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--clips", type=int, default=48, metavar="N")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments = parser.parse_args()
    use_clock(arguments.clock)
    model: Any = affectrt.load(arguments.model, num_threads=1)
    clips = recordings(arguments.clips)
    total_s = sum(map(len, clips)) / RATE
    peer = torch_side(arguments.checkpoint)

    def own(batch: list[Clip]) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = model.predict_logits(batch, sample_rate=RATE)
        return found

    said = [np.concatenate(one_by_one(side, clips)).argmax(1) for side in (own, peer)]
    alike = float((said[0] == said[1]).mean())
    if alike < 0.9:
        raise SystemExit(f"affectrt and torch decide alike on {100 * alike:.0f} % of the clips")
    rows = []
    for job, work in (("one by one", one_by_one), (f"batches of {BATCH}", batches)):
        times = interleave(
            {
                "own": lambda work=work: seconds(lambda: work(own, clips)),  # type: ignore[misc]
                "theirs": lambda work=work: seconds(lambda: work(peer, clips)),  # type: ignore[misc]
            },
            arguments.rounds,
        )
        rows.append(
            {
                "job": job,
                "ratio": ratio(times["theirs"], times["own"]).to_dict(),
                "own_real_time_factor": statistics.median(times["own"]) / total_s,
                "peer_real_time_factor": statistics.median(times["theirs"]) / total_s,
            }
        )
    alone = [seconds(lambda clip=clip: own([clip])) for clip in clips]  # type: ignore[misc]
    data = {
        "machine": machine(),
        "model": model.info.name,
        "precision": model.info.precision,
        "backend": model.info.backend_detail,
        "clock": arguments.clock,
        "clips": len(clips),
        "seconds": total_s,
        "alike": alike,
        "rows": rows,
        "latency_ms": {k: 1e3 * v for k, v in percentiles(alone).items() if k != "count"},
    }
    text = markdown(data)
    write_results(arguments.out, model.info.name, data, text)
    sys.stdout.write(text)


def markdown(data: dict[str, Any]) -> str:
    """The table."""
    host, latency = data["machine"], data["latency_ms"]
    lines = [
        "# A speech model against its checkpoint in torch",
        "",
        f"`python -m bench.speech`, {host['date']}, revision {host['revision']}; {host['cpu']}, "
        f"{data['backend']}; model {data['model']!r} ({data['precision']}), {data['clips']} clips "
        f"of {data['seconds'] / data['clips']:.1f} s on average, one thread, "
        f"{CLOCK_NAMES[data['clock']]}. How many times as "
        "fast affectrt is: median, quartiles in brackets; a real-time factor is computing time "
        "over the time of the sound.",
        "",
        "| clips | times as fast as torch | real-time factor | of torch |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['job']} | {spread_cell(row['ratio'])} | {row['own_real_time_factor']:.4f} | "
        f"{row['peer_real_time_factor']:.4f} |"
        for row in data["rows"]
    ]
    lines += [
        "",
        f"One clip: p50 {latency['p50']:.1f} ms, p90 {latency['p90']:.1f}, p99 "
        f"{latency['p99']:.1f}. Both decide the same on {100 * data['alike']:.0f} % of the clips.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

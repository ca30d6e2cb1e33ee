"""A public QDQ turn detector packed by affectrt, beside its own package: scores and time.

    pip install --no-deps pipecat-ai
    python -m bench.turn_detector --data ../shared/data/speech

The peer is smart-turn v3 of PyPI's ``pipecat-ai`` (BSD 2-Clause), a Whisper-shaped graph with int8
weights and activations that tells whether a speaker is done, run as its package runs it: features
in NumPy, onnxruntime; and once more with the feature extractor of transformers that the package
used before. Ours is the same graph, packed by ``affectrt export`` and run by affectrt with its own
features. How far rounding alone moves such a graph's scores is told by its package's features with
noise of 1e-6. The clips are test files of RAVDESS and EmoDB, whole and with their last second cut
off. Times are of one clip after another, sides in turn. Writes ``turn_detector.{json,md}``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import affectrt
from affectrt import features

from .report import write_results
from .timing import CLOCKS, ROOT, interleave, machine, one_by_one, ratio, spread, use_clock

RESULTS = ROOT / "bench" / "results"
RATE, SECONDS = 16000, 8
NOISE = 1e-6
FEATURES = "whisper_log_mel,normalise=true,silence=before"
Clip = npt.NDArray[np.float32]
Side = Callable[[Clip], float]


def peer_folder() -> Path:
    """``smart_turn`` of the installed package, which is not imported: it asks for much more."""
    found = importlib.util.find_spec("pipecat")
    if found is None or not found.submodule_search_locations:
        sys.exit("the peer is not installed: pip install --no-deps pipecat-ai")
    return Path(found.submodule_search_locations[0]) / "audio" / "turn" / "smart_turn"


def peer_graph() -> Path:
    """The detector."""
    return next(iter(sorted((peer_folder() / "data").glob("*.onnx"))))


def peer_features() -> Callable[[Clip], Clip]:
    """The package's own, ``float32 [80, 800]`` of 8 s."""
    spec = importlib.util.spec_from_file_location("peer", peer_folder() / "_whisper_features.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[[Clip], Clip] = module.compute_whisper_log_mel_features
    return made


def of_transformers() -> Callable[[Clip], Clip]:
    """What the package's features stand in for."""
    from transformers import WhisperFeatureExtractor

    make: Any = WhisperFeatureExtractor
    extractor = make(chunk_length=SECONDS)

    def compute(clip: Clip) -> Clip:
        found = extractor(clip, sampling_rate=RATE, return_tensors="np", do_normalize=True)
        return np.asarray(found.input_features[0], np.float32)

    return compute


def by_hand(graph: Path, compute: Callable[[Clip], Clip], threads: int) -> Side:
    """The peer as its package runs it: the last 8 s, or silence before."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def side(clip: Clip) -> float:
        heard = clip[-SECONDS * RATE :]
        heard = np.pad(heard, (SECONDS * RATE - len(heard), 0))
        (scores,) = session.run(None, {"input_features": compute(heard)[None]})
        return float(scores[0, 0])

    return side


def with_noise(compute: Callable[[Clip], Clip]) -> Callable[[Clip], Clip]:
    """Features that differ as little as those of two exact implementations may."""
    random = np.random.default_rng(2)

    def noisy(clip: Clip) -> Clip:
        made = compute(clip)
        return np.asarray(made + random.normal(0.0, NOISE, made.shape), np.float32)

    return noisy


def by_affectrt(model: Path, threads: int) -> Side:
    """The packed graph."""
    loaded: Any = affectrt.load(model, num_threads=threads)
    return lambda clip: float(loaded.predict_proba(clip[-SECONDS * RATE :], sample_rate=RATE)[0, 0])


def read_clips(data: Path, count: int) -> list[Clip]:
    """Test files, by turns whole and without their last second."""
    files: list[Path] = []
    for pack in ("ravdess", "emodb"):
        rows = map(json.loads, (data / pack / "metadata.jsonl").read_text("utf-8").splitlines())
        files += [data / pack / row["file"] for row in rows if row["split"] == "test"]
    picked = np.random.default_rng(1).permutation(len(files))[:count]
    clips = [features.read_audio(files[i])[0][:, 0] for i in picked]
    return [clip if i % 2 else clip[:-RATE] for i, clip in enumerate(clips)]


def to_markdown(data: dict[str, Any]) -> str:
    """The table, with how it was made."""
    found = ", ".join(f"{k} {v}" for k, v in data["machine"]["packages"].items())
    lines = [
        "# A public turn detector",
        "",
        f"`{data['command']}` ({data['machine']['cpu']}, {data['threads']} thread(s), "
        f"{data['clock']} time, {data['date']}; {found}, pipecat-ai's {data['graph']}).",
        "",
        f"Exported by `{data['export']}`: {data['verdict']}; features differ from transformers' by "
        f"at most {data['feature_difference']:.1e}, logits by {data['logit_difference']:.1e}.",
        "",
        f"{data['clips']} clips of {data['seconds']:.1f} s in the mean; scores against the "
        f"package's own. Times of {data['timed']} clips, one after another, sides in turn, "
        f"{data['rounds']} rounds; in brackets the quartiles over rounds.",
        "",
        "Its int8 activations make steps of what is rounding elsewhere: noise of 1e-6 on the "
        "package's own features moves scores as the line of that name says.",
        "",
        "| side | score differs, mean (most) | decided otherwise | ms a clip | peer's time / its |",
        "|---|---|---|---|---|",
    ]
    for name, row in data["sides"].items():
        ms, speedup = row["ms"], row["speedup"]
        lines.append(
            f"| {name} | {row['mean_difference']:.1e} ({row['max_difference']:.1e}) | "
            f"{row['changed']} | {ms['median']:.2f} ({ms['lower']:.2f}-{ms['upper']:.2f}) | "
            f"{speedup['median']:.2f} ({speedup['lower']:.2f}-{speedup['upper']:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--timed", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    use_clock(args.clock)
    from affectrt.export import Source, export_checkpoint

    graph = peer_graph()
    clips = read_clips(args.data, args.clips)
    with tempfile.TemporaryDirectory(prefix="affectrt-turns-") as folder:
        packed = Path(folder) / "turns.affect"
        source = Source(graph, features=FEATURES, labels=("complete",))
        report: Any = export_checkpoint(source, packed)
        sides = {
            "pipecat": by_hand(graph, peer_features(), args.threads),
            "pipecat, noise of 1e-6": by_hand(graph, with_noise(peer_features()), args.threads),
            "transformers' features": by_hand(graph, of_transformers(), args.threads),
            "affectrt": by_affectrt(packed, args.threads),
        }
        scores = {name: np.asarray([side(clip) for clip in clips]) for name, side in sides.items()}

        few = clips[: args.timed]
        times = interleave({name: one_by_one(s, few) for name, s in sides.items()}, args.rounds)
    found: dict[str, dict[str, Any]] = {}
    for name, values in scores.items():
        difference = np.abs(values - scores["pipecat"])
        found[name] = {
            "mean_difference": float(difference.mean()),
            "max_difference": float(difference.max()),
            "changed": int(((values > 0.5) != (scores["pipecat"] > 0.5)).sum()),
            "ms": spread([1e3 * t / args.timed for t in times[name]]).to_dict(),
            "speedup": ratio(times["pipecat"], times[name]).to_dict(),
        }
    about = machine()
    data = {
        "command": shlex.join(["python", "-m", "bench.turn_detector", *sys.argv[1:]]),
        "machine": about,
        "date": about["date"],
        "graph": graph.name,
        "export": shlex.join(["affectrt", "export", graph.name, *source.flags()]),
        "verdict": "passed" if report.passed else "failed",
        "feature_difference": report.features.max_difference,
        "logit_difference": report.heads[0].max_logit_difference,
        "threads": args.threads,
        "clock": args.clock,
        "clips": len(clips),
        "seconds": float(np.mean([len(clip) for clip in clips]) / RATE),
        "timed": args.timed,
        "rounds": args.rounds,
        "sides": found,
    }
    text = to_markdown(data)
    write_results(args.out, "turn_detector", data, text)
    print(text)


if __name__ == "__main__":
    main()

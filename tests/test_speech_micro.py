"""The embedded model speech-micro: what it promises, and that it hears."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import speech_packs

import affectrt

PACKS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "speech"
MOST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def micro() -> affectrt.SpeechModel:
    return affectrt.load("speech-micro", num_threads=1)


def test_what_the_file_promises(micro: affectrt.SpeechModel) -> None:
    info, large = micro.info, affectrt.load("speech").info
    assert Path(info.path).stat().st_size <= MOST_BYTES
    assert [(h.name, h.task, h.labels) for h in info.heads] == [
        (h.name, h.task, h.labels) for h in large.heads
    ]
    assert info.licence == large.licence
    assert "NON-COMMERCIAL" in json.dumps(info.licence)
    affectrt.load("speech-micro", require_parity=True)
    assert micro.embed([speech_packs.clip(1.0)], sample_rate=16000).shape == (1, 2 * 384)


def test_hears_test_speakers(micro: affectrt.SpeechModel) -> None:
    folder = PACKS / "ravdess"
    if not folder.is_dir():
        pytest.skip("the data packs are not beside the checkout")
    lines = (folder / "metadata.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"][::6]
    labels = {row["emotion"] for row in rows}
    results = micro([folder / row["file"] for row in rows], among={"emotion": labels})
    right = [r.decided[0] == row["emotion"] for r, row in zip(results, rows, strict=True)]
    assert sum(right) >= 0.5 * len(rows)  # 23; chance is 5
    sexes = [r.speaker_sex == row["sex"] for r, row in zip(results, rows, strict=True)]
    assert sum(sexes) >= 0.9 * len(rows)

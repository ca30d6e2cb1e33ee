"""``python -m bench.kernels``: its programs run, and its report holds what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmake_build import built

pytest.importorskip("matplotlib")
from bench import kernels

TEXTS = ("I can't stop smiling!", "Not again.", "We close at nine on weekdays, at six on Sundays.")


@pytest.fixture(scope="module")
def programs() -> Path:
    return built("dev", *kernels.PROGRAMS) / "bench" / "cpp"


def test_report(programs: Path, default_model: Path, tmp_path: Path) -> None:
    """The programs compare with the scalar reference, and with the plain backend, themselves."""
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS * 4) + "\n", encoding="utf-8")
    measured = kernels.run(
        programs / "kernels_bench", "--rounds", "1", "--seconds", "0.000001", isa=""
    )
    offline = kernels.run(
        programs / "offline_profile", str(default_model), str(texts), "--rounds", "1", isa=""
    )
    assert offline["texts"] == 12
    assert offline["macs_int"] > 12 * 1e6
    assert sum(offline["share_of_encode"].values()) == pytest.approx(1, abs=1e-6)
    if "peak" not in measured:
        pytest.skip("no vector instructions that are known: there is no peak to compare with")
    run_of = {"kernels": measured, "offline": offline, "python_share": 0.1}
    shares = dict(kernels.profile(run_of))
    assert shares["Python: arguments and results"] == 0.1
    assert shares["matrix products"] > 0
    data = {
        "machine": {"cpu": "a CPU", "date": "today", "revision": "abc"},
        "provisional": True,
        "texts": 12,
        "split": "test",
        "isas": {measured["isa"]: run_of},
    }
    report = kernels.markdown(data)
    assert "Provisional" in report
    assert "MiniLM-L6 up, 384 x 1536 (bias, GELU)" in report
    assert "| all | s16 | " in report
    assert offline["macs_attention"] > 12 * 1e4
    kernels.picture(data, tmp_path / "kernels.png")
    assert (tmp_path / "kernels.png").stat().st_size > 1000


def test_programs_refuse_bad_arguments(programs: Path, default_model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="usage"):
        kernels.run(programs / "kernels_bench", "--fast", isa="")
    with pytest.raises(SystemExit, match="not a number"):
        kernels.run(programs / "kernels_bench", "--seconds", "soon", isa="")
    with pytest.raises(SystemExit, match="AFFECTRT_ISA='abacus'"):
        kernels.run(programs / "kernels_bench", isa="abacus")
    gone = str(tmp_path / "gone.txt")
    with pytest.raises(SystemExit, match="cannot read"):
        kernels.run(programs / "offline_profile", str(default_model), gone, isa="")

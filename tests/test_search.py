"""The search for layers that need more than int8: on made-up costs, and on a checkpoint."""

# ruff: noqa: E402  (imports behind importorskip)

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

for needed in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "safetensors"):
    pytest.importorskip(needed)

import export_models as em
from conftest import Made
from safetensors.numpy import load as load_tensors

import affectrt
from affectrt.errors import ExportError
from affectrt.export import export_checkpoint, verify
from affectrt.export.bundle import read_manifest
from affectrt.export.mixed_precision import units_of
from affectrt.export.search import Bar, Figures, Plan, Search, Speed, Unit, search
from affectrt.export.search_picture import to_svg

UNITS = (
    Unit("a", ("a",), 1000, 1000),
    Unit("b", ("b.q", "b.k"), 1000, 1000),
    Unit("c", ("c",), 4000, 4000),
    Unit("d", ("d",), 1000, 1000),
    Unit("table", ("table",), 9000, 0),
)
# What each unit costs at int8; a hundredth of it at int8-accurate.
HARM = {"a": 0.001, "b": 0.02, "c": 0.004, "d": 0.003, "table": 0.0005}


class Costs:
    """Adds up the harm of units; counts what it was asked."""

    def __init__(self, harm: Mapping[str, float] = HARM, of_accurate: float = 0.01) -> None:
        self.harm, self.of_accurate = harm, of_accurate
        self.asked: list[Plan] = []
        self.stop_after = 10**9
        self.timed = False

    def __call__(self, plan: Plan) -> Figures:
        if len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(plan)
        rest = {"int8": 1.0, "int8-accurate": self.of_accurate, "fp32": 0.0}
        lost = sum(h * rest[plan.get(name, "int8")] for name, h in self.harm.items())
        speed = None
        if self.timed:
            ratio = 1.0 + 0.1 * len(plan)
            speed = Speed(2.0 * ratio, 2.0, ratio, ratio - 0.05, ratio + 0.05, 240)
        return 16000, lost, lost / 2, lost**2 + lost / 10, speed


def run(
    costs: Costs,
    bar: Bar,
    state: Path | None = None,
    levels: Sequence[str] = ("int8", "int8-accurate", "fp32"),
    identity: Mapping[str, Any] | None = None,
) -> Search:
    return search(
        Search("native", bar, UNITS, tuple(levels)),
        costs,
        state=state,
        identity=identity or {"source": "x"},
        progress=lambda _: None,
    )


def test_int8_that_holds_is_said_at_once() -> None:
    costs = Costs()
    found = run(costs, Bar("flips", 0.05))
    assert len(costs.asked) == 1
    assert found.plan() == {}
    assert "which holds it: nothing needs more" in found.to_text()
    assert "5 % flips" in found.to_text()


def test_the_fewest_units_are_raised() -> None:
    found = run(Costs(), Bar("flips", 0.01))  # 0.0285 in all
    assert found.plan() == {"b": "int8-accurate"}
    assert found.weights("int8-accurate") == ("b.q", "b.k")
    assert run(Costs(), Bar("flips", 0.006)).plan() == {"b": "int8-accurate", "d": "int8-accurate"}
    assert set(run(Costs(), Bar("flips", 0.002)).plan()) == {"b", "c", "d"}
    text = found.to_text()
    assert "chosen: 1 of 5 units above int8, flips 0.870 %" in text
    assert "table" not in text  # there is nothing between int8 and float for a table


def test_what_is_not_needed_is_dropped_again() -> None:
    # By error for time, d comes before c; with c raised, d is not needed.
    harm = {"a": 0.0, "b": 0.0, "c": 0.009, "d": 0.003, "table": 0.0}
    assert set(run(Costs(harm), Bar("flips", 0.004)).plan()) == {"c"}


def test_float_where_more_bits_do_not_help() -> None:
    found = run(Costs(of_accurate=0.9), Bar("flips", 0.01))
    assert found.plan()["b"] == "fp32"
    assert {level for name, level in found.plan().items() if name != "b"} <= {"int8-accurate"}
    only = run(Costs(), Bar("flips", 0.01), levels=("int8", "fp32"))
    assert only.plan() == {"b": "fp32"}
    assert only.cost(UNITS[1], "int8", "fp32")[0] == 3000
    assert "+0.00 MB" in only.to_text()


def test_a_loss_is_measured_where_there_are_targets() -> None:
    assert run(Costs(), Bar("loss", 0.005)).plan() == {"b": "int8-accurate"}

    def no_targets(plan: Plan) -> Figures:
        return 1, 0.0, None, 0.0, None

    found = Search("native", Bar("loss", 0.1), UNITS, ("int8", "fp32"))
    with pytest.raises(ExportError, match="give --data with targets, or --max-flips"):
        search(found, no_targets, state=None, identity={}, progress=print)


def test_a_bar_that_nothing_holds(tmp_path: Path) -> None:
    def always(plan: Plan) -> Figures:
        return 1, 0.5, 0.5, 1.0, None

    found = Search("native", Bar("flips", 0.1), UNITS, ("int8", "fp32"))
    with pytest.raises(ExportError, match=r"not even fp32 of all layers .* 50\.000 %"):
        search(found, always, state=None, identity={}, progress=lambda _: None)


def test_a_stopped_search_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "x.search.json"
    whole = Costs()
    wanted = run(whole, Bar("flips", 0.002)).to_dict()
    stopped = Costs()
    stopped.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        run(stopped, Bar("flips", 0.002), state)
    rest = Costs()
    assert run(rest, Bar("flips", 0.002), state).to_dict() == wanted
    assert len(stopped.asked) + len(rest.asked) == len(whole.asked)
    again = Costs()
    assert run(again, Bar("flips", 0.002), state).to_dict() == wanted
    assert again.asked == []
    stored = json.loads(state.read_text("utf-8"))["searches"]["native"]
    assert stored == json.loads(json.dumps(wanted))
    # of another checkpoint nothing is taken over
    other = Costs()
    run(other, Bar("flips", 0.002), state, identity={"source": "y"})
    assert len(other.asked) == len(whole.asked)
    state.write_text("[1]", "utf-8")
    with pytest.raises(ExportError, match="is no record of a search"):
        run(Costs(), Bar("flips", 0.002), state)


def test_units_are_what_is_multiplied_as_one() -> None:
    shapes = {
        "layer.0.self.query.weight": (4, 4),
        "layer.0.self.key.weight": (4, 4),
        "layer.0.self.value.weight": (4, 4),
        "layer.0.out.weight": (4, 8),
        "word_embeddings.weight": (50, 4),
    }
    matrices = [n for n in shapes if "layer" in n]
    units = units_of(shapes, matrices, ["word_embeddings.weight"])
    assert [(u.name, u.values, u.macs) for u in units] == [
        ("layer.0.self.key+query+value", 48, 48),
        ("layer.0.out", 32, 32),
        ("word_embeddings", 200, 0),
    ]


def test_the_picture_is_one() -> None:
    found = run(Costs(), Bar("flips", 0.006))
    tree = ElementTree.fromstring(to_svg(found, "<name> & co"))
    circles = tree.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == len(found.points)
    assert "<name> & co on native" in "".join(tree.itertext())
    assert to_svg(run(Costs(), Bar("loss", 0.9)), "x")  # one point alone


def test_measured_times_are_told_drawn_and_kept(tmp_path: Path) -> None:
    costs = Costs()
    costs.timed = True
    found = run(costs, Bar("flips", 0.006), tmp_path / "x.search.json")
    assert found.plan() == run(Costs(), Bar("flips", 0.006)).plan()  # times decide nothing
    assert (
        "measured: 2.40 ms a text, all at int8 2.00 ms; time +20.0 % (quartiles +15.0 to +25.0 %"
        in found.to_text()
    )
    again = run(Costs(), Bar("flips", 0.006), tmp_path / "x.search.json")
    assert again.points == found.points
    tree = ElementTree.fromstring(to_svg(found, "x"))
    words = "".join(tree.itertext())
    assert "measured time of a text" in words
    assert "2.40 ms a text" in words
    assert "estimated time" in to_svg(run(Costs(), Bar("flips", 0.006)), "x")


# On a checkpoint


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tuned(made: Made) -> Path:
    return made(
        "tuned_bert_single_label",
        lambda folder: em.write_tuned_checkpoint(folder, "bert", "single_label"),
    )


def test_a_search_from_checkpoint_to_file(tuned: Path, tmp_path: Path) -> None:
    data = em.write_jsonl(tmp_path / "dev.jsonl", em.toy_rows(300, 2, "single_label"))
    steps: list[str] = []
    out = tmp_path / "x.affect"
    # No toy has flips at int8 on data it was trained for: the bar is on rounding itself.
    report = export_checkpoint(
        tuned, out, precision="int8", data=data, max_loss=0.003, progress=steps.append
    )
    assert report.passed
    assert report.precision == "int8"
    assert any("which holds it: nothing needs more" in step for step in steps)
    assert (tmp_path / "x.search.native.svg").exists()
    assert read_manifest(out)["recipe"].endswith("--max-loss 0.003 --data dev.jsonl")


def test_raised_layers_are_in_the_file(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from affectrt.export import mixed_precision

    random = made("export_bert", lambda folder: em.write_random_checkpoint(folder, "bert"))
    real = mixed_precision.Measure.__call__

    def error_as_flips(self: Any, plan: Plan) -> Figures:
        size, _, loss, error, speed = real(self, plan)
        return size, error, loss, error, speed  # a smooth bar, so that something has to be raised

    monkeypatch.setattr(mixed_precision.Measure, "__call__", error_as_flips)
    sizes, plans = {}, {}
    for engine in ("native", "onnxruntime"):
        out = tmp_path / f"{engine}.affect"
        whole = export_checkpoint(
            random, tmp_path / f"{engine}8.affect", precision="int8", engines=[engine],
            enforce_bars=False,
        )  # fmt: skip
        start = json.loads(json.dumps(whole.to_dict()))["heads"][0]["mean_logit_difference"]
        report = export_checkpoint(
            random, out, precision="int8", engines=[engine], max_flips=1e-4, enforce_bars=False,
            search_times=engine == "native",
        )  # fmt: skip
        assert {key.split()[0] for key in report.higher_precision} == {engine}
        plans[engine] = report.higher_precision
        assert report.precision == "int8-mixed"
        assert report.heads[0].mean_logit_difference < start
        record = json.loads((tmp_path / f"{engine}.search.json").read_text("utf-8"))
        assert record["searches"][engine]["plan"]
        speeds = [point["speed"] for point in record["searches"][engine]["points"]]
        assert all((speed is not None) == (engine == "native") for speed in speeds)
        for speed in speeds if engine == "native" else ():
            assert 0 < speed["low"] <= speed["ratio"] <= speed["high"]
            assert speed["texts"] == 112
        sizes[engine] = out.stat().st_size
        model = affectrt.load(out, backend=engine)
        assert model.info.precision == "int8-mixed"
        texts = ["happy and glad", "no", "the train was late"]
        alone = np.concatenate([model.predict_logits(text) for text in texts])
        np.testing.assert_allclose(model.predict_logits(texts), alone, atol=1e-4)
        with pytest.MonkeyPatch.context() as patch:  # the bars of the file are what verify asks
            patch.setattr("affectrt.export.parity.broken_bars", lambda *_: ())
            assert not verify(out, random).failures
    import zipfile

    with zipfile.ZipFile(tmp_path / "native.affect") as archive:
        content = archive.read("weights.safetensors")
    tensors = load_tensors(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    bits = header["__metadata__"]["affectrt.activation_bits"].split()
    assert bits[0] == "8"
    wide = plans["native"].get("native int8-accurate", [])
    assert {b.removeprefix("16:") for b in bits[1:]} == set(wide)
    for name in wide:
        assert np.abs(tensors[f"{name}.weight"].astype(int)).max() > 63
    for name in plans["native"].get("native fp32", []):
        assert tensors[f"{name}.weight"].dtype == np.float32


def test_bars_that_contradict(made: Made, tmp_path: Path) -> None:
    random = made("export_bert", lambda folder: em.write_random_checkpoint(folder, "bert"))
    out = tmp_path / "x.affect"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"max_loss": 0.1, "max_flips": 0.1}, "two bars"),
        ({"max_flips": 1.0}, r"from 0 to below 1"),
        ({"max_flips": -0.1}, r"from 0 to below 1"),
        ({"max_flips": 0.1, "precision": "fp32"}, "searches from 'int8' upwards"),
        ({"max_loss": 0.1}, "no row has a target"),
    ]
    for given, message in wrong:
        with pytest.raises(ExportError, match=message):
            export_checkpoint(random, out, **{"precision": "int8", **given})
    assert not out.exists()

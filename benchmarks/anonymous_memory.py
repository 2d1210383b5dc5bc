"""The memory that a process holds itself: Linux only."""

from __future__ import annotations

from pathlib import Path


def anonymous_memory(pid: int | None = None) -> int | None:
    """Bytes of this process, or of that one, that belong to no mapped file; None where nobody says so."""
    try:
        lines = Path(f"/proc/{'self' if pid is None else pid}/status").read_text().splitlines()
    except OSError:  # another system, or the process has ended
        return None
    found = [line.split() for line in lines if line.startswith("RssAnon:")]
    return int(found[0][1]) * 1024 if found else None

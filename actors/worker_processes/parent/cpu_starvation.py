"""Whether a worker that does not answer could not: a process that is ready to run but gets no processor is
not dead.

The kernel knows. Without a `/proc` nothing is known, and silence counts. The supervisor's thread.
"""

from __future__ import annotations

import os
import time

__all__ = ["CpuStarvation"]

SHARE = 0.1
"""The share of a processor below which a process that could run is starved; one that is left to run gets
nearly all of it."""

_TICKS = os.sysconf("SC_CLK_TCK")


class CpuStarvation:
    """Watches one process."""

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        self._folder = f"{proc}/{pid}"
        self._seen: tuple[float, float] | None = None

    def is_starved(self, now: float | None = None) -> bool:
        """Whether it has been starved since the last call, as far as is known: one of its threads is ready to
        run, neither waiting nor stopped, and all of them together had hardly any processor time."""
        now = time.monotonic() if now is None else now
        try:
            used = self._used()
            ready = self._ready()
        except (OSError, ValueError, IndexError):
            self._seen = None
            return False
        before, self._seen = self._seen, (now, used)
        return ready and before is not None and used - before[1] < SHARE * (now - before[0])

    def _used(self) -> float:
        """Seconds of processor time."""
        fields = _fields(f"{self._folder}/stat")
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _ready(self) -> bool:
        return any(
            _fields(f"{self._folder}/task/{thread}/stat")[0] == "R"
            for thread in os.listdir(f"{self._folder}/task")
        )


def _fields(path: str) -> list[str]:
    """The fields after the program's name, which may hold anything; the first is the state."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()

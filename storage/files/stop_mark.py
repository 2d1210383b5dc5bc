"""How the last opener of a store left it: noted in its lock file, below the line that says who holds it. Any thread.

A line of one length, so that writing another one over it needs no room: `opening`, `open` or `closed`, how many ends
before this opening were unclean in a row, and the boot of the machine. A process that dies leaves `open` behind, and its
files are good: what it wrote is in the system's cache. A machine that goes down leaves another boot's id; and what ends
the process whenever it is opened, as LMDB does over some damaged pages, leaves `opening`, or one unclean end after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["StopMark", "current_boot_id"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATES = ("opening", "open", "closed")
_MOST = 99
_BOOT_LENGTH = 36


def current_boot_id() -> str:
    """The id of this run of the machine; empty where the system has none, which then equals no other one.

    Raises OSError, for want of a file above all: it must not be taken for another run.
    """
    try:
        return _BOOT_ID.read_text().strip()
    except (FileNotFoundError, PermissionError):
        return ""


@dataclass(frozen=True, slots=True)
class StopMark:
    """What is noted. `unclean` counts the ends without `closed` before this opening."""

    state: str
    unclean: int
    boot_id: str

    @classmethod
    def read(cls, text: str) -> StopMark | None:
        """The mark in what a lock file holds; None where there is none."""
        _, _, line = text.partition("\n")
        fields = line.split()
        if len(fields) < 2 or fields[0] not in _STATES or not fields[1].isdecimal():
            return None
        return cls(fields[0], int(fields[1]), fields[2] if len(fields) > 2 else "")

    @classmethod
    def opening(cls, before: StopMark | None) -> StopMark:
        """The mark of an opening that begins now, after what `before` says."""
        unclean = 0 if before is None or before.state == "closed" else min(before.unclean + 1, _MOST)
        return cls("opening", unclean, current_boot_id())

    def line(self) -> str:
        """As it is noted."""
        return f"{self.state:<7} {self.unclean:02} {self.boot_id[:_BOOT_LENGTH]:<{_BOOT_LENGTH}}\n"

    def doubt(self) -> str | None:
        """Why the files are to be looked at before anything maps them, or None."""
        if self.state == "closed":
            return None
        if not self.boot_id or self.boot_id != current_boot_id():
            return "the machine went down while it was in use"
        if self.state == "opening":
            return "the last opening did not come to its end"
        return "it has come to an unclean end twice in a row" if self.unclean else None

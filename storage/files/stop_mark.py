"""How the last opener of a store left it; the line below the holder's in its lock file. Any thread.

The line has a fixed length, so that overwriting it needs no space. It holds `opening`, `open` or `closed`;
how many openings in a row before this one ended uncleanly; and the boot id of the machine. A process that
dies leaves `open` behind, and its files are good: what it wrote is in the system's cache. A machine that goes
down leaves the id of another boot. A file that ends the process whenever it is opened, as some damaged pages
do, leaves `opening`, or one unclean end after another.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["StopMark", "current_boot_id"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATES = ("opening", "open", "closed")
_MAX_UNCLEAN = 99
_BOOT_LENGTH = 36


def current_boot_id() -> str:
    """The id of this run of the machine; empty, and equal to no other id, if the system has none.

    Raises OSError, above all if no more files can be opened: that must not look like another run.
    """
    try:
        return _BOOT_ID.read_text().strip()
    except (FileNotFoundError, PermissionError):
        return ""


class StopMark(NamedTuple):
    """The contents of the line. `unclean` counts the ends without `closed` before this opening."""

    state: str
    unclean: int
    boot_id: str

    @classmethod
    def read(cls, text: str) -> StopMark | None:
        """The mark in a lock file's text; None if there is none."""
        _, _, line = text.partition("\n")
        fields = line.split()
        if len(fields) < 2 or fields[0] not in _STATES or not fields[1].isdecimal():
            return None
        return cls(fields[0], int(fields[1]), fields[2] if len(fields) > 2 else "")

    @classmethod
    def opening(cls, before: StopMark | None) -> StopMark:
        """The mark of an opening that starts now; `before` is the mark that it found."""
        unclean = 0 if before is None or before.state == "closed" else min(before.unclean + 1, _MAX_UNCLEAN)
        return cls("opening", unclean, current_boot_id())

    def line(self) -> str:
        """The text that is written."""
        return f"{self.state:<7} {self.unclean:02} {self.boot_id[:_BOOT_LENGTH]:<{_BOOT_LENGTH}}\n"

    def doubt(self) -> str | None:
        """Why the files must be checked before they are mapped, or None."""
        if self.state == "closed":
            return None
        if not self.boot_id or self.boot_id != current_boot_id():
            return "the machine went down while it was in use"
        if self.state == "opening":
            return "the last opening did not finish"
        return "it was not closed cleanly twice in a row" if self.unclean else None

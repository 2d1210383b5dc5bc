"""Whether what is behind moves, in words: for health and for waits that timed out. Pure; any thread."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["STILL", "Lag", "counted"]

STILL = 2.0
"""Seconds without a change after which a lagging position counts as stalled."""


class Lag(NamedTuple):
    """How far behind something is.

    `still` is how long it has not moved, `rate` its positions a second, `left` the seconds until it is
    current, if these are known. `filling` says that it is being filled from the log, after it was opened or
    reset; after `still_after` seconds without a change it counts as stalled.
    """

    position: int
    behind: int
    seconds: float
    still: float
    rate: float | None = None
    left: float | None = None
    filling: bool = False
    still_after: float = STILL

    @property
    def is_stalled(self) -> bool:
        """Whether it has stalled."""
        return self.behind > 0 and self.still >= self.still_after

    @property
    def state(self) -> str:
        """In a word or two."""
        if not self.behind:
            return "current"
        return "stalled" if self.is_stalled else "filling" if self.filling else "moving"

    @property
    def text(self) -> str:
        """As the end of a sentence that begins with its name."""
        far = f"{self.seconds:.1f} s ({counted(self.behind)}) behind"
        if self.is_stalled:
            return f"{far} and has stood still at position {self.position} for {self.still:.1f} s"
        what = "being filled from the log" if self.filling else "catching up"
        if self.rate is None:
            return f"{far} and {what}"
        if self.left is None:
            return f"{far} and moves, but does not come nearer, at {self.rate:.0f} events/s"
        return f"{far} and {what} at {self.rate:.0f} events/s, for another {self.left:.0f} s or so"


def counted(events: int) -> str:
    """A number of events."""
    return f"{events} event{'s' * (events != 1)}"

"""Lines of progress on standard error for programs that take long. Main thread."""

from __future__ import annotations

import sys
import time

from actors.cli.json_values import json_line

__all__ = ["ProgressLines"]

EVERY = 1.0
"""Seconds between two lines, and before the first one."""


class ProgressLines:
    """Called with the position that is reached; writes a line now and then. A short run writes none."""

    def __init__(self, what: str, as_json: bool, unit: str = "events") -> None:
        """`what` is what is done, such as "exported", to `unit`."""
        self._what = what
        self._unit = unit
        self._as_json = as_json
        self._began = self._last = time.monotonic()

    def __call__(self, position: int, head: int) -> None:
        """`head` is the last position, that of the end."""
        now = time.monotonic()
        if now - self._last < EVERY:
            return
        self._last = now
        rate = position / (now - self._began)
        if self._as_json:
            document = {"progress": self._what, "position": position, "head": head, "per_second": round(rate)}
            line = json_line(document)
        else:
            share = 100 * position // max(head, 1)
            line = f"{self._what} {position:,} of {head:,} {self._unit} ({share} %), {rate:,.0f} a second"
        print(line, file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

"""The clock of all process managers of a system; shared by all threads."""

from __future__ import annotations

import time

__all__ = ["Clock"]


class Clock:
    """The wall clock that timers go by; a test may put it forward."""

    def __init__(self) -> None:
        self._ahead_us = 0

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000 + self._ahead_us

    def advance(self, by_us: int) -> None:
        """Put it forward, by microseconds."""
        self._ahead_us += by_us

"""Keeps work to a number of bytes a second. One thread."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace", "checked_rate"]

LONGEST_DEBT = 0.25
"""Seconds of work that may be caught up after a stop of the program."""


def checked_rate(rate: object) -> float | None:
    """A rate in bytes a second, None for no limit. Raises TypeError, ValueError."""
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise TypeError(f"max_bytes_per_second= must be a number or None, got {rate!r}")
    if not rate > 0:
        raise ValueError(f"max_bytes_per_second= must be above 0, got {rate!r}; None sets no limit")
    return float(rate)


class Pace:
    """Call `after` with each piece of work that is done: it sleeps as long as the rate demands."""

    def __init__(
        self,
        rate: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`rate` is in bytes a second, None for no limit."""
        self.rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def after(self, size: int) -> None:
        """So many bytes were worked on."""
        if self.rate is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now - LONGEST_DEBT) + size / self.rate
        if self._free_at > now:
            self._sleep(self._free_at - now)

"""Keeps work to a share of a thread's time, and to a number of bytes a second. One thread."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace", "checked_rate", "checked_share"]

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


def checked_share(share: object) -> float:
    """A share of time. Raises TypeError, ValueError."""
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise TypeError(f"share= must be a number, got {share!r}")
    if not 0 < share <= 1:
        raise ValueError(f"share= must be above 0 and at most 1, got {share!r}")
    return float(share)


class Pace:
    """Call `after` with each piece of work that is done: it sleeps as long as share and rate demand.

    Waiting for the interpreter counts as work, so it gives way where others are busy.
    """

    def __init__(
        self,
        rate: float | None = None,
        share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`rate` is in bytes a second, None for no limit; `share` from 0 to 1."""
        self._rate = rate
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._free_at = self._began = clock()

    @property
    def gentle(self) -> bool:
        """Whether it leaves time to others, so that pieces should be small."""
        return self._rate is not None or self._share < 1

    def after(self, size: int) -> None:
        """So many bytes were worked on since the last call, or since it was made."""
        now = self._clock()
        pause = (now - self._began) * (1 / self._share - 1)
        if self._rate is not None:
            self._free_at = max(self._free_at, now - LONGEST_DEBT) + size / self._rate
            pause = max(pause, self._free_at - now)
        if pause > 0:
            self._sleep(pause)
        self._began = self._clock()

    def hurry(self) -> None:
        """Take twice the share from now on: what is added meanwhile must not be more than what is done."""
        self._share = min(2 * self._share, 1.0)

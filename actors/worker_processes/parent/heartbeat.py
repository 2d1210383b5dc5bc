"""Whether a worker process answers: when to ask, and for how long it has been silent. Pure; times in seconds of any clock.

The supervisor's thread looks, the thread that hears the worker says that it answered. Time in which nobody checked does
not count: a program that stood still itself does not blame its workers.
"""

from __future__ import annotations

__all__ = ["Heartbeat"]

COUNTED = 0.5
"""Seconds between two looks that count at most."""


class Heartbeat:
    """Of one worker; another one has another."""

    def __init__(self, every: float) -> None:
        """Asks `every` so many seconds, once the question before is answered."""
        self._every = every
        self._number = 0
        self._asked = 0
        self._checked: float | None = None
        self._since = 0.0

    def check(self, now: float, counts: bool = True) -> int | None:
        """The number to ask with, None where it is not time to. Silence grows unless it does not `count`."""
        checked, self._checked = self._checked, now
        passed = 0.0 if checked is None else min(now - checked, COUNTED)
        if self._asked:
            if counts:
                self._since += passed
            return None
        self._since += passed
        if checked is not None and self._since < self._every:
            return None
        self._since = 0.0
        self._number += 1
        self._asked = self._number
        return self._number

    def answered(self, number: int) -> None:
        """It answered the question with this number."""
        if number == self._asked:
            self._since = 0.0
            self._asked = 0

    @property
    def silent(self) -> float:
        """Seconds since the question that is not answered, 0.0 where there is none."""
        return self._since if self._asked else 0.0

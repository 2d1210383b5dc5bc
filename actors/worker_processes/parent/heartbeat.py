"""Whether a worker process answers: when to ping it, and for how long it has been silent. Pure; times in
seconds of any clock.

The supervisor's thread checks; the thread that hears the worker reports its answers. Time between two checks
counts only up to a limit: a program that was stopped itself does not blame its workers.
"""

from __future__ import annotations

__all__ = ["Heartbeat"]

COUNTED = 0.5
"""Seconds between two checks that count at most."""


class Heartbeat:
    """Of one worker process."""

    def __init__(self, every: float) -> None:
        """A ping is due `every` so many seconds, once the last one was answered."""
        self._every = every
        self._number = 0
        self._asked = 0
        self._checked: float | None = None
        self._since = 0.0

    def check(self, now: float, counts: bool = True) -> int | None:
        """The number to ping with, None if it is not time to. Silence grows only while it `counts`."""
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
        """It answered the ping with this number."""
        if number == self._asked:
            self._since = 0.0
            self._asked = 0

    @property
    def silent(self) -> float:
        """Seconds since the ping that is not answered, 0.0 if there is none."""
        return self._since if self._asked else 0.0

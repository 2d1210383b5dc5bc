"""When a file's map or a disk will be full, from samples. Pure: knows no clock, no file and no thread."""

from __future__ import annotations

from collections import deque
from enum import IntEnum

__all__ = ["Alarm", "GrowthRate", "Urgency"]


class Urgency(IntEnum):
    """How near it is. At URGENT it is a problem of the system, at SOON a warning."""

    NONE = 0
    SOON = 1
    URGENT = 2


class Alarm:
    """The urgency of a value that is the worse the larger it is.

    It rises at once, and falls only when the value is below its limit by a margin: one that moves about a
    limit does not come and go.
    """

    def __init__(self, soon: float, urgent: float, margin: float) -> None:
        """The limits from which on it is SOON or URGENT; `margin` is a share of them."""
        self._limits = {Urgency.SOON: soon, Urgency.URGENT: urgent}
        self._margin = margin
        self.urgency = Urgency.NONE

    def update(self, value: float) -> Urgency:
        """Take a new value; returns the urgency."""
        reached = max((one for one, limit in self._limits.items() if value >= limit), default=Urgency.NONE)
        kept = max(
            (one for one, limit in self._limits.items() if value >= limit * (1 - self._margin)),
            default=Urgency.NONE,
        )
        self.urgency = max(reached, min(self.urgency, kept))
        return self.urgency


class GrowthRate:
    """How fast something grew lately, from samples of its size; less than nothing counts as nothing."""

    def __init__(self, window: float, least: float, every: float) -> None:
        """`window`: seconds that count as lately; `least`: seconds below which nothing is known; `every`:
        seconds between samples that are kept."""
        self._window = window
        self._least = least
        self._every = every
        self._samples: deque[tuple[float, int]] = deque()
        self._last: tuple[float, int] | None = None

    def add(self, now: float, size: int) -> None:
        """Note the size at a time in seconds."""
        self._last = now, size
        samples = self._samples
        if not samples or now - samples[-1][0] >= self._every:
            samples.append(self._last)
        # The first one stays as long as the others do not cover the window.
        while len(samples) > 1 and now - samples[1][0] >= self._window:
            samples.popleft()

    def per_second(self) -> float | None:
        """Bytes a second, None if too little is known."""
        if self._last is None:
            return None
        (began, before), (now, size) = self._samples[0], self._last
        if now - began < self._least:
            return None
        return max(size - before, 0) / (now - began)

"""How fast a rebuild is, as `System.rebuilds()` and health show it. The replica's thread samples; any thread
asks."""

from __future__ import annotations

from collections import deque

__all__ = ["RebuildRate"]

SPACING = 0.2
"""Seconds between two samples of a rate."""


class RebuildRate:
    """Events a second over the last samples, which are taken at least `SPACING` apart."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=50)
        self._target = 0

    def at(self, now: float, position: int, target: int) -> None:
        """Note how far it is at this time, in seconds of any clock, and how far it has to get."""
        self._target = target
        if not self._samples or now - self._samples[-1][0] >= SPACING:
            self._samples.append((now, position, target))

    def per_second(self, position: int, now: float) -> float | None:
        """The rate up to this time; None if too little time has passed."""
        samples = list(self._samples)
        if not samples or now - samples[0][0] < SPACING:
            return None
        return max(position - samples[0][1], 0) / (now - samples[0][0])

    def seconds_left(self, position: int, now: float) -> float | None:
        """Seconds until it reaches its target, which moves; None if it does not gain on it, or as
        `per_second`."""
        samples = list(self._samples)
        if not samples or now - samples[0][0] < SPACING:
            return None
        began, from_position, from_target = samples[0]
        left = max(self._target - position, 0)
        gained = from_target - from_position - left
        return left * (now - began) / gained if gained > 0 else None

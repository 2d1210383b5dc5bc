"""How far a rebuild is: what `System.rebuilds()` and health show. Plain values; the rate is kept by the replica's thread."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Rate", "Rebuild"]

SPACING = 0.2
"""Seconds between two samples of a rate."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A build that is being filled on one replica, beside the one that serves.

    `state` is "waiting" for the replica's turn, "building", or "stopped" at an event that the projection failed
    on, with the event and the traceback as `failure`; it is then tried again by itself. `position` is what has
    been applied out of `head`; `events_per_second` is measured over the last seconds, pauses included, and so is
    `seconds_left`, from how fast the build gains on what serves: None while it does not, and both while there is
    nothing to go by. Throughout `from_version` serves,
    frozen when its code is not declared any more; a forced rebuild is to the same version.
    """

    model: str
    replica: str
    from_version: int
    to_version: int
    frozen: bool
    state: str
    position: int
    head: int
    events_per_second: float | None
    seconds_left: float | None
    failure: str | None = None


class Rate:
    """Events a second over the last samples, which are taken at least `SPACING` apart."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque(maxlen=50)
        self._target = 0

    def at(self, now: float, position: int, target: int) -> None:
        """Note how far it is at a moment, in seconds of any clock, and how far it has to get."""
        self._target = target
        if not self._samples or now - self._samples[-1][0] >= SPACING:
            self._samples.append((now, position, target))

    def per_second(self, position: int, now: float) -> float | None:
        """The rate up to this moment; None when too little time has passed."""
        samples = list(self._samples)
        if not samples or now - samples[0][0] < SPACING:
            return None
        return max(position - samples[0][1], 0) / (now - samples[0][0])

    def seconds_left(self, position: int, now: float) -> float | None:
        """When it will have come to its target, which moves; None when it does not come nearer, or as `per_second`."""
        samples = list(self._samples)
        if not samples or now - samples[0][0] < SPACING:
            return None
        began, from_position, from_target = samples[0]
        left = max(self._target - position, 0)
        gained = from_target - from_position - left
        return left * (now - began) / gained if gained > 0 else None

"""Whether positions that lag move or have stalled, and how fast they are: sampled at every tick. Pure.

The supervisor's thread samples; any thread asks.
"""

from __future__ import annotations

from collections.abc import Hashable

from actors.replication.rebuild_rate import RebuildRate

__all__ = ["ProgressRates"]


class _Mover:
    __slots__ = ("position", "rate", "since")

    def __init__(self, now: float, position: int) -> None:
        self.position = position
        self.since = now
        self.rate = RebuildRate()


class ProgressRates:
    """The positions that are behind, by any key; times are in seconds of any clock."""

    def __init__(self) -> None:
        self._movers: dict[Hashable, _Mover] = {}

    def look(self, key: Hashable, position: int, target: int, now: float) -> None:
        """Note where it is. One that is at its target has no reason to move, and is forgotten."""
        if position >= target:
            self._movers.pop(key, None)
            return
        mover = self._movers.get(key)
        # One that went back is filled again, which is a new beginning.
        if mover is None or position < mover.position:
            mover = self._movers[key] = _Mover(now, position)
        elif position != mover.position:
            mover.position, mover.since = position, now
        mover.rate.at(now, position, target)

    def still(self, key: Hashable, position: int, now: float) -> float:
        """Seconds for which it has been seen at this position; 0.0 if it moved since the last sample."""
        mover = self._movers.get(key)
        return now - mover.since if mover is not None and mover.position == position else 0.0

    def rate(self, key: Hashable, position: int, now: float) -> float | None:
        """Positions a second over the last samples, None if there are too few."""
        mover = self._movers.get(key)
        return None if mover is None else mover.rate.per_second(position, now)

    def left(self, key: Hashable, position: int, now: float) -> float | None:
        """Seconds until it is at its target, None if it does not gain on it."""
        mover = self._movers.get(key)
        return None if mover is None else mover.rate.seconds_left(position, now)

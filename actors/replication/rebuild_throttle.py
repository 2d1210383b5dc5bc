"""How many events a replica takes at a time, and what share of its time it gives to a build that does not
keep up.

The setting holds as long as the build gains on the replica. If it does not, the share is raised step by step,
as the rebuild would never be done; the setting holds again once that is enough. The replica's thread.
"""

from __future__ import annotations

__all__ = ["LONGEST", "WINDOW", "RebuildThrottle", "adapted_limit"]

WINDOW = 2.0
"""Seconds over which it is seen whether a build gains."""

STEP, MOST_SHARE = 0.1, 0.9
"""By how much the share is raised, and how far."""

GAIN = 0.1
"""The part of what a build applied by which it has to have come nearer."""

SPARE = 1.25
"""How much faster than the log grows a build has to be able to go with the setting's share, before it gets no
more than that."""

LONGEST = 1.0
"""Seconds that live events wait for a slice at most, where it makes up for what they took."""


def adapted_limit(limit: int, took: float, events: int, seconds: float, fewest: int, most: int) -> int:
    """How many events to take next, so that they take about so many seconds, when `events` took so long now.

    It grows only where the limit was reached: fewer events say nothing of what more would take.
    """
    if took > seconds:
        return max(int(limit * max(seconds / took, 0.25)), fewest)
    if took < seconds / 2 and events >= limit:
        return min(limit * 2, most)
    return limit


class RebuildThrottle:
    """The share of one replica, from what is noted after each slice; times are in seconds of any clock."""

    def __init__(self, setting: float) -> None:
        self._setting = setting
        self.reset()

    def reset(self) -> None:
        """Another build begins, or one that paused for a while."""
        self._steps = 0
        self._began: tuple[float, int, int, int] | None = None

    @property
    def pressed(self) -> bool:
        """Whether live events have to wait for the build, or it would never be done."""
        return self._steps > 0

    @property
    def share(self) -> float:
        """The part of the thread's time that the build gets now."""
        return max(self._setting, min(self._setting + STEP * self._steps, MOST_SHARE))

    def budget(self, late: float) -> float:
        """Seconds that a slice may take if it begins `late`: under pressure it makes up for that, otherwise
        none."""
        if not self._steps:
            return 0.0
        share = min(self.share, MOST_SHARE)
        return min(late * share / (1 - share), LONGEST)

    def note(self, now: float, position: int, target: int, head: int) -> None:
        """After a slice: how far the build is, where it has to get to, and the end of the log."""
        if self._began is None:
            self._began = now, position, target, head
            return
        began, from_position, from_target, from_head = self._began
        if now - began < WINDOW:
            return
        self._began = now, position, target, head
        applied, grown = position - from_position, head - from_head
        if applied - (target - from_target) < applied * GAIN or not applied:
            if self.share < MOST_SHARE or not self._steps:
                self._steps += 1
        elif self._steps and applied * self._setting / self.share > grown * SPARE:
            self._steps = 0

"""How many commands callers may hand over before they have to wait for replicas. Pure: knows no thread, no
actor.

Who counts is said by the one who asks: a model that is stopped, a replica that is down, reset or being filled
is not waited for, as nobody knows for how long that would be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["BackPressure", "Hold", "ModelLag"]

EPISODE = 1.0
"""Seconds without a wait after which the next one counts as another: at full load callers wait and go on many
times a second."""


class ModelLag(NamedTuple):
    """A model on a replica that counts, and how many positions it is behind."""

    replica: str
    model: str
    behind: int


class Hold(NamedTuple):
    """That callers wait, for whom, and since when, on the clock of `update`."""

    slowest: ModelLag
    since: float


class BackPressure:
    """The bound is `limit` positions, of which a command that waits to be handled counts as one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.slowest: ModelLag | None = None
        self._shown: Hold | None = None
        self._since = 0.0
        self._last = -EPISODE

    def update(self, lags: Iterable[ModelLag], waiting: int, has_callers: bool, now: float) -> int | None:
        """Take how far behind those are who count, how many commands wait, and whether callers do.

        Returns how many commands may wait before callers have to; None if nobody counts.
        """
        self.slowest = slowest = max(lags, key=lambda one: one.behind, default=None)
        if slowest is None:
            return None
        room = max(self.limit - slowest.behind, 0)
        if not room or (has_callers and waiting >= room):
            if now - self._last > EPISODE:
                self._since = now
            self._last = now
            self._shown = Hold(slowest, self._since)
        return room

    def hold(self, now: float) -> Hold | None:
        """That callers wait, also in the moments between two waits that follow each other closely."""
        return self._shown if now - self._last <= EPISODE else None

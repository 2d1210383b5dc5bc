"""Which event a replica's projection is at, and since when. It is polled now and then, so the projection
reads no clock.

The supervisor's thread polls; any thread asks.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from actors.replication.projector import Projector

__all__ = ["CurrentEvent", "ProjectionWatch"]


class CurrentEvent(NamedTuple):
    """What a replica's thread is at. Without a `model` it is committing what the projections did. `since` is
    a monotonic time."""

    model: str
    version: int
    building: bool
    type: str
    position: int
    since: float

    @property
    def where(self) -> str:
        """In words, to follow the name of the replica or the model."""
        if not self.model:
            return "committing what was applied"
        return f"at event {self.type} at position {self.position}"


class ProjectionWatch:
    """Watches the projector of one replica, whichever projector that is at the time."""

    def __init__(self) -> None:
        self._mark: tuple[float, Any, Any] = (0.0, None, None)
        self._since = 0.0
        self._looked = 0.0

    def look(self, projector: Projector) -> None:
        """See whether it has moved since the last look."""
        now = time.monotonic()
        mark = projector.began, projector.at, projector.by
        if not _same(mark, self._mark):
            self._since = max(mark[0], self._looked)
            self._mark = mark
        self._looked = now

    def now(self, projector: Projector) -> CurrentEvent | None:
        """What it is at, None between two transactions."""
        mark = began, recorded, run = projector.began, projector.at, projector.by
        if not began:
            return None
        since = self._since if _same(mark, self._mark) else max(began, self._looked)
        if recorded is None or run is None:
            return CurrentEvent("", 0, False, "", 0, since)
        return CurrentEvent(
            run.model.name,
            run.model.version,
            run in projector.building,
            recorded.type,
            recorded.position,
            since,
        )


def _same(one: tuple[float, Any, Any], other: tuple[float, Any, Any]) -> bool:
    return one[0] == other[0] and one[1] is other[1] and one[2] is other[2]

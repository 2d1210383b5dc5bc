"""Forgetting the ids of old commands, in small steps between batches. The supervisor's thread."""

from __future__ import annotations

import time

from actors.domain.reserved_ids import is_of_manager
from actors.runtime.parts import Parts
from actors.runtime.periodic_writer_task import PeriodicWriterTask
from storage import EventLog
from storage.log.forgotten_ids import ForgottenIds

__all__ = ["IdRetention"]

STEP = 1_000
"""Events that one step looks at: some milliseconds."""
EVERY = 10.0
"""Seconds between two steps while nothing is old."""


class IdRetention(PeriodicWriterTask[ForgottenIds]):
    """Of one running system with `id_retention=`."""

    failure = "ids of old commands were not forgotten"

    def __init__(self, parts: Parts, seconds: float) -> None:
        super().__init__(parts)
        self._seconds = seconds
        self.removed = 0
        """Records that were removed since the opening."""

    def _step(self) -> ForgottenIds:
        """In the writer's thread."""
        log, managers = self._parts.log, self._parts.domain.process_managers
        assert isinstance(log, EventLog)
        before_us = int((time.time() - self._seconds) * 1e6)
        # Managers that begin again at the beginning ask for their commands again, by these ids.
        return log.forget_ids(before_us, lambda id: is_of_manager(id, managers), STEP)

    def _taken(self, result: ForgottenIds) -> float:
        self.removed += result.removed
        return 0.0 if result.more else EVERY

"""Moving events to an archive in small steps between batches. Whoever archives, and the supervisor's thread.

What was not moved when a process ended, or a step failed, is moved by the maintenance.
"""

from __future__ import annotations

import threading

from actors.runtime.parts import Parts
from actors.runtime.periodic_writer_task import PeriodicWriterTask
from storage import EventLog
from storage.files.header import ARCHIVES_FORMAT
from storage.log.archive_records import MOVING

__all__ = ["STEP", "ArchiveMoves"]

STEP = 500
"""Events that are moved in one transaction, at first, and by the maintenance: some milliseconds."""


class ArchiveMoves(PeriodicWriterTask[bool]):
    """Of one running system."""

    failure = "events were not moved to their archive"

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.one_at_a_time = threading.Lock()
        """Held by the call that archives, or removes an archive."""
        # The first step looks which: an opening reads no more than it has to, since Ctrl-C may come within.
        self.unfinished = isinstance(parts.log, EventLog) and parts.log.format >= ARCHIVES_FORMAT
        """Whether an archive may be left to the maintenance; set by a call that could not finish one."""
        self._number: int | None = None
        """The archive that is being finished; its events may all be there while the log is tidied up."""

    def run(self) -> None:
        """Take a step, if there is something to finish. At every tick; does not wait."""
        if self.unfinished and not self.one_at_a_time.locked():
            super().run()

    def _step(self) -> bool:
        """Move some events; whether there is more to do. The writer's thread."""
        log = self._parts.log
        assert isinstance(log, EventLog)
        if self._number is None:
            self._number = next((one.number for one in log.archives() if one.state == MOVING), None)
        if self._number is None:
            return False
        if not log.move_to_archive(self._number, STEP):
            self._number = None
        return True

    def _taken(self, result: bool) -> float | None:
        self.unfinished = result
        return 0.0 if result else None

"""Moving events to an archive in small steps between batches. Whoever archives, and the supervisor's thread.

What was not moved when a process ended, or a step failed, is moved by the maintenance.
"""

from __future__ import annotations

import logging
import threading
import time

from actors.runtime.parts import Parts
from actors.writer.writer_task import WriterTask
from storage import EventLog

__all__ = ["MOVING", "STEP", "ArchiveMoves"]

logger = logging.getLogger("onewriter.upkeep")

MOVING = "moving"
"""The state of an archive that has some of its events still in the log."""
STEP = 500
"""Events that are moved in one transaction, at first, and by the maintenance: some milliseconds."""
AFTER_FAILURE = 60.0
"""Seconds until a step that failed is tried again."""


class ArchiveMoves:
    """Of one running system."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.one_at_a_time = threading.Lock()
        """Held by the call that archives, or removes an archive."""
        self.unfinished = isinstance(parts.log, EventLog) and any(
            one.state == MOVING for one in parts.log.archives()
        )
        """Whether an archive is left to the maintenance; set by a call that could not finish one."""
        self._task: WriterTask | None = None
        self._next = 0.0
        self._number: int | None = None
        """The archive that is being finished; its events may all be there while the log is tidied up."""

    def run(self) -> None:
        """Take a step, if there is something to finish. At every tick; does not wait."""
        if not self.unfinished or self.one_at_a_time.locked():
            return
        now, task = time.monotonic(), self._task
        if task is not None:
            if not task.future.done():
                return
            self._task = None
            error = task.future.exception()
            if error is not None:
                logger.error("events were not moved to their archive: %s", error)
                self._next = now + AFTER_FAILURE
            elif not task.future.result():
                self.unfinished = False
                return
        if now >= self._next:
            self._task = WriterTask(self._step)
            self._parts.command_client.mailbox.put(self._task)

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

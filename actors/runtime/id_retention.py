"""Forgetting the ids of old commands, in small steps between batches. The supervisor's thread."""

from __future__ import annotations

import logging
import time

from actors.domain.reserved_ids import is_of_manager
from actors.runtime.parts import Parts
from actors.writer.writer_task import WriterTask
from storage import EventLog
from storage.log.forgotten_ids import ForgottenIds

__all__ = ["IdRetention"]

logger = logging.getLogger("onewriter.upkeep")

STEP = 1_000
"""Events that one step looks at: some milliseconds."""
EVERY, AFTER_FAILURE = 10.0, 60.0
"""Seconds between two steps while nothing is old, and after one that failed."""


class IdRetention:
    """Of one running system with `id_retention=`."""

    def __init__(self, parts: Parts, seconds: float) -> None:
        self._parts = parts
        self._seconds = seconds
        self._task: WriterTask | None = None
        self._next = 0.0
        self.removed = 0
        """Records that were removed since the opening."""

    def run(self) -> None:
        """Take a step, if it is time. At every tick; does not wait."""
        now, task = time.monotonic(), self._task
        if task is not None:
            if not task.future.done():
                return
            self._task = None
            error = task.future.exception()
            if error is not None:
                logger.error("ids of old commands were not forgotten: %s", error)
                self._next = now + AFTER_FAILURE
                return
            done: ForgottenIds = task.future.result()
            self.removed += done.removed
            self._next = now if done.more else now + EVERY
        if now >= self._next:
            self._task = WriterTask(self._step)
            self._parts.command_client.mailbox.put(self._task)

    def _step(self) -> ForgottenIds:
        """In the writer's thread."""
        log, managers = self._parts.log, self._parts.domain.process_managers
        assert isinstance(log, EventLog)
        before_us = int((time.time() - self._seconds) * 1e6)
        # Managers that begin again at the beginning ask for their commands again, by these ids.
        return log.forget_ids(before_us, lambda id: is_of_manager(id, managers), STEP)

"""A task for the writer that is repeated, in small steps between batches. The supervisor's thread."""

from __future__ import annotations

import logging
import time
from typing import ClassVar, Generic, TypeVar

from actors.runtime.parts import Parts
from actors.writer.writer_task import WriterTask

__all__ = ["PeriodicWriterTask"]

logger = logging.getLogger("onewriter.upkeep")

AFTER_FAILURE = 60.0
"""Seconds until a step that failed is tried again."""

Result = TypeVar("Result")


class PeriodicWriterTask(Generic[Result]):
    """Of one running system. One step at most is with the writer."""

    failure: ClassVar[str]
    """What the log of the program says of a step that failed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._task: WriterTask | None = None
        self._next = 0.0

    def run(self) -> None:
        """Take a step, if it is time. At every tick; does not wait."""
        now, task = time.monotonic(), self._task
        if task is not None:
            if not task.future.done():
                return
            self._task = None
            error = task.future.exception()
            if error is not None:
                logger.error("%s: %s", self.failure, error)
                self._next = now + AFTER_FAILURE
                return
            pause = self._taken(task.future.result())
            if pause is None:
                return
            self._next = now + pause
        if now >= self._next:
            self._task = WriterTask(self._step)
            self._parts.command_client.mailbox.put(self._task)

    def _step(self) -> Result:
        """Take a step. The writer's thread."""
        raise NotImplementedError

    def _taken(self, result: Result) -> float | None:
        """Seconds until the next step, given what the last one returned; None if there is nothing to do."""
        raise NotImplementedError

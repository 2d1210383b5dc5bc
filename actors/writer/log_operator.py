"""Doing a recorded operation. The writer's thread, between two batches."""

from __future__ import annotations

from actors.writer.aggregate_cache import AggregateCache
from actors.writer.closed_streams import ClosedStreams
from actors.writer.exclusive_work import ExclusiveWork
from actors.writer.log_operation import LogOperation
from actors.writer.recovery import Recovery
from actors.writer.writer_state import WriterState
from storage import EventLog

__all__ = ["LogOperator"]


class LogOperator(ExclusiveWork):
    """Does what is asked of the log, and answers those who asked for it."""

    def __init__(
        self,
        log: EventLog,
        state: WriterState,
        aggregates: AggregateCache,
        recovery: Recovery,
        closed: ClosedStreams,
    ) -> None:
        """`closed` reads again what an operation may have changed."""
        super().__init__(log, state, aggregates, recovery)
        self._closed = closed

    def run(self, operation: LogOperation) -> None:
        """Do it, and answer it. Raises what ends the writer's thread, or what reopening does."""
        if not operation.future.begin():
            return
        with self._answering(operation):
            try:
                with self._committing(operation.what):
                    result = operation.work(self._log)
            finally:
                # The commit may be on disk though it failed.
                self._closed.clear()
                if operation.forgets_states:
                    self._aggregates.clear()
            operation.future.set_result(result)

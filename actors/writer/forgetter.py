"""Forgetting a person in the log. The writer's thread, between two batches."""

from __future__ import annotations

import time

from actors.errors import SystemClosed
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.forget_request import ForgetRequest
from actors.writer.recovery import Recovery
from actors.writer.writer_state import WriterState
from storage import CommitFailed, EventLog

__all__ = ["Forgetter"]


class Forgetter:
    """Destroys keys, and answers those who asked for it. Between two batches: no event is on its way then."""

    def __init__(
        self, log: EventLog, state: WriterState, aggregates: AggregateCache, recovery: Recovery
    ) -> None:
        """`aggregates` forgets what was folded from events that can't be read any more."""
        self._log = log
        self._state = state
        self._aggregates = aggregates
        self._recovery = recovery

    def forget(self, request: ForgetRequest) -> None:
        """Do what is asked, and answer it. Raises what ends the writer's thread, or what reopening does."""
        try:
            self._commit(request)
        except CommitFailed as error:
            self._recovery.after_correction(error, request)
        except Exception as error:
            request.fail(error)
        except BaseException:
            request.fail(request.uncertain("the writer failed on it"))
            raise

    def _commit(self, request: ForgetRequest) -> None:
        state = self._state
        if state.closing:
            raise SystemClosed("the system was closed before anybody was forgotten; nothing was written")
        state.committing = time.monotonic()
        try:
            if request.subjects:
                self._forget(request)
            else:
                self._log.drop_snapshots(request.streams)
        finally:
            state.committing = 0.0
        request.future.set_result(None)

    def _forget(self, request: ForgetRequest) -> None:
        try:
            self._log.forget(
                request.subjects,
                who=request.who,
                why=request.why,
                time_us=time.time_ns() // 1000,
                models=request.models,
                inline=request.inline,
            )
        finally:
            # The keys may be gone though the commit failed.
            self._aggregates.clear()

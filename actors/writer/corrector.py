"""Making a correction of stored events. The writer's thread, between two batches."""

from __future__ import annotations

import time

from actors.errors import SystemClosed
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.correction_request import CorrectionRequest
from actors.writer.recovery import Recovery
from actors.writer.writer_state import WriterState
from storage import CommitFailed, EventLog

__all__ = ["Corrector"]


class Corrector:
    """Commits corrections, and answers those who asked for them."""

    def __init__(
        self, log: EventLog, state: WriterState, aggregates: AggregateCache, recovery: Recovery
    ) -> None:
        """`aggregates` forgets what was folded from the events as they were."""
        self._log = log
        self._state = state
        self._aggregates = aggregates
        self._recovery = recovery

    def correct(self, request: CorrectionRequest) -> None:
        """Make a correction, and answer it. Raises what ends the writer's thread, or what reopening does."""
        try:
            self._commit(request)
        except CommitFailed as error:
            self._recovery.after_correction(error, request)
        except Exception as error:
            request.fail(error)
        except BaseException:
            request.fail(request.uncertain("the writer failed on it"))
            raise

    def _commit(self, request: CorrectionRequest) -> None:
        state = self._state
        if state.closing:
            raise SystemClosed("the system was closed before this correction was made; nothing was written")
        new = request.types - state.written.known
        state.committing = time.monotonic()
        try:
            number = self._log.correct(
                request.changes,
                who=request.who,
                why=request.why,
                time_us=time.time_ns() // 1000,
                models=request.models,
                notes=state.written.notes(new),
            )
        finally:
            state.committing = 0.0
        state.written.known |= new
        self._aggregates.clear()
        request.future.set_result(number)

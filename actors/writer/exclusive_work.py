"""Work on what is stored already, which the writer's thread does between two batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from actors.errors import SystemClosed
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.correction_request import CorrectionRequest
from actors.writer.forget_request import ForgetRequest
from actors.writer.log_operation import LogOperation
from actors.writer.recovery import Recovery
from actors.writer.writer_state import WriterState
from storage import CommitFailed, EventLog

__all__ = ["ExclusiveWork"]


class ExclusiveWork:
    """The base of `Corrector`, `Forgetter` and `LogOperator`: how such work is committed, and how it ends for
    who asked.
    """

    def __init__(
        self, log: EventLog, state: WriterState, aggregates: AggregateCache, recovery: Recovery
    ) -> None:
        """`aggregates` forgets what was folded from the events as they were."""
        self._log = log
        self._state = state
        self._aggregates = aggregates
        self._recovery = recovery

    @contextmanager
    def _answering(self, request: CorrectionRequest | ForgetRequest | LogOperation) -> Iterator[None]:
        """What is raised inside fails the request, but for what ends the writer's thread."""
        try:
            yield
        except CommitFailed as error:
            self._recovery.after_correction(error, request)
        except Exception as error:
            request.fail(error)
        except BaseException:
            request.fail(request.uncertain("the writer failed on it"))
            raise

    @contextmanager
    def _committing(self, what: str) -> Iterator[None]:
        """The commit is shown in health meanwhile. Raises SystemClosed before `what` happened."""
        state = self._state
        if state.closing:
            raise SystemClosed(f"the system was closed before {what}; nothing was written")
        state.committing = time.monotonic()
        try:
            yield
        finally:
            state.committing = 0.0

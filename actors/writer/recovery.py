"""When a commit fails: finding out what is on disk before anything more is written. The writer's thread."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence

from actors.errors import SystemClosed
from actors.replication.messages import Committed
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.atomic_step import AtomicStep
from actors.writer.correction_request import CorrectionRequest
from actors.writer.forget_request import ForgetRequest
from actors.writer.log_operation import LogOperation
from actors.writer.overlay import Overlay
from actors.writer.submission import Submission
from actors.writer.writer_state import WriterState
from storage import CommitFailed, EventLog, StoreFull
from storage.files.error_translation import full_disk

__all__ = ["Recovery", "answer_uncertain"]

logger = logging.getLogger("onewriter.writer")


class Recovery:
    """Opens the log again after a commit whose outcome is unknown, and answers those who wait for it."""

    def __init__(
        self,
        log: EventLog,
        state: WriterState,
        aggregates: AggregateCache,
        publish: Callable[[Committed], None],
    ) -> None:
        """`publish` makes known what turns out to be committed."""
        self._log = log
        self._state = state
        self._aggregates = aggregates
        self._publish = publish

    def after(self, error: CommitFailed, batch: Sequence[Submission | AtomicStep], overlay: Overlay) -> None:
        """Find out whether the batch that `overlay` decided was written, and answer it. Raises what reopening
        does.
        """
        if error.errno == errno.ECANCELED:
            for request in batch:
                request.settle(SystemClosed(f"{error}; nothing was written"))
            return
        self._state.release_replies()
        # Asked at once: the room may be there again a moment later.
        full = full_disk(self._log.path, error.errno)
        self._state.trouble = full or error.reason
        logger.error("%s%s", error.reason, f": {full}" if full else "")
        head = self._log.head
        self._aggregates.clear()
        self._state.must_reopen = True
        try:
            self._log.reopen()
        except Exception:
            answer_uncertain(batch, error.reason)
            raise
        self._state.must_reopen = False
        now = self._log.head
        if now > head:
            self._publish(Committed(head + 1, now, None))
        if full is not None and now == head and not self._is_known(overlay):
            self._state.trouble = f"{full}; nothing was written; make room there and try again"
            for request in batch:
                request.settle(StoreFull(self._state.trouble))
        else:
            answer_uncertain(batch, error.reason)

    def after_correction(
        self, error: CommitFailed, request: CorrectionRequest | ForgetRequest | LogOperation
    ) -> None:
        """Open the log again after a request of this kind whose commit failed, and answer it. Raises as
        `after`.
        """
        logger.error("%s", error.reason)
        self._state.trouble = error.reason
        self.after_task(lambda: request.fail(request.uncertain(error.reason)))

    def after_task(self, answer: Callable[[], None] = lambda: None) -> None:
        """Open the log again after a commit of a task failed, once `answer` is given. Raises as `after`."""
        self._aggregates.clear()
        self._state.must_reopen = True
        answer()
        self._log.reopen()
        self._state.must_reopen = False

    def _is_known(self, overlay: Overlay) -> bool:
        # Commands without events do not move the head. The batch is on disk as a whole or not at all.
        if overlay.commands:
            return self._log.command(overlay.commands[0].command_id) is not None
        return all(self._log.note(key) == value for key, value in overlay.notes.items())


def answer_uncertain(batch: Sequence[Submission | AtomicStep], why: str) -> None:
    """Answer those who wait: what they asked for may or may not be on disk."""
    for request in batch:
        request.settle(request.uncertain(why))

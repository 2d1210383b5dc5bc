"""The command handler: the one actor that owns the write environment.

It runs in one thread. Whatever waits in its mailbox when it looks is one batch: decided in
order, committed in one transaction with one fsync, and answered after it. The more callers
wait, the larger the batch, and an idle system commits each command at once (`batching`).
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.domain.specs import CompiledDomain
from actors.kernel.actor import SupervisedActor, notify
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.kernel.running_calls import CallSlot
from actors.replication.messages import Committed
from actors.replication.progress import Progress
from actors.writer.aggregate_cache import AggregateCache
from actors.writer.atomic_step import AtomicStep
from actors.writer.batch_budget import CHECKED_EVERY, MAX_BATCH, BatchTimeBudget
from actors.writer.closed_streams import ClosedStreams
from actors.writer.correction_request import CorrectionRequest
from actors.writer.corrector import Corrector
from actors.writer.forget_request import ForgetRequest
from actors.writer.forgetter import Forgetter
from actors.writer.inline_models import InlineModels
from actors.writer.log_operation import LogOperation
from actors.writer.log_operator import LogOperator
from actors.writer.overlay import Overlay
from actors.writer.recovery import Recovery, answer_uncertain
from actors.writer.submission import Bulk, Submission
from actors.writer.writer_state import WriterState
from actors.writer.writer_task import WriterTask
from storage import CommitFailed, EventLog, StorageError, StoreFull
from storage.log.notes import Note

__all__ = ["CommandHandler"]

logger = logging.getLogger("onewriter.writer")

REQUESTS = (Submission, Bulk, AtomicStep)
BETWEEN_BATCHES = (CorrectionRequest, ForgetRequest, LogOperation, WriterTask)
MAX_ATTEMPTS = 3


class CommandHandler(SupervisedActor):
    """Decides, commits, answers. Messages: `Submission`, `Bulk`, `AtomicStep`, and `CorrectionRequest`,
    `ForgetRequest`, `LogOperation` and `WriterTask`, which are handled between batches."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        domain: CompiledDomain,
        log: EventLog,
        state: WriterState,
        progress: Progress,
        announce: Callable[[Committed], None],
        cache_states: int,
        listeners: Sequence[Callable[[int, int], None]] = (),
        slot: CallSlot | None = None,
    ) -> None:
        """`slot` shows the listener that runs."""
        super().__init__(name, mailbox, exited)
        self._slot = slot or CallSlot("listener")
        self._domain = domain
        self._log = log
        self._state = state
        self._progress = progress
        self._listeners = listeners
        self._notifier = state.notifier
        self._notifier.announce = announce
        self._aggregates = AggregateCache(domain, log, cache_states)
        self._inline = InlineModels(domain)
        self._closed = ClosedStreams(log)
        self._recovery = Recovery(log, state, self._aggregates, self._publish)
        self._corrector = Corrector(log, state, self._aggregates, self._recovery)
        self._operator = LogOperator(log, state, self._aggregates, self._recovery, self._closed)
        self._budget = BatchTimeBudget()
        self._disk_began = 0.0

    def on_start(self) -> None:
        """Finish what an earlier handler left: its batch is looked up by id, so nothing is done twice."""
        state = self._state
        state.release_replies()
        if state.must_reopen:
            self._log.reopen()
            state.must_reopen = False
        # Notify sync of all that an earlier handler committed and did not report; it ignores what it knows.
        self._publish(Committed(self._progress.head + 1, self._log.head, None))
        self._notify_sync()
        left = [request for request in state.in_flight if not request.settled]
        # It stays there: this incarnation may fail on it as well.
        state.in_flight = left
        state.activity = None
        if left:
            self._handle_again(left)
            state.release_replies()
        state.in_flight = []
        state.attempts = 0

    def _handle_again(self, left: list[Submission | AtomicStep]) -> None:
        """Retry a batch that an earlier incarnation died of: first whole, then one by one, giving up the one
        that kills.
        """
        state = self._state
        for request in left:
            for submission in request.submissions if isinstance(request, AtomicStep) else (request,):
                submission.fresh = False
        state.attempts += 1
        if state.attempts == 1:
            while left:
                state.in_flight = left
                left = left[self._handle(left) :]
            return
        if state.attempts >= MAX_ATTEMPTS:
            answer_uncertain(left[:1], "the writer failed on it repeatedly")
            left = left[1:]
        for index, request in enumerate(left):
            state.in_flight = left[index:]
            self._handle([request])

    def on_stop(self) -> None:
        """Leave nothing held."""
        self._state.release_replies()
        self._notify_sync()

    def _handle_failure(self, *failure: Any) -> None:
        super()._handle_failure(*failure)
        # What they are about is on disk; callers and replicas need not wait for the next incarnation.
        self._state.release_replies()
        self._notify_sync()

    def on_receive(self, message: Any) -> None:
        """Make a batch of the message and of all that wait behind it."""
        if message.__class__ is IdleTimeout:
            self._notify_sync()
            return
        if message.__class__ not in REQUESTS:
            if message.__class__ in BETWEEN_BATCHES:
                self._state.release_replies()
                self._notify_sync()
                self._change(message)
            else:
                super().on_receive(message)
            return
        batch: list[Submission | AtomicStep] = []
        for one in (message, *self.mailbox.drain(MAX_BATCH - 1, *REQUESTS)):
            if one.__class__ is Bulk:
                batch += one.submissions
            else:
                batch.append(one)
        while batch:
            self._state.in_flight = batch
            batch = batch[self._handle(batch[:MAX_BATCH]) :]
            self._state.attempts = 0
        if self.mailbox.empty():
            self._state.release_replies()
        self._state.in_flight = []
        if not self._notifier.quick(time.monotonic()) or self._progress.has_waiters:
            self._notify_sync()

    def _change(self, request: CorrectionRequest | ForgetRequest | LogOperation | WriterTask) -> None:
        """Change what is stored already, or the file, as nothing else does."""
        if isinstance(request, WriterTask):
            request.run()
            if isinstance(request.error, CommitFailed):
                self._recovery.after_task()
        elif isinstance(request, CorrectionRequest):
            self._corrector.correct(request)
        elif isinstance(request, LogOperation):
            self._operator.run(request)
        else:
            Forgetter(self._log, self._state, self._aggregates, self._recovery).forget(request)

    def _notify_sync(self) -> None:
        self._notifier.flush(time.monotonic())
        self.mailbox.idle_timeout = None

    # -- one batch ---------------------------------------------------------------------------
    def _handle(self, batch: list[Submission | AtomicStep]) -> int:
        """Decide, commit and answer as much of the batch as its time allows; returns how much that was."""
        try:
            overlay, decided, taken = self._decide(batch)
            batch = batch[:taken]
            try:
                self._commit(overlay)
            finally:
                overlay.close()
        except CommitFailed as error:
            self._recovery.after(error, batch, overlay)
        except (StorageError, OverflowError, MemoryError) as error:
            self._retry_alone(batch, error)
        else:
            overlay.merge()
            if overlay.events:
                self._publish(Committed(overlay.events[0].position, overlay.position, overlay.committed()))
            self._reply(decided)
        return len(batch)

    def _decide(
        self, batch: list[Submission | AtomicStep]
    ) -> tuple[Overlay, list[Submission | AtomicStep], int]:
        """Decide the requests that are still wanted, and keep their outcomes until the commit.

        Stops when the batch's time is over; the number says how many were looked at.
        """
        closed = self._closed
        if closed.any is None:
            closed.look()
        inline = self._state.inline = self._inline.begin(self._log.inline_batch())
        overlay = Overlay(
            self._domain,
            self._aggregates,
            self._log,
            self._log.encode_event,
            inline,
            closed if closed.any else None,
        )
        decided: list[Submission | AtomicStep] = []
        state = self._state
        end = time.monotonic() + self._budget.seconds
        taken = 0
        for taken, request in enumerate(batch, 1):
            if taken % CHECKED_EVERY == 0:
                now = time.monotonic()
                if now > end:
                    taken -= 1
                    break
                if self._notifier.due(now, self._progress.has_waiters):
                    self._notify_sync()
            future = request.future
            if request.settled or (future is not None and not future.begin()):
                continue
            if isinstance(request, AtomicStep):
                request.outcome = overlay.step(request, self._note_activity)
            else:
                self._note_activity(request)
                request.outcome = overlay.outcome_of(request)
            decided.append(request)
        state.activity = state.inline = None
        return overlay, decided, taken

    def _note_activity(self, submission: Submission) -> None:
        name = submission.spec.name if submission.spec else "append"
        self._state.activity = (name, submission.stream, time.monotonic())

    def _commit(self, overlay: Overlay) -> None:
        """Put the batch on disk; a batch of refusals alone needs no transaction."""
        if not overlay.commands and not overlay.notes:
            self._before_fsync()
        else:
            if self._state.closing:
                raise CommitFailed("the system was closed while this batch was decided", errno.ECANCELED)
            notes: Iterable[Note] = overlay.notes.items()
            written = self._state.written
            new = {event.type for event in overlay.events} - written.known
            if new:
                notes = [*notes, *written.notes(new)]
            self._state.committing = time.monotonic()
            try:
                self._log.append(
                    overlay.events,
                    overlay.commands,
                    overlay.snapshots,
                    encoded=overlay.encoded,
                    before_fsync=self._before_fsync,
                    notes=notes,
                    inline=None if overlay.inline is None else overlay.inline.batch,
                    new_ids=True,  # made here, or looked up
                )
            finally:
                self._state.committing = 0.0
            self._budget.committed(time.monotonic() - self._disk_began)
            self._state.trouble = None
            written.known |= new

    def _before_fsync(self) -> None:
        """Release the replies of the batch before this one: its callers and the replicas work while the disk
        does.

        While this thread decides and writes, they would only contend for the GIL, which LMDB releases on
        every call.
        """
        self._state.release_replies()
        now = time.monotonic()
        if self._notifier.due(now, self._progress.has_waiters):
            self._notify_sync()
        self._disk_began = now

    def _publish(self, committed: Committed) -> None:
        """Report a commit: to those who wait for its position at once, to the replicas through sync soon."""
        self._notifier.add(committed)
        self.mailbox.idle_timeout = self._notifier.linger
        if committed.first <= committed.last:
            self._progress.committed(committed.last)
            notify(self._slot, self._listeners, committed.first, committed.last)

    def _reply(self, decided: list[Submission | AtomicStep]) -> None:
        """Have the replies given: when nothing waits, or while the disk works on the next batch."""
        self._state.batch_committed(decided)

    # -- when the disk says no ---------------------------------------------------------------
    def _retry_alone(self, batch: list[Submission | AtomicStep], error: Exception) -> None:
        """Nothing was written: decide the batch again, one by one, so that one can't fail the others."""
        self._state.release_replies()
        if len(batch) == 1:
            self._state.trouble = str(error) if isinstance(error, StoreFull) else None
            batch[0].settle(error)
            return
        logger.warning("a batch of %d commands was aborted (%s); deciding them one by one", len(batch), error)
        for request in batch:
            self._handle([request])

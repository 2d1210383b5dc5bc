"""The command handler: the one actor that owns the write environment.

It runs in one thread. Whatever waits in its mailbox when it looks is one batch: decided in
order, committed in one transaction with one fsync, and answered after it. The more callers
wait, the larger the batch, and an idle system commits each command at once (`batching`).
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from actors.domain.specs import CompiledDomain
from actors.kernel.actor import SupervisedActor, notify
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.kernel.running_calls import CallSlot
from actors.replication.messages import Committed
from actors.replication.progress import Progress
from actors.writer.aggregate_cache import StateCache
from actors.writer.atomic_step import Step
from actors.writer.batch_budget import CHECKED_EVERY, MAX_BATCH, BatchPace
from actors.writer.commit_notifier import LINGER
from actors.writer.inline_models import InlineModels
from actors.writer.overlay import Overlay
from actors.writer.recovery import Recovery, answer_uncertain
from actors.writer.submission import Bulk, Submission
from actors.writer.writer_state import WriterDesk
from storage import CommitFailed, EventLog, StorageError, StoreFull

__all__ = ["CommandHandler"]

logger = logging.getLogger("onewriter.writer")

REQUESTS = (Submission, Bulk, Step)
MAX_ATTEMPTS = 3


class CommandHandler(SupervisedActor):
    """Decides, commits, answers. Messages: `Submission`, `Bulk` and `Step`."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        domain: CompiledDomain,
        log: EventLog,
        desk: WriterDesk,
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
        self._desk = desk
        self._progress = progress
        self._listeners = listeners
        self._news = desk.news
        self._news.announce = announce
        self._states = StateCache(domain, log, cache_states)
        self._inline = InlineModels(domain)
        self._recovery = Recovery(log, desk, self._states, self._publish)
        self._pace = BatchPace()
        self._disk_began = 0.0

    def on_start(self) -> None:
        """Finish what an earlier handler left: its batch is looked up by id, so nothing is done twice."""
        desk = self._desk
        desk.release()
        if desk.must_reopen:
            self._log.reopen()
            desk.must_reopen = False
        # Whatever an earlier handler committed and did not tell, sync is told now; it passes over what it knows.
        self._publish(Committed(self._progress.head + 1, self._log.head, None))
        self._tell_sync()
        left = [request for request in desk.in_flight if not request.settled]
        # It stays in hand: this incarnation may fail on it as well.
        desk.in_flight = left
        desk.activity = None
        if left:
            self._handle_again(left)
            desk.release()
        desk.in_flight = []
        desk.attempts = 0

    def _handle_again(self, left: list[Submission | Step]) -> None:
        """Try a batch that an earlier incarnation died of: once whole, then one by one, the one that kills given up."""
        desk = self._desk
        for request in left:
            for submission in request.submissions if isinstance(request, Step) else (request,):
                submission.fresh = False
        desk.attempts += 1
        if desk.attempts == 1:
            while left:
                desk.in_flight = left
                left = left[self._handle(left) :]
            return
        if desk.attempts >= MAX_ATTEMPTS:
            answer_uncertain(left[:1], "the writer failed on it repeatedly")
            left = left[1:]
        for index, request in enumerate(left):
            desk.in_flight = left[index:]
            self._handle([request])

    def on_stop(self) -> None:
        """Leave nothing held."""
        self._desk.release()
        self._tell_sync()

    def _handle_failure(self, *failure: Any) -> None:
        super()._handle_failure(*failure)
        # What they are about is on disk; callers and replicas need not wait for the next incarnation.
        self._desk.release()
        self._tell_sync()

    def on_receive(self, message: Any) -> None:
        """Make a batch of the message and of all that wait behind it."""
        if message.__class__ is IdleTimeout:
            self._tell_sync()
            return
        if message.__class__ not in REQUESTS:
            super().on_receive(message)
            return
        batch: list[Submission | Step] = []
        for one in (message, *self.mailbox.drain(MAX_BATCH - 1, *REQUESTS)):
            if one.__class__ is Bulk:
                batch += one.submissions
            else:
                batch.append(one)
        while batch:
            self._desk.in_flight = batch
            batch = batch[self._handle(batch[:MAX_BATCH]) :]
            self._desk.attempts = 0
        if self.mailbox.empty():
            self._desk.release()
        self._desk.in_flight = []
        if not self._news.quick(time.monotonic()) or self._progress.awaited:
            self._tell_sync()

    def _tell_sync(self) -> None:
        self._news.tell(time.monotonic())
        self.mailbox.idle_timeout = None

    # -- one batch ---------------------------------------------------------------------------
    def _handle(self, batch: list[Submission | Step]) -> int:
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

    def _decide(self, batch: list[Submission | Step]) -> tuple[Overlay, list[Submission | Step], int]:
        """Decide what is still wanted; each of those has its outcome, which is not to be told before the commit.

        Stops when the batch's time is over; the number tells how many were looked at.
        """
        inline = self._desk.inline = self._inline.begin(self._log.inline_batch())
        overlay = Overlay(self._domain, self._states, self._log, self._log.encode_event, inline)
        decided: list[Submission | Step] = []
        desk = self._desk
        end = time.monotonic() + self._pace.seconds
        taken = 0
        for taken, request in enumerate(batch, 1):
            if taken % CHECKED_EVERY == 0:
                now = time.monotonic()
                if now > end:
                    taken -= 1
                    break
                if self._news.due(now, self._progress.awaited):
                    self._tell_sync()
            future = request.future
            if request.settled or (future is not None and not future.begin()):
                continue
            if isinstance(request, Step):
                request.outcome = overlay.step(request, self._show)
            else:
                self._show(request)
                request.outcome = overlay.outcome_of(request)
            decided.append(request)
        desk.activity = desk.inline = None
        return overlay, decided, taken

    def _show(self, submission: Submission) -> None:
        name = submission.spec.name if submission.spec else "append"
        self._desk.activity = (name, submission.stream, time.monotonic())

    def _commit(self, overlay: Overlay) -> None:
        """Put the batch on disk; a batch of refusals alone needs no transaction."""
        if not overlay.commands and not overlay.notes:
            self._before_fsync()
        else:
            if self._desk.closing:
                raise CommitFailed("the system was closed while this batch was decided", errno.ECANCELED)
            self._desk.committing = time.monotonic()
            try:
                self._log.append(
                    overlay.events,
                    overlay.commands,
                    overlay.snapshots,
                    encoded=overlay.encoded,
                    written=self._before_fsync,
                    notes=overlay.notes.items(),
                    inline=None if overlay.inline is None else overlay.inline.batch,
                    new_ids=True,  # made here, or looked up
                )
            finally:
                self._desk.committing = 0.0
            self._pace.committed(time.monotonic() - self._disk_began)
            self._desk.trouble = None

    def _before_fsync(self) -> None:
        """Let the batch before this one go: its callers and the replicas work while the disk does.

        While this thread decides and writes, they would only contend for the interpreter, which LMDB lets go of
        at each of its calls.
        """
        self._desk.release()
        now = time.monotonic()
        if self._news.due(now, self._progress.awaited):
            self._tell_sync()
        self._disk_began = now

    def _publish(self, committed: Committed) -> None:
        """Make a commit known: to whoever waits for its position at once, to the replicas through sync soon."""
        self._news.add(committed)
        self.mailbox.idle_timeout = LINGER
        if committed.first <= committed.last:
            self._progress.committed(committed.last)
            notify(self._slot, self._listeners, committed.first, committed.last)

    def _reply(self, decided: list[Submission | Step]) -> None:
        """Have the replies given: when nothing waits, or while the disk works on the next batch."""
        self._desk.hold(decided)

    # -- when the disk says no ---------------------------------------------------------------
    def _retry_alone(self, batch: list[Submission | Step], error: Exception) -> None:
        """Nothing was written: decide again from the inputs, one by one, so that one can't fail the others."""
        self._desk.release()
        if len(batch) == 1:
            self._desk.trouble = str(error) if isinstance(error, StoreFull) else None
            batch[0].settle(error)
            return
        logger.warning("a batch of %d commands was aborted (%s); deciding them one by one", len(batch), error)
        for request in batch:
            self._handle([request])

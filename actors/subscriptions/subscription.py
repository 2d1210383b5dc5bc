"""Catch-up subscriptions: every event after a position, first from the log and then as it is committed.

Runs in the reader's thread or event loop. The log is read in batches with nothing held in between, so a slow
reader costs the writer nothing; one that waits is called by the commit, and no thread waits for an event
loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from actors.errors import ForkedProcess
from actors.kernel.actor import refuse_in_actor
from actors.kernel.closeable import Closeable
from actors.replication.progress import Progress
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.log_cursor import LogCursor
from actors.subscriptions.waiters import AsyncWaiter, Deadline, ThreadWaiter
from storage import EventLog, RecordedEvent, StoreClosed

__all__ = ["Subscription", "refuse_forked"]


class Subscription(Closeable):
    """An iterator and an async iterator of events in the order of the log, from `System.subscribe`.

    For one thread or task at a time; `close` may be called from any. Ends at `until`, at `close`, when the
    system closes, and when no event came for `timeout` seconds. In a `with` block it is closed at the end.
    """

    def __init__(
        self,
        log: EventLog,
        progress: Progress,
        wanted: EventFilter,
        after: int,
        until: int | None,
        timeout: float | None,
    ) -> None:
        """For `System.subscribe`."""
        self._progress = progress
        self._cursor = LogCursor(log, wanted, after)
        self._until = until
        self._deadline = Deadline(timeout)
        self._read: deque[RecordedEvent] = deque()
        self._position = after
        self._ended = False
        self._closed = False
        self._wake: Callable[[], None] | None = None

    @property
    def position(self) -> int:
        """The last position looked at: that of the last event given, or a later one whose events were not
        wanted.

        A subscription begun `after=` it goes on where this one is.
        """
        return self._position

    def close(self) -> None:
        """End it; an iteration that waits ends at once. Any thread; closing twice is harmless."""
        self._closed = True
        wake = self._wake
        if wake is not None:
            wake()

    # -- iterating ---------------------------------------------------------------------------
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        while True:
            recorded = self._next()
            if recorded is not None:
                return recorded
            if self._ended:
                raise StopIteration
            if self._at_head():
                refuse_in_actor("subscribe", self._progress)
                wake = ThreadWaiter()
                try:
                    if self._register(wake) and not wake.wait(self._deadline.left()):
                        self._ended = True
                finally:
                    self._unregister(wake)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        while True:
            recorded = self._next()
            if recorded is not None:
                return recorded
            if self._ended:
                raise StopAsyncIteration
            if self._at_head():
                wake = AsyncWaiter()
                try:
                    if self._register(wake) and not await wake.wait(self._deadline.left()):
                        self._ended = True
                finally:
                    self._unregister(wake)
            else:
                # A long look through the log for what is wanted lets the loop's other tasks run.
                await asyncio.sleep(0)

    def _next(self) -> RecordedEvent | None:
        """The next event without waiting; None at the end, at the head of the log, and where a batch had none
        wanted.
        """
        refuse_forked(self._progress, "subscription", "subscribe")
        if self._closed:
            self._ended = True
        if self._ended:
            return None
        if not self._read:
            self._read_batch()
        if self._read:
            recorded = self._read.popleft()
            self._position = recorded.position
            self._deadline.renew()
            return recorded
        self._position = self._cursor.position
        if (self._until is not None and self._position >= self._until) or (
            self._progress.closed and self._at_head()
        ):
            self._ended = True
        return None

    def _read_batch(self) -> None:
        try:
            self._read.extend(self._cursor.read(self._bound()))
        except StoreClosed:
            if not self._progress.closed:
                raise
            self._ended = True

    def _bound(self) -> int:
        head = self._progress.head
        return head if self._until is None else min(head, self._until)

    def _at_head(self) -> bool:
        return self._cursor.position >= self._bound()

    def _register(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called at the news; False where there is some already. Ends it where its time is up."""
        self._wake = wake
        if self._deadline.left() == 0:
            self._ended = True
            return False
        return self._progress.call_committed(self._cursor.position + 1, wake) and not self._closed

    def _unregister(self, wake: Callable[[], None]) -> None:
        self._wake = None
        self._progress.forget_committed(wake)


def refuse_forked(progress: Progress, what: str, how: str) -> None:
    """Raise `ForkedProcess` in a child of the process that opened the system; takes no lock."""
    if progress.forked:
        raise ForkedProcess(
            f"this {what} was begun by the parent process and can't go on in a forked child; "
            f"{how} in a process that opened the system itself"
        )

"""Catch-up subscriptions: every event after a position, first from the log and then as it is committed.

Runs in the reader's thread or event loop. The log is read in batches with nothing held in between, so a slow
reader costs the writer nothing; one that waits is called by the commit, and no thread waits for an event
loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actors.errors import ForkedProcess
from actors.replication.progress import Progress
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.log_cursor import LogCursor
from actors.subscriptions.waiting_iterator import AGAIN, ENDED, WAIT, Outcome, WaitingIterator
from storage import RecordedEvent, StoreClosed
from storage.log.log_reader import LogReader

__all__ = ["Subscription", "refuse_forked"]


class Subscription(WaitingIterator[RecordedEvent]):
    """An iterator and an async iterator of events in the order of the log, from `System.subscribe`.

    For one thread or task at a time; `close` may be called from any. Ends at `until`, at `close`, when the
    system closes, and when no event came for `timeout` seconds. In a `with` block it is closed at the end.
    """

    def __init__(
        self,
        log: LogReader,
        progress: Progress,
        wanted: EventFilter,
        after: int,
        until: int | None,
        timeout: float | None,
        undecodable: bool = False,
    ) -> None:
        """For `System.subscribe`."""
        super().__init__("subscribe", progress, timeout)
        self._cursor = LogCursor(log, wanted, after, undecodable=undecodable)
        self._until = until
        self._read: deque[RecordedEvent] = deque()
        self._position = after
        self._ended = False

    @property
    def position(self) -> int:
        """The last position looked at: that of the last event given, or a later one whose events were not
        wanted.

        A subscription begun `after=` it goes on where this one is.
        """
        return self._position

    def close(self) -> None:
        """End it; an iteration that waits ends at once. Any thread; closing twice is harmless."""
        self.stop()

    # -- iterating ---------------------------------------------------------------------------
    def _next(self) -> RecordedEvent | Outcome:
        refuse_forked(self._progress, "subscription", "subscribe")
        if self._stopped:
            self._ended = True
        if self._ended:
            return ENDED
        if self._read or self._read_batch():
            recorded = self._read.popleft()
            self._position = recorded.position
            self._deadline.renew()
            return recorded
        self._position = self._cursor.position
        at_head = self._at_head()
        if (self._until is not None and self._position >= self._until) or (self._progress.closed and at_head):
            self._ended = True
            return ENDED
        return WAIT if at_head else AGAIN

    def _read_batch(self) -> bool:
        """Read on in the log; whether there was anything wanted."""
        try:
            self._read.extend(self._cursor.read(self._bound()))
        except StoreClosed:
            if not self._progress.closed:
                raise
            self._ended = True
        return bool(self._read)

    def _bound(self) -> int:
        head = self._progress.head
        return head if self._until is None else min(head, self._until)

    def _at_head(self) -> bool:
        return self._cursor.position >= self._bound()

    def _register(self, waiter: Callable[[], None]) -> RecordedEvent | Outcome:
        if self._deadline.left() == 0:
            self._ended = True
            return ENDED
        waits = self._progress.call_committed(self._cursor.position + 1, waiter) and not self._stopped
        return WAIT if waits else AGAIN

    def _unregister(self, waiter: Callable[[], None], called: bool) -> None:  # noqa: ARG002
        self._progress.forget_committed(waiter)


def refuse_forked(progress: Progress, what: str, how: str) -> None:
    """Raise `ForkedProcess` in a child of the process that opened the system; takes no lock."""
    if progress.forked:
        raise ForkedProcess(
            f"this {what} was begun by the parent process and can't go on in a forked child; "
            f"{how} in a process that opened the system itself"
        )

"""When the replicas are notified of commits. The writer's thread; the supervisor's while a decider takes
long.

Each notification has a cost: threads or processes wake up, each replica runs a transaction, and all of that
competes with the next commit for the GIL or the processors. An idle writer notifies at once. A busy one
notifies while it waits for the disk, and joins several quick commits in one notification, unless a caller
waits for them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from actors.replication.messages import Committed
from actors.settings import REPLICATION_INTERVAL
from storage.log.stored_events import CommittedEvents

__all__ = ["LINGER_SECONDS", "CommitNotifier"]

LINGER_SECONDS = 0.001
"""Seconds for which commits are held back while callers come in quick succession, if no further one follows.
A caller that prepares its next batch should not find the replicas at work when it hands that over.
"""

QUICK_SECONDS = 0.002
"""Seconds between two batches up to which callers count as coming in quick succession."""

MAX_HELD_EVENTS = 1_000
"""Events that are held back at most."""


class CommitNotifier:
    """What is committed and not announced yet; it outlives the handler. Times are in seconds of any clock."""

    def __init__(self, interval: float = REPLICATION_INTERVAL) -> None:
        """`interval`: seconds between two notifications while callers come in quick succession."""
        self._interval = interval
        self.linger = min(LINGER_SECONDS, interval)
        """Seconds after the last commit of several until they are announced, if no other follows."""
        self.announce: Callable[[Committed], None] = _notify_nobody
        """Receives commits; never waits."""
        self._held: Committed | None = None
        self._flushed_at = 0.0
        self._last_batch = 0.0
        # Held while a commit is announced, so that two threads keep the order.
        self._lock = threading.Lock()

    def add(self, committed: Committed) -> None:
        """Hold a commit back, joined with those before it; what can't be joined is announced now."""
        with self._lock:
            held = self._held
            if held is None:
                self._held = committed
            elif held.events is None or committed.events is None or len(held.events) > MAX_HELD_EVENTS:
                self._held = committed
                self.announce(held)
            else:
                self._held = Committed(
                    held.first, committed.last, CommittedEvents.joined((held.events, committed.events))
                )

    def due(self, now: float, has_waiters: bool) -> bool:
        """Whether a writer that is about to wait for the disk should flush; `has_waiters`: a caller waits for
        it.
        """
        return self._held is not None and (has_waiters or now - self._flushed_at >= self._interval)

    def quick(self, now: float) -> bool:
        """Whether another batch is likely to come at once; asked at the end of each."""
        quick, self._last_batch = now - self._last_batch < QUICK_SECONDS, now
        return quick and self._interval > 0

    def flush(self, now: float) -> None:
        """Announce what is held back. Any thread."""
        with self._lock:
            held = self._held
            if held is not None:
                self._flushed_at = now
                # Dropped after it is announced: a caller's thread may be interrupted between the two, and
                # announcing twice does no harm.
                self.announce(held)
                self._held = None

    def flush_now(self) -> None:
        """Announce what may be held back, as a caller waits for it, or the writer takes long. Any thread."""
        if self._held is not None:
            self.flush(time.monotonic())


def _notify_nobody(_committed: Committed) -> None:
    """Nothing is announced before there is a handler."""

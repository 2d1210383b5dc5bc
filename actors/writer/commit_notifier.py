"""When the replicas are told of commits. The writer's thread; the supervisor's where a decider takes its time.

Every telling has its price: threads or processes wake, each replica begins and commits a transaction, and all of that
wants the interpreter or the processors that the next commit wants too. A writer that has nothing to do tells at once.
A busy one tells while it waits for the disk, and puts the news of several quick commits together, unless somebody
waits for them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from actors.replication.messages import Committed
from storage.log.stored_events import CommittedEvents

__all__ = ["LINGER_SECONDS", "CommitNotifier"]

LINGER_SECONDS = 0.001
"""Seconds for which news is held back while callers come in quick succession, when none comes after all. A caller that
prepares its next batch is not to find the replicas at work when it hands that over."""

QUICK_SECONDS = 0.002
"""Seconds between two batches up to which callers count as coming in quick succession."""

MIN_SECONDS_BETWEEN = 0.001
"""Seconds between two tellings of a busy writer."""

MAX_HELD_EVENTS = 1_000
"""Events that are held back at most."""


class CommitNotifier:
    """What is committed and not told yet; it outlives the handler. Times are in seconds of any clock."""

    def __init__(self) -> None:
        self.announce: Callable[[Committed], None] = _notify_nobody
        """Who is told; never waits."""
        self._held: Committed | None = None
        self._flushed_at = 0.0
        self._last_batch = 0.0
        # Held while somebody is told, so that two threads keep the order.
        self._lock = threading.Lock()

    def add(self, committed: Committed) -> None:
        """Hold a commit back, together with those before it; what can't be put together with it is told now."""
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
        """Whether a writer that is about to wait for the disk should tell; `has_waiters` says that somebody waits for it."""
        return self._held is not None and (has_waiters or now - self._flushed_at >= MIN_SECONDS_BETWEEN)

    def quick(self, now: float) -> bool:
        """Whether another batch is likely to come at once; asked at the end of each."""
        quick, self._last_batch = now - self._last_batch < QUICK_SECONDS, now
        return quick

    def flush(self, now: float) -> None:
        """Tell what is held back. Any thread."""
        with self._lock:
            held = self._held
            if held is not None:
                self._flushed_at = now
                # Forgotten after it is told: a caller's thread may be interrupted between the two, and twice does no harm.
                self.announce(held)
                self._held = None

    def flush_now(self) -> None:
        """Tell what may be held back: somebody has begun to wait for it, or the writer takes its time. Any thread."""
        if self._held is not None:
            self.flush(time.monotonic())


def _notify_nobody(_committed: Committed) -> None:
    """Before there is a handler there is no news."""

"""Feeding a consumer group's window from the log: what comes next, and the streams that are replayed.

Whoever finds nothing to deliver reads the next batch, in its own thread, one at a time and only as much as
the window has room for; the group's lock is not held while the log is read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from actors.replication.progress import Progress
from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.delivery_window import DeliveryWindow
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.log_cursor import BATCH, LogCursor
from storage.log.log_reader import LogReader

__all__ = ["WindowFeeder"]


class WindowFeeder:
    """Reads for one window. `lock` is the one that guards it; the methods that say so want it held."""

    def __init__(
        self,
        lock: threading.Lock,
        window: DeliveryWindow,
        log: LogReader,
        progress: Progress,
        wanted: EventFilter,
        wake: Callable[[], None],
    ) -> None:
        """`wake` has those that wait look again."""
        self._wake = wake
        self._lock = lock
        self._window = window
        self._log = log
        self._progress = progress
        self._wanted = wanted
        self._reading = threading.Lock()
        self._contended = False
        """Whether a thread came while another one read. With the lock held."""
        self.loads = 0
        """How often events were loaded: a thread that found none before looks again. With the lock held."""
        self._ahead = LogCursor(log, wanted, window.through)
        self._replays: dict[str, LogCursor] = {}
        self._to_read: deque[str] = deque()

    def cursor(self, stream: str, backlog: StreamBacklog) -> LogCursor:
        """Reads a stream from where it fell behind."""
        return LogCursor(
            self._log, replace(self._wanted, stream=stream), backlog.first - 1, backlog.version - 1
        )

    def read(self) -> int | None:
        """Read one batch, and return how many events of it are wanted; None where there is nothing to read
        now.

        Nor is there where another thread reads, which wakes those that came meanwhile. Raises what reading
        the log does.
        """
        if self._idle():
            return None
        if not self._reading.acquire(blocking=False):
            with self._lock:
                self._contended = True
            # The reader that ended in between did not see this.
            if not self._reading.acquire(blocking=False):
                return None
        try:
            found = self._read_replayed()
            return self._read_ahead() if found is None else found
        finally:
            self._reading.release()
            with self._lock:
                contended, self._contended = self._contended, False
            # They went to wait: but this reader may not want what it read, or may not come back.
            if contended:
                self._wake()

    def _idle(self) -> bool:
        # Without the lock: those who only look do not turn each other away.
        return not (self._reading.locked() or self._to_read or self._ahead.position < self._progress.head)

    def _read_ahead(self) -> int | None:
        with self._lock:
            room = self._window.room
        head = self._progress.head
        if room <= 0 or self._ahead.position >= head:
            return None
        found = self._ahead.read(head, min(room, BATCH))
        with self._lock:
            for recorded in found:
                self._window.load(recorded)
            self._window.loaded_through(self._ahead.position)
            self.loads += 1
        return len(found)

    # -- streams that are replayed -------------------------------------------------------------
    def begin_replay(self, stream: str) -> None:
        """Read this stream from where it fell behind. With the lock held."""
        self._replays[stream] = self.cursor(stream, self._window.backlogs[stream])
        self._to_read.append(stream)

    def settled(self, stream: str) -> None:
        """An event of this stream was settled: if it is replayed, there may be more of it. With the lock
        held.
        """
        if stream in self._replays and not self._window.has(stream) and stream not in self._to_read:
            self._to_read.append(stream)

    def _read_replayed(self) -> int | None:
        with self._lock:
            if not self._to_read or self._window.room <= 0:
                return None
            stream = self._to_read.popleft()
            if not self._goes_on(stream):
                return 0
            cursor = self._replays[stream]
            room, through = self._window.room, self._window.through
        try:
            found = cursor.read(through, min(room, BATCH))
        except BaseException:
            with self._lock:
                self._to_read.append(stream)
            raise
        with self._lock:
            if self._replays.get(stream) is not cursor or not self._goes_on(stream):
                return 0
            for recorded in found:
                self._window.load_replayed(recorded)
            self.loads += 1
            if cursor.position < self._window.through:
                self._to_read.append(stream)
            elif self._window.replayed(stream):
                del self._replays[stream]
        return len(found)

    def _goes_on(self, stream: str) -> bool:
        """Whether a stream is still replayed: it may have been parked again, or given up."""
        backlog = self._window.backlogs.get(stream)
        if backlog is not None and backlog.replaying and stream in self._replays:
            return True
        self._replays.pop(stream, None)
        return False

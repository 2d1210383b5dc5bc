"""Coalesces writes: while one is under way others wait, and the next one has everything that changed since.

Any thread reports a change; the writer's thread, which ends a write, begins the next one. So however many
acknowledgements come, there is one note for each commit. A write that fails is tried again, also when nothing
else changes: by the supervisor's thread, with growing pauses. Once the system is closed nothing is tried
again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

from actors.errors import SystemClosed
from actors.kernel.backoff import backoff
from storage.log.notes import Note

__all__ = ["CoalescingWriter", "Unstored"]

logger = logging.getLogger("onewriter.consumers")

RETRY_FIRST, RETRY_LAST = 0.25, 30.0
"""Seconds until a write that failed is tried again, if nothing changes until then; twice as long each further
time.
"""


class Unstored(NamedTuple):
    """For how many seconds something has waited to be on disk, and what its last write failed with, None for
    nothing.
    """

    seconds: float
    error: BaseException | None


class CoalescingWriter:
    """Keeps what is on disk up to date with something that changes.

    `collect()` returns the number of the last change and the notes that hold everything up to it;
    `write(notes)` hands them to the writer without waiting and returns the future of the commit;
    `on_saved(number)` is called once they are on disk.
    """

    def __init__(
        self,
        collect: Callable[[], tuple[int, list[Note]]],
        write: Callable[[Iterable[Note]], Future[Any]],
        on_saved: Callable[[int], None],
    ) -> None:
        self._collect = collect
        self._write = write
        self._on_saved = on_saved
        self._lock = threading.Lock()
        self._busy = False
        self._again = False
        self._done = 0
        self._waiting: list[tuple[int, Future[None]]] = []
        self._since: float | None = None
        self._error: BaseException | None = None
        self._failures = 0
        self._retry_at: float | None = None

    @property
    def done(self) -> int:
        """The last change that is on disk."""
        return self._done

    def unstored(self) -> Unstored | None:
        """What is not on disk yet, None where everything is. Any thread."""
        with self._lock:
            since, error = self._since, self._error
        return None if since is None else Unstored(time.monotonic() - since, error)

    def save(self) -> None:
        """Something changed. Never waits; where the write fails it is tried again."""
        with self._lock:
            if self._busy:
                self._again = True
                return
            self._busy = True
            self._retry_at = None
            if self._since is None:
                self._since = time.monotonic()
        self._begin()

    def retry_if_due(self) -> None:
        """Try a write again that failed, if it is time. Called now and then, by one thread."""
        retry_at = self._retry_at
        if retry_at is not None and time.monotonic() >= retry_at:
            self.save()

    def wait(self, number: int) -> Future[None]:
        """A future that is done once this change is on disk; it has the error of a write that failed."""
        future: Future[None] = Future()
        with self._lock:
            if number <= self._done:
                future.set_result(None)
                return future
            self._waiting.append((number, future))
        self.save()
        return future

    def _begin(self) -> None:
        number = 0
        try:
            number, notes = self._collect()
            future = self._write(notes)
        except Exception as error:  # Whatever it is, the next change has to be able to try again.
            self._ended(number, error)
        else:
            future.add_done_callback(lambda done: self._ended(number, done.exception()))

    def _ended(self, number: int, error: BaseException | None) -> None:
        with self._lock:
            again, self._again = self._again and error is None, False
            self._busy = again
            now = time.monotonic()
            self._error = error
            if error is None:
                self._done = number
                self._failures = 0
                settled = [future for wanted, future in self._waiting if wanted <= number]
                self._waiting = [one for one in self._waiting if one[0] > number]
                again = self._busy = again or bool(self._waiting)
                self._since = now if again else None
            else:
                closed = isinstance(error, SystemClosed)
                self._retry_at = None if closed else now + backoff(RETRY_FIRST, RETRY_LAST, self._failures)
                self._failures += 1
                settled = [future for _, future in self._waiting]
                self._waiting = []
        if error is None:
            self._on_saved(number)
        elif isinstance(error, SystemClosed):
            logger.warning(
                "acknowledgements came too late, and what they were of is delivered again: %s", error
            )
        else:
            logger.warning("acknowledgements could not be stored, which is tried again: %s", error)
        for future in settled:
            if not future.set_running_or_notify_cancel():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if again:
            self._begin()

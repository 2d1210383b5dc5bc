"""Writing what changes often without waiting for it: at most one write is under way, the next has all that came since.

Any thread says that something changed; the writer's thread, which ends a write, begins the next one. So however
many acknowledgements come, there is one note for each commit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from storage.notes import Note

__all__ = ["Saver"]

logger = logging.getLogger("onewriter.consumers")


class Saver:
    """Keeps what is on disk up to date with something that changes.

    `take()` gives the number of the last change and the notes that hold everything up to it; `write(notes)` hands
    them to the writer without waiting and returns the future of the commit; `saved(number)` is told once they are on
    disk.
    """

    def __init__(
        self,
        take: Callable[[], tuple[int, list[Note]]],
        write: Callable[[Iterable[Note]], Future[Any]],
        saved: Callable[[int], None],
    ) -> None:
        self._take = take
        self._write = write
        self._saved = saved
        self._lock = threading.Lock()
        self._busy = False
        self._again = False
        self._done = 0
        self._waiting: list[tuple[int, Future[None]]] = []

    @property
    def done(self) -> int:
        """The last change that is on disk."""
        return self._done

    def save(self) -> None:
        """Something changed. Never waits; where the writer does not take it now, the next call tries again."""
        with self._lock:
            if self._busy:
                self._again = True
                return
            self._busy = True
        self._begin()

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
            number, notes = self._take()
            future = self._write(notes)
        except Exception as error:  # Whatever it is, the next change has to be able to try again.
            self._ended(number, error)
        else:
            future.add_done_callback(lambda done: self._ended(number, done.exception()))

    def _ended(self, number: int, error: BaseException | None) -> None:
        with self._lock:
            again, self._again = self._again and error is None, False
            self._busy = again
            if error is None:
                self._done = number
                told = [future for wanted, future in self._waiting if wanted <= number]
                self._waiting = [one for one in self._waiting if one[0] > number]
                again = self._busy = again or bool(self._waiting)
            else:
                told = [future for _, future in self._waiting]
                self._waiting = []
        if error is None:
            self._saved(number)
        else:
            logger.warning("acknowledgements could not be stored, and will be with the next ones: %s", error)
        for future in told:
            if not future.set_running_or_notify_cancel():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
        if again:
            self._begin()

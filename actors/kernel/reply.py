"""The future of a reply: a `concurrent.futures.Future` that is cheap while nobody waits on it.

Making the standard one costs more than deciding a command, nearly all of it for a condition
variable that a pipelined caller never waits on, and each of its containers is one more for the garbage
collector to walk. Here they are made when they are first used, and the first thread that asks for the
result waits on a bare lock, which is all that `execute` needs.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, PENDING, RUNNING
from typing import Any, TypeVar

__all__ = ["Reply"]

T = TypeVar("T")

_making = threading.Lock()


class Reply(Future[T]):
    """Behaves as `Future` in every respect; any thread."""

    __slots__ = ("_callbacks", "_exception", "_latch", "_made", "_result", "_state", "_watchers")

    def __init__(self) -> None:
        # In place of Future.__init__, which makes the condition at once.
        self._made: threading.Condition | None = None
        self._latch: threading.Lock | None = None
        self._state = PENDING
        self._result: Any = None
        self._exception: BaseException | None = None
        self._watchers: list[Any] | None = None
        self._callbacks: list[Any] | None = None

    # What the inherited methods use, under the condition.
    @property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        if self._watchers is None:
            self._watchers = []
        return self._watchers

    @property
    def _done_callbacks(self) -> list[Any]:
        if self._callbacks is None:
            self._callbacks = []
        return self._callbacks

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        made = self._made
        if made is None:
            with _making:
                made = self._made
                if made is None:
                    made = self._made = threading.Condition()
        return made

    def cancelled(self) -> bool:
        """As `Future.cancelled`."""
        return self._state in (CANCELLED, CANCELLED_AND_NOTIFIED)

    def done(self) -> bool:
        """As `Future.done`."""
        return self._state in (CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED)

    def begin(self) -> bool:
        """Whether it is still wanted; from then on it can't be cancelled. Asking again is harmless."""
        with _making:
            if self._made is None:
                if self._state == PENDING:
                    self._state = RUNNING
                return True
        with self._condition:
            if self._state == PENDING:
                self._state = RUNNING
            return not self.cancelled()

    def result(self, timeout: float | None = None) -> T:
        """As `Future.result`."""
        with _making:
            waits = self._made is None and self._latch is None and not self.done()
            if waits:
                latch = self._latch = threading.Lock()
                latch.acquire()
        if waits and not latch.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
            with _making:
                self._latch = None
            if not self.done():
                raise TimeoutError
        if self._made is None and self._state == FINISHED:
            if self._exception is not None:
                try:
                    raise self._exception
                finally:
                    self = None  # type: ignore[assignment]  # as `Future` does: the traceback has it
            return self._received(self._result)
        return self._received(super().result(timeout))

    def _received(self, result: Any) -> T:
        """What a waiting thread gets for what was set. A subclass may make it of that, when
        somebody looks.
        """
        return result  # type: ignore[no-any-return]

    def cancel(self) -> bool:
        """As `Future.cancel`."""
        done = super().cancel()
        if done:
            self._release()
        return done

    def set_result(self, result: T) -> None:
        """Give the result; as `Future.set_result`."""
        # Whoever makes the condition after this block finds the future finished.
        with _making:
            quick = self._made is None and self._state != FINISHED
            if quick:
                self._result = result
                self._state = FINISHED
        if not quick:
            super().set_result(result)
        self._release()

    def set_exception(self, exception: BaseException | None) -> None:
        """Give the error; as `Future.set_exception`."""
        with _making:
            quick = self._made is None and self._state != FINISHED
            if quick:
                self._exception = exception
                self._state = FINISHED
        if not quick:
            super().set_exception(exception)
        self._release()

    def _release(self) -> None:
        """Let the thread go that waits on the latch. Its own time-out may have come first."""
        with _making:
            latch, self._latch = self._latch, None
        if latch is not None:
            latch.release()

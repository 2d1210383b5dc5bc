"""The iterator that subscriptions, consumers and watches share: gives what there is, and waits for what
comes.

The loop stands here once for threads and once for event loops. A subclass says what is next, registers a
waiter for what comes, and unregisters it. Runs in the reader's thread or event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Self, TypeVar

from actors.kernel.actor import refuse_in_actor
from actors.kernel.closeable import Closeable
from actors.kernel.lazy_asyncio import asyncio
from actors.replication.progress import Progress
from actors.subscriptions.waiters import AsyncWaiter, Deadline, ThreadWaiter

__all__ = ["AGAIN", "ENDED", "WAIT", "Outcome", "WaitingIterator"]

Item = TypeVar("Item")


class Outcome:
    """Why there is no next item: one of the three below. No Enum, since it is asked for at each item."""

    __slots__ = ()


WAIT = Outcome()
"""There is none yet."""
AGAIN = Outcome()
"""The search has not come to its end; or something has come meanwhile."""
ENDED = Outcome()
"""There is none any more."""


class WaitingIterator(Closeable, Generic[Item]):
    """For one thread or task at a time; `close` may be called from any, and `with` calls it at the end."""

    def __init__(self, method: str, progress: Progress, timeout: float | None) -> None:
        """`method` is that of `System` which it comes from; it ends when nothing came for `timeout`
        seconds.
        """
        self._method = method
        self._progress = progress
        self._deadline = Deadline(timeout)
        self._stopped = False
        self._waiter: Callable[[], None] | None = None

    def stop(self) -> None:
        """End the iteration; one that waits ends at once. Any thread; stopping twice is harmless."""
        self._stopped = True
        waiter = self._waiter
        if waiter is not None:
            waiter()

    # -- for the subclass --------------------------------------------------------------------
    def _next(self) -> Item | Outcome:
        """The next item, without waiting."""
        raise NotImplementedError

    def _register(self, waiter: Callable[[], None]) -> Item | Outcome:
        """Have `waiter` called when something comes, and look once more: WAIT where there is nothing yet."""
        raise NotImplementedError

    def _unregister(self, waiter: Callable[[], None], called: bool) -> None:
        """Undo `_register`; `called` says that the waiter was called, though perhaps by `stop`."""
        raise NotImplementedError

    def _seconds_left(self) -> float | None:
        """For how long to wait before looking again; None for no limit."""
        return self._deadline.left()

    # -- iterating ---------------------------------------------------------------------------
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while True:
            found = self._next()
            if not isinstance(found, Outcome):
                return found
            if found is WAIT:
                called = False
                self._waiter = waiter = ThreadWaiter()
                try:
                    found = self._register(waiter)
                    if found is WAIT:
                        refuse_in_actor(self._method, self._progress)
                        called = waiter.wait(self._seconds_left())
                finally:
                    self._waiter = None
                    self._unregister(waiter, called)
                if not isinstance(found, Outcome):
                    return found
            if found is ENDED:
                raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while True:
            found = self._next()
            if not isinstance(found, Outcome):
                return found
            if found is WAIT:
                called = False
                self._waiter = waiter = AsyncWaiter()
                try:
                    found = self._register(waiter)
                    if found is WAIT:
                        called = await waiter.wait(self._seconds_left())
                finally:
                    self._waiter = None
                    self._unregister(waiter, called)
                if not isinstance(found, Outcome):
                    return found
            elif found is AGAIN:
                # A long search through the log lets the loop's other tasks run.
                await asyncio.sleep(0)
            if found is ENDED:
                raise StopAsyncIteration

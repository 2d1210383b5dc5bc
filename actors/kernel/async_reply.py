"""Replies for event loops: any number of tasks wait without a thread, and a batch of replies wakes their loop
once.

An `AsyncReply` is to a task what a `Reply` is to a thread. The actor that settles it leaves the outcome at
its loop's `LoopReplies`, and wakes the loop where nothing has done so already; the loop's thread then hands
out whatever was left there. Each loop has its own, so any number of loops may run in as many threads.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Hashable
from concurrent.futures import InvalidStateError
from typing import Any

from actors.kernel.lazy_asyncio import asyncio

__all__ = ["AsyncReply", "batch_wakeups"]

SPARE = 16
"""Time-outs of different length for which a timer is kept while nothing waits for them."""

_here = threading.local()


class AsyncReply:
    """What one task waits for; made in the thread of its loop. Settled by an actor's thread, as a `Reply` is.

    The task awaits `waiter`, which raises `TimeoutError` at the end of its time, and then says that it is
    `over`. When the task is cancelled, or its time ends, the reply is not wanted any more: what is not begun
    by then is not done.
    """

    # As few objects as can be: each command under way has them, for the garbage collector to walk.
    __slots__ = ("_deadlines", "_replies", "_settled", "waiter")

    def __init__(self, timeout: float, end: float) -> None:
        """`end` is a monotonic time, `timeout` seconds after the call began."""
        self._replies = replies = _replies_here()
        self.waiter: asyncio.Future[Any] = replies.loop.create_future()
        self._settled = False
        deadlines = replies.deadlines.get(timeout)
        if deadlines is None or end < deadlines.latest:
            deadlines = replies.other_deadlines(timeout, end)
        self._deadlines = deadlines
        deadlines.waiting[self.waiter] = deadlines.latest = end
        if deadlines.timer is None:
            deadlines.wait_until(end, time.monotonic())

    # -- the loop's thread -------------------------------------------------------------------
    def over(self) -> None:
        """The task does not wait any more."""
        waiting = self._deadlines.waiting
        waiting.pop(self.waiter, None)
        if not waiting:
            self._deadlines.unused()

    def abandon(self) -> None:
        """No task awaits it, nor will one."""
        # The error of one that nobody awaited is not to be reported as forgotten.
        if not self.waiter.cancel() and not self.waiter.cancelled():
            self.waiter.exception()
        self.over()

    def cancel(self) -> bool:
        """Have it not wanted any more; False where it has an outcome, or is that already."""
        return self.waiter.cancel()

    # -- the actor's thread ------------------------------------------------------------------
    def begin(self) -> bool:
        """Whether it is still wanted."""
        return not self.waiter.done()

    def done(self) -> bool:
        """Whether it has an outcome, or is not wanted any more."""
        return self._settled or self.waiter.done()

    def cancelled(self) -> bool:
        """Whether it has no outcome, and is not wanted any more."""
        return not self._settled and self.waiter.done()

    def set_result(self, result: Any) -> None:
        """Give the result, or the error. Raises `InvalidStateError` where it has one, or is not wanted any
        more.
        """
        if self._settled or self.waiter.done():
            raise InvalidStateError("the reply has an outcome, or is not wanted any more")
        self._settled = True
        replies = self._replies
        replies.outcomes.append((self.waiter, result))
        # Looked at after the append: either the loop's thread finds the outcome, or it is woken again.
        if not replies.woken:
            replies.wake_soon()

    def set_exception(self, error: Exception) -> None:
        """As `set_result`."""
        self.set_result(error)


class Deadlines:
    """Tasks that wait equally long: the first to come is the first to be late, so one timer does for all of
    them.

    The loop's thread only.
    """

    __slots__ = ("_key", "_replies", "latest", "timer", "waiting")

    def __init__(self, replies: LoopReplies, key: Hashable) -> None:
        self._replies = replies
        self._key = key
        self.waiting: dict[asyncio.Future[Any], float] = {}
        self.latest = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def unused(self) -> None:
        """Nothing waits here now. The timer stays for the next one, unless there are many like this."""
        if len(self._replies.deadlines) > SPARE:
            self._drop()

    def _drop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._replies.deadlines.get(self._key) is self:
            del self._replies.deadlines[self._key]

    def wait_until(self, end: float, now: float) -> None:
        """Set the timer."""
        # In no task's context: that of the first would be kept for as long as any waits.
        context = self._replies.context
        self.timer = self._replies.loop.call_later(max(end - now, 0.0), self._expire, context=context)

    def _expire(self) -> None:
        self.timer = None
        now = time.monotonic()
        late: list[asyncio.Future[Any]] = []
        for waiter, end in self.waiting.items():
            if end > now:
                self.wait_until(end, now)
                break
            late.append(waiter)
        else:
            self._drop()
        for waiter in late:
            del self.waiting[waiter]
            if not waiter.done():
                waiter.set_exception(TimeoutError())


class LoopReplies:
    """What the tasks of one loop wait for. Made and asked in its thread; any thread leaves outcomes and wakes
    it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.context = contextvars.Context()
        self.outcomes: deque[tuple[asyncio.Future[Any], Any]] = deque()
        self.woken = False
        self.deadlines: dict[Hashable, Deadlines] = {}

    # -- the loop's thread -------------------------------------------------------------------
    def other_deadlines(self, timeout: float, end: float) -> Deadlines:
        """Those of the first that waits that long; or of a call that tries again, and ends before those that
        came since.
        """
        key = (timeout, end) if timeout in self.deadlines else timeout
        found = self.deadlines.get(key)
        if found is None:
            found = self.deadlines[key] = Deadlines(self, key)
        return found

    def _hand_out(self) -> None:
        self.woken = False
        outcomes = self.outcomes
        while outcomes:
            waiter, outcome = outcomes.popleft()
            if waiter.done():
                continue
            if isinstance(outcome, Exception):
                waiter.set_exception(outcome)
            else:
                waiter.set_result(outcome)

    # -- any thread --------------------------------------------------------------------------
    def wake_soon(self) -> None:
        """Have the outcomes handed out: now, or at the end of the `batch_wakeups` that this thread is in."""
        self.woken = True
        to_wake: list[LoopReplies] | None = getattr(_here, "to_wake", None)
        if to_wake is None:
            self.wake()
        else:
            to_wake.append(self)

    def wake(self) -> None:
        """Have the loop's thread hand out the outcomes; never waits for it."""
        try:
            self.loop.call_soon_threadsafe(self._hand_out, context=self.context)
        except RuntimeError:
            # The loop was closed: nobody waits any more, and whoever settles is to go on.
            self.outcomes.clear()
            self.woken = False


class BatchedWakeups:
    """A block in which a thread settles many replies; their loops are woken once each, at its end.

    Waking a loop releases the GIL: after the first reply the loop would run, with one reply to hand out.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        depth = _here.depth = getattr(_here, "depth", 0) + 1
        if depth == 1:
            _here.to_wake = []

    def __exit__(self, *error: object) -> None:
        _here.depth -= 1
        if _here.depth:
            return  # a reply's callback settles others
        to_wake: list[LoopReplies] = _here.to_wake
        _here.to_wake = None
        for replies in to_wake:
            replies.wake()


batch_wakeups = BatchedWakeups()


def _replies_here() -> LoopReplies:
    loop = asyncio.get_running_loop()
    replies: LoopReplies | None = getattr(_here, "replies", None)
    if replies is None or replies.loop is not loop:
        replies = _here.replies = LoopReplies(loop)
    return replies

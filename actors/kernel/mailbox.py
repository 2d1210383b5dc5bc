"""The inbox of an actor: bounded, drained in batches, and longer-lived than its actor.

Any thread puts, one actor thread takes. A mailbox is handed to each incarnation of its
actor in turn, so what waits in it when an actor dies is handled by the next one. Once
closed it answers every message it holds, and every one that still arrives, with an error.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Envelope", "Mailbox", "Request"]


class Envelope(Protocol):
    """What Pykka's loop reads: a message and, for `ask`, the future to answer."""

    @property
    def message(self) -> Any: ...

    @property
    def reply_to(self) -> Any: ...


class Request:
    """A message that is its own envelope and carries its own way of being answered.

    Saves an allocation a message, and lets the reply be given later than the return of
    `on_receive` (after the commit of the whole batch).
    """

    __slots__ = ()

    reply_to = None
    weight = 1

    @property
    def message(self) -> Request:
        """The request itself."""
        return self

    def fail(self, error: Exception) -> None:
        """Answer with `error`; a notice that nobody waits for ignores it."""


class Mailbox:
    """A FIFO of envelopes with a soft bound for requests from outside.

    `put` never waits (actors never block on each other). `offer` is for callers' threads and waits for room.
    `enqueue_later` is for event loops, which can't wait: a request that finds no room goes into an overflow
    queue, and the actor's thread admits it from there. The bound counts commands, not envelopes: an envelope
    of weight 100 takes the room of 100. Threads that offer at the same instant may overshoot it by one
    envelope each.
    """

    def __init__(self, limit: int | None = None, idle_timeout: float | None = None) -> None:
        """`limit`: commands that may wait. `idle_timeout`: seconds until `get` returns `IdleTimeout`, None
        for never.

        The actor's thread may change `idle_timeout` from one `get` to the next.
        """
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pushed_back: deque[Any] = deque()
        self._limit = limit
        self.idle_timeout = idle_timeout
        self._room = threading.Condition()
        self._waiting = 0
        self._overflow: OrderedDict[Request, None] = OrderedDict()
        self._extra_weight = 0
        self._refusal: Callable[[], Exception] | None = None
        self._callers_limit = math.inf
        self._callers_because: str | None = None

    def __len__(self) -> int:
        """Commands waiting now."""
        return self._queue.qsize() + self._extra_weight + len(self._pushed_back)

    def full(self) -> bool:
        """Whether there is no room for a request from outside."""
        return (
            bool(self._overflow)
            or len(self) >= self._callers_limit
            or (self._limit is not None and len(self) >= self._limit)
        )

    def limit_callers(self, limit: float, because: str | None) -> None:
        """Have callers wait while so many commands wait already, which may be none; `because` says why.

        With `math.inf` the mailbox's own bound alone counts. What others offer or `put` is not concerned. Any
        thread.
        """
        more = limit > self._callers_limit
        self._callers_limit, self._callers_because = limit, because
        if more and self._overflow:
            self._admit()
        if more and self._waiting:
            with self._room:
                self._room.notify_all()

    @property
    def held_because(self) -> str | None:
        """Why callers have to wait now, as the end of a sentence; None if not by `limit_callers`."""
        return self._callers_because if len(self) >= self._callers_limit else None

    @property
    def has_callers(self) -> bool:
        """Whether callers wait for room."""
        return bool(self._waiting or self._overflow)

    def put(self, envelope: Any, /) -> None:
        """Add an envelope without waiting; answered with an error when the mailbox is closed."""
        weight = getattr(envelope, "weight", 1)
        if weight > 1:
            with self._room:
                self._extra_weight += weight - 1
        self._queue.put(envelope)
        # Checked after the put: either this thread sees the refusal, or close() sees the envelope.
        if self._refusal is not None:
            self._refuse_waiting()

    def offer(self, request: Request, timeout: float, *, of_caller: bool = False) -> bool:
        """Add a request, waiting up to `timeout` seconds for room; False when there was none.

        One `of_caller` heeds `limit_callers`, too.
        """
        limit = self._limit
        if (
            (limit is not None and len(self) >= limit) or (of_caller and len(self) >= self._callers_limit)
        ) and not self._wait_for_room(timeout, of_caller):
            return False
        self.put(request)
        return True

    def _wait_for_room(self, timeout: float, of_caller: bool) -> bool:
        limit = math.inf if self._limit is None else self._limit
        end = time.monotonic() + timeout
        with self._room:
            self._waiting += 1
            try:
                while self._refusal is None and (
                    len(self) >= limit or (of_caller and len(self) >= self._callers_limit)
                ):
                    remaining = end - time.monotonic()
                    if remaining <= 0:
                        return False
                    self._room.wait(remaining)
            finally:
                self._waiting -= 1
        return True

    def enqueue_later(self, request: Request) -> bool:
        """Add a request now, or as soon as there is room and its turn has come; whether it was added now.
        Never waits.
        """
        if not self.full():
            self.put(request)
            return True
        with self._room:
            self._overflow[request] = None
        # Where something waits, the thread that takes it admits from the overflow queue afterwards.
        if self.empty() or self._refusal is not None or self._callers_because is not None:
            self._admit()
        return False

    def withdraw(self, request: Request) -> bool:
        """Take a request out of the overflow queue; False where it is in the mailbox, or answered, already.
        Any thread.
        """
        with self._room:
            waits = request in self._overflow
            if waits:
                del self._overflow[request]
        return waits

    def _admit(self) -> None:
        """Move to the queue what there is room for, and leave some room to the threads that wait for it. Any
        thread.
        """
        with self._room:
            limit = min(math.inf if self._limit is None else self._limit, self._callers_limit)
            free = max(limit - len(self), 0)
            # One at least, where there is room: taking it admits the next ones.
            end = limit - min(self._waiting, free // 2)
            while self._overflow and (len(self) < end or self._refusal is not None):
                request, _ = self._overflow.popitem(last=False)
                self._extra_weight += request.weight - 1
                self._queue.put(request)
        if self._refusal is not None:
            self._refuse_waiting()

    def get(self) -> Any:
        """The next envelope; waits for one. The actor's thread only."""
        if self._pushed_back:
            envelope = self._pushed_back.popleft()
            if self._overflow:
                self._admit()
            return envelope
        try:
            envelope = self._queue.get(timeout=self.idle_timeout)
        except queue.Empty:
            return IDLE_TIMEOUT
        self._taken(envelope)
        return envelope

    def drain(self, limit: int, *kinds: type) -> list[Any]:
        """Up to `limit` more envelopes that wait already, in order. The actor's thread only.

        With `kinds`, those up to the first one of another class, which stays to be taken next.
        """
        taken: list[Any] = []
        if self.empty() and not (self._overflow or self._waiting):
            return taken  # An exception for an empty queue costs more than the whole of this.
        held, get = self._pushed_back, self._queue.get_nowait
        try:
            while held and len(taken) < limit:
                taken.append(held.popleft())
        except IndexError:
            pass  # Several threads refuse what waits in a closed mailbox.
        try:
            while len(taken) < limit:
                envelope = get()
                if self._extra_weight:
                    self._taken(envelope, notify=False)
                taken.append(envelope)
        except queue.Empty:
            pass
        if self._overflow:
            self._admit()
        if self._waiting:
            with self._room:
                self._room.notify_all()
        if kinds:
            for index, envelope in enumerate(taken):
                if envelope.__class__ not in kinds:
                    self.push_back(taken[index:])
                    return taken[:index]
        return taken

    def push_back(self, envelopes: list[Any]) -> None:
        """Give drained envelopes back, to be the next ones taken. The actor's thread only."""
        self._pushed_back.extendleft(reversed(envelopes))
        if self._refusal is not None:
            self._refuse_waiting()

    def _taken(self, envelope: Any, notify: bool = True) -> None:
        weight = getattr(envelope, "weight", 1)
        if weight > 1:
            with self._room:
                self._extra_weight -= weight - 1
        if not notify:
            return
        if self._overflow:
            self._admit()
        if self._waiting:
            with self._room:
                self._room.notify_all()

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._pushed_back and self._queue.empty()

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Answer everything that waits, and all that is put from now on, with `refusal()`."""
        self._refusal = refusal
        self._refuse_waiting()
        if self._overflow:
            self._admit()
        with self._room:
            self._room.notify_all()

    def _refuse_waiting(self) -> None:
        assert self._refusal is not None
        kept = []
        for envelope in self.drain(1 << 62):
            if envelope.reply_to is not None:
                error = self._refusal()
                envelope.reply_to.set_exception((type(error), error, None))
            elif isinstance(envelope, Request):
                envelope.fail(self._refusal())
            else:
                kept.append(envelope)
        # Pykka's order to stop: an actor that comes back late, from a decider that hung, has to find it.
        for envelope in kept:
            self._queue.put(envelope)


class IdleTimeout(Request):
    """What `get` returns when nothing has arrived for the mailbox's `idle_timeout`."""

    __slots__ = ()


IDLE_TIMEOUT = IdleTimeout()

"""What the parent tells a worker's replica: how far the log goes, and what to do. Any thread of the parent; never waits."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from actors.kernel.reply import Reply
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.framing import Line

__all__ = ["Orders"]

AHEAD = 2
"""Times that a worker is told of new positions before it has said that it applied them: the next batch waits there
when one is done, and yet no backlog builds up for one that is slow or hangs."""


class Order:
    """Something that a worker is to do."""

    __slots__ = ("argument", "future", "what")

    def __init__(self, what: str, argument: Any, future: Reply[Any]) -> None:
        self.what = what
        self.argument = argument
        self.future = future


class Orders:
    """The way to one replica's worker, whichever process that is: what it did not do goes to the next one."""

    def __init__(self, head: Callable[[], int]) -> None:
        """`head` tells the last position that is on disk."""
        self._head = head
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._told = 0
        self._unapplied: deque[int] = deque()
        self._numbers = itertools.count(1)
        self._pending: dict[int, Order] = {}
        self._closed: Callable[[], Exception] | None = None

    def attach(self, line: Line, told: int) -> None:
        """A worker is there, which knows of positions up to `told`; it gets what is pending."""
        with self._lock:
            self._line = line
            self._told = told
            self._unapplied.clear()
            for number, order in self._pending.items():
                line.send(protocol.pack(protocol.ORDER, number, order.what, order.argument))
        self.committed()

    def detach(self) -> None:
        """The worker is gone."""
        with self._lock:
            self._line = None

    # -- positions ---------------------------------------------------------------------------
    def committed(self) -> None:
        """There is news in the log, unless the worker has enough to do: then it is told later. Sync's thread, and others."""
        with self._lock:
            line = self._line
            if line is None or len(self._unapplied) >= AHEAD:
                return
            head = self._head()
            if head > self._told:
                self._told = head
                self._unapplied.append(head)
                line.send(protocol.pack(protocol.COMMITTED, head))

    def applied(self, position: int) -> None:
        """The worker has handled everything up to there."""
        unapplied = self._unapplied
        with self._lock:
            while unapplied and unapplied[0] <= position:
                unapplied.popleft()
        self.committed()

    # -- orders ------------------------------------------------------------------------------
    def give(self, what: str, argument: Any, future: Reply[Any] | None = None) -> Reply[Any]:
        """Have something done; the future is that of its end."""
        future = Reply() if future is None else future
        order = Order(what, argument, future)
        with self._lock:
            refusal = self._closed
            if refusal is None:
                number = next(self._numbers)
                self._pending[number] = order
                if self._line is not None:
                    self._line.send(protocol.pack(protocol.ORDER, number, what, argument))
        if refusal is not None:
            future.set_exception(refusal())
        return future

    def done(self, number: int, error: Exception | None, result: Any) -> None:
        """The worker did it, or can't."""
        with self._lock:
            order = self._pending.pop(number, None)
        if order is None:
            return
        with suppress(InvalidStateError):
            if error is not None:
                order.future.set_exception(error)
            else:
                order.future.set_result(result)

    def pending(self, what: str) -> bool:
        """Whether such an order is not carried out yet."""
        with self._lock:
            return any(order.what == what for order in self._pending.values())

    def say(self, *words: Any) -> bool:
        """Tell the worker something that concerns no other one; False where there is none."""
        with self._lock:
            if self._line is None:
                return False
            self._line.send(protocol.pack(*words))
            return True

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Refuse what is pending and all that comes."""
        with self._lock:
            self._closed = refusal
            orders = list(self._pending.values())
            self._pending.clear()
        for order in orders:
            with suppress(InvalidStateError):
                order.future.set_exception(refusal())

"""What the parent sends to a worker's replica: the log's last position, and requests. Any thread; never
waits."""

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
from actors.worker_processes.wire.framing import Connection

__all__ = ["ControlClient"]

MAX_UNAPPLIED = 2
"""Positions sent to a worker before it reports that it applied the first of them. So the next batch is there
when one is done, and no backlog builds up for a worker that is slow or hangs."""


class ControlRequest:
    """Something for a worker to do."""

    __slots__ = ("argument", "future", "what")

    def __init__(self, what: str, argument: Any, future: Reply[Any]) -> None:
        self.what = what
        self.argument = argument
        self.future = future


class ControlClient:
    """The requests to one replica's worker, whichever process that is: what one did not carry out goes to the
    next."""

    def __init__(self, head: Callable[[], int]) -> None:
        """`head` returns the last position that is on disk."""
        self._head = head
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._sent_head = 0
        self._unapplied: deque[int] = deque()
        self._ids = itertools.count(1)
        self._pending: dict[int, ControlRequest] = {}
        self._closed: Callable[[], Exception] | None = None

    def attach(self, connection: Connection, sent_head: int) -> None:
        """There is a worker, which knows of positions up to `sent_head`; it gets the pending requests."""
        with self._lock:
            self._connection = connection
            self._sent_head = sent_head
            self._unapplied.clear()
            for id, request in self._pending.items():
                connection.send(protocol.pack(protocol.REQUEST, id, request.what, request.argument))
        self.committed()

    def detach(self) -> None:
        """The worker is gone."""
        with self._lock:
            self._connection = None

    # -- positions ---------------------------------------------------------------------------
    def committed(self) -> None:
        """Send the log's last position; later, if the worker has enough to do. Sync's thread, and others."""
        with self._lock:
            connection = self._connection
            if connection is None or len(self._unapplied) >= MAX_UNAPPLIED:
                return
            head = self._head()
            if head > self._sent_head:
                self._sent_head = head
                self._unapplied.append(head)
                connection.send(protocol.pack(protocol.COMMITTED, head))

    def applied(self, position: int) -> None:
        """The worker has handled everything up to `position`."""
        unapplied = self._unapplied
        with self._lock:
            while unapplied and unapplied[0] <= position:
                unapplied.popleft()
        self.committed()

    # -- requests ----------------------------------------------------------------------------
    def request(self, what: str, argument: Any, future: Reply[Any] | None = None) -> Reply[Any]:
        """Send a request; the future gets its result."""
        future = Reply() if future is None else future
        request = ControlRequest(what, argument, future)
        with self._lock:
            refusal = self._closed
            if refusal is None:
                id = next(self._ids)
                self._pending[id] = request
                if self._connection is not None:
                    self._connection.send(protocol.pack(protocol.REQUEST, id, what, argument))
        if refusal is not None:
            future.set_exception(refusal())
        return future

    def done(self, id: int, error: Exception | None, result: Any) -> None:
        """The worker carried the request out, or failed to."""
        with self._lock:
            request = self._pending.pop(id, None)
        if request is None:
            return
        with suppress(InvalidStateError):
            if error is not None:
                request.future.set_exception(error)
            else:
                request.future.set_result(result)

    def pending(self, what: str) -> bool:
        """Whether such a request is not carried out yet."""
        with self._lock:
            return any(request.what == what for request in self._pending.values())

    def send(self, *words: Any) -> bool:
        """Send a message that concerns this worker process alone; False if there is none."""
        with self._lock:
            if self._connection is None:
                return False
            self._connection.send(protocol.pack(*words))
            return True

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Refuse the pending requests and all later ones."""
        with self._lock:
            self._closed = refusal
            requests = list(self._pending.values())
            self._pending.clear()
        for request in requests:
            with suppress(InvalidStateError):
                request.future.set_exception(refusal())

"""What takes the place of Sync and of the rebuild lock in a worker process. Any thread of the worker."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable

from actors.kernel.mailbox import Mailbox
from actors.replication.messages import Applied, CatchUp
from actors.replication.rebuild_lock import RebuildLock
from actors.worker_processes.wire import protocol

__all__ = ["RemoteRebuildLock", "PositionFeed"]


class PositionFeed:
    """In the place of Sync: has the replica read the log as far as the parent said, one batch at a time."""

    def __init__(self, replica: Mailbox, head: int, applied: Callable[[int], None]) -> None:
        """`applied` is called with each position that the replica has handled."""
        self._replica = replica
        self._head = head
        self._applied = applied
        self._requested = True  # Until the replica has said where it is.
        self._lock = threading.Lock()

    def committed(self, head: int) -> None:
        """Everything up to `head` is on disk. The thread that serves the parent."""
        with self._lock:
            self._head = head
            requested, self._requested = self._requested, True
        if not requested:
            self._replica.put(CatchUp(head))

    def report(self, message: Applied) -> None:
        """The replica is that far. Its thread."""
        with self._lock:
            head = self._head
            self._requested = message.position < head
        self._applied(message.position)
        if message.position < head:
            self._replica.put(CatchUp(head))


class RemoteRebuildLock(RebuildLock):
    """The rebuild lock of a worker, which has to ask the parent for it."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        # The parent must not take a request of this worker for one of the worker before it.
        self._numbers = itertools.count(os.getpid() << 20)
        self._requested: int | None = None
        self._held = False
        self._wake: Callable[[], None] | None = None

    def acquire(self, name: str, wake: Callable[[], None]) -> bool:  # noqa: ARG002
        """As `RebuildLock.acquire`: False the first time; `wake` is called soon if the lock is free."""
        with self._lock:
            if self._held:
                return True
            self._wake = wake
            if self._requested is None:
                self._requested = next(self._numbers)
                self._send(protocol.ACQUIRE_REBUILD_LOCK, self._requested)
            return False

    def granted(self, number: int) -> None:
        """The parent granted it. The thread that serves the parent."""
        with self._lock:
            if number != self._requested:
                return
            self._held = True
            wake = self._wake
        if wake is not None:
            wake()

    def release(self, name: str) -> None:  # noqa: ARG002
        """As `RebuildLock.release`."""
        with self._lock:
            if self._requested is None:
                return
            self._requested, self._held, self._wake = None, False, None
            self._send(protocol.RELEASE_REBUILD_LOCK)

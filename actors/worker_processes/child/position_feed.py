"""What a worker's replica is told and asks for: positions in place of sync, and its turn to rebuild. Any thread of the worker."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable

from actors.kernel.mailbox import Mailbox
from actors.replication.messages import Applied, CatchUp
from actors.worker_processes.wire import protocol

__all__ = ["FarTurns", "Positions"]


class Positions:
    """Stands for sync's mailbox: has the replica read the log as far as the parent said, one batch an order."""

    def __init__(self, replica: Mailbox, head: int, applied: Callable[[int], None]) -> None:
        """`applied` is called with each position that the replica says it has handled."""
        self._replica = replica
        self._head = head
        self._applied = applied
        self._ordered = True  # Until the replica has said where it is.
        self._lock = threading.Lock()

    def committed(self, head: int) -> None:
        """Everything up to `head` is on disk. The thread that hears the parent."""
        with self._lock:
            self._head = head
            ordered, self._ordered = self._ordered, True
        if not ordered:
            self._replica.put(CatchUp(head))

    def put(self, message: Applied) -> None:
        """From the replica: it is that far."""
        with self._lock:
            head = self._head
            self._ordered = message.position < head
        self._applied(message.position)
        if message.position < head:
            self._replica.put(CatchUp(head))


class FarTurns:
    """Stands for `Turns`, which the parent has: whether it is this worker's turn is asked there."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        # The parent must not take a question of this worker for one of the worker before it.
        self._numbers = itertools.count(os.getpid() << 20)
        self._asked: int | None = None
        self._mine = False
        self._wake: Callable[[], None] | None = None

    def take(self, name: str, wake: Callable[[], None]) -> bool:  # noqa: ARG002
        """As `Turns.take`; the first time it never is, and `wake` is called soon if it could have been."""
        with self._lock:
            if self._mine:
                return True
            self._wake = wake
            if self._asked is None:
                self._asked = next(self._numbers)
                self._say(protocol.TAKE_TURN, self._asked)
            return False

    def granted(self, number: int) -> None:
        """The parent says so. The thread that hears it."""
        with self._lock:
            if number != self._asked:
                return
            self._mine = True
            wake = self._wake
        if wake is not None:
            wake()

    def give_up(self, name: str) -> None:  # noqa: ARG002
        """As `Turns.give_up`."""
        with self._lock:
            if self._asked is None:
                return
            self._asked, self._mine, self._wake = None, False, None
            self._say(protocol.GIVE_UP_TURN)

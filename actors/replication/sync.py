"""Sync: the actor that sends every replica what was committed, in order. One thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.kernel.actor import SupervisedActor, notify
from actors.kernel.mailbox import Mailbox
from actors.kernel.running_calls import CallSlot
from actors.replication.broadcast import WINDOW, Broadcast
from actors.replication.messages import Applied, Apply, CatchUp, Committed, Join
from actors.replication.progress import Progress

__all__ = ["Sync"]


class Sync(SupervisedActor):
    """Broadcasts `Committed` from the writer, and receives `Applied` from the replicas.

    What waits in the mailbox together is sent on together. A new incarnation knows nothing: it asks every
    replica where it is, and those that are behind read the log.
    """

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        replicas: Mapping[str, Mailbox],
        progress: Progress,
        window: int = WINDOW,
        listeners: Sequence[Callable[[int, int], None]] = (),
        call_slot: CallSlot | None = None,
    ) -> None:
        """`call_slot` shows the listener that runs."""
        super().__init__(name, mailbox, exited)
        self._replicas = replicas
        self._progress = progress
        self._listeners = listeners
        self._call_slot = call_slot or CallSlot("listener")
        self.broadcast = Broadcast(list(replicas), progress.head, window)

    def on_start(self) -> None:
        """Ask every replica for its position."""
        for mailbox in self._replicas.values():
            mailbox.put(Join())

    def on_receive(self, message: Any) -> None:
        """Merge what waits, so that a busy writer costs a replica one message a round."""
        if not isinstance(message, Applied | Committed):
            super().on_receive(message)
            return
        one: Applied | Committed
        for one in (message, *self.mailbox.drain(256, Applied, Committed)):
            if isinstance(one, Applied):
                self._send(self.broadcast.applied(one.replica, one.position, one.joining))
            else:
                self._send(self.broadcast.committed(one.first, one.last, one.events))
                notify(self._call_slot, self._listeners, one.first, one.last)

    def _send(self, orders: Any) -> None:
        for name, order in orders:
            self._replicas[name].put(CatchUp(order) if isinstance(order, int) else Apply(order))

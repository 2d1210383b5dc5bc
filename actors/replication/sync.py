"""Sync: the actor that sends every replica what was committed, in order. One thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.kernel.actor import SupervisedActor, notify
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.kernel.running_calls import CallSlot
from actors.replication.broadcast import WINDOW, Broadcast
from actors.replication.led_broadcast import LEADER_SECONDS, LedBroadcast
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
        led: bool = False,
        at: Callable[[str | None], int] = lambda _: 0,
        clock: Callable[[], float] = time.monotonic,
        listeners: Sequence[Callable[[int, int], None]] = (),
        call_slot: CallSlot | None = None,
    ) -> None:
        """`led`: one replica projects for all, and `at` gives the position of the event that it is at.

        `call_slot` shows the listener that runs.
        """
        super().__init__(name, mailbox, exited)
        self._at = at
        self._clock = clock
        self._replicas = replicas
        self._progress = progress
        self._listeners = listeners
        self._call_slot = call_slot or CallSlot("listener")
        self.broadcast: Broadcast | LedBroadcast = (LedBroadcast if led else Broadcast)(
            list(replicas), progress.head, window
        )

    def on_start(self) -> None:
        """Ask every replica for its position."""
        for mailbox in self._replicas.values():
            mailbox.put(Join())

    def on_receive(self, message: Any) -> None:
        """Merge what waits, so that a busy writer costs a replica one message a round."""
        if isinstance(message, Applied | Committed):
            waiting = (message, *self.mailbox.drain(256, Applied, Committed))
        elif isinstance(message, IdleTimeout):
            waiting = ()
        else:
            super().on_receive(message)
            return
        broadcast = self.broadcast
        if isinstance(broadcast, LedBroadcast):
            self._lead(broadcast, waiting)
        else:
            self._broadcast(broadcast, waiting)

    def _lead(self, broadcast: LedBroadcast, waiting: Sequence[Applied | Committed]) -> None:
        now = self._clock()
        for one in waiting:
            if isinstance(one, Applied):
                self._send(broadcast.applied(one, now))
            else:
                self._send(broadcast.committed(one.first, one.last, one.events, now))
                notify(self._call_slot, self._listeners, one.first, one.last)
        self._send(broadcast.check(now, self._at(broadcast.leader)))
        self._progress.leader = broadcast.leader
        self.mailbox.idle_timeout = LEADER_SECONDS if broadcast.busy else None

    def _broadcast(self, broadcast: Broadcast, waiting: Sequence[Applied | Committed]) -> None:
        for one in waiting:
            if isinstance(one, Applied):
                orders = broadcast.applied(one.replica, one.position, one.joining)
                self._send([(name, CatchUp(until)) for name, until in orders])
            else:
                news = broadcast.committed(one.first, one.last, one.events)
                self._send([(name, CatchUp(it) if isinstance(it, int) else Apply(it)) for name, it in news])
                notify(self._call_slot, self._listeners, one.first, one.last)

    def _send(self, orders: Sequence[tuple[str, Apply | CatchUp]]) -> None:
        for name, order in orders:
            self._replicas[name].put(order)

"""Keeps the writer from outrunning its replicas: has callers wait while one is too far behind.

It looks after each commit, in the writer's thread, after each batch of a replica, in that replica's, and at
each tick, in the supervisor's. Only callers wait: what process managers and consumers store goes on.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from actors.health import HeldBack
from actors.kernel.mailbox import Mailbox
from actors.kernel.supervisor import ActorSlot
from actors.queries.replica_host import ReplicaHost
from actors.replication.lag import counted
from actors.writer.back_pressure import BackPressure, ModelLag

__all__ = ["WriterPace"]


class WriterPace:
    """Of one running system with `max_lag_before_wait=`."""

    def __init__(
        self,
        limit: int,
        mailbox: Mailbox,
        replicas: ReplicaHost,
        actors: Mapping[str, ActorSlot],
        still: Callable[[str, str], float],
        patience: float,
    ) -> None:
        """`still` says for how many seconds a model on a replica has not moved although it is behind; for one
        that stands still for longer than `patience` nobody waits.
        """
        self._pressure = BackPressure(limit)
        self._mailbox = mailbox
        self._replicas = replicas
        self._progress = replicas.progress
        self._opened_at = self._progress.head
        self._actors = actors
        self._still = still
        self._patience = patience
        self._ignored: frozenset[tuple[str, str]] = frozenset()
        self._limited = False
        self._lock = threading.Lock()

    def look(self) -> None:
        """See who is not to be waited for, and whether anybody has to wait. The supervisor's thread."""
        self._ignored = frozenset(self._not_waited_for())
        self.update()

    def committed(self, _first: int, _last: int) -> None:
        """A listener of commits. The writer's thread."""
        self.update()

    def applied(self, _replica: str, _position: int, _lag: float) -> None:
        """A listener of what replicas applied; if nobody is limited, there is nothing to find out. The
        replica's thread."""
        if self._limited:
            self.update()

    def update(self) -> None:
        """Say how many commands may wait before callers have to. Any thread."""
        mailbox, pressure = self._mailbox, self._pressure
        with self._lock:
            waiting = len(mailbox)
            room = pressure.update(self._lags(), waiting, mailbox.has_callers, time.monotonic())
            self._limited = room is not None
            slowest = pressure.slowest
            if room is None or slowest is None:
                mailbox.limit_callers(math.inf, None)
                return
            mailbox.limit_callers(
                room,
                f"model {slowest.model} on {slowest.replica} is {counted(slowest.behind)} behind, and "
                f"max_lag_before_wait is {pressure.limit:,}",
            )

    def health(self) -> HeldBack | None:
        """That callers are held back, since when and by whom; None if they are not. Any thread."""
        now = time.monotonic()
        hold = self._pressure.hold(now)
        if hold is None:
            return None
        replica, model, behind = hold.slowest
        return HeldBack(replica, model, behind, round(now - hold.since, 3))

    def _lags(self) -> Iterator[ModelLag]:
        progress, ignored = self._progress, self._ignored
        head, opened_at = progress.head, self._opened_at
        for replica, entries in progress.replicas.items():
            for model, entry in entries.items():
                applied = entry.applied
                # One that is below these is being filled, or must not be read.
                served = applied >= entry.floor and applied >= opened_at
                if served and entry.stopped is None and (replica, model) not in ignored:
                    yield ModelLag(replica, model, max(head - applied, 0))

    def _not_waited_for(self) -> Iterator[tuple[str, str]]:
        """The models of replicas that are down or do not answer, those whose code is gone, and those that
        stand still."""
        for replica, entries in self._progress.replicas.items():
            down = self._replicas.problem(replica) is not None or not self._actors[replica].alive
            frozen = {one.name for one in self._replicas.slots[replica].projector.frozen}
            for model in entries:
                if down or model in frozen or self._still(replica, model) > self._patience:
                    yield replica, model

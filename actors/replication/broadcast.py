"""What sync sends to whom: pure bookkeeping, used by the sync actor's thread.

A replica is `live` while it gets every committed event as it comes, and `behind` while it
reads what it missed from the log, one batch an order. No backlog is kept for anybody: a
live replica that falls more than a window behind is told to read the log instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage import RecordedEvent

__all__ = ["WINDOW", "Broadcast"]

WINDOW = 20_000
"""Events that may be on their way to one replica before it has to read the log instead."""


class _Peer:
    __slots__ = ("acked", "live", "ordered", "sent")

    def __init__(self) -> None:
        self.live = False
        self.sent = 0
        self.acked = 0
        self.ordered = False


class Broadcast:
    """Decides, message by message, what each replica is sent next.

    Each method returns orders `(replica, events)` or `(replica, until)`: hand over these
    events, or have it read the log up to that position.
    """

    def __init__(self, replicas: Sequence[str], head: int, window: int = WINDOW) -> None:
        """Every replica counts as behind until it reports where it is."""
        self.head = head
        self._window = window
        self._peers = {name: _Peer() for name in replicas}

    def live(self) -> list[str]:
        """The replicas that get every event as it is committed."""
        return [name for name, peer in self._peers.items() if peer.live]

    def committed(
        self, first: int, last: int, events: Sequence[RecordedEvent] | None
    ) -> list[tuple[str, Sequence[RecordedEvent] | int]]:
        """Positions `first` to `last` are on disk."""
        if last <= self.head:
            return []
        whole = events is not None and first == self.head + 1
        self.head = last
        orders: list[tuple[str, Sequence[RecordedEvent] | int]] = []
        for name, peer in self._peers.items():
            if peer.live and whole and last - peer.acked <= self._window:
                assert events is not None
                peer.sent = last
                orders.append((name, events))
            elif peer.live:
                peer.live = False
                if peer.acked >= peer.sent:
                    peer.ordered = True
                    orders.append((name, last))
        return orders

    def applied(self, name: str, position: int, joining: bool = False) -> list[tuple[str, int]]:
        """A replica has handled everything up to `position`; or (`joining`) it has restarted there."""
        peer = self._peers[name]
        peer.acked = position
        if joining:
            peer.live = False
            peer.sent = position
        peer.ordered = False
        if peer.live:
            return []
        if position < peer.sent:
            return []  # What was handed over while it was live comes first.
        if position >= self.head:
            peer.live = True
            peer.sent = position
            return []
        peer.ordered = True
        return [(name, self.head)]

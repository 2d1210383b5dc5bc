"""What sync sends to whom where one replica projects for all: pure bookkeeping, for the sync actor's thread.

One replica leads: it gets the events, or reads the log, and projects them. What it changed is sent to those
that had the same position before, which then need not project. One that is elsewhere reads the log by itself
until it is where the leader is. Any replica can lead; another one does as soon as the leader restarts, is
busy with a build, falls behind, or takes too long.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.replication.broadcast import WINDOW
from actors.replication.messages import Applied, Apply, CatchUp
from storage import RecordedEvent

__all__ = ["LEADER_SECONDS", "LedBroadcast"]

LEADER_SECONDS = 1.0
"""Seconds without a report, and at the same event, after which a leader that has something to do is
replaced."""

NEAR = 200
"""Events that a replica reads in one batch in any case: what is sent after that follows without a gap."""

Order = tuple[str, Apply | CatchUp]


class _Peer:
    __slots__ = ("acked", "joined", "late", "may_lead", "near", "reading", "sent")

    def __init__(self) -> None:
        self.joined = False
        """Whether its position is known."""
        self.acked = 0
        self.sent = 0
        """The position that it will have once it has handled what it was sent."""
        self.reading = False
        """Whether it reads the log, in which case it has nothing else to do, and will report."""
        self.near = 0
        """The position up to which it reads the log in one batch, and then reports; 0 if it does not."""
        self.may_lead = False
        self.late = False
        """Whether it led and took too long, and has not reported since."""

    @property
    def fit(self) -> bool:
        """Whether it should lead, if there is a choice."""
        return self.joined and self.may_lead and not self.late


class LedBroadcast:
    """Decides, message by message, what each replica is sent next.

    Each method returns orders: for which replica, and the message. `now` is a monotonic time in seconds.
    """

    def __init__(self, replicas: Sequence[str], head: int, window: int = WINDOW) -> None:
        """Nobody leads until one has reported where it is."""
        self.head = head
        self.leader: str | None = None
        self._window = window
        self._peers = {name: _Peer() for name in replicas}
        self._heard = 0.0
        """When the leader reported last, or got something to do after it had nothing, or moved on."""
        self._at = 0

    def live(self) -> list[str]:
        """The replicas that get all that is committed without reading the log."""
        return [name for name, peer in self._peers.items() if peer.joined and not peer.reading]

    def committed(
        self, first: int, last: int, events: Sequence[RecordedEvent] | None, now: float
    ) -> list[Order]:
        """Positions `first` to `last` are on disk."""
        if last <= self.head:
            return []
        self.head = last
        if self.leader is None:
            return []
        leader = self._peers[self.leader]
        if events is None or leader.reading or leader.sent != first - 1 or last - leader.acked > self._window:
            return self._drive(now)
        if leader.sent == leader.acked:
            self._heard = now
        leader.sent = last
        return [(self.leader, Apply(events))]

    def applied(self, report: Applied, now: float) -> list[Order]:
        """A replica has handled everything up to a position; or (`joining`) it has restarted there."""
        name = report.replica
        peer = self._peers[name]
        before = peer.acked
        peer.acked = report.position
        short = report.position < peer.near  # not what a batch is: what was sent after it cannot follow
        peer.sent = report.position if report.joining or short else max(peer.sent, report.position)
        peer.near = 0
        peer.joined, peer.reading, peer.late = True, False, False
        peer.may_lead = report.may_lead
        orders: list[Order] = []
        if name == self.leader:
            self._heard = now
            if report.joining:
                self.leader = None
            else:
                orders += self._share(report.shared, before + 1, report.position)
        orders += self._choose(now)
        if name != self.leader:
            orders += self._bring(name)
        return orders

    def check(self, now: float, at: int) -> list[Order]:
        """Replace a leader that takes too long. To be called from time to time while `busy`.

        `at` is the position of the event that the leader's projections are at, 0 for none: as long as that
        changes, it is only slow, and so would others be.
        """
        if at not in (0, self._at):
            self._at, self._heard = at, now
        if self.leader is None or not self.busy or now - self._heard < LEADER_SECONDS:
            return []
        self._peers[self.leader].late = True
        return self._choose(now)

    @property
    def busy(self) -> bool:
        """Whether a report of the leader is due."""
        leader = self._peers.get(self.leader or "")
        return leader is not None and (leader.reading or leader.sent > leader.acked)

    # -- inside ------------------------------------------------------------------------------
    def _choose(self, now: float) -> list[Order]:
        """Have the leader go on, or another one lead in its place."""
        name = self.leader
        leader = None if name is None else self._peers[name]
        best = max(
            (other for other, peer in self._peers.items() if peer.joined),
            key=lambda other: (self._peers[other].fit, self._peers[other].acked, other == name),
            default=None,
        )
        if best is None:
            return []
        challenger = self._peers[best]
        if leader is None or (challenger.fit and (not leader.fit or challenger.acked > leader.acked + NEAR)):
            self.leader = best
            self._heard = now
        orders = self._drive(now)
        if self.leader != name:
            for other in self._peers:
                if other != self.leader:
                    orders += self._bring(other)
        return orders

    def _drive(self, now: float) -> list[Order]:
        """Have the leader read what it was not sent, once it has done what it was."""
        assert self.leader is not None
        leader = self._peers[self.leader]
        if leader.reading or leader.sent > leader.acked or leader.acked >= self.head:
            return []
        leader.reading = True
        self._heard = now
        return [(self.leader, CatchUp(self.head))]

    def _share(self, shared: Apply | None, first: int, last: int) -> list[Order]:
        """Send what the leader changed for the events from `first` to `last`; what it can't share is read."""
        orders: list[Order] = []
        for name, peer in self._peers.items():
            if name == self.leader or not peer.joined or peer.reading:
                continue
            if shared is not None and peer.sent == first - 1 and last - peer.acked <= self._window:
                peer.sent = last
                orders.append((name, shared))
            else:
                orders += self._bring(name)
        return orders

    def _bring(self, name: str) -> list[Order]:
        """Have a replica read what it lacks of what the leader has, once it has done what it was sent."""
        assert self.leader is not None
        peer, until = self._peers[name], self._peers[self.leader].acked
        if not peer.joined or peer.reading or peer.late or peer.sent > peer.acked or peer.acked >= until:
            return []
        if until - peer.acked <= NEAR:
            peer.sent = peer.near = until
        else:
            peer.reading = True
        return [(name, CatchUp(until, self.leader))]

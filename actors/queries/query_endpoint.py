"""Where one query actor is asked, and what it did: both outlive the actor."""

from __future__ import annotations

from actors.kernel.mailbox import Mailbox

__all__ = ["QueryStats", "QueryEndpoint"]


class QueryStats:
    """What one query actor did; it outlives the actor. Written by its thread, read by any."""

    __slots__ = ("activity", "failed", "served")

    def __init__(self) -> None:
        self.served = 0
        self.failed = 0
        self.activity: tuple[str, float] | None = None


class QueryEndpoint:
    """One query actor as the balancer sees it."""

    __slots__ = ("mailbox", "name", "replica", "stats")

    def __init__(self, name: str, replica: str, mailbox: Mailbox, stats: QueryStats) -> None:
        self.name = name
        self.replica = replica
        self.mailbox = mailbox
        self.stats = stats

    def load(self) -> int:
        """How many queries run or wait there."""
        return len(self.mailbox) + (self.stats.activity is not None)

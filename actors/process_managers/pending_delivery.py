"""One effect that an outbox has in memory, until it is delivered and removed. The outbox's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.process_managers.records import OutboxEntry

__all__ = ["PendingDelivery"]


@dataclass(slots=True)
class PendingDelivery:
    """`value` is the stored `entry`; `due` is when to deliver it, a monotonic time."""

    entry: OutboxEntry
    value: bytes
    due: float = 0.0
    results: list[Any] | None = None
    """The commands that its handler returned, once it is delivered."""
    leaving: bool = False
    """Whether a step is in flight that removes it, or blocks it behind a parked one."""
    parking: bool = False
    """Whether that step parks it."""
    ended_process: bool = False
    """Whether its last attempt ended the process."""

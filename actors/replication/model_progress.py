"""How far one model on one replica is, as `actors.replication.progress` keeps it under its lock."""

from __future__ import annotations

__all__ = ["NEVER", "ModelProgress"]

NEVER = 1 << 64
"""A position that no model reaches."""


class ModelProgress:
    """One model on one replica. `stopped` is why its projection stopped, or None.

    With `readable` what it has applied may still be read. Below `floor` it must not be read: it is being
    filled again, and its readers have seen more than it has.
    """

    __slots__ = ("applied", "floor", "readable", "stopped")

    def __init__(self, applied: int) -> None:
        self.applied = applied
        self.floor = 0
        self.stopped: str | None = None
        self.readable = True

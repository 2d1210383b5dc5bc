"""What the writer, sync and the replicas tell each other. Small values; no thread of their own."""

from __future__ import annotations

from collections.abc import Sequence

from actors.kernel.mailbox import Request
from storage import RecordedEvent

__all__ = ["Committed", "Apply", "CatchUp", "Join", "Applied"]


class Committed(Request):
    """The writer to sync: positions `first` to `last` are on disk.

    `events` holds them, or is None where the log has to be read for them.
    """

    __slots__ = ("events", "first", "last")

    def __init__(self, first: int, last: int, events: Sequence[RecordedEvent] | None) -> None:
        self.first = first
        self.last = last
        self.events = events


class Apply(Request):
    """Sync to a replica: these events come next."""

    __slots__ = ("events",)

    def __init__(self, events: Sequence[RecordedEvent]) -> None:
        self.events = events


class CatchUp(Request):
    """Sync to a replica: read one batch from the log, no further than `until`."""

    __slots__ = ("until",)

    def __init__(self, until: int) -> None:
        self.until = until


class Join(Request):
    """Sync to a replica: say where you are, so that you get what you miss."""

    __slots__ = ()


class Applied(Request):
    """A replica to sync: everything up to `position` is handled. `joining` asks to be caught up anew."""

    __slots__ = ("joining", "position", "replica")

    def __init__(self, replica: str, position: int, joining: bool = False) -> None:
        self.replica = replica
        self.position = position
        self.joining = joining

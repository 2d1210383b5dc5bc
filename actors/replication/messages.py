"""The messages between the writer, Sync and the replicas. Small values; no thread of their own."""

from __future__ import annotations

from collections.abc import Sequence

from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from storage import RecordedEvent

__all__ = [
    "Committed",
    "Apply",
    "CatchUp",
    "Join",
    "Applied",
    "RetryStopped",
    "Resume",
    "ResetReplica",
    "StartBuild",
]


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
    """A replica to Sync: everything up to `position` is handled. `joining` asks for what comes after it."""

    __slots__ = ("joining", "position", "replica")

    def __init__(self, replica: str, position: int, joining: bool = False) -> None:
        self.replica = replica
        self.position = position
        self.joining = joining


class RetryStopped(Request):
    """To a replica: see whether a stopped model is due for another try, or whether you hold the rebuild lock
    by now."""

    __slots__ = ()


class Resume(Request):
    """To a replica: an operator has had an event skipped; models that stopped at it go on."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: Reply[None] = Reply()

    def fail(self, error: Exception) -> None:
        """Answer with `error`."""
        self.future.set_exception(error)


class ResetReplica(Request):
    """To a replica: your slot is marked as damaged."""

    __slots__ = ()


class StartBuild(Request):
    """To a replica: begin a new build of this model beside the one that serves."""

    __slots__ = ("future", "model")

    def __init__(self, model: str) -> None:
        self.model = model
        self.future: Reply[None] = Reply()

    def fail(self, error: Exception) -> None:
        """Answer with `error`."""
        self.future.set_exception(error)

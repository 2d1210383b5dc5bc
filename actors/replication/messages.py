"""The messages between the writer, Sync and the replicas. Small values; no thread of their own."""

from __future__ import annotations

from collections.abc import Sequence

from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from storage import RecordedEvent
from storage.replica.build_changes import BuildChanges

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
    """Sync to a replica: these events come next.

    `changes` are what the replica `by` changed for all of them in the builds that it could share; none if
    this one is to project them itself.
    """

    __slots__ = ("by", "changes", "events")

    def __init__(
        self, events: Sequence[RecordedEvent], changes: Sequence[BuildChanges] = (), by: str | None = None
    ) -> None:
        self.events = events
        self.changes = changes
        self.by = by


class CatchUp(Request):
    """Sync to a replica: read one batch from the log, no further than `until`.

    The replica `source`, if any, has all of that: models may be copied from it.
    """

    __slots__ = ("source", "until")

    def __init__(self, until: int, source: str | None = None) -> None:
        self.until = until
        self.source = source


class Join(Request):
    """Sync to a replica: say where you are, so that you get what you miss."""

    __slots__ = ()


class Applied(Request):
    """A replica to Sync: everything up to `position` is handled. `joining` asks for what comes after it.

    `shared` is what it changed for these events, for the other replicas; None if it did not project them
    itself, or not all of them. `may_lead`: it is not busy with anything else.
    """

    __slots__ = ("joining", "may_lead", "position", "replica", "shared")

    def __init__(
        self,
        replica: str,
        position: int,
        joining: bool = False,
        shared: Apply | None = None,
        may_lead: bool = True,
    ) -> None:
        self.replica = replica
        self.position = position
        self.joining = joining
        self.shared = shared
        self.may_lead = may_lead


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

"""Closing streams of a `System`, and archives of its events. Callers' threads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from actors.kernel.actor import refuse_in_actor
from actors.kernel.late_import import late_import
from actors.system.arguments import checked_page
from actors.system.base import SystemBase
from actors.timeouts import checked_timeout
from actors.writer.closed_streams import ClosedStream, close_streams, closed_streams, reopen_streams

if TYPE_CHECKING:
    from actors.retention.archive_plan import ArchivePlan
    from actors.retention.removal_plan import RemovalPlan
    from actors.retention.stream_closing import StreamChange
    from storage import ArchiveRecord

__all__ = ["RetentionMethods"]


class RetentionMethods(SystemBase):
    """Streams that take no more events, and archives."""

    def close_streams(
        self, streams: str | Collection[str], *, who: str, why: str, timeout: float = 30.0
    ) -> tuple[str, ...]:
        """Close one or several streams: from now on a command to one, or facts for it, is `StreamClosed`.

        That holds for every stream in which a command would write. Reading goes on as before, and a command
        that was executed before gives its receipt again. `who`, `why` and the time are kept, also as a
        correction that changes no event, one for each 1,000 streams. Returns the streams that were open;
        those that are closed stay as they are.

        Raises, with nothing done, `UnknownStream` for one without events, ValueError for an empty `who` or
        `why`, and for a stream in which `forget` writes; TypeError, InvalidKey. Raises Overloaded,
        CommandTimeout after `timeout` seconds, CommitUncertain (call it again), OpenedForReading,
        StorageError, WrongThread.
        """
        return self._change(close_streams, streams, who, why, timeout)

    def reopen_streams(
        self, streams: str | Collection[str], *, who: str, why: str, timeout: float = 30.0
    ) -> tuple[str, ...]:
        """Open closed streams again, and return those that were closed. Recorded, and raises, as
        `close_streams`.
        """
        return self._change(reopen_streams, streams, who, why, timeout)

    def closed_streams(self, prefix: str = "", limit: int = 1000, after: str = "") -> list[ClosedStream]:
        """The closed streams whose names begin with `prefix` and sort after `after`: by whom, why, when.

        Raises DamagedStore.
        """
        checked_page("closed_streams", prefix, limit, after)
        return closed_streams(self._guarded("events").log, prefix, after, limit)

    # -- archives ----------------------------------------------------------------------------
    def plan_archive(
        self,
        streams: str | Collection[str] = (),
        *,
        category: str = "",
        closed: bool = True,
        quiet_since: datetime | None = None,
        before_snapshot: bool = False,
        limit: int = 1_000_000,
        progress: Callable[[int, int], None] | None = None,
    ) -> ArchivePlan:
        """What an archive would have; nothing is changed before `archive`.

        It is about these `streams`, those of a `category`, or all. Closed streams are archived as a whole.
        Open ones are left out; with `before_snapshot=True` their events up to their snapshot are archived,
        and with `closed=False` all of them are. With `quiet_since`, a datetime with a time zone, streams with
        an event from that moment on are left out. One archive has whole streams, and at most `limit` events
        unless its first stream has more.

        `progress` is called with the events of the streams that were looked at, and of all. Raises TypeError,
        ValueError, InvalidKey; ArchiveUnavailable, DamagedStore, WrongThread.
        """
        with late_import("what archives need"):
            from actors.retention.archive_arguments import selection_of
            from actors.retention.archive_plan import plan_of

        parts = self._running()
        refuse_in_actor("plan_archive", parts.progress)
        selection = selection_of(streams, category, closed, quiet_since, before_snapshot, limit)
        return plan_of(parts, selection, progress)

    def archive(
        self,
        plan: ArchivePlan,
        *,
        who: str,
        why: str,
        timeout: float = 60.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> ArchiveRecord:
        """Move the events of a plan from the log to a new archive, and return its record.

        Everything reads them from there: streams, deciders, replicas, rebuilds, subscriptions, backups.
        Positions stay. First the file is written, then the events are moved by the writer in small steps, and
        commands go on in between. A process that dies in the middle, or a step that fails, leaves all events
        readable; the rest is moved while the store is open. `progress` is called with the steps that are
        done, and of all. `timeout` is for each step, in seconds.

        Raises ArchiveRefused, with nothing done, if the plan has no events or no longer holds: a stream was
        opened again, or an event was corrected; and while another archive is being made. ValueError for an
        empty `who` or `why`; StoreFull, Overloaded, CommandTimeout, CommitUncertain; OpenedForReading,
        StorageError, WrongThread.
        """
        with late_import("what archives need"):
            from actors.retention.archiving import archive

        parts = self._running()
        checked_timeout(timeout, "archive")
        return archive(parts, self._runtime.archive_moves, plan, who, why, timeout, progress)

    def archives(self) -> list[ArchiveRecord]:
        """All archives by number, those that were removed, too: who made them, why, when, and their files.

        Raises DamagedStore.
        """
        return self._running().log.archives()

    def plan_removal(self, number: int, *, progress: Callable[[int, int], None] | None = None) -> RemovalPlan:
        """Who would lose something if an archive were removed; nothing is changed before `remove_archive`.

        It reads the archive; if its file is lost, that is one of the losses. `progress` is called with the
        events that were read, and of all. Raises ArchiveRefused if there is no such archive, or it is removed
        or not complete; ArchiveUnavailable, DamagedStore, WrongThread.
        """
        with late_import("what archives need"):
            from actors.retention.removal_plan import plan_of_removal

        parts = self._running()
        refuse_in_actor("plan_removal", parts.progress)
        return plan_of_removal(parts, number, progress)

    def remove_archive(
        self,
        number: int,
        *,
        lose: Collection[str] | Literal["all"] = (),
        who: str,
        why: str,
        timeout: float = 60.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> ArchiveRecord:
        """Remove an archive: its events are gone for good, and the file is overwritten. Returns its record.

        `lose` names all who lose something, as `Loss.label` does, or is "all". Positions of the events stay,
        and nobody gets anything for them: read models, consumers and process managers go past them, and what
        needs a stream that had them raises `EventsRemoved`, unless there is a snapshot from after them.

        Raises, with nothing done, `WouldLose` if somebody loses something who is not named, and as
        `plan_removal` does; ValueError for an empty `who` or `why`. Raises Overloaded, CommandTimeout after
        `timeout` seconds, CommitUncertain, OpenedForReading, StorageError, WrongThread.
        """
        with late_import("what archives need"):
            from actors.retention.removing import remove_archive

        parts = self._running()
        checked_timeout(timeout, "remove_archive")
        moves = self._runtime.archive_moves
        return remove_archive(parts, moves, number, lose, who, why, timeout, progress)

    def _change(
        self, change: StreamChange, streams: str | Collection[str], who: str, why: str, timeout: float
    ) -> tuple[str, ...]:
        with late_import("what closing streams needs"):
            from actors.retention.stream_closing import change_streams

        parts = self._running()
        checked_timeout(timeout, change.__name__)
        return change_streams(parts, change, streams, who, why, timeout)

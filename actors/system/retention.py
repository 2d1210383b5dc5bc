"""Closing streams of a `System`. Callers' threads."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from actors.kernel.late_import import late_import
from actors.system.arguments import checked_page
from actors.system.base import SystemBase
from actors.timeouts import checked_timeout
from actors.writer.closed_streams import ClosedStream, close_streams, closed_streams, reopen_streams

if TYPE_CHECKING:
    from actors.retention.stream_closing import StreamChange

__all__ = ["RetentionMethods"]


class RetentionMethods(SystemBase):
    """Streams that take no more events."""

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

    def _change(
        self, change: StreamChange, streams: str | Collection[str], who: str, why: str, timeout: float
    ) -> tuple[str, ...]:
        with late_import("what closing streams needs"):
            from actors.retention.stream_closing import change_streams

        parts = self._running()
        checked_timeout(timeout, change.__name__)
        return change_streams(parts, change, streams, who, why, timeout)

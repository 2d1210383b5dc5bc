"""Reading the log from a position on, only what a filter wants. The reader's thread; holds nothing between
batches.

The index of the stream or tag is read where the filter names one, so that what others write costs nothing;
else the log is read in batches and looked through.
"""

from __future__ import annotations

from actors.subscriptions.event_filter import EventFilter
from storage import RecordedEvent
from storage.log.log_reader import LogReader
from storage.log.records import DROPPED
from storage.log.stored_events import without_dropped

__all__ = ["BATCH", "LogCursor"]

BATCH = 500
"""Events that are read at once: enough that the transaction is cheap, few enough to hold and to
look through.
"""


class LogCursor:
    """A place in the log. `position` is the last one looked at: everything wanted up to it was returned."""

    def __init__(self, log: LogReader, wanted: EventFilter, after: int, version: int | None = None) -> None:
        """`version` is that of the stream wanted at the position `after`, where it is known."""
        self._log = log
        self._wanted = wanted
        self.position = after
        self._version = version

    def read(self, head: int, limit: int = BATCH) -> list[RecordedEvent]:
        """The next events that are wanted, at most `limit`, none after `head`; moves `position`.

        There may be more than `limit` where upcasters made several events of one.

        An empty list says that there is nothing up to `position`, which is `head` only once all is looked
        through. Raises what `EventLog.read` does.
        """
        if self.position >= head:
            return []
        if self._wanted.stream:
            return self._read_stream(head, limit)
        if self._wanted.tag:
            return self._looked_at(self._log.read_tag(self._wanted.tag, self.position, limit), limit, head)
        everything = self._wanted.anything
        batch = self._log.read(self.position, min(limit, BATCH) if everything else BATCH, head)
        self.position = batch[-1].position
        if everything:
            return without_dropped(batch)
        found = self._wanted_of(batch)
        if len(found) > limit:
            # What upcasters made of one event stays together.
            self.position = found[limit - 1].position
            while found[-1].position > self.position:
                found.pop()
        return found

    def _read_stream(self, head: int, limit: int) -> list[RecordedEvent]:
        stream = self._wanted.stream
        if self._version is None:
            self._version = self._version_at(stream, self.position) if self.position else 0
        return self._looked_at(self._log.read_stream(stream, self._version, limit), limit, head)

    def _looked_at(self, found: list[RecordedEvent], limit: int, head: int) -> list[RecordedEvent]:
        """What of these entries of an index is wanted, having moved to the end of them."""
        ended = len(found) < limit
        while found and found[-1].position > head:
            found.pop()
            ended = True
        if found:
            self._version = found[-1].version
        self.position = head if ended else found[-1].position
        return self._wanted_of(found)

    def _wanted_of(self, events: list[RecordedEvent]) -> list[RecordedEvent]:
        matches = self._wanted.matches
        return [recorded for recorded in events if matches(recorded) and recorded.event is not DROPPED]

    def _version_at(self, stream: str, position: int) -> int:
        """The version of the stream at a position: the index is by version, so it is halved until it is
        found.
        """
        low, high = 0, self._log.stream_version(stream)
        while low < high:
            middle = (low + high) // 2
            recorded = self._log.read_stream(stream, middle, 1)[0]
            if recorded.position <= position:
                low = middle + 1
            else:
                high = middle
        return low

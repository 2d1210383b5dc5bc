"""Reading the log from a position on, only what a filter wants. The reader's thread; holds nothing between
batches.

The index of the stream or tag is read where the filter names one, so that what others write costs nothing;
else the log is read in batches and looked through. Type, category and stream are looked at in the stored
bytes: an event that is not wanted is not decoded, and stops nobody if it cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from actors.subscriptions.event_filter import EventFilter
from storage import CodecError, RecordedEvent
from storage.log.event_reads import StoredRecord
from storage.log.log_reader import LogReader
from storage.log.stored_events import without_dropped

__all__ = ["BATCH", "LogCursor"]

BATCH = 500
"""Events that are given at once: enough that the transaction is cheap, few enough to hold."""


class LogCursor:
    """A place in the log. `position` is the last one looked at: everything wanted up to it was returned."""

    def __init__(
        self,
        log: LogReader,
        wanted: EventFilter,
        after: int,
        version: int | None = None,
        undecodable: bool = False,
    ) -> None:
        """`version` is that of the stream wanted at the position `after`, where it is known.

        With `undecodable`, an event that cannot be decoded is given as an `Undecodable`.
        """
        self._log = log
        self._wanted = wanted
        self.position = after
        self._version = version
        self._undecodable = undecodable
        self._filter = (
            log.record_filter(wanted.types, category=wanted.category)
            if wanted.types or wanted.category
            else None
        )

    def read(self, head: int, limit: int = BATCH) -> list[RecordedEvent]:
        """The next events that are wanted, at most `limit`, none after `head`; moves `position`.

        There may be more than `limit` where upcasters made several events of one.

        An empty list says that there is nothing up to `position`, which is `head` only once all is looked
        through. Raises what `EventLog.read` does, once all before the event that cannot be decoded are given.
        """
        if self.position >= head:
            return []
        if self._wanted.stream:
            return self._read_stream(head, limit)
        if self._wanted.tag:
            tag = self._wanted.tag
            return self._looked_at(self._log.tag_records(tag, self.position, limit), limit, head, tag)
        limit = min(limit, BATCH)
        if self._filter is None:
            with suppress(CodecError):
                batch = self._log.read(self.position, limit, head)
                self.position = batch[-1].position
                return without_dropped(batch)
        return self._decoded(*self._log.scan(self._filter, self.position, limit, head))

    def _read_stream(self, head: int, limit: int) -> list[RecordedEvent]:
        stream = self._wanted.stream
        if self._version is None:
            self._version = self._version_at(stream, self.position) if self.position else 0
        return self._looked_at(self._log.stream_records(stream, self._version, limit), limit, head)

    def _looked_at(
        self, records: list[StoredRecord], limit: int, head: int, tag: str = ""
    ) -> list[RecordedEvent]:
        """What of these entries of an index is wanted, having moved to the end of them."""
        ended = len(records) < limit
        while records and records[-1][0] > head:
            records.pop()
            ended = True
        through = head if ended else records[-1][0]
        wanted: Sequence[StoredRecord] = records
        if self._filter is not None:
            indexes = self._filter.indexes([data for _, data in records])
            wanted = [records[index] for index in indexes]
            if tag:
                others = set(range(len(records))).difference(indexes)
                self._log.check_tag(tag, [records[index] for index in others])
        found = self._decoded(wanted, through, tag)
        if self._version is not None:
            self._version += sum(position <= self.position for position, _ in records)
        return found

    def _decoded(self, records: Sequence[StoredRecord], through: int, tag: str = "") -> list[RecordedEvent]:
        """The events of these records, having moved to `through`, or before one that cannot be decoded."""
        found, number, error = self._log.decode_records(records, tag=tag, undecodable=self._undecodable)
        if error is not None:
            through = records[number][0] - 1
        self.position = through
        if error is not None and not number:
            raise error
        return [recorded for recorded in without_dropped(found) if self._wanted.matches(recorded)]

    def _version_at(self, stream: str, position: int) -> int:
        """The version of the stream at a position: the index is by version, so it is halved until it is
        found.
        """
        low, high = 0, self._log.stream_version(stream)
        while low < high:
            middle = (low + high) // 2
            ((at, _),) = self._log.stream_records(stream, middle, 1)
            if at <= position:
                low = middle + 1
            else:
                high = middle
        return low

"""Reading events: by position, by stream and by tag, decoded or as they are stored. Any thread.

Values are copied out within the transaction and decoded after it, so that slow decoding blocks nothing.
Events after `head` are not shown: what a failed commit may have left is invisible until the log is reopened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import lmdb

from storage.errors import ArchiveUnavailable, CodecError, DamagedStore
from storage.log.index_reads import (
    check_stream,
    check_stream_end,
    check_tag,
    events_of_stream,
    events_of_tag,
    numbers_of_stream,
    of_stream,
    positions_of_stream,
    with_tag,
)
from storage.log.open_log import READ_BYTES, OpenLog
from storage.log.record_filter import RecordFilter
from storage.log.records import (
    RecordedEvent,
    name_key,
)
from storage.log.stored_events import decode_event, decode_event_or_why, decoded, own_copy
from storage.log.unindexed_tail import AFTER_ALL_VERSIONS, last_version, streams_from

SCANNED_EVENTS = 2_000
"""How many events one call of `scan` looks through at most."""

COUNTED_STREAMS = 10_000
"""Streams that `count_streams` looks up in one transaction."""

StoredRecord = tuple[int, bytes]
"""The position of an event, and its stored bytes."""


class EventReads(OpenLog):
    """The events of an open log; `LogReader` adds everything else that is in it."""

    def read(self, after: int = 0, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]:
        """Return the events from position after + 1 on, in order, through `until`, but at most `limit`.

        If they are large (64 MiB together) fewer are returned, but at least one if there is one. So a short
        list does not mean the end; compare its last position.

        `limit` counts positions. Events that upcasters made of one have its position; one that they dropped
        is `DROPPED`.

        Raises UnknownType or CodecError for an event that cannot be decoded, StoreClosed.
        """
        return decoded(self._codec, enumerate(self._values(after, limit, until), after + 1))

    def records(self, after: int, limit: int, until: int | None = None) -> list[bytes]:
        """As `read`, but return the stored bytes of the events, of which nothing is decoded or checked."""
        return self._values(after, limit, until)

    def record_filter(
        self, types: Collection[str] = (), stream: str = "", category: str = ""
    ) -> RecordFilter:
        """A filter of stored events for `scan`; `types` are the names of events, without versions.

        Nothing given stands for anything. Of types with upcasters it finds all, since these may make others.
        """
        return RecordFilter(self._codec.sources_of(types), stream, category)

    def scan(
        self, wanted: RecordFilter | None, after: int, limit: int, until: int
    ) -> tuple[list[StoredRecord], int]:
        """Return the next `limit` wanted events after a position, not decoded, and how far it looked.

        It looks at `SCANNED_EVENTS` events or 64 MiB, through `until`: an empty list does not mean that there
        are none.
        """
        if wanted is None:
            values = self._values(after, limit, until)
            return list(enumerate(values, after + 1)), after + len(values)
        count = min(SCANNED_EVENTS, min(until, self._head) - after)
        if count <= 0:
            return [], after
        found: list[StoredRecord] = []
        through = after
        with self._events_after(after) as following:
            try:
                for group in self._records.groups(after + 1, islice(following, count), READ_BYTES):
                    for index in wanted.in_group(group.values, group.joined):
                        found.append((group.first + index, group.own_at(index)))
                        if len(found) == limit:
                            return found, found[-1][0]
                    through = group.last
            except (DamagedStore, ArchiveUnavailable):
                if through == after:
                    raise
        return found, through

    def stream_records(self, stream: str, after_version: int, limit: int | None = None) -> list[StoredRecord]:
        """As `read_stream`, not decoded. Raises DamagedStore as well."""
        found = self._records_in_stream(stream, after_version, limit)
        check_stream(self._records, name_key("stream", stream), after_version, found)
        return found

    def tag_records(self, tag: str, after: int, limit: int | None = None) -> list[StoredRecord]:
        """As `read_tag`, not decoded; nobody has checked yet that they have the tag."""
        name, tail, head = name_key("tag", tag), self._current_tail(), self._head
        with self._reading() as transaction:
            return events_of_tag(transaction, self._databases, tail, self._records, name, after, limit, head)

    def check_tag(self, tag: str, records: Sequence[StoredRecord]) -> None:
        """Raise DamagedStore if one of these records, which nobody decodes, lacks the tag."""
        check_tag(self._records, tag.encode(), records)

    def decode_records(
        self, records: Sequence[StoredRecord], *, tag: str = "", undecodable: bool = False
    ) -> tuple[list[RecordedEvent], int, CodecError | None]:
        """The events of records up to the first that cannot be decoded, how many records, and its error.

        With `undecodable` it is an `Undecodable`, and the others follow. There are more events than records
        if upcasters made several of one; one that they dropped is `DROPPED`. Raises DamagedStore if one lacks
        the `tag`.
        """
        codec = self._codec
        decode = decode_event_or_why if undecodable else decode_event
        events: list[RecordedEvent] = []
        number = 0
        try:
            for position, data in records:
                found = decode(codec, position, data)
                if isinstance(found, list):
                    events += found
                else:
                    events.append(found)
                number += 1
        except CodecError as error:
            return events, number, error
        if tag and not all(tag in recorded.tags for recorded in events):
            check_tag(self._records, tag.encode(), records)
        return events, number, None

    def own(self, recorded: RecordedEvent) -> RecordedEvent:
        """Return an event that was read, or a copy of it if somebody could change its contents."""
        return own_copy(self._codec, recorded)

    def read_stream(
        self, stream: str, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Return a stream's events from version after_version + 1 on, in order; all of them without a limit.

        Raises InvalidKey, and what `read` does.
        """
        found = self._records_in_stream(stream, after_version, limit)
        return of_stream(self._codec, self._records, stream, after_version, found)

    def positions_in_stream(self, stream: str, after_version: int = 0, limit: int | None = None) -> list[int]:
        """As `read_stream`, but return the positions alone; nothing is decoded."""
        with self._reading_stream(stream, after_version, limit) as (transaction, name, positions):
            return numbers_of_stream(transaction, self._databases, name, positions)

    def _records_in_stream(self, stream: str, after_version: int, limit: int | None) -> list[StoredRecord]:
        with self._reading_stream(stream, after_version, limit) as (transaction, name, positions):
            return events_of_stream(transaction, self._databases, self._records, name, positions)

    @contextmanager
    def _reading_stream(
        self, stream: str, after_version: int, limit: int | None
    ) -> Iterator[tuple[lmdb.Transaction[bytes], bytes, list[bytes]]]:
        """A transaction, the name of a stream as bytes, and where its events are."""
        name, tail, head = name_key("stream", stream), self._current_tail(), self._head
        with self._reading() as transaction:
            log = transaction, self._databases, tail, self._records
            yield transaction, name, positions_of_stream(*log, name, after_version, limit, head)

    def read_tag(self, tag: str, after: int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """Return the events with a tag from position after + 1 on; all of them without a limit.

        Raises InvalidKey, and what `read` does.
        """
        return with_tag(self._codec, self._records, tag, self.tag_records(tag, after, limit))

    def stream_version(self, stream: str) -> int:
        """Return the version of a stream's last event, 0 if it has none. Raises InvalidKey."""
        name, tail = name_key("stream", stream), self._current_tail()
        known = tail.versions.get(name + b"\0")
        if known is not None:
            return known
        with self._reading() as transaction, transaction.cursor(self._databases["streams"]) as cursor:
            version = last_version(cursor, tail, name)
            if self._records.checked:
                cursor.set_range(name + AFTER_ALL_VERSIONS)
                check_stream_end(
                    transaction, self._databases, cursor, name + b"\0", version, self._records, bool(version)
                )
            return version

    def streams(self, prefix: str = "", limit: int = 1000, after: str = "") -> list[tuple[str, int]]:
        """Return names and versions of streams in the order of names: those with `prefix`, and after `after`.

        It costs two look-ups for each stream, however many events the stream has.
        """
        tail = self._current_tail()
        with self._reading() as transaction, transaction.cursor(self._databases["streams"]) as cursor:
            return streams_from(cursor, tail, prefix.encode(), after.encode(), limit)

    def count_streams(self) -> int:
        """Return how many streams there are. It looks each one up: a million of them take a few seconds."""
        count, after = 0, ""
        while names := self.streams("", COUNTED_STREAMS, after):
            count += len(names)
            after = names[-1][0]
        return count

"""Reads the log's events for one process manager, in batches. The manager's thread."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from typing import Protocol

from actors.process_managers.step_errors import InputFailed
from storage import EventLog, OnewriterError, RecordedEvent
from storage.log.event_reads import StoredRecord
from storage.log.records import Undecodable

__all__ = ["EventReader", "EventSource"]

READ_BATCH = 500
"""Events read from the log at once."""


class EventSource(Protocol):
    """Gives the events of a log; `EventReader` is one, a test's list another."""

    def peek(self, after: int, part: int = 0) -> RecordedEvent | None:
        """The event at `after` + 1, None at the log's end. Raises `InputFailed` if it can't be decoded.

        One that can't be decoded, and that the manager does not want, is an `Undecodable`. Where upcasters
        made several events of one, it is the one of that number; past them it is the next.
        """

    def at(self, position: int) -> list[RecordedEvent]:
        """One event that was looked at before, in all its parts; raises as `peek` does."""

    def unwanted_until(self, after: int) -> int:
        """A position up to which the manager wants none of the events after `after`, as far as is known."""


class EventReader:
    """A window on the log that moves ahead, and is filled again where it is asked for another position.

    An event is decoded when it is looked at. So those that are passed over by `unwanted_until` never are.
    """

    def __init__(self, name: str, log: EventLog, types: Collection[str]) -> None:
        """`name` is that of the ids of the manager, `types` are the names of the events that it wants."""
        self._name = name
        self._log = log
        self._filter = log.record_filter(types) if types else None
        self._records: list[StoredRecord] = []
        self._first = 1
        self._wanted: list[int] = []
        """The positions in the window of the events that the manager wants, in order."""
        self._peeked: list[RecordedEvent] = []
        """The event that was looked at last, in all its parts."""

    def peek(self, after: int, part: int = 0) -> RecordedEvent | None:
        """As `EventSource.peek`."""
        position = after + 1
        if not self._peeked or self._peeked[0].position != position:
            if not self._holds(position):
                return None
            self._peeked = self._decoded(self._records[position - self._first])
        return self._peeked[part] if part < len(self._peeked) else self.peek(position)

    def at(self, position: int) -> list[RecordedEvent]:
        """As `EventSource.at`; always read from the log."""
        try:
            records, _ = self._log.scan(None, position - 1, 1, position)
        except OnewriterError as error:
            raise self._failed(position, error) from error
        return self._decoded(records[0])

    def unwanted_until(self, after: int) -> int:
        """As `EventSource.unwanted_until`, to the next wanted event or the end of the window."""
        if not self._holds(after + 1):
            return after
        index = bisect_right(self._wanted, after)
        if index < len(self._wanted):
            return self._wanted[index] - 1
        return self._first + len(self._records) - 1

    def _holds(self, position: int) -> bool:
        """Whether the window has this position, which it is moved to; False at the log's end."""
        if self._first <= position < self._first + len(self._records):
            return True
        if position > self._log.head:
            return False
        try:
            records, _ = self._log.scan(None, position - 1, READ_BATCH, self._log.head)
        except OnewriterError as error:
            raise self._failed(position, error) from error
        self._records, self._first, self._peeked = records, position, []
        indexes = () if self._filter is None else self._filter.indexes([data for _, data in records])
        self._wanted = [position + index for index in indexes]
        return True

    def _decoded(self, record: StoredRecord) -> list[RecordedEvent]:
        position, data = record
        try:
            events, _, error = self._log.decode_records([record], undecodable=True)
        except OnewriterError as damage:
            raise self._failed(position, damage) from damage
        if error is None and isinstance(events[0].event, Undecodable) and self._wants(data):
            error = events[0].event.error
        if error is not None:
            raise self._failed(position, error) from error
        return events

    def _wants(self, data: bytes) -> bool:
        return self._filter is not None and self._filter.wants(data)

    def _failed(self, position: int, error: OnewriterError) -> InputFailed:
        return InputFailed(f"{self._name}:{position}", f"the event at position {position}", error, position)

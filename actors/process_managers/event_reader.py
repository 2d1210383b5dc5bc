"""Reads the log's events for one process manager, in batches. The manager's thread."""

from __future__ import annotations

from typing import Protocol

from actors.process_managers.step_errors import InputFailed
from storage import EventLog, OnewriterError, RecordedEvent

__all__ = ["EventReader", "EventSource"]

READ_BATCH = 500
"""Events read from the log at once."""


class EventSource(Protocol):
    """Gives the events of a log; `EventReader` is one, a test's list another."""

    def peek(self, after: int) -> RecordedEvent | None:
        """The event at `after` + 1, None at the log's end. Raises `InputFailed` if it can't be decoded."""

    def at(self, position: int) -> RecordedEvent:
        """One event that was looked at before; raises as `peek` does."""


class EventReader:
    """A window on the log that moves ahead, and is filled again where it is asked for another position."""

    def __init__(self, name: str, log: EventLog) -> None:
        """`name` is the manager's."""
        self._name = name
        self._log = log
        self._events: list[RecordedEvent] = []
        self._first = 1

    def peek(self, after: int) -> RecordedEvent | None:
        """As `EventSource.peek`."""
        index = after + 1 - self._first
        if not 0 <= index < len(self._events):
            if after >= self._log.head:
                return None
            self._events, self._first = self._read(after), after + 1
            index = 0
        return self._events[index]

    def at(self, position: int) -> RecordedEvent:
        """As `EventSource.at`; always read from the log."""
        return self._only(position - 1)

    def _read(self, after: int) -> list[RecordedEvent]:
        try:
            return self._log.read(after, READ_BATCH)
        except OnewriterError:
            pass  # One of them can't be decoded; those before it can be handled.
        return [self._only(after)]

    def _only(self, after: int) -> RecordedEvent:
        try:
            return self._log.read(after, 1)[0]
        except OnewriterError as error:
            position = after + 1
            raise InputFailed(
                f"{self._name}:{position}", f"the event at position {position}", error, position
            ) from error

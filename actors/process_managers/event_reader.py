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

    def peek(self, after: int, part: int = 0) -> RecordedEvent | None:
        """The event at `after` + 1, None at the log's end. Raises `InputFailed` if it can't be decoded.

        Where upcasters made several events of one, it is the one of that number; past them it is the next.
        """

    def at(self, position: int) -> list[RecordedEvent]:
        """One event that was looked at before, in all its parts; raises as `peek` does."""


class EventReader:
    """A window on the log that moves ahead, and is filled again where it is asked for another position."""

    def __init__(self, name: str, log: EventLog) -> None:
        """`name` is that of the ids of the manager."""
        self._name = name
        self._log = log
        self._events: list[RecordedEvent] = []
        self._first = 1
        self._starts: list[int] = []
        """Of each position from the first one on, the index of its event, or of the first part of it."""

    def peek(self, after: int, part: int = 0) -> RecordedEvent | None:
        """As `EventSource.peek`."""
        index = after + 1 - self._first
        if not 0 <= index < len(self._starts):
            if after >= self._log.head:
                return None
            self._events, self._first = self._read(after), after + 1
            self._starts = [at for at, recorded in enumerate(self._events) if not recorded.part]
            index = 0
        recorded = self._events[self._starts[index]]
        if part:
            return self._events[self._starts[index] + part] if part < recorded.parts else self.peek(after + 1)
        return recorded

    def at(self, position: int) -> list[RecordedEvent]:
        """As `EventSource.at`; always read from the log."""
        return self._only(position - 1)

    def _read(self, after: int) -> list[RecordedEvent]:
        try:
            return self._log.read(after, READ_BATCH)
        except OnewriterError:
            pass  # One of them can't be decoded; those before it can be handled.
        return self._only(after)

    def _only(self, after: int) -> list[RecordedEvent]:
        try:
            return self._log.read(after, 1)
        except OnewriterError as error:
            position = after + 1
            raise InputFailed(
                f"{self._name}:{position}", f"the event at position {position}", error, position
            ) from error

"""Events on their way into a log, with the records of the commands that they give. Pure; one thread."""

from __future__ import annotations

from typing import Any

from storage.codec.json_form import unpack_stored
from storage.log.records import CommandRecord, Origin, RecordedEvent

__all__ = ["CommandRuns", "event_of_record"]

ORIGIN = 11
"""The index in a stored event of the origin of its command, if it has one."""


class CommandRuns:
    """Events in order. A command begins at an event with an origin, and goes on while its id does."""

    def __init__(self) -> None:
        self._events: list[RecordedEvent] = []
        self._encoded: list[bytes] = []
        self._commands: list[CommandRecord] = []
        self._origin: Origin | None = None
        self._run: CommandRecord | None = None

    @property
    def count(self) -> int:
        """The number of events."""
        return len(self._events)

    def ends_before(self, event: RecordedEvent) -> bool:
        """Whether this event, the next one, is of another command than the last."""
        return not self._events or self._events[-1].command_id != event.command_id

    def add(self, event: RecordedEvent, data: bytes, origin: Origin | None) -> None:
        """Add the next event, with its stored bytes; `origin` is that of the command which begins with it."""
        if origin is not None:
            digest, stream, version = (
                (origin, event.stream, event.version) if isinstance(origin, bytes) else origin
            )
            self._run = CommandRecord(event.command_id, event.position, 1, digest, stream, version)
            self._origin = origin
            self._commands.append(self._run)
        elif self._run is not None and self._run.command_id == event.command_id:
            self._run.count += 1
            if isinstance(self._origin, bytes):
                self._run.stream, self._run.version = event.stream, event.version
        else:
            self._run = None
        self._events.append(event)
        self._encoded.append(data)

    def take(self) -> tuple[list[RecordedEvent], list[bytes], list[CommandRecord]]:
        """The events, their bytes and the commands; none are left."""
        taken = self._events, self._encoded, self._commands
        self._events, self._encoded, self._commands = [], [], []
        self._run = None
        return taken


def event_of_record(position: int, data: bytes) -> tuple[RecordedEvent, Origin | None]:
    """An event as the indexes need it, without its fields, and its command's origin, None for none.

    Raises whatever msgpack, or Python, raises if the bytes are not an event.
    """
    record: list[Any] = unpack_stored(data)
    stream, version, type_name, _, time_us, command_id, command, causation, correlation, tags, metadata = (
        record[:ORIGIN]
    )
    if not (type(version) is int and type(tags) is list):
        raise ValueError("its version is no number, or its tags are no list")
    event = RecordedEvent(
        position, stream, version, None, type_name, time_us, command_id, command, causation, correlation,
        tuple(tags), metadata,
    )  # fmt: skip
    origin: Origin | None = record[ORIGIN] if len(record) > ORIGIN else None
    return event, origin

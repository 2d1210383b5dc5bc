"""Receipts: what a command returns once it is on disk. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from storage import CommandRecord, RecordedEvent
from storage.log.records import DROPPED

__all__ = ["LateReceipt", "Receipt", "receipt_from", "receipt_from_log", "receipt_of_event"]


class Receipt(NamedTuple):
    """What a command returns once it is on disk.

    - `first`, `last`: the positions of its first and last event, both 0 if it had none
    - `position`: a reader at this position sees the outcome. It is `last`, or for a command without events
      the position at which it was decided.
    - `stream`, `version`: the command's own stream, and its version afterwards
    - `versions`: every stream that it wrote to, with its version
    """

    command_id: str
    first: int
    last: int
    position: int
    stream: str
    version: int
    versions: Mapping[str, int]
    events: Sequence[Any]


def receipt_of_event(recorded: RecordedEvent) -> Receipt:
    """The receipt of a command with one event, in its own stream: nearly every command.

    The writer passes on the event itself, and this is called when the receipt is read: a caller that submits
    many commands may hold thousands of outcomes, and the garbage collector walks each object that is kept.
    """
    position, stream, version = recorded.position, recorded.stream, recorded.version
    return Receipt(
        recorded.command_id,
        position,
        position,
        position,
        stream,
        version,
        {stream: version},
        (recorded.event,),
    )


def receipt_from(record: CommandRecord, events: Sequence[RecordedEvent]) -> Receipt:
    """The receipt of a command with these events."""
    last = record.first + record.count - 1 if record.count else 0
    return Receipt(
        record.command_id,
        record.first if last else 0,
        last,
        last or record.first,
        record.stream,
        record.version,
        {recorded.stream: recorded.version for recorded in events},
        tuple(recorded.event for recorded in events if recorded.event is not DROPPED),
    )


class EventReads(Protocol):
    """Reads events by their positions; `storage.EventLog` does."""

    def read(self, after: int = 0, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]: ...


def receipt_from_log(record: CommandRecord, log: EventReads) -> Receipt:
    """The first receipt of a command, from what the log keeps of it: positions, not copies of events."""
    events: list[RecordedEvent] = []
    after, last = record.first - 1, record.first + record.count - 1
    # A read ends early where the events are large.
    while after < last and (more := log.read(after, last - after, last)):
        events += more
        after = more[-1].position
    return receipt_from(record, events)


class LateReceipt:
    """Stands for a receipt whose events are not to be shared: each receipt made from it has its own copies.

    That is done when the receipt is read, in the reader's thread.
    """

    __slots__ = ("_events", "_record")

    def __init__(self, record: CommandRecord, events: Sequence[RecordedEvent]) -> None:
        """`events` give a copy to each reader."""
        self._record = record
        self._events = events

    def receipt(self) -> Receipt:
        """The receipt."""
        return receipt_from(self._record, list(self._events))

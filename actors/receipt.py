"""Receipts: what a command returns once it is on disk. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from storage import CommandRecord, RecordedEvent

__all__ = ["LateReceipt", "Receipt", "receipt_from", "receipt_from_log", "receipt_of_event"]


class Receipt(NamedTuple):
    """What a command returns once it is on disk.

    `first` and `last` are the positions of its events, both 0 when it had none. `position` is
    the place in the log from which its outcome can be read: `last`, or for a command without
    events the position that it was decided at. `stream` and `version` are the command's own
    stream and its version afterwards; `versions` has every stream that it wrote to.
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
    """The receipt of a command whose one event is of its own stream: nearly every command.

    The writer passes the event itself on, and this is called when somebody looks: a pipelined caller may hold
    thousands of outcomes, and each object that lives on has its price in the garbage collector.
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
    """The receipt of a command whose events these are."""
    last = events[-1].position if events else 0
    return Receipt(
        record.command_id,
        record.first if events else 0,
        last,
        last or record.first,
        record.stream,
        record.version,
        {recorded.stream: recorded.version for recorded in events},
        tuple(recorded.event for recorded in events),
    )


class EventReads(Protocol):
    """Reads events by their positions; `storage.EventLog` does."""

    def read(self, after: int = 0, limit: int = 1000, until: int | None = None) -> list[RecordedEvent]: ...


def receipt_from_log(record: CommandRecord, log: EventReads) -> Receipt:
    """The first receipt of a command, made again from what the log keeps of it: positions, not copies of events."""
    events: list[RecordedEvent] = []
    last = 0
    if record.count:
        last = record.first + record.count - 1
        # A read ends early where the events are large.
        while more := log.read(record.first - 1 + len(events), record.count - len(events), last):
            events += more
    return receipt_from(record, events)


class LateReceipt:
    """Stands for a receipt whose events are not to be shared: each that is made of it has copies of its own.

    It is made when somebody looks, in that one's thread.
    """

    __slots__ = ("_events", "_record")

    def __init__(self, record: CommandRecord, events: Sequence[RecordedEvent]) -> None:
        """`events` give a copy to each who looks."""
        self._record = record
        self._events = events

    def receipt(self) -> Receipt:
        """The receipt."""
        return receipt_from(self._record, list(self._events))

"""A receipt made from what the log keeps of it: positions, not copies of events."""

from __future__ import annotations

from collections.abc import Sequence

from actors.messages import Receipt
from actors.writer.states import History
from storage import CommandRecord, RecordedEvent

__all__ = ["receipt_from", "receipt_of"]


def receipt_of(record: CommandRecord, history: History) -> Receipt:
    """The first receipt of a command, rebuilt from the log."""
    events: list[RecordedEvent] = []
    last = 0
    if record.count:
        last = record.first + record.count - 1
        # A read ends early where the events are large.
        while more := history.read(record.first - 1 + len(events), record.count - len(events), last):
            events += more
    return receipt_from(record, events)


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

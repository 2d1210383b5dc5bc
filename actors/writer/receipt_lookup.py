"""A receipt made from what the log keeps of it: positions, not copies of events."""

from __future__ import annotations

from actors.receipt import Receipt, receipt_from
from actors.writer.aggregate_cache import History
from storage import CommandRecord, RecordedEvent

__all__ = ["receipt_of"]


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

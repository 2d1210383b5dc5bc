"""A receipt rebuilt from what the log keeps of it: positions, not copies of events."""

from __future__ import annotations

from actors.messages import Receipt
from actors.writer.states import History
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
    versions = {recorded.stream: recorded.version for recorded in events}
    return Receipt(
        record.command_id,
        record.first if record.count else 0,
        last,
        last or record.first,
        record.stream,
        record.version,
        versions,
        tuple(recorded.event for recorded in events),
    )

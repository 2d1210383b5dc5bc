"""Reading the log for what is filled from it, and whole commands among events. The thread that fills."""

from __future__ import annotations

from collections.abc import Sequence

from actors.replication.committed_log import CommittedLog
from storage import DamagedStore, RecordedEvent, StorageError

__all__ = ["before_command", "middle_command", "read_commands"]


def read_commands(log: CommittedLog, after: int, limit: int, until: int) -> Sequence[RecordedEvent]:
    """The next `limit` events or so, with all events of the last one's command: no query may see half of a
    command.

    An event that can't be decoded is an `Undecodable`. Raises `StorageError` if the log is damaged, and not
    `DamagedStore`: the replica is not the cause.
    """
    try:
        return log.read_commands(after, limit, until)
    except DamagedStore as error:
        raise StorageError(str(error)) from None


def before_command(events: Sequence[RecordedEvent], recorded: RecordedEvent) -> int:
    """The position before the first event of the command that this one of `events` is of."""
    index = recorded.position - events[0].position
    while index and events[index - 1].command_id == recorded.command_id:
        index -= 1
    return events[index].position - 1


def middle_command(events: Sequence[RecordedEvent]) -> int | None:
    """The index of the command that begins nearest to the middle of the events, None where all are of one."""
    middle = len(events) // 2
    for index in sorted(range(1, len(events)), key=lambda index: abs(index - middle)):
        if events[index].command_id != events[index - 1].command_id:
            return index
    return None

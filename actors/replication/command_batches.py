"""Reading the log for what is filled from it, and whole commands among events. The thread that fills."""

from __future__ import annotations

from collections.abc import Sequence

from actors.replication.committed_log import CommittedLog
from storage import ArchiveUnavailable, DamagedStore, RecordedEvent

__all__ = ["DAMAGED", "MISSING", "DamagedCommand", "before_command", "middle_command", "read_commands"]


DAMAGED, MISSING = "(damaged)", "(archived)"
"""In place of the type of an event that can't be read, or not before its archive is there again."""


class DamagedCommand(Exception):
    """The command after the position `before` can't be read: the log is damaged at `position`, or the archive
    of that event is not there.

    No error of storage, which a replica would take for its own.
    """

    def __init__(self, before: int, damage: DamagedStore | ArchiveUnavailable) -> None:
        super().__init__(str(damage))
        self.type = DAMAGED if isinstance(damage, DamagedStore) else MISSING
        self.before = before
        self.position = damage.position or before + 1
        self.damage = damage


def read_commands(log: CommittedLog, after: int, limit: int, until: int) -> Sequence[RecordedEvent]:
    """The next `limit` events or so, with all events of the last one's command: no query may see half of a
    command.

    An event that can't be decoded is an `Undecodable`. What comes before a damaged event, or an archived one
    whose archive is not there, is read; then this raises `DamagedCommand`.
    """
    try:
        return log.read_commands(after, limit, until)
    except (DamagedStore, ArchiveUnavailable) as error:
        raise DamagedCommand(after, error) from None


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

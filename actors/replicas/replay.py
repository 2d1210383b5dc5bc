"""Reading the log for what is filled from it: whole commands, or as far as it can be decoded. The thread that fills."""

from __future__ import annotations

from collections.abc import Sequence

from storage import CodecError, DamagedStore, EventLog, RecordedEvent, StorageError

__all__ = ["read_commands", "read_events"]


def read_commands(log: EventLog, after: int, limit: int, until: int) -> Sequence[RecordedEvent]:
    """The next `limit` events or so, with all of the last one's command: no query is to see half of what that did.

    An event that can't be decoded is an `Undecodable`. Raises `StorageError` as `read_events`.
    """
    try:
        return log.read_commands(after, limit, until)
    except DamagedStore as error:
        raise StorageError(str(error)) from None


def read_events(
    log: EventLog, after: int, limit: int, until: int
) -> tuple[Sequence[RecordedEvent], CodecError | None]:
    """The next events, or those before one that can't be decoded; its error when there are none before it.

    Raises `StorageError` where the log is damaged, and then not as `DamagedStore`: the replica is not to blame.
    """
    try:
        return log.read(after, limit, until), None
    except CodecError:
        pass
    except DamagedStore as error:
        raise StorageError(str(error)) from None
    events: list[RecordedEvent] = []
    try:
        while len(events) < limit and after + len(events) < until:
            events += log.read(after + len(events), 1, until)
    except CodecError as error:
        return events, None if events else error
    return events, None

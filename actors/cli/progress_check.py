"""Whether consumers and process managers are not further than the log. Pure, on a transaction."""

from __future__ import annotations

from collections.abc import Iterator

from actors.process_managers.records import Checkpoint
from actors.subscriptions.group_keys import PREFIX as CONSUMERS
from storage.codec.json_form import unpack_stored
from storage.errors import DamagedStore
from storage.log.notes import read_notes
from storage.log.open_log import LogTransaction

__all__ = ["progress_beyond"]

MANAGERS = b"pm/"


def progress_beyond(log: LogTransaction, head: int) -> list[str]:
    """A sentence for each consumer or process manager whose progress is after the log's last position."""
    found = []
    for kind, name, position in _progress(log):
        if position > head:
            found.append(
                f"{kind} {name!r} is at position {position}, and the log ends at {head}: its last events are "
                "lost"
            )
    return found


def _progress(log: LogTransaction) -> Iterator[tuple[str, str, int]]:
    for prefix, kind, part in (
        (MANAGERS, "process manager", b"place"),
        (CONSUMERS, "consumer", b"state"),
    ):
        try:
            notes = read_notes(log.transaction, log.databases["notes"], prefix, b"", None, log.records)
        except DamagedStore:
            return  # found by whoever verifies the notes
        for key, value in notes:
            _, name, *rest = key.split(b"/")
            if rest != [part]:
                continue
            position = Checkpoint.unpack(value).position if kind != "consumer" else unpack_stored(value)[3]
            yield kind, name.decode(), position

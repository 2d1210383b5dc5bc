"""How the records of a log leave the disk: with their checksums checked, or as formats 1 and 2 have them.

Pure; any thread. What is read above this has neither checksum nor digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from storage.errors import DamagedStore
from storage.files.header import CHECKED_FORMAT
from storage.log.checksums import opened_event, opened_record
from storage.log.event_group import EventGroup, checked_groups, unchecked_groups
from storage.value_text import short_repr

__all__ = ["RecordFormat"]

_MEANS = {
    "commands": "whether this command was executed, and its result, is unknown",
    "snapshots": "it is only a copy of a state, which is folded from the events again",
    "notes": "the progress or state that it kept is unknown",
    "meta": "how far the indexes have come is unknown",
    "chain": "which command records were committed together is unknown",
    "corrections": "what corrected events were before, or who corrected them, is unknown",
}
_NAMES = {
    "commands": "the record of command",
    "snapshots": "the snapshot of stream",
    "notes": "the note",
    "meta": "the entry",
    "chain": "the link of the chain",
    "corrections": "the entry of a correction",
}


class RecordFormat:
    """Reads the stored bytes of records; errors call the log `what`."""

    __slots__ = ("checked", "what")

    def __init__(self, format: int, what: str) -> None:
        self.checked = format >= CHECKED_FORMAT
        """Whether records have checksums."""
        self.what = what

    def event(self, position: int, stored: bytes) -> bytes:
        """An event's own bytes. Raises DamagedStore."""
        if not self.checked:
            return stored
        opened = opened_event(position, stored)
        if opened is None:
            raise self.damaged_event(position)
        return opened[0]

    def groups(self, first: int, stored: Iterable[bytes], most: int) -> Iterator[EventGroup]:
        """Consecutive events from position `first` on, in groups.

        It stops after the event with which they exceed `most` bytes. Before a damaged one it raises
        DamagedStore.
        """
        if self.checked:
            return checked_groups(first, stored, most, self.damaged_event)
        return unchecked_groups(first, stored, most)

    def record(self, database: str, key: bytes, stored: bytes) -> bytes:
        """The own bytes of another record of a database. Raises DamagedStore."""
        if not self.checked:
            return stored
        opened = opened_record(database, key, stored)
        if opened is None:
            raise DamagedStore(
                f"{_NAMES[database]} {_shown(key)} in {self.what} is not what was written there: its "
                f"checksum is wrong, and {_MEANS[database]}; `onewriter verify` lists all damage; restore a "
                "backup"
            )
        return opened

    def damaged_event(self, position: int) -> DamagedStore:
        """The error for an event whose checksum is wrong."""
        error = DamagedStore(
            f"the event at position {position} of {self.what} is not what was written there: its checksum "
            "is wrong, and what needs it can't go on; `onewriter verify` lists all damage; restore a backup"
        )
        error.position = position
        return error


def _shown(key: bytes) -> str:
    try:
        return short_repr(key.decode(), 100)
    except UnicodeDecodeError:
        return short_repr(key, 100)

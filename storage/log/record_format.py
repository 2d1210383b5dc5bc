"""How the records of a log leave the disk: with their checksums checked, or as formats 1 and 2 have them.

Any thread. What is read above this has neither checksum nor digest. Archived events are read from their
archive, so what is above knows nothing of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from storage.archive.archives import Archives
from storage.errors import ArchiveUnavailable, DamagedStore, StorageError
from storage.files.header import CHECKED_FORMAT
from storage.log.archived_event import Stub
from storage.log.checksums import opened_event, opened_record, opened_stub
from storage.log.event_group import GROUP_BYTES, EventGroup, checked_groups, unchecked_groups
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
    """Reads the stored bytes of records; errors call the log `what`.

    `archives` are its archives; only a log that can have none may be without them.
    """

    __slots__ = ("archives", "checked", "what")

    def __init__(self, format: int, what: str, archives: Archives | None = None) -> None:
        self.checked = format >= CHECKED_FORMAT
        """Whether records have checksums."""
        self.what = what
        self.archives = archives

    def event(self, position: int, stored: bytes) -> bytes:
        """An event's own bytes, from its archive if it is in one. Raises DamagedStore, ArchiveUnavailable."""
        if not self.checked:
            return stored
        opened = opened_event(position, stored)
        if opened is None:
            return self._archived(position, self._stub(position, stored))
        return opened[0]

    def stub(self, position: int, stored: bytes) -> Stub | None:
        """What the log keeps of an archived event; None for another. Raises DamagedStore."""
        if not self.checked or opened_event(position, stored) is not None:
            return None
        return self._stub(position, stored)

    def outline(self, position: int, stored: bytes) -> bytes:
        """An event's own bytes; without its archive, for an archived one, with all that the indexes need.

        Raises DamagedStore.
        """
        stub = self.stub(position, stored)
        return self.event(position, stored) if stub is None else stub.removed_event()

    def is_removed(self, stub: Stub) -> bool:
        """Whether the archive of an archived event was removed."""
        return self.archives is not None and self.archives.is_removed(stub.archive)

    def groups(self, first: int, stored: Iterable[bytes], most: int) -> Iterator[EventGroup]:
        """Consecutive events from position `first` on, in groups.

        It stops after the event with which they exceed `most` bytes. Before a damaged one it raises
        DamagedStore, and before one whose archive can't be read ArchiveUnavailable.
        """
        if not self.checked:
            yield from unchecked_groups(first, stored, most)
            return
        for group in checked_groups(first, stored, most, self.damaged_event):
            if group.has_stubs:
                for resolved in self._resolved(group, most):
                    yield resolved
                    most -= len(resolved.joined)
                    if most < 0:
                        return
            else:
                yield group
                most -= len(group.joined)

    def _resolved(self, group: EventGroup, most: int) -> Iterator[EventGroup]:
        """The events of a group, those that are archived from their archives."""
        first, size = group.first, 0
        values: list[bytes] = []
        bound = min(most, GROUP_BYTES)
        for index, position in enumerate(range(group.first, group.last + 1)):
            event = group.own_at(index)
            if group.is_stub(index):
                try:
                    event = self._archived(position, Stub.of(event))
                except StorageError:
                    if values:
                        yield EventGroup.opened(first, values)
                    raise
            values.append(event)
            size += len(event)
            if size > bound:
                yield EventGroup.opened(first, values)
                first, values, size = position + 1, [], 0
        if values:
            yield EventGroup.opened(first, values)

    def _stub(self, position: int, stored: bytes) -> Stub:
        opened = opened_stub(position, stored)
        if opened is None:
            raise self.damaged_event(position)
        return Stub.of(opened[0])

    def _archived(self, position: int, stub: Stub) -> bytes:
        if self.archives is None:
            raise ArchiveUnavailable(
                f"the event at position {position} of {self.what} is in archive {stub.archive}, and nothing "
                "says where that is",
                stub.archive,
                position,
            )
        event = self.archives.event(stub.archive, position)
        if event is None:
            return stub.removed_event()
        if not stub.fits(event):
            raise ArchiveUnavailable(
                f"the event at position {position} of {self.what} is another one in archive {stub.archive} "
                f"({self.archives.path(stub.archive)}); put the right file there, such as that of a backup",
                stub.archive,
                position,
            )
        return event

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

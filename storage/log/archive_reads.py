"""Which archives a log has, and what is in them. Any thread; each call in short read transactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from storage.archive.archive_file import ArchiveFile
from storage.errors import ArchiveUnavailable, EventsRemoved, StorageError
from storage.log.archive_records import ArchiveRecord, archive_records, stored_archive, stored_archives
from storage.log.checksums import opened_event
from storage.log.correction_entries import last_number
from storage.log.event_reads import EventReads, StoredRecord
from storage.log.open_log import READ_BYTES
from storage.log.records import U64

__all__ = ["ArchiveReads"]

LOOKED_UP = 1_000
"""Events that are looked up in one transaction."""


class ArchiveReads(EventReads):
    """The archives of an open log."""

    @property
    def archives_path(self) -> Path:
        """The folder of the files of archives, which need not exist."""
        return self._archives.folder

    def archives(self) -> list[ArchiveRecord]:
        """Return all archives that the log knows of, removed ones too, by number. Raises DamagedStore."""
        with self._reading() as transaction:
            log = transaction, self._databases, self._records
            return archive_records(*log, self._archives, stored_archives(*log))

    def archived_events(self) -> int:
        """Return how many events have left the log for archives, removed ones too; of one that is being made,
        those that were moved so far. Raises DamagedStore."""
        with self._reading() as transaction:
            found = stored_archives(transaction, self._databases, self._records)
        return sum(one.moved_events for one in found)

    def unavailable_archives(self) -> list[str]:
        """Return a sentence for each archive whose file is missing, or can't be opened; reads no events."""
        with self._reading() as transaction:
            found = stored_archives(transaction, self._databases, self._records)
        problems = []
        for archive in found:
            try:
                if not archive.removal:
                    self._archives.forget(archive.number)
                    with self._reading():
                        self._archives.file(archive.number)
            except StorageError as error:
                problems.append(str(error))
        return problems

    def last_operation(self) -> int:
        """Return the number of the last recorded operation, such as a correction; 0 if there is none."""
        with self._reading() as transaction:
            return last_number(transaction, self._databases)

    def in_log(self, positions: Iterable[int]) -> list[tuple[int, int]]:
        """Return those of these positions whose events are in the log itself, with the bytes of each.

        The others are in archives. Raises DamagedStore.
        """
        found: list[tuple[int, int]] = []
        following = iter(positions)
        while part := list(islice(following, LOOKED_UP)):
            with self._reading() as transaction:
                for position in part:
                    stored = transaction.get(U64.pack(position), db=self._databases["events"])
                    if stored is None or position > self._head:
                        continue
                    opened = opened_event(position, stored) if self._records.checked else (stored, None)
                    if opened is not None:
                        found.append((position, len(opened[0])))
                    else:
                        self._records.stub(position, stored)  # raises for a damaged one
        return found

    def archived_records(self, number: int, after: int = 0, limit: int = 1000) -> list[StoredRecord]:
        """Return events of an archive after a position, in order, not decoded; fewer if they are large.

        An empty list is the end. `number` may be that of an archive that was begun. Raises
        ArchiveUnavailable; EventsRemoved for one that was removed.
        """
        found: list[StoredRecord] = []
        size = 0
        for position, event in islice(self.archive_file(number).events(after), limit):
            found.append((position, event))
            size += len(event)
            if size > READ_BYTES:
                break
        return found

    def outlines_of_archive(self, number: int) -> Iterator[StoredRecord]:
        """What the log itself knows of the events of an archive, for one whose file is lost, in order.

        Their bytes are as those of removed events: stream, version, time, command id and tags. Looks at all
        events of the log from the archive's first one to its last. Raises DamagedStore.
        """
        with self._reading() as transaction:
            found = stored_archive(transaction, self._databases, self._records, number)
        if found is None:
            return
        for first in range(found.first, found.last + 1, LOOKED_UP):
            part: list[StoredRecord] = []
            with self._reading() as transaction:
                for position in range(first, min(first + LOOKED_UP, found.last + 1)):
                    stored = transaction.get(U64.pack(position), db=self._databases["events"])
                    stub = None if stored is None else self._records.stub(position, stored)
                    if stub is not None and stub.archive == number:
                        part.append((position, stub.removed_event()))
            yield from part

    def archive_file(self, number: int) -> ArchiveFile:
        """Return the file of an archive, or of one that was begun. Raises as `archived_records` does."""
        with self._reading():
            if self._known_archive(number) is None:
                begun = ArchiveFile.open(self._archives.path(number))
                if begun.header.history_id == self.first_history_id:
                    return begun
                raise ArchiveUnavailable(f"{begun.path} is an archive of another log; move it away", number)
            found = self._archives.file(number)
        if found is None:
            raise EventsRemoved(f"archive {number} of {self._records.what} was removed", archive=number)
        return found

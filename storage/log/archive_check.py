"""Verifies the archives of a log: their files, and that each event in them has its stub. Any thread.

Every stub has to be that of the event which the file has at its position. An archive then has as many events
as the log has stubs of it, so none can be without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from storage.errors import ArchiveUnavailable, DamagedStore, StorageError
from storage.log.archive_records import MOVING, StoredArchive, removal_of_operation, stored_archives
from storage.log.archived_event import Stub
from storage.log.checksums import opened_event
from storage.log.correction_entries import first_bytes, operation_record
from storage.log.open_log import LogTransaction
from storage.log.records import U64

__all__ = ["ArchiveCheck"]


class ArchiveCheck:
    """The archives of one log, as verifying it meets their events; what is wrong goes to `find`."""

    def __init__(self, log: LogTransaction, find: Callable[[str], None]) -> None:
        self._log = log
        self._find = find
        self._archives: dict[int, StoredArchive] = {}
        self._readable: set[int] = set()
        self._stubs: Counter[int] = Counter()
        self.archived = self.removed = 0
        """Events of which the log has stubs, by whether their archive is there."""
        self.unavailable = 0
        """Archives whose file is missing or damaged; one thing was found for each."""

    def read(self) -> None:
        """Verify the files."""
        records = self._log.records
        try:
            self._archives = {archive.number: archive for archive in stored_archives(*self._log)}
        except DamagedStore as error:
            self._find(str(error))
        for number, archive in self._archives.items():
            try:
                if archive.removal:
                    self._check_removal(archive)
                elif records.archives is not None:
                    file = records.archives.file(number)
                    if file is not None:
                        file.check()
                        self._readable.add(number)
            except ArchiveUnavailable as error:
                self.unavailable += 1
                self._find(f"archive {number}: {error}")
            except (StorageError, DamagedStore) as error:
                self._find(f"archive {number}: {error}")

    def _check_removal(self, archive: StoredArchive) -> None:
        if removal_of_operation(operation_record(*self._log, archive.removal)) != archive.number:
            self._find(f"archive {archive.number}: operation {archive.removal} did not remove it")

    def event(self, position: int, own: bytes) -> tuple[bytes, bytes | None]:
        """What the indexes need of an archived event, given the own bytes of its stub, and its bytes; None
        if they can't be had."""
        stub = Stub.of(own)
        archive = self._archives.get(stub.archive)
        self._stubs[stub.archive] += 1
        if archive is None:
            self._find(f"the event at position {position} is in archive {stub.archive}, which is not known")
        elif archive.removal:
            self.removed += 1
        else:
            self.archived += 1
        return stub.removed_event(), self._event(position, stub)

    def _event(self, position: int, stub: Stub) -> bytes | None:
        records = self._log.records
        if stub.archive not in self._readable or records.archives is None:
            return None
        try:
            event = records.archives.event(stub.archive, position)
            first = first_bytes(*self._log, position)
            if event is None or Stub.made(stub.archive, event, first) != stub:
                raise DamagedStore("it is another one there")
        except (ArchiveUnavailable, DamagedStore, ValueError) as error:
            self._find(f"the event at position {position} is not as archive {stub.archive} has it ({error})")
            return None
        return event

    def end(self) -> None:
        """After all events."""
        for number, archive in self._archives.items():
            stubs = self._stubs[number]
            moved = archive.moved_events
            if stubs != moved:
                self._find(
                    f"archive {number} has {moved} events that were moved, and the log says of {stubs} that "
                    "they are there"
                )
            elif archive.state == MOVING and number in self._readable:
                self._check_waiting(archive)

    def _check_waiting(self, archive: StoredArchive) -> None:
        """Compare what is still in the log with what the archive has of it."""
        transaction, databases, records = self._log
        assert records.archives is not None
        file = records.archives.file(archive.number)
        assert file is not None
        for position, event in file.events(archive.moved):
            stored = transaction.get(U64.pack(position), db=databases["events"]) or b""
            opened = opened_event(position, stored)
            if opened is None or opened[0] != event:
                self._find(
                    f"the event at position {position}, which is to be moved to archive {archive.number}, is "
                    "another one there"
                )

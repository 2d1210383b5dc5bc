"""What moving events to an archive, and removing one, does in the log. In the transaction of the caller."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice

import lmdb

from storage.archive.archive_file import ArchiveFile
from storage.errors import ArchiveRefused, ArchiveUnavailable, DamagedStore
from storage.log.archive_records import StoredArchive, stored_archives
from storage.log.archived_event import Stub
from storage.log.checksums import opened_event, sealed_stub
from storage.log.correction_entries import before_entries, corrected_positions, first_bytes, last_number
from storage.log.erased_events import erase_before
from storage.log.record_format import RecordFormat
from storage.log.records import U64, name_key

__all__ = [
    "corrected_since",
    "erase_corrected",
    "has_position",
    "move_events",
    "removed_from",
    "whole_events",
]

Databases = dict[str, lmdb._Database]


def whole_events(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    positions: Iterable[int],
) -> list[tuple[int, bytes]]:
    """The events at these positions, with their bytes. Raises ArchiveRefused for one that is archived, and
    DamagedStore."""
    found = []
    for position in positions:
        stored = transaction.get(U64.pack(position), db=databases["events"])
        if stored is None:
            raise records.damaged_event(position)
        stub = records.stub(position, stored)
        if stub is not None:
            raise ArchiveRefused(
                f"the event at position {position} of {records.what} is in archive {stub.archive} already; "
                "leave it out"
            )
        found.append((position, records.event(position, stored)))
    return found


def corrected_since(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, file: ArchiveFile
) -> int | None:
    """A position in an archive whose event was corrected after it was read for it; None if there is none."""
    for number in range(file.header.corrections + 1, last_number(transaction, databases) + 1):
        for position, _ in before_entries(transaction, databases, records, number):
            if has_position(file, position):
                return position
    return None


def has_position(file: ArchiveFile, position: int) -> bool:
    """Whether an archive has the event at a position. Raises ArchiveUnavailable."""
    index = file.block_of(position)
    if index < 0 or position > file.end.last:
        return False
    positions: Sequence[int] = file.block(index).positions
    at = bisect_left(positions, position)
    return at < len(positions) and positions[at] == position


def removed_from(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    streams: Iterable[str],
) -> tuple[str, int] | None:
    """One of these streams that has an event whose archive was removed, and the archive; None if none has.

    Raises DamagedStore.
    """
    removed = [one for one in stored_archives(transaction, databases, records) if one.removal]
    if not removed:
        return None
    numbers, last = {one.number for one in removed}, U64.pack(max(one.last for one in removed))
    for stream in streams:
        prefix = name_key("stream", stream) + b"\0"
        with transaction.cursor(databases["streams"]) as cursor:
            more = cursor.set_range(prefix)
            while more and cursor.key().startswith(prefix) and (at := cursor.value()) <= last:
                stored = transaction.get(at, db=databases["events"])
                stub = None if stored is None else records.stub(U64.unpack(at)[0], stored)
                if stub is not None and stub.archive in numbers:
                    return stream, stub.archive
                more = cursor.next()
    return None


def move_events(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    file: ArchiveFile,
    archive: StoredArchive,
    limit: int,
) -> StoredArchive:
    """Put stubs in the place of the next `limit` events of an archive; returns it as it is then.

    Raises DamagedStore for an event that is not the archive's, ArchiveUnavailable.
    """
    events = databases["events"]
    moved, count = archive.moved, archive.moved_events
    for position, event in islice(file.events(moved), limit):
        at = U64.pack(position)
        stored = transaction.get(at, db=events)
        opened = None if stored is None else opened_event(position, stored)
        if opened is None or opened[0] != event:
            raise DamagedStore(
                f"the event at position {position} of {records.what} is another one than in {file.path}; "
                "`onewriter verify` lists all damage; restore a backup"
            )
        first = first_bytes(transaction, databases, records, position)
        stub = Stub.made(archive.number, event, first)
        transaction.put(at, sealed_stub(position, stub.pack(), opened[1]), db=events)
        moved, count = position, count + 1
    return archive._replace(moved=moved, moved_events=count)


def erase_corrected(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    archive: StoredArchive,
) -> None:
    """Leave digests of what the corrected events of an archive were, and of what they are. Raises
    DamagedStore."""
    for position in corrected_positions(transaction, databases, archive.first, archive.last):
        stored = transaction.get(U64.pack(position), db=databases["events"])
        stub = None if stored is None else records.stub(position, stored)
        if stored is None or stub is None or stub.archive != archive.number:
            continue
        try:
            now = records.event(position, stored)
        except ArchiveUnavailable:
            now = None  # its file is lost
        erase_before(transaction, databases, records, position, now)

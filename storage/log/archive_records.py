"""What a log knows of its archives: which there are, who made them and why, and which were removed.

Moving events to an archive, and removing one, are operations that are numbered and linked to the chain as
corrections are. The record of one has, behind the fields of a correction that changes no event, what it did:
"archive" with the archive's number, the digest of its file, how many events it has, the first and the last
position, their bytes and the file's; or "remove" and the number. The database `corrections` also has under
`a` and an archive's number: the numbers of these two operations, the last position that was moved, how many
events were, and up to which position the pages of the events were packed since. Functions over a transaction
of the caller; any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import msgpack

from storage.archive.archive_file import ArchiveFile
from storage.archive.archives import Archives, KnownArchive
from storage.errors import DamagedStore
from storage.log.checksums import sealed_record
from storage.log.correction_entries import CORRECTIONS, operation_record
from storage.log.corrections import OperationDigest
from storage.log.record_format import RecordFormat
from storage.log.records import EPOCH, U64

__all__ = [
    "ARCHIVE",
    "ARCHIVED",
    "BEGUN",
    "MOVING",
    "REMOVED",
    "ArchiveRecord",
    "StoredArchive",
    "archive_fields",
    "archive_of_operation",
    "archive_records",
    "begun_archive",
    "known_archive",
    "last_archive",
    "put_archive",
    "removal_fields",
    "removal_of_operation",
    "stored_archive",
    "stored_archives",
]

ARCHIVE = b"a"
"""What the keys of archives in the database of corrections begin with."""

BEGUN, MOVING, ARCHIVED, REMOVED = "begun", "moving", "archived", "removed"
"""States of an archive, as `ArchiveRecord` says."""

_MADE, _REMOVED = "archive", "remove"
_WHAT = 6
"""The index in an operation's record of what it did."""

Databases = dict[str, lmdb._Database]


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """An archive of a log: `events` from position `first` to `last`, in `file`, which has `bytes`.

    `event_bytes` is what the events take when they are not compressed, `digest` the file's, in hexadecimal
    digits. `who` made it and `why`. `state` is "begun" for a file of which the log does not know yet,
    "moving" while events are in the log, too, "archived", or "removed": then it is known by whom and why.
    """

    number: int
    file: str
    state: str
    events: int
    first: int
    last: int
    bytes: int
    event_bytes: int
    digest: str
    who: str
    why: str
    time: datetime
    removed_who: str = ""
    removed_why: str = ""
    removed_time: datetime | None = None


class StoredArchive(NamedTuple):
    """An archive as the log has it: the numbers of the operations that made and removed it, 0 for none; the
    last position that was moved, how many events were, and how far pages were packed; and what its operation
    says of the file."""

    number: int
    operation: int
    removal: int
    moved: int
    moved_events: int
    packed: int
    digest: bytes
    events: int
    first: int
    last: int
    event_bytes: int
    bytes: int

    @property
    def state(self) -> str:
        """As that of `ArchiveRecord`."""
        if self.removal:
            return REMOVED
        return ARCHIVED if self.moved_events == self.events else MOVING


def archive_fields(who: str, why: str, time_us: int, head: int, number: int, file: ArchiveFile) -> list[Any]:
    """The record of the operation that moves events to an archive, when the log ends at `head`."""
    end = file.end
    did = [_MADE, number, end.digest, end.events, end.first, end.last, end.event_bytes, file.size]
    return [who, why, time_us, head, 0, OperationDigest().digest(), did]


def removal_fields(who: str, why: str, time_us: int, head: int, number: int) -> list[Any]:
    """The record of the operation that removes an archive."""
    return [who, why, time_us, head, 0, OperationDigest().digest(), [_REMOVED, number]]


def archive_of_operation(record: bytes, operation: int) -> StoredArchive | None:
    """The archive that the operation with this record made, as it is before anything is moved; None for
    others."""
    did = _what(record)
    return StoredArchive(did[1], operation, 0, 0, 0, 0, *did[2:]) if did and did[0] == _MADE else None


def removal_of_operation(record: bytes) -> int:
    """The number of the archive that the operation with this record removed; 0 for others."""
    did = _what(record)
    return int(did[1]) if did and did[0] == _REMOVED else 0


def _what(record: bytes) -> list[Any]:
    fields: list[Any] = msgpack.unpackb(record)
    return list(fields[_WHAT]) if len(fields) > _WHAT else []


def put_archive(transaction: lmdb.Transaction[bytes], databases: Databases, archive: StoredArchive) -> None:
    """Store what the log has of an archive beside the records of its operations."""
    key = ARCHIVE + U64.pack(archive.number)
    entry = msgpack.packb(list(archive[1:6]))
    transaction.put(key, sealed_record(CORRECTIONS, key, entry), db=databases[CORRECTIONS])


# -- reading -------------------------------------------------------------------------------------------------
def last_archive(transaction: lmdb.Transaction[bytes], databases: Databases) -> int:
    """The number of the last archive, 0 if there is none."""
    if CORRECTIONS not in databases:
        return 0
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.prev() if cursor.set_range(ARCHIVE + b"\xff" * 9) else cursor.last()
        key: bytes = cursor.key()
        return U64.unpack(key[1:])[0] if more and key[:1] == ARCHIVE and len(key) == 9 else 0


def stored_archive(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> StoredArchive | None:
    """An archive of the log, None if there is none of this number. Raises DamagedStore."""
    if CORRECTIONS not in databases:
        return None
    key = ARCHIVE + U64.pack(number)
    stored = transaction.get(key, db=databases[CORRECTIONS])
    if stored is None:
        return None
    entry = msgpack.unpackb(records.record(CORRECTIONS, key, stored))
    operation, removal, moved, moved_events, packed = entry
    found = archive_of_operation(operation_record(transaction, databases, records, operation), operation)
    if found is None or found.number != number:
        raise DamagedStore(
            f"operation {operation} of {records.what} did not make archive {number}; `onewriter verify` "
            "lists all damage; restore a backup"
        )
    return found._replace(removal=removal, moved=moved, moved_events=moved_events, packed=packed)


def stored_archives(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat
) -> list[StoredArchive]:
    """All archives of the log, by number. Raises DamagedStore."""
    numbers = range(1, last_archive(transaction, databases) + 1)
    found = [stored_archive(transaction, databases, records, number) for number in numbers]
    if None in found:
        raise DamagedStore(
            f"{records.what} lacks what it knew of archive {found.index(None) + 1}; `onewriter verify` lists "
            "all damage; restore a backup"
        )
    return [one for one in found if one is not None]


def known_archive(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> KnownArchive | None:
    """What reading an archive needs to know of it. Raises DamagedStore."""
    found = stored_archive(transaction, databases, records, number)
    return None if found is None else KnownArchive(found.digest, bool(found.removal))


def archive_records(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    archives: Archives,
    found: Sequence[StoredArchive],
) -> list[ArchiveRecord]:
    """Archives with what the records of their operations say. Raises DamagedStore."""

    def said(operation: int) -> tuple[str, str, datetime]:
        fields = msgpack.unpackb(operation_record(transaction, databases, records, operation))
        return fields[0], fields[1], EPOCH + timedelta(microseconds=fields[2])

    return [
        ArchiveRecord(
            one.number,
            str(archives.path(one.number)),
            one.state,
            one.events,
            one.first,
            one.last,
            one.bytes,
            one.event_bytes,
            one.digest.hex(),
            *said(one.operation),
            *(said(one.removal) if one.removal else ()),
        )
        for one in found
    ]


def begun_archive(path: Path, file: ArchiveFile) -> ArchiveRecord:
    """An archive of which the log does not know yet."""
    header, end = file.header, file.end
    return ArchiveRecord(
        header.number,
        str(path),
        BEGUN,
        end.events,
        end.first,
        end.last,
        file.size,
        end.event_bytes,
        end.digest.hex(),
        header.who,
        header.why,
        EPOCH + timedelta(microseconds=header.time_us),
    )

"""What stays of corrected events whose archive was removed: digests, from which their corrections follow.

Functions over a transaction of the caller; any thread.
"""

from __future__ import annotations

from hashlib import sha256

import lmdb

from storage.log.correction_entries import (
    BEFORE,
    CORRECTIONS,
    ERASED,
    POSITION,
    is_erased,
    last_number,
    put_entry,
)
from storage.log.record_format import RecordFormat
from storage.log.records import U64

__all__ = ["digest_before", "digest_now", "erase_before"]

Databases = dict[str, lmdb._Database]


def erase_before(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    position: int,
    now: bytes | None,
) -> None:
    """Leave digests alone of what a corrected event was; `now` are its present bytes, if they can be had.

    Raises DamagedStore.
    """
    database, at = databases[CORRECTIONS], U64.pack(position)
    key = POSITION + at
    first = records.record(CORRECTIONS, key, transaction.get(key, db=database) or b"")[:8]
    put_entry(transaction, database, key, first + (b"" if now is None else sha256(now).digest()))
    for number in range(U64.unpack(first)[0], last_number(transaction, databases) + 1):
        key = BEFORE + U64.pack(number) + at
        stored = transaction.get(key, db=database)
        before = None if stored is None else records.record(CORRECTIONS, key, stored)
        if before is not None and not is_erased(before):
            put_entry(transaction, database, key, ERASED + sha256(before).digest())


def digest_before(before: bytes) -> bytes:
    """The SHA-256 of bytes that an event had before a correction, removed or not."""
    return before[len(ERASED) :] if is_erased(before) else sha256(before).digest()


def digest_now(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, position: int
) -> bytes:
    """The SHA-256 of a corrected event; empty if it was removed and is not known. Raises DamagedStore."""
    key = POSITION + U64.pack(position)
    kept = records.record(CORRECTIONS, key, transaction.get(key, db=databases[CORRECTIONS]) or b"")
    stored = transaction.get(U64.pack(position), db=databases["events"])
    if stored is None:
        return b""
    stub = records.stub(position, stored)
    if stub is not None and records.is_removed(stub):
        return kept[8:]
    return sha256(records.event(position, stored)).digest()

"""The entries of the database `corrections`: their keys, and what is found by them.

For each correction, numbered from 1, it has under `o` and the number its record, and under `b`, the number
and a position the bytes of that event before. Under `p` and a position is the number of the event's first
correction, and under `m` and a model's name that of the last one that concerns the model. When an archive is
removed, the digests of what its corrected events were are put in the place of their bytes. Functions over a
transaction of the caller; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

import lmdb

from storage.errors import DamagedStore
from storage.log.checksums import sealed_record
from storage.log.history import digest_of
from storage.log.record_format import RecordFormat
from storage.log.records import U64

__all__ = [
    "BEFORE",
    "CORRECTIONS",
    "ERASED",
    "MODEL",
    "OPERATION",
    "POSITION",
    "before_entries",
    "corrected_positions",
    "correction_numbers",
    "entry",
    "first_bytes",
    "is_erased",
    "last_number",
    "last_of_model",
    "models_of",
    "operation_key",
    "operation_record",
    "put_entry",
    "stored_event_digest",
]

CORRECTIONS = "corrections"

OPERATION, BEFORE, POSITION, MODEL = b"o", b"b", b"p", b"m"
"""What keys begin with."""
ERASED = b"\xc1"
"""What is left of the bytes of a removed event begins with this; their SHA-256 follows."""

Databases = dict[str, lmdb._Database]


def put_entry(
    transaction: lmdb.Transaction[bytes], database: lmdb._Database, key: bytes, value: bytes
) -> None:
    """Put an entry of the database."""
    transaction.put(key, sealed_record(CORRECTIONS, key, value), db=database)


def is_erased(before: bytes) -> bool:
    """Whether bytes that an event had before a correction were removed with its archive."""
    return before.startswith(ERASED)


def last_number(transaction: lmdb.Transaction[bytes], databases: Databases) -> int:
    """The number of the last correction, 0 if there is none."""
    if CORRECTIONS not in databases:
        return 0
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.prev() if cursor.set_range(POSITION) else cursor.last()
        key: bytes = cursor.key()
        return U64.unpack(key[1:])[0] if more and key[:1] == OPERATION and len(key) == 9 else 0


def operation_key(number: int) -> bytes:
    """The key of the record of a correction."""
    return OPERATION + U64.pack(number)


def models_of(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> list[bytes]:
    """The names of the models of which a correction was the last. Raises DamagedStore."""
    found = []
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.set_range(MODEL)
        while more and (key := cursor.key()).startswith(MODEL):
            if U64.unpack(records.record(CORRECTIONS, key, cursor.value()))[0] == number:
                found.append(key[len(MODEL) :])
            more = cursor.next()
    return found


def corrected_positions(
    transaction: lmdb.Transaction[bytes], databases: Databases, first: int, last: int
) -> list[int]:
    """The positions from `first` to `last` of events that were corrected."""
    if CORRECTIONS not in databases:
        return []
    found: list[int] = []
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.set_range(POSITION + U64.pack(first))
        while more and (key := cursor.key()).startswith(POSITION):
            position = U64.unpack(key[1:])[0]
            if position > last:
                break
            found.append(position)
            more = cursor.next()
    return found


def correction_numbers(transaction: lmdb.Transaction[bytes], databases: Databases) -> range:
    """The numbers of all corrections."""
    return range(1, last_number(transaction, databases) + 1)


def operation_record(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> bytes:
    """The record of a correction. Raises DamagedStore."""
    return entry(transaction, databases, records, operation_key(number), f"correction {number}")


def before_entries(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> Iterator[tuple[int, bytes]]:
    """Position and bytes before of each event of a correction, by position. Raises DamagedStore."""
    prefix = BEFORE + U64.pack(number)
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.set_range(prefix)
        while more and (key := cursor.key()).startswith(prefix):
            yield U64.unpack(key[9:])[0], records.record(CORRECTIONS, key, cursor.value())
            more = cursor.next()


def first_bytes(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, position: int
) -> bytes | None:
    """An event's bytes before all corrections; None if it was never corrected. Raises DamagedStore."""
    if CORRECTIONS not in databases:
        return None
    key = POSITION + U64.pack(position)
    stored = transaction.get(key, db=databases[CORRECTIONS])
    if stored is None:
        return None
    number = records.record(CORRECTIONS, key, stored)[:8]
    key = BEFORE + number + U64.pack(position)
    before = entry(transaction, databases, records, key, f"position {position} before its correction")
    return None if is_erased(before) else before


def stored_event_digest(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, position: int
) -> bytes:
    """What replicas know an event by: the digest of its bytes before all corrections, empty for no event.

    Raises DamagedStore.
    """
    stored = transaction.get(U64.pack(position), db=databases["events"])
    if stored is None:
        return b""
    stub = records.stub(position, stored)
    if stub is not None:
        return stub.digest
    first = first_bytes(transaction, databases, records, position)
    return digest_of(records.event(position, stored) if first is None else first)


def last_of_model(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, model: str
) -> int:
    """The number of the last correction of events that a model handles; 0 for none. Raises DamagedStore."""
    if CORRECTIONS not in databases:
        return 0
    key = MODEL + model.encode()
    stored = transaction.get(key, db=databases[CORRECTIONS])
    return 0 if stored is None else U64.unpack(records.record(CORRECTIONS, key, stored))[0]


def entry(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, key: bytes, what: str
) -> bytes:
    """An entry, which errors call `what`. Raises DamagedStore."""
    stored = transaction.get(key, db=databases[CORRECTIONS])
    if stored is None:
        raise DamagedStore(
            f"{what} is missing in {records.what}; `onewriter verify` lists all damage; restore a backup"
        )
    return records.record(CORRECTIONS, key, stored)

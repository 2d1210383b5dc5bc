"""Corrections: stored events whose fields were changed, with what they were before, and who did it and why.

The database `corrections` has, for each correction, numbered from 1: under `o` and the number its record, and
under `b`, the number and a position the bytes of that event before. Under `p` and a position is the number of
the event's first correction, and under `m` and a model's name that of the last one that concerns the model.
The record has a digest of all events before and after, and a link of the chain has the record's. So the
chain's old links are followed with the oldest bytes of each event, and those of now follow from the records.

A record may say that events were moved to an archive, or an archive removed: see `archive_records`. When an
archive is removed, the digests of what its corrected events were stay in the place of their bytes.
Functions over a transaction of the caller; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

import lmdb
import msgpack

from storage.errors import CorrectionRefused, DamagedStore
from storage.log.checksums import opened_event, resealed_event, sealed_record
from storage.log.history import digest_of
from storage.log.record_format import RecordFormat
from storage.log.records import EPOCH, U64, envelope_of, name_key
from storage.value_text import short_repr

__all__ = [
    "CORRECTIONS",
    "ChangedEvent",
    "Correction",
    "OperationDigest",
    "before_entries",
    "corrected_events",
    "corrected_positions",
    "correction_numbers",
    "corrections",
    "erase_before",
    "first_bytes",
    "last_of_model",
    "models_of",
    "operation_key",
    "operation_record",
    "put_changes",
    "put_operation",
    "read_correction",
    "stored_event_digest",
    "write_operation",
    "write_correction",
]

CORRECTIONS = "corrections"

_OPERATION, _BEFORE, _POSITION, _MODEL = b"o", b"b", b"p", b"m"
_KEPT = {
    0: "stream", 1: "version", 4: "time", 5: "command id", 6: "command", 7: "causation id",
    8: "correlation id", 9: "tags",
}  # fmt: skip
"""The items of a stored event that no correction changes; the others are its type, fields and metadata."""

Databases = dict[str, lmdb._Database]


class ChangedEvent(NamedTuple):
    """An event before and after a correction, in its own bytes."""

    position: int
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Correction:
    """A recorded correction of the events at `positions`; the log ended at `position` when it was made."""

    number: int
    who: str
    why: str
    time: datetime
    position: int
    positions: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many events it changed."""
        return len(self.positions)


class OperationDigest:
    """The digest over the events of one correction, added in the order of their positions."""

    def __init__(self) -> None:
        self._sum = sha256()

    def add(self, position: int, before: bytes, after: bytes) -> None:
        """Add an event by the digests of its bytes before and after."""
        self._sum.update(U64.pack(position) + before + after)

    def digest(self) -> bytes:
        """The 32 bytes."""
        return self._sum.digest()


def write_correction(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    changes: Sequence[ChangedEvent],
    who: str,
    why: str,
    time_us: int,
    head: int,
    models: Sequence[str],
) -> tuple[int, bytes]:
    """Change the stored events and keep what they were; returns the correction's number and its record.

    `changes` are sorted by position. Raises CorrectionRefused, DamagedStore.
    """
    database, events = databases[CORRECTIONS], databases["events"]
    number = last_number(transaction, databases) + 1
    digest = OperationDigest()
    streams = set()
    for position, before, after in changes:
        at = U64.pack(position)
        stored = transaction.get(at, db=events)
        opened = None if stored is None else opened_event(position, stored)
        if stored is not None and (stub := records.stub(position, stored)) is not None:
            raise CorrectionRefused(
                f"the event at position {position} of {records.what} is in archive {stub.archive}, which is "
                "never changed: leave it out of the correction"
            )
        if stored is None or opened is None or opened[0] != before:
            raise CorrectionRefused(
                f"the event at position {position} of {records.what} is not, or no longer, as this "
                "correction expects it: plan it again"
            )
        streams.add(_checked(position, before, after))
        digest.add(position, sha256(before).digest(), sha256(after).digest())
        _put(transaction, database, _BEFORE + U64.pack(number) + at, before)
        if transaction.get(_POSITION + at, db=database) is None:
            _put(transaction, database, _POSITION + at, U64.pack(number))
        transaction.put(at, resealed_event(position, after, opened[1]), db=events)
    for stream in streams:
        _refuse_truncated(transaction, databases, records, stream)
        transaction.delete(name_key("stream", stream), db=databases["snapshots"])
    for model in models:
        _put(transaction, database, _MODEL + model.encode(), U64.pack(number))
    fields = [who, why, time_us, head, len(changes), digest.digest()]
    return number, write_operation(transaction, databases, number, fields)


def write_operation(
    transaction: lmdb.Transaction[bytes], databases: Databases, number: int, fields: Sequence[Any]
) -> bytes:
    """Store the record of an operation that is numbered with the corrections; returns its bytes."""
    record: bytes = msgpack.packb(fields)
    _put(transaction, databases[CORRECTIONS], operation_key(number), record)
    return record


def put_changes(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    number: int,
    changes: Sequence[ChangedEvent],
) -> None:
    """Change stored events as a correction of another store did. Raises DamagedStore where they differ."""
    database, events = databases[CORRECTIONS], databases["events"]
    for position, before, after in changes:
        at = U64.pack(position)
        if is_erased(before):
            _put(transaction, database, _BEFORE + U64.pack(number) + at, before)
            _put(transaction, database, _POSITION + at, after)
            continue
        stored = transaction.get(at, db=events)
        opened = None if stored is None else opened_event(position, stored)
        if opened is None or opened[0] != before:
            raise DamagedStore(
                f"correction {number} changes the event at position {position}, which is not what it was "
                f"before it in {records.what}"
            )
        _put(transaction, database, _BEFORE + U64.pack(number) + at, before)
        if transaction.get(_POSITION + at, db=database) is None:
            _put(transaction, database, _POSITION + at, U64.pack(number))
        transaction.put(at, resealed_event(position, after, opened[1]), db=events)


def put_operation(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    number: int,
    operation: bytes,
    models: Sequence[bytes],
) -> None:
    """Put the record of a correction, in stored bytes, with the models that it concerns."""
    database = databases[CORRECTIONS]
    transaction.put(operation_key(number), operation, db=database)
    for model in models:
        _put(transaction, database, _MODEL + model, U64.pack(number))


def _put(transaction: lmdb.Transaction[bytes], database: lmdb._Database, key: bytes, value: bytes) -> None:
    transaction.put(key, sealed_record(CORRECTIONS, key, value), db=database)


def _checked(position: int, before: bytes, after: bytes) -> str:
    """The event's stream. Raises CorrectionRefused where the correction changes what it must not."""
    try:
        old, new = envelope_of(before), envelope_of(after)
        same = len(old) == len(new) >= 11 and old[11:] == new[11:]
        changed = [name for index, name in _KEPT.items() if old[index] != new[index]]
    except Exception as error:
        raise CorrectionRefused(f"what is to be at position {position} is not an event ({error})") from error
    if changed or not same:
        what = " and ".join(changed) or "what it says of its command"
        raise CorrectionRefused(
            f"the correction of the event at position {position} changes its {what}; only type, fields and "
            "metadata can be corrected; `onewriter copy` makes a store in which more is changed"
        )
    return str(old[0])


def _refuse_truncated(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, stream: str
) -> None:
    """Raise CorrectionRefused for a stream whose first event was removed: it needs its snapshot."""
    at = transaction.get(name_key("stream", stream) + b"\0" + U64.pack(1), db=databases["streams"])
    if at is None:  # in the tail
        return
    position = U64.unpack(at)[0]
    stored = transaction.get(at, db=databases["events"])
    stub = None if stored is None else records.stub(position, stored)
    if stub is not None and records.is_removed(stub):
        raise CorrectionRefused(
            f"the first events of stream {stream!r} in {records.what} were removed with archive "
            f"{stub.archive}: its state can only be had from its snapshot, which a correction of its other "
            "events would delete"
        )


# -- what is removed -----------------------------------------------------------------------------------------
_ERASED = b"\xc1"
"""What is left of the bytes of a removed event begins with this; their SHA-256 follows."""


def is_erased(before: bytes) -> bool:
    """Whether bytes that an event had before a correction were removed with its archive."""
    return before.startswith(_ERASED)


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
    key = _POSITION + at
    first = records.record(CORRECTIONS, key, transaction.get(key, db=database) or b"")[:8]
    _put(transaction, database, key, first + (b"" if now is None else sha256(now).digest()))
    for number in range(U64.unpack(first)[0], last_number(transaction, databases) + 1):
        key = _BEFORE + U64.pack(number) + at
        stored = transaction.get(key, db=database)
        before = None if stored is None else records.record(CORRECTIONS, key, stored)
        if before is not None and not is_erased(before):
            _put(transaction, database, key, _ERASED + sha256(before).digest())


def digest_before(before: bytes) -> bytes:
    """The SHA-256 of bytes that an event had before a correction, removed or not."""
    return before[len(_ERASED) :] if is_erased(before) else sha256(before).digest()


def digest_now(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, position: int
) -> bytes:
    """The SHA-256 of a corrected event; empty if it was removed and is not known. Raises DamagedStore."""
    key = _POSITION + U64.pack(position)
    kept = records.record(CORRECTIONS, key, transaction.get(key, db=databases[CORRECTIONS]) or b"")
    stored = transaction.get(U64.pack(position), db=databases["events"])
    if stored is None:
        return b""
    stub = records.stub(position, stored)
    if stub is not None and records.is_removed(stub):
        return kept[8:]
    return sha256(records.event(position, stored)).digest()


# -- reading -------------------------------------------------------------------------------------------------
def last_number(transaction: lmdb.Transaction[bytes], databases: Databases) -> int:
    """The number of the last correction, 0 if there is none."""
    if CORRECTIONS not in databases:
        return 0
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.prev() if cursor.set_range(_POSITION) else cursor.last()
        key: bytes = cursor.key()
        return U64.unpack(key[1:])[0] if more and key[:1] == _OPERATION and len(key) == 9 else 0


def operation_key(number: int) -> bytes:
    """The key of the record of a correction."""
    return _OPERATION + U64.pack(number)


def models_of(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> list[bytes]:
    """The names of the models of which a correction was the last. Raises DamagedStore."""
    found = []
    with transaction.cursor(databases[CORRECTIONS]) as cursor:
        more = cursor.set_range(_MODEL)
        while more and (key := cursor.key()).startswith(_MODEL):
            if U64.unpack(records.record(CORRECTIONS, key, cursor.value()))[0] == number:
                found.append(key[len(_MODEL) :])
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
        more = cursor.set_range(_POSITION + U64.pack(first))
        while more and (key := cursor.key()).startswith(_POSITION):
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
    return _record(transaction, databases, records, operation_key(number), f"correction {number}")


def before_entries(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> Iterator[tuple[int, bytes]]:
    """Position and bytes before of each event of a correction, by position. Raises DamagedStore."""
    prefix = _BEFORE + U64.pack(number)
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
    key = _POSITION + U64.pack(position)
    stored = transaction.get(key, db=databases[CORRECTIONS])
    if stored is None:
        return None
    number = records.record(CORRECTIONS, key, stored)[:8]
    key = _BEFORE + number + U64.pack(position)
    before = _record(transaction, databases, records, key, f"position {position} before its correction")
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
    key = _MODEL + model.encode()
    stored = transaction.get(key, db=databases[CORRECTIONS])
    return 0 if stored is None else U64.unpack(records.record(CORRECTIONS, key, stored))[0]


def read_correction(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, number: int
) -> Correction:
    """A correction. Raises DamagedStore."""
    fields: list[Any] = msgpack.unpackb(operation_record(transaction, databases, records, number))
    who, why, time_us, head = fields[:4]
    positions = tuple(position for position, _ in before_entries(transaction, databases, records, number))
    return Correction(number, who, why, EPOCH + timedelta(microseconds=time_us), head, positions)


def corrections(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat
) -> list[Correction]:
    """All corrections, in the order in which they were made. Raises DamagedStore."""
    return [
        read_correction(transaction, databases, records, number)
        for number in correction_numbers(transaction, databases)
    ]


def corrected_events(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    number: int,
    after: int,
    limit: int,
) -> list[ChangedEvent]:
    """The events of a correction after a position, as they were before and after it.

    For one that was removed, it is what is left of them: `is_erased`. Raises DamagedStore and
    ArchiveUnavailable.
    """
    if number not in correction_numbers(transaction, databases):
        raise CorrectionRefused(f"{records.what} has no correction {short_repr(number)}")
    found: list[ChangedEvent] = []
    database = databases[CORRECTIONS]
    for position, before in before_entries(transaction, databases, records, number):
        if position <= after:
            continue
        if len(found) == limit:
            break
        found.append(ChangedEvent(position, before, b""))
    later: dict[int, bytes] = {}
    for next_one in range(number + 1, last_number(transaction, databases) + 1):
        for changed in found:
            key = _BEFORE + U64.pack(next_one) + U64.pack(changed.position)
            stored = transaction.get(key, db=database)
            if stored is not None and changed.position not in later:
                later[changed.position] = records.record(CORRECTIONS, key, stored)
    for index, (position, before, _) in enumerate(found):
        now = later.get(position)
        if is_erased(before):
            key = _POSITION + U64.pack(position)
            now = _record(transaction, databases, records, key, f"position {position} of a correction")
        if now is None:
            stored = transaction.get(U64.pack(position), db=databases["events"])
            if stored is None:
                raise records.damaged_event(position)
            now = records.event(position, stored)
        found[index] = ChangedEvent(position, before, now)
    return found


def _record(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat, key: bytes, what: str
) -> bytes:
    stored = transaction.get(key, db=databases[CORRECTIONS])
    if stored is None:
        raise DamagedStore(
            f"{what} is missing in {records.what}; `onewriter verify` lists all damage; restore a backup"
        )
    return records.record(CORRECTIONS, key, stored)

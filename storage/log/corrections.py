"""Corrections: stored events whose fields were changed, with what they were before, and who did it and why.

`correction_entries` says how they are stored. The record of one has a digest of all events before and after,
and a link of the chain has the record's. So the chain's old links are followed with the oldest bytes of each
event, and those of now follow from the records. A record may say something else than that events were
changed: see `archive_records`. Functions over a transaction of the caller; any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

import lmdb
import msgpack

from storage.errors import CorrectionRefused, DamagedStore
from storage.log.checksums import opened_event, resealed_event
from storage.log.correction_entries import (
    BEFORE,
    CORRECTIONS,
    MODEL,
    POSITION,
    before_entries,
    correction_numbers,
    entry,
    is_erased,
    last_number,
    operation_key,
    operation_record,
    put_entry,
)
from storage.log.record_format import RecordFormat
from storage.log.records import EPOCH, U64, envelope_of, name_key
from storage.value_text import short_repr

__all__ = [
    "ChangedEvent",
    "Correction",
    "OperationDigest",
    "corrected_events",
    "corrections",
    "put_changes",
    "put_operation",
    "read_correction",
    "write_correction",
    "write_operation",
]

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
        put_entry(transaction, database, BEFORE + U64.pack(number) + at, before)
        if transaction.get(POSITION + at, db=database) is None:
            put_entry(transaction, database, POSITION + at, U64.pack(number))
        transaction.put(at, resealed_event(position, after, opened[1]), db=events)
    for stream in streams:
        transaction.delete(name_key("stream", stream), db=databases["snapshots"])
    for model in models:
        put_entry(transaction, database, MODEL + model.encode(), U64.pack(number))
    fields = [who, why, time_us, head, len(changes), digest.digest()]
    return number, write_operation(transaction, databases, number, fields)


def write_operation(
    transaction: lmdb.Transaction[bytes], databases: Databases, number: int, fields: Sequence[Any]
) -> bytes:
    """Store the record of an operation that is numbered with the corrections; returns its bytes."""
    record: bytes = msgpack.packb(fields)
    put_entry(transaction, databases[CORRECTIONS], operation_key(number), record)
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
            put_entry(transaction, database, BEFORE + U64.pack(number) + at, before)
            put_entry(transaction, database, POSITION + at, after)
            continue
        stored = transaction.get(at, db=events)
        opened = None if stored is None else opened_event(position, stored)
        if opened is None or opened[0] != before:
            raise DamagedStore(
                f"correction {number} changes the event at position {position}, which is not what it was "
                f"before it in {records.what}"
            )
        put_entry(transaction, database, BEFORE + U64.pack(number) + at, before)
        if transaction.get(POSITION + at, db=database) is None:
            put_entry(transaction, database, POSITION + at, U64.pack(number))
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
        put_entry(transaction, database, MODEL + model, U64.pack(number))


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


# -- reading -------------------------------------------------------------------------------------------------


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
            key = BEFORE + U64.pack(next_one) + U64.pack(changed.position)
            stored = transaction.get(key, db=database)
            if stored is not None and changed.position not in later:
                later[changed.position] = records.record(CORRECTIONS, key, stored)
    for index, (position, before, _) in enumerate(found):
        now = later.get(position)
        if is_erased(before):
            key = POSITION + U64.pack(position)
            now = entry(transaction, databases, records, key, f"position {position} of a correction")
        if now is None:
            stored = transaction.get(U64.pack(position), db=databases["events"])
            if stored is None:
                raise records.damaged_event(position)
            now = records.event(position, stored)
        found[index] = ChangedEvent(position, before, now)
    return found

"""Notes: a small durable map from keys to bytes in the log's environment, changed only together with a batch.

They are for state that must agree with the log exactly: the position of a subscription, the state of a
process manager, the events that a projection skips. Functions over a transaction of the caller; in the
caller's thread.
"""

from __future__ import annotations

from collections.abc import Iterable

import lmdb

from storage.codec.keys import MAX_KEY_BYTES
from storage.errors import InvalidKey, KeyTooLong, UnencodableValue
from storage.log.checksums import sealed_record
from storage.log.lookup import check_neighbours
from storage.log.record_format import RecordFormat
from storage.value_text import short_repr

__all__ = ["Note", "checked_notes", "note_key", "read_notes", "write_notes"]

Note = tuple[bytes, bytes | None]
"""A key and its new value; None deletes it."""


def note_key(key: bytes) -> bytes:
    """Return the key if it is valid; raises InvalidKey or KeyTooLong."""
    if not isinstance(key, bytes) or not key:
        raise InvalidKey(f"the key of a note is bytes, at least one, not {short_repr(key, 100)}")
    if len(key) > MAX_KEY_BYTES:
        raise KeyTooLong(
            f"the key {key[:60]!r}... of a note takes {len(key)} bytes, and at most {MAX_KEY_BYTES} fit: "
            "shorten it"
        )
    return key


def checked_notes(notes: Iterable[Note]) -> dict[bytes, bytes | None]:
    """Return the last value given for each key.

    Raises InvalidKey, KeyTooLong; UnencodableValue unless it is bytes.
    """
    found: dict[bytes, bytes | None] = {}
    for key, value in notes:
        if value is not None and not isinstance(value, bytes):
            raise UnencodableValue(
                f"the value of note {short_repr(key, 60)} is bytes, or None to delete it, not "
                f"{type(value).__name__}"
            )
        found[note_key(key)] = value
    return found


def write_notes(
    transaction: lmdb.Transaction, database: lmdb._Database, notes: dict[bytes, bytes | None]
) -> None:
    """Put and delete notes; `notes` is a result of `checked_notes`."""
    for key, value in sorted(notes.items()):
        if value is None:
            transaction.delete(key, db=database)
        else:
            transaction.put(key, sealed_record("notes", key, value), db=database)


def read_notes(
    transaction: lmdb.Transaction[bytes],
    database: lmdb._Database,
    prefix: bytes,
    after: bytes,
    limit: int | None,
    records: RecordFormat,
    name: str = "notes",
) -> list[tuple[bytes, bytes]]:
    """Return the notes with keys that begin with `prefix` and are after `after`, in the order of keys.

    `database`, called `name`, may be another one with records like notes. Raises DamagedStore.
    """
    notes: list[tuple[bytes, bytes]] = []
    with transaction.cursor(database) as cursor:
        start = max(prefix, after)
        more = cursor.set_range(start) if start else cursor.first()
        if more and after and cursor.key() == after:
            more = cursor.next()
        while more and cursor.key().startswith(prefix):
            if len(notes) == limit:
                return notes
            key, value = cursor.item()
            notes.append((key, records.record(name, key, value)))
            more = cursor.next()
        if records.checked:
            check_neighbours(cursor, name, start, notes[-1][0] if notes else start, records)
    return notes

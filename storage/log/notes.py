"""Notes: a small durable map from keys to bytes beside the log, changed only together with a batch.

For what has to agree with the log exactly: how far a subscription has come, what a process manager knows, which
event a projection skips. Functions over a transaction that the caller holds; they know no thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, takewhile

import lmdb

from storage.codec.keys import MAX_KEY_BYTES
from storage.errors import InvalidKey, KeyTooLong, UnencodableValue
from storage.value_text import short_repr

__all__ = ["Note", "checked_notes", "note_key", "read_notes", "write_notes"]

Note = tuple[bytes, bytes | None]
"""A key and its new value; None deletes it."""


def note_key(key: bytes) -> bytes:
    """Return the key if it can be one; raises InvalidKey or KeyTooLong."""
    if not isinstance(key, bytes) or not key:
        raise InvalidKey(f"the key of a note is bytes, at least one, not {short_repr(key, 100)}")
    if len(key) > MAX_KEY_BYTES:
        raise KeyTooLong(
            f"the key {key[:60]!r}... of a note takes {len(key)} bytes, and at most {MAX_KEY_BYTES} fit: "
            "shorten it"
        )
    return key


def checked_notes(notes: Iterable[Note]) -> dict[bytes, bytes | None]:
    """Return the last value given for each key. Raises InvalidKey, KeyTooLong, and UnencodableValue for no bytes."""
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
    """Put and delete notes that `checked_notes` gave."""
    for key, value in sorted(notes.items()):
        if value is None:
            transaction.delete(key, db=database)
        else:
            transaction.put(key, value, db=database)


def read_notes(
    transaction: lmdb.Transaction[bytes],
    database: lmdb._Database,
    prefix: bytes,
    after: bytes,
    limit: int | None,
) -> list[tuple[bytes, bytes]]:
    """Return the notes whose keys begin with `prefix` and come after `after`, in the order of the keys."""
    with transaction.cursor(database) as cursor:
        start = max(prefix, after)
        there = cursor.set_range(start) if start else cursor.first()
        if there and after and cursor.key() == after:
            there = cursor.next()
        if not there:
            return []
        return list(islice(takewhile(lambda note: note[0].startswith(prefix), cursor.iternext()), limit))

"""Look-ups that find out when damage hides what they look for. In the caller's transaction; any thread.

A changed byte in an entry, or in its page's list of entries, does not move it: whoever looks for what was
there ends the search at the changed entry, or just behind it. So where nothing is found, the entries on both
sides are looked at, and whether they are in order with their other neighbours.
"""

from __future__ import annotations

import lmdb

from storage.errors import DamagedStore
from storage.log.record_format import RecordFormat

__all__ = ["check_neighbours", "entry_after", "entry_before", "found_record"]

Entry = tuple[bytes, bytes]


def found_record(
    transaction: lmdb.Transaction[bytes],
    database: lmdb._Database,
    name: str,
    key: bytes,
    records: RecordFormat,
) -> bytes | None:
    """The record under a key of the database `name`, or None if there is none.

    Raises DamagedStore.
    """
    stored = transaction.get(key, db=database)
    if stored is not None:
        return records.record(name, key, stored)
    if records.checked:
        with transaction.cursor(database) as cursor:
            cursor.set_range(key)
            check_neighbours(cursor, name, key, key, records)
    return None


def check_neighbours(
    cursor: lmdb.Cursor[bytes], name: str, first: bytes, last: bytes, records: RecordFormat
) -> None:
    """Check the entry at which a search that began with `first` has ended, and the one before `first`.

    `last` is the last key that was found, or `first`. Raises DamagedStore if either entry is damaged.
    """
    for entry in (entry_after(cursor, name, last, records), entry_before(cursor, name, first, records)):
        if entry is not None:
            records.record(name, *entry)


def entry_after(cursor: lmdb.Cursor[bytes], name: str, found: bytes, records: RecordFormat) -> Entry | None:
    """The entry at `cursor`, which follows the last key that a search found; None at the end.

    Without one, `found` is a key before which the search began. Moves the cursor. Raises DamagedStore if the
    entry is not in order.
    """
    entry = cursor.item()
    if not entry[0]:  # the end, or a key that has become empty
        if cursor.last() and cursor.key() > found:
            raise _disordered(name, records)
        return None
    if entry[0] <= found or (cursor.next() and cursor.key() <= entry[0]):
        raise _disordered(name, records)
    return entry


def entry_before(cursor: lmdb.Cursor[bytes], name: str, key: bytes, records: RecordFormat) -> Entry | None:
    """The entry before `key`, where a search begins; None if there is none.

    Moves the cursor. Raises DamagedStore if it is not in order.
    """
    if not (cursor.prev() if cursor.set_range(key) else cursor.last()):
        return None
    entry = cursor.item()
    if entry[0] >= key or (cursor.prev() and cursor.key() >= entry[0]):
        raise _disordered(name, records)
    return entry


def _disordered(name: str, records: RecordFormat) -> DamagedStore:
    return DamagedStore(
        f"the keys of {name} in {records.what} are not in their order, and some can't be found; `onewriter "
        "verify` lists all damage; restore a backup"
    )

"""Look-ups that find out when damage hides what they look for. In the caller's transaction; any thread.

A changed byte in a key does not move its entry, so whoever looks for the old key meets the changed one: it is
the entry at which the search ends, or the one before. These two are checked where nothing is found.
"""

from __future__ import annotations

import lmdb

from storage.errors import DamagedStore
from storage.log.record_format import RecordFormat

__all__ = ["check_neighbours", "found_record"]


def found_record(
    transaction: lmdb.Transaction[bytes],
    database: lmdb._Database,
    name: str,
    key: bytes,
    records: RecordFormat,
) -> bytes | None:
    """The record under a key of the database `name`, or None if there certainly is none.

    Raises DamagedStore.
    """
    stored = transaction.get(key, db=database)
    if stored is not None:
        return records.record(name, key, stored)
    if records.checked:
        with transaction.cursor(database) as cursor:
            cursor.set_range(key)
            check_neighbours(cursor, name, key, records)
    return None


def check_neighbours(cursor: lmdb.Cursor[bytes], name: str, key: bytes, records: RecordFormat) -> None:
    """Check the entry at which a search for `key` in the database `name` has ended, and the one before.

    Raises DamagedStore if either is damaged, or is on the wrong side of the key.
    """
    after = cursor.key()
    if after:
        records.record(name, after, cursor.value())
    if cursor.prev() if after else cursor.last():
        before = cursor.key()
        records.record(name, before, cursor.value())
    else:
        before = b""
    if (after and after < key) or before > key:
        raise DamagedStore(
            f"the keys of {name} in {records.what} are not in their order: an entry can't be found; "
            "`onewriter verify` lists all damage; restore a backup"
        )

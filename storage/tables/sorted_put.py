"""Puts sorted entries into a database, and appends those beyond its end. The transaction's thread."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

import lmdb

from storage.tables.search import Entries

__all__ = ["MANY", "last_key", "put_sorted"]

_KEY = itemgetter(0)

MANY = 32
"""With so many entries it is worth looking up where a database ends."""


def last_key(txn: lmdb.Transaction[bytes], db: lmdb._Database, entries: int) -> bytes | None:
    """The last key of a database, empty if it has none; None if looking it up is not worthwhile."""
    if entries < MANY:
        return None
    with txn.cursor(db) as cursor:
        return cursor.key() if cursor.last() else b""


def put_sorted(txn: lmdb.Transaction[bytes], db: lmdb._Database, entries: Entries, end: bytes | None) -> None:
    """Put entries that are sorted by key.

    Those beyond `end` are appended, which is faster and fills the pages.
    """
    with txn.cursor(db) as cursor:
        if end is None:
            cursor.putmulti(entries)
            return
        first = bisect_right(entries, end, key=_KEY)
        cursor.putmulti(entries[:first])
        cursor.putmulti(entries[first:], append=True)

"""Putting sorted entries into a database, those behind its end by appending. The transaction's thread."""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

import lmdb

from storage.tables.search import Entries

__all__ = ["MANY", "last_key", "put_sorted"]

_KEY = itemgetter(0)

MANY = 32
"""Entries from which on it pays to ask where a database ends."""


def last_key(txn: lmdb.Transaction[bytes], db: lmdb._Database, entries: int) -> bytes | None:
    """The last key of a database, empty if it has none; None where it is not worth asking."""
    if entries < MANY:
        return None
    with txn.cursor(db) as cursor:
        return cursor.key() if cursor.last() else b""


def put_sorted(txn: lmdb.Transaction[bytes], db: lmdb._Database, entries: Entries, end: bytes | None) -> None:
    """Put entries, sorted by key. Those behind `end` are appended, which is faster and fills the pages."""
    with txn.cursor(db) as cursor:
        if end is None:
            cursor.putmulti(entries)
            return
        first = bisect_right(entries, end, key=_KEY)
        cursor.putmulti(entries[:first])
        cursor.putmulti(entries[first:], append=True)

"""What a flush of buffered rows changed in a table's databases, to be made in another replica as well.

The thread that applies events makes them; they never change, and any thread may apply them to tables of its
own. Rows and index entries are the bytes that are stored, so nothing is decoded or encoded a second time.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

import lmdb

from storage.errors import DamagedStore
from storage.tables.access import TableHandle
from storage.tables.search import Entries
from storage.tables.sorted_put import last_key, put_sorted

__all__ = ["CONTENT_BITS", "TableChanges", "make_changes", "row_digest", "table_seed"]

CONTENT_BITS = 64
"""The digests of all rows of a build are added up modulo two to this power: the order does not matter, so it
is kept up to date from the changed rows alone."""


class TableChanges(NamedTuple):
    """The changes of one flush to one table: keys and entries are sorted."""

    table: str
    deleted: list[bytes]
    """Keys of stored rows."""
    rows: Entries
    indexes: list[tuple[list[bytes], Entries]]
    """For each index of the table, in their order, the entries to delete and those to put."""
    content: int
    """What the digests of the rows gained, as a whole number of either sign."""


def table_seed(table: str) -> int:
    """Where the digests of a table's rows begin."""
    return crc32(table.encode())


def row_digest(seed: int, key: bytes, row: bytes) -> int:
    """The digest of a stored row: a CRC-32 of its table, its key and its bytes."""
    return crc32(row, crc32(key, seed))


def make_changes(txn: lmdb.Transaction[bytes], handle: TableHandle, changes: TableChanges) -> None:
    """Make the changes that another replica's flush made in the same table.

    Raises DamagedStore if a row or an entry is missing that is to be deleted: then the tables were not the
    same before. Raises LMDB's errors.
    """
    for key in changes.deleted:
        if not txn.delete(key, b"", handle.rows):
            raise _missing(handle, "row")
    put_sorted(txn, handle.rows, changes.rows, last_key(txn, handle.rows, len(changes.rows)))
    for (removed, added), db in zip(changes.indexes, handle.indexes.values(), strict=True):
        for entry in removed:
            if not txn.delete(entry, b"", db):
                raise _missing(handle, "entry of an index")
        put_sorted(txn, db, added, last_key(txn, db, len(added)))


def _missing(handle: TableHandle, what: str) -> DamagedStore:
    return DamagedStore(
        f"{handle.where} lacks a {what} that another replica with the same content had; it is filled from "
        "the log again"
    )

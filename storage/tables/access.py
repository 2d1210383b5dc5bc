"""Raw reads of a table's databases, each under the lock of its transaction. Any thread.

LMDB does not prevent that a transaction ends while another thread reads in it. So every use of it takes one
plain lock. It is held for one short read at a time, and never while a caller's code runs.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import lmdb

from storage.errors import SnapshotClosed
from storage.files.error_translation import translate
from storage.tables.index import Index
from storage.tables.schema import TableSchema
from storage.tables.search import Entries, Search

P = ParamSpec("P")
T = TypeVar("T")

_abandoned: list[lmdb.Transaction[bytes]] = []
"""Kept for ever: a transaction that is garbage-collected would be ended."""


class Access:
    """An LMDB transaction and the lock for every use of it. `txn` is None once it has ended.

    Error messages call it `what`, for example "the snapshot of /data/replica-1"; `closed` is raised after its
    end. `path` is the store that a write transaction writes to.
    """

    __slots__ = ("lock", "read_failed", "txn", "_what", "_closed", "_path", "__weakref__")

    def __init__(
        self,
        txn: lmdb.Transaction[bytes],
        what: str,
        closed: type[SnapshotClosed] = SnapshotClosed,
        path: Path | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self.txn: lmdb.Transaction[bytes] | None = txn
        self.read_failed = False
        """Whether a read raised an error that does not depend on the rows: damage, LMDB's error, the end."""
        self._what = what
        self._closed = closed
        self._path = path

    def live(self) -> lmdb.Transaction[bytes]:
        """The transaction, for use under the lock. Raises SnapshotClosed if it has ended."""
        if self.txn is None:
            self.read_failed = True
            raise self._closed(f"{self._what} is closed and cannot be used any more; take a new one")
        return self.txn

    def locked(
        self, read: Callable[Concatenate[lmdb.Transaction[bytes], P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `read` with the transaction under the lock, and return its result.

        Translates LMDB's errors.
        """
        try:
            with self.lock:
                return read(self.live(), *args, **kwargs)
        except lmdb.Error as error:
            self.read_failed = True
            raise translate(error, f"using {self._what}", self._path) from error

    def abandon(self) -> None:
        """Forget the transaction without ending it, and the lock, which a dead thread may hold."""
        self.lock = threading.Lock()
        txn, self.txn = self.txn, None
        if txn is not None:
            _abandoned.append(txn)

    def end(self) -> None:
        """Abort the transaction, once no read is inside it. A second call does nothing."""
        with self.lock:
            txn, self.txn = self.txn, None
            if txn is not None:
                txn.abort()


@dataclass(frozen=True, slots=True, eq=False)
class TableHandle:
    """A table's open databases: its schema, its name in errors, its rows, and the entries of each index."""

    schema: TableSchema
    where: str
    rows: lmdb._Database
    indexes: Mapping[Index, lmdb._Database]


def below(txn: lmdb.Transaction[bytes], db: lmdb._Database, prefix: bytes) -> Entries:
    """All entries whose keys begin with `prefix`."""
    with txn.cursor(db) as cursor:
        if not cursor.set_range(prefix):
            return []
        return list(takewhile(lambda item: item[0].startswith(prefix), cursor))


def read_rows(txn: lmdb.Transaction[bytes], db: lmdb._Database, row_keys: list[bytes]) -> Entries:
    """The stored rows of these keys with their keys, in their order; missing ones are left out."""
    with txn.cursor(db) as cursor:
        return cursor.getmulti(row_keys)


def each_row(txn: lmdb.Transaction[bytes], db: lmdb._Database) -> Iterator[tuple[bytes, bytes]]:
    """All stored rows with their keys, in order."""
    with txn.cursor(db) as cursor:
        yield from cursor


def read_values(txn: lmdb.Transaction[bytes], db: lmdb._Database, keys: list[bytes]) -> list[bytes | None]:
    """The values stored under these keys, in their order; None for each that is missing."""
    return list(map(txn.cursor(db).get, keys))


def read_chunk(
    txn: lmdb.Transaction[bytes], db: lmdb._Database, search: Search, after: bytes | None, size: int
) -> Entries:
    """The next entries of a search after `after`, which itself may be gone by now."""
    cursor = txn.cursor(db)
    if not _seek(cursor, search, after):
        return []
    if search.reverse:
        low = search.low
        found = list(islice(cursor.iterprev(), size))
        if found[-1][0] < low:
            del found[bisect_left(found, True, key=lambda item: item[0] < low) :]
        return found
    found = list(islice(cursor.iternext(), size))
    high = search.high
    if high is not None and found[-1][0] >= high:
        del found[bisect_left(found, (high,)) :]
    return found


def read_keys(
    txn: lmdb.Transaction[bytes], db: lmdb._Database, search: Search, after: bytes | None, size: int
) -> list[bytes]:
    """As `read_chunk`, without the entries' values."""
    cursor = txn.cursor(db)
    if not _seek(cursor, search, after):
        return []
    if search.reverse:
        low = search.low
        found = list(islice(cursor.iterprev(values=False), size))
        if found[-1] < low:
            del found[bisect_left(found, True, key=lambda key: key < low) :]
        return found
    found = list(islice(cursor.iternext(values=False), size))
    high = search.high
    if high is not None and found[-1] >= high:
        del found[bisect_left(found, high) :]
    return found


def _seek(cursor: lmdb.Cursor[bytes], search: Search, after: bytes | None) -> bool:
    """Move the cursor to the next entry after `after`, which may be out of bounds; False if there is none."""
    low, high = search.low, search.high
    if search.reverse:
        bound = high if after is None or (high is not None and high < after) else after
        return cursor.prev() if bound is not None and cursor.set_range(bound) else cursor.last()
    if after is None or after < low:
        return cursor.set_range(low) if low else cursor.first()
    return cursor.set_range(after) and (cursor.key() != after or cursor.next())

"""A table's entries and rows in one transaction, as they are stored. Any thread; several may read at a time.

Each chunk is read under the transaction's lock, which is not held in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import lmdb

from storage.codec.codec import Codec
from storage.errors import DamagedRow, DamagedStore, StorageError
from storage.files.error_translation import translate
from storage.tables.access import Access, TableHandle, read_chunk, read_keys, read_values
from storage.tables.rows import Row, decode_columns, decode_rows
from storage.tables.search import Entries, Search, once_each
from storage.value_text import short_repr

__all__ = ["CHUNK_ROWS", "TableEntries"]

CHUNK_ROWS = 100
"""The most rows read at a time; the first chunks of a range are smaller, since many callers read few rows."""
CHUNK_KEYS = 1000
"""The same for keys without values."""
FIRST_ROWS = 8
_GROWTH = 4


class TableEntries:
    """A table's stored entries and rows, for its readers.

    Every method may raise SnapshotClosed or StorageError.
    """

    _first = FIRST_ROWS
    """How many entries are read first if no limit is given."""

    __slots__ = ("_access", "_handle", "schema", "_encode_key", "_db", "_codec", "_unpack")

    def __init__(self, access: Access, handle: TableHandle, codec: Codec) -> None:
        if access.txn is None:
            access.live()  # Raises SnapshotClosed.
        self._access = access
        self._handle = handle
        self.schema = handle.schema
        self._encode_key = handle.schema.encode
        self._db = handle.rows
        self._codec = codec
        self._unpack = codec.unpack

    # -- entries ---------------------------------------------------------------------------------------------
    def _chunks(self, search: Search, after: bytes | None = None) -> Iterator[Entries]:
        """At most `limit` entries with their values, in chunks; any number of entries if rows repeat."""
        return self._scan(search, after, False)

    def _bare_chunks(self, search: Search) -> Iterator[list[bytes]]:
        """The same entries without values."""
        return self._scan(search, None, True)

    def _scan(self, search: Search, after: bytes | None, bare: bool) -> Iterator[list[Any]]:
        largest = CHUNK_KEYS if bare else CHUNK_ROWS
        left = None if search.repeats else search.limit
        size = min(largest, self._first if left is None else left)
        while size:
            chunk, after = self._part(search, after, size, bare)
            if left is not None and len(chunk) > left:
                del chunk[left:]
            if chunk:
                yield chunk
            if after is None:
                return
            if left is None:
                size = min(largest, size * _GROWTH)
            else:
                left -= len(chunk)
                size = min(largest, left)

    def _part(
        self, search: Search, after: bytes | None, size: int, bare: bool
    ) -> tuple[list[Any], bytes | None]:
        """The next entries after `after`, about `size` of them, and the entry up to which they are complete.

        None instead of that entry means that there are no more.
        """
        access, index = self._access, search.index
        db = self._db if index is self.schema.primary else self._handle.indexes[index]
        try:
            with access.lock:
                read = read_keys if bare else read_chunk
                chunk: list[Any] = read(access.txn or access.live(), db, search, after, size)
        except lmdb.Error as error:
            raise self._explained(error) from error
        if len(chunk) < size:
            return chunk, None
        return chunk, chunk[-1] if bare else chunk[-1][0]

    def _found(self, search: Search) -> Iterator[Entries]:
        """The entries of an index, but only the first one of each row."""
        chunks = self._chunks(search)
        return once_each(chunks, search.limit) if search.repeats else chunks

    def _first_entries(self, search: Search, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """The first entry of each row from `after` on, with the row's stored bytes."""
        index, low, high = search.index, search.low, search.high
        for chunk in self._chunks(search, after):
            if index is self.schema.primary:
                yield from chunk
                continue
            for (entry, row_key), raw in zip(chunk, self._rows_of(chunk), strict=True):
                if search.repeats:
                    # Comparing with the row's other entries needs no memory of earlier rows, so it works
                    # across pages.
                    entries = index.entries(self._decode(raw), row_key)
                    mine = [e for e in entries if low <= e and (high is None or e < high)]
                    if entry != (max(mine) if search.reverse else min(mine)):
                        continue
                yield entry, raw

    def _counted(self) -> int:
        return self._access.locked(lmdb.Transaction.stat, self._db)["entries"]

    # -- rows ------------------------------------------------------------------------------------------------
    def _rows(self, search: Search, columns: frozenset[str] | None) -> Iterator[list[Row]]:
        """The rows that a search finds, or the given columns of them, a chunk at a time."""
        for chunk in self._found(search):
            yield self._rows_at(search, chunk, columns)

    def _rows_at(self, search: Search, chunk: Entries, columns: frozenset[str] | None) -> list[Row]:
        """The rows of some entries that a search found."""
        by_key = search.index is self.schema.primary
        return self._decode_all([raw for _, raw in chunk] if by_key else self._rows_of(chunk), columns)

    def _rows_of(self, chunk: Entries) -> list[bytes]:
        """The stored rows that the entries of an index refer to."""
        row_keys = [row_key for _, row_key in chunk]
        raws = self._fetch(row_keys)
        if None in raws:
            missing = [key for key, raw in zip(row_keys, raws, strict=True) if raw is None]
            self._access.read_failed = True
            raise DamagedStore(
                f"{self._handle.where}: an index refers to {len(missing)} row(s) that do not exist, the "
                f"first with key {short_repr(min(missing))}; the replica must be rebuilt"
            )
        return cast("list[bytes]", raws)

    def _fetch(self, row_keys: list[bytes]) -> list[bytes | None]:
        """The stored rows of these keys in their order; None for each that is missing."""
        access = self._access
        try:
            with access.lock:
                return read_values(access.txn or access.live(), self._db, row_keys)
        except lmdb.Error as error:
            raise self._explained(error) from error

    def _decode(self, raw: bytes) -> Row:
        return self._decode_all([raw])[0]

    def _decode_all(self, raws: list[bytes], columns: frozenset[str] | None = None) -> list[Row]:
        """The rows, or the given columns of them."""
        try:
            if columns is None:
                return decode_rows(self._codec, raws)
            return decode_columns(self._codec, columns, raws)
        except Exception as error:
            raise self._explained(error) from error

    def _no_row(self, value: object) -> StorageError:
        return self._explained(TypeError(f"it is a {type(value).__name__}"))

    def _explained(self, error: Exception) -> StorageError:
        self._access.read_failed = True
        if isinstance(error, lmdb.Error):
            self._access.live()  # LMDB itself refuses a transaction that has ended
            return translate(error, self._handle.where)
        return DamagedRow(
            f"{self._handle.where}: a stored row cannot be decoded ({type(error).__name__}: {error}); "
            "it is damaged, or the class of a value in it has changed: replicas are then filled again from "
            "the log; rebuild an inline model by raising its version="
        )

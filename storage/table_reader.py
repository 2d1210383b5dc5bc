"""Reading a table in one read transaction: by key, by range, by index, page by page.

Any thread may read, several at once too, and closing the transaction from another thread never pulls it away under
a read. Ranges are read in chunks and decoded outside of the transaction's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import lmdb

from storage.codec import Codec
from storage.environment import translate
from storage.errors import CodecError, DamagedStore, StorageError
from storage.page_token import decode_token, encode_token
from storage.table_access import Access, Entries, TableHandle, read_chunk, read_rows
from storage.table_index import Index, IndexSpec
from storage.table_schema import Row

CHUNK_ROWS = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the token to give to `page` for the ones after them; None when there are no more."""

    rows: list[Row]
    token: str | None


class TableReader:
    """A table as one transaction sees it. Rows are copies: changing one changes nothing stored."""

    __slots__ = ("_access", "_handle", "_schema", "_encode_key", "_db", "_codec", "_unpack")

    def __init__(self, access: Access, handle: TableHandle, codec: Codec) -> None:
        self._access = access
        access.live()  # Raises SnapshotClosed.
        self._handle = handle
        self._schema = handle.schema
        self._encode_key = handle.schema.encode
        self._db = handle.rows
        self._codec = codec
        self._unpack = codec.unpack

    # -- by key -------------------------------------------------------------------------------------------------
    def get(self, key: Any, default: Row | None = None) -> Row | None:
        """The row of a key (a tuple for a composite key), or `default`. Raises InvalidKey, SnapshotClosed."""
        raw_key = self._encode_key(key)
        try:
            access = self._access
            with access.lock:
                raw = (access.txn or access.live()).get(raw_key, None, self._db)
            return default if raw is None else self._unpack(raw)
        except StorageError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def get_many(self, keys: Iterable[Any]) -> list[Row | None]:
        """The rows of several keys in their order, None where there is none."""
        raw_keys = [self._encode_key(key) for key in keys]
        found: dict[bytes, bytes] = {}
        for start in range(0, len(raw_keys), CHUNK_ROWS):
            found.update(self._fetch(raw_keys[start : start + CHUNK_ROWS]))
        return [None if raw is None else self._decode(raw) for raw in map(found.get, raw_keys)]

    def __contains__(self, key: Any) -> bool:
        return bool(self._fetch([self._encode_key(key)]))

    # -- by range and by index ----------------------------------------------------------------------------------
    def range(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        *,
        equal: Any = None,
        reverse: bool = False,
        limit: int | None = None,
        include_stop: bool = False,
    ) -> Iterator[Row]:
        """The rows from `start` up to `stop`, which is left out unless `include_stop`, in the order of the index.

        No index means key order; rows of equal index values are in key order. In an index of several components
        `equal` pins the leading ones, and `start` and `stop` then speak of the next ones; each is a scalar or a
        tuple. None means no bound; to look for None itself, write `equal=(None,)`. In a many-valued index a row
        with several entries in the range comes once, at the first of them. `reverse` and `limit` apply last.

        Raises InvalidSchema for an unknown index, InvalidKey for a bad bound, both at once; SnapshotClosed while
        iterating.
        """
        found = self._schema.index(index)
        low, high = found.bounds(start, stop, equal, include_stop)
        return self._rows(found, low, high, reverse, limit)

    def all(self) -> Iterator[Row]:
        """Every row in key order."""
        return self.range()

    def find(
        self, index: IndexSpec | None, *values: Any, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Row]:
        """The rows whose leading index components equal `values`, None included: `find(words("name"), "oak")`."""
        found = self._schema.index(index)
        low, high = found.bounds(None, None, values, False)
        return self._rows(found, low, high, reverse, limit)

    def prefix(
        self, index: IndexSpec | None, *values: Any, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Row]:
        """The same, with the last value the beginning of a str: `prefix("name", "La")`; None is the key."""
        found = self._schema.index(index)
        low, high = found.prefix_bounds(values)
        return self._rows(found, low, high, reverse, limit)

    def page(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        *,
        equal: Any = None,
        reverse: bool = False,
        include_stop: bool = False,
        size: int = 50,
        token: str | None = None,
    ) -> Page:
        """A page of what `range` gives with the same arguments, after the page that gave `token`.

        The token holds the last place reached, not a count: rows that come, go or change between two pages
        neither shift the next page nor make it skip any other row. Raises InvalidPageToken for a token of another
        table, index or direction, or one that was altered.
        """
        if size < 1:
            raise ValueError(f"a page needs a size of at least 1, not {size}")
        found = self._schema.index(index)
        low, high = found.bounds(start, stop, equal, include_stop)
        query = f"{self._handle.where}/{found.name}/{reverse}"
        after = None if token is None else decode_token(token, query)
        taken = list(islice(self._entries(found, low, high, reverse, size + 1, after), size + 1))
        rows = [row for _, row in taken[:size]]
        return Page(rows, encode_token(taken[size - 1][0], query) if size < len(taken) else None)

    def count(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        *,
        equal: Any = None,
        include_stop: bool = False,
    ) -> int:
        """How many rows `range` would give, without decoding any; at once when nothing bounds the key."""
        found = self._schema.index(index)
        low, high = found.bounds(start, stop, equal, include_stop)
        if found.many is None and not low and high is None:
            return self._counted()
        chunks = self._chunks(found, low, high, False, None, None)
        if found.many is None:
            return sum(map(len, chunks))
        return len({row_key for chunk in chunks for _, row_key in chunk})

    def __len__(self) -> int:
        return self._counted()

    # -- inside -------------------------------------------------------------------------------------------------
    def _rows(
        self, index: Index, low: bytes, high: bytes | None, reverse: bool, limit: int | None
    ) -> Iterator[Row]:
        if limit is not None and limit <= 0:
            return iter(())
        if index.many is not None:
            return islice((row for _, row in self._entries(index, low, high, reverse, limit, None)), limit)
        chunks = self._chunks(index, low, high, reverse, limit, None)
        if index is not self._schema.primary:
            chunks = map(self._fetch_all, chunks)
        decode = self._decode
        return chain.from_iterable(map(decode, [raw for _, raw in chunk]) for chunk in chunks)

    def _entries(
        self,
        index: Index,
        low: bytes,
        high: bytes | None,
        reverse: bool,
        limit: int | None,
        after: bytes | None,
    ) -> Iterator[tuple[bytes, Row]]:
        """The rows with their places in the index, each row once."""
        for chunk in self._chunks(index, low, high, reverse, limit, after):
            rows = chunk if index is self._schema.primary else self._fetch_all(chunk)
            for (entry, row_key), (_, raw) in zip(chunk, rows, strict=True):
                row = self._decode(raw)
                if index.many is not None:
                    # Of its entries in the range only the first one in reading order stands for the row. That
                    # needs no memory of the rows given before, so it holds across pages too.
                    mine = [e for e in index.entries(row, row_key) if low <= e and (high is None or e < high)]
                    if entry != (max(mine) if reverse else min(mine)):
                        continue
                yield entry, row

    def _chunks(
        self,
        index: Index,
        low: bytes,
        high: bytes | None,
        reverse: bool,
        limit: int | None,
        after: bytes | None,
    ) -> Iterator[Entries]:
        """At most `limit` raw entries with their values (more in a many-valued index), a chunk at a time."""
        db = self._db if index is self._schema.primary else self._handle.indexes[index]
        left = limit if index.many is None else None
        while left is None or left > 0:
            size = CHUNK_ROWS if left is None else min(CHUNK_ROWS, left)
            chunk = self._access.locked(read_chunk, db, low, high, reverse, after, size)
            if chunk:
                yield chunk
            if len(chunk) < size:
                return
            after = chunk[-1][0]
            if left is not None:
                left -= size

    def _fetch_all(self, chunk: Entries) -> Entries:
        row_keys = [row_key for _, row_key in chunk]
        rows = self._fetch(row_keys)
        if len(rows) != len(row_keys):
            missing = set(row_keys) - {row_key for row_key, _ in rows}
            raise DamagedStore(
                f"{self._handle.where}: an index names {len(missing)} row(s) that are not there, the first with key "
                f"{min(missing)!r}; the replica must be rebuilt"
            )
        return rows

    def _fetch(self, row_keys: list[bytes]) -> Entries:
        return self._access.locked(read_rows, self._db, row_keys)

    def _counted(self) -> int:
        return self._access.locked(lmdb.Transaction.stat, self._db)["entries"]

    def _decode(self, raw: bytes) -> Row:
        try:
            return self._unpack(raw)  # type: ignore[no-any-return]
        except StorageError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> StorageError:
        if isinstance(error, lmdb.Error):
            self._access.live()  # LMDB itself refuses a transaction that has ended
            return translate(error, self._handle.where)
        return CodecError(
            f"{self._handle.where}: a stored row cannot be decoded ({type(error).__name__}: {error}); "
            "it is damaged, or the replica must be rebuilt"
        )

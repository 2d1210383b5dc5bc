"""Reads a table in one read transaction: by key, by range, by index, page by page. Any thread.

Several threads may read at a time. If another thread closes the transaction, that never disturbs a read in
progress. Ranges are read in chunks, and decoded outside the transaction's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Unpack

import lmdb

from storage.codec.key_decoding import decode_key, decode_keys
from storage.codec.page_token import decode_token, encode_token
from storage.tables.entries import CHUNK_ROWS, TableEntries
from storage.tables.index import IndexSpec
from storage.tables.rows import Columns, Row, checked_columns
from storage.tables.search import BoundOptions, Search
from storage.value_text import short_repr

__all__ = ["Page", "TableReader"]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the token to pass to `page` for the rows after them; None if there are no more."""

    rows: list[Row]
    token: str | None


class TableReader(TableEntries):
    """A table as one transaction sees it. Rows are copies: changing one does not change the stored row.

    With `columns=`, every method gives rows of only those columns, as far as they have them, and decodes no
    others. That is worthwhile if the others are many, long, or of types that msgpack lacks, such as dates and
    decimals.
    """

    __slots__ = ()

    # -- by key ----------------------------------------------------------------------------------------------
    def get(self, key: Any, default: Row | None = None, *, columns: Columns | None = None) -> Row | None:
        """The row of a key (a tuple for a composite key), or `default`. Raises InvalidKey, SnapshotClosed."""
        wanted = None if columns is None else checked_columns(columns)
        raw_key = self._encode_key(key)
        try:
            access = self._access
            with access.lock:
                raw = (access.txn or access.live()).get(raw_key, None, self._db)
        except lmdb.Error as error:
            raise self._explained(error) from error
        if raw is None:
            return default
        if wanted is not None:
            return self._decode_all([raw], wanted)[0]
        try:
            row: Row = self._unpack(raw)
        except Exception as error:
            raise self._explained(error) from error
        if row.__class__ is not dict:
            raise self._no_row(row)
        return row

    def get_many(self, keys: Iterable[Any], *, columns: Columns | None = None) -> list[Row | None]:
        """The rows of several keys in their order; None for each that is missing."""
        wanted = checked_columns(columns)
        raw_keys = [self._encode_key(key) for key in keys]
        rows: list[Row | None] = []
        for start in range(0, len(raw_keys), CHUNK_ROWS):
            raws = self._fetch(raw_keys[start : start + CHUNK_ROWS])
            found = iter(self._decode_all([raw for raw in raws if raw is not None], wanted))
            rows += [None if raw is None else next(found) for raw in raws]
        return rows

    def __contains__(self, key: Any) -> bool:
        return self._fetch([self._encode_key(key)]) != [None]

    # -- by range and by index -------------------------------------------------------------------------------
    def range(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
        columns: Columns | None = None,
        **bounds: Unpack[BoundOptions],
    ) -> Iterator[Row]:
        """The rows from `start` up to `stop`, excluded unless `include_stop`, in the order of the index.

        Without an index, rows are in key order; so are rows with equal index values. `start` and `stop` are
        each a scalar or a tuple; None means no bound. `BoundOptions` has the other bounds: `equal` and
        `include_stop`. In a many-valued index a row with several entries in the range comes once, at the
        first of them. `reverse` and `limit` apply last.

        The call raises InvalidSchema for an unknown index and InvalidKey for a bad bound; iterating may raise
        SnapshotClosed.
        """
        found = self.schema.index(index)
        return self.read(
            Search(found, found.bounds(start, stop, **bounds), reverse, limit), checked_columns(columns)
        )

    def all(self, *, columns: Columns | None = None) -> Iterator[Row]:
        """All rows in key order."""
        return self.range(columns=columns)

    def find(
        self,
        index: IndexSpec | None,
        *values: Any,
        reverse: bool = False,
        limit: int | None = None,
        columns: Columns | None = None,
    ) -> Iterator[Row]:
        """The rows whose leading index components equal `values`: `find(words("name"), "oak")`.

        None is a value too.
        """
        found = self.schema.index(index)
        return self.read(Search(found, found.bounds(equal=values), reverse, limit), checked_columns(columns))

    def prefix(
        self,
        index: IndexSpec | None,
        *values: Any,
        reverse: bool = False,
        limit: int | None = None,
        columns: Columns | None = None,
    ) -> Iterator[Row]:
        """As `find`, with the beginning of a str as the last value: `prefix("name", "La")`.

        No index means the key.
        """
        found = self.schema.index(index)
        return self.read(Search(found, found.prefix_bounds(values), reverse, limit), checked_columns(columns))

    def page(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        *,
        reverse: bool = False,
        size: int = 50,
        token: str | None = None,
        columns: Columns | None = None,
        **bounds: Unpack[BoundOptions],
    ) -> Page:
        """A page of the rows of `range` with the same arguments, after the page that gave `token`.

        The token holds the last entry reached, not a count. So if rows are added, removed or changed between
        two pages, the next page does not shift, and no other row is skipped. Raises InvalidPageToken for a
        token of another table, index or direction, or one that was altered.
        """
        if size < 1:
            raise ValueError(f"a page needs a size of at least 1, not {short_repr(size)}")
        found = self.schema.index(index)
        search = Search(found, found.bounds(start, stop, **bounds), reverse, size + 1)
        query = f"{self._handle.where}/{found.name}/{reverse}"
        after = None if token is None else decode_token(token, query)
        taken = list(islice(self._first_entries(search, after), size + 1))
        rows = self._decode_all([raw for _, raw in taken[:size]], checked_columns(columns))
        return Page(rows, encode_token(taken[size - 1][0], query) if size < len(taken) else None)

    # -- from the index alone --------------------------------------------------------------------------------
    def keys(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        *,
        reverse: bool = False,
        limit: int | None = None,
        **bounds: Unpack[BoundOptions],
    ) -> Iterator[Any]:
        """The keys of the rows of `range` with the same arguments, without reading any row.

        A key is what `get` takes: a tuple if the table's key has several columns. It is decoded from the
        index, so it is the same key, but perhaps of another type. An Enum comes as its value, a number as an
        int or, with decimals, as a Decimal. An aware datetime comes in UTC or, if UTC has no date for it, in
        the nearest zone.
        """
        found = self.schema.index(index)
        return self.read_keys(Search(found, found.bounds(start, stop, **bounds), reverse, limit))

    def count(
        self,
        index: IndexSpec | None = None,
        start: Any = None,
        stop: Any = None,
        **bounds: Unpack[BoundOptions],
    ) -> int:
        """How many rows `range` would give, without reading any; immediate if nothing bounds the key."""
        found = self.schema.index(index)
        return self.count_found(Search(found, found.bounds(start, stop, **bounds)))

    def __len__(self) -> int:
        return self._counted()

    # -- searches, prepared ones among them ------------------------------------------------------------------
    def read(self, search: Search, columns: frozenset[str] | None = None) -> Iterator[Row]:
        """The rows that a search finds, or the given columns of them."""
        if search.limit is not None and search.limit <= 0:
            return iter(())
        return chain.from_iterable(self._rows(search, columns))

    def read_keys(self, search: Search) -> Iterator[Any]:
        """The keys of the rows that a search finds."""
        if search.limit is not None and search.limit <= 0:
            return iter(())
        if search.index is self.schema.primary:
            keys = self._bare_chunks(search)
        else:
            keys = ([row_key for _, row_key in chunk] for chunk in self._found(search))
        return self._decoded(chain.from_iterable(keys))

    def _decoded(self, keys: Iterable[bytes]) -> Iterator[Any]:
        return map(decode_key if len(self.schema.columns) == 1 else decode_keys, keys)

    def count_found(self, search: Search) -> int:
        """How many rows a search without a limit finds."""
        if search.repeats:
            return len({row_key for chunk in self._chunks(search) for _, row_key in chunk})
        if search.index.many is None and not search.low and search.high is None:
            return self._counted()
        return sum(map(len, self._bare_chunks(search)))

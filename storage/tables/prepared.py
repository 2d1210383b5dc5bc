"""Ranges whose index, order and columns are fixed in advance, to be read many times with different values.

Pure, except that each call reads the table that it is given; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from storage.codec.keys import above_equal
from storage.errors import InvalidKey
from storage.tables.index import Bounds, Index, IndexSpec
from storage.tables.rows import Columns, Row, checked_columns
from storage.tables.search import Search
from storage.value_text import short_repr

__all__ = ["PreparedRange"]


class Indexes(Protocol):
    """A table's schema, as a prepared range uses it."""

    def index(self, spec: IndexSpec | None, /) -> Index:
        """The index of this spec; the key itself for None."""


class SearchableTable(Protocol):
    """A table in one transaction, as a prepared range reads it, for example a `TableReader`."""

    @property
    def schema(self) -> Indexes:
        """The schema that it was opened with."""

    def read(self, search: Search, columns: frozenset[str] | None = None, /) -> Iterator[Row]:
        """The rows that a search finds, or the given columns of them."""

    def read_keys(self, search: Search, /) -> Iterator[Any]:
        """The keys of the rows that a search finds."""

    def count_found(self, search: Search, /) -> int:
        """How many rows a search without a limit finds."""


class PreparedRange:
    """The result of `TableSchema.prepare`: call it with a table and the values to look for.

    It takes as many values as `equal` said, for the leading columns of the index. `start`, `stop` and
    `include_stop` are as in `TableReader.range`, and refer to the column after those.
    """

    __slots__ = ("_columns", "_equal", "_index", "_limit", "_reverse", "_schema", "_spec")

    def __init__(
        self,
        schema: Indexes,
        spec: IndexSpec | None,
        equal: int,
        reverse: bool,
        limit: int | None,
        columns: Columns | None,
    ) -> None:
        index = schema.index(spec)
        if not 0 <= equal <= len(index.components):
            raise InvalidKey(
                f"{index.where} has {len(index.components)} component(s), so equal= cannot be "
                f"{short_repr(equal)}"
            )
        self._schema = schema
        self._spec = spec
        self._index = index
        self._equal = equal
        self._reverse = reverse
        self._limit = limit
        self._columns = checked_columns(columns)

    def __call__(
        self,
        table: SearchableTable,
        *values: Any,
        start: Any = None,
        stop: Any = None,
        include_stop: bool = False,
    ) -> Iterator[Row]:
        """The rows. Raises as `TableReader.range` does, and InvalidKey for the wrong number of values."""
        return table.read(self._search(table, values, start, stop, include_stop), self._columns)

    def keys(
        self,
        table: SearchableTable,
        *values: Any,
        start: Any = None,
        stop: Any = None,
        include_stop: bool = False,
    ) -> Iterator[Any]:
        """The keys of the rows, as `TableReader.keys`."""
        return table.read_keys(self._search(table, values, start, stop, include_stop))

    def count(
        self,
        table: SearchableTable,
        *values: Any,
        start: Any = None,
        stop: Any = None,
        include_stop: bool = False,
    ) -> int:
        """How many rows there are, as `TableReader.count`, whatever the `limit`."""
        search = self._search(table, values, start, stop, include_stop)
        search.limit = None
        return table.count_found(search)

    def _search(
        self, table: SearchableTable, values: tuple[Any, ...], start: Any, stop: Any, include_stop: bool
    ) -> Search:
        if len(values) != self._equal:
            raise InvalidKey(
                f"{self._index.where} was prepared for {self._equal} value(s), and {len(values)} were given"
            )
        # An older version of the model may be active, with its own table.
        index = self._index if table.schema is self._schema else table.schema.index(self._spec)
        if start is None and stop is None and len(values) == 1:
            low = index.encode(0, values[0])
            bounds: Bounds = low, above_equal(low), 1
        else:
            bounds = index.bounds(start, stop, equal=values or None, include_stop=include_stop)
        return Search(index, bounds, self._reverse, self._limit)

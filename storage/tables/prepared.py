"""Ranges whose index, order and columns are fixed beforehand, to be read again and again with other values.

Pure but for the table that each call is given; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from storage.codec.keys import above_equal
from storage.errors import InvalidKey
from storage.tables.index import Bounds, IndexSpec
from storage.tables.rows import Columns, checked_columns
from storage.tables.search import Search
from storage.value_text import shown

if TYPE_CHECKING:
    from storage.tables.reader import TableReader
    from storage.tables.schema import Row, TableSchema

__all__ = ["PreparedRange"]


class PreparedRange:
    """What `TableSchema.prepare` gives: call it with a table and the values to look for.

    There are as many values as `equal` said, those of the leading columns of the index; `start`, `stop` and
    `include_stop` are as in `TableReader.range`, and speak of the column after them.
    """

    __slots__ = ("_columns", "_equal", "_index", "_limit", "_reverse", "_schema", "_spec")

    def __init__(
        self,
        schema: TableSchema,
        spec: IndexSpec | None,
        equal: int,
        reverse: bool,
        limit: int | None,
        columns: Columns | None,
    ) -> None:
        index = schema.index(spec)
        if not 0 <= equal <= len(index.components):
            raise InvalidKey(
                f"{index.where} has {len(index.components)} component(s), so equal= cannot be {shown(equal)}"
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
        table: TableReader,
        *values: Any,
        start: Any = None,
        stop: Any = None,
        include_stop: bool = False,
    ) -> Iterator[Row]:
        """The rows. Raises as `TableReader.range`, and InvalidKey for another number of values."""
        return table.read(self._search(table, values, start, stop, include_stop), self._columns)

    def keys(
        self,
        table: TableReader,
        *values: Any,
        start: Any = None,
        stop: Any = None,
        include_stop: bool = False,
    ) -> Iterator[Any]:
        """Their keys, as `TableReader.keys`."""
        return table.read_keys(self._search(table, values, start, stop, include_stop))

    def count(
        self,
        table: TableReader,
        *values: Any,
        start: Any = None,
        stop: Any = None,
        include_stop: bool = False,
    ) -> int:
        """How many there are, as `TableReader.count`, whatever the `limit`."""
        search = self._search(table, values, start, stop, include_stop)
        search.limit = None
        return table.count_found(search)

    def _search(
        self, table: TableReader, values: tuple[Any, ...], start: Any, stop: Any, include_stop: bool
    ) -> Search:
        if len(values) != self._equal:
            raise InvalidKey(
                f"{self._index.where} was prepared for {self._equal} value(s), and {len(values)} were given"
            )
        # An older version of the model may serve, with a table of its own.
        index = self._index if table._schema is self._schema else table._schema.index(self._spec)
        if start is None and stop is None and len(values) == 1:
            low = index.encode(0, values[0])
            bounds: Bounds = low, above_equal(low), 1
        else:
            bounds = index.bounds(start, stop, equal=values or None, include_stop=include_stop)
        return Search(index, bounds, self._reverse, self._limit)

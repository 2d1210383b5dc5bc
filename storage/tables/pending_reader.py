"""A pending table that can only be read: it is passed to deciders. The deciding thread only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from storage.tables.pending_table import PendingTable
from storage.tables.reader import TableReader
from storage.tables.rows import Columns, Row
from storage.tables.search import Entries, Search

__all__ = ["PendingReader"]


class PendingReader(TableReader):
    """Reads a table with the changes of the batch that is being decided; cannot change anything."""

    __slots__ = ("_table",)

    def __init__(self, table: PendingTable) -> None:
        super().__init__(table._access, table._handle, table._codec)
        self._table = table

    def get(self, key: Any, default: Row | None = None, *, columns: Columns | None = None) -> Row | None:
        """As `TableReader.get`."""
        return self._table.get(key, default, columns=columns)

    def get_many(self, keys: Iterable[Any], *, columns: Columns | None = None) -> list[Row | None]:
        """As `TableReader.get_many`."""
        return self._table.get_many(keys, columns=columns)

    def __contains__(self, key: Any) -> bool:
        return key in self._table

    def _counted(self) -> int:
        return self._table._counted()

    def _fetch(self, row_keys: list[bytes]) -> list[bytes | None]:
        return self._table._fetch(row_keys)

    def _chunks(self, search: Search, after: bytes | None = None) -> Iterator[Entries]:
        return self._table._chunks(search, after)

    def _bare_chunks(self, search: Search) -> Iterator[list[bytes]]:
        return self._table._bare_chunks(search)

    def read(self, search: Search, columns: frozenset[str] | None = None) -> Iterator[Row]:
        """As `TableWriter.read`."""
        return self._table.read(search, columns)

    def read_keys(self, search: Search) -> Iterator[Any]:
        """As `TableWriter.read_keys`."""
        return self._table.read_keys(search)

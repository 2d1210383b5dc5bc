"""The changes of a batch to inline tables before it is written: changed rows, merged with those on disk.

The deciding thread; any thread may call `close`.
"""

from __future__ import annotations

from collections.abc import Callable

import lmdb

from storage.codec.codec import Codec
from storage.tables.access import Access, TableHandle
from storage.tables.pending_reader import PendingReader
from storage.tables.pending_table import PendingTable, UndoLog
from storage.tables.schema import TableSchema

__all__ = ["InlineBatch"]


class InlineBatch:
    """The changes of a batch to inline tables before it is written. The deciding thread; `close`: any thread.

    `positions` holds, for models that are being filled from the log, how far that has come.
    """

    __slots__ = ("_access", "_begin", "_codec", "_handle_of", "_tables", "_undo", "_views", "positions")

    def __init__(
        self, handle_of: Callable[[TableSchema], TableHandle], begin: Callable[[], Access], codec: Codec
    ) -> None:
        """`begin` begins a transaction to read in; `handle_of` gives a table's databases."""
        self.positions: dict[str, int] = {}
        self._handle_of = handle_of
        self._begin = begin
        self._codec = codec
        self._access: Access | None = None
        self._tables: dict[TableSchema, PendingTable] = {}
        self._views: dict[TableSchema, PendingReader] = {}
        self._undo: UndoLog = []

    def table(self, table: TableSchema) -> PendingTable:
        """A table for writing. Raises InvalidSchema unless it belongs to an inline model."""
        found = self._tables.get(table)
        if found is None:
            handle = self._handle_of(table)
            if self._access is None:
                self._access = self._begin()
            found = self._tables[table] = PendingTable(self._access, handle, self._codec, self._undo)
        return found

    def view(self, table: TableSchema) -> PendingReader:
        """The same table, which can only be read."""
        found = self._views.get(table)
        if found is None:
            found = self._views[table] = PendingReader(self.table(table))
        return found

    def prepare(self) -> None:
        """Raise the error that prevents storing a changed row: CodecError, InvalidKey or KeyTooLong."""
        for table in self._tables.values():
            table.prepare()

    def mark(self) -> int:
        """A mark of the present state, for `back_to`."""
        return len(self._undo)

    def back_to(self, mark: int) -> None:
        """Undo all changes since `mark`."""
        undo = self._undo
        while len(undo) > mark:
            undo.pop().take_back()

    def settle(self) -> None:
        """Make all changes so far final: earlier marks are invalid."""
        self._undo.clear()

    def write_to(self, txn: lmdb.Transaction) -> None:
        """Write every changed row."""
        for table in self._tables.values():
            table.write_to(txn)

    def close(self) -> None:
        """End its transaction; nothing can be read any more. A second call does nothing."""
        if self._access is not None:
            self._access.end()

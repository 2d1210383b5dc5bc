"""What a batch does to inline tables before it is written: changed rows that are merged with those on disk.

The deciding thread; `close` is for any.
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
    """What a batch does to inline tables before it is written. The deciding thread; `close` is for any.

    `positions` says of models that are filled from the log how far that is done.
    """

    __slots__ = ("_access", "_begin", "_codec", "_handle_of", "_tables", "_undo", "_views", "positions")

    def __init__(
        self, handle_of: Callable[[TableSchema], TableHandle], begin: Callable[[], Access], codec: Codec
    ) -> None:
        """`begin` begins the transaction to read in; `handle_of` gives a table's databases."""
        self.positions: dict[str, int] = {}
        self._handle_of = handle_of
        self._begin = begin
        self._codec = codec
        self._access: Access | None = None
        self._tables: dict[TableSchema, PendingTable] = {}
        self._views: dict[TableSchema, PendingReader] = {}
        self._undo: UndoLog = []

    def table(self, table: TableSchema) -> PendingTable:
        """A table for writing. Raises InvalidSchema for one that is not of an inline model."""
        found = self._tables.get(table)
        if found is None:
            handle = self._handle_of(table)
            if self._access is None:
                self._access = self._begin()
            found = self._tables[table] = PendingTable(self._access, handle, self._codec, self._undo)
        return found

    def view(self, table: TableSchema) -> PendingReader:
        """The same for reading alone."""
        found = self._views.get(table)
        if found is None:
            found = self._views[table] = PendingReader(self.table(table))
        return found

    def prepare(self) -> None:
        """Raise what stands against storing a changed row: CodecError, InvalidKey or KeyTooLong, naming it."""
        for table in self._tables.values():
            table.prepare()

    def mark(self) -> int:
        """Now, for `back_to`."""
        return len(self._undo)

    def back_to(self, mark: int) -> None:
        """Take back every change since `mark`."""
        undo = self._undo
        while len(undo) > mark:
            undo.pop().take_back()

    def settle(self) -> None:
        """What was done so far stays: marks are void."""
        self._undo.clear()

    def write_to(self, txn: lmdb.Transaction) -> None:
        """Write every changed row."""
        for table in self._tables.values():
            table.write_to(txn)

    def close(self) -> None:
        """End its transaction; nothing can be read any more. The second call does nothing."""
        if self._access is not None:
            self._access.end()

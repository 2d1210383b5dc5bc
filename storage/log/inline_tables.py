"""Tables in the log's own environment, changed in the transaction that writes the events they come from.

Database `inline` holds `model/<name>` (fingerprint and databases, packed) and `position/<name>` (eight bytes,
big-endian: the last event that the tables include). Every batch with events moves all positions, so a model that was
not there when events were written is known to be behind. Opened and written by the log, under its locks.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import NoReturn

import lmdb
import msgpack

from storage.codec.codec import Codec
from storage.errors import DamagedStore, InvalidSchema, SnapshotClosed
from storage.files.error_translation import translate
from storage.log.inline_catalog import MODEL, POSITION, TABLES, stored_models, table_databases
from storage.log.reader_gate import Gate
from storage.tables.access import Access, TableHandle, below
from storage.tables.pending_reader import PendingReader
from storage.tables.pending_table import PendingTable, UndoLog
from storage.tables.reader import TableReader
from storage.tables.schema import ModelSchema, TableSchema
from storage.value_text import short_repr

__all__ = ["InlineBatch", "InlineSnapshot", "InlineTables", "max_databases"]

DATABASES = 64
"""More than the log itself has."""
CATALOG = b"inline"

logger = logging.getLogger("onewriter.inline")


def max_databases(models: Iterable[ModelSchema] | None) -> int:
    """How many databases the environment of a log with these inline models is opened for."""
    return DATABASES + sum(1 + len(table.indexes) for model in models or () for table in model.tables)


class InlineTables:
    """The inline models of an open log. Without any it costs nothing, and touches nothing."""

    def __init__(
        self,
        models: Sequence[ModelSchema],
        codec: Codec,
        what: str,
        gate: Gate,
        opened: Callable[[], lmdb.Environment],
    ) -> None:
        """`what` is what errors call the log; within `gate` the environment that `opened` returns stays open."""
        self.models = {model.name: model for model in models}
        self._codec = codec
        self._what = what
        self._gate = gate
        self._opened = opened
        self._handles: dict[TableSchema, TableHandle] = {}
        self._catalog: lmdb._Database | None = None
        self._open: weakref.WeakSet[Access] = weakref.WeakSet()

    # -- opening and leaving -------------------------------------------------------------------------------------
    def use(self, environment: lmdb.Environment, head: int) -> None:
        """Open or make the tables, and drop those of models that are gone or were otherwise. Raises LMDB's errors.

        `head` is the log's. Where the catalog is damaged, all tables are dropped, to be filled from the log again.
        """
        try:
            with environment.begin(write=True) as txn:
                self._catalog = environment.open_db(CATALOG, txn=txn, create=bool(self.models))
                stored = stored_models(txn, self._catalog, head, self._what)
        except lmdb.NotFoundError:
            return
        except DamagedStore as error:
            logger.error("inline models are filled from the log again: %s", error)
            self._drop_all(environment)
            stored = {}
        for name, (fingerprint, databases) in stored.items():
            if name not in self.models or self.models[name].fingerprint() != fingerprint:
                self._drop(environment, name, databases)
        if not self.models:
            return
        with environment.begin(write=True) as txn:
            for name, model in self.models.items():
                names = [database for table in model.tables for database in _names(model, table)]
                txn.put(MODEL + name.encode(), msgpack.packb([model.fingerprint(), names]), db=self._catalog)
                for table in model.tables:
                    rows, *indexes = (
                        environment.open_db(one.encode(), txn=txn) for one in _names(model, table)
                    )
                    self._handles[table] = TableHandle(
                        table, f"{name}.{table.name}", rows, dict(zip(table.indexes, indexes, strict=True))
                    )

    def _drop_all(self, environment: lmdb.Environment) -> None:
        with environment.begin() as txn:
            names = table_databases(txn)
        for name in names:
            with environment.begin(write=True) as txn:
                txn.drop(environment.open_db(name, txn=txn, create=False))
        with environment.begin(write=True) as txn:
            # Opened again: the transaction that opened it before did not come to its end.
            self._catalog = environment.open_db(CATALOG, txn=txn)
            txn.drop(self._catalog, delete=False)

    def follow(self, environment: lmdb.Environment) -> None:
        """Open the tables as another process made them. Raises LMDB's errors, NotFoundError where they are not there."""
        if not self.models:
            return
        self._catalog = environment.open_db(CATALOG, create=False)
        for name, model in self.models.items():
            for table in model.tables:
                rows, *indexes = (
                    environment.open_db(one.encode(), create=False) for one in _names(model, table)
                )
                databases = dict(zip(table.indexes, indexes, strict=True))
                self._handles[table] = TableHandle(table, f"{name}.{table.name}", rows, databases)

    def _drop(self, environment: lmdb.Environment, model: str, databases: Iterable[str]) -> None:
        """One database a transaction, so that any number needs one handle; the record goes last."""
        assert self._catalog is not None
        record = MODEL + model.encode()
        with environment.begin(write=True) as txn:
            # If this does not come to its end, no model must take over what is left.
            txn.put(record, msgpack.packb(["", list(databases)]), db=self._catalog)
        for name in databases:
            with environment.begin(write=True) as txn:
                try:
                    database = environment.open_db(name.encode(), txn=txn, create=False)
                except lmdb.NotFoundError:
                    continue
                txn.drop(database)
        with environment.begin(write=True) as txn:
            txn.delete(record, db=self._catalog)
            txn.delete(POSITION + model.encode(), db=self._catalog)

    def leave(self) -> None:
        """End every transaction that reads them; the environment is about to be closed."""
        for access in list(self._open):
            access.end()
        self._handles.clear()

    def _access(self, what: str, closed: type[SnapshotClosed] = SnapshotClosed) -> Access:
        with self._gate:
            try:
                access = Access(self._opened().begin(), f"{what} {self._what}", closed)
            except lmdb.Error as error:
                raise translate(error, f"reading {self._what}") from error
            self._open.add(access)
        return access

    # -- reading and writing -------------------------------------------------------------------------------------
    def named(self, model: str, table: TableSchema) -> TableHandle:
        """The databases of the model's table of this name, whichever version of the model it was declared for."""
        known = self.models[model].tables if model in self.models else ()
        same = [one for one in known if one.name == getattr(table, "name", None)]
        return self.handle(same[0] if same else table)

    def handle(self, table: TableSchema) -> TableHandle:
        """The databases of a table. Raises InvalidSchema for one that is not of an inline model."""
        try:
            return self._handles[table]
        except (KeyError, TypeError):
            raise InvalidSchema(
                f"table {short_repr(getattr(table, 'name', table))} is not in {self._what}; its inline "
                "models are: "
                f"{', '.join(self.models) or 'none'}"
            ) from None

    def positions(self, txn: lmdb.Transaction[bytes]) -> dict[str, int]:
        """How far each model is, 0 for a new one."""
        found = {} if self._catalog is None else dict(below(txn, self._catalog, POSITION))
        return {name: int.from_bytes(found.get(POSITION + name.encode(), b"")) for name in self.models}

    def batch(self) -> InlineBatch:
        """The tables for a batch to come; a transaction to read in is begun when the first one is used."""
        return InlineBatch(self, lambda: self._access("a batch of"), self._codec)

    def snapshot(self, closed: type[SnapshotClosed]) -> InlineSnapshot:
        """The tables as they are on disk now. Raises StoreClosed, StorageError."""
        return InlineSnapshot(self, self._access("a snapshot of", closed), self._codec)

    def write(self, txn: lmdb.Transaction, batch: InlineBatch | None, head: int | None) -> None:
        """Write a batch's rows; with `head`, the position of its last event, every model is up to there."""
        positions = {} if head is None else dict.fromkeys(self.models, head)
        if batch is not None:
            batch.write_to(txn)
            positions.update(batch.positions)
        for name, position in positions.items():
            txn.put(POSITION + name.encode(), position.to_bytes(8), db=self._catalog)


class InlineBatch:
    """What a batch does to inline tables before it is written. The deciding thread; `close` is for any.

    `positions` says of models that are filled from the log how far that is done.
    """

    __slots__ = ("_access", "_begin", "_codec", "_store", "_tables", "_undo", "_views", "positions")

    def __init__(self, store: InlineTables, begin: Callable[[], Access], codec: Codec) -> None:
        self.positions: dict[str, int] = {}
        self._store = store
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
            handle = self._store.handle(table)
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


class InlineSnapshot:
    """Inline tables as they were at one moment, in the form of a replica's snapshot. Any thread; close it soon."""

    __slots__ = ("_access", "_codec", "_positions", "_readers", "_store", "opened")

    def __init__(self, store: InlineTables, access: Access, codec: Codec) -> None:
        self._store = store
        self._access = access
        self._codec = codec
        self._readers: dict[TableSchema, TableReader] = {}
        self._positions = access.locked(store.positions)
        self.opened = time.monotonic()

    def table(self, model: str, schema: TableSchema) -> TableReader:
        """A table of an inline model, by its name. Raises InvalidSchema for another one, SnapshotClosed."""
        found = self._readers.get(schema)
        if found is None:
            found = self._readers[schema] = TableReader(
                self._access, self._store.named(model, schema), self._codec
            )
        return found

    def target(self, model: str) -> NoReturn:
        """Never anything: an inline model has tables only."""
        raise InvalidSchema(f"inline model {model!r} has tables only")

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's tables include."""
        return self._positions[model]

    def version(self, model: str) -> int:
        """The version of the model whose code filled the tables."""
        return self._store.models[model].version

    @property
    def closed(self) -> bool:
        """Whether it was closed, by `close` or together with the log."""
        return self._access.txn is None

    def close(self) -> None:
        """End it, from any thread: a read that is under way ends first, later ones raise."""
        self._access.end()

    def __enter__(self) -> InlineSnapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def abandon(self) -> None:
        """As `close`, but leave LMDB's transaction alone: in a forked child it is the parent's."""
        self._access.abandon()


def _names(model: ModelSchema, table: TableSchema) -> list[str]:
    rows = f"{TABLES}{model.name}@{model.version}.{model.fingerprint()[:8]}/{table.name}"
    return [rows, *(f"{rows}/{index.name}" for index in table.indexes)]

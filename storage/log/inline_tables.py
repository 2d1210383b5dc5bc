"""Tables in the log's own environment, changed in the transaction that writes the events they come from.

Database `inline` holds `model/<name>` (fingerprint and databases, packed) and `position/<name>` (eight bytes,
big-endian: the last event that the tables include). Every batch with events moves all positions, so a model that was
not there when events were written is known to be behind. Opened and written by the log, under its locks.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Sequence

import lmdb
import msgpack

from storage.codec.codec import Codec
from storage.errors import DamagedStore, InvalidSchema, SnapshotClosed
from storage.files.error_translation import translate
from storage.log.inline_batch import InlineBatch
from storage.log.inline_catalog import MODEL, POSITION, TABLES, stored_models, table_databases
from storage.log.inline_snapshot import InlineSnapshot
from storage.log.read_gate import ReadGate
from storage.tables.access import Access, TableHandle, below
from storage.tables.schema import ModelSchema, TableSchema
from storage.value_text import short_repr

__all__ = ["InlineTables", "max_databases"]

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
        gate: ReadGate,
        live_environment: Callable[[], lmdb.Environment],
    ) -> None:
        """`what` is what errors call the log; `live_environment` is called within `gate`, where its result stays open."""
        self.models = {model.name: model for model in models}
        self._codec = codec
        self._what = what
        self._gate = gate
        self._live_environment = live_environment
        self._handles: dict[TableSchema, TableHandle] = {}
        self._catalog: lmdb._Database | None = None
        self._open: weakref.WeakSet[Access] = weakref.WeakSet()

    # -- opening and closing --------------------------------------------------------------------------------------
    def attach(self, environment: lmdb.Environment, head: int) -> None:
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

    def attach_read_only(self, environment: lmdb.Environment) -> None:
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

    def detach(self) -> None:
        """End every transaction that reads them; the environment is about to be closed."""
        for access in list(self._open):
            access.end()
        self._handles.clear()

    def _access(self, what: str, closed: type[SnapshotClosed] = SnapshotClosed) -> Access:
        with self._gate:
            try:
                access = Access(self._live_environment().begin(), f"{what} {self._what}", closed)
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
        return InlineBatch(self.handle, lambda: self._access("a batch of"), self._codec)

    def snapshot(self, closed: type[SnapshotClosed]) -> InlineSnapshot:
        """The tables as they are on disk now. Raises StoreClosed, StorageError."""
        return InlineSnapshot(
            self._access("a snapshot of", closed), self._codec, self.models, self.named, self.positions
        )

    def write(self, txn: lmdb.Transaction, batch: InlineBatch | None, head: int | None) -> None:
        """Write a batch's rows; with `head`, the position of its last event, every model is up to there."""
        positions = {} if head is None else dict.fromkeys(self.models, head)
        if batch is not None:
            batch.write_to(txn)
            positions.update(batch.positions)
        for name, position in positions.items():
            txn.put(POSITION + name.encode(), position.to_bytes(8), db=self._catalog)


def _names(model: ModelSchema, table: TableSchema) -> list[str]:
    rows = f"{TABLES}{model.name}@{model.version}.{model.fingerprint()[:8]}/{table.name}"
    return [rows, *(f"{rows}/{index.name}" for index in table.indexes)]

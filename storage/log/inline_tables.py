"""Tables in the log's own environment, changed in the transaction that writes the events behind the changes.

Database `inline` holds `model/<name>` (fingerprint and databases, packed) and `position/<name>` (eight bytes,
big-endian: the last event that the tables include). Every batch with events advances the positions of all
models, so a model that did not exist then is known to be behind. The log opens and writes these tables, under
its locks.
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
"""More databases than the log itself has."""
CATALOG = b"inline"

logger = logging.getLogger("onewriter.inline")


def max_databases(models: Iterable[ModelSchema] | None) -> int:
    """The number of databases for which to open the environment of a log with these inline models."""
    return DATABASES + sum(1 + len(table.indexes) for model in models or () for table in model.tables)


class InlineTables:
    """The inline models of an open log. Without models it costs nothing, and changes nothing."""

    def __init__(
        self,
        models: Sequence[ModelSchema],
        codec: Codec,
        what: str,
        gate: ReadGate,
        live_environment: Callable[[], lmdb.Environment],
    ) -> None:
        """Errors call the log `what`; call `live_environment` within `gate`, where its result stays open."""
        self.models = {model.name: model for model in models}
        self._codec = codec
        self._what = what
        self._gate = gate
        self._live_environment = live_environment
        self._handles: dict[TableSchema, TableHandle] = {}
        self._catalog: lmdb._Database | None = None
        self._open: weakref.WeakSet[Access] = weakref.WeakSet()
        self.outdated: set[str] = set()
        """The models whose tables serve until the log is closed, and are dropped when it is opened. To be
        read only."""

    # -- opening and closing ---------------------------------------------------------------------------------
    def attach(self, environment: lmdb.Environment, head: int) -> None:
        """Open or create the tables, and drop those of models that are gone or changed. Raises LMDB's errors.

        `head` is the log's. If the catalog is damaged, all tables are dropped, to be filled from the log
        again.
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
            if name in self.outdated:
                continue  # opened again in the middle, where nobody would fill them
            if name not in self.models or self.models[name].fingerprint() != fingerprint:
                self._drop(environment, name, databases)
        if not self.models:
            return
        with environment.begin(write=True) as txn:
            for name, model in self.models.items():
                names = [database for table in model.tables for database in _names(model, table)]
                fingerprint = "" if name in self.outdated else model.fingerprint()
                txn.put(MODEL + name.encode(), msgpack.packb([fingerprint, names]), db=self._catalog)
                for table in model.tables:
                    rows, *indexes = (
                        environment.open_db(database.encode(), txn=txn) for database in _names(model, table)
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
            # It is opened again, because the transaction that opened it before did not complete.
            self._catalog = environment.open_db(CATALOG, txn=txn)
            txn.drop(self._catalog, delete=False)

    def attach_read_only(self, environment: lmdb.Environment) -> None:
        """Open the tables that another process created.

        Raises LMDB's errors, NotFoundError if there are none.
        """
        if not self.models:
            return
        self._catalog = environment.open_db(CATALOG, create=False)
        for name, model in self.models.items():
            for table in model.tables:
                rows, *indexes = (
                    environment.open_db(database.encode(), create=False) for database in _names(model, table)
                )
                databases = dict(zip(table.indexes, indexes, strict=True))
                self._handles[table] = TableHandle(table, f"{name}.{table.name}", rows, databases)

    def _drop(self, environment: lmdb.Environment, model: str, databases: Iterable[str]) -> None:
        """Drop one database per transaction, so that one handle is enough; the record goes last."""
        assert self._catalog is not None
        record = MODEL + model.encode()
        with environment.begin(write=True) as txn:
            # If this is interrupted, no model may use the remaining databases.
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

    def outdate(self, txn: lmdb.Transaction[bytes], models: Iterable[str]) -> None:
        """Have the tables of these models dropped when the log is opened next, to be filled again."""
        for name in models:
            model = self.models[name]
            names = [database for table in model.tables for database in _names(model, table)]
            txn.put(MODEL + name.encode(), msgpack.packb(["", names]), db=self._catalog)
            self.outdated.add(name)

    def detach(self) -> None:
        """End every transaction that reads them; call it before the environment is closed."""
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

    # -- reading and writing ---------------------------------------------------------------------------------
    def named(self, model: str, table: TableSchema) -> TableHandle:
        """The databases of the model's table with this name, whichever version of the model declared it."""
        known = self.models[model].tables if model in self.models else ()
        same = [known_table for known_table in known if known_table.name == getattr(table, "name", None)]
        return self.handle(same[0] if same else table)

    def handle(self, table: TableSchema) -> TableHandle:
        """The databases of a table. Raises InvalidSchema unless it belongs to an inline model."""
        try:
            return self._handles[table]
        except (KeyError, TypeError):
            raise InvalidSchema(
                f"table {short_repr(getattr(table, 'name', table))} is not in {self._what}; its inline "
                f"models are: {', '.join(self.models) or 'none'}"
            ) from None

    def positions(self, txn: lmdb.Transaction[bytes]) -> dict[str, int]:
        """The position of each model, 0 for a new one."""
        found = {} if self._catalog is None else dict(below(txn, self._catalog, POSITION))
        return {name: int.from_bytes(found.get(POSITION + name.encode(), b"")) for name in self.models}

    def batch(self) -> InlineBatch:
        """The tables for the next batch; the transaction to read in begins when the first one is used."""
        return InlineBatch(self.handle, lambda: self._access("a batch of"), self._codec)

    def snapshot(self, closed: type[SnapshotClosed]) -> InlineSnapshot:
        """The tables as they are on disk now. Raises StoreClosed, StorageError."""
        return InlineSnapshot(
            self._access("a snapshot of", closed), self._codec, self.models, self.named, self.positions
        )

    def write(self, txn: lmdb.Transaction, batch: InlineBatch | None, head: int | None) -> None:
        """Write a batch's rows; `head` is the position of its last event, which every model reaches."""
        positions = {} if head is None else dict.fromkeys(self.models, head)
        if batch is not None:
            batch.write_to(txn)
            positions.update(batch.positions)
        for name, position in positions.items():
            txn.put(POSITION + name.encode(), position.to_bytes(8), db=self._catalog)


def _names(model: ModelSchema, table: TableSchema) -> list[str]:
    rows = f"{TABLES}{model.name}@{model.version}.{model.fingerprint()[:8]}/{table.name}"
    return [rows, *(f"{rows}/{index.name}" for index in table.indexes)]

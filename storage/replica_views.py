"""What a replica gives out: snapshots to read from, in any thread, and transactions to write in, in one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TypeAlias

import lmdb

from storage.codec import Codec
from storage.errors import InvalidSchema
from storage.replica_models import checkpoint_key
from storage.table_access import Access, TableHandle
from storage.table_reader import TableReader
from storage.table_schema import TableSchema
from storage.table_writer import TableWriter

Handles: TypeAlias = Mapping[TableSchema, TableHandle]


class Snapshot:
    """All tables of a replica as they were at one moment. Any thread; close it soon, for it pins old pages.

    `opened` is the `time.monotonic()` of that moment. A context manager that closes itself at the end.
    """

    __slots__ = ("_access", "_models", "_meta", "_codec", "_readers", "opened")

    def __init__(
        self, access: Access, models: Mapping[str, Handles], meta: lmdb._Database, codec: Codec
    ) -> None:
        self._access = access
        self._models = models
        self._meta = meta
        self._codec = codec
        self._readers: dict[tuple[str, TableSchema], TableReader] = {}
        self.opened = time.monotonic()

    def table(self, model: str, schema: TableSchema) -> TableReader:
        """A table of a model. Raises InvalidSchema if the replica has no such model, or the model no such table."""
        try:
            return self._readers[model, schema]
        except KeyError:
            handle = _handle_of(self._models, model, schema)
            reader = self._readers[model, schema] = TableReader(self._access, handle, self._codec)
            return reader

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's tables include, 0 for none. Raises SnapshotClosed."""
        handles_of(self._models, model)
        raw = self._access.locked(lmdb.Transaction.get, checkpoint_key(model), None, self._meta)
        return int.from_bytes(raw or b"")

    @property
    def closed(self) -> bool:
        """Whether it was closed, by `close` or together with the store."""
        return self._access.txn is None

    def abandon(self) -> None:
        """As `close`, but leave LMDB's transaction alone: in a forked child it is the parent's."""
        self._access.abandon()

    def close(self) -> None:
        """End it, from any thread: a read that is under way in another thread ends first, later ones raise."""
        self._access.end()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Writers(dict[TableSchema, TableWriter]):
    """The writers of a model's tables in one transaction, made when they are first asked for."""

    def __init__(self, access: Access, models: Mapping[str, Handles], model: str, codec: Codec) -> None:
        super().__init__()
        self._access, self._models, self._model, self._codec = access, models, model, codec

    def __missing__(self, schema: TableSchema) -> TableWriter:
        handle = _handle_of(self._models, self._model, schema)
        writer = self[schema] = TableWriter(self._access, handle, self._codec)
        return writer


class WriteTransaction:
    """Changes to tables and checkpoints that are committed together. The thread that began it only."""

    def __init__(
        self, access: Access, models: Mapping[str, Handles], meta: lmdb._Database, codec: Codec
    ) -> None:
        self._access = access
        self._models = models
        self._meta = meta
        self._codec = codec
        self._writers: dict[str, _Writers] = {}

    def tables(self, model: str) -> Mapping[TableSchema, TableWriter]:
        """The tables of a model, by schema. Raises InvalidSchema for an unknown model, and later for a table."""
        try:
            return self._writers[model]
        except KeyError:
            handles_of(self._models, model)
            writers = self._writers[model] = _Writers(self._access, self._models, model, self._codec)
            return writers

    def checkpoint(self, model: str) -> int:
        """The checkpoint of a model as this transaction has it."""
        handles_of(self._models, model)
        raw = self._access.locked(lmdb.Transaction.get, checkpoint_key(model), None, self._meta)
        return int.from_bytes(raw or b"")

    def set_checkpoint(self, model: str, position: int) -> None:
        """Note that the model's tables include all events up to `position`."""
        handles_of(self._models, model)
        self._access.locked(_put, checkpoint_key(model), position.to_bytes(8), self._meta)

    def flush(self) -> None:
        """Write out what the tables hold back, so that what cannot be encoded or indexed raises here and now."""
        for writers in self._writers.values():
            for writer in writers.values():
                writer.flush()


def handles_of(models: Mapping[str, Handles], model: str) -> Handles:
    """The tables of a model; raises InvalidSchema if the replica has no such model."""
    try:
        return models[model]
    except KeyError:
        known = ", ".join(models) or "none"
        raise InvalidSchema(f"the replica has no read model {model!r}; it has: {known}") from None


def _handle_of(models: Mapping[str, Handles], model: str, schema: TableSchema) -> TableHandle:
    handles = handles_of(models, model)
    try:
        return handles[schema]
    except (KeyError, TypeError):
        known = ", ".join(table.name for table in handles) or "none"
        raise InvalidSchema(f"read model {model!r} has no table {schema!r}; it has: {known}") from None


def _put(txn: lmdb.Transaction[bytes], key: bytes, value: bytes, db: lmdb._Database) -> None:
    txn.put(key, value, db=db)

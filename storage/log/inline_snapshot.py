"""Inline tables as one read transaction sees them. Any thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NoReturn

import lmdb

from storage.codec.codec import Codec
from storage.errors import InvalidSchema
from storage.tables.access import Access, TableHandle
from storage.tables.reader import TableReader
from storage.tables.schema import ModelSchema, TableSchema

__all__ = ["InlineSnapshot"]


class InlineSnapshot:
    """Inline tables as they were at one moment, like a replica's snapshot. Any thread; close it soon."""

    __slots__ = ("_access", "_codec", "_handle_of", "_models", "_positions", "_readers", "opened")

    def __init__(
        self,
        access: Access,
        codec: Codec,
        models: Mapping[str, ModelSchema],
        handle_of: Callable[[str, TableSchema], TableHandle],
        positions: Callable[[lmdb.Transaction[bytes]], dict[str, int]],
    ) -> None:
        """`handle_of` gives the databases of a model's table; `positions` gives each model's position."""
        self._access = access
        self._codec = codec
        self._models = models
        self._handle_of = handle_of
        self._readers: dict[TableSchema, TableReader] = {}
        self._positions = access.locked(positions)
        self.opened = time.monotonic()

    def table(self, model: str, schema: TableSchema) -> TableReader:
        """A table of an inline model, found by its name. Raises InvalidSchema, SnapshotClosed."""
        found = self._readers.get(schema)
        if found is None:
            found = self._readers[schema] = TableReader(
                self._access, self._handle_of(model, schema), self._codec
            )
        return found

    def target(self, model: str) -> NoReturn:
        """Always raises InvalidSchema: an inline model has only tables."""
        raise InvalidSchema(f"inline model {model!r} has tables only")

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's tables include."""
        return self._positions[model]

    def version(self, model: str) -> int:
        """The version of the model whose code filled the tables."""
        return self._models[model].version

    @property
    def read_failed(self) -> bool:
        """As `Snapshot.read_failed`."""
        return self._access.read_failed

    @property
    def closed(self) -> bool:
        """Whether it was closed, by `close` or together with the log."""
        return self._access.txn is None

    def close(self) -> None:
        """End it, from any thread: a read in progress ends first, later ones raise."""
        self._access.end()

    def __enter__(self) -> InlineSnapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def abandon(self) -> None:
        """As `close`, but without touching LMDB's transaction: in a forked child it is the parent's."""
        self._access.abandon()

"""An open build of a replica, and the mark that records its position.

The thread that applies events creates it; any thread reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from storage.engines.base import ModelStore
from storage.replica.builds import Build, checkpoint_key
from storage.tables.access import TableHandle
from storage.tables.schema import TableSchema

__all__ = ["OpenBuild", "BuildMark"]


class OpenBuild:
    """An open build: its LMDB tables, or the store of another engine."""

    __slots__ = ("build", "by_name", "checkpoint_key", "key", "store", "tables")

    def __init__(
        self, build: Build, tables: Mapping[TableSchema, TableHandle], store: ModelStore | None = None
    ) -> None:
        self.build = build
        self.key = build.key
        self.checkpoint_key = checkpoint_key(build.key)
        self.tables = tables
        self.by_name = {schema.name: handle for schema, handle in tables.items()}
        self.store = store

    def mark(self, checkpoint: int) -> BuildMark:
        """Its present mark; `checkpoint` is its position in LMDB, another engine's store knows its own."""
        if self.store is None:
            return checkpoint, checkpoint, {}
        names = ["", *(schema.name for schema in self.build.stored_schema.objects)]
        changed = {name: self.store.changed(name) for name in names}
        return self.store.checkpoint, changed[""], changed


BuildMark: TypeAlias = tuple[int, int, Mapping[str, int]]
"""A build's checkpoint, its checkpoint when it was opened, and when each table changed last since then.

The last is a map from the table's name to a position, with that of any table under "". A mark is a plain
tuple, since each commit makes one for each build.
"""

"""A build that is open in a replica, and the mark that says how far it is.

Made by the thread that applies; any thread reads.
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
    """A build that is open: its LMDB tables, or the store of another engine."""

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
        """Where it is now: at `checkpoint` for one in LMDB, another engine's store knows by itself."""
        if self.store is None:
            return checkpoint, checkpoint, {}
        names = ["", *(one.name for one in self.build.stored_schema.objects)]
        changed = {name: self.store.changed(name) for name in names}
        return self.store.checkpoint, changed[""], changed


BuildMark: TypeAlias = tuple[int, int, Mapping[str, int]]
"""How far a build is: its checkpoint, the checkpoint when it was opened, and the positions at which its tables last
changed since then, by name, that of any of them under "". A plain tuple, since each commit makes one for each build."""

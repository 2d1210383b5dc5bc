"""Snapshots of a replica, to read from. Any thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import lmdb

from storage.codec.codec import Codec
from storage.engines.base import ModelSnapshot
from storage.errors import InvalidSchema
from storage.replica.build_changes import content_of
from storage.replica.commit_state import CommitState
from storage.replica.open_build import OpenBuild
from storage.tables.access import Access
from storage.tables.changes import CONTENT_BITS
from storage.tables.reader import TableReader
from storage.tables.schema import Row, TableSchema

P = ParamSpec("P")
T = TypeVar("T")


class Snapshot:
    """The active builds of a replica at one moment. Any thread; close it soon, as it pins old pages.

    `opened` is the `time.monotonic()` of that moment; `state` is what the replica knew about itself then. A
    context manager that closes itself at the end.
    """

    __slots__ = ("__weakref__", "_access", "_codec", "_others", "_readers", "opened", "state")

    def __init__(
        self, access: Access, state: CommitState, codec: Codec, others: Mapping[str, ModelSnapshot]
    ) -> None:
        self._access = access
        self._codec = codec
        self._others = others
        self._readers: dict[tuple[str, TableSchema], TableReader] = {}
        self.state = state
        self.opened = time.monotonic()

    def table(self, model: str, schema: TableSchema) -> TableReader:
        """The table with this schema's name in the active build of a model, with the indexes of that build.

        Raises InvalidSchema if the replica has no such model, or the build has no such table.
        """
        reader = self._readers.get((model, schema))
        if reader is None:
            handle = self.state.table(model, schema)
            reader = self._readers[model, schema] = TableReader(self._access, handle, self._codec)
        return reader

    def target(self, model: str) -> Any:
        """What queries of a model in another engine read: a read-only connection, or objects.

        Raises InvalidSchema for a model of tables, and for a model that the snapshot was not taken for.
        """
        self._access.live()
        try:
            return self._others[model].target
        except KeyError:
            engine = self.state.opened(model).build.stored_schema.engine
            why = "it has tables" if engine == "lmdb" else "name it when the snapshot is taken"
            raise InvalidSchema(
                f"read model {model!r} is not open in this snapshot as a whole: {why}"
            ) from None

    def checkpoint(self, model: str) -> int:
        """The position of the last event in the model's active build, 0 for none. Raises SnapshotClosed."""
        if self._access.txn is None:
            self._access.live()
        if model in self._others:
            return self._others[model].checkpoint
        return self.state.checkpoint(model)

    def checkpoints(self, models: Collection[str]) -> tuple[int, int]:
        """The lowest and the highest checkpoint of these models, 0 without models; as `checkpoint`."""
        found = [self.checkpoint(model) for model in models]
        if len(found) == 1:
            return found[0], found[0]
        return min(found, default=0), max(found, default=0)

    def changed(self, model: str, name: str = "") -> int:
        """An upper bound of the position that last changed a table or object of the model, or any for ""."""
        other = self._others.get(model)
        return self.state.changed(model, name) if other is None else other.changed(name)

    def version(self, model: str) -> int:
        """The version of the model's code that filled the active build."""
        return self.state.version(model)

    def build(self, model: str) -> str:
        """The key of the build that was active."""
        return self.state.build(model)

    @property
    def closed(self) -> bool:
        """Whether it was closed, by `close` or together with the store."""
        return self._access.txn is None

    @property
    def read_failed(self) -> bool:
        """Whether a read of a table raised an error that does not depend on its rows and may not recur."""
        return self._access.read_failed

    def abandon(self) -> None:
        """As `close`, but without touching the files: in a forked child they are the parent's."""
        self._access.abandon()
        for other in self._others.values():
            other.abandon()

    def close(self) -> None:
        """End it, from any thread: a read in progress in another thread ends first, later ones raise."""
        self._access.end()
        for other in self._others.values():
            other.close()

    def digest(self, model: str) -> str:
        """A digest of all rows of a model, which takes reading them: equal for equal rows at one checkpoint.

        Raises InvalidSchema for a model that the replica does not have, or not in tables.
        """
        opened = self.state.opened(model)
        if opened.build.stored_schema.engine != "lmdb":
            raise InvalidSchema(f"read model {model!r} is not kept in tables, so its rows have no digest")
        content = self._access.locked(content_of, list(opened.tables.values()))
        return f"{content:0{CONTENT_BITS // 4}x}"

    def locked(
        self, read: Callable[Concatenate[lmdb.Transaction[bytes], P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `read` with LMDB's transaction, which cannot end meanwhile. Raises as `Access.locked`."""
        return self._access.locked(read, *args, **kwargs)

    def rows(self, opened: OpenBuild) -> dict[str, list[Row]]:
        """All rows of a build's tables in key order, by the table's name."""
        readers = {
            name: TableReader(self._access, handle, self._codec) for name, handle in opened.by_name.items()
        }
        return {name: list(reader.all()) for name, reader in readers.items()}

    def reads(self, opened: OpenBuild) -> bool:
        """Whether it is open and reads this build, which belongs to another engine."""
        return not self.closed and self.state.active.get(opened.build.model) is opened

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

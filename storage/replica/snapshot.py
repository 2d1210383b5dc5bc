"""What a replica gives out: snapshots to read from, in any thread, and transactions to write in, in one."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

from storage.codec.codec import Codec
from storage.engines.base import ModelSnapshot
from storage.errors import InvalidSchema
from storage.log.history import pack_checkpoint
from storage.replica.commit_state import Mark, Moment, OpenBuild
from storage.replica.open_builds import Holdings
from storage.tables.access import Access
from storage.tables.reader import TableReader
from storage.tables.schema import Row, TableSchema
from storage.tables.writer import TableWriter
from storage.value_text import short_repr


class Snapshot:
    """The active builds of a replica as they were at one moment. Any thread; close it soon, for it pins old pages.

    `opened` is the `time.monotonic()` of that moment, `state` what the replica knew of itself then. A context
    manager that closes itself at the end.
    """

    __slots__ = ("__weakref__", "_access", "_codec", "_others", "_readers", "opened", "state")

    def __init__(
        self, access: Access, state: Moment, codec: Codec, others: Mapping[str, ModelSnapshot]
    ) -> None:
        self._access = access
        self._codec = codec
        self._others = others
        self._readers: dict[tuple[str, TableSchema], TableReader] = {}
        self.state = state
        self.opened = time.monotonic()

    def table(self, model: str, schema: TableSchema) -> TableReader:
        """The table of this schema's name in the active build of a model, with the indexes that this build has.

        Raises InvalidSchema if the replica has no such model, or the build no such table.
        """
        reader = self._readers.get((model, schema))
        if reader is None:
            handle = self.state.table(model, schema)
            reader = self._readers[model, schema] = TableReader(self._access, handle, self._codec)
        return reader

    def target(self, model: str) -> Any:
        """What queries of a model get that another engine keeps: its read-only connection, or its objects.

        Raises InvalidSchema for a model of tables, and for one that the snapshot was not taken for.
        """
        self._access.live()
        try:
            return self._others[model].target
        except KeyError:
            engine = self.state.opened(model).build.kept.engine
            why = "it has tables" if engine == "lmdb" else "name it when the snapshot is taken"
            raise InvalidSchema(
                f"read model {model!r} is not open in this snapshot as a whole: {why}"
            ) from None

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's active build includes, 0 for none. Raises SnapshotClosed."""
        if self._access.txn is None:
            self._access.live()
        if model in self._others:
            return self._others[model].checkpoint
        return self.state.checkpoint(model)

    def checkpoints(self, models: Collection[str]) -> tuple[int, int]:
        """The lowest and the highest checkpoint of these models, 0 of none; as `checkpoint`."""
        found = [self.checkpoint(model) for model in models]
        if len(found) == 1:
            return found[0], found[0]
        return min(found, default=0), max(found, default=0)

    def changed(self, model: str, name: str = "") -> int:
        """An upper bound of the position that last changed a table or object of the model, any of them for ""."""
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

    def abandon(self) -> None:
        """As `close`, but leave the files alone: in a forked child they are the parent's."""
        self._access.abandon()
        for other in self._others.values():
            other.abandon()

    def close(self) -> None:
        """End it, from any thread: a read that is under way in another thread ends first, later ones raise."""
        self._access.end()
        for other in self._others.values():
            other.close()

    def rows(self, opened: OpenBuild) -> dict[str, list[Row]]:
        """All rows of a build's tables in key order, by the table's name."""
        readers = {name: TableReader(self._access, one, self._codec) for name, one in opened.by_name.items()}
        return {name: list(reader.all()) for name, reader in readers.items()}

    def reads(self, opened: OpenBuild) -> bool:
        """Whether it is open and reads this build, which is kept by another engine."""
        return not self.closed and self.state.active.get(opened.build.model) is opened

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Writers(dict[TableSchema, TableWriter]):
    """The writers of a build's tables in one transaction, made when they are first asked for."""

    def __init__(self, access: Access, opened: OpenBuild, codec: Codec) -> None:
        super().__init__()
        self._access, self._opened, self._codec = access, opened, codec

    def __missing__(self, schema: TableSchema) -> TableWriter:
        try:
            handle = self._opened.tables[schema]
        except (KeyError, TypeError):
            known = ", ".join(self._opened.by_name) or "none"
            raise InvalidSchema(
                f"read model {self._opened.build.model!r} has no table {short_repr(schema)}; it has: {known}"
            ) from None
        writer = self[schema] = TableWriter(self._access, handle, self._codec)
        return writer


class WriteTransaction:
    """Changes to builds and their checkpoints that are committed together. The thread that began it only.

    A build is named by its key; a model's name stands for its active build.
    """

    __slots__ = (
        "_access",
        "_codec",
        "_held",
        "_targets",
        "_writers",
        "checkpoints",
        "digests",
        "others",
        "positions",
    )

    def __init__(self, access: Access, held: Holdings, codec: Codec) -> None:
        self._access = access
        self._held = held
        self._codec = codec
        self._targets: dict[str, Any] = {}
        self._writers: dict[str, _Writers] = {}
        self.positions: dict[str, int] = {}
        """The checkpoints that were set, by key."""
        self.digests: dict[str, bytes] = {}
        """Those of the events there, as far as they are known."""
        self.checkpoints: list[tuple[bytes, bytes]] = []
        """What is stored of those of LMDB's builds, to be written by the commit."""
        self.others: dict[str, OpenBuild] = {}
        """The builds of other engines that take part, by key."""

    def target(self, build: str) -> Any:
        """What projections of a build get: its tables by schema, or the connection or the objects of another engine.

        Raises InvalidSchema for a build that is unknown or frozen, and later for a table; StorageError.
        """
        try:
            return self._targets[build]
        except KeyError:
            opened = self._held.opened(build)
        key = opened.key
        if key != build:
            target = self._targets[build] = self.target(key)
        elif opened.build.schema is None:
            raise InvalidSchema(f"the code of build {key} is gone: nothing can be applied to it any more")
        elif opened.store is None:
            target = self._targets[key] = self._writers[key] = _Writers(self._access, opened, self._codec)
        else:
            self._access.live()
            target = self._targets[key] = opened.store.begin()
            self.others[key] = opened
        return target

    def tables(self, build: str) -> Mapping[TableSchema, TableWriter]:
        """The tables of a build in LMDB; as `target`."""
        tables: Mapping[TableSchema, TableWriter] = self.target(build)
        return tables

    def checkpoint(self, build: str) -> int:
        """The checkpoint of a build as this transaction has it."""
        self._access.live()
        key = self._held.opened(build).key
        return self.positions.get(key, self._held.state.marks[key][0])

    def set_checkpoint(self, build: str, position: int, digest: bytes = b"") -> None:
        """Note that the build includes all events up to `position`; `digest` is that of the event there, if known."""
        if self._access.txn is None:
            self._access.live()
        if build in self._writers:  # nearly always: by the key of one that events were applied to
            self.positions[build], self.digests[build] = position, digest
            return
        opened = self._held.opened(build)
        if opened.store is not None:
            self.target(opened.key)
        self.positions[opened.key], self.digests[opened.key] = position, digest

    def flush(self) -> None:
        """Write out what the tables hold back, so that what cannot be encoded or indexed raises here and now."""
        for writers in self._writers.values():
            for writer in writers.values():
                writer.flush()
        for opened in self.others.values():
            assert opened.store is not None
            opened.store.flush()

    def settle(self) -> dict[str, Mark]:
        """Flush, put `checkpoints` together, and return the marks of LMDB's builds as the commit will leave them."""
        self.flush()
        held = self._held
        before = held.state.marks
        marks: dict[str, Mark] = {}
        for key, position in self.positions.items():
            if key not in self.others:
                _, since, changed = before[key]
                marks[key] = position, since, changed
                self.checkpoints.append(
                    (held.builds[key].checkpoint_key, pack_checkpoint(position, self.digests[key]))
                )
        for key, writers in self._writers.items():
            for schema, writer in writers.items():
                if writer.changed:
                    position, since, changed = marks.get(key) or before[key]
                    marks[key] = position, since, {**changed, schema.name: position, "": position}
        return marks

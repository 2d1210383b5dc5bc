"""Transactions that change builds of a replica together with their checkpoints.

The thread that applies events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.codec.codec import Codec
from storage.errors import InvalidSchema
from storage.log.history import pack_checkpoint
from storage.replica.builds import engine_checkpoint_key
from storage.replica.open_build import BuildMark, OpenBuild
from storage.replica.open_builds import OpenBuilds
from storage.tables.access import Access
from storage.tables.schema import TableSchema
from storage.tables.writer import TableWriter
from storage.value_text import short_repr

__all__ = []


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
    """Changes to builds and their checkpoints that are committed together. Only the thread that began it.

    A build is given by its key; a model's name means its active build.
    """

    __slots__ = (
        "_access",
        "_codec",
        "_builds",
        "_targets",
        "_writers",
        "checkpoints",
        "digests",
        "in_other_engines",
        "positions",
    )

    def __init__(self, access: Access, builds: OpenBuilds, codec: Codec) -> None:
        self._access = access
        self._builds = builds
        self._codec = codec
        self._targets: dict[str, Any] = {}
        self._writers: dict[str, _Writers] = {}
        self.positions: dict[str, int] = {}
        """The new checkpoints, by key."""
        self.digests: dict[str, bytes] = {}
        """The digests of the events there, as far as they are known."""
        self.checkpoints: list[tuple[bytes, bytes]] = []
        """The records of new checkpoints of LMDB's builds, which the commit writes."""
        self.in_other_engines: dict[str, OpenBuild] = {}
        """The builds of other engines that take part, by key."""

    def target(self, build: str) -> Any:
        """The second parameter of a build's projections: its tables by schema, or a connection or objects.

        Raises InvalidSchema for a build that is unknown or frozen, and later for an unknown table;
        StorageError.
        """
        try:
            return self._targets[build]
        except KeyError:
            opened = self._builds.opened(build)
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
            self.in_other_engines[key] = opened
        return target

    def tables(self, build: str) -> Mapping[TableSchema, TableWriter]:
        """The tables of a build in LMDB; raises as `target` does."""
        tables: Mapping[TableSchema, TableWriter] = self.target(build)
        return tables

    def checkpoint(self, build: str) -> int:
        """The checkpoint of a build within this transaction."""
        self._access.live()
        key = self._builds.opened(build).key
        return self.positions.get(key, self._builds.state.marks[key][0])

    def set_checkpoint(self, build: str, position: int, digest: bytes = b"") -> None:
        """Record that the build includes all events up to `position`; `digest` is of that event, if known."""
        if self._access.txn is None:
            self._access.live()
        if build in self._writers:  # the usual case: the key of a build to which events were applied
            self.positions[build], self.digests[build] = position, digest
            return
        opened = self._builds.opened(build)
        if opened.store is not None:
            self.target(opened.key)
        self.positions[opened.key], self.digests[opened.key] = position, digest

    def flush(self) -> None:
        """Write all buffered rows, so that a row that cannot be encoded or indexed raises now."""
        for writers in self._writers.values():
            for writer in writers.values():
                writer.flush()
        for opened in self.in_other_engines.values():
            assert opened.store is not None
            opened.store.flush()

    def settle(self) -> dict[str, BuildMark]:
        """Flush, prepare `checkpoints`, and return the marks that the commit will give LMDB's builds."""
        self.flush()
        builds = self._builds
        before = builds.state.marks
        marks: dict[str, BuildMark] = {}
        for key, position in self.positions.items():
            if key not in self.in_other_engines:
                _, since, changed = before[key]
                marks[key] = position, since, changed
                self.checkpoints.append(
                    (builds.builds[key].checkpoint_key, pack_checkpoint(position, self.digests[key]))
                )
        for key, writers in self._writers.items():
            for schema, writer in writers.items():
                if writer.changed:
                    position, since, changed = marks.get(key) or before[key]
                    marks[key] = position, since, {**changed, schema.name: position, "": position}
        return marks

    def commit_other_engines(self, marks: dict[str, BuildMark]) -> None:
        """Commit the builds of other engines, one by one, and add to `marks` and `checkpoints`."""
        for key, opened in self.in_other_engines.items():
            store = opened.store
            assert store is not None
            if key in self.positions:
                store.commit(self.positions[key], self.digests.get(key, b""))
            else:
                store.commit(store.checkpoint, store.digest)
            marks[key] = mark = opened.mark(0)
            self.checkpoints.append((engine_checkpoint_key(key), pack_checkpoint(mark[0])))

    def abort_other_engines(self) -> None:
        """Undo the changes to builds of other engines, except those that are committed already."""
        for opened in self.in_other_engines.values():
            assert opened.store is not None
            opened.store.abort()
        if self.in_other_engines:
            self._builds.refresh_marks(self.in_other_engines)

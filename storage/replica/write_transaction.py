"""Transactions that change builds of a replica together with their checkpoints.

The thread that applies events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lmdb

from storage.codec.codec import Codec
from storage.errors import InvalidSchema
from storage.log.history import pack_checkpoint
from storage.replica.build_changes import BuildChanges, Content, code_of, content_after, make_build_changes
from storage.replica.build_copy import copy_tables
from storage.replica.builds import engine_checkpoint_key
from storage.replica.open_build import BuildMark, OpenBuild
from storage.replica.open_builds import OpenBuilds
from storage.tables.access import Access
from storage.tables.changes import TableChanges
from storage.tables.schema import TableSchema
from storage.tables.writer import TableWriter
from storage.value_text import short_repr

__all__ = []


class _Writers(dict[TableSchema, TableWriter]):
    """The writers of a build's tables in one transaction, made when they are first asked for."""

    def __init__(self, access: Access, opened: OpenBuild, codec: Codec, record: bool) -> None:
        super().__init__()
        self._access, self._opened, self._codec, self._record = access, opened, codec, record

    def __missing__(self, schema: TableSchema) -> TableWriter:
        try:
            handle = self._opened.tables[schema]
        except (KeyError, TypeError):
            known = ", ".join(self._opened.by_name) or "none"
            raise InvalidSchema(
                f"read model {self._opened.build.model!r} has no table {short_repr(schema)}; it has: {known}"
            ) from None
        writer = self[schema] = TableWriter(self._access, handle, self._codec, self._record)
        return writer

    def recorded(self) -> list[TableChanges]:
        """What was written so far; the order of tables does not matter, that of one table's flushes does."""
        return [changes for writer in self.values() for changes in writer.recorded or ()]


class WriteTransaction:
    """Changes to builds and their checkpoints that are committed together. Only the thread that began it.

    A build is given by its key; a model's name means its active build.
    """

    __slots__ = (
        "_access",
        "_codec",
        "_builds",
        "_changes",
        "_copied",
        "_record",
        "_targets",
        "_writers",
        "checkpoints",
        "contents",
        "digests",
        "in_other_engines",
        "positions",
        "recorded",
    )

    def __init__(self, access: Access, builds: OpenBuilds, codec: Codec, record: bool = False) -> None:
        """`record`: keep what is changed, in `recorded`."""
        self._record = record
        self.recorded: list[BuildChanges] = []
        """After `settle`, if it records: what the projections changed in LMDB's builds."""
        self._changes: dict[str, list[BuildChanges]] = {}
        """What other replicas changed, made here too, by key."""
        self._copied: dict[str, Content] = {}
        """The content of builds that were copied from another replica, by key."""
        self.contents: dict[str, Content] = {}
        """The content of LMDB's builds after the commit, by key, as far as it is known."""
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
            if self._record:
                # Before anything is written: it may have to be found by reading all rows.
                self._access.locked(self._builds.content, opened)
            target = self._targets[key] = self._writers[key] = _Writers(
                self._access, opened, self._codec, self._record
            )
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

    def content(self, build: str) -> Content | None:
        """The content of a build in LMDB when the transaction began, None if it is not kept.

        It is found by reading all rows if that was never done.
        """
        return self._access.locked(self._builds.content, self._builds.opened(build)) if self._record else None

    def make_changes(self, build: str, changes: Sequence[BuildChanges]) -> None:
        """Make what another replica's transactions changed in a build of the same code, in their order.

        The caller has compared `content`, and sets the checkpoint. Raises DamagedStore, StoreFull.
        """
        opened = self._builds.opened(build)
        for one in changes:
            self._access.locked(make_build_changes, opened, one)
        self._changes.setdefault(opened.key, []).extend(changes)

    def copy_tables(
        self, build: str, source_txn: lmdb.Transaction[bytes], source: OpenBuild, content: Content
    ) -> None:
        """Replace a build's tables by those of another replica's build of the same code, with this content.

        The only change of the build in this transaction but for its checkpoint, which the caller sets.
        Raises StoreFull, StorageError.
        """
        opened = self._builds.opened(build)
        self._access.locked(copy_tables, opened, source_txn, source)
        self._copied[opened.key] = content

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
                content = self._record_build(key, before[key][0]) if self._record else None
                self.checkpoints.append(
                    (builds.builds[key].checkpoint_key, pack_checkpoint(position, self.digests[key], content))
                )
        for key, writers in self._writers.items():
            for schema, writer in writers.items():
                if writer.changed:
                    position, since, changed = marks.get(key) or before[key]
                    marks[key] = position, since, {**changed, schema.name: position, "": position}
        for key in self._copied:
            position = (marks.get(key) or before[key])[0]
            marks[key] = position, position, {}
        for key, made in self._changes.items():
            position, since, changed = marks.get(key) or before[key]
            touched = {table.table for one in made for table in one.tables}
            if touched:
                marks[key] = position, since, {**changed, **dict.fromkeys((*touched, ""), position)}
        return marks

    def _record_build(self, key: str, after: int) -> Content:
        """Note what was changed in a build since its checkpoint `after`; returns its content."""
        made, copied = self._changes.get(key), self._copied.get(key)
        if made or copied is not None:
            content = self.contents[key] = made[-1].content if made else copied or 0
            return content
        before = self._access.locked(self._builds.content, self._builds.builds[key])
        writers = self._writers.get(key)
        tables = [] if writers is None else writers.recorded()
        content = self.contents[key] = content_after(before, tables)
        self.recorded.append(
            BuildChanges(code_of(key), after, self.positions[key], self.digests[key], before, content, tables)
        )
        return content

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

"""The open builds of a replica, and its states from commit to commit. It has no lock: see `replica_store`.

The thread that applies events changes them; any thread may read `state` and begin a read. The data that a
reader finds in LMDB and the `CommitState` that it gets belong together: both have the number of the
transaction that made them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import lmdb

from storage.codec.codec import Codec
from storage.errors import DamagedStore, StorageError, StoreFull
from storage.files.environment import translate
from storage.files.header import META_DB
from storage.log.history import History, pack_checkpoint
from storage.replica.build_changes import Content, content_of
from storage.replica.builds import Build, Layout, engine_checkpoint_key, next_generation
from storage.replica.catalog import (
    AGAIN,
    database_names,
    open_table,
    stored_checkpoints,
    stored_contents,
    write_active,
    write_build,
    write_retired,
    write_reused,
)
from storage.replica.commit_state import CommitState
from storage.replica.engine_builds import delete_engine_store, open_engine_store
from storage.replica.open_build import BuildMark, OpenBuild
from storage.tables.access import Access

__all__ = ["OpenBuilds", "spare_databases"]

SPARE_GENERATIONS = 3
"""There is space for so many further builds of all models at a time; each database costs a little memory.

Further builds use the databases of dropped ones. Snapshots that still read such a build read an older state
of LMDB, in which it is complete.
"""


def spare_databases(layout: Layout) -> int:
    """How many databases to leave space for, for builds that begin while the replica is open."""
    wanted = [layout.builds[key] for key in layout.wanted.values()]
    return SPARE_GENERATIONS * sum(len(database_names(build)) for build in wanted)


class OpenBuilds:
    """The open builds by key, the wanted build of each model, and the state after the last commit.

    Raises StoreFull, StorageError, and what the engines of the builds raise when they are opened.
    """

    def __init__(
        self, path: Path, environment: lmdb.Environment, layout: Layout, codec: Codec, history: History
    ) -> None:
        self.path = path
        self.environment = environment
        self.builds: Mapping[str, OpenBuild] = {}
        self.other_engines: frozenset[str] = frozenset()
        """The models with a build in another engine than LMDB."""
        self.retired: list[OpenBuild] = []
        """Dropped builds of other engines, whose files stay as long as a snapshot reads them."""
        self.reset_reason: str | None = None
        """Why another engine's build had to be reset."""
        self._codec = codec
        self._history = history
        self._spare = spare_databases(layout)
        self._emptied: list[str] = []
        try:
            with environment.begin(write=True) as txn:
                self.meta = environment.open_db(META_DB, txn=txn)
                checkpoints = stored_checkpoints(txn, self.meta)
                self.contents: dict[str, Content] = stored_contents(txn, self.meta)
                """The contents of the builds after the last commit, by key, as far as they are known."""
                builds = {
                    key: self._open(txn, build, checkpoints.get(key)) for key, build in layout.builds.items()
                }
        except lmdb.NotFoundError as error:
            raise DamagedStore(f"{path} lacks tables that it had ({error}); {AGAIN}") from error
        except lmdb.Error as error:
            raise translate(error, f"opening the tables of {path}", path) from error
        self._hold(builds)
        try:
            for opened in builds.values():
                reason = self._open_store(opened)
                self.reset_reason = self.reset_reason or reason
            marks = {key: opened.mark(checkpoints.get(key, 0)) for key, opened in builds.items()}
            self._note_elsewhere(marks)
        except BaseException:
            self.close()
            raise
        self.wanted: Mapping[str, OpenBuild] = {model: builds[key] for model, key in layout.wanted.items()}
        active = {model: builds[key] for model, key in layout.active.items()}
        self.state = self._pending = CommitState(self._last_commit(), active, marks)

    # -- reading: any thread ---------------------------------------------------------------------------------
    def begin_read(self) -> tuple[lmdb.Transaction[bytes], CommitState]:
        """A read transaction, and the state that it shows."""
        while True:
            state = self.state
            txn = self.environment.begin()
            number = txn.id()
            if state.txn_id == number:
                return txn, state
            for state in (self._pending, self.state):
                if state.txn_id == number:
                    return txn, state
            txn.abort()  # two commits came in between

    def opened(self, build: str) -> OpenBuild:
        """The build of this key, or the active build of the model of this name. Raises InvalidSchema."""
        return self.builds.get(build) or self.state.opened(build)

    def checkpoints(self, builds: Mapping[str, OpenBuild]) -> dict[str, int]:
        """The positions of those of these builds that still exist, under the same names."""
        marks = self.state.marks
        return {
            name: marks[opened.key][0] if opened.store is None else opened.store.checkpoint
            for name, opened in builds.items()
            if opened.key in marks  # not if it was just dropped
        }

    def content(self, txn: lmdb.Transaction[bytes], opened: OpenBuild) -> Content:
        """The content of a build in LMDB; if it is not known, `txn` reads all rows."""
        found = self.contents.get(opened.key)
        if found is None:
            found = self.contents[opened.key] = content_of(txn, list(opened.tables.values()))
        return found

    # -- changing: one thread --------------------------------------------------------------------------------
    def begin_write(self) -> Access:
        """Begin a write transaction of LMDB; the caller must end it."""
        what = f"the write transaction of {self.path}"
        try:
            txn = self.environment.begin(write=True)
        except lmdb.Error as error:
            raise translate(error, f"beginning {what}", self.path) from error
        return Access(txn, what, path=self.path)

    def commit(
        self,
        access: Access,
        marks: Mapping[str, BuildMark],
        active: Mapping[str, OpenBuild] | None = None,
        entries: Sequence[tuple[bytes, bytes]] = (),
        contents: Mapping[str, Content] | None = None,
    ) -> None:
        """Commit LMDB's transaction; from then on these builds have these marks, and these builds are active.

        Before that, `entries` are written into the database `meta`. `contents` are those of builds with new
        checkpoints, if they are kept.
        """
        state = self.state
        after = CommitState(access.live().id(), active or state.active, {**state.marks, **marks})
        self._pending = after
        known = {**self.contents, **(contents or {})}
        try:
            access.locked(_commit, entries, self.meta)
        except BaseException:
            if self._last_commit() == after.txn_id:
                self.state, self.contents = after, known
            raise
        self.contents = known
        if not entries:
            after.txn_id = self._last_commit()  # if there was nothing to write, it is the previous one
        self.state = after

    def refresh_marks(self, builds: Mapping[str, OpenBuild]) -> None:
        """Update the marks of these builds of other engines, if LMDB's tables did not change."""
        state = self.state
        marks = {key: opened.mark(0) for key, opened in builds.items() if key in state.marks}
        self.state = CommitState(state.txn_id, state.active, {**state.marks, **marks})

    def start_build(self, model: str) -> Build:
        """Begin a new build of the model's wanted schema; a build that is being filled is dropped."""
        active = self.state.opened(model)
        former = self.wanted[model]
        assert former.build.schema is not None
        mine = [opened.build for opened in self.builds.values() if opened.build.model == model]
        build = Build.of(former.build.schema, next_generation(mine), self._history.corrected(model))
        names = database_names(build)
        emptied = self._emptied[: len(names)]
        needed = len(names) - len(emptied)
        build = build.reusing(names, emptied)
        if needed > self._spare:
            raise StorageError(
                f"there is no room for another build of read model {model!r} in {self.path}: "
                "close the replica and open it again, which makes room"
            )
        access = self.begin_write()
        try:
            access.locked(write_build, self.meta, build)
            access.locked(write_reused, self.meta, emptied)
            if former is not active:
                access.locked(write_retired, self.meta, former.build)
            opened = access.locked(self._open, build, None)
            self._open_store(opened)
            try:
                self.commit(access, {build.key: opened.mark(0)})
            except BaseException:
                self._discard(opened)
                raise
        finally:
            access.end()
        self._spare -= needed
        del self._emptied[: len(emptied)]
        self.wanted = {**self.wanted, model: opened}
        self._hold({**self.builds, build.key: opened})
        if former is not active:
            self._retire(former)
        return build

    def outdated(self, model: str) -> bool:
        """Whether events of the model were corrected after its wanted build was begun."""
        return self.wanted[model].build.corrected < self._history.corrected(model)

    def switch(self, build: str, lock: AbstractContextManager[Any]) -> None:
        """Make a build the active one of its model, and drop the former one."""
        opened = self.opened(build)
        model = opened.build.model
        former = self.state.active[model]
        if former is opened:
            return
        access = self.begin_write()
        try:
            access.locked(write_active, self.meta, model, opened.key)
            access.locked(write_retired, self.meta, former.build)
            with lock:
                self.commit(access, {}, {**self.state.active, model: opened})
        finally:
            access.end()
        self._retire(former)

    def sweep(self, is_read: Callable[[OpenBuild], bool]) -> None:
        """Delete the files of dropped builds that no snapshot reads any more."""
        for opened in list(self.retired):
            if not is_read(opened):
                self.retired.remove(opened)
                self._discard(opened)

    def close(self) -> None:
        """Close the stores of other engines, and delete those of dropped builds."""
        for opened in self.builds.values():
            if opened.store is not None:
                opened.store.close()
        self.sweep(lambda _: False)

    # -- inside ----------------------------------------------------------------------------------------------
    def _open(self, txn: lmdb.Transaction[bytes], build: Build, checkpoint: int | None) -> OpenBuild:
        """Open or create its tables. Raises DamagedStore if they do not belong to the checkpoint."""
        tables = {
            table: open_table(self.environment, txn, build, table, make=checkpoint is None)
            for table in build.stored_schema.tables
        }
        if checkpoint is None and any(txn.stat(handle.rows)["entries"] for handle in tables.values()):
            raise DamagedStore(
                f"the tables of build {build.key} in {self.path} have rows but no checkpoint; {AGAIN}"
            )
        return OpenBuild(build, tables)

    def _note_elsewhere(self, marks: Mapping[str, BuildMark]) -> None:
        others = [key for key, opened in self.builds.items() if opened.store is not None]
        if others:
            with self.environment.begin(write=True) as txn:
                for key in others:
                    txn.put(engine_checkpoint_key(key), pack_checkpoint(marks[key][0]), db=self.meta)

    def _open_store(self, opened: OpenBuild) -> str | None:
        if opened.build.stored_schema.engine == "lmdb":
            return None
        opened.store, reason = open_engine_store(self.path, opened.build, self._codec, self._history)
        return reason

    def _hold(self, builds: Mapping[str, OpenBuild]) -> None:
        self.builds = builds
        self.other_engines = frozenset(
            opened.build.model for opened in builds.values() if opened.build.stored_schema.engine != "lmdb"
        )

    def _retire(self, former: OpenBuild) -> None:
        key = former.key
        self._hold({other: opened for other, opened in self.builds.items() if other != key})
        if former.store is not None:
            self.retired.append(former)
        state = self.state
        marks = {other: mark for other, mark in state.marks.items() if other != key}
        # If there is no space for this now, it is removed when the replica is opened next.
        with suppress(StoreFull):
            tables = former.tables.values()
            databases = [database for table in tables for database in (table.rows, *table.indexes.values())]
            for name, database in zip(database_names(former.build), databases, strict=True):
                self._empty(database)
                self._emptied.append(name)
        self.state = CommitState(self.state.txn_id, self.state.active, marks)

    def _empty(self, database: lmdb._Database) -> None:
        # Only emptied: deleting it would close the handle with which snapshots read the former build.
        access = self.begin_write()
        try:
            access.locked(_drop, database)
            self.commit(access, {})
        finally:
            access.end()

    def _discard(self, opened: OpenBuild) -> None:
        if opened.store is not None:
            opened.store.close()
            delete_engine_store(self.path, opened.build)

    def _last_commit(self) -> int:
        return int(self.environment.info()["last_txnid"])


def _commit(txn: lmdb.Transaction[bytes], entries: Sequence[tuple[bytes, bytes]], db: lmdb._Database) -> None:
    for key, value in entries:
        txn.put(key, value, db=db)
    txn.commit()


def _drop(txn: lmdb.Transaction[bytes], database: lmdb._Database) -> Any:
    txn.drop(database, delete=False)

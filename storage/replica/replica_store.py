"""A replica: builds of the read models and their checkpoints, in an LMDB environment and files next to it.

A build and its checkpoint change in one transaction, so a replica always knows its position. One thread
writes; any thread takes snapshots of the active builds. Commits do not wait for the disk. A replica that
cannot be trusted when it is opened (another history, ahead of the log, a crash of the machine, damage) is
reset, and then filled from the log.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import lmdb

from storage.codec.codec import Codec
from storage.engines.base import ModelSnapshot, ModelStore
from storage.errors import SnapshotClosed, StorageError, StoreClosed
from storage.files.damage import is_readable
from storage.files.environment import DATA_FILE, translate
from storage.files.error_translation import from_system
from storage.files.opening_resources import OpeningResources
from storage.files.page_usage import FileUsage, file_usage
from storage.log.history import History, never_corrected, unknown
from storage.replica.build_changes import code_of
from storage.replica.build_copy import stored_state
from storage.replica.builds import Build
from storage.replica.commit_lock import commit_of_several
from storage.replica.commit_state import CommitState
from storage.replica.files import ReplicaState, write_state
from storage.replica.open_build import OpenBuild
from storage.replica.opening import OpenedReplica, open_replica
from storage.replica.reader_turns import ReaderTurns
from storage.replica.snapshot import Snapshot
from storage.replica.write_transaction import WriteTransaction
from storage.tables.access import Access
from storage.tables.schema import ModelSchema, Row

__all__ = ["ReplicaStore", "Snapshot", "WriteTransaction"]


class ReplicaStore:
    """One replica's environment; open it with `ReplicaStore.open`.

    `reset_reason` says why it was reset, or is None if it was new or continued from its last state.
    """

    def __init__(self, opened: OpenedReplica, codec: Codec, record_changes: bool = False) -> None:
        self.path = opened.path
        self.records_changes = record_changes
        """Whether transactions record what they change, for other replicas."""
        self.reset_reason = opened.reset_reason
        self._environment = opened.environment
        self._file_lock = opened.lock
        self._builds = opened.builds
        self._codec = self.codec = codec
        # Reentrant, so that an interrupted close may be repeated.
        self._begin_lock = threading.RLock()  # no transaction begins while the store closes
        self._writing = threading.RLock()
        # Taken before the gate; changes to more than LMDB's tables are made under it.
        self._engines_lock = threading.RLock()
        self._reader_turns = ReaderTurns(opened.path)
        self._in_write = False
        self._closed = self._left = self._ended = False
        self._marked_damaged = False
        self._open: weakref.WeakSet[Access] = weakref.WeakSet()
        self._engine_snapshots: weakref.WeakSet[Snapshot] = weakref.WeakSet()
        self._snapshot_name = f"the snapshot of {opened.path}"
        self.reset_on_bad_rows: Callable[[], bool] = lambda: True
        """Whether rows that cannot be decoded are a reason to reset it; set by the code that fills it."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        models: Sequence[ModelSchema],
        codec: Codec,
        *,
        history_id: str,
        log_head: int,
        digest: Callable[[int], bytes] = unknown,
        corrected: Callable[[str], int] = never_corrected,
        map_size: int | None = None,
        boot_id: str | None = None,
        record_changes: bool = False,
    ) -> ReplicaStore:
        """Open the replica at `path` for the log with this history and head; create it if it is missing.

        It is reset, and `reset_reason` says why, if it belongs to another history, is ahead of the log, was
        filled from other events (`digest` gives the digest of the event at a position, empty if unknown), was
        in use when the machine went down (`boot_id` is the id of this run, by default the system's), was
        marked as damaged, or is damaged.

        `models` may have several versions of one name: the newest is wanted. If another build is active it
        stays active until `activate` is called with the wanted one, and it is still updated if its schema is
        among `models`. All other builds are dropped, and those of models that are not among `models`. A build
        that was begun before the last correction of the model's events, whose number `corrected` gives, stays
        active in the same way.

        Raises NotAStore for a directory of anything else, which it does not change; StoreLocked, NewerFormat,
        StoreReadOnly, StoreFull; InvalidSchema for two models of one name and version, or a wrong script.
        """
        resources = OpeningResources()
        try:
            opened = open_replica(
                path,
                models,
                codec,
                History(history_id, log_head, digest, corrected),
                map_size,
                boot_id,
                resources,
            )
            return cls(opened, codec, record_changes)
        except BaseException as error:
            resources.roll_back()
            if isinstance(error, OSError):
                raise from_system(error, f"{path} cannot be opened", path) from error
            raise

    # -- builds ----------------------------------------------------------------------------------------------
    @property
    def state(self) -> CommitState:
        """What the replica knows about itself after its last commit. Any thread."""
        return self._builds.state

    def builds(self) -> list[Build]:
        """Its builds: of each model the active one and, if it is another, the wanted one. Any thread."""
        return [opened.build for opened in self._builds.builds.values()]

    def active(self, model: str) -> Build:
        """The build that snapshots read. Any thread. Raises InvalidSchema for an unknown model."""
        return self._builds.state.opened(model).build

    def wanted(self, model: str) -> Build:
        """The build to become active once it has caught up. Any thread.

        Raises InvalidSchema as `active` does.
        """
        self._builds.state.opened(model)
        return self._builds.wanted[model].build

    def checkpoints(self) -> dict[str, int]:
        """The position that the active build of each model has reached, 0 for none. Any thread."""
        self._check_open()
        return self._builds.checkpoints(self._builds.state.active)

    def build_checkpoints(self) -> dict[str, int]:
        """The position of every build, by key; read it again after a `write` that raised. Any thread."""
        self._check_open()
        return self._builds.checkpoints(self._builds.builds)

    def start_build(self, model: str) -> Build:
        """Begin a new build of the wanted schema next to the active one; drop one that is being filled.

        The thread that applies events. Raises InvalidSchema, StoreFull, StorageError if all space for builds
        is used.
        """
        with self._writing:
            self._check_open()
            return self._builds.start_build(model)

    def outdated(self, model: str) -> bool:
        """Whether events of the model were corrected after its wanted build was begun.

        The thread that applies events. Raises DamagedStore.
        """
        return self._builds.outdated(model)

    def activate(self, build: str) -> None:
        """Make snapshots read this build from now on; open snapshots continue with the former one.

        The former one is then emptied. The thread that applies events. Raises InvalidSchema, StoreFull.
        """
        with self._writing:
            self._check_open()
            self._builds.switch(build, self._engines_lock)
            self._sweep()

    # -- reading ---------------------------------------------------------------------------------------------
    def snapshot(
        self,
        models: Collection[str] | None = None,
        *,
        closed: type[SnapshotClosed] = SnapshotClosed,
        end: float = math.inf,
    ) -> Snapshot:
        """The active builds of these models, or of all, at one moment; `closed` is the error after its end.

        Any thread. If another engine's data cannot be read yet, it waits until `end`, a monotonic time, but
        at most 10 s. Raises StoreClosed, StorageError if too many are open (2048), and what the engines
        raise.
        """
        others = self._builds.other_engines
        if not others or (models is not None and others.isdisjoint(models)):
            return self._begin(closed, {})
        return self._reader_turns.run(lambda waited: self._snapshot_of_engines(models, closed, waited), end)

    def _snapshot_of_engines(
        self, models: Collection[str] | None, closed: type[SnapshotClosed], waited: ModelStore | None
    ) -> Snapshot:
        pinned: dict[str, ModelSnapshot] = {}
        try:
            with self._engines_lock:
                for model, opened in self._builds.state.active.items():
                    store = opened.store
                    if store is not None and (models is None or model in models):
                        pinned[model] = store.snapshot(closed=closed, waited=store is waited)
                snapshot = self._begin(closed, pinned)
                self._engine_snapshots.add(snapshot)
                return snapshot
        except BaseException:
            for engine_snapshot in pinned.values():
                engine_snapshot.close()
            raise

    def _begin(self, closed: type[SnapshotClosed], others: dict[str, ModelSnapshot]) -> Snapshot:
        with self._begin_lock:
            self._check_open()
            try:
                txn, state = self._builds.begin_read()
            except lmdb.Error as error:
                raise translate(error, f"taking a snapshot of {self.path}") from error
            access = Access(txn, self._snapshot_name, closed)
            self._open.add(access)
        return Snapshot(access, state, self._codec, others)

    def dump(self, build: str) -> dict[str, list[Row]]:
        """All rows of a build's tables in key order, or another engine's data, by name, for comparison.

        `build` is a key, or the name of a model for its active build. Any thread; takes memory.
        """
        opened = self._builds.opened(build)
        if opened.store is not None:
            return opened.store.dump()
        with self._begin(SnapshotClosed, {}) as snapshot:
            state = snapshot.state  # the databases of a dropped build may belong to another one by now
            return snapshot.rows(opened if build in state.marks else state.opened(build))

    def readable(self) -> bool:
        """Whether its databases can be read: to be asked after an error that may mean damage. Any thread."""
        with self._begin_lock:
            return self._closed or is_readable(self._environment)

    def size_bytes(self) -> int:
        """The size of the files in bytes. Any thread."""
        stores = [opened.store for opened in self._builds.builds.values() if opened.store is not None]
        return (self.path / DATA_FILE).stat().st_size + sum(store.size_bytes() for store in stores)

    def usage(self) -> FileUsage:
        """How full the file of its tables is. Any thread. Raises StoreClosed, DamagedStore."""
        return file_usage(self.path, self._reading_environment)

    @contextmanager
    def _reading_environment(self) -> Iterator[tuple[lmdb.Environment, int]]:
        with self._begin(SnapshotClosed, {}) as snapshot:
            yield self._environment, snapshot.locked(lmdb.Transaction.id)

    # -- writing ---------------------------------------------------------------------------------------------
    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """A write transaction: committed at the end of the block, aborted if it raises. One thread at a time.

        Set the checkpoint of every build that you change: a build with rows and without a checkpoint is reset
        when the replica is opened next, since nothing says from which events it was filled.

        The builds of other engines that took part are committed first, each on its own. Raises StoreClosed,
        StoreFull, and what `TableWriter.flush` raises. Then nothing is changed, except other engines' builds
        that were committed already, or went back; `build_checkpoints` has their positions.
        """
        self._reader_turns.wait_for_readers()
        with self._writing:
            self._check_open()
            if self._in_write:
                raise StorageError(f"{self.path} has a write transaction open in this thread; end it first")
            builds = self._builds
            if builds.retired:
                self._sweep()
            access = builds.begin_write()
            transaction = WriteTransaction(access, builds, self._codec, self.records_changes)
            self._in_write = True
            try:
                yield transaction
                marks = transaction.settle()
                if transaction.in_other_engines:
                    with self._reader_turns.commit(), self._engines_lock, commit_of_several(self.path):
                        transaction.commit_other_engines(marks)
                        builds.commit(access, marks, None, transaction.checkpoints, transaction.contents)
                else:
                    builds.commit(access, marks, None, transaction.checkpoints, transaction.contents)
            except BaseException:
                transaction.abort_other_engines()
                raise
            finally:
                self._in_write = False
                access.end()

    def copy_model(self, model: str, source: ReplicaStore, after: int) -> int:
        """Replace the tables of a model's active build by those of another replica; returns its checkpoint.

        Only if that one's active build is of the same code, began after the same corrections, and has the
        checkpoint `after` or a later one; otherwise nothing is changed, and the own one is returned. The
        thread that applies events; the source may be in use. Raises StoreFull, StorageError, and StoreClosed
        or SnapshotClosed if the source ends.
        """
        mine = self._builds.state.opened(model)
        with source.snapshot([]) as snapshot:
            other = snapshot.state.active.get(model)
            if (
                other is None
                or mine.store is not None
                or code_of(mine.key) != code_of(other.key)
                or mine.build.corrected > other.build.corrected
            ):
                return self.checkpoints()[model]
            return snapshot.locked(self._copy, mine, other, source._builds.meta, after)

    def _copy(
        self,
        source_txn: lmdb.Transaction[bytes],
        mine: OpenBuild,
        other: OpenBuild,
        meta: lmdb._Database,
        after: int,
    ) -> int:
        position, digest, content = stored_state(source_txn, meta, other)
        if position < after:
            return self.build_checkpoints()[mine.key]
        with self.write() as transaction:
            transaction.copy_tables(mine.key, source_txn, other, content)
            transaction.set_checkpoint(mine.key, position, digest)
        return position

    def _sweep(self) -> None:
        with self._engines_lock:
            of_engines = list(self._engine_snapshots)
        self._builds.sweep(lambda opened: any(snapshot.reads(opened) for snapshot in of_engines))

    # -- ending ----------------------------------------------------------------------------------------------
    def mark_damaged(self, reason: str) -> None:
        """Make the next `open` reset this replica: for damage that is found while it is in use."""
        self._marked_damaged = True
        if self._file_lock.in_place():
            write_state(self.path, ReplicaState("condemned", " ".join(reason.split())))

    def close(self, timeout: float = 10.0) -> None:
        """Close all snapshots and the environment, on disk and with the mark of a clean stop.

        A second call does nothing. If interrupted, it can be called again. It waits up to `timeout` seconds
        for a write transaction in another thread, and raises StorageError if that does not end.
        """
        if not self._writing.acquire(timeout=timeout):
            raise self._being_written(timeout)
        try:
            if self._in_write:  # in this thread
                raise self._being_written(0.0)
            if self._ended:
                return
            with self._engines_lock, self._begin_lock:
                self._closed = True
                for access in list(self._open):
                    access.end()
            try:
                self._builds.close()
                if not self._left:
                    self._environment.sync(True)
                # If its directory was moved, another replica may be at its path.
                if not self._marked_damaged and self._file_lock.in_place():
                    write_state(self.path, ReplicaState("clean", ""))
            except MemoryError:
                raise
            except Exception as error:
                self._release()
                if isinstance(error, lmdb.Error):
                    raise translate(error, f"closing {self.path}", self.path) from error
                raise
            self._release()
        finally:
            self._writing.release()

    def _release(self) -> None:
        # Noted first: after an interrupt, close is called once more, and this closes what is still open.
        self._left = True
        self._environment.close()
        self._file_lock.release()
        self._ended = True

    def _being_written(self, timeout: float) -> StorageError:
        return StorageError(
            f"{self.path} cannot be closed: a write transaction is still open after {timeout} seconds; end "
            "it first"
        )

    def __enter__(self) -> ReplicaStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"the replica {self.path} is closed; open it again")

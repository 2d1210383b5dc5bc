"""A replica that another process fills, read from its files. Any thread takes snapshots.

Builds in SQLite are read from their own files; objects in memory exist only in the other process.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import lmdb

from storage.codec.codec import Codec
from storage.engines.base import ModelSnapshot
from storage.engines.sqlite.pool import SqliteReaderPool
from storage.errors import SnapshotClosed, StorageError, StoreClosed
from storage.files.arguments import resolved_path
from storage.files.damage import damaged_records, file_identity
from storage.files.error_translation import translate
from storage.files.page_usage import FileUsage, file_usage
from storage.replica.active_builds import ActiveBuilds
from storage.replica.catalog import AGAIN
from storage.replica.commit_lock import commit_is_under_way
from storage.replica.engine_builds import database_file
from storage.replica.open_build import OpenBuild
from storage.replica.snapshot import Snapshot
from storage.tables.access import Access
from storage.tables.schema import ModelSchema

__all__ = ["ReplicaReader"]

_PATIENCE = 10.0
"""Seconds that a snapshot of several engines waits for the process that applies events."""

_BETWEEN = 0.001
"""Seconds that the other process may need from its commit to the first engine until that to the last."""


class ReplicaReader:
    """Snapshots of the replica in a directory; open it with `ReplicaReader.open`.

    When the other process resets the replica, open snapshots end, and later ones show the new data.
    """

    def __init__(self, path: Path, codec: Codec, models: Sequence[ModelSchema], map_size: int | None) -> None:
        """Called by `open`, which says what the arguments mean."""
        self.path = path
        self._codec = codec
        self._lock = threading.RLock()  # reentrant, so that an interrupted close may be repeated
        self._closed = False
        self._builds = ActiveBuilds(path, models, map_size, self._end_all)
        self._open: weakref.WeakSet[Access] = weakref.WeakSet()
        self._databases: dict[str, tuple[object, SqliteReaderPool]] = {}
        self._accepted: object = None
        self._snapshot_name = f"the snapshot of {path}"

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        codec: Codec,
        models: Sequence[ModelSchema],
        *,
        map_size: int | None = None,
    ) -> ReplicaReader:
        """Read these models of the replica at `path`, which another process has, or had, open.

        `map_size` is as in that process. Nothing is locked or written, except the slots of readers.

        Raises StoreClosed if there is no replica, or not yet; NotAStore for a directory of anything else;
        NewerFormat; and StorageError if this process itself has it open for writing.
        """
        reader = cls(resolved_path(path), codec, models, map_size)
        try:
            with damaged_records(str(path), AGAIN):
                reader._builds.attach()
            return reader
        except BaseException:
            reader._builds.detach()
            raise

    def snapshot(
        self, models: Collection[str] | None = None, *, closed: type[SnapshotClosed] = SnapshotClosed
    ) -> Snapshot:
        """The active builds of these models, or of all, at one moment; `closed` is the error after its end.

        Any thread. Raises StoreClosed, also while the replica is reset; StorageError if too many are open,
        and for a model in `models` whose objects are in the memory of the process that applies events; and
        what SQLite raises.
        """
        with self._lock:
            self._check_open()
            others = self._sqlite_builds(models)
            if not others:
                return self._begin(closed, {})
        return self._snapshot_of_several(models, closed)

    def _snapshot_of_several(self, models: Collection[str] | None, closed: type[SnapshotClosed]) -> Snapshot:
        """As `snapshot`, if several engines take part.

        The other process commits to its engines one after the other. The tables come last, and record the
        positions of all.
        """
        began = time.monotonic()
        settled: object = None
        pause = threading.Event()
        while True:
            with self._lock:
                self._check_open()
                builds = {model: opened.key for model, opened in self._sqlite_builds(models).items()}
                others = {
                    model: self._readers(opened) for model, opened in self._sqlite_builds(models).items()
                }
            pinned: dict[str, ModelSnapshot] = {}
            try:
                for model, readers in others.items():
                    pinned[model] = readers.snapshot(closed)
                with self._lock:
                    self._check_open()
                    snapshot = self._begin(closed, pinned)
            except BaseException:
                for engine_snapshot in pinned.values():
                    engine_snapshot.close()
                raise
            disagreement = _disagreement(snapshot, builds)
            if disagreement is None or disagreement == settled or disagreement == self._accepted:
                # If it is the same before and after a moment without a commit, it is permanent: a commit
                # failed.
                self._accepted = disagreement or self._accepted
                return snapshot
            snapshot.close()
            settled = None if commit_is_under_way(self.path) else disagreement
            if time.monotonic() > began + _PATIENCE:
                raise StorageError(
                    f"{self.path} could not be read at one moment for {_PATIENCE:.0f} s; try again"
                )
            pause.wait(_BETWEEN)

    def usage(self) -> FileUsage:
        """How full the file of its tables is. Any thread. Raises StoreClosed, DamagedStore."""
        return file_usage(self.path, self._reading_environment)

    @contextmanager
    def _reading_environment(self) -> Iterator[tuple[lmdb.Environment, int]]:
        with self._lock:
            self._check_open()
            environment = self._builds.attach()
            with self._begin(SnapshotClosed, {}) as snapshot:
                yield environment, snapshot.locked(lmdb.Transaction.id)

    def readable(self) -> bool:
        """Whether its databases can be read: to be asked after an error that may mean damage. Any thread."""
        with self._lock:
            return self._closed or self._builds.readable()

    def close(self) -> None:
        """End all snapshots and close the files; a second call does nothing. Any thread."""
        with self._lock:
            self._closed = True
            self._builds.detach()

    def __enter__(self) -> ReplicaReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- under the lock --------------------------------------------------------------------------------------
    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"the replica {self.path} is closed; open it again")

    def _begin(self, closed: type[SnapshotClosed], others: Mapping[str, ModelSnapshot]) -> Snapshot:
        try:
            with damaged_records(str(self.path), AGAIN):
                txn, state = self._builds.begin_read()
        except lmdb.Error as error:
            raise translate(error, f"taking a snapshot of {self.path}") from error
        access = Access(txn, self._snapshot_name, closed)
        self._open.add(access)
        return Snapshot(access, state, self._codec, others)

    def _sqlite_builds(self, models: Collection[str] | None) -> dict[str, OpenBuild]:
        """The builds in SQLite that a snapshot of these models needs.

        Raises StorageError for one in memory.
        """
        try:
            with damaged_records(str(self.path), AGAIN):
                builds = self._builds.in_other_engines()
        except lmdb.Error as error:
            raise translate(error, f"reading which builds {self.path} has") from error
        found = {}
        for model, opened in builds.items():
            if opened.build.stored_schema.engine == "sqlite":
                if models is None or model in models:
                    found[model] = opened
            elif models is not None and model in models:
                raise StorageError(
                    f"the objects of read model {model!r} are in the process that applies events to "
                    f"{self.path}: ask for them by a query"
                )
        return found

    def _readers(self, opened: OpenBuild) -> SqliteReaderPool:
        file = database_file(self._builds.path, opened.build)
        identity = file_identity(file)  # a damaged file is replaced without the others
        model = opened.build.model
        known, readers = self._databases.get(model, (None, None))
        if readers is None or known != (opened.key, identity):
            if readers is not None:
                readers.retire()
            readers = SqliteReaderPool(file, model)
            self._databases[model] = (opened.key, identity), readers
        return readers

    def _end_all(self) -> None:
        for access in list(self._open):
            access.end()
        for _, readers in self._databases.values():
            readers.close()
        self._databases.clear()


def _disagreement(snapshot: Snapshot, builds: Mapping[str, str]) -> object:
    """None if its engines are at one moment; else a value that differs for every other disagreement."""
    state = snapshot.state
    found = [
        (key, state.build(model), snapshot.checkpoint(model), state.checkpoint(model))
        for model, key in builds.items()
    ]
    if all(key == active and own == noted for key, active, own, noted in found):
        return None
    return state.txn_id, found

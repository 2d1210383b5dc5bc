"""A replica: the tables of the read models and their checkpoints, in an LMDB environment of its own.

Tables and checkpoint of a model change in one transaction, so a replica always knows how far it is. One thread
writes; any thread takes snapshots. Commits do not wait for the disk, and whatever cannot be trusted when it is
opened (another history, ahead of the log, a crash of the machine, damage) is begun anew, to be filled from the log.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import lmdb

from storage.arguments import checked_map_size, checked_path
from storage.codec import Codec
from storage.environment import (
    DATA_FILE,
    DEFAULT_MAP_SIZE,
    META_DB,
    StoreLock,
    check_directory,
    make_directory,
    translate,
)
from storage.errors import DamagedStore, InvalidSchema, SnapshotClosed, StorageError, StoreClosed
from storage.replica_files import (
    STATE_FILES,
    ReplicaState,
    current_boot_id,
    delete_database,
    read_state,
    reason_to_distrust,
    write_state,
)
from storage.replica_models import (
    adopt_models,
    database_names,
    open_replica,
    open_table,
    reason_to_reset,
)
from storage.replica_views import Handles, Snapshot, WriteTransaction, handles_of
from storage.table_access import Access
from storage.table_schema import ModelSchema, Row

__all__ = ["ReplicaStore", "Snapshot", "WriteTransaction"]


class ReplicaStore:
    """One replica's environment; open it with `ReplicaStore.open`.

    `reset_reason` says why it was begun anew, or is None if it was new or went on from where it was.
    """

    def __init__(
        self,
        path: Path,
        environment: lmdb.Environment,
        lock: StoreLock,
        models: Sequence[ModelSchema],
        codec: Codec,
        reset_reason: str | None,
    ) -> None:
        self.path = path
        self.reset_reason = reset_reason
        self._environment = environment
        self._file_lock = lock
        self._codec = codec
        self._gate = threading.Lock()  # no transaction begins while the store closes
        self._writing = threading.Lock()
        self._closed = False
        self._condemned = False
        self._open: weakref.WeakSet[Access] = weakref.WeakSet()
        self._snapshot_name = f"the snapshot of {path}"
        try:
            with environment.begin(write=True) as txn:
                self._meta = environment.open_db(META_DB, txn=txn)
                self._models: dict[str, Handles] = {
                    model.name: {table: open_table(environment, txn, model, table) for table in model.tables}
                    for model in models
                }
        except lmdb.Error as error:
            raise translate(error, f"opening the tables of {path}", path) from error

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        models: Sequence[ModelSchema],
        codec: Codec,
        *,
        history_id: str,
        log_head: int,
        map_size: int = DEFAULT_MAP_SIZE,
        boot_id: str | None = None,
    ) -> ReplicaStore:
        """Open the replica at `path` for the log with this history and head position; make it if it is missing.

        It is emptied if it belongs to another history, is ahead of the log, was running when the machine went
        down (`boot_id` is this run's, the system's own unless given), was condemned or is damaged; `reset_reason`
        then says so. A model whose version or tables changed loses its tables alone and begins at checkpoint 0;
        so does one that is not among `models` any more.

        Raises NotAStore for a directory of anything else, and touches nothing in it; StoreLocked, NewerFormat,
        StoreReadOnly, StoreFull, InvalidSchema for two models of one name.
        """
        path = checked_path(path)
        checked_map_size(map_size)
        boot_id = current_boot_id() if boot_id is None else boot_id
        names = [model.name for model in models]
        if len(set(names)) != len(names):
            raise InvalidSchema(f"two read models have one name: {', '.join(sorted(names))}")
        state = read_state(path)
        try:
            exists = check_directory(path, beside=STATE_FILES)
        except DamagedStore:
            if state is None:
                raise
            exists = True
        make_directory(path)
        lock = StoreLock(path)
        try:
            lock.sign()
            reason = None
            if exists:
                reason = reason_to_distrust(state, boot_id)
                try:
                    # An unmarked directory is read in any case: only a replica may be deleted.
                    if reason is None or state is None:
                        reason = reason_to_reset(path, map_size, history_id, log_head) or reason
                except DamagedStore as error:
                    if state is None:
                        raise
                    reason = str(error)
            if reason is not None:
                delete_database(path)
            write_state(path, ReplicaState("running", boot_id))
            adopt_models(path, map_size, history_id, models)
            databases = sum(len(database_names(model)) for model in models)
            environment = open_replica(path, map_size, databases + 1)
            try:
                return cls(path, environment, lock, models, codec, reason)
            except BaseException:
                environment.close()
                raise
        except BaseException:
            lock.release()
            raise

    # -- reading ------------------------------------------------------------------------------------------------
    def snapshot(self, *, closed: type[SnapshotClosed] = SnapshotClosed) -> Snapshot:
        """All tables as they are now; `closed` is what using it after its end raises. Any thread.

        Raises StoreClosed, StorageError for too many at once (2048).
        """
        with self._gate:
            if self._closed:
                raise self._is_closed()
            try:
                access = Access(self._environment.begin(), self._snapshot_name, closed)
            except lmdb.Error as error:
                raise translate(error, f"taking a snapshot of {self.path}") from error
            self._open.add(access)
        return Snapshot(access, self._models, self._meta, self._codec)

    def checkpoints(self) -> dict[str, int]:
        """The position up to which every model's tables go, 0 for none. Any thread."""
        with self.snapshot() as snapshot:
            return {model: snapshot.checkpoint(model) for model in self._models}

    def dump(self, model: str) -> dict[str, list[Row]]:
        """All rows of a model's tables in key order, by table name, for comparing. Any thread; takes memory."""
        with self.snapshot() as snapshot:
            return {
                schema.name: list(snapshot.table(model, schema).all())
                for schema in handles_of(self._models, model)
            }

    def size_bytes(self) -> int:
        """The size of the database file in bytes. Any thread."""
        return (self.path / DATA_FILE).stat().st_size

    # -- writing ------------------------------------------------------------------------------------------------
    @contextmanager
    def write(self) -> Iterator[WriteTransaction]:
        """A write transaction: committed at the end of the block, aborted if it raises. One thread at a time.

        Raises StoreClosed, StoreFull, and what `TableWriter.flush` does; nothing is changed then.
        """
        with self._writing:
            with self._gate:
                if self._closed:
                    raise self._is_closed()
            what = f"the write transaction of {self.path}"
            try:
                txn = self._environment.begin(write=True)
            except lmdb.Error as error:
                raise translate(error, f"beginning {what}", self.path) from error
            access = Access(txn, what, path=self.path)
            try:
                transaction = WriteTransaction(access, self._models, self._meta, self._codec)
                yield transaction
                transaction.flush()
                access.locked(lmdb.Transaction.commit)
            finally:
                access.end()

    # -- ending -------------------------------------------------------------------------------------------------
    def condemn(self, reason: str) -> None:
        """Have the next `open` begin this replica anew: for damage that is found while it is in use."""
        write_state(self.path, ReplicaState("condemned", " ".join(reason.split())))
        self._condemned = True

    def close(self, timeout: float = 10.0) -> None:
        """Close all snapshots and the environment, on disk and marked as cleanly stopped. The second call does nothing.

        Waits up to `timeout` seconds for a write transaction in another thread; raises StorageError if it goes on.
        """
        if not self._writing.acquire(timeout=timeout):
            raise StorageError(
                f"{self.path} cannot be closed: a write transaction is still open after {timeout} seconds; end it first"
            )
        try:
            with self._gate:
                if self._closed:
                    return
                self._closed = True
                for access in list(self._open):
                    access.end()
            try:
                self._environment.sync(True)
                self._environment.close()
                if not self._condemned:
                    write_state(self.path, ReplicaState("clean", ""))
            except lmdb.Error as error:
                raise translate(error, f"closing {self.path}", self.path) from error
            finally:
                self._environment.close()
                self._file_lock.release()
        finally:
            self._writing.release()

    def __enter__(self) -> ReplicaStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_closed(self) -> StoreClosed:
        return StoreClosed(f"the replica {self.path} is closed; open it again")

"""The read connections of a SQLite database, pooled for snapshots.

Any thread, of any process that may read.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from weakref import WeakSet

from storage.engines.sqlite.cacheability import ReadGuard
from storage.engines.sqlite.error_translation import translate_engine_error
from storage.engines.sqlite.reader_connection import open_reader
from storage.engines.sqlite.snapshot import SqliteSnapshot
from storage.errors import SnapshotClosed, StorageError, StoreClosed

__all__ = ["SqliteReaderPool"]

MAX_IDLE, MAX_OPEN = 16, 256
"""Read connections that are kept idle for the next snapshot, and that may be open."""


class SqliteReaderPool:
    """Snapshots of the database in `file`, which holds a build of the read model of this name."""

    def __init__(self, file: Path, model: str) -> None:
        self._file = file
        self._model = model
        # Reentrant, so that an interrupted close may be repeated.
        self._lock = threading.RLock()
        self._closed = False
        self._idle: list[tuple[sqlite3.Connection, ReadGuard]] = []
        self._open: WeakSet[SqliteSnapshot] = WeakSet()

    def snapshot(self, closed: type[SnapshotClosed] = SnapshotClosed) -> SqliteSnapshot:
        """Pin the present state of the database. `closed` is the error for a use after its end.

        Raises `StorageError`.
        """
        with self._lock:
            if self._closed:
                raise self._is_closed()
            if len(self._open) >= MAX_OPEN:
                raise StorageError(
                    f"the database {self._file} has {MAX_OPEN} snapshots open already; close some"
                )
            idle = self._idle.pop() if self._idle else None
        db, guard = idle or open_reader(self._file, self._model)
        try:
            snapshot = SqliteSnapshot(db, guard, closed, self._give_back, f"the snapshot of {self._file}")
        except BaseException as error:
            db.close()
            if isinstance(error, sqlite3.Error | TypeError | ValueError):
                what = f"taking a snapshot of the database {self._file}"
                raise translate_engine_error(error, what, self._file) from error
            raise
        with self._lock:
            self._open.add(snapshot)
            late = bool(self._closed)
        if late:
            snapshot.close()
            raise self._is_closed()
        return snapshot

    def _give_back(self, db: sqlite3.Connection, guard: ReadGuard, snapshot: SqliteSnapshot) -> None:
        with self._lock:
            self._open.discard(snapshot)
            if not self._closed and not guard.full and len(self._idle) < MAX_IDLE:
                self._idle.append((db, guard))
                return
        db.close()

    def retire(self) -> None:
        """Give no more snapshots; those that are open stay valid, and their connections close with them."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for db, _ in idle:
            db.close()

    def close(self) -> None:
        """End all snapshots and close the connections; a second call does nothing."""
        self.retire()
        with self._lock:
            open_now = list(self._open)
        for snapshot in open_now:
            snapshot.close()

    def _is_closed(self) -> StoreClosed:
        return StoreClosed(f"the database {self._file} is closed; open it again")

"""Keeps the write-ahead log of a SQLite database short. The thread that writes, between two batches.

SQLite could do it in a commit, but snapshots of all engines wait for commits.
"""

from __future__ import annotations

import time
from pathlib import Path

from storage.engines.sqlite.connection import GuardedConnection

__all__ = ["WAL_BYTES", "WriteAheadLog"]

WAL_BYTES = 4 << 20
"""From this size on, the write-ahead log is copied into the database, so that it can start over."""

_PATIENCE = 64 << 20
"""From this size on, the writer waits for readers: as long as some overlap, the log cannot start over."""

_WAIT = 0.1
_TRIED_EVERY = 1.0


class WriteAheadLog:
    """The write-ahead log at `path`. Its size is bounded, unless snapshots stay open for long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tried = 0.0

    def size(self) -> int:
        """The file's size in bytes, 0 if there is none."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def keep_short(self, db: GuardedConnection) -> None:
        """Copy it into the database if it is long; if it is far too long, wait up to 0.1 s, once a second."""
        size = self.size()
        if size <= WAL_BYTES:
            return
        db.engine("PRAGMA wal_checkpoint(PASSIVE)")
        if size <= _PATIENCE or time.monotonic() - self._tried < _TRIED_EVERY:
            return
        self._tried = time.monotonic()
        db.engine(f"PRAGMA busy_timeout = {int(_WAIT * 1000)}")
        try:
            db.engine("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            db.engine("PRAGMA busy_timeout = 0")

"""Keeping the write-ahead log of a SQLite database from growing for ever. The thread that writes, between two batches.

Not in a commit, which SQLite would do by itself: snapshots of all engines wait for commits.
"""

from __future__ import annotations

import time
from pathlib import Path

from storage.engines.sqlite.connection import GuardedConnection

__all__ = ["WAL_BYTES", "WriteAheadLog"]

WAL_BYTES = 4 << 20
"""Size from which on what the write-ahead log holds is brought into the database, for it to begin anew."""

_PATIENCE = 64 << 20
"""Size from which on the writer waits for readers: while some overlap without end it never begins anew."""

_WAIT = 0.1
_TRIED_EVERY = 1.0


class WriteAheadLog:
    """The file at `path`, bounded but for snapshots that stay open for long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tried = 0.0

    def size(self) -> int:
        """Bytes of the file, 0 where there is none."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def keep_short(self, db: GuardedConnection) -> None:
        """Bring what it holds into the database if it is long; wait up to 0.1 s a second if it is far too long."""
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

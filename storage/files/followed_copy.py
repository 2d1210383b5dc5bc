"""A copy of an LMDB environment that nobody has open, and to which later changes of the original are written.

One thread at a time.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import lmdb

from storage.files.environment import ENGINE
from storage.files.tree_diff import DatabaseChanges

__all__ = ["FollowedCopy"]

CHUNK = 5_000
"""Changes in one transaction."""
ROOM = 64 << 20
MAX_DATABASES = 4096


class FollowedCopy:
    """The copy in a file, open. It is not on disk before `sync`. A context manager."""

    def __init__(self, file: Path) -> None:
        """Raises LMDB's errors."""
        self.environment = lmdb.open(
            os.fspath(file),
            subdir=False,
            lock=False,
            sync=False,
            mode=0o600,
            map_size=2 * file.stat().st_size + ROOM,
            max_dbs=MAX_DATABASES,
            lib_version=ENGINE,
        )
        self._handles: dict[bytes, lmdb._Database] = {}

    def database(self, name: bytes) -> lmdb._Database:
        """A database, which is made if it does not exist."""
        if name not in self._handles:
            self._handles[name] = self.environment.open_db(name)
        return self._handles[name]

    def write(self, database: DatabaseChanges) -> None:
        """Write what changed in a database."""
        name, changes = database
        handle = self.database(name)
        if changes is None:
            del self._handles[name]
            with self.environment.begin(write=True) as transaction:
                transaction.drop(handle)
            return
        while chunk := list(islice(changes, CHUNK)):
            gone = [key for key, value in chunk if value is None]
            put = [(key, value) for key, value in chunk if value is not None]
            while True:
                try:
                    with self.environment.begin(write=True) as transaction:
                        for key in gone:
                            transaction.delete(key, db=handle)
                        with transaction.cursor(handle) as cursor:
                            cursor.putmulti(put)
                    break
                except lmdb.MapFullError:
                    self.environment.set_mapsize(2 * self.environment.info()["map_size"])

    def sync(self) -> None:
        """Wait until all of it is on disk."""
        self.environment.sync(True)

    def __enter__(self) -> FollowedCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self.environment.close()

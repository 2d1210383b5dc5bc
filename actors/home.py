"""A replica's place on disk, and the store and projector that are open there: replaced when it is begun anew."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path

from actors.projecting import Projector
from storage import ReplicaStore, StorageError
from storage.environment import DATA_FILE

__all__ = ["ReplicaHome"]

logger = logging.getLogger("onewriter.replica")


class ReplicaHome:
    """What the replica's own thread replaces and others only look at; whoever reads asks for the store each time."""

    def __init__(
        self,
        name: str,
        open_store: Callable[[], ReplicaStore],
        project: Callable[[ReplicaStore], Projector],
        stores: MutableMapping[str, ReplicaStore],
    ) -> None:
        """Opens the store; `stores` is told of it, and of each that replaces it. Raises what opening does."""
        self.name = name
        self.condemned: str | None = None
        self.reason: str | None = None
        self._open_store = open_store
        self._project = project
        self._stores = stores
        self._lock = threading.Lock()
        self._use(open_store())

    def _use(self, store: ReplicaStore) -> None:
        self.projector = self._project(store)
        self.store = self._stores[self.name] = store
        self._file = _identity(store.path)

    def condemn(self, store: ReplicaStore, reason: str) -> bool:
        """Note that this store is no good any more; False when that is known, or it is not in use now. Any thread."""
        with self._lock:
            if self.store is not store or self.condemned is not None:
                return False
            self.condemned = self.reason = " ".join(reason.split())
        logger.error("%s is begun anew from the log: %s", self.name, self.condemned)
        return True

    def missing(self) -> str | None:
        """Why the files in use are not the ones on disk, or None. Any thread; one system call."""
        now = _identity(self.store.path)
        if now == self._file:
            return None
        return f"{self.store.path} was {'removed' if now is None else 'replaced'} while it was in use"

    def begin_anew(self) -> None:
        """Close the condemned store, and open one with nothing in it. The replica's thread.

        Raises what opening does; the store stays condemned then, and the next incarnation tries again.
        """
        store = self.store
        try:
            store.condemn(self.condemned or "")
            noted = True
        except StorageError:
            noted = False
        with suppress(StorageError):
            store.close()
        if not noted:
            # Without the note its files would be taken for good ones.
            shutil.rmtree(store.path, ignore_errors=True)
        fresh = self._open_store()
        with self._lock:
            self._use(fresh)
            self.condemned = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path / DATA_FILE)
    except OSError:
        return None
    return status.st_dev, status.st_ino

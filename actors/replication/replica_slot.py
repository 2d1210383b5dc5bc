"""A replica's files, and the store and projector that are open on them: replaced when the replica is reset.

Opened and closed in callers' threads, replaced in the replica's own.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.replication.committed_log import CommittedLog
from actors.replication.placement import models_on
from actors.replication.projector import Projector
from actors.replication.replica_status import SnapshotSource
from actors.replication.row_damage import RowDamage
from actors.replication.skipped_events import SkippedEvents
from actors.settings import Settings
from storage import ReplicaStore, StorageError, StoreLocked
from storage.files.damage import file_identity
from storage.files.environment import DATA_FILE
from storage.files.opening_resources import OpeningResources, ResourceSlot

__all__ = ["ReplicaSlot", "moved_away", "open_slots"]

logger = logging.getLogger("onewriter.replica")

LOCK_TIMEOUT = 2.0
"""Seconds to wait for a replica's lock. This process has locked the log, so only a worker of a process that
died just now can hold it, and it is about to end."""


class ReplicaSlot:
    """What the replica's own thread replaces and others only read: they ask for the store each time."""

    def __init__(
        self,
        name: str,
        open_store: Callable[[], ReplicaStore],
        project: Callable[[ReplicaStore], Projector],
        stores: MutableMapping[str, ReplicaStore],
        moved: Callable[[], bool],
    ) -> None:
        """`stores` gets the store that `open` opens, and each that replaces it; `moved` is whether the log is
        not where it was opened."""
        self.name = name
        self.damage: str | None = None
        self._reason: str | None = None
        self._open_store = open_store
        self._project = project
        self._stores = stores
        self._moved = moved
        self._lock = threading.Lock()
        self.rows = RowDamage()
        self._held: ResourceSlot[ReplicaStore] = ResourceSlot(_close)

    def open(self) -> None:
        """Open the store. Raises what that raises; call `close` in any case."""
        self._held.resource = store = self._open_store()
        self._use(store)

    def close(self) -> None:
        """Close what is open. A projection that still runs holds its store: the replica's thread closes it at
        its end."""
        try:
            self._held.release()
        except StorageError as error:
            logger.error("%s", error)

    def _use(self, store: ReplicaStore) -> None:
        store.reset_on_bad_rows = self.rows.needs_reset
        self.projector = self._project(store)
        self.store = self._stores[self.name] = store
        self._file = file_identity(store.path / DATA_FILE)

    def mark_damaged(
        self, store: SnapshotSource, reason: str, exclude: Callable[[], None] = lambda: None
    ) -> bool:
        """Note that this store must not be used any more; False if that is known, or it is not in use now.
        Any thread.

        False too if the whole store was moved: no new one can be made here, and what is open goes on.
        `exclude` is called before the replica's thread can have reset it: it must not undo what that does.
        """
        if self._moved():
            return False
        with self._lock:
            if self.store is not store or self.damage is not None:
                return False
            self.damage = self._reason = " ".join(reason.split())
            exclude()
        logger.error("%s is reset and filled from the log again: %s", self.name, self.damage)
        return True

    @property
    def reset_reason(self) -> str | None:
        """Why it was reset last, at opening or since. Any thread."""
        return self._reason or self.store.reset_reason

    def is_retired(self, store: SnapshotSource) -> bool:
        """Whether this store is not used any more. Any thread."""
        return self.store is not store or self.damage is not None

    def missing(self) -> str | None:
        """Why the files in use are not the ones on disk, or None. Any thread; one system call."""
        now = file_identity(self.store.path / DATA_FILE)
        if now == self._file or self._moved():
            return None
        return f"{self.store.path} was {'removed' if now is None else 'replaced'} while it was in use"

    def reset(self) -> None:
        """Close the damaged store, and open an empty one. The replica's thread.

        Raises what opening raises; the store stays marked as damaged then, and the next incarnation tries
        again.
        """
        store = self.store
        try:
            store.mark_damaged(self.damage or "")
            noted = True
        except StorageError:
            noted = False
        with suppress(StorageError):
            store.close()
        if not noted:
            # Without the note its files would be taken for good ones.
            shutil.rmtree(store.path, ignore_errors=True)
        self._held.resource = fresh = self._open_store()
        with self._lock:
            self._use(fresh)
            self.rows.note_reset()
            self.damage = None


def open_slots(
    folder: str,
    placed: Mapping[str, Sequence[str]],
    domain: CompiledDomain,
    log: CommittedLog,
    settings: Settings,
    skips: SkippedEvents,
    stores: MutableMapping[str, ReplicaStore],
    resources: OpeningResources,
    names: Sequence[str] | None = None,
    locked_for: float = LOCK_TIMEOUT,
    share_changes: bool = False,
) -> dict[str, ReplicaSlot]:
    """The slots of these replicas, or of all, in this folder, with the models `placed` there.

    `resources` closes them. A locked one is waited for, `locked_for` seconds. With `share_changes`, each
    records what it changes, for the others.
    """
    slots = {}
    types = [event.name for event in domain.events.values()]
    for name in settings.replica_names if names is None else names:
        models = models_on(name, placed, domain)
        slot = ReplicaSlot(
            name,
            partial(
                _open_store,
                os.path.join(folder, name),
                models,
                domain,
                log,
                settings,
                skips,
                locked_for,
                share_changes,
            ),
            partial(Projector, models=models, skips=skips, digest=log.digest, types=types),
            stores,
            log.moved,
        )
        resources.on_release(slot.close)
        slot.open()
        slots[name] = slot
    return slots


def _open_store(
    path: str,
    models: Sequence[ReadModel],
    domain: CompiledDomain,
    log: CommittedLog,
    settings: Settings,
    skips: SkippedEvents,
    locked_for: float,
    share_changes: bool,
) -> ReplicaStore:
    end = time.monotonic() + locked_for
    while True:
        if log.moved():
            raise StorageError(f"{path} can't be opened: {moved_away(log.path)}")
        try:
            return ReplicaStore.open(
                path,
                [model.schema for model in models],
                domain.codec,
                history_id=log.history_id,
                log_head=log.head,
                digest=log.digest,
                corrected=partial(skips.changes_of, log),
                map_size=settings.map_size,
                record_changes=share_changes,
            )
        except StoreLocked:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def moved_away(path: Path) -> str:
    """What is wrong with a store whose directory was moved while it is open."""
    return (
        f"the store was moved away from {path} while it was in use; what is written goes on being written "
        "where it is now, and nothing new is made at the old path: close the system, and open it at the new "
        "one"
    )


def _close(store: ReplicaStore) -> None:
    store.close(timeout=1.0)

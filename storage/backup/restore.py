"""Makes a new store of a backup: all of it, or up to a position or a moment. The caller's thread.

It is made in a folder beside its path and appears there when it is complete and on disk. Every event, link
and correction is checked on its way. It is a history of its own from then on, with a new id.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import lmdb

from storage.backup.backup_set import segments_of
from storage.backup.log_restorer import LogRestorer, Progress
from storage.backup.restored_notes import ChooseNotes
from storage.backup.segment_format import Point
from storage.backup.segment_path import segments_until
from storage.errors import DamagedStore, InvalidBackup
from storage.files.environment import make_directory
from storage.files.error_translation import translate
from storage.files.store_lock import StoreLock
from storage.log.verification import verify_store
from storage.transfer.new_store import NewStore

__all__ = ["Restored", "restore_backup"]

ENDING = ".restoring"
"""Of the folder beside the new store in which it is made."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A store that was restored at `path`, which ends at `position`; `time` is that of its last event.

    `notes_position` is where the log ended when the notes were as they are in it, None if there are none.
    `former_history_id` is that of the backup, `chain` the digest of the chain at its end. It was made of so
    many `files`, in so many `seconds`.
    """

    path: str
    position: int
    time: datetime
    notes_position: int | None
    chain: str
    history_id: str
    former_history_id: str
    files: int
    seconds: float


def restore_backup(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    position: int | None = None,
    at: datetime | None = None,
    notes: ChooseNotes | None = None,
    verify: bool = True,
    progress: Progress | None = None,
) -> Restored:
    """Make a store at `target`, where there is none, of a folder of backups, or of a file of a full one.

    It ends at the end of the last commit up to `position`, or before the first commit that is later than
    `at`, or with the newest backup. `notes` chooses its notes; otherwise they are those of the last backup
    up to there, and none without one. With `verify` all of it is read back. `progress` is called with the
    position that is reached, and the last one of the backup.

    Raises InvalidBackup for something else, for damage, and for a point that is not in it; NotAStore if
    something is at `target`; StoreLocked if another restore into it is running; StoreFull, StorageError;
    ValueError. The path is then free, as before.
    """
    if position is not None and at is not None:
        raise ValueError("give position= or at=, not both")
    if position is not None and (type(position) is not int or position < 0):
        raise ValueError(f"position= is a whole number from 0 on, not {position!r}")
    if at is not None and at.tzinfo is None:
        raise ValueError(f"at= needs a time zone, such as UTC, got {at!r}")
    began = time.monotonic()
    segments = segments_of(Path(os.path.realpath(source)))
    store = NewStore(target, ENDING)
    store.remove_leftover()
    usable = segments
    while True:
        path = segments_until(usable, position, at)
        restorer = LogRestorer(segments, path, store.folder, position, at, notes, progress)
        try:
            _make(store, restorer, verify)
            break
        except InvalidBackup:
            if not restorer.lacks_removed:
                raise
            # An earlier full backup, and what continues it, may have the events, and reach the point as well.
            usable = usable[: usable.index(path[0])]
            reached = restorer.chain.point.position
            if not usable or max(one.end.point.position for one in usable) < reached:
                raise
    point = restorer.restored
    return Restored(
        str(store.path),
        point.position,
        point.time,
        point.notes_position,
        restorer.chain.point.digest.hex(),
        restorer.header.history_id,
        point.history_id,
        restorer.files,
        time.monotonic() - began,
    )


def _make(store: NewStore, restorer: LogRestorer, verify: bool) -> None:
    """Make the store, and publish it. It is discarded if that fails."""
    make_directory(store.folder)
    try:
        with StoreLock(store.folder) as lock:
            lock.sign()
            restorer.run()
            if verify:
                _verify(store.folder, restorer.chain.point)
            lock.opened()
        store.publish()
    except lmdb.Error as error:
        store.discard()
        raise translate(error, f"restoring a backup to {store.path}", store.path) from error
    except BaseException:
        store.discard()
        raise


def _verify(folder: Path, point: Point) -> None:
    check = verify_store(folder, (point.position, point.digest.hex()))
    if not check.sound:
        raise DamagedStore(
            f"what was written to {folder} is read back as something else ({check.findings[0]}); the disk "
            "may fail; it was removed"
        )

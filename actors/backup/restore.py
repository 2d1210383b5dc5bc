"""Makes a store of a backup that a system can open, as a copy that does not act on the world. Any thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

from actors.runtime.store_identity import restored_note
from actors.schema.notes import is_of_types
from actors.writer.closed_streams import closed_by
from actors.writer.kept_states import KEPT
from storage.backup.places import fetched
from storage.backup.restore import Restored, restore_backup
from storage.backup.restored_notes import Notes, RestoredPoint

__all__ = ["restore", "restored_notes"]


def restore(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    position: int | None = None,
    at: datetime | None = None,
    verify: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Restored:
    """Make a new store at `path` of the backups in `source`, a folder or s3://bucket/prefix. Any thread.

    It ends where the newest backup does; with `position` at the end of the last commit up to there; with
    `at`, an aware datetime, before the first commit that is later. `verify` reads all of it back.
    `progress` is called with the position that is reached, and the last one of the backup.

    The store has a history of its own: replicas, tokens of sessions and resume points of the original are
    recognised. What consumers and process managers did is known as of the last backup up to there. It is a
    copy: no process manager runs and no consumer delivers until `System.open(path, domain, managers=True)`
    or `onewriter adopt` says so.

    Raises InvalidBackup for something else, for damage, and for a point that is not in the backup; NotAStore
    if something is at `path`; StoreLocked if another restore to it is running; StoreFull, StorageError,
    ValueError. There is then nothing at `path`.
    """
    with fetched(source, whole=position is not None or at is not None) as found:
        return restore_backup(
            found, path, position=position, at=at, notes=restored_notes, verify=verify, progress=progress
        )


def restored_notes(point: RestoredPoint, own: Notes, later: Notes | None) -> Notes:
    """The notes of a restored store: its own, and that it was restored.

    What has to fit its events is known from the `later` ones, if it was so before its end: types whose first
    events are later than its notes, closed streams, and states that were kept when archives were removed.
    """
    notes = dict(own)
    for key, value in later or ():
        kept = point.same_removals and key.startswith(KEPT)
        if is_of_types(key) or kept or (key not in notes and closed_by(key, value, point.operations)):
            notes[key] = value
    key, value = restored_note(point.history_id, point.position, point.time)
    notes[key] = value
    return sorted(notes.items())

"""Backing up an open `System`. Callers' threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from actors.kernel.actor import refuse_in_actor
from actors.system.base import SystemBase

if TYPE_CHECKING:
    from storage.backup.backup_writer import Backup

__all__ = ["BACKUP_SHARE", "BackupMethods"]

BACKUP_SHARE = 0.05
"""The share of its thread's time that a backup takes: commands and queries hardly notice it."""


class BackupMethods(SystemBase):
    """Backups."""

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        full: bool = False,
        share: float = BACKUP_SHARE,
        max_bytes_per_second: float | None = None,
        keep: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Backup:
        """Back the store up to `target`, while it is in use; returns once it is on disk.

        `target` is a folder, or s3://bucket/prefix.

        It is the log with all notes at the end of one commit, verified as it is written: checksums and
        chain. The first one is full. Later ones in the same folder continue the newest, unless that is of
        another history, or `full` is true.

        It works for a `share` of the calling thread's time, since commands and queries need the interpreter,
        too; for more if the log grows faster than that. 1.0 is as fast as it can be. `max_bytes_per_second`
        spares the disk. `progress` is called with the position that is reached, and the last one. Any
        thread; a system that was opened for reading makes backups, too.

        At the end, with `keep`, all files before the last `keep` full backups are removed.

        Raises InvalidBackup if the folder holds something else, StoreLocked if another backup into it is
        running, DamagedStore for damage in the log, StoreFull, StorageError, WrongThread, TypeError,
        ValueError. What was in the folder stays as it is.
        """
        parts = self._running()
        refuse_in_actor("backup", parts.progress)
        # Imported here: most programs leave backups to the command line.
        from storage.backup.targets import backup_target

        with closing(backup_target(target)) as place:
            return place.take(
                parts.log,
                full=full,
                share=share,
                max_bytes_per_second=max_bytes_per_second,
                keep=keep,
                progress=progress,
            )

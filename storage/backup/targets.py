"""Backups into a set, wherever it is: a folder, or a place that files are put to. One thread at a time."""

from __future__ import annotations

import os
import threading
from typing import Protocol, Unpack

from storage.backup.archive_copies import FolderCopies, remove_copies
from storage.backup.backup_set import BackupSet, full_name_of, has_gap
from storage.backup.backup_writer import Backup, Progress
from storage.backup.full_of_increment import Increment, take_full_of
from storage.backup.places import is_remote, remote_place
from storage.backup.remote_target import RemoteTarget
from storage.backup.segment_reader import Segment
from storage.backup.take_backup import BackupOptions, take_backup
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader

__all__ = ["BackupTarget", "FolderTarget", "backup_target"]


class BackupTarget(Protocol):
    """Where backups of one log go, one after the other."""

    address: str

    @property
    def waiting(self) -> bool:
        """Whether the next `take` gives what an earlier one made, which could not be put there."""

    def newest(self) -> Segment | None:
        """The newest file of the set; None if there is none, or it can't be read."""

    def last_full(self) -> Segment | None:
        """The newest full one; None if there is none, or it can't be read."""

    def take(self, log: LogReader, **options: Unpack[BackupOptions]) -> Backup:
        """As `take_backup`."""

    def take_full_of(
        self, log: LogReader, increment: Increment, share: float, keep: int | None, progress: Progress | None
    ) -> Backup | None:
        """Put a full backup in the place of an increment of the set. Another thread may add more meanwhile.

        It is None, and the set as before, if an archive was made or removed. Raises as `take`.
        """

    def close(self) -> None:
        """Remove what is temporary."""


def backup_target(address: str | os.PathLike[str]) -> BackupTarget:
    """The target at a path or an address. Raises ValueError, StorageError without the package for it."""
    return RemoteTarget(remote_place(str(address))) if is_remote(address) else FolderTarget(address)


class FolderTarget:
    """A folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Touches nothing. Raises StorageError for an impossible path."""
        self._set = BackupSet(path)
        self.address = str(self._set.path)
        self._writing = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Never: a file is made in the folder itself."""
        return False

    def newest(self) -> Segment | None:
        """The newest file; None if there is none, or it can't be read. Raises StorageError."""
        return self._set.newest() if self._set.path.exists() else None

    def last_full(self) -> Segment | None:
        """The newest full one; None if there is none, or it can't be read. Raises StorageError."""
        return self._set.last_full() if self._set.path.exists() else None

    def take(self, log: LogReader, **options: Unpack[BackupOptions]) -> Backup:
        """As `take_backup`; a full one if a file is missing in the set."""
        with self._writing:
            if self._set.path.exists() and has_gap([file.name for file in self._set.files()]):
                options["full"] = True
            return take_backup(log, self._set.path, **options)

    def take_full_of(
        self, log: LogReader, increment: Increment, share: float, keep: int | None, progress: Progress | None
    ) -> Backup | None:
        """Put a full backup in the place of an increment, as `BackupTarget` says."""
        replaced = increment.segment.path
        with self._writing:  # until it is locked, it looks like one that a kill has left
            file = PublishedFile(replaced.with_name(full_name_of(replaced.name)))
        try:
            backup = take_full_of(log, increment, file, share, progress)
            if backup is not None:
                with self._writing, self._set.writing():
                    file.publish()
                    self._set.remove_replaced()
                    if keep is not None:
                        self._set.remove_before(keep)
                        remove_copies(FolderCopies(self._set), self._set.runs_ends())
            return backup
        finally:
            file.discard()  # does nothing once it is published

    def close(self) -> None:
        """Nothing is temporary."""

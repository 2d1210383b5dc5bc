"""Backups into a set, wherever it is: a folder, or a place that files are put to. One thread at a time."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Unpack

from storage.archive.archive_file import ArchiveFile
from storage.backup.archive_copies import Copied, FolderCopies, remove_copies
from storage.backup.backup_set import BackupSet, checked_keep, ends_of_runs, full_name_of, has_gap, is_full
from storage.backup.backup_writer import Backup, Progress
from storage.backup.full_of_increment import Increment, take_full_of
from storage.backup.places import BackupPlace, is_remote, remote_place
from storage.backup.segment_reader import Segment, readable_segment
from storage.backup.take_backup import BackupOptions, take_backup
from storage.errors import ArchiveUnavailable, StoreLocked
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader

__all__ = ["BackupTarget", "FolderTarget", "RemoteTarget", "backup_target"]


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


class RemoteTarget:
    """A place elsewhere. A file is made in a temporary folder, put there, and removed with the next one.

    What could not be put is put, and nothing else, the next time: one file at most waits. If a file that the
    next one would need is not in the place any more, the next one is full.
    """

    def __init__(self, place: BackupPlace) -> None:
        """Asks nothing yet."""
        self.address = place.address
        self._place = place
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._made: Backup | None = None

    @property
    def waiting(self) -> bool:
        """Whether a file that was made could not be put."""
        return self._made is not None

    def newest(self) -> Segment | None:
        """The newest file; None if there is none, or it can't be read. Raises StorageError."""
        return BackupSet(self._folder()).newest()

    def last_full(self) -> Segment | None:
        """The newest full one; None if there is none, or it can't be read. Raises StorageError."""
        fulls = list(filter(is_full, self._place.names()))
        with tempfile.TemporaryDirectory(prefix="onewriter-copied-") as folder:
            for name in fulls[-1:]:
                self._place.fetch_ends(name, Path(folder, name))
            return BackupSet(folder).last_full()

    def take(self, log: LogReader, **options: Unpack[BackupOptions]) -> Backup:
        """As `take_backup`, or put what waits. Raises StoreLocked if another program has written there."""
        keep = checked_keep(options.pop("keep", None))
        names = self._place.names()
        if has_gap(names):
            options["full"] = True
        if self._is_no_use(names):
            self.close()
        if self._made is None:
            self._made = take_backup(log, self._folder(), copies=_PlaceCopies(self._place), **options)
        made = Path(self._made.file)
        try:
            self._place.put(made, made.name)
        except StoreLocked:
            if not self._is_there(made):
                self.close()
                raise
        for file in BackupSet(made.parent).files():
            if file != made:
                file.unlink()
        done, self._made = replace(self._made, file=f"{self.address}/{made.name}"), None
        if keep is not None:
            self._remove_before(keep, sorted({*names, made.name}))
        return done

    def take_full_of(
        self, log: LogReader, increment: Increment, share: float, keep: int | None, progress: Progress | None
    ) -> Backup | None:
        """Put a full backup in the place of an increment, as `BackupTarget` says."""
        replaced = increment.segment.path.name
        name = full_name_of(replaced)
        with tempfile.TemporaryDirectory(prefix="onewriter-copying-") as folder:
            file = PublishedFile(Path(folder, name))
            try:
                backup = take_full_of(log, increment, file, share, progress)
                if backup is None:
                    return None
                file.publish()
            finally:
                file.discard()  # does nothing once it is published
            self._place.put(file.path, name)
        self._place.remove(replaced)
        if keep is not None:
            self._remove_before(keep, self._place.names())
        return replace(backup, file=f"{self.address}/{name}")

    def _is_no_use(self, names: list[str]) -> bool:
        """Whether what is in the temporary folder continues what is not in the place any more."""
        if self._temporary is None:
            return False
        if self._made is not None and has_gap(sorted({*names, Path(self._made.file).name})):
            return True
        waiting = None if self._made is None else Path(self._made.file).name
        kept = [file.name for file in BackupSet(self._temporary.name).files() if file.name != waiting]
        return any(name not in names for name in kept)

    def close(self) -> None:
        """Remove the temporary folder; the next call looks again at what is in the place."""
        self._made = None
        temporary, self._temporary = self._temporary, None
        if temporary is not None:
            temporary.cleanup()

    def _folder(self) -> Path:
        """The temporary folder, in which the newest file is, or at least its ends."""
        if self._temporary is None:
            names = self._place.names()
            temporary = tempfile.TemporaryDirectory(prefix="onewriter-copying-")
            try:
                if names:
                    self._place.fetch_ends(names[-1], Path(temporary.name, names[-1]))
            except BaseException:
                temporary.cleanup()
                raise
            self._temporary = temporary
        return Path(self._temporary.name)

    def _is_there(self, made: Path) -> bool:
        """Whether this very file is in the place: a call may succeed although its answer was lost."""
        with tempfile.TemporaryDirectory(prefix="onewriter-copied-") as folder:
            there = Path(folder, made.name)
            self._place.fetch_ends(made.name, there)
            found, mine = readable_segment(there), readable_segment(made)
            return found is not None and mine is not None and found.header.id == mine.header.id

    def _remove_before(self, keep: int, names: list[str]) -> None:
        fulls = list(filter(is_full, names))
        if len(fulls) >= keep:
            for name in names[: names.index(fulls[-keep])]:
                self._place.remove(name)
            remove_copies(_PlaceCopies(self._place), self._ends(names[names.index(fulls[-keep]) :]))

    def _ends(self, names: list[str]) -> Iterator[Segment | None]:
        """The last file of each full backup and its increments, with its ends alone."""
        for name in ends_of_runs(names):
            with tempfile.TemporaryDirectory(prefix="onewriter-copied-") as folder:
                self._place.fetch_ends(name, Path(folder, name))
                yield readable_segment(Path(folder, name))


class _PlaceCopies:
    """The copies of archives in a place."""

    def __init__(self, place: BackupPlace) -> None:
        self._place = place

    def names(self) -> list[str]:
        return self._place.copies()

    def add(self, file: ArchiveFile, name: str, copied: Copied) -> None:
        if file.digest() != file.end.digest:
            raise ArchiveUnavailable(f"the archive {file.path} is damaged; put a sound copy there")
        try:
            self._place.put(file.path, name)
            copied(file.size)
        except StoreLocked:
            # An earlier call has put it, and its answer was lost: the name has the file's digest.
            if name not in self._place.copies():
                raise

    def remove(self, name: str) -> None:
        self._place.remove(name)

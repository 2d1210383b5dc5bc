"""Backups into a set that is elsewhere: a file is made in a temporary folder, and put there. One thread."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from storage.archive.archive_file import ArchiveFile
from storage.backup.archive_copies import Copied, remove_copies
from storage.backup.backup_set import BackupSet, checked_keep, ends_of_runs, full_name_of, has_gap, is_full
from storage.backup.backup_writer import Backup, Progress
from storage.backup.full_of_increment import Increment, take_full_of
from storage.backup.places import BackupPlace
from storage.backup.segment_reader import Segment, readable_segment
from storage.backup.take_backup import BackupOptions, take_backup
from storage.errors import ArchiveUnavailable, StoreLocked
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader

__all__ = ["RemoteTarget"]


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
        return self._ends_of(fulls[-1]) if fulls else None

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
        there, mine = self._ends_of(made.name), readable_segment(made)
        return there is not None and mine is not None and there.header.id == mine.header.id

    def _remove_before(self, keep: int, names: list[str]) -> None:
        fulls = list(filter(is_full, names))
        if len(fulls) >= keep:
            for name in names[: names.index(fulls[-keep])]:
                self._place.remove(name)
            kept = names[names.index(fulls[-keep]) :]
            remove_copies(_PlaceCopies(self._place), map(self._ends_of, ends_of_runs(kept)))

    def _ends_of(self, name: str) -> Segment | None:
        """A file of the place, of which its ends can be read; None if they can't. Raises StorageError."""
        with tempfile.TemporaryDirectory(prefix="onewriter-copied-") as folder:
            copy = Path(folder, name)
            self._place.fetch_ends(name, copy)
            return readable_segment(copy)


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

"""The files of a log's archives in a set of backups: each is copied once, as it never changes. One thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from storage.archive.archive_file import ArchiveFile
from storage.archive.archives import Archives, KnownArchive
from storage.backup.backup_set import BackupSet
from storage.backup.segment_format import ArchiveCopy
from storage.backup.segment_reader import Segment
from storage.errors import ArchiveUnavailable
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader

__all__ = [
    "ArchiveCopies",
    "Copied",
    "FolderCopies",
    "add_copies",
    "archives_of_set",
    "copy_archive",
    "remove_copies",
]

PIECE = 1 << 20

Copied = Callable[[int], object]
"""Called with the number of bytes that were copied since the last call."""


class ArchiveCopies(Protocol):
    """Where the copies of a set are."""

    def names(self) -> Sequence[str]:
        """Their names. Raises StorageError."""

    def add(self, file: ArchiveFile, name: str, copied: Copied) -> None:
        """Add a copy; it has its name only once all of it is there. Raises StorageError."""

    def remove(self, name: str) -> None:
        """Remove a copy. Raises StorageError."""


class FolderCopies:
    """Those in a folder of backups."""

    def __init__(self, backups: BackupSet) -> None:
        self._backups = backups

    def names(self) -> Sequence[str]:
        """Their names. Raises StorageError."""
        return self._backups.copies()

    def add(self, file: ArchiveFile, name: str, copied: Copied) -> None:
        """Add a copy. Raises ArchiveUnavailable if the file is damaged; StoreFull, StorageError."""
        copy_archive(file, self._backups.path / name, copied)

    def remove(self, name: str) -> None:
        """Remove a copy. Raises StorageError."""
        path = self._backups.path / name
        try:
            path.unlink()
            sync_directory(path.parent)
        except OSError as error:
            raise from_system(error, f"{path} can't be removed", path) from error


def copy_archive(file: ArchiveFile, target: Path, copied: Copied = lambda _: None) -> None:
    """Copy the file of an archive; it is verified on its way, and on disk on return.

    Raises ArchiveUnavailable if it is damaged, StoreFull, StorageError. There is then nothing at `target`.
    """
    copy = PublishedFile(target)
    try:
        with file.path.open("rb") as source:
            while data := source.read(PIECE):
                copy.write(data)
                copied(len(data))
        if file.digest() != file.end.digest:
            raise ArchiveUnavailable(f"the archive {file.path} is damaged; put a sound copy there")
        copy.publish()
    except OSError as error:
        copy.discard()
        raise from_system(error, f"the archive {file.path} can't be copied", file.path) from error
    except BaseException:
        copy.discard()
        raise


def add_copies(
    copies: ArchiveCopies, log: LogReader, archives: Iterable[ArchiveCopy], copied: Copied
) -> None:
    """Copy the files of a log's archives that a set lacks.

    Raises ArchiveUnavailable for one that is missing or damaged, StorageError.
    """
    wanted = [one for one in archives if not one.removed]
    there = copies.names() if wanted else ()
    for one in wanted:
        if one.name not in there:
            copies.add(log.archive_file(one.number), one.name, copied)


def remove_copies(copies: ArchiveCopies, ends: Iterable[Segment | None]) -> None:
    """Remove copies that no backup of a set needs; none if a file of it can't be read. Raises StorageError.

    `ends` are the last files of its full backups and their increments: these have the same archives.
    """
    needed: set[str] = set()
    there = copies.names()
    if not there:
        return
    for segment in ends:
        if segment is None:
            return
        needed.update(one.name for one in segment.end.archives if not one.removed)
    for name in there:
        if name not in needed:
            copies.remove(name)


def archives_of_set(folder: Path, segment: Segment) -> Archives:
    """The archives that the log of a segment had, as copied into the folder of its set."""
    known = {one.number: one for one in segment.end.archives}

    def find(number: int) -> KnownArchive | None:
        one = known.get(number)
        return None if one is None else KnownArchive(one.digest, one.removed)

    return Archives(folder, find, lambda number, _: known[number].name)

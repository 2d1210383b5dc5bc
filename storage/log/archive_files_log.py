"""The files of the archives of a log that is open for writing: written, cancelled and erased.

Nothing here changes the log. Any thread, where nothing else is said.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from storage.archive.archive_file import ArchiveFile
from storage.archive.archive_format import ENDING, ArchiveHeader
from storage.archive.archive_writer import ArchiveWriter
from storage.errors import ArchiveRefused, ArchiveUnavailable, NewerFormat, StorageError
from storage.files.environment import make_directory
from storage.files.erasing import erase_file
from storage.files.error_translation import from_system
from storage.files.header import ARCHIVES_FORMAT
from storage.files.opening_resources import sync_directory
from storage.files.published_file import PARTIAL, PublishedFile, is_being_written
from storage.log.archive_records import ArchiveRecord, begun_archive, last_archive, stored_archives
from storage.log.archiving import whole_events
from storage.log.correction_entries import last_number
from storage.log.writable_log import WritableLog

__all__ = ["ArchiveFilesLog"]

logger = logging.getLogger("onewriter.log")

READ_TOGETHER = 1_000
"""Events that are read in one transaction."""

Progress = Callable[[int, int], None]


class ArchiveFilesLog(WritableLog):
    """The base of `ArchivingLog`, which changes the log."""

    def _finish_opening(self) -> None:
        self._beginning = threading.Lock()
        try:
            self._remove_leftover_archives()
        except StorageError as error:
            logger.warning("%s", error)
        except OSError as error:
            # Such as a share that is gone: only what needs the events fails.
            logger.warning("%s", from_system(error, f"{self._archives.folder} can't be read", self.path))

    def begin_archive(
        self,
        positions: Sequence[int],
        *,
        who: str,
        why: str,
        time_us: int,
        progress: Progress | None = None,
    ) -> ArchiveRecord:
        """Write the file of a new archive of the events at these positions, in order; the log stays as it is.

        `move_to_archive` moves them then. A file that was begun before and is not in use is replaced.
        `progress` is called with the number of events that are written, and of all. Any thread.

        Raises ArchiveRefused for positions that are not in order, not in the log, or archived already, and if
        another archive is being begun; StoreFull, StorageError, DamagedStore.
        """
        if not positions:
            raise ArchiveRefused("there are no events to archive; name some")
        if not self._beginning.acquire(blocking=False):
            raise ArchiveRefused(f"another archive of the log in {self.path} is being begun; wait for it")
        try:
            with self._reading() as transaction:
                number = last_archive(transaction, self._databases) + 1
                corrections = last_number(transaction, self._databases)
            header = ArchiveHeader(self.first_history_id, number, who, why, time_us, corrections)
            path = self._archives.path(number)
            self._require_own(path)
            made = self._write_archive(path, header, positions, progress)
        finally:
            self._beginning.release()
        return begun_archive(path, made)

    def _write_archive(
        self, path: Path, header: ArchiveHeader, positions: Sequence[int], progress: Progress | None
    ) -> ArchiveFile:
        make_directory(path.parent)
        partial = path.with_name(path.name + PARTIAL)
        if partial.exists() and is_being_written(partial):
            raise ArchiveRefused(
                f"{partial} is being written by another store: give each its own folder of archives"
            )
        try:
            partial.unlink(missing_ok=True)
        except OSError as error:
            raise from_system(error, f"{path} can't be written", path) from error
        file = PublishedFile(path)
        try:
            writer = ArchiveWriter(file.write, header)
            for position, event in self._events_at(positions, progress):
                writer.add(position, event)
            writer.end()
            file.publish()
            made = ArchiveFile.open(path)
            made.check()
        except BaseException:
            file.discard()
            raise
        return made

    def cancel_archive(self, number: int) -> None:
        """Remove the file of an archive that was begun and of which the log does not know. Any thread.

        Raises ArchiveRefused for another one, StorageError.
        """
        with self._beginning, self._writing:
            with self._reading():
                known = self._known_archive(number)
            if known is not None:
                raise ArchiveRefused(
                    f"archive {number} of the log in {self.path} is in use: remove it instead"
                )
            path = self._archives.path(number)
            if os.path.exists(path):
                self._require_own(path)
                erase_file(path)

    def erase_removed_archives(self) -> None:
        """Overwrite and delete the files of archives that were removed, as far as they are still there.

        A file that is an archive of another log is left alone: the folder may be that log's. Any thread,
        while no other one does it. Raises StorageError, DamagedStore.
        """
        if self._header.format >= ARCHIVES_FORMAT:
            with self._reading() as transaction:
                found = stored_archives(transaction, self._databases, self._records)
            for archive in found:
                path = self._archives.path(archive.number)
                if archive.removal and os.path.exists(path) and not self._is_foreign(path, archive.digest):
                    self._erase(path)

    # -- inside ----------------------------------------------------------------------------------------------
    def _events_at(self, positions: Sequence[int], progress: Progress | None) -> Iterator[tuple[int, bytes]]:
        following, before, done = iter(positions), 0, 0
        while part := list(islice(following, READ_TOGETHER)):
            for position in part:
                if not before < position <= self._head:
                    raise ArchiveRefused(
                        f"position {position} comes after position {before} where events of the log in "
                        f"{self.path} are to be archived, which ends at {self._head}; give them in order"
                    )
                before = position
            with self._reading() as transaction:
                found = whole_events(transaction, self._databases, self._records, part)
            yield from found
            done += len(part)
            if progress is not None:
                progress(done, len(positions))

    def _require_own(self, path: Path) -> None:
        """Raise ArchiveRefused for a file that this log has not begun."""
        if not os.path.exists(path):
            return
        try:
            if ArchiveFile.open(path).header.history_id == self.first_history_id:
                return
            what = "is an archive of another log"
        except ArchiveUnavailable as error:
            what = f"is there already ({error})"
        raise ArchiveRefused(f"{path} {what}; move it away")

    def _is_foreign(self, path: Path, digest: bytes | None = None) -> bool:
        """Whether a file is certainly an archive of another log, or not that of a digest: it is not erased.

        A file of which less can be said, such as one that is erased in part, is this log's.
        """
        try:
            foreign = ArchiveFile.header_of(path).history_id != self.first_history_id
            foreign = foreign or (digest is not None and ArchiveFile.open(path).end.digest != digest)
        except ArchiveUnavailable:
            return False
        except NewerFormat:
            foreign = True
        if foreign:
            logger.warning(
                "%s is left alone: it is an archive of another log than the one in %s; if two stores have "
                "the same folder of archives, give each its own",
                path,
                self.path,
            )
        return foreign

    def _remove_leftover_archives(self) -> None:
        """Remove files that a call which did not end has left. Raises StorageError."""
        folder = self._archives.folder
        with suppress(FileNotFoundError):
            for name in os.listdir(folder):
                if not name.endswith(ENDING + PARTIAL) or is_being_written(folder / name):
                    continue
                if not self._is_foreign(folder / name):
                    erase_file(folder / name)
        if os.path.isdir(folder):
            self.erase_removed_archives()

    def _erase(self, path: Path) -> None:
        erase_file(path)
        with suppress(FileNotFoundError):
            try:
                sync_directory(path.parent)
            except OSError as error:
                raise from_system(error, f"{path.parent} can't be written", path) from error

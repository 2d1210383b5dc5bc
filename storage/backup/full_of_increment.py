"""Makes a full backup that ends where an increment does, while others continue the increment. One thread.

It takes the place of the increment in its set, with its id: what continues the increment continues it. So a
full backup, which takes a while, holds up nothing. Events up to there never change; it has the notes of the
increment.
"""

from __future__ import annotations

from typing import NamedTuple

from storage.backup.backup_writer import Backup, BackupWriter, Progress
from storage.backup.notes_digest import NotesDigest
from storage.backup.pace import Pace, checked_share
from storage.backup.segment_format import LinkRecord, Point
from storage.backup.segment_reader import ADVICE, Segment, read_notes
from storage.errors import DamagedStore, EventsRemoved, InvalidBackup
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader
from storage.log.open_log import LogTransaction

__all__ = ["Increment", "take_full_of"]


class Increment(NamedTuple):
    """An increment, and its notes in stored bytes."""

    segment: Segment
    notes: list[tuple[bytes, bytes]]

    @classmethod
    def read(cls, segment: Segment) -> Increment:
        """One that has all notes. Raises InvalidBackup."""
        notes = read_notes(segment)
        digest = NotesDigest()
        for key, stored in notes:
            digest.add(key, stored)
        if digest.digest() != segment.end.notes_digest:
            raise InvalidBackup(f"{segment.path} has other notes than it says; {ADVICE}")
        return cls(segment, notes)

    @property
    def end(self) -> Point:
        """Where it ends."""
        return self.segment.end.point


def take_full_of(
    log: LogReader, increment: Increment, file: PublishedFile, share: float, progress: Progress | None
) -> Backup | None:
    """Write a full backup that ends where an increment does to a file, which is not published yet.

    None if the log no longer has the archives that it had then: the next backup is full by itself. See
    `take_backup` for the rest. Raises DamagedStore, StoreFull, StorageError.
    """
    try:
        return _FullBackupWriter(log, increment, file, Pace(None, checked_share(share)), progress).run()
    except EventsRemoved:
        return None


class _FullBackupWriter(BackupWriter):
    """Writes one such backup."""

    def __init__(
        self,
        log: LogReader,
        increment: Increment,
        file: PublishedFile,
        pace: Pace,
        progress: Progress | None,
    ) -> None:
        archives = list(increment.segment.end.archives)
        super().__init__(log, None, archives, file, pace, progress, id=increment.segment.header.id)
        self._increment = increment

    def run(self) -> Backup | None:
        """Write everything; None if an archive was made or removed meanwhile."""
        backup = super().run()
        if backup is not None and self._chain.point != self._increment.end:
            raise DamagedStore(
                f"the log in {self._log.path} has another history up to position {backup.position} than "
                f"{self._increment.segment.path}, which was made of it"
            )
        return backup

    def _head(self, log: LogTransaction) -> int:  # noqa: ARG002
        return self._increment.end.position

    def _last_links(self, log: LogTransaction, head: int) -> list[LinkRecord]:
        return [link for link in super()._last_links(log, head) if link.key <= self._increment.end.link]

    def _write_notes(self, log: LogTransaction) -> tuple[bytes, int, bool]:  # noqa: ARG002
        self._writer.notes(self._increment.notes)
        return self._increment.segment.end.notes_digest, len(self._increment.notes), False

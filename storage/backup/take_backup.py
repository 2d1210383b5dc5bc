"""Takes a backup of a log, while others write to it. The caller's thread.

Events are read in short transactions, so no page is kept from being used again for long. The last of them
reads what is left, with the notes: the backup is that of one commit. Everything is verified as it is written.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypedDict

from storage.backup.archive_copies import ArchiveCopies, FolderCopies, add_copies, remove_copies
from storage.backup.backup_set import BackupSet, checked_keep, require_distinct
from storage.backup.chain_follower import ChainFollower, correction_time, link_fields
from storage.backup.pace import Pace, checked_rate, checked_share
from storage.backup.run_pool import RunPool, workers_for
from storage.backup.segment_format import (
    ARCHIVES_FORMAT,
    FORMAT,
    ArchiveCopy,
    LinkRecord,
    Point,
    SegmentEnd,
    SegmentHeader,
)
from storage.backup.segment_reader import Segment
from storage.backup.segment_source import (
    archive_copies,
    changes_of,
    is_on_chain,
    last_position,
    notes_digest,
    read_links,
    read_stretch,
    stored_notes,
    time_of_event,
)
from storage.backup.segment_writer import SegmentWriter
from storage.errors import EventsRemoved, StorageError
from storage.files.published_file import PublishedFile
from storage.log.checksums import first_link
from storage.log.log_reader import LogReader
from storage.log.open_log import LogTransaction

__all__ = ["Backup", "BackupOptions", "take_backup"]

STRETCH = 1_000
"""Events that are read in one transaction."""
SHORT_STRETCH = 250
"""The same where time is left to others: it takes about half a millisecond."""
LEFT = 1_000
"""So many events may be left for the last transaction, which is read without pauses."""
ROUNDS = 50
"""After so many looks for new events whatever is left is read in the last transaction."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is complete: a file, with the log from position `first` to `position`.

    `full` says that it needs no other file. `time` is that of the last event, and `chain` the digest of the
    chain there; `bytes` is the size of the file. `commands` are records that are in no event.
    """

    file: str
    full: bool
    first: int
    position: int
    time: datetime
    chain: str
    events: int
    commands: int
    notes: int
    bytes: int
    seconds: float


class BackupOptions(TypedDict, total=False):
    """What `take_backup` takes beside log and target."""

    full: bool
    share: float
    max_bytes_per_second: float | None
    keep: int | None
    whole_notes: bool
    progress: Progress | None


def take_backup(
    log: LogReader,
    target: str | os.PathLike[str],
    *,
    full: bool = False,
    share: float = 1.0,
    max_bytes_per_second: float | None = None,
    keep: int | None = None,
    whole_notes: bool = False,
    progress: Progress | None = None,
    copies: ArchiveCopies | None = None,
) -> Backup:
    """Add a backup of a log to the folder `target`: an increment, or a full one with `full`.

    It is a full one, too, if the newest in the folder is not of this log as it is now. It takes a `share` of
    the thread's time, or more if the log grows faster than that, and writes up to `max_bytes_per_second`,
    None for no limit. `progress` is called with the position that is reached, and the last one. `copies` are
    where the files of archives are copied to, the folder unless it is given. On return
    the file is on disk, and what comes before the last `keep` full backups is removed; None removes nothing.
    With `whole_notes` an increment has all notes, even if they are as in the file before it.

    Raises InvalidBackup for a folder of something else, StoreLocked if another backup into it is running,
    DamagedStore for damage in the log, StoreFull, StorageError, ValueError. The file is then not there, and
    the others are as before.

    Files of archives are copied beside it, unless they are there already. A backup is full by itself after
    an archive was made or removed.
    """
    keep = checked_keep(keep)
    pace = Pace(checked_rate(max_bytes_per_second), checked_share(share))
    backups = BackupSet(target)
    require_distinct(backups.path, log.path)
    with backups.writing():
        base = None if full else backups.newest()
        backup = None
        while backup is None:
            backup = _take(
                log, base, backups, copies or FolderCopies(backups), pace, progress, whole_notes=whole_notes
            )
            base = None
        if keep is not None:
            backups.remove_before(keep)
            remove_copies(FolderCopies(backups), backups.runs_ends())
        return backup


def _take(
    log: LogReader,
    base: Segment | None,
    backups: BackupSet,
    copies: ArchiveCopies,
    pace: Pace,
    progress: Progress | None,
    *,
    whole_notes: bool,
) -> Backup | None:
    """Take a backup; None if an archive was made or removed meanwhile."""
    file = None
    try:
        with log.transaction() as transaction:
            _require_chain(transaction)
            archives = archive_copies(transaction)
            if base is not None and not _continues(log, transaction, base, archives):
                base = None
        file = PublishedFile(backups.next_path(full=base is None), gentle=pace.gentle)
        backup = Taking(log, base, archives, file, pace, progress, whole_notes=whole_notes).run()

        def copied(size: int) -> None:
            pace.after(size)
            if progress is not None and backup is not None:
                progress(backup.position, backup.position)

        if backup is not None:
            add_copies(copies, log, archives, copied)
            file.publish()
        return backup
    except EventsRemoved:
        return None
    finally:
        if file is not None:
            file.discard()  # does nothing once it is published


def _require_chain(log: LogTransaction) -> None:
    if not log.records.checked:
        raise StorageError(
            f"{log.records.what} has an older format, without checksums: open it for writing once, then back "
            "it up"
        )


def _continues(
    log: LogReader, transaction: LogTransaction, base: Segment, archives: list[ArchiveCopy]
) -> bool:
    return (
        base.header.history_id == log.history_id
        and list(base.end.archives) == archives
        and is_on_chain(transaction, base.end.point, log.first_history_id)
    )


class Taking:
    """One backup."""

    def __init__(
        self,
        log: LogReader,
        base: Segment | None,
        archives: list[ArchiveCopy],
        file: PublishedFile,
        pace: Pace,
        progress: Progress | None,
        *,
        id: str | None = None,
        whole_notes: bool = False,
    ) -> None:
        """It continues `base`, None for a full one. It gets an `id` of its own, unless one is given."""
        self._log = log
        self._archives = archives
        self._file = file
        self._pace = pace
        self._together = SHORT_STRETCH if pace.gentle else STRETCH
        self._progress = progress
        self._began = time.monotonic()
        begun = datetime.now(UTC)
        if base is None:
            point, base_id = Point(0, first_link(log.first_history_id)), ""
            self._base_notes, self._time_us = b"", 0
        else:
            point, base_id = base.end.point, base.header.id
            self._base_notes = b"" if whole_notes else base.end.notes_digest
            self._time_us = base.end.time_us
        self._header = SegmentHeader(
            id or uuid.uuid4().hex,
            log.history_id,
            log.first_history_id,
            log.created,
            begun,
            point,
            base_id,
            ARCHIVES_FORMAT if archives else FORMAT,
        )
        with log.transaction() as transaction:
            own = transaction.records.archives
        self._chain = ChainFollower(point, f"the log in {log.path}", own)
        self._writer = SegmentWriter(file.write, self._header)
        self._commands = 0

    def run(self) -> Backup | None:
        """Write everything; None if an archive was made or removed meanwhile."""
        self._most()
        with self._log.transaction() as log:
            if archive_copies(log) != self._archives:
                return None
            end = self._rest(log)
        self._writer.end(end)
        point = end.point
        return Backup(
            str(self._file.path),
            self._header.full,
            self._header.base.position + 1,
            point.position,
            end.time,
            point.digest.hex(),
            end.events,
            end.commands,
            end.notes,
            self._writer.written,
            time.monotonic() - self._began,
        )

    def _most(self) -> None:
        """Write events until few are left, in many transactions."""
        with ExitStack() as stack:
            pool = None
            for number in range(ROUNDS):
                if number:
                    self._pace.hurry()
                with self._log.transaction() as log:
                    head = self._head(log)
                left = head - self._chain.point.position
                if left <= LEFT:
                    return
                workers = 0 if number or self._pace.gentle else workers_for(left)
                if workers:
                    pool = RunPool(self._log, self._file, self._together, workers)
                    stack.enter_context(closing(pool))
                self._until(head, pool)

    def _until(self, head: int, pool: RunPool | None) -> None:
        """Write events up to a position, with a pool as far as that is of use."""
        while self._chain.point.position < head:
            if pool is not None and pool.useful:
                pool.write(self._chain, self._writer, head, partial(self._say, head))
                if self._chain.point.position == head:
                    return
            with self._log.transaction() as log:
                size = self._stretch(log, head)
            self._pace.after(size)
            self._say(head)

    def _say(self, head: int) -> None:
        if self._progress is not None:
            self._progress(self._chain.point.position, head)

    def _rest(self, log: LogTransaction) -> SegmentEnd:
        """Write what is left, as one transaction sees it."""
        head = self._head(log)
        while self._chain.point.position < head:
            self._stretch(log, head)
        self._links(log, self._last_links(log, head))
        point = self._chain.end()
        notes_at = self._writer.written
        digest, notes, kept = self._notes(log)
        return SegmentEnd(
            point,
            time_of_event(log, point.position) or self._time_us,
            point.position - self._header.base.position,
            self._commands,
            notes,
            digest,
            kept,
            notes_at,
            datetime.now(UTC),
            self._archives,
        )

    def _head(self, log: LogTransaction) -> int:
        """The position up to which events are written."""
        return last_position(log)

    def _last_links(self, log: LogTransaction, head: int) -> list[LinkRecord]:
        """The links after the last event."""
        return read_links(log, self._chain.point.link, head)

    def _notes(self, log: LogTransaction) -> tuple[bytes, int, bool]:
        """Write the notes, unless the base has the same; returns digest, number, and whether it has."""
        digest, notes = notes_digest(log)
        kept = digest == self._base_notes
        if not kept:
            self._writer.notes(stored_notes(log))
        return digest, notes, kept

    def _stretch(self, log: LogTransaction, head: int) -> int:
        """Write the next events, up to a position at most; returns how many bytes."""
        before = self._writer.written
        left = head - self._chain.point.position
        stretch = read_stretch(log, self._chain.point, min(self._together, left))
        self._links(log, stretch.links)
        if stretch.values:
            self._chain.events(stretch.first, stretch.values)
            self._writer.events(stretch.first, stretch.values)
        return self._writer.written - before

    def _links(self, log: LogTransaction, links: list[LinkRecord]) -> None:
        self._chain.links(links)
        together: list[LinkRecord] = []
        for link in links:
            self._commands += len(link.commands)
            if link.operation:
                # Whoever stops before a correction has read all links before it, and none of its changes.
                self._writer.links(together)
                number = link_fields(link)[2]
                time_us = correction_time(link.operation, number)
                self._writer.corrected(number, time_us, changes_of(log, number))
                together = []
            together.append(link)
        self._writer.links(together)

"""Writes a backup of a log to a file, while others write to the log. The thread of the backup.

Events are read in short transactions, so no page is kept from being used again for long. The last of them
reads what is left, with the notes: the backup is that of one commit. Everything is verified as it is written.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from storage.backup.chain_follower import ChainFollower, correction_time, link_fields
from storage.backup.pace import Pace
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
    last_position,
    notes_digest,
    read_links,
    read_stretch,
    stored_notes,
    time_of_event,
)
from storage.backup.segment_writer import SegmentWriter
from storage.files.published_file import PublishedFile
from storage.log.checksums import first_link
from storage.log.log_reader import LogReader
from storage.log.open_log import LogTransaction

__all__ = ["Backup", "BackupWriter", "Progress"]

STRETCH = 1_000
"""Events that are read in one transaction."""
SHORT_STRETCH = 250
"""The same where time is left to others: it takes about half a millisecond."""
LEFT = 1_000
"""So many events may be left for the last transaction, which is read without pauses."""
ROUNDS = 50
"""After so many looks for new events whatever is left is read in the last transaction."""

Progress = Callable[[int, int], None]
"""Called with the position that is reached, and the last one."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is complete: a file, with the log from position `first` to `position`.

    `full` says that it needs no other file. `time` is that of the last event, and `chain` the digest of the
    chain there; `bytes` is the size of the file. `commands` are records that are in no event. `seconds` is
    how long it took.
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


class BackupWriter:
    """Writes one backup to a file, which is not published yet. Use it once."""

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
        self._stretch = SHORT_STRETCH if pace.gentle else STRETCH
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
        """Write everything; None if an archive was made or removed meanwhile.

        Raises EventsRemoved if one was removed whose events it needs; DamagedStore, StoreFull, StorageError.
        """
        self._write_most()
        with self._log.transaction() as log:
            if archive_copies(log) != self._archives:
                return None
            end = self._write_rest(log)
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

    def _write_most(self) -> None:
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
                    pool = RunPool(self._log, self._file, self._stretch, workers)
                    stack.enter_context(closing(pool))
                self._write_until(head, pool)

    def _write_until(self, head: int, pool: RunPool | None) -> None:
        """Write events up to a position, with a pool as far as that is of use."""
        while self._chain.point.position < head:
            if pool is not None and pool.useful:
                pool.write(self._chain, self._writer, head, partial(self._report, head))
                if self._chain.point.position == head:
                    return
            with self._log.transaction() as log:
                size = self._write_stretch(log, head)
            self._pace.after(size)
            self._report(head)

    def _report(self, head: int) -> None:
        if self._progress is not None:
            self._progress(self._chain.point.position, head)

    def _write_rest(self, log: LogTransaction) -> SegmentEnd:
        """Write what is left, as one transaction sees it."""
        head = self._head(log)
        while self._chain.point.position < head:
            self._write_stretch(log, head)
        self._write_links(log, self._last_links(log, head))
        point = self._chain.end()
        notes_at = self._writer.written
        digest, notes, kept = self._write_notes(log)
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

    def _write_notes(self, log: LogTransaction) -> tuple[bytes, int, bool]:
        """Write the notes, unless the base has the same; returns digest, number, and whether it has."""
        digest, notes = notes_digest(log)
        kept = digest == self._base_notes
        if not kept:
            self._writer.notes(stored_notes(log))
        return digest, notes, kept

    def _write_stretch(self, log: LogTransaction, head: int) -> int:
        """Write the next events, up to a position at most; returns how many bytes."""
        before = self._writer.written
        left = head - self._chain.point.position
        stretch = read_stretch(log, self._chain.point, min(self._stretch, left))
        self._write_links(log, stretch.links)
        if stretch.values:
            self._chain.events(stretch.first, stretch.values)
            self._writer.events(stretch.first, stretch.values)
        return self._writer.written - before

    def _write_links(self, log: LogTransaction, links: list[LinkRecord]) -> None:
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

"""Restores a log from the files of a backup that lead to a point. The caller's thread.

Every event, link and correction is checked on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zlib import crc32

import msgpack

from storage.archive.archive_file import ArchiveFile
from storage.archive.archive_format import archive_name
from storage.archive.archives import ARCHIVES_FOLDER
from storage.backup.archive_copies import archives_of_set, copy_archive
from storage.backup.chain_follower import ChainFollower, correction_time, link_fields
from storage.backup.restored_log import RestoredLog
from storage.backup.restored_notes import ChooseNotes, RestoredPoint, chosen_notes
from storage.backup.segment_format import (
    CORRECTED,
    EVENTS,
    LINKS,
    ArchiveCopy,
    LinkRecord,
    Point,
    unpack_events,
)
from storage.backup.segment_reader import ADVICE, Segment, segment_blocks
from storage.errors import DamagedStore, InvalidBackup
from storage.files.environment import make_directory
from storage.files.header import ARCHIVES_FORMAT, Header
from storage.log.checksums import COMMIT_ENDS, first_link
from storage.log.corrections import ChangedEvent
from storage.log.record_format import RecordFormat
from storage.log.records import EPOCH, time_us_of

__all__ = ["LogRestorer", "Progress"]

Progress = Callable[[int, int], None]
"""Called with the position that is reached, and the last one."""


class LogRestorer:
    """Restores one log into an empty folder. Use it once."""

    def __init__(
        self,
        segments: Sequence[Segment],
        path: Sequence[Segment],
        folder: Path,
        position: int | None,
        at: datetime | None,
        notes: ChooseNotes | None,
        progress: Progress | None,
    ) -> None:
        """`path` are those of the `segments` that lead to the point, which is the end of the last one without
        a `position` and a time `at`."""
        self._segments = segments
        self._path = path
        self._folder = folder
        self._position = position
        self._at = None if at is None else int((at - EPOCH).total_seconds() * 1e6)
        self._choose = notes
        self._progress = progress
        first = path[0].header
        new = Header.new("log")
        self.header = Header("log", new.history_id, first.created, new.format, first.first_history_id)
        self.chain = ChainFollower(Point(0, first_link(first.first_history_id)), f"the backup {path[0].path}")
        self.files = 0
        """Files of the backup that it has read."""
        self.lacks_removed = False
        """Whether `run` failed as it needs events of an archive that was removed after the point."""
        self.restored: RestoredPoint
        """Where the log ends, once `run` has returned."""
        self._links: list[LinkRecord] = []
        """Those that follow events which are not there yet."""
        self._time_us = 0

    def run(self) -> None:
        """Write all of the store.

        Raises InvalidBackup, DamagedStore, ArchiveUnavailable, StorageError; lmdb.Error.
        """
        with closing(RestoredLog(self._folder)) as log:
            for segment in self._path:
                self.files += 1
                if not self._take_segment(log, segment):
                    break
            self._take_archives(log, segment)
            log.index()
            if self._at is not None and not self.chain.point.position:
                raise InvalidBackup(f"the backup has nothing up to that moment; {_range(self._path)}")
            self.restored, notes = chosen_notes(
                log, self.header, self._segments, self._path[0], self.chain.point, self._time_us, self._choose
            )
            log.end(notes, self.header)

    def _take_segment(self, log: RestoredLog, segment: Segment) -> bool:
        """Take over a segment; False if the store ends within it."""
        self.chain.archives = archives_of_set(segment.path.parent, segment)
        if segment.header.base != self.chain.point:
            raise InvalidBackup(f"{segment.path} does not begin where the file before it ends; {ADVICE}")
        take = {EVENTS: self._take_events, LINKS: self._take_links, CORRECTED: self._take_changes}
        for kind, data in segment_blocks(segment):
            if kind in take and not take[kind](log, data):
                return False
        if self._links or self.chain.end() != segment.end.point:
            raise InvalidBackup(f"{segment.path} does not end where it says; {ADVICE}")
        return True

    def _take_events(self, log: RestoredLog, data: bytes) -> bool:
        first, values = unpack_events(data)
        wanted = self._wanted(first, values)
        if wanted:
            self._follow_links(log, first + wanted - 1)
            self.chain.events(first, values[:wanted])
            log.events(first, values[:wanted])
            if self._progress is not None:
                self._progress(self.chain.point.position, self._path[-1].end.point.position)
        return wanted == len(values)

    def _wanted(self, first: int, values: list[bytes]) -> int:
        """How many of these events belong to the restored store."""
        many = len(values)
        if self._position is not None:
            many = min(many, max(self._position + 1 - first, 0))
        if many == len(values) and self._at is None:
            self._time_us = _time_of(first + many - 1, values[-1])
            return many
        wanted = 0
        for index in range(many):
            if crc32(values[index], first + index) not in COMMIT_ENDS:
                continue
            time_us = _time_of(first + index, values[index])
            if self._at is not None and time_us > self._at:
                break
            wanted, self._time_us = index + 1, time_us
        return wanted

    def _take_links(self, log: RestoredLog, data: bytes) -> bool:
        for fields in msgpack.unpackb(data):
            record = LinkRecord.of(fields)
            if record.operation and self._is_later(correction_time(record.operation, link_fields(record)[2])):
                self._follow_links(log, self.chain.point.position)
                return False
            self._links.append(record)
        self._follow_links(log, self.chain.point.position)
        return True

    def _follow_links(self, log: RestoredLog, until: int) -> None:
        """Follow the links up to a position, which the next events may reach."""
        now = [link for link in self._links if int.from_bytes(link.key[:8]) <= until]
        if now:
            self._links = self._links[len(now) :]
            self.chain.links(now)
            log.links(now)

    def _take_changes(self, log: RestoredLog, data: bytes) -> bool:
        changes = msgpack.unpackb(data)
        number, time_us = changes[0][:2]
        if self._is_later(time_us):
            return False
        log.corrected(number, [ChangedEvent(*change[2:]) for change in changes])
        return True

    def _is_later(self, time_us: int) -> bool:
        return self._at is not None and time_us > self._at

    def _take_archives(self, log: RestoredLog, segment: Segment) -> None:
        """Take over the archives of the log, as it was where the store ends in this segment.

        Raises InvalidBackup if the files of some that were removed since are needed.
        """
        for one in segment.end.archives:
            made = log.archives.get(one.number)
            gone = one.removed and not (made is not None and made.removal)
            if gone and log.has_stubs_of(one.number):
                self.lacks_removed = True
                raise InvalidBackup(
                    f"{segment.path} has no events of archive {one.number}: it was removed after the point "
                    "to which is restored; restore to a later one, or use a backup that was made before"
                )
            if gone and made is None:
                continue
            if made is None:
                log.bring_back(one.number, self._copy_of(one, segment))
                continue
            file = None if made.removal else self._copy_of(one, segment)
            log.archive(made, file)
            if file is not None:
                folder = self._folder / ARCHIVES_FOLDER
                make_directory(folder)
                copy_archive(file, folder / archive_name(one.number))
        if log.archives:
            self.header = self.header._replace(format=ARCHIVES_FORMAT)

    def _copy_of(self, one: ArchiveCopy, segment: Segment) -> ArchiveFile:
        file = ArchiveFile.open(segment.path.with_name(one.name))
        if file.end.digest != one.digest:
            raise InvalidBackup(f"{file.path} is another archive than that of {segment.path}; {ADVICE}")
        return file


def _range(path: Sequence[Segment]) -> str:
    return f"its first events are later, and its last one is of {path[-1].end.time.isoformat()}"


def _time_of(position: int, value: bytes) -> int:
    try:
        return time_us_of(RecordFormat(ARCHIVES_FORMAT, "the backup").outline(position, value))
    except DamagedStore:
        return 0  # whoever follows the chain finds it

"""Makes a new store of a backup: all of it, or up to a position or a moment. The caller's thread.

It is made in a folder beside its path and appears there when it is complete and on disk. Every event, link
and correction is checked on its way. It is a history of its own from then on, with a new id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import lmdb
import msgpack

from storage.archive.archive_file import ArchiveFile
from storage.archive.archive_format import archive_name
from storage.archive.archives import ARCHIVES_FOLDER
from storage.backup.archive_copies import archives_of_set, copy_archive
from storage.backup.backup_set import segments_of
from storage.backup.chain_follower import ChainFollower, correction_time, link_fields
from storage.backup.restored_log import RestoredLog
from storage.backup.segment_format import (
    CORRECTED,
    EVENTS,
    LINKS,
    ArchiveCopy,
    LinkRecord,
    Point,
    unpack_events,
)
from storage.backup.segment_path import runs_of, segments_until, with_notes_of
from storage.backup.segment_reader import ADVICE, Segment, read_notes, segment_blocks
from storage.errors import DamagedStore, InvalidBackup
from storage.files.environment import make_directory
from storage.files.error_translation import translate
from storage.files.header import ARCHIVES_FORMAT, Header
from storage.files.store_lock import StoreLock
from storage.log.checksums import COMMIT_ENDS, first_link, opened_record
from storage.log.corrections import ChangedEvent
from storage.log.forgotten_ids import FORGOTTEN_IDS
from storage.log.record_format import RecordFormat
from storage.log.records import EPOCH, envelope_of
from storage.log.verification import verify_store
from storage.transfer.new_store import NewStore

__all__ = ["ENDING", "ChooseNotes", "Notes", "Restored", "restore_backup"]

ENDING = ".restoring"
"""Of the folder beside the new store in which it is made."""

Notes = list[tuple[bytes, bytes]]
ChooseNotes = Callable[["RestoredPoint", Notes, Notes | None], Iterable[tuple[bytes, bytes]]]
"""Returns the notes of the restored store.

Given are where it ends, the notes of the last backup up to there, and those of the one after it, None if it
ends where a backup did.
"""
Progress = Callable[[int, int], None]


class RestoredPoint(NamedTuple):
    """Where a restored store ends, and of which history it is the beginning.

    `notes_position` is where the log ended when its notes were written, None if there was no backup yet.
    """

    position: int
    time: datetime
    history_id: str
    notes_position: int | None


@dataclass(frozen=True, slots=True)
class Restored:
    """A store that was restored at `path`, which ends at `position`; `time` is that of its last event.

    `notes_position` is where the log ended when the notes were as they are in it, None if there are none.
    `former_history_id` is that of the backup, `chain` the digest of the chain at its end.
    """

    path: str
    position: int
    time: datetime
    notes_position: int | None
    chain: str
    history_id: str
    former_history_id: str
    files: int
    seconds: float


def restore_backup(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    position: int | None = None,
    at: datetime | None = None,
    notes: ChooseNotes | None = None,
    verify: bool = True,
    progress: Progress | None = None,
) -> Restored:
    """Make a store at `target`, where there is none, of a folder of backups, or of a file of a full one.

    It ends at the end of the last commit up to `position`, or before the first commit that is later than
    `at`, or with the newest backup. `notes` chooses its notes; otherwise they are those of the last backup
    up to there, and none without one. With `verify` all of it is read back. `progress` is called with the
    position that is reached, and the last one of the backup.

    Raises InvalidBackup for something else, for damage, and for a point that is not in it; NotAStore if
    something is at `target`; StoreLocked if another restore into it is running; StoreFull, StorageError;
    ValueError. The path is then free, as before.
    """
    if position is not None and at is not None:
        raise ValueError("give position= or at=, not both")
    if position is not None and (type(position) is not int or position < 0):
        raise ValueError(f"position= is a whole number from 0 on, not {position!r}")
    if at is not None and at.tzinfo is None:
        raise ValueError(f"at= needs a time zone, such as UTC, got {at!r}")
    began = time.monotonic()
    segments = segments_of(Path(os.path.realpath(source)))
    store = NewStore(target, ENDING)
    store.remove_leftover()

    def restore(path: list[Segment]) -> _Restoring:
        return _Restoring(segments, path, store.folder, position, at, notes, progress)

    usable = segments
    while True:
        path = segments_until(usable, position, at)
        try:
            restoring = _made(store, restore(path), verify)
            break
        except _RemovedSince as error:
            # An earlier full backup, and what continues it, may have the events, and reach the point as well.
            usable = usable[: usable.index(path[0])]
            if not usable or max(one.end.point.position for one in usable) < error.position:
                raise
    point = restoring.restored
    return Restored(
        str(store.path),
        point.position,
        point.time,
        point.notes_position,
        restoring.chain.point.digest.hex(),
        restoring.header.history_id,
        point.history_id,
        restoring.files,
        time.monotonic() - began,
    )


class _RemovedSince(InvalidBackup):
    """The events of an archive are needed that was removed later; the log was restored up to `position`."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def _made(store: NewStore, restoring: _Restoring, verify: bool) -> _Restoring:
    """Make the store, and publish it. It is discarded if that fails."""
    make_directory(store.folder)
    try:
        with StoreLock(store.folder) as lock:
            lock.sign()
            restoring.run()
            if verify:
                _verify(store.folder, restoring.chain.point)
            lock.opened()
        store.publish()
    except lmdb.Error as error:
        store.discard()
        raise translate(error, f"restoring a backup to {store.path}", store.path) from error
    except BaseException:
        store.discard()
        raise
    return restoring


def _verify(folder: Path, point: Point) -> None:
    check = verify_store(folder, (point.position, point.digest.hex()))
    if not check.sound:
        raise DamagedStore(
            f"what was written to {folder} is read back as something else ({check.findings[0]}); the disk "
            "may fail; it was removed"
        )


class _Restoring:
    """One restore."""

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
        self._links: list[LinkRecord] = []
        """Those that follow events which are not there yet."""
        self._time_us = 0

    def run(self) -> None:
        """Write all of the store."""
        with closing(RestoredLog(self._folder)) as log:
            for segment in self._path:
                self.files += 1
                if not self._segment(log, segment):
                    break
            self._archives(log, segment)
            log.index()
            if self._at is not None and not self.chain.point.position:
                raise InvalidBackup(f"the backup has nothing up to that moment; {_range(self._path)}")
            log.end(self._notes(log), self.header)

    # -- the log ---------------------------------------------------------------------------------------------
    def _segment(self, log: RestoredLog, segment: Segment) -> bool:
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

    def _archives(self, log: RestoredLog, segment: Segment) -> None:
        """Take over the archives of the log, as it was where the store ends in this segment.

        Raises InvalidBackup if the files of some that were removed since are needed.
        """
        for one in segment.end.archives:
            made = log.archives.get(one.number)
            gone = one.removed and not (made is not None and made.removal)
            if gone and log.has_stubs_of(one.number):
                raise _RemovedSince(
                    f"{segment.path} has no events of archive {one.number}: it was removed after the point "
                    "to which is restored; restore to a later one, or use a backup that was made before",
                    self.chain.point.position,
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

    # -- the notes -------------------------------------------------------------------------------------------
    def _notes(self, log: RestoredLog) -> Notes:
        """The notes, as they were written up to where the store ends."""
        own: Notes = []
        position, following = None, None
        for segment in reversed([one for run in runs_of(self._segments) for one in run]):
            if log.has(segment.end.point, self.header.first_history_id):
                own, position = self._notes_of(segment), segment.end.point.position
                break
            following = segment
        later = None if following is None else self._notes_of(following)
        end = self.chain.point.position
        time = datetime.fromtimestamp(self._time_us / 1e6, UTC)
        self.restored = RestoredPoint(end, time, self._path[0].header.history_id, position)
        notes = own if self._choose is None else list(self._choose(self.restored, own, later))
        return self._with_forgotten_ids(notes, later or [])

    def _with_forgotten_ids(self, notes: Notes, later: Notes) -> Notes:
        """The notes, with the one of forgotten ids as one of the new history.

        All records are there again, but one id may be that of two commands, if it was forgotten in between.
        """
        found = [dict(one).get(FORGOTTEN_IDS) for one in (notes, later)]
        known = [msgpack.unpackb(one) for one in found if one is not None]
        former = self._path[0].header.history_id
        through = max((position for history, position in known if history == former), default=0)
        rest = [note for note in notes if note[0] != FORGOTTEN_IDS]
        if not through:
            return rest
        through = min(through, self.chain.point.position)
        return sorted([*rest, (FORGOTTEN_IDS, msgpack.packb([self.header.history_id, through]))])

    def _notes_of(self, segment: Segment) -> Notes:
        return _opened(read_notes(with_notes_of(self._segments, segment)))


def _range(path: Sequence[Segment]) -> str:
    return f"its first events are later, and its last one is of {path[-1].end.time.isoformat()}"


def _time_of(position: int, value: bytes) -> int:
    try:
        return int(envelope_of(RecordFormat(ARCHIVES_FORMAT, "the backup").outline(position, value))[4])
    except DamagedStore:
        return 0  # whoever follows the chain finds it


def _opened(notes: Notes) -> Notes:
    found = []
    for key, stored in notes:
        value = opened_record("notes", key, stored)
        if value is None:
            raise InvalidBackup(f"the note {key[:80]!r} of the backup is damaged: its checksum is wrong")
        found.append((key, value))
    return found

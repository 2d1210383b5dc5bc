"""Verifies the files of a backup: every block, record and commit, and that each continues the one before.

Any thread. No page of LMDB is in a backup, so nothing in it can end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgpack

from storage.archive.archive_file import ArchiveFile
from storage.backup.archive_copies import archives_of_set
from storage.backup.backup_set import BackupSet
from storage.backup.chain_follower import ChainFollower, corrected_count, link_fields
from storage.backup.notes_digest import NotesDigest
from storage.backup.segment_format import CORRECTED, EVENTS, LINKS, NOTES, LinkRecord, unpack_events
from storage.backup.segment_reader import Segment, open_segment, segment_blocks
from storage.errors import ArchiveUnavailable, DamagedStore, NewerFormat, StorageError
from storage.log.checksums import opened_record

__all__ = ["SegmentCheck", "verify_backup"]

Progress = Callable[[int, int], None]


class SegmentCheck(NamedTuple):
    """What was found in a file of a backup; `segment` is None if it can't be read at all."""

    path: Path
    segment: Segment | None
    findings: list[str]


def verify_backup(path: Path, progress: Progress | None = None) -> Iterator[SegmentCheck]:
    """Verify each file of a folder of backups, or a file alone, the oldest first.

    `progress` is called with the position that is reached in a file, and its last one.
    """
    before: Segment | None = None
    alone = not path.is_dir()
    copies: dict[str, list[str]] = {}
    for file in [path] if alone else BackupSet(path).files():
        try:
            segment = open_segment(file)
        except StorageError as error:
            before = None
            yield SegmentCheck(file, None, [str(error)])
            continue
        findings = [] if alone else _gap(before, segment)
        try:
            findings += _copies(file.parent, segment, copies)
            findings += _read(segment, progress)
        except (StorageError, DamagedStore) as error:
            findings.append(str(error))
        yield SegmentCheck(file, segment, findings)
        before = segment


def _copies(folder: Path, segment: Segment, known: dict[str, list[str]]) -> list[str]:
    """What is wrong with the copies of archives that a segment needs; each is looked at once."""
    for one in segment.end.archives:
        if one.removed or one.name in known:
            continue
        known[one.name] = []
        try:
            file = ArchiveFile.open(folder / one.name)
            file.check()
            if file.end.digest != one.digest:
                raise ArchiveUnavailable(f"the archive {file.path} is another one than the log had")
        except (ArchiveUnavailable, NewerFormat) as error:
            known[one.name] = [str(error)]
    return [finding for one in segment.end.archives for finding in known.get(one.name, ())]


def _gap(before: Segment | None, segment: Segment) -> list[str]:
    header = segment.header
    if header.full:
        return []
    if before is None or before.header.id != header.base_id or before.end.point != header.base:
        return ["it does not continue the file before it: a file is missing or damaged; delete it"]
    return []


def _read(segment: Segment, progress: Progress | None) -> list[str]:
    """Read all of a segment; what is wrong in its notes. Raises InvalidBackup, DamagedStore."""
    header, end = segment.header, segment.end
    chain = ChainFollower(header.base, str(segment.path), archives_of_set(segment.path.parent, segment))
    changed: dict[int, int] = {}
    corrected: dict[int, int] = {}
    notes = NotesDigest()
    findings: list[str] = []
    for kind, data in segment_blocks(segment):
        if kind == EVENTS:
            chain.events(*unpack_events(data))
            if progress is not None:
                progress(chain.point.position, end.point.position)
        elif kind == LINKS:
            links = [LinkRecord.of(fields) for fields in msgpack.unpackb(data)]
            chain.links(links)
            for link in links:
                if link.operation:
                    number = link_fields(link)[2]
                    corrected[number] = corrected_count(link.operation, number)
        elif kind == CORRECTED:
            for number, *_ in msgpack.unpackb(data):
                changed[number] = changed.get(number, 0) + 1
        elif kind == NOTES:
            for key, stored in msgpack.unpackb(data):
                if opened_record("notes", key, stored) is None:
                    findings.append(f"the note {key[:80]!r} is damaged: its checksum is wrong")
                notes.add(key, stored)
    if chain.end() != end.point:
        findings.append("it does not end where it says")
    if not end.notes_kept and (notes.digest(), notes.count) != (end.notes_digest, end.notes):
        findings.append("its notes are not those that it says it has")
    if changed != {number: count for number, count in corrected.items() if count}:
        findings.append("what its corrections changed is not in it")
    return findings

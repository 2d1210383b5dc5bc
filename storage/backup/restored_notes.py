"""The notes of a restored store: as they were at its end, as far as the backup knows. The caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgpack

from storage.backup.restored_log import RestoredLog
from storage.backup.segment_format import Point
from storage.backup.segment_path import runs_of, with_notes_of
from storage.backup.segment_reader import Segment, read_notes
from storage.errors import InvalidBackup
from storage.files.header import Header
from storage.log.checksums import opened_record
from storage.log.forgotten_ids import FORGOTTEN_IDS

__all__ = ["ChooseNotes", "Notes", "RestoredPoint", "chosen_notes"]

Notes = list[tuple[bytes, bytes]]
ChooseNotes = Callable[["RestoredPoint", Notes, Notes | None], Iterable[tuple[bytes, bytes]]]
"""Returns the notes of the restored store.

Given are where it ends, the notes of the last backup up to there, and those of the one after it, None if it
ends where a backup did.
"""


class RestoredPoint(NamedTuple):
    """Where a restored store ends, and of which history it is the beginning.

    `notes_position` is where the log ended when its notes were written, None if there was no backup yet.
    `operations` are the times of its recorded operations, in microseconds since 1970. `same_removals` says
    whether the next backup has the same archives removed as the store.
    """

    position: int
    time: datetime
    history_id: str
    notes_position: int | None
    operations: frozenset[int]
    same_removals: bool


def chosen_notes(
    log: RestoredLog,
    header: Header,
    segments: Sequence[Segment],
    first: Segment,
    end: Point,
    time_us: int,
    choose: ChooseNotes | None,
) -> tuple[RestoredPoint, Notes]:
    """The notes of a log that is restored up to `end`, and that point; `time_us` is that of its last event.

    They are those that `choose` returns, or as they were in the last of the `segments` that the log has.
    `first` is the full backup that the log was made of, `header` the log's own, `time_us` in microseconds
    since 1970. Raises InvalidBackup.
    """
    own: Notes = []
    position, following = None, None
    for segment in reversed([one for run in runs_of(segments) for one in run]):
        if log.has(segment.end.point, header.first_history_id):
            own, position = _notes_of(segments, segment), segment.end.point.position
            break
        following = segment
    later = None if following is None else _notes_of(segments, following)
    former = first.header.history_id
    removed = {one.number for one in log.archives.values() if one.removal}
    point = RestoredPoint(
        end.position,
        datetime.fromtimestamp(time_us / 1e6, UTC),
        former,
        position,
        frozenset(log.operation_times),
        following is not None and removed == {one.number for one in following.end.archives if one.removed},
    )
    notes = own if choose is None else list(choose(point, own, later))
    return point, _with_forgotten_ids(notes, later or [], former, header.history_id, end.position)


def _with_forgotten_ids(notes: Notes, later: Notes, former: str, own: str, end: int) -> Notes:
    """The notes, with the one of forgotten ids as one of its `own` history and not of the `former`.

    All records are there again, but one id may be that of two commands, if it was forgotten in between.
    """
    found = [dict(one).get(FORGOTTEN_IDS) for one in (notes, later)]
    known = [msgpack.unpackb(one) for one in found if one is not None]
    through = max((position for history, position in known if history == former), default=0)
    rest = [note for note in notes if note[0] != FORGOTTEN_IDS]
    if not through:
        return rest
    return sorted([*rest, (FORGOTTEN_IDS, msgpack.packb([own, min(through, end)]))])


def _notes_of(segments: Sequence[Segment], segment: Segment) -> Notes:
    """The notes of a segment, opened. Raises InvalidBackup."""
    found = []
    for key, stored in read_notes(with_notes_of(segments, segment)):
        value = opened_record("notes", key, stored)
        if value is None:
            raise InvalidBackup(f"the note {key[:80]!r} of the backup is damaged: its checksum is wrong")
        found.append((key, value))
    return found

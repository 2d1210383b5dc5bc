"""Which files of a backup lead to a point: a full one and the increments after it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from storage.backup.segment_reader import Segment
from storage.errors import InvalidBackup

__all__ = ["runs_of", "segments_until", "with_notes_of"]


def runs_of(segments: Sequence[Segment]) -> list[list[Segment]]:
    """Full backups of the newest segment's history, each with the increments that continue it."""
    runs: list[list[Segment]] = []
    history = segments[-1].header.history_id
    for segment in segments:
        header = segment.header
        if header.history_id != history:
            continue
        if header.full:
            runs.append([segment])
        elif runs and runs[-1][-1].header.id == header.base_id:
            runs[-1].append(segment)
    return runs


def gaps_of(segments: Sequence[Segment]) -> list[str]:
    """A sentence for each increment that does not continue the file before it."""
    return [
        f"{segment.path} continues a file that is missing before it: nothing can be restored of it"
        for before, segment in pairwise([None, *segments])
        if segment is not None
        and not segment.header.full
        and (before is None or before.header.id != segment.header.base_id)
    ]


def segments_until(segments: Sequence[Segment], position: int | None, at: datetime | None) -> list[Segment]:
    """The files with which a point is reached, a full one first; the last one may end after it.

    Without a point it is the end of the newest file. Raises InvalidBackup if the point is not in them.
    """
    runs = runs_of(segments)
    newest = segments[-1]
    if not runs or (position is None and at is None and runs[-1][-1] is not newest):
        raise InvalidBackup(
            f"{newest.path} is an increment, and a file that it continues is missing; restore to a position "
            "before it, or use another backup"
        )
    if position is None and at is None:
        return list(runs[-1])
    last = max(run[-1].end.point.position for run in runs)
    if position is not None and position > last:
        raise InvalidBackup(f"the backup ends at position {last}, and has no position {position}")

    def goes_beyond(segment: Segment) -> bool:
        # More may have been linked at a position after a backup that ends there.
        if position is not None:
            return segment.end.point.position > position
        return at is not None and segment.end.time > at

    reaching = [run for run in runs if goes_beyond(run[-1])] or runs[-1:]
    before = [run for run in reaching if not goes_beyond(run[0])]
    return before[-1] if before else min(reaching, key=lambda run: run[0].end.point.position)


def with_notes_of(segments: Sequence[Segment], segment: Segment) -> Segment:
    """The segment that has the notes of this one. Raises InvalidBackup if it is missing."""
    by_id = {one.header.id: one for one in segments}
    found = segment
    while found.end.notes_kept:
        before = by_id.get(found.header.base_id)
        if before is None:
            raise InvalidBackup(f"the notes of {segment.path} are in a file before it, which is missing")
        found = before
    return found

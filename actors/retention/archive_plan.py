"""What an archive would have: the selected streams, and their events that are in the log. Callers' threads.

Nothing is changed. The plan is checked again before it is carried out.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.domain.specs import CompiledDomain
from actors.retention.event_readers import EventReader, envelope, event_readers
from actors.runtime.parts import Parts
from actors.subscriptions.event_filter import category_of
from actors.writer.closed_streams import closed_stream, closed_streams
from storage import ArchiveRefused
from storage.log.log_reader import LogReader
from storage.log.records import time_us_of
from storage.value_text import short_repr

__all__ = ["ArchivePlan", "ReaderBehind", "Selection", "plan_of", "still_holds"]

PAGE = 1_000
"""Streams that are listed at a time, and events that are read at a time."""
MOST_NAMED = 10
"""Streams that a plan names of those that it leaves out."""

CLOSED, WHOLE, BEFORE_SNAPSHOT = "closed", "whole", "before its snapshot"


class Selection(NamedTuple):
    """Which streams, as `System.plan_archive` was asked."""

    streams: tuple[str, ...] = ()
    category: str = ""
    closed: bool = True
    quiet_since_us: int | None = None
    before_snapshot: bool = False
    limit: int = 1_000_000


class ReaderBehind(NamedTuple):
    """A consumer, process manager or read model that has not read so many of the events yet.

    `kind` is "consumer", "manager" or "model".
    """

    kind: str
    name: str
    events: int


class PlannedStream(NamedTuple):
    """A stream in a plan: its events up to a version, and why no more."""

    name: str
    through: int
    part: str


@dataclass(slots=True)
class ArchivePlan:
    """What an archive would have; nothing is changed before `System.archive`.

    - `streams`: how many streams; `parts` counts those that are closed, whole though they are open, or up to
      their snapshot
    - `events`: how many events of theirs would leave the log, `bytes` how many bytes they take in it, `first`
      and `last` their first and last position
    - `stays`: how many events stay in the log
    - `left_out`: how many selected streams are left out, by reason; `examples`: the first ten of them, each
      with its reason
    - `behind`: who has not read some of these events yet. They read them from the archive.
    - `more`: whether there are further events for another archive, as this one would have its limit
    """

    streams: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    events: int = 0
    bytes: int = 0
    first: int = 0
    last: int = 0
    stays: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    examples: tuple[tuple[str, str], ...] = ()
    behind: tuple[ReaderBehind, ...] = ()
    more: bool = False
    _positions: array[int] = field(default_factory=lambda: array("Q"), repr=False)
    _streams: list[PlannedStream] = field(default_factory=list, repr=False)
    _selection: Selection = field(default=Selection(), repr=False)
    _corrections: int = field(default=0, repr=False)
    _history: str = field(default="", repr=False)

    def _leave_out(self, stream: str, reason: str) -> None:
        self.left_out[reason] += 1
        if len(self.examples) < MOST_NAMED:
            self.examples = (*self.examples, (stream, reason))


def plan_of(
    parts: Parts, selection: Selection, progress: Callable[[int, int], None] | None = None
) -> ArchivePlan:
    """The plan. `progress` is called with the events of the streams that were looked at, and of all.

    Raises DamagedStore, ArchiveUnavailable.
    """
    log = parts.log
    plan = ArchivePlan(_selection=selection, _history=log.history_id)
    plan._corrections = len(log.corrections())
    chosen = _Choice(plan, log, parts.domain, parts.progress.latest_head())
    chosen.look_at_all(progress)
    found = sorted(plan._positions)
    plan._positions = array("Q", found)
    plan.events = len(found)
    plan.first, plan.last = (found[0], found[-1]) if found else (0, 0)
    plan.stays = log.stats()["events"] - log.archived_events() - plan.events
    plan.behind = tuple(_behind(log, found, event_readers(parts)))
    return plan


def still_holds(plan: ArchivePlan, log: LogReader) -> None:
    """Raise ArchiveRefused unless all that the plan rests on is as it was; TypeError for no plan."""
    if not isinstance(plan, ArchivePlan):
        raise TypeError(f"archive() takes what plan_archive() has returned, not {short_repr(plan)}")
    if plan._history != log.history_id:
        raise ArchiveRefused("this plan was made for another store; make it again, with this one")
    if not plan.events:
        raise ArchiveRefused("this plan has no events, so there is nothing to archive")
    for correction in log.corrections()[plan._corrections :]:
        if correction.positions and not frozenset(plan._positions).isdisjoint(correction.positions):
            raise _changed(f"correction {correction.number} has changed an event of it")
    for stream in plan._streams:
        why = _changed_stream(log, stream, plan._selection)
        if why:
            raise _changed(why)


def _changed(why: str) -> ArchiveRefused:
    return ArchiveRefused(f"the plan no longer holds: {why}; nothing was archived; plan it again")


def _changed_stream(log: LogReader, stream: PlannedStream, selection: Selection) -> str:
    """Why a stream no longer is as it was planned; empty if it is."""
    if stream.part == CLOSED:
        return "" if closed_stream(log, stream.name) else f"stream {stream.name!r} was opened again"
    if stream.part == WHOLE:
        version = log.stream_version(stream.name)
        same = selection.quiet_since_us is None or version == stream.through
        return "" if same else f"stream {stream.name!r} has a new event"
    snapshot = log.snapshot(stream.name)
    same = snapshot is not None and snapshot[0] >= stream.through
    return "" if same else f"stream {stream.name!r} has no snapshot of version {stream.through} any more"


# -- which streams -------------------------------------------------------------------------------------------
class _Choice:
    """Puts the streams that are asked for into a plan, or names them as left out."""

    def __init__(self, plan: ArchivePlan, log: LogReader, domain: CompiledDomain, head: int) -> None:
        self._plan = plan
        self._selection = plan._selection
        self._log = log
        self._head = head
        self._fingerprints = {spec.fingerprint for spec in domain.states.values()}

    def look_at_all(self, progress: Callable[[int, int], None] | None) -> None:
        """Until the plan has all, or as much as it may have."""
        looked = 0
        for stream, version in self._selected():
            self._add(stream, version)
            if self._plan.more:
                return
            looked += version
            if progress is not None:
                progress(min(looked, self._head), self._head)

    def _selected(self) -> Iterator[tuple[str, int]]:
        """The names and versions of the streams that are asked for."""
        log, selection = self._log, self._selection
        if selection.streams:
            for name in selection.streams:
                yield name, log.stream_version(name)
            return
        category, after = selection.category, ""
        while True:
            if selection.closed and not selection.before_snapshot:
                # Of a million streams few may be closed.
                closed = closed_streams(log, category, after, PAGE)
                page = [(one.stream, log.stream_version(one.stream)) for one in closed]
            else:
                page = log.streams(category, PAGE, after)
            if not page:
                return
            for name, version in page:
                if not category or category_of(name) == category:
                    yield name, version
            after = page[-1][0]

    def _add(self, stream: str, version: int) -> None:
        plan, log, selection = self._plan, self._log, self._selection
        part, through = self._part(stream, version)
        if not through:
            plan._leave_out(stream, part)
            return
        positions = log.positions_in_stream(stream, 0, through)
        found = log.in_log([one for one in positions if one <= self._head])
        if not found:
            if selection.streams:
                plan._leave_out(stream, "its events are in an archive already")
            return
        if selection.quiet_since_us is not None:
            [(_, last)] = log.stream_records(stream, version - 1, 1)
            if time_us_of(last) >= selection.quiet_since_us:
                plan._leave_out(stream, "it has an event from after quiet_since")
                return
        if plan.streams and len(plan._positions) + len(found) > selection.limit:
            plan.more = True
            return
        plan.streams += 1
        plan.parts[part] += 1
        plan._streams.append(PlannedStream(stream, through, part))
        for position, size in found:
            plan._positions.append(position)
            plan.bytes += size

    def _part(self, stream: str, version: int) -> tuple[str, int]:
        """Which part of a stream is meant, and its last version; or why none is, and 0."""
        if not version:
            return "it has no events", 0
        if closed_stream(self._log, stream) is not None:
            return CLOSED, version
        if not self._selection.closed:
            return WHOLE, version
        if not self._selection.before_snapshot:
            return "it is open", 0
        snapshot = self._log.snapshot(stream)
        if snapshot is None or snapshot[1] not in self._fingerprints:
            return "it is open, and has no snapshot that the code can use", 0
        return BEFORE_SNAPSHOT, snapshot[0]


# -- who is behind -------------------------------------------------------------------------------------------
def _behind(log: LogReader, positions: list[int], readers: list[EventReader]) -> Iterator[ReaderBehind]:
    readers = [one for one in readers if positions and one.first <= positions[-1]]
    if not readers:
        return
    first = min(one.first for one in readers)
    counts: Counter[int] = Counter()
    for position in positions:
        if position < first:
            continue
        [data] = log.records(position - 1, 1)
        event = envelope(position, data)
        for number, reader in enumerate(readers):
            counts[number] += position >= reader.first and reader.waits(event)
    for number, reader in enumerate(readers):
        if counts[number]:
            yield ReaderBehind(reader.kind, reader.name, counts[number])

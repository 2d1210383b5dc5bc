"""Who loses something when an archive is removed. Callers' threads; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.domain.specs import CompiledDomain
from actors.errors import WouldLose
from actors.retention.event_readers import (
    MANAGER,
    MODEL,
    EventReader,
    envelope,
    event_readers,
    manager_types,
    model_types,
)
from actors.runtime.parts import Parts
from actors.subscriptions.event_filter import category_of
from actors.writer.closed_streams import closed_stream
from storage import ArchiveRecord, ArchiveRefused, ArchiveUnavailable
from storage.log.archive_records import ARCHIVED, REMOVED
from storage.log.log_reader import LogReader

__all__ = ["Loss", "RemovalPlan", "plan_of_removal", "require_agreed"]

STREAMS, FILE = "streams", "file"
ALL = "all"
PAGE = 1_000
"""Events that are read at a time."""
SHOWN = 3
"""Streams that a loss names."""


class Loss(NamedTuple):
    """Who would lose something, and `why`; `events` are the events that it is about.

    `kind` is "consumer", "manager", "model", "streams", or "file" if the archive's file can't be read; the
    name is that of a category for streams, and the archive's number for a file.
    """

    kind: str
    name: str
    events: int
    why: str

    @property
    def label(self) -> str:
        """What `lose=` takes: kind and name, such as `model:catalogue`."""
        return f"{self.kind}:{self.name}"


@dataclass(slots=True)
class RemovalPlan:
    """What removing an archive means; nothing is changed before `System.remove_archive`.

    - `number`, `events`, `first`, `last`: those of the archive
    - `types`: how many events of each type, by their stored names, empty if its file is lost
    - `tagged`: how many events have tags. A decider that reads a tag does not find them any more.
    - `open_streams`, `closed_streams`: how many streams they are of
    - `losses`: who would lose something
    """

    number: int
    events: int
    first: int
    last: int
    types: Counter[str] = field(default_factory=Counter)
    tagged: int = 0
    open_streams: int = 0
    closed_streams: int = 0
    losses: tuple[Loss, ...] = ()
    _kept: list[str] = field(default_factory=list, repr=False)
    """The open streams whose state is to be kept."""


def plan_of_removal(
    parts: Parts, number: int, progress: Callable[[int, int], None] | None = None
) -> RemovalPlan:
    """The plan; reads the archive. `progress` is called with the events that were read, and of all.

    If its file can't be read, that is a loss, too, and every reader may lose any of the events. Raises
    ArchiveRefused if there is no such archive, or it can't be removed now; ArchiveUnavailable, if the file
    gets lost meanwhile, DamagedStore.
    """
    log, domain = parts.log, parts.domain
    record = _removable(log, number)
    plan = RemovalPlan(number, record.events, record.first, record.last)
    readers = event_readers(parts)
    unread: Counter[int] = Counter()
    streams: dict[str, list[int]] = {}
    """How many events of each stream, and the last version of them."""
    lost = _why_unreadable(log, number)
    for done, (position, data) in enumerate(_events(log, number, bool(lost)), 1):
        event = envelope(position, data)
        if not lost:
            plan.types[event.type] += 1
        plan.tagged += bool(event.tags)
        known = streams.setdefault(event.stream, [0, 0])
        known[0] += 1
        known[1] = max(known[1], event.version)
        for index, reader in enumerate(readers):
            unread[index] += position >= reader.first and bool(lost or reader.waits(event))
        if progress is not None and (done % PAGE == 0 or done == record.events):
            progress(done, record.events)
    if lost:
        plan.losses = (Loss(FILE, str(number), record.events, lost),)
    behind = [(reader, unread[index]) for index, reader in enumerate(readers)]
    plan.losses = (
        *plan.losses,
        *_unread(behind),
        *_not_rebuilt(domain, None if lost else plan.types, dict(behind), record.events),
        *_streams(log, domain, streams, plan),
    )
    return plan


def _why_unreadable(log: LogReader, number: int) -> str:
    """Why the file of an archive can't be read, and what is lost by that; empty if it can."""
    try:
        log.archive_file(number).check()
    except ArchiveUnavailable as error:
        return (
            f"{error}: else nobody can say which types of events are lost, and the file is not erased "
            "where it is now"
        )
    return ""


def _events(log: LogReader, number: int, lost: bool) -> Iterator[tuple[int, bytes]]:
    """The events of an archive, or what the log has of them."""
    if lost:
        yield from log.outlines_of_archive(number)
        return
    after = 0
    while found := log.archived_records(number, after, PAGE):
        yield from found
        after = found[-1][0]


def require_agreed(plan: RemovalPlan, lose: object) -> None:
    """Raise WouldLose unless `lose` names all losses, or is "all"; TypeError for what can't name one."""
    if lose == ALL:
        return
    if isinstance(lose, str) or not hasattr(lose, "__iter__"):
        raise TypeError(f"lose= is a list of names such as 'model:catalogue', or {ALL!r}, not {lose!r}")
    named = set(lose)
    left = [one for one in plan.losses if one.label not in named]
    if left:
        raise WouldLose(plan.number, [(one.label, one.why) for one in left])


def _removable(log: LogReader, number: int) -> ArchiveRecord:
    found = {one.number: one for one in log.archives()}
    record = found.get(number)
    if record is None:
        known = ", ".join(map(str, found)) or "none"
        raise ArchiveRefused(f"there is no archive {number!r}; there are: {known}")
    if record.state == REMOVED:
        raise ArchiveRefused(f"archive {number} is removed already; nothing was done")
    if record.state != ARCHIVED:
        raise ArchiveRefused(
            f"the events of archive {number} are still being moved, which goes on by itself: wait until "
            "archives() shows its state as archived"
        )
    return record


# -- losses --------------------------------------------------------------------------------------------------
def _unread(behind: list[tuple[EventReader, int]]) -> Iterator[Loss]:
    """Consumers that have not had some events."""
    for reader, events in behind:
        if events and reader.kind not in (MANAGER, MODEL):
            yield Loss(reader.kind, reader.name, events, f"it has not had {events:,} of the events yet")


def _not_rebuilt(
    domain: CompiledDomain, types: Mapping[str, int] | None, unread: Mapping[EventReader, int], most: int
) -> Iterator[Loss]:
    """Models and process managers that could no longer be filled, or rebuilt, from all of their events.

    `types` counts events, `most` all of them; without types each may be of any.
    """
    for kind, names, types_of, what in (
        (MANAGER, domain.process_managers, manager_types, "its states can't be rebuilt from all events"),
        (MODEL, domain.models, model_types, "it can't be filled from all its events"),
    ):
        left = {one.name: events for one, events in unread.items() if one.kind == kind}
        for name in sorted({*names, *(one for one, events in left.items() if events)}):
            if types is None:
                events = most
            elif name in names:
                events = sum(types[one] for one in types_of(domain, name) if one in types)
            else:
                events = 0
            waiting = left.get(name, 0)
            if events or waiting:
                more = f", and it has not had {waiting:,} of them yet" if waiting else ""
                yield Loss(kind, name, max(events, waiting), f"{what} any more{more}")


def _streams(
    log: LogReader, domain: CompiledDomain, streams: Mapping[str, list[int]], plan: RemovalPlan
) -> Iterator[Loss]:
    """Open streams whose state rests on these events, by category. Counts all in the plan."""
    fingerprints = {spec.fingerprint for spec in domain.states.values()}
    kept: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    events: Counter[str] = Counter()
    for name, (count, version) in streams.items():
        if closed_stream(log, name) is not None:
            plan.closed_streams += 1
            continue
        plan.open_streams += 1
        category = category_of(name)
        events[category] += count
        snapshot = log.snapshot(name)
        usable = snapshot is not None and snapshot[1] in fingerprints and snapshot[0] >= version
        (kept if usable else lost).setdefault(category, []).append(name)
        if usable:
            plan._kept.append(name)
    for category in sorted(events):
        why = []
        if category in lost:
            why.append(f"the state of {_listed(lost[category])} can't be found any more")
        if category in kept:
            why.append(
                f"the state of {_listed(kept[category])} is kept as it is, and can't be folded from events "
                "again: not for another class of it, nor once somebody in it is forgotten"
            )
        yield Loss(STREAMS, category, events[category], "; ".join(why))


def _listed(streams: list[str]) -> str:
    if len(streams) == 1:
        return f"the open stream {streams[0]!r}"
    more = ", ..." if len(streams) > SHOWN else ""
    return f"{len(streams):,} open streams ({', '.join(streams[:SHOWN])}{more})"

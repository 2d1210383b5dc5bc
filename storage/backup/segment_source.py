"""Reads a log as the parts of a segment: events, links of the chain, corrections and notes.

Within the transaction of the caller; any thread. Events are given as they were committed, even where they
were corrected since: then later transactions can't contradict earlier ones. Only notes and what was linked
after the last event depend on when they are read, so these are read at the end, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from storage.backup.chain_follower import link_fields
from storage.backup.notes_digest import NotesDigest
from storage.backup.segment_format import ArchiveCopy, LinkRecord, Point
from storage.errors import DamagedStore
from storage.log.archive_records import stored_archives
from storage.log.chain import CHAIN
from storage.log.checksums import COMMIT_ENDS, first_link, resealed_event, stored_digest
from storage.log.correction_entries import (
    CORRECTIONS,
    corrected_positions,
    first_bytes,
    models_of,
    operation_key,
)
from storage.log.corrections import ChangedEvent, corrected_events
from storage.log.open_log import LogTransaction
from storage.log.records import U64, time_us_of

__all__ = [
    "Stretch",
    "archive_copies",
    "changes_of",
    "end_of_run",
    "is_on_chain",
    "last_position",
    "notes_digest",
    "read_links",
    "read_stretch",
    "stored_notes",
    "time_of_event",
]

CHANGES = 1_000
"""Events of a correction that are read together."""

STRETCH_BYTES = 16 << 20
"""A stretch has fewer events if these exceed this, about."""
READ_TOGETHER = 250
"""Events after which their size is looked at."""
SAMPLED = 10
"""The size is that of one event in so many."""


class Stretch(NamedTuple):
    """Links of the chain, and the stored events from `first` on that follow the first of them."""

    links: list[LinkRecord]
    first: int
    values: list[bytes]


def last_position(log: LogTransaction) -> int:
    """The position of the last event, 0 for none."""
    with log.transaction.cursor(log.databases["events"]) as cursor:
        return int(U64.unpack(cursor.key())[0]) if cursor.last() else 0


def is_on_chain(log: LogTransaction, point: Point, first_history_id: str) -> bool:
    """Whether the log's chain has this point: then the log up to there is still the same."""
    if point.link and U64.unpack(point.link[:8])[0] == point.position:
        stored = log.transaction.get(point.link, db=log.databases[CHAIN])
        link = None if stored is None else LinkRecord(point.link, stored, [], b"", [])
        return link is not None and link_fields(link)[0] == point.digest
    if point.position == 0:
        return first_link(first_history_id) == point.digest
    stored = log.transaction.get(U64.pack(point.position), db=log.databases["events"])
    opened = None if stored is None else stored_digest(point.position, stored)
    return opened is not None and opened[1] == point.digest


def read_stretch(log: LogTransaction, point: Point, events: int) -> Stretch:
    """About `events` of the next events after a point, up to the end of a commit; none if it is the last.

    Links of the chain after these events are not read, so a later call of `read_links` finds all of them.
    Raises DamagedStore.
    """
    first = point.position + 1
    values: list[bytes] = []
    with log.transaction.cursor(log.databases["events"]) as cursor:
        if cursor.set_range(U64.pack(first)):
            if cursor.key() != U64.pack(first):
                raise DamagedStore(f"position {first} is missing from {log.records.what}; restore a backup")
            values = _up_to_end(first, cursor.iternext(keys=False), events)
    last = point.position + len(values)
    links = read_links(log, point.link, last - 1 if values else last)
    for link in links:
        at = U64.unpack(link.key[:8])[0]
        if link.operation and at > point.position:
            # A correction changes events before it, which come first.
            values = values[: at - point.position]
            links = [one for one in links if U64.unpack(one.key[:8])[0] < at]
            break
    return Stretch(links, first, _originals(log, first, values))


def end_of_run(log: LogTransaction, point: Point, events: int, head: int) -> Point | None:
    """A point about `events` after another one and up to `head`, with no link of the chain between them.

    None if there is none, as a link follows at once. Raises DamagedStore.
    """
    wanted = min(point.position + events, head)
    with log.transaction.cursor(log.databases[CHAIN]) as cursor:
        more = cursor.set_range(point.link) if point.link else cursor.first()
        if more and cursor.key() == point.link:
            more = cursor.next()
        if more:
            wanted = min(wanted, U64.unpack(cursor.key()[:8])[0])
    if wanted <= point.position:
        return None
    with log.transaction.cursor(log.databases["events"]) as cursor:
        if cursor.set_range(U64.pack(wanted)):
            for position, stored in enumerate(cursor.iternext(keys=False), wanted):
                opened = stored_digest(position, stored)
                if opened is None:
                    raise log.records.damaged_event(position)
                if opened[1] is not None:
                    return point._replace(position=position, digest=opened[1])
    return None


def _up_to_end(first: int, following: Iterator[bytes], events: int) -> list[bytes]:
    """About `events` stored events, up to the end of the last commit; more if none ends among them.

    The checksum of an event is right at its own position alone, so whoever follows the chain finds a gap.
    """
    values: list[bytes] = []
    size = 0
    while len(values) < events and size < STRETCH_BYTES:
        more = list(islice(following, min(READ_TOGETHER, events - len(values))))
        if not more:
            break
        values += more
        size += SAMPLED * sum(map(len, more[::SAMPLED]))
    for index in range(len(values) - 1, -1, -1):
        if crc32(values[index], first + index) in COMMIT_ENDS:
            return values[: index + 1]
    for value in following:
        values.append(value)
        if crc32(value, first + len(values) - 1) in COMMIT_ENDS:
            return values
    # Damage hides where the commit ends.
    return values


def _originals(log: LogTransaction, first: int, values: list[bytes]) -> list[bytes]:
    """The events as they were committed, and the stubs of those that were never corrected, or are gone."""
    for position in corrected_positions(log.transaction, log.databases, first, first + len(values) - 1):
        opened = stored_digest(position, values[position - first])
        if opened is None:
            raise log.records.damaged_event(position)
        original = first_bytes(log.transaction, log.databases, log.records, position)
        if original is not None:
            values[position - first] = resealed_event(position, original, opened[1])
    return values


def read_links(log: LogTransaction, after: bytes, last: int) -> list[LinkRecord]:
    """The links of the chain with keys after `after`, made when the log ended at `last` or before.

    Raises DamagedStore.
    """
    found: list[LinkRecord] = []
    with log.transaction.cursor(log.databases[CHAIN]) as cursor:
        more = cursor.set_range(after) if after else cursor.first()
        if more and cursor.key() == after:
            more = cursor.next()
        while more:
            key, stored = cursor.item()
            if U64.unpack(key[:8])[0] > last:
                break
            found.append(_link(log, key, stored))
            more = cursor.next()
    return found


def _link(log: LogTransaction, key: bytes, stored: bytes) -> LinkRecord:
    link = LinkRecord(key, stored, [], b"", [])
    _, ids, number = link_fields(link)
    get, databases = log.transaction.get, log.databases
    if number:
        operation = get(operation_key(number), db=databases[CORRECTIONS])
        if operation is None:
            raise DamagedStore(f"the record of correction {number} is missing from {log.records.what}")
        models = models_of(log.transaction, databases, log.records, number)
        return link._replace(operation=operation, models=models)
    for command_id in ids:
        record = get(command_id, db=databases["commands"])
        if record is None:
            raise DamagedStore(f"the record of command {command_id!r} is missing from {log.records.what}")
        link.commands.append((command_id, record))
    return link


def changes_of(log: LogTransaction, number: int) -> Iterator[ChangedEvent]:
    """The events of a correction, before and after it. Raises DamagedStore."""
    after = 0
    while found := corrected_events(log.transaction, log.databases, log.records, number, after, CHANGES):
        yield from found
        after = found[-1].position


def archive_copies(log: LogTransaction) -> list[ArchiveCopy]:
    """The archives of the log. Raises DamagedStore."""
    found = stored_archives(log.transaction, log.databases, log.records)
    return [ArchiveCopy(one.number, one.digest, bool(one.removal)) for one in found]


def stored_notes(log: LogTransaction) -> Iterator[tuple[bytes, bytes]]:
    """All notes, in stored bytes. Raises DamagedStore."""
    with log.transaction.cursor(log.databases["notes"]) as cursor:
        for key, stored in cursor:
            log.records.record("notes", key, stored)
            yield key, stored


def notes_digest(log: LogTransaction) -> tuple[bytes, int]:
    """A digest of all notes, and how many they are. Raises DamagedStore."""
    notes = NotesDigest()
    for key, stored in stored_notes(log):
        notes.add(key, stored)
    return notes.digest(), notes.count


def time_of_event(log: LogTransaction, position: int) -> int:
    """The time of an event in microseconds since 1970, 0 if there is none. Raises DamagedStore."""
    stored = log.transaction.get(U64.pack(position), db=log.databases["events"])
    return 0 if stored is None else time_us_of(log.records.outline(position, stored))

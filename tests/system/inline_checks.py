"""What has to be true of the club's inline tables: they are what the log says, row by row and index
by index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors import RecordedEvent
from actors.replication.skipped_events import SkippedEvents
from actors.writer.inline_models import fill
from storage import EventLog
from tests.system.club import (
    SEATS,
    Broken,
    Joined,
    Left,
    Renamed,
    Seated,
    club,
    listed,
    names,
    register,
    rooms,
    seats,
    visits,
)

MODELS = [register, rooms]
Tables = dict[str, list[dict[str, Any]]]


def fold(events: list[RecordedEvent]) -> Tables:
    """The tables, made by hand; a rule that the log breaks is found."""
    holders: dict[str, str] = {}
    seated: set[tuple[str, str]] = set()
    counts: dict[str, int] = {}
    for recorded in events:
        match recorded.event:
            case Joined(id=member, name=name):
                assert name not in holders, f"{name} is taken twice, at {recorded.position}"
                assert member not in holders.values(), f"{member} has two names, at {recorded.position}"
                holders[name] = member
            case Renamed(id=member, name=name):
                assert name not in holders, f"{name} is taken twice, at {recorded.position}"
                [former] = [held for held, by in holders.items() if by == member]
                del holders[former]
                holders[name] = member
            case Left(id=member, name=name):
                assert holders.pop(name) == member
            case Seated(id=member, room=room):
                seated.add((room, member))
                counts[member] = counts.get(member, 0) + 1
                assert sum(one[0] == room for one in seated) <= SEATS, f"{room} is too full"
            case Broken(id=member):
                counts[member] = -1
    return {
        "names": [listed(member, name) for name, member in sorted(holders.items())],
        "seats": [{"room": room, "id": member} for room, member in sorted(seated)],
        "visits": [{"id": member, "count": count} for member, count in sorted(counts.items())],
    }


def stored(log: EventLog) -> Tables:
    """The tables as they are on disk, the indexes checked against the rows."""
    with log.inline_snapshot() as snapshot:
        tables = {table: snapshot.table(model.name, table) for model in MODELS for table in model.tables}
        rows = {table.name: list(reader.all()) for table, reader in tables.items()}
        for table in tables:
            for index in table.indexes:
                found = tables[table].range(index.spec)
                assert sorted(map(table.key_of, found)) == sorted(map(table.key_of, rows[table.name])), (
                    index.name
                )
        assert set(map(snapshot.checkpoint, ("register", "rooms"))) == {log.head}
    return rows


def check_inline(log: EventLog) -> None:
    """Tables and log agree."""
    events: list[RecordedEvent] = []
    while more := log.read(len(events)):
        events += more
    assert stored(log) == fold(events)


def check_refill(path: Path) -> None:
    """A closed store's tables are those that filling them anew from its log gives."""
    domain = club.compile()
    schemas = [model.schema for model in MODELS]
    with EventLog.open(path, domain.codec, siblings=["replicas"], inline=schemas) as log:
        check_inline(log)
        before = stored(log)
    with EventLog.open(path, domain.codec, siblings=["replicas"], inline=[]):
        pass
    with EventLog.open(path, domain.codec, siblings=["replicas"], inline=schemas) as log:
        fill(log, domain, SkippedEvents())
        assert stored(log) == before


__all__ = ["MODELS", "check_inline", "check_refill", "fold", "names", "seats", "stored", "visits"]

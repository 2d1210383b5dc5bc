"""Receipts, rows, events and health as tables of text. Pure; any thread."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from actors import Health, RecordedEvent, Undecodable
from actors.health import ModelHealth, ProcessManagerHealth, Rebuild
from actors.repl.table import Table
from actors.repl.value_text import duration, number
from actors.repl.vocabulary import Vocabulary

__all__ = [
    "actors_table",
    "cell",
    "event_text",
    "events_table",
    "lag_table",
    "process_managers_table",
    "rebuilds_table",
    "replicas_table",
    "rows_table",
]


def cell(value: Any, vocabulary: Vocabulary) -> str:
    """A value as a table shows it: text without quotes, what is nested as one would type it."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return vocabulary.literal(value)


def rows_table(result: Any, vocabulary: Vocabulary) -> Table | None:
    """What a query returned as a table, or None when it has no rows or fields."""
    if isinstance(result, sqlite3.Row):
        result = dict(result)
    if isinstance(result, Mapping) or dataclasses.is_dataclass(result):
        shown = tuple((str(name), cell(value, vocabulary)) for name, value in _fields(result).items())
        return Table(("field", "value"), shown) if shown else None
    if not isinstance(result, list | tuple | frozenset) or not result:
        return None
    items = [dict(item) if isinstance(item, sqlite3.Row) else item for item in result]
    if not all(isinstance(item, Mapping) or dataclasses.is_dataclass(item) for item in items):
        return _table(("value",), [[item] for item in items], vocabulary)
    rows = [_fields(item) for item in items]
    columns = dict.fromkeys(name for row in rows for name in row)
    return _table(
        tuple(map(str, columns)), [[row.get(name, "") for name in columns] for row in rows], vocabulary
    )


def _fields(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}


def _table(columns: tuple[str, ...], rows: Sequence[Sequence[Any]], vocabulary: Vocabulary) -> Table:
    figures = frozenset(
        number
        for number in range(len(columns))
        if all(isinstance(row[number], int | float | Decimal) and row[number] is not True for row in rows)
    )
    return Table(columns, tuple(tuple(cell(value, vocabulary) for value in row) for row in rows), figures)


def event_text(recorded: RecordedEvent, vocabulary: Vocabulary) -> str:
    """The event as one would type it; of one that can't be decoded its type, and why."""
    event = recorded.event
    if isinstance(event, Undecodable):
        return f"{recorded.type} can't be decoded: {event.error}"
    return vocabulary.literal(event)


def events_table(events: Iterable[RecordedEvent], vocabulary: Vocabulary, times: bool = True) -> Table:
    """Recorded events, one a row."""
    rows = []
    for one in events:
        when = (one.time.isoformat(sep=" ", timespec="milliseconds")[:23],) if times else ()
        rows.append(
            (number(one.position), *when, one.stream, number(one.version), event_text(one, vocabulary))
        )
    columns = ("position", *(("time (UTC)",) if times else ()), "stream", "version", "event")
    return Table(columns, tuple(rows), frozenset({0, len(columns) - 2}))


# -- health ---------------------------------------------------------------------------------
def replicas_table(health: Health) -> Table:
    """One row a replica, with the id of its worker process where it has one."""
    rows = []
    in_processes = any(one.pid is not None for one in health.replicas)
    for one in health.replicas:
        pid = ("" if one.pid is None else str(one.pid),) if in_processes else ()
        stopped = [model.name for model in one.models if model.stopped_at is not None]
        rows.append(
            (
                one.name,
                *pid,
                number(one.lag),
                f"{one.lag_seconds * 1000:.1f}",
                number(one.events_applied),
                number(one.queries_served),
                number(one.queries_failed),
                f"stopped: {', '.join(stopped)}" if stopped else "runs",
            )
        )
    figures = (
        *(("pid",) if in_processes else ()),
        "lag",
        "lag (ms)",
        "events applied",
        "queries served",
        "failed",
    )
    return Table(("replica", *figures, "models"), tuple(rows), frozenset(range(1, len(figures) + 1)))


def lag_table(health: Health) -> Table:
    """One row for each model on each replica."""
    rows = [
        (
            replica.name,
            model.name,
            number(model.version),
            number(model.applied),
            number(model.lag),
            f"{model.lag_seconds * 1000:.1f}",
            _model_state(model),
        )
        for replica in health.replicas
        for model in replica.models
    ]
    columns = ("replica", "model", "model version", "applied", "lag", "lag (ms)", "state")
    return Table(columns, tuple(rows), frozenset({2, 3, 4, 5}))


def _model_state(model: ModelHealth) -> str:
    if model.stopped_at is not None:
        return f"stopped at {model.stopped_at}"
    if model.state == "stalled":
        return f"stalled for {model.stalled_seconds:.1f} s"
    if model.events_per_second is not None and model.state != "current":
        return f"{model.state}, {model.events_per_second:.0f} events/s"
    return model.state


def actors_table(health: Health) -> Table:
    """One row an actor."""
    rows = [
        (
            one.name,
            "runs" if one.alive else "is down",
            number(one.restarts),
            number(one.waiting),
            one.last_error or "",
        )
        for one in health.actors
    ]
    return Table(("actor", "state", "restarts", "waiting", "last error"), tuple(rows), frozenset({2, 3}))


def process_managers_table(managers: Sequence[ProcessManagerHealth], off: bool) -> Table:
    """Where each process manager is, and how many of what it has."""
    columns = (
        "manager",
        "version",
        "position",
        "lag",
        "instances",
        "timers",
        "effects",
        "parked",
        "set aside",
        "state",
    )
    rows = tuple(
        (
            one.name,
            *(
                number(figure)
                for figure in (
                    one.version,
                    one.position,
                    one.lag,
                    one.instances,
                    one.timers,
                    one.effects,
                    one.parked,
                    one.quarantined,
                )
            ),
            _manager_state(one, off),
        )
        for one in managers
    )
    return Table(columns, rows, frozenset(range(1, 9)))


def _manager_state(one: ProcessManagerHealth, off: bool) -> str:
    if off:
        return "off"
    if one.stopped_at is not None:
        return "stopped"
    if one.rebuilding is not None:
        return f"rebuilding up to {number(one.rebuilding)}"
    return "tries again" if one.trouble is not None else "runs"


def rebuilds_table(rebuilds: Sequence[Rebuild]) -> Table:
    """One row for each build that is being filled."""
    rows = tuple(
        (
            one.model,
            one.replica,
            f"{number(one.from_version)} to {number(one.to_version)}",
            number(one.position),
            number(one.head),
            "" if one.events_per_second is None else f"{one.events_per_second:.0f}",
            "" if one.seconds_left is None else f"{one.seconds_left:.0f}",
            one.state,
        )
        for one in rebuilds
    )
    columns = ("model", "replica", "version", "position", "of", "events/s", "seconds left", "state")
    return Table(columns, rows, frozenset(range(3, 7)))

"""Checks the replicas: their tables against the log folded afresh, in plain dictionaries.

The fold shares the projections with the replicas and nothing else: no LMDB, no buffer, no batches.
Runs on the caller's thread while the system is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from actors import ReadModel, System
from storage import DamagedStore, ObjectSchema, RecordedEvent, TableSchema
from storage.engines.sqlite.snapshot import all_rows

Row = dict[str, Any]
Key = tuple[Any, ...]


class PlainTable:
    """A table as a dict: what projections need of the real one, in the fewest lines."""

    def __init__(self, schema: TableSchema) -> None:
        self._columns = (schema.key,) if isinstance(schema.key, str) else schema.key
        self.rows: dict[Key, Row] = {}

    def key_of(self, row: Row) -> Key:
        return tuple(row[column] for column in self._columns)

    def get(self, key: Any, default: Row | None = None) -> Row | None:
        row = self.rows.get(key if isinstance(key, tuple) else (key,))
        return default if row is None else dict(row)

    def put(self, row: Row) -> None:
        self.rows[self.key_of(row)] = dict(row)

    def update(self, key: Any, **changes: Any) -> None:
        self.rows[key if isinstance(key, tuple) else (key,)].update(changes)

    def delete(self, key: Any) -> bool:
        return self.rows.pop(key if isinstance(key, tuple) else (key,), None) is not None


class PlainModel:
    """A read model folded into plain tables, into an SQLite database in memory, or into objects."""

    def __init__(self, model: ReadModel) -> None:
        self.tables = {table: PlainTable(table) for table in model.tables}
        self.objects: dict[ObjectSchema, Any] = {one: one.factory() for one in model.objects}
        self.db: sqlite3.Connection | None = None
        if model.engine == "sqlite":
            self.db = sqlite3.connect(":memory:")
            self.db.executescript(model.script)
        self._target = self.db or self.objects or self.tables
        self._handlers = model.handlers

    def apply_event(self, event: object) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler.fn(event, self._target)

    def compare(self, dumped: Mapping[str, Sequence[Row]]) -> list[tuple[str, int, list[str]]]:
        """Each table of the model, or object: its name, its rows according to the log, and what differs."""
        found = [
            (schema.name, len(table.rows), differences(table, dumped[schema.name]))
            for schema, table in self.tables.items()
        ]
        others = all_rows(self.db) if self.db is not None else {}
        others |= {one.name: [{"value": value}] for one, value in self.objects.items()}
        for name, rows in others.items():
            found.append((name, len(rows), unlike(rows, dumped[name])))
        return found

    def close(self) -> None:
        if self.db is not None:
            self.db.close()


class Compared(NamedTuple):
    """A replica's table: its rows according to the log, and how many of them are not as the log says."""

    replica: str
    model: str
    table: str
    rows: int
    wrong: int


def fold(models: Iterable[ReadModel], events: Iterable[RecordedEvent]) -> list[PlainModel]:
    """The models' tables as all the events, from the first one on, leave them.

    Raises DamagedStore when a position is missing among the events.
    """
    folded = [PlainModel(model) for model in models]
    try:
        for position, recorded in enumerate(events, 1):
            if recorded.position != position:
                raise DamagedStore(
                    f"the log has no event at position {position}: {recorded.position} comes next"
                )
            for model in folded:
                model.apply_event(recorded.event)
    except BaseException:
        for model in folded:
            model.close()
        raise
    return folded


def differences(expected: PlainTable, actual: Iterable[Row]) -> list[str]:
    """What a replica's rows lack, have too much or have otherwise; empty when they are equal."""
    found = []
    missing = dict(expected.rows)
    for row in actual:
        key = expected.key_of(row)
        wanted = missing.pop(key, None)
        if wanted is None:
            found.append(f"{key}: the replica has {row}, the log does not")
        elif wanted != row:
            found.append(f"{key}: the replica has {row}, the log says {wanted}")
    found += [f"{key}: the replica lacks {row}" for key, row in missing.items()]
    return found


def unlike(expected: Sequence[Row], actual: Sequence[Row]) -> list[str]:
    """The rows that are not the same in the same place; empty when all are equal."""
    found = [
        f"row {number}: the replica has {row}, the log says {wanted}"
        for number, (wanted, row) in enumerate(zip(expected, actual, strict=False), 1)
        if wanted != row
    ]
    if len(expected) != len(actual):
        found.append(f"the replica has {len(actual)} rows, the log says {len(expected)}")
    return found


def verify(system: System, models: Sequence[ReadModel]) -> tuple[list[Compared], list[str]]:
    """Compare every table of every replica with the fold of the log up to now.

    The replicas must have applied everything that is committed. Returns what was compared, and a line for
    each row that differs.
    """
    folded = fold(models, system.subscribe(until=system.position))
    compared, wrong = [], []
    try:
        for replica in system.replica_names:
            for model, plain in zip(models, folded, strict=True):
                for name, rows, found in plain.compare(system.dump(replica, model)):
                    compared.append(Compared(replica, model.name, name, rows, len(found)))
                    wrong += [f"{replica}, {model.name}/{name}: {line}" for line in found]
    finally:
        for plain in folded:
            plain.close()
    return compared, wrong

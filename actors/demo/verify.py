"""Checks the replicas: their tables against the log folded afresh, in plain dictionaries.

The fold shares the projections with the replicas and nothing else: no LMDB, no buffer, no batches.
Runs on the caller's thread while the system is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from actors import ReadModel, System
from storage import DamagedStore, RecordedEvent, TableSchema

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
    """A read model folded into plain tables."""

    def __init__(self, model: ReadModel) -> None:
        self.tables = {table: PlainTable(table) for table in model.tables}
        self._handlers = model.handlers

    def apply_event(self, event: object) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler.fn(event, self.tables)


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
    for position, recorded in enumerate(events, 1):
        if recorded.position != position:
            raise DamagedStore(f"the log has no event at position {position}: {recorded.position} comes next")
        for model in folded:
            model.apply_event(recorded.event)
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


def verify(system: System, models: Sequence[ReadModel]) -> tuple[list[Compared], list[str]]:
    """Compare every table of every replica with the fold of the log up to now.

    The replicas must have applied everything that is committed. Returns what was compared, and a line for each
    row that differs.
    """
    folded = fold(models, system.subscribe(until=system.position))
    compared, wrong = [], []
    for replica in system.replica_names:
        for model, plain in zip(models, folded, strict=True):
            dumped = system.dump(replica, model)
            for schema, table in plain.tables.items():
                found = differences(table, dumped[schema.name])
                compared.append(Compared(replica, model.name, schema.name, len(table.rows), len(found)))
                wrong += [f"{replica}, {model.name}/{schema.name}: {line}" for line in found]
    return compared, wrong

"""Each engine of this package, tested against the contract of engines."""

from __future__ import annotations

from typing import Any

from storage import ModelSchema
from storage.engines.memory.store import MemoryStore
from storage.engines.sqlite.store import SqliteStore
from storage.replica.engine_builds import engine_class
from storage.tables.schema import ENGINES, ObjectSchema
from tests.storage.engines.contract import EngineContract

numbers = ObjectSchema("numbers", dict)


class TestMemory(EngineContract):
    engine = MemoryStore
    schema = ModelSchema("numbers", 1, engine="memory", objects=(numbers,))

    def put(self, target: Any, name: str, number: int) -> None:
        target[numbers][name] = number

    def rows(self, target: Any) -> dict[str, int]:
        return target[numbers]


class TestSqlite(EngineContract):
    engine = SqliteStore
    schema = ModelSchema(
        "numbers", 1, engine="sqlite", script="CREATE TABLE numbers (name TEXT PRIMARY KEY, number INTEGER)"
    )

    def put(self, target: Any, name: str, number: int) -> None:
        target.execute("INSERT OR REPLACE INTO numbers VALUES (?, ?)", (name, number))

    def rows(self, target: Any) -> dict[str, int]:
        return dict(target.execute("SELECT name, number FROM numbers").fetchall())


def test_every_engine_but_the_replica_s_own_tables_is_held_to_it() -> None:
    held = {TestMemory.engine, TestSqlite.engine}
    assert {engine_class(name) for name in ENGINES if name != "lmdb"} == held

"""Rebuilds, skips and damage where a model is kept by another engine, or goes from one to another."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, System
from tests import inside
from tests.helpers import PATIENCE, Threads, wait_until

ENGINES = ("lmdb", "sqlite", "memory")
SCHEMA = "CREATE TABLE sums (name TEXT PRIMARY KEY, count INTEGER, total INTEGER) WITHOUT ROWID"


class Sums:
    """A model of one number for each version, whatever its engine; version n multiplies by n."""

    def __init__(self, *engines: str) -> None:
        self.domain = domain = Domain("sums")
        self.before: Callable[[int, int], None] = lambda version, position: None
        self.readers: dict[int, Callable[[Any], tuple[int, int]]] = {}

        @domain.event(state=None, stream="numbers")
        class Noted:
            number: int

        self.Noted = Noted
        for version, engine in enumerate(engines, 1):
            self.model = getattr(self, f"_{engine}")(version)
        model, readers = self.model, self.readers

        @domain.query(reads=[model])
        class Sum:
            def run(self, view: Any) -> tuple[int, int, int]:
                version = view.version(model)
                return (version, *readers[version](view))

        self.Sum = Sum

    def _lmdb(self, version: int) -> Any:
        model = self.domain.read_model("sums", version=version)
        sums = model.table("sums", key="name")

        @model.on(self.Noted)
        def add(event: Any, tables: Any, recorded: Any) -> None:
            self.before(version, recorded.position)
            row = tables[sums].get("all") or {"name": "all", "count": 0, "total": 0}
            tables[sums].put(
                {"name": "all", "count": row["count"] + 1, "total": row["total"] + event.number * version}
            )

        def read(view: Any) -> tuple[int, int]:
            row = view[sums].get("all") or {"count": 0, "total": 0}
            return row["count"], row["total"]

        self.readers[version] = read
        return model

    def _sqlite(self, version: int) -> Any:
        model = self.domain.read_model("sums", version=version, engine="sqlite", schema=SCHEMA)

        @model.on(self.Noted)
        def add(event: Any, db: Any, recorded: Any) -> None:
            self.before(version, recorded.position)
            db.execute("INSERT OR IGNORE INTO sums VALUES ('all', 0, 0)")
            db.execute("UPDATE sums SET count = count + 1, total = total + ?", (event.number * version,))

        def read(view: Any) -> tuple[int, int]:
            row = view[model].execute("SELECT count, total FROM sums").fetchone()
            return tuple(row) if row else (0, 0)

        self.readers[version] = read
        return model

    def _memory(self, version: int) -> Any:
        model = self.domain.read_model("sums", version=version, engine="memory")
        sums = model.object("sums", dict)

        @model.on(self.Noted)
        def add(event: Any, objects: Any, recorded: Any) -> None:
            self.before(version, recorded.position)
            mine = objects[sums]
            mine["count"] = mine.get("count", 0) + 1
            mine["total"] = mine.get("total", 0) + event.number * version

        def read(view: Any) -> tuple[int, int]:
            mine = view[sums]
            return mine.get("count", 0), mine.get("total", 0)

        self.readers[version] = read
        return model

    def note(self, system: System, *numbers: int) -> Any:
        return [system.append("numbers", [self.Noted(number)]) for number in numbers][-1]

    def ask(self, system: System, **options: Any) -> int:
        """Query, check the answer, and return the version that gave it."""
        (version, count, total), position = system.query_at(self.Sum(), **options)
        assert (count, total) == (position, version * position * (position + 1) // 2)
        return int(version)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(ENGINES, ENGINES)))
def test_a_new_version_on_any_engine_takes_the_place_of_one_on_any_other(
    store_path: Path, old: str, new: str
) -> None:
    sums = Sums(old)
    with System.open(store_path, sums.domain, replicas=2) as system:
        sums.note(system, *range(1, 301))
        assert sums.ask(system, consistency="strong") == 1
        system.wait_applied()
    sums = Sums(old, new)
    done = threading.Event()
    seen: set[int] = set()
    with System.open(store_path, sums.domain, replicas=2) as system, Threads() as threads:

        def ask() -> None:
            while not done.is_set():
                seen.add(sums.ask(system))

        def write() -> None:
            for number in itertools.count(301):
                if done.is_set():
                    return
                sums.note(system, number)

        try:
            threads.start(ask)
            threads.start(write)
            system.wait_rebuilt(sums.model, timeout=PATIENCE)
            wait_until(lambda: threads.failed() or 2 in seen)
        finally:
            done.set()
        threads.join()
        assert sums.ask(system, consistency="strong") == 2
        system.rebuild(sums.model, wait=True, timeout=PATIENCE)
        assert sums.ask(system, consistency="strong") == 2
    with System.open(store_path, Sums(old, new).domain, replicas=2) as system:
        assert system.rebuilds() == ()
        assert sums_of(system) == {2}


def sums_of(system: System) -> set[int]:
    return {store.state.version("sums") for store in inside.stores(system).values()}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_skipped_event_lets_a_model_on_any_engine_go_on(store_path: Path, engine: str) -> None:
    sums = Sums(engine)
    sums.before = lambda version, position: 1 / (position - 7)  # type: ignore[assignment, return-value]
    with System.open(store_path, sums.domain, replicas=2) as system:
        sums.note(system, *range(1, 21))
        wait_until(lambda: [one.models[0].stopped_at for one in system.health().replicas] == [7, 7])
        system.skip_event(sums.model, 7)
        system.wait_applied()
        assert system.query(sums.Sum(), consistency="strong") == (1, 19, 210 - 7)
        system.rebuild(sums.model, wait=True, timeout=PATIENCE)
        assert system.query(sums.Sum(), consistency="strong") == (1, 19, 210 - 7)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_replica_that_is_removed_is_made_anew_on_any_engine(
    store_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.queries.local_replica.FILES_CHECK_EVERY", 0.0)
    sums = Sums(engine)
    with System.open(store_path, sums.domain, replicas=2) as system:
        sums.note(system, *range(1, 101))
        system.wait_applied()
        shutil.rmtree(store_path / "replicas" / "replica-1")
        wait_until(lambda: system.health().replicas[0].reset_reason)
        system.wait_applied(timeout=PATIENCE)
        for _ in range(6):
            assert sums.ask(system, consistency="strong") == 1


def test_a_damaged_sqlite_file_costs_no_answer(store_path: Path) -> None:
    sums = Sums("sqlite")
    with System.open(store_path, sums.domain, replicas=2) as system:
        sums.note(system, *range(1, 101))
        system.wait_applied()
    with System.open(store_path, sums.domain, replicas=2) as system:
        [database] = [
            path
            for path in (store_path / "replicas" / "replica-1" / "engines").rglob("*")
            if path.is_file() and path.read_bytes().startswith(b"SQLite format 3")
        ]
        size = database.stat().st_size
        with database.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (size - 100))
        for number in range(101, 113):
            assert sums.ask(system, after=sums.note(system, number)) == 1
        wait_until(lambda: system.health().replicas[0].reset_reason)
        system.wait_applied(timeout=PATIENCE)
        assert system.health().status == "ok"

"""The result cache beside rebuilds, and with models that SQLite or plain objects keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, System
from tests.helpers import Threads, wait_until


class Shelf:
    """A domain with one model in these versions, which differ in what they multiply by; `factor` is for
    rebuilds.
    """

    def __init__(self, *versions: int, factor: int = 1) -> None:
        self.domain = domain = Domain("shelf")
        self.factor = factor
        self.runs = 0

        @domain.event(state=None, stream="values")
        class Put:
            value: int

        self.Put = Put
        self.models = [self._model(version) for version in versions]
        model, rows = self.models[-1]
        self.model = model

        @domain.query(reads=[model], cache=True)
        class Last:
            def run(query, view: Any) -> Any:
                self.runs += 1
                return view[rows].get("last")

        @domain.query(reads=[model], cache=True)
        class Version:
            def run(query, view: Any) -> int:
                return view.version(model)

        self.Last, self.Version = Last, Version

    def _model(self, version: int) -> Any:
        model = self.domain.read_model("model", version=version)
        rows = model.table("rows", key="name", indexes=["value"] if version > 1 else [])

        @model.on(self.Put)
        def on_put(event: Any, tables: Any) -> None:
            tables[rows].put(
                {"name": "last", "value": event.value * version * self.factor, "version": version}
            )

        return model, rows

    def put(self, system: System, value: int) -> int:
        return system.append("values", [self.Put(value)]).position


def test_a_new_version_never_gives_what_was_kept_of_the_old_one(store_path: Path) -> None:
    old = Shelf(1)
    with System.open(store_path, old.domain, replicas=2) as system:
        old.put(system, 7)
        system.wait_applied()
    both = Shelf(1, 2)
    with System.open(store_path, both.domain, replicas=2) as system:

        def ask() -> bool:
            row = system.query(both.Last(), consistency="strong")
            assert row in (
                {"name": "last", "value": 7, "version": 1},
                {"name": "last", "value": 14, "version": 2},
            )
            assert system.query(both.Version()) in (1, 2)
            return not system.rebuilds()

        with Threads() as threads:
            for _ in range(3):
                threads.start(lambda: wait_until(ask))
        assert {system.query(both.Last())["version"] for _ in range(6)} == {2}
        assert {system.query(both.Version()) for _ in range(6)} == {2}


def test_a_rebuild_of_the_same_version_makes_what_was_kept_stale(store_path: Path) -> None:
    shelf = Shelf(1)
    with System.open(store_path, shelf.domain, replicas=2) as system:
        shelf.put(system, 7)
        assert [system.query(shelf.Last(), consistency="strong")["value"] for _ in range(4)] == [7] * 4
        assert shelf.runs == 1
        shelf.factor = 100  # As if the projection had been mended.
        system.rebuild(shelf.model, wait=True, timeout=30)
        assert [system.query(shelf.Last(), consistency="strong")["value"] for _ in range(4)] == [700] * 4
        assert shelf.runs == 2


def sqlite(domain: Domain, event: Any) -> tuple[Any, Callable[[Any], Any]]:
    model = domain.read_model("model", engine="sqlite", schema="CREATE TABLE sums (total INTEGER)")

    @model.on(event)
    def on_put(event: Any, db: Any) -> None:
        db.execute("INSERT INTO sums VALUES (?)", (event.value,))

    return model, lambda view: view[model].execute("SELECT sum(total) FROM sums").fetchone()[0]


def memory(domain: Domain, event: Any) -> tuple[Any, Callable[[Any], Any]]:
    model = domain.read_model("model", engine="memory")
    values = model.object("values", list)

    @model.on(event)
    def on_put(event: Any, objects: Any) -> None:
        objects[values].append(event.value)

    return model, lambda view: sum(view[values])


@pytest.mark.parametrize("engine", [sqlite, memory])
def test_results_from_another_engine_are_kept_until_its_model_changes(
    store_path: Path, engine: Callable[[Domain, Any], tuple[Any, Callable[[Any], Any]]]
) -> None:
    domain = Domain("engines")
    runs = []

    @domain.event(state=None, stream="values")
    class Put:
        value: int

    @domain.event(state=None, stream="others")
    class Other:
        name: str

    model, read = engine(domain, Put)
    others = domain.read_model("others")
    names = others.table("names", key="name")

    @others.on(Other)
    def on_other(event: Any, tables: Any) -> None:
        tables[names].put({"name": event.name})

    @domain.query(reads=[model], cache=True)
    class Sum:
        def run(self, view: Any) -> Any:
            runs.append(view)
            return read(view)

    with System.open(store_path, domain, replicas=2) as system:
        total = 0
        for value in (1, 2, 3):
            total += value
            system.append("values", [Put(value)])
            system.wait_applied()  # by itself: all events of a replica's batch count as the change
            for number in range(5):
                assert system.query(Sum(), consistency="strong") == total
                system.append("others", [Other(f"{value}.{number}")])
        assert len(runs) == 3

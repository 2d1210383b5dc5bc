"""A domain whose one read model comes in several versions, each of which can be told from its rows.

Every event adds to the sum and to one of three parts: a table that is half of one version and half of
another, or between two positions, does not add up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from actors import Domain, System
from actors.replication.backfill import Backfill
from actors.replication.messages import RetryStopped
from tests import inside
from tests.helpers import wait_until

SCALES = {1: 1, 2: 1000, 3: 1_000_000}
"""What a version multiplies by."""


class Tallies:
    """The domain with these versions of its model; `before` is called with each event that a
    version applies.
    """

    def __init__(self, *versions: int, replicas: Any = None, others: tuple[str, ...] = ()) -> None:
        self.domain = domain = Domain("tallies")
        self.applied: list[tuple[int, int]] = []
        self.before: Callable[[int, int], None] = lambda version, position: None

        @domain.event(state=None, stream="numbers")
        class Noted:
            number: int

        self.Noted = Noted
        self.models = {}
        for version in versions:
            self.models[version] = self._model(version, replicas)
        self.model = self.models[max(versions)]
        self.others = {name: self._other(name) for name in others}
        rows = self.rows

        @domain.query(reads=[self.model])
        class Whole:
            def run(self, view: Any) -> Any:
                return {row["name"]: row for row in view[rows].all()}

        self.Whole = Whole
        self.Both = None
        if others:
            count = self.others[others[0]].tables[0]

            @domain.query(reads=[self.model, self.others[others[0]]])
            class Both:
                def run(self, view: Any) -> Any:
                    whole = {row["name"]: row for row in view[rows].all()}
                    return whole, (view[count].get("all") or {"count": 0})["count"]

            self.Both = Both

    def _model(self, version: int, replicas: Any) -> Any:
        model = self.domain.read_model("tally", version=version, replicas=replicas)
        # The versions differ in their indexes too, as they do when one is changed for the sake of a query.
        rows = self.rows = model.table("rows", key="name", indexes=["sum"] if version > 1 else [])

        @model.on(self.Noted)
        def add(event: Any, tables: Any, recorded: Any) -> None:
            self.before(version, recorded.position)
            self.applied.append((version, recorded.position))
            for name in ("all", f"part-{event.number % 3}"):
                row = tables[rows].get(name) or {"name": name, "version": version, "count": 0, "sum": 0}
                row["count"] += 1
                row["sum"] += event.number * SCALES[version]
                tables[rows].put(row)

        return model

    def _other(self, name: str) -> Any:
        model = self.domain.read_model(name)
        counts = model.table("counts", key="name")

        @model.on(self.Noted)
        def count(event: Any, tables: Any) -> None:
            before = tables[counts].get("all") or {"count": 0}
            tables[counts].put({"name": "all", "count": before["count"] + 1})

        return model

    def note(self, system: System, *numbers: int) -> Any:
        """Have these numbers written, each by itself, so that a slice may end at any of them."""
        return [system.append("numbers", [self.Noted(number)]) for number in numbers][-1]

    def check(self, rows: dict[str, dict[str, Any]], position: int) -> int:
        """These rows are what one version makes of the numbers 1, 2, ... up to a position; returns the
        version.
        """
        if not position:
            assert not rows
            return 0
        version: int = rows["all"]["version"]
        numbers = range(1, position + 1)
        expected = {
            name: {
                "name": name,
                "version": version,
                "count": len(mine),
                "sum": sum(mine) * SCALES[version],
            }
            for name, mine in (
                ("all", numbers),
                *((f"part-{part}", [one for one in numbers if one % 3 == part]) for part in range(3)),
            )
            if mine
        }
        assert rows == expected, f"at position {position}"
        return version

    def ask(self, system: System, **options: Any) -> int:
        """Query, check that the answer is whole, and return the version that gave it."""
        rows, position = system.query_at(self.Whole(), **options)
        return self.check(rows, position)

    def dumps(self, system: System) -> list[Any]:
        """The model's tables on each replica that has it."""
        return [system.dump(name, self.model) for name in inside.holders(system, self.model.name)]


class Gate:
    """Holds builds beside serving ones back, until some slices are let through."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slices = 0
        self.is_open = False
        self.fills: list[str] = []

    def passes(self, take: bool) -> bool:
        """Whether a slice may be filled; `take` makes it one less."""
        with self._lock:
            found = self.is_open or self._slices > 0
            if take and found and not self.is_open:
                self._slices -= 1
            return found

    def let(self, system: System, slices: int) -> None:
        """Let some slices through, and wait until they are filled."""
        with self._lock:
            self._slices += slices
        self.knock(system)
        wait_until(lambda: not self._slices)

    def open(self, system: System) -> None:
        """Hold nobody back any more."""
        self.is_open = True
        self.knock(system)

    def knock(self, system: System) -> None:
        """Have every replica look whether it has something to do."""
        for name in system.replica_names:
            inside.actor(system, name).mailbox.put(RetryStopped())


@contextmanager
def held_builds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Builds beside serving ones wait for the gate; each slice is of ten events."""
    gate = Gate()
    beside, fill = Backfill._beside, Backfill._fill

    def held_beside(self: Backfill) -> Any:
        ready = beside(self)
        return ready if gate.passes(take=False) else []

    def held_fill(self: Backfill, runs: Any, until: int) -> None:
        self._limit = 10
        if any(run in self._projector.building for run in runs):
            if not gate.passes(take=True):
                return
            gate.fills.append(self._name)
        fill(self, runs, until)

    monkeypatch.setattr(Backfill, "_beside", held_beside)
    monkeypatch.setattr(Backfill, "_fill", held_fill)
    try:
        yield gate
    finally:
        gate.is_open = True

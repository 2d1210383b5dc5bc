"""A query sees all of what a command did, or nothing of it: on every way in which events get into a model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import Domain, ModelStopped, System
from actors.replication import backfill, read_replica
from storage import ReplicaStore
from tests.helpers import PATIENCE, Threads, wait_until

SLICE = 7
"""Events of one slice here, fewer than most commands have."""
SIZES = (1, 3, 20, 1, 45, 8, 1, 1, 100, 6)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_replica, "READ_BATCH", SLICE)
    monkeypatch.setattr(read_replica, "MAX_BATCH", SLICE)
    monkeypatch.setattr(read_replica, "MIN_BATCH", SLICE)
    monkeypatch.setattr(backfill, "MIN_EVENTS", SLICE)
    monkeypatch.setattr(backfill, "MAX_EVENTS", SLICE)
    monkeypatch.setattr(backfill, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(backfill, "RETRY_LAST", 0.01)


def crates(*, version: int = 1) -> SimpleNamespace:
    """Crates packed by one command each, counted by a model of every engine."""
    domain = Domain("crates")
    found = SimpleNamespace(domain=domain, fails_at=None)

    @domain.event(state=None, stream="crate-{crate}")
    class Packed:
        crate: int
        item: int
        of: int

    @domain.state(stream="crate-{crate}")
    class Crate:
        crate: int

    @domain.command(Crate)
    class Pack:
        crate: int
        items: int

    @domain.decide
    def pack(state: Crate | None, command: Pack) -> Any:
        return [Packed(command.crate, item, command.items) for item in range(command.items)]

    def check(event: Packed) -> None:
        if (event.crate, event.item) == found.fails_at:
            raise RuntimeError("dropped")

    tables = domain.read_model("tables", version=version)
    counts = tables.table("counts", key="crate")

    @tables.on
    def count(event: Packed, to: Any) -> None:
        check(event)
        row = to[counts].get(event.crate) or {"crate": event.crate, "count": 0}
        to[counts].put({**row, "count": row["count"] + 1, "of": event.of})

    rows = domain.read_model(
        "rows",
        version=version,
        engine="sqlite",
        schema="CREATE TABLE packed (crate INTEGER, item INTEGER, of_all INTEGER)",
    )

    @rows.on
    def insert(event: Packed, db: Any) -> None:
        check(event)
        db.execute("INSERT INTO packed VALUES (?, ?, ?)", (event.crate, event.item, event.of))

    objects = domain.read_model("objects", version=version, engine="memory")
    seen = objects.object("seen", dict)

    @objects.on
    def note(event: Packed, to: Any) -> None:
        check(event)
        before = to[seen].get(event.crate, (0, 0))
        to[seen][event.crate] = (before[0] + 1, event.of)

    @domain.query(reads=[tables])
    class Tables:
        def run(self, view: Any) -> Any:
            return {row["crate"]: (row["count"], row["of"]) for row in view[counts].all()}

    @domain.query(reads=[rows])
    class Rows:
        def run(self, view: Any) -> Any:
            query = "SELECT crate, COUNT(*), MAX(of_all) FROM packed GROUP BY crate"
            return {crate: (count, of) for crate, count, of in view[rows].execute(query)}

    @domain.query(reads=[objects])
    class Objects:
        def run(self, view: Any) -> Any:
            return dict(view[seen])

    found.Pack, found.models = Pack, (tables, rows, objects)
    found.queries = (Tables, Rows, Objects)
    return found


def check_whole(answer: dict[int, tuple[int, int]]) -> None:
    halves = {crate: counts for crate, counts in answer.items() if counts[0] != counts[1]}
    assert not halves, f"crates of which some items were seen, and how many there are: {halves}"


@contextmanager
def asked_all_the_time(system: System, domain: SimpleNamespace) -> Iterator[None]:
    """Every model is asked for whatever it has, in threads of their own; every commit of a replica is looked
    at.
    """
    ended = False

    def ask(query: Any) -> None:
        while not ended:
            check_whole(system.query(query()))

    with Threads() as threads:
        for query in domain.queries:
            threads.start(ask, query)
        try:
            yield
        finally:
            ended = True


@pytest.fixture
def every_commit(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong with any commit of any replica: each is looked at, so nothing depends on the
    scheduler.
    """
    wrong: list[str] = []
    write = ReplicaStore.write

    @contextmanager
    def looked_at(self: ReplicaStore) -> Iterator[Any]:
        with write(self) as transaction:
            yield transaction
        for build in self.builds():
            try:
                check_whole(_in_dump(self.dump(build.key)))
            except AssertionError as error:
                wrong.append(f"{build.key}: {error}")

    monkeypatch.setattr(ReplicaStore, "write", looked_at)
    return wrong


def _in_dump(dumped: Any) -> dict[int, tuple[int, int]]:
    """What the queries answer, from the dump of a build of any engine."""
    if "counts" in dumped:
        return {row["crate"]: (row["count"], row["of"]) for row in dumped["counts"]}
    if "seen" in dumped:
        [row] = dumped["seen"]
        return dict(row["value"])
    counts: dict[int, tuple[int, int]] = {}
    for row in dumped["packed"]:
        counts[row["crate"]] = counts.get(row["crate"], (0, 0))[0] + 1, row["of_all"]
    return counts


def pack_all(system: System, domain: SimpleNamespace, first: int = 0) -> None:
    system.execute_many([domain.Pack(first + number, size) for number, size in enumerate(SIZES)])


def check_all_there(system: System, domain: SimpleNamespace, crates: int = len(SIZES)) -> None:
    for query in domain.queries:
        answer = system.query(query(), consistency="strong")
        check_whole(answer)
        assert len(answer) == crates


def test_while_a_replica_catches_up(store_path: Path, every_commit: list[str]) -> None:
    domain = crates()
    with System.open(store_path, domain.domain, replicas=1) as system:
        for first in range(0, 50, len(SIZES)):
            pack_all(system, domain, first)
    shutil.rmtree(store_path / "replicas")
    with (
        System.open(store_path, domain.domain, replicas=2) as system,
        asked_all_the_time(system, domain),
    ):
        system.wait_applied()
        check_all_there(system, domain, 50)
    assert every_commit == []


def test_while_commands_come_and_replicas_die(store_path: Path, every_commit: list[str]) -> None:
    domain = crates()
    with (
        System.open(store_path, domain.domain, replicas=2) as system,
        asked_all_the_time(system, domain),
    ):
        for first in range(0, 50, len(SIZES)):
            pack_all(system, domain, first)
            assert system.kill("replica-1", PATIENCE)
        check_all_there(system, domain, 50)
    assert every_commit == []


def test_while_a_model_is_built_beside_another(store_path: Path, every_commit: list[str]) -> None:
    domain = crates()
    with System.open(store_path, domain.domain, replicas=1, rebuild_share=1.0) as system:
        for first in range(0, 50, len(SIZES)):
            pack_all(system, domain, first)
        with asked_all_the_time(system, domain):
            for model in domain.models:
                system.rebuild(model, wait=True)
            pack_all(system, domain, 50)
        check_all_there(system, domain, 60)
    assert every_commit == []


def test_a_model_that_stopped_in_the_middle_has_nothing_of_the_command_then_and_after_reopening(
    store_path: Path, every_commit: list[str]
) -> None:
    domain = crates()
    domain.fails_at = (4, 20)
    with System.open(store_path, domain.domain, replicas=1) as system:
        pack_all(system, domain)
        before = sum(SIZES[:4])
        stopped = [(before, before + 21)] * 3
        wait_until(
            lambda: [(one.applied, one.stopped_at) for one in system.health().replicas[0].models] == stopped
        )
        with pytest.raises(ModelStopped):
            system.query(domain.queries[0]())
    domain.fails_at = None
    with (
        System.open(store_path, domain.domain, replicas=1) as system,
        asked_all_the_time(system, domain),
    ):
        check_all_there(system, domain)
    assert every_commit == []


def test_an_event_in_the_middle_that_is_skipped_takes_none_of_its_command_along(store_path: Path) -> None:
    domain = crates()
    domain.fails_at = (4, 20)
    with System.open(store_path, domain.domain, replicas=1) as system:
        pack_all(system, domain)
        wait_until(lambda: len(system.health().problems) == 3)
        for model in domain.models:
            system.skip_event(model, sum(SIZES[:4]) + 21, "dropped")
        for query in domain.queries:
            answer = system.query(query(), consistency="strong")
            assert answer.pop(4) == (44, 45)
            check_whole(answer)
            assert len(answer) == len(SIZES) - 1

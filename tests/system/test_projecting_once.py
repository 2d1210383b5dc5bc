"""Several replicas in one process: one projects, the others make the same changes, and any may lead."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, System
from actors.replication import led_broadcast, read_replica
from actors.replication.led_broadcast import LedBroadcast
from storage import ReplicaStore, StoreFull
from storage.replica.open_builds import OpenBuilds
from tests import inside
from tests.helpers import PATIENCE, wait_until

PROJECTED: Counter[str] = Counter()
"""How many events each thread's projections of `rows` had."""

numbers = Domain("numbers")


@numbers.event(state=None)
class Counted:
    number: int


rows_model = numbers.read_model("rows")
rows = rows_model.table("rows", key="number", indexes=["half", "mark"])
before_projecting: list[Callable[[int], None]] = []


@rows_model.on
def on_counted(event: Counted, tables: Any) -> None:
    for one in before_projecting:
        one(event.number)
    PROJECTED[threading.current_thread().name] += 1
    # Not deterministic, as nobody should write it.
    tables[rows].put({"number": event.number, "half": event.number // 2, "mark": random.random()})
    if event.number % 3 == 0:
        tables[rows].delete(event.number - 1)
    total = tables[rows].get(-1) or {"number": -1, "half": 0, "mark": 0.5}
    tables[rows].put({**total, "half": total["half"] + event.number})


seen_model = numbers.read_model("seen", engine="memory")
seen = seen_model.object("seen", list)


@seen_model.on
def on_counted_seen(event: Counted, objects: Any) -> None:
    objects[seen].append(event.number)


kept_model = numbers.read_model(
    "kept", engine="sqlite", schema="CREATE TABLE kept (number INTEGER PRIMARY KEY)"
)


@kept_model.on
def on_counted_kept(event: Counted, database: Any) -> None:
    database.execute("INSERT INTO kept VALUES (?)", (event.number,))


@numbers.query(reads=[rows_model])
class Sum:
    def run(self, view: Any) -> int:
        row = view[rows].get(-1)
        return 0 if row is None else int(row["half"])


@pytest.fixture(autouse=True)
def _clear() -> Iterator[None]:
    PROJECTED.clear()
    before_projecting.clear()
    yield
    before_projecting.clear()


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, numbers, replicas=3) as system:
        # All have reported where they are, so that one leads.
        append(system, range(1))
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: broadcast(system).leader is not None)
        PROJECTED.clear()
        yield system


counting = itertools.count(1)


def append(system: System, some: Any) -> None:
    for number in some:
        system.append(f"number-{next(counting)}", [Counted(number)])


def broadcast(system: System) -> LedBroadcast:
    found = inside.broadcast(system)
    assert isinstance(found, LedBroadcast)
    return found


def leader(system: System) -> str:
    found = broadcast(system).leader
    assert found is not None
    return found


def leading(system: System) -> list[str]:
    """Those that lead by what health says."""
    return [replica.name for replica in system.health().replicas if replica.leads]


def thread_of(replica: str) -> str:
    return f"onewriter-{replica}"


def check_equal(system: System, count: int) -> None:
    """Every replica has every event, and all have the same rows."""
    system.wait_applied(timeout=PATIENCE)
    first, *others = [
        {model.name: system.dump(name, model) for model in (rows_model, seen_model, kept_model)}
        for name in system.replica_names
    ]
    assert len(first["seen"]["seen"][0]["value"]) == len(first["kept"]["kept"]) == count
    for one in others:
        assert one == first
    assert len({system.digest(name, rows_model) for name in system.replica_names}) == 1
    [(kept, number)] = Counter(inside.kept_contents(system, "rows").values()).items()
    assert number == 3
    assert f"{kept:016x}" == system.digest("replica-1", rows_model)[1]


def test_a_projection_runs_once_for_all_replicas_and_need_not_be_deterministic(system: System) -> None:
    append(system, range(1, 200))
    check_equal(system, 200)
    assert dict(PROJECTED) == {thread_of(leader(system)): 199}
    assert system.health().problems == ()


def test_models_of_other_engines_are_projected_by_every_replica(system: System) -> None:
    append(system, range(1, 20))
    system.wait_applied(timeout=PATIENCE)
    for name in system.replica_names:
        assert [row["number"] for row in system.dump(name, kept_model)["kept"]] == list(range(20)), name


@pytest.mark.parametrize("committed", [False, True])
def test_the_leader_dies_in_the_middle_of_a_batch_and_another_one_leads(
    system: System, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    first = leader(system)
    died = threading.Event()
    commit = OpenBuilds.commit

    def dying(self: OpenBuilds, *args: Any) -> None:
        if threading.current_thread().name == thread_of(first) and not died.is_set():
            died.set()
            if committed:
                commit(self, *args)
            raise RuntimeError("the replica dies")
        commit(self, *args)

    monkeypatch.setattr(OpenBuilds, "commit", dying)
    append(system, range(1, 50))
    assert died.wait(PATIENCE)
    append(system, range(50, 100))
    system.wait_applied(timeout=PATIENCE)
    append(system, range(100, 150))
    # Those that read a batch by themselves have other random numbers in it, until they copied it.
    wait_until(lambda: not any(slot.projector.differing for slot in inside.slots(system).values()))
    check_equal(system, 150)
    assert system.query(Sum(), consistency="strong", timeout=PATIENCE) == sum(range(150))


def test_another_one_leads_while_the_leader_hangs(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(led_broadcast, "LEADER_SECONDS", 0.02)
    first = leader(system)
    release = threading.Event()
    hanging = threading.Event()

    def hang(_number: int) -> None:
        if threading.current_thread().name == thread_of(first) and not release.is_set():
            hanging.set()
            assert release.wait(PATIENCE)

    before_projecting.append(hang)
    try:
        append(system, range(1, 10))
        assert hanging.wait(PATIENCE)
        # A caller gets its answer from those that go on.
        assert system.query(Sum(), consistency="strong", timeout=PATIENCE) == sum(range(10))
        assert leader(system) != first
        wait_until(lambda: leading(system) == [leader(system)])
    finally:
        release.set()
    append(system, range(10, 20))
    system.wait_applied(timeout=PATIENCE)
    assert system.query(Sum(), consistency="strong", timeout=PATIENCE) == sum(range(20))


def test_a_replica_that_differs_copies_the_rows_of_the_others(
    system: System, caplog: pytest.LogCaptureFixture
) -> None:
    follower = next(name for name in system.replica_names if name != leader(system))
    inside.change_rows(inside.store(system, follower), "rows", "rows")
    append(system, range(1, 20))
    check_equal(system, 20)
    assert [record for record in caplog.records if "has other rows" in record.getMessage()]
    assert system.health().problems == ()


def test_health_names_a_replica_that_differs_and_cannot_be_copied(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = next(name for name in system.replica_names if name != leader(system))

    def no_room(*_: Any) -> int:
        raise StoreFull("there is no room")

    monkeypatch.setattr(ReplicaStore, "copy_model", no_room)
    inside.change_rows(inside.store(system, follower), "rows", "rows")
    append(system, range(1, 20))
    system.wait_applied(timeout=PATIENCE)
    # It goes on by itself.
    assert dict(PROJECTED) == {thread_of(leader(system)): 19, thread_of(follower): 19}
    # Where much else runs, health may say so, too.
    [problem] = [one for one in system.health().problems if "other rows" in one]
    assert problem.startswith(f"model rows on {follower} has had other rows than on other replicas since ")
    monkeypatch.undo()
    append(system, range(20, 30))
    check_equal(system, 30)
    assert system.health().problems == ()


def test_a_replica_that_is_far_behind_copies_what_it_lacks(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_replica, "COPY_BEHIND", 50)
    append(system, range(1, 200))
    system.wait_applied(timeout=PATIENCE)
    follower = next(name for name in system.replica_names if name != leader(system))
    PROJECTED.clear()
    assert inside.mark_damaged(system, follower, "a test says so")
    wait_until(lambda: inside.slot(system, follower).damage is None)
    check_equal(system, 200)
    assert PROJECTED == {}, "rows are copied; only the models in other engines read the log"
    append(system, range(200, 210))
    check_equal(system, 210)


def test_replicas_that_are_filled_together_are_filled_by_one(store_path: Path) -> None:
    with System.open(store_path, numbers, replicas=1) as system:
        for number in range(100):
            system.append(f"batch-{number}", [Counted(number * 10 + one) for one in range(10)])
    PROJECTED.clear()
    shutil.rmtree(store_path / "replicas")
    with System.open(store_path, numbers, replicas=3) as system:
        system.wait_applied(timeout=PATIENCE)
        # Those that report first may begin by themselves, each with one batch at most.
        assert sum(PROJECTED.values()) < 3 * 1000
        assert system.query(Sum(), consistency="strong", timeout=PATIENCE) == sum(range(1000))


def test_one_replica_or_worker_processes_share_nothing(store_path: Path) -> None:
    with System.open(store_path, numbers, replicas=1) as system:
        append(system, range(5))
        system.wait_applied(timeout=PATIENCE)
        assert not isinstance(inside.broadcast(system), LedBroadcast)
        assert leading(system) == []
        assert inside.kept_contents(system, "rows") == {"replica-1": None}

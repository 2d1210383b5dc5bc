"""What every host of replicas has to do, asked of both: threads and worker processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.health import CacheHealth
from actors.queries.replica_host import ReplicaHost
from actors.replication.skipped_events import skip_note
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.system import yard
from tests.system.hanging import Come, hall
from tests.system.yard import POISON, Count, KeptTotalOf, TotalOf

REPLICAS = ["replica-1", "replica-2"]


@pytest.fixture(scope="module", params=["thread", "process"])
def workers(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def system(store_path: Path, workers: Any) -> Iterator[System]:
    with System.open(store_path, yard.yard, replicas=2, query_actors=2, workers=workers) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, workers: Any) -> Iterator[System]:
    """One for tests that only ask, and count what no other test counts."""
    store = tmp_path_factory.mktemp("shared") / "store"
    with System.open(store, yard.yard, replicas=2, query_actors=2, workers=workers) as opened:
        yield opened


@pytest.fixture
def host(system: System) -> ReplicaHost:
    return inside.replica_host(system)


def count(system: System, *names: str) -> int:
    """Have these counted, by all replicas; returns the log's last position."""
    for name in names:
        system.execute(Count(name))
    return system.wait_applied(timeout=PATIENCE)


# -- what there is ------------------------------------------------------------------------------------
def test_replicas_stores_endpoints_and_actors_have_the_same_names(shared: System) -> None:
    host = inside.replica_host(shared)
    assert list(host.slots) == list(host.stores) == list(host.progress.replicas) == REPLICAS
    asked = {endpoint.name: endpoint.replica for endpoint in host.endpoints}
    assert asked == {f"{name}.query-{number}": name for name in REPLICAS for number in (1, 2)}
    # First the replicas: who lists them shows those first.
    assert list(inside.actors(shared))[:6] == [*REPLICAS, *asked]
    assert set(host.subscribers) <= set(REPLICAS)


def test_nothing_is_wrong_with_replicas_that_run(shared: System, workers: Any) -> None:
    host = inside.replica_host(shared)
    count(shared, "well")
    for name in REPLICAS:
        assert (host.hindrance(name), host.problem(name)) == ("", None)
        assert host.slots[name].reset_reason is None
        wait_until(lambda name=name: host.current_event(name) is None)
    pids = {host.pid(name) for name in REPLICAS}
    assert pids == {None} if workers == "thread" else len(pids - {None, os.getpid()}) == 2


# -- what they applied --------------------------------------------------------------------------------
def test_what_was_committed_is_applied_and_shown_alike(system: System, host: ReplicaHost) -> None:
    head = count(system, "a", "b", "a")
    assert host.progress.everywhere(head)
    for name in REPLICAS:
        projector, store = host.slots[name].projector, host.stores[name]
        wait_until(lambda projector=projector: projector.applied_events == head)
        assert projector.serving("counts") == (1, head, None)
        assert (projector.building, projector.frozen) == ([], [])
        assert store.state.checkpoint("counts") == store.state.changed("counts") == head
        assert store.state.version("counts") == 1
        with store.snapshot(["counts"]) as snapshot:
            assert snapshot.checkpoint("counts") == head
        assert store.dump("counts") == {"totals": [{"name": "a", "total": 2}, {"name": "b", "total": 1}]}
        assert store.readable()


def test_the_dispatcher_asks_their_query_actors(shared: System) -> None:
    host = inside.replica_host(shared)
    head = count(shared, "asked", "asked")
    before = sum(endpoint.stats.served for endpoint in host.endpoints)
    answer = host.dispatcher.query([TotalOf("asked")], {"after": head})
    assert answer == ([2], head, head)
    wait_until(lambda: sum(endpoint.stats.served for endpoint in host.endpoints) == before + 1)


def test_the_result_cache_tells_how_it_does(shared: System) -> None:
    host = inside.replica_host(shared)
    head = count(shared, "kept")
    for _ in range(3):
        assert shared.query(KeptTotalOf("kept"), after=head) == 1
    health = wait_until(lambda: (one := host.cache_health()) and one.hits and one)
    assert isinstance(health, CacheHealth)
    assert health.entries >= 1


# -- what they are told to do -------------------------------------------------------------------------
def test_a_build_is_begun_and_serves_once_it_is_filled(system: System, host: ReplicaHost) -> None:
    head = count(system, "a")
    before = {name: store.state.build("counts") for name, store in host.stores.items()}
    for name in REPLICAS:
        assert host.start_build(name, "counts").result(PATIENCE) is None
    for name, store in host.stores.items():
        wait_until(lambda name=name, store=store: store.state.build("counts") != before[name])
        assert store.dump("counts") == {"totals": [{"name": "a", "total": 1}]}
    assert system.query(TotalOf("a"), after=head) == 1


def test_models_that_stopped_go_on_when_they_are_resumed(system: System, host: ReplicaHost) -> None:
    head = system.execute(Count(POISON)).position
    for name in REPLICAS:
        wait_until(lambda name=name: host.slots[name].projector.serving("fragile")[2] is not None)
        failure = host.slots[name].projector.serving("fragile")[2]
        assert failure is not None
        assert (failure.position, failure.type, failure.full) == (head, "Counted", False)
        assert failure.error == "ValueError: it is poison"
        assert "it is poison" in failure.text.splitlines()[-1]
    inside.put_notes(system, skip_note("fragile", head, "a test"))
    inside.skips(system).add("fragile", head)
    for name in REPLICAS:
        assert host.resume(name).result(PATIENCE) is None
    system.wait_applied(timeout=PATIENCE)
    assert [host.slots[name].projector.serving("fragile") for name in REPLICAS] == [(1, head, None)] * 2


def test_a_replica_that_is_marked_as_damaged_is_reset_while_the_others_serve(
    system: System, host: ReplicaHost
) -> None:
    head = count(system, "a")
    store = host.stores["replica-1"]
    assert host.mark_damaged("replica-1", store, "for the test")
    assert system.query(TotalOf("a"), after=head) == 1
    wait_until(lambda: host.slots["replica-1"].reset_reason == "for the test")
    system.wait_applied(timeout=PATIENCE)
    assert host.stores["replica-1"].dump("counts") == {"totals": [{"name": "a", "total": 1}]}
    assert host.slots["replica-2"].reset_reason is None


def test_a_replica_whose_files_are_gone_is_reset_by_itself(system: System, host: ReplicaHost) -> None:
    head = count(system, "a")
    shutil.rmtree(host.stores["replica-2"].path)
    reason = wait_until(lambda: host.slots["replica-2"].reset_reason)
    assert "removed while it was in use" in reason
    system.wait_applied(timeout=PATIENCE)
    assert system.query(TotalOf("a"), after=head) == 1


# -- what they are at ---------------------------------------------------------------------------------
def test_what_a_projection_is_at_is_known_while_it_takes_long(store_path: Path, workers: Any) -> None:
    gate = store_path.with_name("gate")
    gate.touch()
    with System.open(store_path, hall, replicas=1, workers=workers, worker_limit=1.0) as system:
        host = inside.replica_host(system)
        system.execute(Come("ann", "projection", str(gate)))
        work = wait_until(lambda: host.current_event("replica-1"))
        assert (work.model, work.type, work.position) == ("book", "Came", 1)
        assert host.problem("replica-1") is None
        gate.unlink()
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: host.current_event("replica-1") is None)


# -- ending -------------------------------------------------------------------------------------------
def test_all_are_asked_to_stop_at_the_same_time(system: System, host: ReplicaHost) -> None:
    count(system, "a")
    inside.supervisor(system).stop_starting()
    host.stop()
    replicas = [inside.actor(system, name) for name in REPLICAS]
    wait_until(lambda: not any(actor.alive for actor in replicas))
    assert [actor.last_error for actor in replicas] == [None, None]

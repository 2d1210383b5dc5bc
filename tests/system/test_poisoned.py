"""A projection that raises stops its model at that event; the others go on, and it resumes when it
is mended.
"""

from __future__ import annotations

import threading

import pytest

from actors import ConsistencyTimeout, ModelStopped, System
from actors.domain.read_model import Handler
from actors.testing import open_system
from tests.helpers import wait_until
from tests.system.trouble import (
    Touch,
    Touched,
    TouchedIds,
    fragile,
    sizes,
    still_serves,
    things,
    touches,
    trouble,
)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Stopped models are tried again at every tick of the supervisor."""
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 0.01)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 0.01)


def fragile_health(system):
    return [
        model for replica in system.health().replicas for model in replica.models if model.name == "fragile"
    ]


def test_a_poisoned_event_stops_one_model_and_is_shown(gates):
    with open_system(trouble, replicas=2) as system:
        system.execute(Touch("before"))
        system.wait_applied()
        assert system.query(TouchedIds()) == ["before"]
        gates.fragile_fails = True
        poison = system.execute(Touch("poison"))
        behind = system.execute(Touch("behind"))

        with pytest.raises(
            ModelStopped, match=r"model 'fragile' is stopped on every replica: .*can't stand poison"
        ):
            system.query(TouchedIds(), after=poison)
        with pytest.raises(ModelStopped):
            system.view(fragile)
        with pytest.raises(ModelStopped):
            system.wait_applied(behind)

        assert [model.stopped_at for model in fragile_health(system)] == [2, 2]
        assert [model.applied for model in fragile_health(system)] == [1, 1]
        assert [model.lag for model in fragile_health(system)] == [2, 2]
        for model in fragile_health(system):
            assert model.failure.startswith("event Touched at position 2: Traceback")
            assert "in on_touched" in model.failure
        assert system.health().status == "degraded"
        assert system.health().problems == (
            "model fragile on replica-1 is stopped at position 2",
            "model fragile on replica-2 is stopped at position 2",
        )
        still_serves(system)


def test_a_waiting_query_is_told_at_once_that_its_model_stopped(gates):
    gates.fragile_fails = True
    with open_system(trouble) as system, pytest.raises(ModelStopped):
        system.query(TouchedIds(), after=system.execute(Touch("poison")), timeout=20)


def test_a_mended_model_resumes_by_itself_and_misses_nothing(gates):
    with open_system(trouble, replicas=2) as system:
        gates.fragile_fails = True
        for number in range(5):
            system.execute(Touch(str(number)))
        wait_until(lambda: len(system.health().problems) == 2)
        still_serves(system)
        gates.fragile_fails = False
        wait_until(lambda: system.health().status == "ok")
        last = system.execute(Touch("last"))
        system.wait_applied()
        assert system.query(TouchedIds(), after=last) == ["0", "1", "2", "3", "4", "last"]
        assert system.dump("replica-1", fragile) == system.dump("replica-2", fragile)
        assert {model.failure for model in fragile_health(system)} == {None}


def test_a_model_that_is_stopped_on_one_replica_is_answered_by_the_other(gates, monkeypatch):
    with open_system(trouble, replicas=2) as system:
        system.execute(Touch("first"))
        system.wait_applied()
        [handler] = fragile.handlers.values()
        monkeypatch.setitem(fragile.handlers, Touched, fails_on_the_first_replica(handler))
        receipt = system.execute(Touch("second"))
        for _ in range(10):
            assert system.query(TouchedIds(), after=receipt) == ["first", "second"]
        wait_until(lambda: system.health().problems)
        assert system.health().problems == ("model fragile on replica-1 is stopped at position 2",)
        with system.view(fragile, after=receipt) as view:
            assert view.replica == "replica-2"


def fails_on_the_first_replica(handler):
    def fn(event, tables, recorded):
        if threading.current_thread().name == "onewriter-replica-1":
            raise RuntimeError("only here")
        handler.fn(event, tables, recorded)

    return Handler(fn, wants_recorded=True)


def test_a_stopped_model_is_still_stopped_after_reopening_and_resumes_where_it_was(gates, store_path):
    gates.fragile_fails = True
    with System.open(store_path, trouble, replicas=1) as system:
        system.execute(Touch("poison"))
        still_serves(system)
        wait_until(lambda: system.health().problems)
    with System.open(store_path, trouble, replicas=1) as system:
        with pytest.raises((ModelStopped, ConsistencyTimeout)):
            system.query(TouchedIds(), consistency="strong", timeout=1)
        wait_until(lambda: fragile_health(system)[0].stopped_at == 1)
        with system.view(sizes, consistency="strong") as view:
            assert len(view[things]) == 1
        gates.fragile_fails = False
        wait_until(lambda: system.health().status == "ok")
        with system.view(fragile, consistency="strong") as view:
            assert [row["id"] for row in view[touches].all()] == ["poison"]


def test_the_actors_of_a_stopped_model_may_die_and_come_back(gates):
    with open_system(trouble) as system:
        gates.fragile_fails = True
        system.execute(Touch("poison"))
        wait_until(lambda: system.health().problems)
        assert system.kill("replica-1")
        assert system.kill("sync")
        still_serves(system)
        assert fragile_health(system)[0].stopped_at == 1
        with pytest.raises(ModelStopped):
            system.query(TouchedIds())
        gates.fragile_fails = False
        wait_until(lambda: system.health().status == "ok")
        assert system.query(TouchedIds()) == ["poison"]

"""A system that is opened with `managers=False` writes, and acts on nothing: all of that waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import ProcessManagersOff, System
from tests import inside
from tests.helpers import wait_until
from tests.system.jobs import DELAY, Begin, World, jobs_of


def test_what_they_would_have_done_waits_for_an_opening_with_them(store_path: Path) -> None:
    world = World()
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        system.execute(Begin("one"))
        system.wait_process_managers()
    assert [payload for payload, _ in world.sent] == [["one", "first"]]
    with System.open(store_path, jobs_of(world), replicas=1, managers=False) as system:
        position = system.position
        system.execute(Begin("two"))
        inside.advance(system, 2 * DELAY)
        health = system.health()
        assert health.status == "ok"
        assert health.managers_off is not None
        assert "managers=False" in health.managers_off
        assert not [one.name for one in health.actors if "worker" in one.name]
        [shown] = system.process_managers()
        assert (shown.position, shown.lag, shown.instances, shown.timers) == (position, 1, 1, 1)
        with pytest.raises(ProcessManagersOff, match="managers=True"):
            system.wait_process_managers()
        with pytest.raises(ProcessManagersOff):
            system.skip_process_manager("worker")
    assert len(world.sent) == 1
    with System.open(store_path, jobs_of(world), replicas=1) as system:
        system.wait_process_managers()
        assert system.health().managers_off is None
        assert [payload for payload, _ in world.sent] == [["one", "first"], ["two", "first"]]
        inside.advance(system, 2 * DELAY)
        system.wait_process_managers()
        assert [one.event.why for one in system.subscribe(until=system.position, types=["Undone"])] == [
            "late",
            "late",
        ]


def test_a_manager_that_is_new_then_begins_when_it_runs_first(store_path: Path) -> None:
    world = World()
    with System.open(store_path, jobs_of(world, start="now"), replicas=1, managers=False) as system:
        system.execute(Begin("one"))
        assert system.process_managers()[0].position == 0
    with System.open(store_path, jobs_of(world, start="now"), replicas=1) as system:
        system.execute(Begin("two"))
        wait_until(lambda: world.sent)
        system.wait_process_managers()
    assert [payload for payload, _ in world.sent] == [["two", "first"]]


def test_consumers_work_all_the_same(store_path: Path) -> None:
    with System.open(store_path, jobs_of(), replicas=1, managers=False) as system:
        system.execute(Begin("one"))
        with system.consumer("mailer") as consumer:
            assert next(consumer).event.job == "one"

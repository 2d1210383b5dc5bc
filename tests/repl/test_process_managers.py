"""`:process_managers` and `:effects`: process managers, the instances of one, and pending effects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import System
from actors.demo.shop import shop
from actors.process_managers import retry_schedule
from tests import inside
from tests.helpers import wait_until
from tests.repl.conftest import Shown
from tests.system.jobs import Begin, World, jobs_of


@pytest.fixture
def world() -> World:
    return World(bugs={"handler", "key"})


@pytest.fixture
def system(store_path: Path, world: World) -> Iterator[System]:
    with System.open(store_path, jobs_of(world), replicas=1) as opened:
        yield opened


def test_managers_are_shown_with_what_they_have(system: System, shown: Shown) -> None:
    system.execute(Begin("a", "idle"))
    system.wait_process_managers()
    output, errors = shown(system, ":process_managers\n")
    assert errors == ""
    assert output.splitlines()[0] == "1 process manager"
    assert output.splitlines()[-1].split() == ["worker", "1", "1", "0", "1", "1", "0", "0", "0", "runs"]


def test_the_instances_of_a_manager_are_shown_with_their_states(system: System, shown: Shown) -> None:
    assert "worker has no instances now" in shown(system, ":process_managers worker\n")[0]
    system.execute(Begin("a", "idle"))
    system.wait_process_managers()
    output, _ = shown(system, ":process_managers worker\n")
    assert output.splitlines()[0] == "1 instance of worker"
    assert 'job="a"' in output.splitlines()[-1]


def test_a_stopped_manager_is_shown_with_its_traceback(system: System, shown: Shown) -> None:
    system.execute(Begin("a", "key"))
    wait_until(lambda: system.process_managers()[0].stopped_at)
    output, _ = shown(system, ":process_managers\n")
    assert "stopped" in output
    assert "a bug in the key" in output


def test_instances_that_are_set_aside_are_shown_with_what_failed(system: System, shown: Shown) -> None:
    system.execute_many([Begin(f"j{number:02}", "handler") for number in range(12)])
    wait_until(lambda: system.process_managers()[0].quarantined == 12)
    output, errors = shown(system, ":process_managers\n")
    assert errors == ""
    assert "worker has set aside 12 instances" in output
    assert "'j00' at event Begun at position 1: RuntimeError: a bug in the handler; 1 waiting" in output
    assert output.count("Traceback") == 1
    assert "and 2 more" in output


def test_an_instance_that_is_set_aside_is_tried_again_and_passes_over_what_it_failed_on(
    system: System, shown: Shown, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is set aside is tried again by itself, too; here that is for the command alone.
    monkeypatch.setattr(retry_schedule, "RETRY_FIRST", 3600.0)
    monkeypatch.setattr(retry_schedule, "RETRY_LAST", 3600.0)
    system.execute_many([Begin("a", "handler"), Begin("b", "handler")])
    wait_until(lambda: system.process_managers()[0].quarantined == 2)
    assert ":skip_instance worker KEY" in shown(system, ":process_managers\n")[0]
    assert shown(system, ":retry_instance worker a\n") == (
        "a failed again; :process_managers shows why\n",
        "",
    )
    world.bugs.clear()
    assert shown(system, ":retry_instance worker a\n") == ("a goes on\n", "")
    world.bugs.add("handler")
    output, errors = shown(system, ':skip_instance worker b "entered twice"\n')
    assert (output, errors) == ("b passes over worker:2; :process_managers shows whether it goes on\n", "")
    wait_until(lambda: system.process_managers()[0].quarantined == 0)
    assert "there is no process manager walker" in shown(system, ":skip_instance walker b\n")[1]
    assert "is not set aside" in shown(system, ":retry_instance worker b\n")[1]


def test_a_stopped_manager_passes_over_its_input_when_it_is_told_to(system: System, shown: Shown) -> None:
    assert "is not stopped: there is nothing to skip" in shown(system, ":skip_process_manager worker\n")[1]
    system.execute_many([Begin("a", "key"), Begin("b", "idle")])
    wait_until(lambda: system.process_managers()[0].stopped_at)
    assert ":skip_process_manager worker passes over that" in shown(system, ":process_managers\n")[0]
    output, errors = shown(system, ':skip_process_manager worker "no such job"\n')
    assert (output, errors) == (
        "worker passes over worker:1; :process_managers shows whether it goes on\n",
        "",
    )
    system.wait_process_managers()
    assert [key for key, _ in system.process_manager_states("worker")] == ["b"]
    assert "there is no process manager walker" in shown(system, ":skip_process_manager walker\n")[1]


def test_rejections_without_a_handler_are_shown_with_their_commands(store_path: Path, shown: Shown) -> None:
    domain = jobs_of(World())
    with System.open(store_path, domain, replicas=1) as system:
        assert "rejection" not in shown(system, ":process_managers\n")[0]
        inside.manager(system, "worker").spec.rejections.clear()
        system.execute(Begin("a", "refused"))
        system.wait_process_managers()
        output, errors = shown(system, ":process_managers\n")
        assert errors == ""
        assert "1 rejection of commands of worker found no handler, the last:" in output
        assert "Work(job='a', kind='refused', note='first') worker:1:0:" in output
        assert "of instance 'a': work.refused: no such work" in output


def test_a_parked_effect_is_delivered_again_or_given_up_by_the_key_that_is_shown(
    store_path: Path, shown: Shown
) -> None:
    world = World(send=lambda _payload, _key: 1 / 0)
    with System.open(store_path, jobs_of(world, attempts=1), replicas=1) as system:
        system.execute_many([Begin("a"), Begin("b")])
        wait_until(lambda: system.process_managers()[0].parked == 2)
        world.send = lambda _payload, _key: None
        keys = [one.key for one in system.effects("worker")]
        output, errors = shown(system, ":effects worker\n")
        assert errors == ""
        assert all(key in output for key in keys)
        first, second = keys
        assert shown(system, f":retry_effect worker {first}\n") == (
            f"{first} is delivered again; :effects shows it until it is\n",
            "",
        )
        system.wait_process_managers()
        assert shown(system, f":drop_effect worker {second}\n") == (f"{second} is given up\n", "")
        assert system.effects("worker") == []
        assert [key for _, key in world.sent].count(first) == 2
        assert "there is no parked effect" in shown(system, f":drop_effect worker {second}\n")[1]
        assert "there is no process manager walker" in shown(system, f":retry_effect walker {first}\n")[1]


def test_a_name_that_is_misspelt_is_corrected(system: System, shown: Shown) -> None:
    _, errors = shown(system, ":process_managers walker\n")
    assert "there is no process manager walker" in errors
    assert "worker" in errors


def test_a_domain_without_managers_says_so(store_path: Path, shown: Shown) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        assert "this domain has no process managers" in shown(system, ":process_managers\n")[0]


def refused(payload: object, key: str) -> None:
    raise ConnectionError("nobody listens")


def test_effects_that_are_not_delivered_are_shown_with_why(store_path: Path, shown: Shown) -> None:
    with System.open(store_path, jobs_of(World(send=refused), attempts=1), replicas=1) as system:
        assert shown(system, ":effects\n")[0] == "no effect waits, and none is parked\n"
        system.execute(Begin("a", "work"))
        wait_until(lambda: system.process_managers()[0].parked == 1)
        output, errors = shown(system, ":effects worker\n")
        assert errors == ""
        assert output.splitlines()[0] == "1 effect not delivered"
        assert output.splitlines()[-1].split()[0] == "worker"
        assert output.splitlines()[-1].endswith("parked: ConnectionError: nobody listens")
        assert "there is no process manager walker" in shown(system, ":effects walker\n")[1]

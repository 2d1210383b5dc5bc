"""A copied store goes on where the original was: nothing is sent again, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from actors import CopiedEvent, CopyFailed, ProcessManagerStopped, System, UnadoptedCopy
from actors.migration.log_copy import LogCopy
from actors.testing import TestSystem
from storage import Codec
from storage.log.log_follower import LogFollower
from storage.transfer.export import Export
from storage.transfer.import_log import Import
from tests.helpers import wait_until
from tests.system.jobs import DELAY, Begin, Nudge, Undo, World, jobs_of


@contextmanager
def opened(path: Path, world: World, **options: Any) -> Iterator[TestSystem]:
    domain = jobs_of(world, attempts=1, **options)
    with TestSystem.open(path, domain, replicas=1, managers=True) as system:
        yield system


COMMANDS = {
    "n0": (Begin("c", "idle"), 0),
    "n1": (Nudge("noise"), 0),
    "b1": (Begin("a"), 0),
    "b2": (Begin("refused", "refused"), 0),
    "n2": (Nudge("c"), 0),
    "b3": (Begin("parked", "later"), 0),
    "b4": (Begin("bug", "handler"), 0),
    "n3": (Nudge("c"), 0),
    "n4": (Nudge("bug"), 0),
    "u1": (Undo("a", "why"), 0),
}


def settle(system: TestSystem) -> None:
    """Wait until all is done that can be; one instance may be set aside."""
    with suppress(ProcessManagerStopped):
        system.wait_process_managers()


def fail_parked(payload: Any, _key: str) -> None:
    if payload[0] == "parked":
        raise RuntimeError("the gateway is closed")


def fill(path: Path, world: World) -> None:
    """Jobs in all states: one is worked on, one refused, one set aside, one has a parked effect."""
    world.bugs.add("handler")
    world.send = fail_parked
    with opened(path, world) as system:
        system.execute(Begin("noise", "idle"), command_id="b0")
        for id, (command, _) in COMMANDS.items():
            system.execute(command, command_id=id)
        settle(system)
        assert [one.key for one in system.quarantined_instances("worker")] == ["bug"]
        assert [one.payload for one in system.effects("worker")] == [["parked", "first"]]
        with system.consumer("mails", types=["Worked", "Nudged"], start="beginning", in_flight=100) as mails:
            for delivery in mails:
                if delivery.stream == "job-bug":
                    delivery.park("it does not work")
                    break
                if delivery.stream != "desk-a":
                    delivery.ack()
        status = {one.name: one for one in system.consumers()}["mails"]
        assert status.parked == 1


def through(event: CopiedEvent) -> list[CopiedEvent]:
    """Without the noise; the nudges of the others twice."""
    if event.stream == "job-noise":
        return []
    return [event, event.replace()] if event.type == "Nudged" else [event]


def copied(path: Path, target: Path, function: Any = through) -> LogCopy:
    copy = LogCopy(path, target, function, "test")
    copy.run()
    return copy


def work_of(system: System) -> Counter[str]:
    """What happened, but for the nudges, which are not the same in the copy."""
    return Counter(
        repr(one.event) for one in system.subscribe(until=system.position) if one.type != "Nudged"
        and one.stream != "job-noise"
    )  # fmt: skip


def go_on(path: Path, world: World, **options: Any) -> dict[str, Any]:
    """Opened again, with the bugs gone and an hour passing: all that comes of it."""
    before = len(world.sent)
    with opened(path, world, **options) as system:
        settle(system)
        seen: dict[str, Any] = {"sent at once": world.sent[before:]}
        seen["set aside"] = [(one.key, one.error) for one in system.quarantined_instances("worker")]
        seen["parked"] = [(one.key, one.payload) for one in system.effects("worker")]
        seen["states"] = [one for one in system.process_manager_states("worker") if one[0] != "noise"]
        seen["work"] = work_of(system)
        world.bugs.clear()
        world.send = lambda _payload, _key: None
        seen["went on"] = system.retry_instance("worker", "bug")
        for effect in system.effects("worker"):
            system.retry_effect("worker", effect.key)
        settle(system)
        system.advance(DELAY * 2)
        wait_until(lambda: late(system) == {"a", "c", "refused", "parked", "bug"})
        settle(system)
        seen["late"] = late(system)
        seen["work at the end"] = Counter(text for text in work_of(system).elements() if "nudged" not in text)
        seen["states at the end"] = [
            one for one in system.process_manager_states("worker") if one[0] != "noise"
        ]
        seen["sent"] = sorted(payload for payload, _ in world.sent[before:] if "nudged" not in payload[1])
        position = system.position
        for id, (command, _) in COMMANDS.items():
            if id != "n1":
                system.execute(command, command_id=id)
        assert system.position == position
        with system.consumer("mails", types=["Worked", "Nudged"], start="beginning", in_flight=100) as mails:
            delivery = next(mails)
            seen["next mail"] = (delivery.stream, delivery.event)
    return seen


def late(system: System) -> set[str]:
    found = [
        one.event.job
        for one in system.subscribe(until=system.position)
        if one.type == "Undone" and one.event.why == "late" and one.event.job != "noise"
    ]
    assert len(set(found)) == len(found)
    return set(found)


def test_the_copy_goes_on_as_the_original_does(tmp_path: Path) -> None:
    world = World()
    fill(tmp_path / "store", world)
    # The original is the last to go on: until then it is as it was copied.
    copy = copied(tmp_path / "store", tmp_path / "copy")
    assert (copy.state.dropped, copy.state.split) == (2, 3)
    other = World(set(world.bugs), list(world.sent), fail_parked)
    of_copy = go_on(tmp_path / "copy", other)
    of_original = go_on(tmp_path / "store", world)
    assert of_copy["sent at once"] == []
    assert of_copy == of_original


def test_a_process_manager_of_a_later_version_is_rebuilt_the_same(tmp_path: Path) -> None:
    world = World()
    fill(tmp_path / "store", world)

    def without_noise(event: CopiedEvent) -> CopiedEvent | None:
        return None if event.stream == "job-noise" else event

    copied(tmp_path / "store", tmp_path / "copy", without_noise)
    states = []
    for path in (tmp_path / "store", tmp_path / "copy"):
        now = World()
        with opened(path, now, version=2) as system:
            wait_until(lambda system=system: not system.health().process_managers[0].rebuilding)
            settle(system)
            found = [one for one in system.process_manager_states("worker") if one[0] != "noise"]
        # The one that was set aside goes on in this version.
        states.append((found, [payload for payload, _ in now.sent]))
    assert states[0] == states[1]
    assert states[0][0]


def test_a_parked_stream_is_not_merged_with_another(tmp_path: Path) -> None:
    fill(tmp_path / "store", World())

    def merged(event: CopiedEvent) -> CopiedEvent:
        if event.stream.startswith("job-"):
            event.stream = "jobs"
        return event

    with pytest.raises(CopyFailed, match="consumer 'mails' has parked stream 'job-bug'"):
        copied(tmp_path / "store", tmp_path / "copy", merged)


@pytest.mark.parametrize("how", ["copied", "imported"])
def test_a_new_store_acts_on_nothing_until_it_is_adopted(how: str, tmp_path: Path) -> None:
    world = World()
    fill(tmp_path / "store", world)
    target = tmp_path / "target"
    if how == "copied":
        copied(tmp_path / "store", target)
    else:
        with LogFollower.open(tmp_path / "store", Codec()) as log:
            Import(list(Export(log).lines()), target).run()
    now = World({"handler"})
    with System.open(target, jobs_of(now, attempts=1), replicas=1) as system:
        with pytest.raises(UnadoptedCopy):
            system.wait_process_managers()
        with pytest.raises(UnadoptedCopy):
            system.consumer("mails", types=["Worked", "Nudged"], start="beginning", in_flight=100)
    with opened(target, now) as system:
        [effect] = system.effects("worker")
        assert now.sent == []
        system.retry_effect("worker", effect.key)
        wait_until(lambda: now.sent)
    assert now.sent[0] == (["parked", "first"], effect.key)

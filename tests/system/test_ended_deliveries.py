"""A delivery that ends its process, each time, is counted and parked, and the others get their turn."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.delivery_marks import BYTES, CLOSED, FIRST, MARKS_FILE, SLOT, DeliveryMarks, owner_of
from tests.helpers import PATIENCE
from tests.system import ending_child
from tests.system.depot import Increment, depot
from tests.system.jobs import Begin, World, jobs_of
from tests.system.test_crash import ROOT

Patch = pytest.MonkeyPatch


def run(store: Path, how: str, most: int = 3) -> list[str]:
    """What a process delivers before it ends, of itself or not."""
    command = [sys.executable, "-m", "tests.system.ending_child", str(store), how, str(most)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 137), done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("how", ["callback", "iterator", "async"])
def test_a_delivery_that_ends_its_process_is_counted_and_parked_and_the_others_go_on(
    store_path: Path, how: str
) -> None:
    assert [run(store_path, how) for _ in range(5)] == [["bad 1"], ["bad 2"], ["bad 3"], ["good 1"], []]
    with System.open(store_path, ending_child.parcels, replicas=1) as system:
        [parked] = system.parked("labels")
        assert (parked.stream, parked.attempts, parked.following) == ("belt-1", 3, 1)
        assert parked.reason == "the process ended while it was delivered, each time"
        system.replay_parked("labels")
        replayed = system.consumer("labels", until=ending_child.ALL, max_deliveries=3)
        found = []
        for delivery in replayed:
            found.append((delivery.event.parcel, delivery.attempt))
            assert delivery.ack(wait=True)
        assert found == [("bad", 1), ("behind", 1)]
        assert system.parked("labels") == []


def test_an_effect_that_ends_its_process_is_counted_and_parked_and_the_others_go_on(store_path: Path) -> None:
    assert [run(store_path, "effect") for _ in range(5)] == [["bad 0"], ["bad 0"], ["bad 0"], ["good 0"], []]
    ending_child.with_effects(3)
    try:
        with System.open(store_path, ending_child.parcels, replicas=1) as system:
            behind, parked = system.effects("labels")
            assert (parked.payload, parked.attempts, behind.behind) == ("bad", 3, parked.key)
            assert parked.parked == "the process ended while it was delivered, in attempt 3"
            system.drop_effect("labels", parked.key)
            system.wait_processes()
            assert system.effects("labels") == []
    finally:
        ending_child.parcels.processes.clear()


def test_attempts_are_counted_on_where_some_failed_and_some_ended_the_process(store_path: Path) -> None:
    for _ in range(2):
        run(store_path, "iterator", 5)
    with System.open(store_path, ending_child.parcels, replicas=1) as system:
        [delivery] = [next(system.consumer("labels", max_deliveries=5))]
        assert (delivery.event.parcel, delivery.attempt) == ("bad", 3)
        delivery.nak()
    assert [run(store_path, "iterator", 5) for _ in range(3)] == [["bad 4"], ["bad 5"], ["good 1"]]


@pytest.mark.parametrize("hangs", [False, True], ids=["in hand", "hangs"])
def test_what_is_out_at_an_orderly_end_is_not_counted(
    store_path: Path, monkeypatch: Patch, hangs: bool
) -> None:
    monkeypatch.setattr("actors.live.consumers.FLUSH", 0.05)
    release, entered = threading.Event(), threading.Event()

    def hang(_delivery: Any) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    with System.open(store_path, depot, replicas=1) as system:
        system.execute(Increment("a"))
        if hangs:
            system.consume("mailer", hang)
            assert entered.wait(PATIENCE)
        else:
            assert next(system.consumer("mailer")).attempt == 1
    release.set()
    with System.open(store_path, depot, replicas=1) as system:
        assert next(system.consumer("mailer")).attempt == 1


def test_an_effect_that_hangs_at_an_orderly_end_is_not_counted(store_path: Path, monkeypatch: Patch) -> None:
    release, entered = threading.Event(), threading.Event()

    def hang(_payload: Any, _key: str) -> None:
        entered.set()
        assert release.wait(PATIENCE)

    world = World(send=hang)
    with System.open(store_path, jobs_of(world, attempts=1), replicas=1, busy_limit=0.05) as system:
        system.execute(Begin("a"))
        assert entered.wait(PATIENCE)
    release.set()
    world.send = lambda _payload, _key: None
    with System.open(store_path, jobs_of(world, attempts=1), replicas=1) as system:
        system.wait_processes()
        assert system.effects("worker") == []
        assert len(world.sent) == 2


def test_what_was_counted_is_kept_where_the_next_process_does_not_come_to_it(store_path: Path) -> None:
    run(store_path, "iterator")
    with System.open(store_path, ending_child.parcels, replicas=1):
        pass  # does not ask for the name
    with System.open(store_path, ending_child.parcels, replicas=1) as system:
        system.consumer("labels", max_deliveries=3)  # takes nothing
    with System.open(store_path, ending_child.parcels, replicas=1) as system:
        assert next(system.consumer("labels", max_deliveries=3)).attempt == 2


def test_a_consumer_that_is_deleted_leaves_nothing_to_one_of_its_name(store_path: Path) -> None:
    run(store_path, "iterator")
    with System.open(store_path, ending_child.parcels, replicas=1) as system:
        system.delete_consumer("labels")
        assert next(system.consumer("labels")).attempt == 1


@pytest.mark.parametrize("there", ["a directory", "another file", "an empty file"])
def test_a_file_that_is_of_no_use_keeps_nothing_from_being_delivered(
    store_path: Path, there: str, caplog: pytest.LogCaptureFixture
) -> None:
    with System.open(store_path, depot, replicas=1) as system:
        system.execute(Increment("a"))
    file = store_path / MARKS_FILE
    if there == "a directory":
        file.mkdir()
    else:
        file.write_bytes(b"something else" * 500 if there == "another file" else b"")
    with (
        caplog.at_level(logging.WARNING, "onewriter.deliveries"),
        System.open(store_path, depot, replicas=1) as system,
    ):
        delivery = next(system.consumer("mailer"))
        assert delivery.attempt == 1
        assert delivery.ack(wait=True)
    assert ("can't be used" in caplog.text) == (there == "a directory")


# -- the file itself -----------------------------------------------------------------------------
OWNER, OTHER = owner_of("consumer", "a"), owner_of("consumer", "b")


def marks_at(path: Path, in_place: bool = True) -> DeliveryMarks:
    return DeliveryMarks(path, lambda: in_place)


def write(marks: DeliveryMarks, owner: bytes, item: tuple[int, int], attempt: int) -> int:
    memory, slot = marks.slot()
    SLOT.pack_into(memory, slot, owner, *item, attempt)
    return slot


def test_what_was_out_when_a_process_died_is_told_to_its_owner(tmp_path: Path) -> None:
    died = marks_at(tmp_path)
    write(died, OWNER, (1, 2), 3)
    write(died, OTHER, (1, 2), 1)
    died.give_back([write(died, OWNER, (5, 5), 1)])
    del died
    marks = marks_at(tmp_path)
    left = marks.left(OWNER)
    assert {item: attempt for item, (_, attempt) in left.items()} == {(1, 2): 3}
    marks.give_back([left.pop((1, 2))[0]])
    marks.close()
    after = marks_at(tmp_path)
    assert after.left(OWNER) == {}
    assert [attempt for _, attempt in after.left(OTHER).values()] == [1]


def test_of_two_marks_of_one_delivery_the_later_attempt_counts(tmp_path: Path) -> None:
    for attempts in ((1, 2), (2, 1)):
        died = marks_at(tmp_path)
        for attempt in attempts:
            write(died, OWNER, (1, 2), attempt)
        marks = marks_at(tmp_path)
        left = marks.left(OWNER)
        assert [attempt for _, attempt in left.values()] == [2]
        marks.give_back([slot for slot, _ in left.values()])
        left.clear()
        marks.close()


def test_more_than_can_be_noted_are_delivered_without(tmp_path: Path) -> None:
    marks = marks_at(tmp_path)
    slots = [marks.slot()[1] for _ in range((BYTES - FIRST) // SLOT.size)]
    assert len(set(slots)) == len(slots)
    assert write(marks, OWNER, (1, 2), 1) == 0
    marks.give_back([0, slots[0]])
    assert marks.slot()[1] == slots[0]
    again = marks_at(tmp_path)
    assert again.left(OWNER) == {}


def test_nothing_is_written_after_the_end_or_into_a_directory_that_was_moved(tmp_path: Path) -> None:
    marks = marks_at(tmp_path)
    memory, slot = marks.slot()
    marks.close()
    with pytest.raises(CLOSED):
        SLOT.pack_into(memory, slot, OWNER, 1, 2, 3)
    marks.clear(slot)
    assert marks.slot()[1] == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert marks_at(elsewhere, in_place=False).slot()[1] == 0
    assert list(elsewhere.iterdir()) == []

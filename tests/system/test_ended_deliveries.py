"""A delivery that ends its process, each time, is counted and parked, and the others get their turn."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from actors import System
from actors.kernel.delivery_marks import BYTES, CLOSED, FIRST, MARKS_FILE, SLOT, DeliveryMarks, owner_of
from actors.process_managers.outstanding_effects import OutstandingEffects
from actors.process_managers.records import OutboxEntry
from actors.subscriptions.delivery_state import DeliveryState
from actors.subscriptions.outstanding_deliveries import OutstandingDeliveries
from storage import RecordedEvent
from tests import inside
from tests.forked import Forked
from tests.helpers import PATIENCE
from tests.system import ending_child
from tests.system.depot import Increment, depot
from tests.system.jobs import Begin, World, jobs_of

Patch = pytest.MonkeyPatch


def run(store: Path, how: str, most: int = 3) -> list[str]:
    """What a process delivers before it ends, of itself or not."""
    with Forked("tests.system.ending_child", str(store), how, str(most)) as process:
        assert process.wait(60) in (0, 137)
        return process.stdout.read().splitlines()


@pytest.mark.kill
@pytest.mark.parametrize("how", ["callback", "iterator", "async"])
def test_a_delivery_that_ends_its_process_is_counted_and_parked_and_the_others_go_on(
    store_path: Path, how: str
) -> None:
    assert [run(store_path, how) for _ in range(5)] == [["bad 1"], ["bad 2"], ["bad 3"], ["good 1"], []]
    with System.open(store_path, ending_child.parcels, replicas=1) as system:
        [parked] = system.parked_streams("labels")
        assert (parked.stream, parked.attempts, parked.following) == ("belt-1", 3, 1)
        assert parked.reason == "the process ended while it was delivered, each time"
        system.replay_parked("labels")
        replayed = system.consumer("labels", until=ending_child.ALL, max_deliveries=3)
        found = []
        for delivery in replayed:
            found.append((delivery.event.parcel, delivery.attempt))
            assert delivery.ack(wait=True)
        assert found == [("bad", 1), ("behind", 1)]
        assert system.parked_streams("labels") == []


@pytest.mark.kill
def test_an_effect_that_ends_its_process_is_counted_and_parked_and_the_others_go_on(store_path: Path) -> None:
    assert [run(store_path, "effect") for _ in range(5)] == [["bad 0"], ["bad 0"], ["bad 0"], ["good 0"], []]
    ending_child.with_effects(3)
    try:
        with System.open(store_path, ending_child.parcels, replicas=1) as system:
            behind, parked = system.effects("labels")
            assert (parked.payload, parked.attempts, behind.behind) == ("bad", 3, parked.key)
            assert parked.parked == "the process ended while it was delivered, in attempt 3"
            system.drop_effect("labels", parked.key)
            system.wait_process_managers()
            assert system.effects("labels") == []
    finally:
        ending_child.parcels.declarations.process_managers.clear()


@pytest.mark.kill
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
    monkeypatch.setattr("actors.subscriptions.consumer_registry.FLUSH", 0.05)
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
        system.wait_process_managers()
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


@pytest.mark.parametrize("close_first", [False, True])
def test_a_consumer_that_is_deleted_or_closed_gives_all_slots_back(
    store_path: Path, close_first: bool
) -> None:
    with System.open(store_path, depot, replicas=1) as system:
        for number in range(8):
            system.execute(Increment(f"n{number}"))
        for _ in range(2):
            consumer = system.consumer("mailer", timeout=0)
            found = [next(consumer) for _ in range(5)]
            assert found[0].ack()
            found[1].nak()
            assert len(noted(store_path)) >= 3
            if close_first:
                consumer.close()
                assert noted(store_path) == []
                assert inside.marked_slots(system) == set()
            system.delete_consumer("mailer")
            assert noted(store_path) == []
            assert inside.marked_slots(system) == set()
            # Whoever had something out answers, or goes, afterwards.
            found[2].ack()
            found[3].nak()
            consumer.close()
            assert noted(store_path) == []
            assert inside.marked_slots(system) == set()


def test_what_a_deleted_consumer_had_out_is_not_counted_for_one_of_its_name(store_path: Path) -> None:
    assert run(store_path, "deleted") == ["bad 1", "bad 2", "bad 1"]
    assert run(store_path, "iterator")[:1] == ["bad 2"]


def test_a_delivery_in_the_moment_of_the_deletion_is_not_noted(tmp_path: Path) -> None:
    out = OutstandingDeliveries(marks_at(tmp_path, owners=()), "mailer")
    entries = [
        DeliveryState(RecordedEvent(number, "a", 1, None, "Happened", 0, "id"), 1, False)
        for number in (1, 2, 3)
    ]
    for entry in entries[:2]:
        out.hand_out(entry)
    assert len(noted(tmp_path)) == 2
    out.close(entries[:2])
    for entry in entries:
        out.hand_out(entry)
    assert noted(tmp_path) == []


def test_an_outbox_that_dies_after_it_found_what_was_out_loses_no_slot(tmp_path: Path) -> None:
    entry = OutboxEntry("e", "a", "tell", None, 0, None)
    owner = owner_of("process manager", "worker")
    with OutstandingEffects(marks_at(tmp_path, owners=(owner,)), "worker").marked(entry, 2):
        marks = marks_at(tmp_path, owners=(owner,))
        assert OutstandingEffects(marks, "worker").ended_attempt(b"key", entry) == 2
        OutstandingEffects(marks, "worker").settled([b"key"])
        assert marks._slots_taken() == set()


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
        told = [one for one in system.health().problems if "can't be used" in one]
        assert len(told) == (there == "a directory")
    assert ("can't be used" in caplog.text) == (there == "a directory")


# -- the file itself -----------------------------------------------------------------------------
OWNER, OTHER = owner_of("consumer", "a"), owner_of("consumer", "b")


def marks_at(path: Path, in_place: bool = True, owners: tuple[bytes, ...] = (OWNER, OTHER)) -> DeliveryMarks:
    return DeliveryMarks(path, lambda: in_place, lambda: owners)


def write(marks: DeliveryMarks, owner: bytes, item: tuple[int, int], attempt: int) -> int:
    return marks.note(owner, *item, attempt)


def noted(path: Path) -> list[tuple[bytes, int, int, int]]:
    """What the file has."""
    data = (path / MARKS_FILE).read_bytes()
    found = [SLOT.unpack_from(data, slot) for slot in range(FIRST, len(data) - SLOT.size + 1, SLOT.size)]
    return sorted(one for one in found if one[3])


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


def test_more_than_can_be_noted_are_delivered_without_and_told_of(tmp_path: Path) -> None:
    marks = marks_at(tmp_path)
    slots = [write(marks, OWNER, (number, 0), 1) for number in range((BYTES - FIRST) // SLOT.size)]
    assert len(set(slots)) == len(slots)
    assert marks.problems() == []
    assert write(marks, OWNER, (1, 2), 1) == 0
    [problem] = marks.problems()
    assert problem.startswith("4096 deliveries and effects are out, and more than that can't be noted")
    marks.give_back([0, slots[0]])
    assert marks.problems() == []
    assert write(marks, OWNER, (1, 2), 1) == slots[0]


def test_nothing_is_written_after_the_end_or_into_a_directory_that_was_moved(tmp_path: Path) -> None:
    marks = marks_at(tmp_path)
    slot, memory = write(marks, OWNER, (1, 2), 1), marks.map
    marks.close()
    with pytest.raises(CLOSED):
        SLOT.pack_into(memory, slot, OWNER, 1, 2, 3)
    marks.give_back([slot])
    assert write(marks, OWNER, (1, 2), 3) == 0
    assert noted(tmp_path) == []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert write(marks_at(elsewhere, in_place=False), OWNER, (1, 2), 1) == 0
    assert list(elsewhere.iterdir()) == []


def test_marks_whose_owner_is_not_in_the_store_any_more_are_freed(tmp_path: Path) -> None:
    died = marks_at(tmp_path)
    for number in range(100):
        write(died, OTHER, (number, 0), 1)
    write(died, OWNER, (1, 2), 2)
    marks = marks_at(tmp_path, owners=(OWNER,))
    assert [attempt for _, attempt in marks.left(OWNER).values()] == [2]
    assert noted(tmp_path) == [(OWNER, 1, 2, 2)]
    slots = [write(marks, OWNER, (number, 1), 1) for number in range(4095)]
    assert 0 not in slots
    assert marks.problems() == []


def test_garbage_in_the_file_takes_no_room(tmp_path: Path) -> None:
    write(marks_at(tmp_path), OWNER, (1, 2), 1)
    with (tmp_path / MARKS_FILE).open("r+b") as file:
        file.seek(FIRST)
        file.write(b"\xa5" * (BYTES - FIRST))
    marks = marks_at(tmp_path)
    assert marks.left(OWNER) == {}
    assert noted(tmp_path) == []
    assert write(marks, OWNER, (1, 2), 1)


def test_a_file_that_can_t_be_had_is_told_of_and_tried_again(tmp_path: Path, monkeypatch: Patch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("actors.kernel.delivery_marks.OPEN_AGAIN", 0.0)
    marks = marks_at(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        assert write(marks, OWNER, (1, 2), 1) == 0
    [problem] = marks.problems()
    assert "No space left on device" in problem
    assert "is not counted" in problem
    assert write(marks, OWNER, (1, 2), 1)
    assert marks.problems() == []

"""Consumers of one name that get in each other's way, and what goes wrong behind their backs."""

from __future__ import annotations

import gc
import threading

import pytest

from actors import CommandTimeout, System
from actors.subscriptions.log_cursor import LogCursor
from actors.subscriptions.waiters import ThreadWaiter
from actors.subscriptions.window_feeder import WindowFeeder
from storage import EventLog, StorageError
from tests import inside
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.depot import Increment, depot


@pytest.fixture
def system(store_path):
    with System.open(store_path, depot, replicas=1) as system:
        yield system


def status(system: System, name: str):
    (found,) = [one for one in system.consumers() if one.name == name]
    return found


def test_who_came_while_another_consumer_read_gets_what_that_one_did_not_want(system, monkeypatch):
    system.execute(Increment("a", 1))
    choosy, waiting = system.consumer("mailer", until=1), system.consumer("mailer")
    assert next(choosy).position == 1
    reading, gate, asleep = threading.Event(), threading.Event(), threading.Event()
    read, wait = LogCursor.read, ThreadWaiter.wait
    got: list[int] = []
    woken_early: list[bool] = []
    reader: list[threading.Thread] = []

    def read_all() -> None:
        reader.append(threading.current_thread())
        list(choosy)

    def held(cursor, *limits):
        if threading.current_thread() in reader:
            reading.set()
            assert gate.wait(PATIENCE)
        return read(cursor, *limits)

    def told(wake, seconds):
        if threading.current_thread() not in reader and not gate.is_set():
            woken_early.append(wake._event.is_set())
            asleep.set()
        return wait(wake, seconds)

    monkeypatch.setattr(LogCursor, "read", held)
    monkeypatch.setattr(ThreadWaiter, "wait", told)
    with Threads() as threads:
        threads.start(read_all)
        assert wait_until(lambda: reader)
        system.execute(Increment("b", 1))
        assert reading.wait(PATIENCE)
        threads.start(lambda: got.append(next(waiting).position))
        assert asleep.wait(PATIENCE)
        gate.set()
        wait_until(lambda: got)
        choosy.close()
    assert got == [2]
    assert woken_early == [False], "who finds another one reading waits for that one, and not in rounds"


def test_what_another_reads_between_the_looks_of_one_that_is_about_to_wait_is_found(system, monkeypatch):
    system.execute(Increment("a", 1))
    waiting = system.consumer("mailer")
    group, me, looks = inside.consumer_group(system, "mailer"), threading.current_thread(), []
    idle = WindowFeeder._idle

    def another_reads(feeder):
        if threading.current_thread() is not me:
            return idle(feeder)
        looks.append(idle(feeder))
        if len(looks) == 1:
            return True  # as if the event came after this look
        with Threads() as threads:
            threads.start(group.take, 0, object())  # it reads, and wants nothing of it
        return idle(feeder)

    def waits(_waiter, _seconds):
        raise AssertionError("it waits though there is something to deliver")

    monkeypatch.setattr(WindowFeeder, "_idle", another_reads)
    monkeypatch.setattr(ThreadWaiter, "wait", waits)
    assert next(waiting).position == 1
    assert looks == [False, False]


def test_a_reason_with_names_that_are_no_text_is_stored_and_ends_nothing(system):
    system.execute_many([Increment("a", 1), Increment("b", 2)])

    def fail_for_a(delivery):
        if delivery.stream.endswith("a"):
            raise OSError("no such file: \udcff")

    with system.consume("mailer", fail_for_a, until=2, max_deliveries=1) as consumer:
        assert consumer.wait(PATIENCE)
    (parked,) = system.parked_streams("mailer")
    assert parked.reason == "OSError: no such file: \\udcff"
    assert wait_until(lambda: status(system, "mailer").position == 2)
    system.replay_parked("mailer")


def test_a_reason_is_text(system):
    system.execute(Increment("a", 1))
    delivery = next(system.consumer("mailer"))
    for refuse in (delivery.park, lambda reason: delivery.nak(0.0, reason)):
        with pytest.raises(TypeError, match=r"give str\(error\)"):
            refuse(ValueError("wrong"))
    assert delivery.ack(wait=True)


def test_callbacks_that_ended_for_an_error_are_told_of_although_nobody_keeps_their_handle(
    system, monkeypatch
):
    def broken(cursor, *limits):
        raise StorageError("the log can't be read")

    monkeypatch.setattr(LogCursor, "read", broken)
    system.execute(Increment("a", 1))
    system.consume("mailer", lambda delivery: None).wait(PATIENCE)
    gc.collect()
    assert any(
        "'mailer' ended: the log can't be read" in one for one in inside.consumer_registry(system).problems()
    )


def test_of_two_threads_that_settle_one_delivery_one_does(system):
    system.execute(Increment("a", 1))
    delivery = next(system.consumer("mailer"))
    made: list[bool] = []
    both = threading.Barrier(2)

    def settle(how):
        both.wait(PATIENCE)
        made.append(how())

    with Threads() as threads:
        threads.start(settle, delivery.nak)
        threads.start(settle, delivery.ack)
    assert sorted(made) == [False, True]


@pytest.mark.parametrize("first_write", ["the parked stream", "nothing"])
def test_a_name_that_could_not_be_deleted_in_time_goes_on_where_it_was(
    system, store_path, monkeypatch, first_write
):
    system.execute_many([Increment("a", 1), Increment("b", 2), Increment("c", 3)])
    before = system.consumer("mailer")
    next(before).ack(wait=True)
    release = threading.Event()
    commit = EventLog._commit

    def held(log, transaction):
        assert release.wait(PATIENCE)
        commit(log, transaction)

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "_commit", held)
        patch.setattr("actors.subscriptions.consumer_registry.TIMEOUT", 0.02)
        delivery = next(before)
        if first_write == "nothing":
            # The writer is busy with something else, so the park waits in its mailbox.
            system.submit(Increment("d", 1))
        assert delivery.park("broken")
        with pytest.raises(CommandTimeout, match="deleting consumer 'mailer' did not end within"):
            system.delete_consumer("mailer")
        release.set()
    before.close()
    (parked,) = system.parked_streams("mailer")
    assert (parked.position, parked.reason) == (2, "broken")
    with system.consumer("mailer", until=3) as after:
        assert [(one.position, one.ack(wait=True)) for one in after] == [(3, True)]
    system.close()
    with System.open(store_path, depot, replicas=1) as again:
        assert status(again, "mailer").position == 3
        assert [one.position for one in again.parked_streams("mailer")] == [2]
        again.delete_consumer("mailer")
        assert again.consumers() == []

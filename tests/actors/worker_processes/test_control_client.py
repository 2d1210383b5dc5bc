"""A worker is told positions without a backlog, and what it did not do goes to the one after it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from actors import SystemClosed
from actors.kernel.mailbox import Mailbox
from actors.replication.messages import Applied, CatchUp
from actors.worker_processes.child.position_feed import PositionFeed, RemoteRebuildLock
from actors.worker_processes.parent.control_client import MAX_UNAPPLIED, ControlClient
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.framing import Connection
from tests.helpers import PATIENCE


class Worker:
    """The other end of a line."""

    def __init__(self) -> None:
        self.ours, self.theirs = map(Connection, socket.socketpair())

    def heard(self) -> list[Any]:
        found: list[Any] = []
        while self.theirs.readable(0.0):
            found += map(protocol.unpack, self.theirs.receive() or ())
        return found

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    made = [Worker(), Worker()]
    yield made
    for one in made:
        one.close()


def test_positions_are_merged_while_the_worker_is_busy(workers: list[Worker]) -> None:
    head = 0
    control = ControlClient(lambda: head)
    worker = workers[0]
    control.attach(worker.ours, 0)
    assert worker.heard() == []
    for head in range(1, 101):  # noqa: B007
        control.committed()
    assert worker.heard() == [[protocol.COMMITTED, position] for position in range(1, MAX_UNAPPLIED + 1)]
    control.applied(1)
    assert worker.heard() == [[protocol.COMMITTED, 100]]
    control.applied(100)
    control.committed()
    assert worker.heard() == []


def test_a_worker_that_comes_later_is_told_what_it_does_not_know(workers: list[Worker]) -> None:
    control = ControlClient(lambda: 7)
    control.committed()
    control.attach(workers[0].ours, 5)
    assert workers[0].heard() == [[protocol.COMMITTED, 7]]
    control.detach()
    assert not control.send(protocol.STOP)
    control.attach(workers[1].ours, 7)
    assert workers[1].heard() == []
    assert control.send(protocol.STOP)


def test_an_order_is_given_again_until_it_is_done(workers: list[Worker]) -> None:
    control = ControlClient(lambda: 0)
    future = control.request(protocol.BUILD, "counts")
    assert control.pending(protocol.BUILD)
    numbers = []
    for worker in workers:
        control.attach(worker.ours, 0)
        ((_, number, what, argument),) = worker.heard()
        assert (what, argument) == (protocol.BUILD, "counts")
        numbers.append(number)
        control.detach()
    assert numbers[0] == numbers[1]
    control.done(numbers[0], None, "result")
    control.done(numbers[0], None, "again")
    assert future.result(PATIENCE) == "result"
    assert not control.pending(protocol.BUILD)


def test_orders_fail_with_what_the_worker_says_and_at_the_end(workers: list[Worker]) -> None:
    control = ControlClient(lambda: 0)
    control.attach(workers[0].ours, 0)
    first, second = control.request(protocol.RESUME, None), control.request(protocol.RESUME, None)
    number = workers[0].heard()[0][1]
    control.done(number, ValueError("no"), None)
    with pytest.raises(ValueError, match="no"):
        first.result(PATIENCE)
    control.close(lambda: SystemClosed("closed"))
    for future in (second, control.request(protocol.RESUME, None)):
        with pytest.raises(SystemClosed):
            future.result(PATIENCE)


# -- the worker's side -----------------------------------------------------------------------
def test_a_replica_is_ordered_to_read_on_one_batch_at_a_time() -> None:
    mailbox, applied = Mailbox(), []
    positions = PositionFeed(mailbox, 3, applied.append)
    positions.committed(5)
    assert mailbox.empty()  # It has not said where it is.
    positions.report(Applied("replica-1", 2, joining=True))
    positions.committed(9)
    (order,) = mailbox.drain(9)
    assert isinstance(order, CatchUp)
    assert order.until == 5
    positions.report(Applied("replica-1", 5))
    (order,) = mailbox.drain(9)
    assert order.until == 9
    positions.report(Applied("replica-1", 9))
    assert mailbox.empty()
    positions.committed(10)
    (order,) = mailbox.drain(9)
    assert order.until == 10
    assert applied == [2, 5, 9]


def test_a_turn_is_asked_for_once_and_an_old_answer_is_no_turn() -> None:
    said: list[Any] = []
    woken: list[int] = []
    rebuild_lock = RemoteRebuildLock(lambda *words: said.append(words))
    assert not rebuild_lock.acquire("replica-1", lambda: woken.append(1))
    assert not rebuild_lock.acquire("replica-1", lambda: woken.append(2))
    ((word, number),) = said
    assert word == protocol.ACQUIRE_REBUILD_LOCK
    rebuild_lock.release("replica-1")
    rebuild_lock.granted(number)
    assert woken == []
    assert not rebuild_lock.acquire("replica-1", lambda: woken.append(3))
    rebuild_lock.granted(said[-1][1])
    assert woken == [3]
    assert rebuild_lock.acquire("replica-1", lambda: woken.append(4))
    rebuild_lock.release("replica-1")
    rebuild_lock.release("replica-1")
    assert [words[0] for words in said] == [
        protocol.ACQUIRE_REBUILD_LOCK,
        protocol.RELEASE_REBUILD_LOCK,
        protocol.ACQUIRE_REBUILD_LOCK,
        protocol.RELEASE_REBUILD_LOCK,
    ]

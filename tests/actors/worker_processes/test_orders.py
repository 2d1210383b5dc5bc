"""A worker is told positions without a backlog, and what it did not do goes to the one after it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from actors import SystemClosed
from actors.kernel.mailbox import Mailbox
from actors.replication.messages import Applied, CatchUp
from actors.worker_processes.child.position_feed import FarTurns, Positions
from actors.worker_processes.parent.control_client import AHEAD, Orders
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.framing import Line
from tests.helpers import PATIENCE


class Worker:
    """The other end of a line."""

    def __init__(self) -> None:
        self.ours, self.theirs = map(Line, socket.socketpair())

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
    orders = Orders(lambda: head)
    worker = workers[0]
    orders.attach(worker.ours, 0)
    assert worker.heard() == []
    for head in range(1, 101):  # noqa: B007
        orders.committed()
    assert worker.heard() == [[protocol.COMMITTED, position] for position in range(1, AHEAD + 1)]
    orders.applied(1)
    assert worker.heard() == [[protocol.COMMITTED, 100]]
    orders.applied(100)
    orders.committed()
    assert worker.heard() == []


def test_a_worker_that_comes_later_is_told_what_it_does_not_know(workers: list[Worker]) -> None:
    orders = Orders(lambda: 7)
    orders.committed()
    orders.attach(workers[0].ours, 5)
    assert workers[0].heard() == [[protocol.COMMITTED, 7]]
    orders.detach()
    assert not orders.say(protocol.STOP)
    orders.attach(workers[1].ours, 7)
    assert workers[1].heard() == []
    assert orders.say(protocol.STOP)


def test_an_order_is_given_again_until_it_is_done(workers: list[Worker]) -> None:
    orders = Orders(lambda: 0)
    future = orders.give(protocol.BUILD, "counts")
    assert orders.pending(protocol.BUILD)
    numbers = []
    for worker in workers:
        orders.attach(worker.ours, 0)
        ((_, number, what, argument),) = worker.heard()
        assert (what, argument) == (protocol.BUILD, "counts")
        numbers.append(number)
        orders.detach()
    assert numbers[0] == numbers[1]
    orders.done(numbers[0], None, "result")
    orders.done(numbers[0], None, "again")
    assert future.result(PATIENCE) == "result"
    assert not orders.pending(protocol.BUILD)


def test_orders_fail_with_what_the_worker_says_and_at_the_end(workers: list[Worker]) -> None:
    orders = Orders(lambda: 0)
    orders.attach(workers[0].ours, 0)
    first, second = orders.give(protocol.RESUME, None), orders.give(protocol.RESUME, None)
    number = workers[0].heard()[0][1]
    orders.done(number, ValueError("no"), None)
    with pytest.raises(ValueError, match="no"):
        first.result(PATIENCE)
    orders.close(lambda: SystemClosed("closed"))
    for future in (second, orders.give(protocol.RESUME, None)):
        with pytest.raises(SystemClosed):
            future.result(PATIENCE)


# -- the worker's side -----------------------------------------------------------------------
def test_a_replica_is_ordered_to_read_on_one_batch_at_a_time() -> None:
    mailbox, applied = Mailbox(), []
    positions = Positions(mailbox, 3, applied.append)
    positions.committed(5)
    assert mailbox.empty()  # It has not said where it is.
    positions.put(Applied("replica-1", 2, joining=True))
    positions.committed(9)
    (order,) = mailbox.drain(9)
    assert isinstance(order, CatchUp)
    assert order.until == 5
    positions.put(Applied("replica-1", 5))
    (order,) = mailbox.drain(9)
    assert order.until == 9
    positions.put(Applied("replica-1", 9))
    assert mailbox.empty()
    positions.committed(10)
    (order,) = mailbox.drain(9)
    assert order.until == 10
    assert applied == [2, 5, 9]


def test_a_turn_is_asked_for_once_and_an_old_answer_is_no_turn() -> None:
    said: list[Any] = []
    woken: list[int] = []
    turns = FarTurns(lambda *words: said.append(words))
    assert not turns.take("replica-1", lambda: woken.append(1))
    assert not turns.take("replica-1", lambda: woken.append(2))
    ((word, number),) = said
    assert word == protocol.TAKE_TURN
    turns.give_up("replica-1")
    turns.granted(number)
    assert woken == []
    assert not turns.take("replica-1", lambda: woken.append(3))
    turns.granted(said[-1][1])
    assert woken == [3]
    assert turns.take("replica-1", lambda: woken.append(4))
    turns.give_up("replica-1")
    turns.give_up("replica-1")
    assert [words[0] for words in said] == [
        protocol.TAKE_TURN,
        protocol.GIVE_UP_TURN,
        protocol.TAKE_TURN,
        protocol.GIVE_UP_TURN,
    ]

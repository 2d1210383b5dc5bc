from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest
from pykka import messages as pykka_messages
from pykka._envelope import Envelope

from actors.kernel.mailbox import IDLE_TIMEOUT, Mailbox, Request
from tests.helpers import Threads, wait_until


class Message(Request):
    """A request that notes how it was answered."""

    __slots__ = ("answers", "name", "weight")

    def __init__(self, name: Any, weight: int = 1) -> None:
        self.name = name
        self.weight = weight
        self.answers: list[Exception] = []

    def fail(self, error: Exception) -> None:
        self.answers.append(error)


class Closed(Exception):
    pass


def names(messages):
    return [message.name for message in messages]


def test_messages_come_out_in_the_order_they_went_in():
    mailbox = Mailbox()
    for number in range(5):
        mailbox.put(Message(number))
    assert mailbox.get().name == 0
    assert names(mailbox.drain(2)) == [1, 2]
    assert names(mailbox.drain(100)) == [3, 4]
    assert mailbox.drain(100) == []
    assert mailbox.empty()


def test_held_messages_are_the_next_ones():
    mailbox = Mailbox()
    for number in range(6):
        mailbox.put(Message(number))
    taken = mailbox.drain(4)
    mailbox.push_back(taken[1:])
    assert len(mailbox) == 5
    assert mailbox.get().name == 1
    assert names(mailbox.drain(3)) == [2, 3, 4]
    mailbox.push_back([])
    assert mailbox.get().name == 5


def test_draining_one_kind_stops_at_the_first_of_another_which_is_taken_next():
    class News(Request):
        pass

    class Order(Request):
        pass

    first, second, order, third = News(), News(), Order(), News()
    mailbox = Mailbox()
    for request in (first, second, order, third):
        mailbox.put(request)
    assert mailbox.drain(10, News) == [first, second]
    assert mailbox.drain(10, News) == []
    assert mailbox.get() is order
    assert mailbox.drain(10, News, Order) == [third]


def test_get_waits_for_a_message_and_ticks_when_none_comes():
    mailbox = Mailbox(idle_timeout=0.001)
    assert mailbox.get() is IDLE_TIMEOUT
    patient = Mailbox()
    with Threads() as threads:
        threads.start(lambda: patient.put(Message("late")))
        assert patient.get().name == "late"


def test_put_never_waits_for_room():
    mailbox = Mailbox(limit=1)
    for number in range(3):
        mailbox.put(Message(number))
    assert len(mailbox) == 3


def test_an_offer_to_a_full_mailbox_gives_up_after_the_timeout():
    mailbox = Mailbox(limit=2)
    assert mailbox.offer(Message(0), 0)
    assert mailbox.offer(Message(1), 0)
    assert not mailbox.offer(Message(2), 0)
    assert not mailbox.offer(Message(2), 0.01)
    assert not mailbox.offer(Message(2), -1.0)
    assert names(mailbox.drain(9)) == [0, 1]


def test_an_offer_goes_through_as_soon_as_there_is_room():
    for take in (lambda mailbox: mailbox.get(), lambda mailbox: mailbox.drain(1)):
        mailbox = Mailbox(limit=1)
        mailbox.put(Message(0))
        went = []
        with Threads() as threads:
            threads.start(lambda: went.append(mailbox.offer(Message(1), 10)))  # noqa: B023
            wait_until(lambda: mailbox._waiting)  # noqa: B023
            take(mailbox)
        assert went == [True]
        assert mailbox.get().name == 1


def test_a_heavy_message_takes_the_room_of_its_weight_until_it_is_taken():
    for take in (lambda mailbox: mailbox.get(), lambda mailbox: mailbox.drain(1)):
        mailbox = Mailbox(limit=10)
        assert mailbox.offer(Message("heavy", 10), 0)
        assert len(mailbox) == 10
        assert not mailbox.offer(Message("light"), 0)
        take(mailbox)
        assert len(mailbox) == 0
        assert mailbox.offer(Message("light"), 0)


def test_many_threads_stay_within_the_bound_and_nothing_is_lost():
    limit, putters, each = 10, 6, 200
    mailbox = Mailbox(limit=limit)
    taken, longest = [], [0]

    def put(name):
        for number in range(each):
            assert mailbox.offer(Message((name, number)), 20)

    with Threads() as threads:
        for name in range(putters):
            threads.start(put, name)
        while len(taken) < putters * each:
            longest[0] = max(longest[0], len(mailbox))
            taken += names([mailbox.get(), *mailbox.drain(3)])
    assert longest[0] <= limit + putters
    for name in range(putters):
        assert [number for owner, number in taken if owner == name] == list(range(each))


def test_closing_answers_what_waits_what_is_held_and_what_still_comes():
    mailbox = Mailbox()
    messages = [Message(number) for number in range(4)]
    for message in messages[:3]:
        mailbox.put(message)
    mailbox.push_back(mailbox.drain(2))
    mailbox.close(Closed)
    mailbox.put(messages[3])
    assert [type(message.answers[0]) for message in messages] == [Closed] * 4
    assert [len(message.answers) for message in messages] == [1] * 4


def test_what_is_given_back_after_closing_is_answered_too():
    mailbox = Mailbox()
    message = Message(0)
    mailbox.put(message)
    taken = mailbox.drain(1)
    mailbox.close(Closed)
    mailbox.push_back(taken)
    assert len(message.answers) == 1


def test_an_offer_that_waits_for_room_is_answered_by_closing():
    mailbox = Mailbox(limit=1)
    mailbox.put(Message(0))
    late = Message(1)
    with Threads() as threads:
        threads.start(mailbox.offer, late, 20)
        wait_until(lambda: mailbox._waiting)
        mailbox.close(Closed)
    assert len(late.answers) == 1


def test_closing_answers_a_pykka_ask():
    mailbox = Mailbox()
    future = pykka.ThreadingFuture()
    mailbox.put(Envelope("a message of Pykka's own", reply_to=future))
    mailbox.close(lambda: Closed("closed"))
    with pytest.raises(Closed, match="closed"):
        future.get(timeout=1)


def test_the_order_to_stop_outlives_closing():
    mailbox = Mailbox()
    stop = Envelope(pykka_messages._ActorStop())
    mailbox.put(stop)
    mailbox.close(Closed)
    mailbox.put(Message("late"))
    assert mailbox.get() is stop


def test_every_message_is_answered_once_when_many_threads_put_while_it_closes():
    for _ in range(20):
        mailbox = Mailbox(limit=50)
        putters, together = 6, threading.Barrier(8)
        sent: list[list[Message]] = [[] for _ in range(putters)]
        taken: list[Message] = []
        closed = threading.Event()

        def put(own):
            together.wait(10)  # noqa: B023
            for number in range(1000):
                message = Message(number)
                own.append(message)
                mailbox.offer(message, 10)  # noqa: B023
                if message.answers:
                    return

        def take():
            together.wait(10)  # noqa: B023
            while not closed.is_set():  # noqa: B023
                drained = mailbox.drain(7)  # noqa: B023
                taken.extend(drained[:5])  # noqa: B023
                mailbox.push_back(drained[5:])  # noqa: B023

        with Threads() as threads:
            for own in sent:
                threads.start(put, own)
            threads.start(take)
            together.wait(10)
            wait_until(lambda: len(taken) > 100)  # noqa: B023
            mailbox.close(Closed)
            closed.set()
        handled = {id(message) for message in taken}
        for message in (message for own in sent for message in own):
            assert len(message.answers) + (id(message) in handled) == 1


def test_what_finds_no_room_stands_in_a_line_and_is_let_in_in_order_as_room_appears():
    mailbox = Mailbox(limit=2)
    assert [mailbox.enqueue_later(Message(number)) for number in range(6)] == [True, True, *[False] * 4]
    assert len(mailbox) == 2
    assert mailbox.get().name == 0
    assert len(mailbox) == 2
    assert names(mailbox.drain(9)) == [1, 2]
    # Room or not, nobody overtakes those in the line.
    assert not mailbox.enqueue_later(Message(6))
    assert names(mailbox.drain(9)) == [3, 4]
    assert names(mailbox.drain(9)) == [5, 6]
    assert mailbox.empty()
    assert mailbox.enqueue_later(Message(7))


def test_a_mailbox_without_a_bound_has_no_overflow():
    mailbox = Mailbox()
    assert all(mailbox.enqueue_later(Message(number)) for number in range(50))


def test_what_is_held_lets_the_line_in_when_it_is_taken():
    mailbox = Mailbox(limit=2)
    first, second, third = (Message(number) for number in range(3))
    assert mailbox.enqueue_later(first)
    assert mailbox.enqueue_later(second)
    mailbox.push_back(mailbox.drain(2))
    assert not mailbox.enqueue_later(third)
    assert names([mailbox.get(), mailbox.get(), mailbox.get()]) == [0, 1, 2]


def test_a_heavy_message_in_the_line_takes_its_room_when_it_is_let_in():
    mailbox = Mailbox(limit=10)
    mailbox.put(Message("first"))
    mailbox.put(Message("heavy", 20))
    assert not mailbox.enqueue_later(Message("heavier", 30))
    assert not mailbox.enqueue_later(Message("last"))
    assert len(mailbox) == 21
    assert names(mailbox.drain(1)) == ["first"]
    assert names(mailbox.drain(1)) == ["heavy"]
    assert len(mailbox) == 30
    assert names([mailbox.get(), mailbox.get()]) == ["heavier", "last"]
    assert len(mailbox) == 0


def test_one_that_stands_in_the_line_can_be_withdrawn_until_it_is_let_in():
    mailbox = Mailbox(limit=1)
    first, second, third = (Message(number) for number in range(3))
    for message in (first, second, third):
        mailbox.enqueue_later(message)
    assert not mailbox.withdraw(first)
    assert mailbox.withdraw(second)
    assert not mailbox.withdraw(second)
    assert mailbox.get() is first
    assert not mailbox.withdraw(third)
    assert mailbox.get() is third


def test_closing_answers_those_in_the_line_and_those_that_line_up_afterwards():
    mailbox = Mailbox(limit=1)
    messages = [Message(number) for number in range(4)]
    for message in messages[:3]:
        mailbox.enqueue_later(message)
    mailbox.close(Closed)
    mailbox.enqueue_later(messages[3])
    assert [len(message.answers) for message in messages] == [1, 1, 1, 1]
    assert mailbox.empty()
    assert not mailbox.withdraw(messages[2])


def test_threads_that_wait_for_room_get_some_of_it_beside_a_line_that_never_ends():
    mailbox = Mailbox(limit=4)
    went = []
    for number in range(4):
        mailbox.put(Message(number))
    with Threads() as threads:
        for number in range(3):
            threads.start(lambda number=number: went.append(mailbox.offer(Message(f"thread {number}"), 20)))
        wait_until(lambda: mailbox._waiting == 3)

        def step():
            while mailbox.enqueue_later(Message("task")):
                pass
            mailbox.drain(100)
            return len(went) == 3

        wait_until(step)
    assert went == [True] * 3


def test_nothing_is_lost_between_threads_event_loops_and_the_one_that_takes():
    putters, each = 4, 500
    mailbox = Mailbox(limit=5)
    taken = []

    def offer(name):
        for number in range(each):
            assert mailbox.offer(Message((name, number)), 20)

    def enqueue_later(name):
        for number in range(each):
            mailbox.enqueue_later(Message((name, number)))

    with Threads() as threads:
        for name in range(putters):
            threads.start(enqueue_later if name % 2 else offer, name)
        while len(taken) < putters * each:
            taken += names([mailbox.get(), *mailbox.drain(3)])
    for name in range(putters):
        assert [number for owner, number in taken if owner == name] == list(range(each))
    assert mailbox.empty()

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    InvalidStateError,
    TimeoutError,
    as_completed,
    wait,
)

import pytest

from actors.kernel.reply import Reply
from tests.helpers import Threads


@pytest.fixture(params=[Reply, Future], ids=["Reply", "Future"])
def future(request):
    """Everything that is claimed of a reply holds for the standard future too."""
    return request.param()


def test_a_result_is_given_to_all_who_ask(future):
    assert not future.done()
    future.set_result(7)
    assert future.done()
    assert not future.cancelled()
    assert [future.result(), future.result(timeout=0)] == [7, 7]
    assert future.exception() is None


def test_an_error_is_raised(future):
    error = ValueError("no")
    future.set_exception(error)
    with pytest.raises(ValueError, match="no"):
        future.result()
    assert future.exception() is error


def test_waiting_ends_after_the_timeout(future):
    with pytest.raises(TimeoutError):
        future.result(timeout=0.001)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    future.set_result(1)
    assert future.result(0) == 1


def test_a_second_outcome_is_refused(future):
    future.set_result(1)
    with pytest.raises(InvalidStateError):
        future.set_result(2)
    with pytest.raises(InvalidStateError):
        future.set_exception(ValueError())
    assert future.result() == 1


def test_a_cancelled_one_takes_no_outcome(future):
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    with pytest.raises(InvalidStateError):
        future.set_result(1)
    with pytest.raises(InvalidStateError):
        future.set_exception(ValueError())
    with pytest.raises(CancelledError):
        future.result()


def test_one_with_an_outcome_can_not_be_cancelled(future):
    future.set_result(1)
    assert not future.cancel()
    assert not future.cancelled()
    assert future.result() == 1


def test_a_running_one_can_not_be_cancelled(future):
    assert future.set_running_or_notify_cancel()
    assert future.running()
    assert not future.cancel()
    future.set_result(1)
    assert future.result() == 1


def test_callbacks_are_called_once_whenever_they_were_added(future):
    called = []
    future.add_done_callback(lambda done: called.append(("before", done.result())))
    future.set_result(3)
    future.add_done_callback(lambda done: called.append(("after", done.result())))
    assert called == [("before", 3), ("after", 3)]


def test_a_callback_hears_of_a_cancel(future):
    called = []
    future.add_done_callback(called.append)
    future.cancel()
    assert called == [future]


def test_several_are_waited_for_together():
    replies = [Reply() for _ in range(5)]
    replies[3].set_result(3)
    done, pending = wait(replies, timeout=5, return_when=FIRST_COMPLETED)
    assert done == {replies[3]}
    assert len(pending) == 4
    with Threads() as threads:
        threads.start(lambda: [reply.set_result(n) for n, reply in enumerate(replies) if n != 3])
        assert sorted(reply.result() for reply in as_completed(replies, timeout=5)) == [0, 1, 2, 3, 4]


def test_it_is_awaited_in_an_event_loop():
    async def main():
        early, late, failed = Reply(), Reply(), Reply()
        early.set_result("early")
        with Threads() as threads:
            waiting = asyncio.gather(*map(asyncio.wrap_future, (early, late)))
            threads.start(late.set_result, "late")
            assert await asyncio.wait_for(waiting, 5) == ["early", "late"]
        failed.set_exception(ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await asyncio.wrap_future(failed)

    asyncio.run(main())


def test_cancelling_in_an_event_loop_cancels_it():
    async def main():
        reply = Reply()
        wrapped = asyncio.wrap_future(reply)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        return reply

    assert asyncio.run(main()).cancelled()


def test_its_condition_is_made_only_for_somebody_who_waits():
    reply = Reply()
    reply.cancelled()
    reply.done()
    reply.set_result(1)
    assert reply._made is None
    assert reply.result() == 1


def test_setter_waiter_callback_and_canceller_may_race():
    rounds = 300
    replies = [Reply() for _ in range(rounds)]
    together = threading.Barrier(4)
    set_by_setter, called, results = [], [], []

    def setter():
        for number, reply in enumerate(replies):
            together.wait(10)
            try:
                reply.set_result(number)
            except InvalidStateError:
                pass
            else:
                set_by_setter.append(number)

    def waiter():
        for reply in replies:
            together.wait(10)
            try:
                results.append(reply.result(10))
            except CancelledError:
                results.append(None)

    def caller():
        for reply in replies:
            together.wait(10)
            reply.add_done_callback(called.append)

    def canceller():
        for number, reply in enumerate(replies):
            together.wait(10)
            if number % 3 == 0:
                reply.cancel()

    with Threads() as threads:
        for target in (setter, waiter, caller, canceller):
            threads.start(target)
    assert called == replies
    assert [number for number in results if number is not None] == set_by_setter
    assert all(reply.cancelled() == (result is None) for reply, result in zip(replies, results, strict=True))

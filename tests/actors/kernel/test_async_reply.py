from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import weakref
from concurrent.futures import InvalidStateError
from typing import Any

import pytest

from actors.kernel.async_reply import SPARE, AsyncReply, batch_wakeups
from tests.helpers import PATIENCE, Threads, wait_until
from tests.loops import counting


def made(timeout=PATIENCE):
    return AsyncReply(timeout, time.monotonic() + timeout)


async def received(reply):
    try:
        return await reply.waiter
    finally:
        reply.over()


def tasks_of(replies):
    return [asyncio.ensure_future(received(reply)) for reply in replies]


# -- outcomes -----------------------------------------------------------------------------
def test_a_result_and_an_error_come_from_another_thread():
    async def main():
        good, bad = made(), made()
        waiting = tasks_of([good, bad])
        with Threads() as threads:
            threads.start(lambda: (good.set_result(7), bad.set_exception(ValueError("no"))))
        assert await asyncio.gather(*waiting, return_exceptions=True) == [7, bad.waiter.exception()]
        assert isinstance(bad.waiter.exception(), ValueError)

    asyncio.run(main())


def test_an_outcome_that_is_there_before_the_task_waits_is_received():
    async def main():
        reply = made()
        reply.set_result("early")
        assert reply.done()
        assert not reply.cancelled()
        await asyncio.sleep(0)
        assert await received(reply) == "early"

    asyncio.run(main())


def test_a_second_outcome_is_refused():
    async def main():
        reply = made()
        reply.set_result(1)
        for again in (lambda: reply.set_result(2), lambda: reply.set_exception(ValueError())):
            with pytest.raises(InvalidStateError):
                again()
        assert await received(reply) == 1

    asyncio.run(main())


def test_one_whose_task_was_cancelled_is_not_begun_and_takes_no_outcome():
    async def main():
        reply = made()
        assert reply.begin()
        (task,) = tasks_of([reply])
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not reply.begin()
        assert reply.cancelled()
        assert reply.done()
        with pytest.raises(InvalidStateError):
            reply.set_result(1)

    asyncio.run(main())


def test_a_task_that_is_cancelled_while_its_outcome_is_on_the_way_leaves_the_others_theirs():
    async def main():
        replies = [made() for _ in range(3)]
        waiting = tasks_of(replies)
        await asyncio.sleep(0)
        for number, reply in enumerate(replies):
            reply.set_result(number)
        waiting[1].cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [outcomes[0], outcomes[2]] == [0, 2]
        assert isinstance(outcomes[1], asyncio.CancelledError)

    asyncio.run(main())


def test_what_is_given_up_is_not_reported_as_forgotten():
    async def main(loop):
        replies = [made(), made(), made(), made(0.0)]
        replies[0].set_exception(ValueError("nobody asks"))
        replies[1].set_result(1)
        while not (replies[0].waiter.done() and replies[3].waiter.done()):
            await asyncio.sleep(0)
        for reply in replies:
            reply.abandon()
            reply.abandon()
        assert not replies[2].begin()
        del replies, reply
        gc.collect()
        return loop.complaints

    assert counting(main) == []


# -- wake-ups -----------------------------------------------------------------------------
def test_replies_that_are_settled_together_wake_their_loop_once():
    async def main(loop):
        for _ in range(3):
            replies = [made() for _ in range(1000)]
            waiting = tasks_of(replies)
            before = loop.wakes

            def settle(replies=replies):
                with batch_wakeups:
                    for number, reply in enumerate(replies):
                        reply.set_result(number)

            with Threads() as threads:
                threads.start(settle)
            assert await asyncio.gather(*waiting) == list(range(1000))
            assert loop.wakes == before + 1

    counting(main)


def test_the_loop_is_not_woken_again_before_it_has_handed_out_what_is_there():
    async def main(loop):
        replies = [made() for _ in range(100)]
        waiting = tasks_of(replies)
        with Threads() as threads:
            threads.start(lambda: [reply.set_result(1) for reply in replies])
            # This thread, which is the loop's, does nothing else meanwhile.
            threads.join()
        assert await asyncio.gather(*waiting) == [1] * 100
        assert loop.wakes == 1

    counting(main)


def test_an_error_in_the_block_that_settles_many_does_not_leave_the_loop_asleep():
    async def main():
        reply = made()
        waiting = tasks_of([reply])

        def settle():
            with batch_wakeups:
                reply.set_result("done")
                raise ZeroDivisionError

        threads = Threads()
        threads.start(settle)
        with pytest.raises(ZeroDivisionError):
            threads.join()
        assert await asyncio.gather(*waiting) == ["done"]

    asyncio.run(main())


def test_nothing_is_lost_between_many_threads_and_a_loop_that_is_always_awake():
    async def main():
        replies = [made() for _ in range(8000)]
        waiting = tasks_of(replies)

        def settle(share):
            for first in range(0, len(share), 7):
                if first % 2:
                    for reply in share[first : first + 7]:
                        reply.set_result(1)
                else:
                    with batch_wakeups:
                        for reply in share[first : first + 7]:
                            reply.set_result(1)

        with Threads() as threads:
            for caller in range(4):
                threads.start(settle, replies[caller::4])
            while not all(reply.done() for reply in replies):
                await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            assert sum(await asyncio.gather(*waiting)) == 8000

    asyncio.run(main())


# -- several loops ------------------------------------------------------------------------
def test_each_of_several_loops_in_as_many_threads_is_woken_for_its_own():
    loops, each = 4, 100
    replies: list[list[AsyncReply]] = [[] for _ in range(loops)]
    results: list[list[int]] = [[] for _ in range(loops)]
    wakes = [0] * loops

    def run(number):
        async def main(loop):
            mine = [made() for _ in range(each)]
            waiting = tasks_of(mine)
            await asyncio.sleep(0)
            replies[number] = mine
            results[number] = await asyncio.gather(*waiting)
            wakes[number] = loop.wakes

        counting(main)

    with Threads() as threads:
        for number in range(loops):
            threads.start(run, number)
        wait_until(lambda: all(replies))
        with batch_wakeups:
            for together in zip(*replies, strict=True):
                for number, reply in enumerate(together):
                    reply.set_result(number)
    assert results == [[number] * each for number in range(loops)]
    assert wakes == [1] * loops


def test_a_loop_that_was_closed_does_no_harm_to_whoever_settles_nor_to_other_loops():
    async def begin():
        return [made() for _ in range(3)]

    gone = asyncio.run(begin())

    async def main():
        here = made()
        with batch_wakeups:
            gone[0].set_result(1)
            here.set_result("here")
            gone[1].set_exception(ValueError())
        gone[2].set_result(3)
        return await received(here)

    assert asyncio.run(main()) == "here"


def test_a_loop_that_stops_and_goes_on_later_gets_what_came_meanwhile():
    with asyncio.Runner() as runner:

        async def begin():
            replies = [made(), made()]
            return replies, tasks_of(replies)

        replies, waiting = runner.run(begin())
        for reply in replies:
            reply.set_result("meanwhile")

        async def go_on():
            return await asyncio.gather(*waiting)

        # Another loop in the same thread in between.
        asyncio.run(asyncio.sleep(0))
        assert runner.run(go_on()) == ["meanwhile"] * 2


# -- time-outs ----------------------------------------------------------------------------
def test_the_end_of_its_time_makes_it_unwanted_and_leaves_the_others():
    async def main():
        short, long = made(0.01), made()
        waiting = tasks_of([short, long])
        with pytest.raises(TimeoutError):
            await waiting[0]
        assert not short.begin()
        assert short.cancelled()
        with pytest.raises(InvalidStateError):
            short.set_result(1)
        assert long.begin()
        long.set_result(1)
        assert await waiting[1] == 1

    asyncio.run(main())


def test_no_time_at_all_is_over_at_once_and_an_outcome_wins_over_the_end_of_the_time():
    async def main():
        with pytest.raises(TimeoutError):
            await received(made(0))
        reply = made(0)
        reply.set_result("in time")
        assert await received(reply) == "in time"

    asyncio.run(main())


def test_thousands_with_the_same_time_out_share_one_timer():
    async def main(loop):
        for _ in range(3):
            replies = [made() for _ in range(1000)]
            waiting = tasks_of(replies)
            await asyncio.sleep(0)
            for reply in replies:
                reply.set_result(1)
            await asyncio.gather(*waiting)
        assert len(loop.timers) == 1

    counting(main)


def test_all_that_are_late_are_told_and_none_that_is_not():
    async def main():
        waiting = []
        for _ in range(20):
            waiting += tasks_of(made(0.02) for _ in range(20))
            await asyncio.sleep(0)
        late = made()
        waiting += tasks_of([late])
        late.set_result("in time")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[:-1]] == [TimeoutError] * 400
        assert outcomes[-1] == "in time"

    asyncio.run(main())


def test_a_call_that_tries_again_ends_before_those_that_began_after_it():
    async def main():
        now = time.monotonic()
        others = tasks_of([made(PATIENCE) for _ in range(3)])
        # Begun so long ago that its time ends soon.
        tried_again = [AsyncReply(PATIENCE, now + 0.01), AsyncReply(PATIENCE, now + 0.01)]
        for task in tasks_of(tried_again):
            with pytest.raises(TimeoutError):
                await task
        assert not any(task.done() for task in others)
        for task in others:
            task.cancel()

    asyncio.run(main())


def test_time_outs_of_thousands_of_lengths_leave_few_timers_behind():
    async def main(loop):
        for number in range(2000):
            reply = made(PATIENCE + number / 1000)
            reply.set_result(number)
            assert await received(reply) == number
        assert len(loop.pending()) <= SPARE + 1

    counting(main)


def test_a_timer_keeps_nothing_of_the_task_that_began_to_wait_first():
    class Thing:
        pass

    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable")

    async def one():
        thing = Thing()
        variable.set(thing)
        reply = made()
        reply.set_result(weakref.ref(thing))
        return await received(reply)

    async def main(loop):
        kept = await asyncio.create_task(one())
        assert len(loop.pending()) == 1
        # The loop itself keeps the context of its last step until the next one.
        await asyncio.sleep(0)
        gc.collect()
        assert kept() is None

    counting(main)


def test_waiting_takes_no_thread():
    async def main():
        before = threading.active_count()
        replies = [made() for _ in range(2000)]
        waiting = tasks_of(replies)
        await asyncio.sleep(0)
        assert threading.active_count() == before
        for reply in replies:
            reply.set_result(1)
        await asyncio.gather(*waiting)

    asyncio.run(main())

"""Subscriptions: order, filters, the ends, both kinds of iterator, and what is refused."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import System, UnknownMessage, WrongThread
from actors.subscriptions.event_filter import EventFilter, category_of
from actors.subscriptions.log_cursor import LogCursor
from storage import InvalidKey
from tests import inside
from tests.helpers import PATIENCE, Threads, case_id, wait_until
from tests.system.checks import read_log
from tests.system.depot import (
    Increment,
    Incremented,
    Line,
    Measured,
    OrderPlaced,
    PlaceOrder,
    Reserved,
    Stock,
    Stocked,
    depot,
)

EVENTS = 60


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store with events of every kind, in streams and tags that are interleaved; nothing is added."""
    with System.open(tmp_path_factory.mktemp("filled") / "store", depot, replicas=1) as system:
        for number in range(6):
            system.execute(Stock(f"s{number % 3}", 10))
            system.execute(PlaceOrder(f"o{number}", (Line(f"s{number % 3}", 2), Line("s0", 1))))
            system.execute(Increment("c", number + 1))
            system.append("sensor-1" if number % 2 else "alone", [Measured("t", number)])
        yield system


@pytest.fixture
def system(store_path):
    with System.open(store_path, depot, replicas=1) as system:
        yield system


def everything(filled) -> list:
    return read_log(filled)


# -- filters ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, lambda one: True),
        ({"stream": "item-s0"}, lambda one: one.stream == "item-s0"),
        ({"stream": "item-none"}, lambda one: False),
        ({"category": "item"}, lambda one: one.stream.startswith("item-")),
        ({"category": "alone"}, lambda one: one.stream == "alone"),
        ({"types": Incremented}, lambda one: one.type == "Incremented"),
        ({"types": "Incremented"}, lambda one: one.type == "Incremented"),
        ({"types": [Stocked, "Reserved"]}, lambda one: isinstance(one.event, Stocked | Reserved)),
        ({"tag": "of-o3"}, lambda one: "of-o3" in one.tags),
        (
            {"tag": "sku-s0", "types": {Reserved}},
            lambda one: "sku-s0" in one.tags and one.type == "Reserved",
        ),
        (
            {"stream": "item-s0", "types": Stocked},
            lambda one: one.stream == "item-s0" and one.type == "Stocked",
        ),
        ({"category": "order", "tag": "of-o1"}, lambda one: one.stream == "order-o1"),
        ({"stream": "item-s0", "category": "order"}, lambda one: False),
    ],
    ids=case_id,
)
@pytest.mark.parametrize("batch", [1, 3, 500])
def test_a_filtered_subscription_gives_what_a_look_through_the_log_gives(
    filled, monkeypatch, options, wanted, batch
):
    monkeypatch.setattr("actors.subscriptions.log_cursor.BATCH", batch)
    events = everything(filled)
    head = len(events)
    for after in (0, 1, head // 2, head - 1, head):
        following = filled.subscribe(after, until=head, **options)
        assert list(following) == [one for one in events[after:] if wanted(one)]
        assert following.position == head


@given(
    after=st.integers(0, EVENTS),
    until=st.integers(0, EVENTS),
    limits=st.lists(st.integers(1, 7), min_size=1),
    stream=st.sampled_from(["", "item-s0", "order-o2"]),
    types=st.sampled_from([(), ("Stocked",), ("Reserved", "OrderPlaced")]),
    tag=st.sampled_from(["", "sku-s1", "of-o2"]),
)
def test_a_cursor_misses_nothing_whatever_the_limits(filled, after, until, limits, stream, types, tag):
    events = everything(filled)
    until = min(until, len(events))
    wanted = EventFilter(stream=stream, types=frozenset(types), tag=tag)
    cursor = LogCursor(inside.log(filled), wanted, after)
    found = []
    turn = 0
    while cursor.position < until:
        limit = limits[turn % len(limits)]
        turn += 1
        batch = cursor.read(until, limit)
        assert len(batch) <= limit
        found += batch
        assert all(one.position <= cursor.position for one in batch)
    assert cursor.read(until) == []
    assert found == [one for one in events[after:until] if wanted.matches(one)]


def test_a_subscription_to_a_stream_or_a_tag_does_not_read_what_others_wrote(system, monkeypatch):
    for number in range(50):
        system.execute(Increment(f"c{number % 10}"))
    read = inside.log(system).read
    monkeypatch.setattr(inside.log(system), "read", lambda *_: pytest.fail("the whole log was read"))
    assert len(list(system.subscribe(until=50, stream="counter-c3"))) == 5
    assert not list(system.subscribe(until=50, tag="sku-x"))
    monkeypatch.setattr(inside.log(system), "read", read)


def test_the_category_is_what_stands_before_the_first_hyphen():
    assert [category_of(name) for name in ("item-s1", "item-s-1", "alone", "-x")] == [
        "item",
        "item",
        "alone",
        "",
    ]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"types": "Nothing"},
            UnknownMessage,
            "'Nothing', which is no event of domain 'depot'; it has: .*Stocked",
        ),
        ({"types": [Stocked, int]}, UnknownMessage, "int, which is no event"),
        ({"types": Stock}, UnknownMessage, "Stock, which is no event"),
        ({"types": Stocked("a", 1)}, UnknownMessage, "give the class, Stocked, not an instance"),
        ({"types": []}, ValueError, "no type"),
        ({"stream": 1}, TypeError, "stream= takes text, not 1"),
        ({"stream": ""}, InvalidKey, "stream '' is empty"),
        ({"tag": b"x"}, TypeError, "tag= takes text"),
        ({"category": "sales-order"}, ValueError, "before the first one .* here 'sales'"),
        ({"timeout": "x"}, ValueError, "timeout= takes seconds .* not 'x'"),
        ({"timeout": True}, ValueError, "timeout= takes seconds"),
        ({"timeout": -1}, ValueError, "timeout= takes seconds .* from 0 to 1,000,000,000, not -1"),
        ({"timeout": 1e30}, ValueError, "timeout= takes seconds"),
        ({"timeout": float("nan")}, ValueError, "timeout= takes seconds"),
        ({"after": -1}, ValueError, "after= takes a receipt or a position"),
        ({"until": 1.5}, ValueError, "until= takes a receipt or a position"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_at_once(filled, options, error, text):
    with pytest.raises(error, match=text):
        filled.subscribe(**options)


# -- the ends ---------------------------------------------------------------------------------
def test_a_filtered_subscription_ends_at_until_though_nothing_comes_that_is_wanted(system):
    found = []
    with Threads() as threads:
        following = system.subscribe(until=5, types=Stocked)
        threads.start(lambda: found.extend(following))
        wait_until(lambda: following._waiter)
        for _ in range(5):
            system.execute(Increment("c"))
    assert found == []
    assert following.position == 5


def test_a_time_out_counts_from_the_last_event_that_is_wanted(system):
    system.execute(Increment("c"))
    following = system.subscribe(timeout=timedelta(milliseconds=50))
    assert next(following).position == 1
    system.execute(Increment("c"))
    assert [one.position for one in following] == [2]
    assert list(following) == []
    assert list(system.subscribe(timeout=0, types=Stocked)) == []


def test_close_from_another_thread_ends_a_subscription_that_waits(system):
    ended = threading.Event()
    following = system.subscribe()

    def follow():
        assert list(following) == []
        ended.set()

    with Threads() as threads:
        threads.start(follow)
        wait_until(lambda: following._waiter)
        following.close()
        assert ended.wait(PATIENCE)
    following.close()
    assert not inside.commit_waiters(system)


def test_what_was_read_ahead_is_not_given_after_a_close(system):
    system.execute_many([Increment("c")] * 5)
    with system.subscribe() as following:
        assert next(following).position == 1
    assert list(following) == []
    assert following.position == 1


def test_a_subscription_goes_on_where_another_one_ended(system):
    system.execute_many([Increment(f"c{number % 2}") for number in range(10)])
    first = system.subscribe(until=6, stream="counter-c1")
    assert [one.position for one in first] == [2, 4, 6]
    assert [one.position for one in system.subscribe(first.position, until=10, stream="counter-c1")] == [
        8,
        10,
    ]


def test_waiting_in_an_actors_thread_is_refused(system):
    found = []

    def listen(first, last):
        try:
            list(system.subscribe(last))
        except WrongThread as error:
            found.append(error)

    system.on_committed(listen)
    system.execute(Increment("c"))
    assert len(found) == 1


# -- live -------------------------------------------------------------------------------------
def test_every_reader_sees_all_of_its_events_in_order_while_writers_write(system):
    readers = {
        "all": ({}, []),
        "stream": ({"stream": "counter-c1"}, []),
        "category": ({"category": "item"}, []),
        "types": ({"types": Incremented}, []),
        "tag": ({"tag": "sku-s2"}, []),
    }
    with Threads() as threads:
        for options, found in readers.values():
            threads.start(
                lambda options=options, found=found: found.extend(system.subscribe(until=400, **options))
            )
        for worker in range(4):
            threads.start(
                lambda worker=worker: [
                    system.execute(Increment(f"c{worker}") if number % 2 else Stock(f"s{worker}", 1))
                    for number in range(100)
                ]
            )
    log = read_log(system)
    assert readers["all"][1] == log
    assert readers["stream"][1] == [one for one in log if one.stream == "counter-c1"]
    assert readers["category"][1] == [one for one in log if one.stream.startswith("item-")]
    assert readers["types"][1] == [one for one in log if one.type == "Incremented"]
    assert readers["tag"][1] == [one for one in log if "sku-s2" in one.tags]


def test_hundreds_of_async_subscriptions_wait_without_a_thread(system):
    threads = threading.active_count()

    async def follow(number: int) -> list[int]:
        following = system.subscribe(until=300, stream=f"counter-c{number}")
        return [recorded.event.by async for recorded in following]

    async def main() -> list[list[int]]:
        tasks = [asyncio.create_task(follow(number)) for number in range(300)]
        await asyncio.sleep(0)
        # Each commit wakes all of them, so there are few commits.
        for first in range(0, 300, 25):
            await system.aexecute_many([Increment(f"c{one}", one + 1) for one in range(first, first + 25)])
        assert threading.active_count() <= threads
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [[number + 1] for number in range(300)]


def test_an_async_subscription_ends_as_the_other_kind_does(system):
    system.execute_many([Increment("c")] * 3)

    async def main() -> None:
        assert [one.position async for one in system.subscribe(timeout=0.02)] == [1, 2, 3]
        following = system.subscribe(3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(following)
        system.execute(Increment("c"))
        assert (await anext(following)).position == 4
        task = asyncio.create_task(anext(following, None))
        await asyncio.sleep(0)
        following.close()
        assert await task is None
        closing = asyncio.create_task(anext(system.subscribe(4), None))
        await asyncio.sleep(0)
        system.close()
        assert await closing is None

    asyncio.run(main())


def test_the_loops_other_tasks_run_while_a_long_log_is_looked_through(system, monkeypatch):
    monkeypatch.setattr("storage.log.event_reads.SCANNED_EVENTS", 10)
    system.execute_many([Increment("c")] * 200)
    turns = []

    async def others() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(others())
        assert [one async for one in system.subscribe(until=200, types=OrderPlaced)] == []
        task.cancel()

    asyncio.run(main())
    assert len(turns) >= 15


def test_a_loop_that_is_gone_does_not_disturb_the_writer(system):
    async def main() -> None:
        waiting = asyncio.create_task(anext(system.subscribe()))
        await asyncio.sleep(0)
        # As if the loop had been torn down with the task in it.
        wake = next(iter(inside.commit_waiters(system)))
        kept.append(wake)
        waiting.cancel()

    kept: list = []
    asyncio.run(main())
    assert inside.progress(system).call_committed(1, kept[0])
    assert system.execute(Increment("c")).position == 1
    assert system.execute(Increment("c")).position == 2


def test_a_slow_reader_holds_up_nobody_and_holds_little(system):
    with system.subscribe() as following:
        system.execute(Increment("c"))
        assert next(following).position == 1
        system.execute_many([Increment("c")] * 3000)
        assert inside.log(system).stats()["readers"] >= 0
        assert next(following).position == 2
        assert len(following._read) <= 500
        assert not inside.commit_waiters(system)

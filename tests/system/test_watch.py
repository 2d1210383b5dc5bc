"""Watched queries: the result, every changed one, the latest for who is slow, and how they end."""

from __future__ import annotations

import asyncio
import math
import threading
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from actors import Domain, InvalidMessage, InvalidToken, QueryFailed, System, UnknownMessage, WrongThread
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.depot import Increment, Stock, StockOf, TotalOf, depot
from tests.system.tallies import Tallies

counted = Domain("counted")
runs: list[int] = []


@counted.state(stream="box-{name}")
class Box:
    name: str
    size: int


@counted.event(Box)
class Filled:
    name: str


@counted.event(Box, state=None)
class Seen:
    name: str


@counted.command(Box)
class Fill:
    name: str


@counted.command(Box)
class See:
    name: str


@counted.decide
def fill(box: Box | None, command: Fill):
    yield Filled(command.name)


@counted.decide
def see(box: Box | None, command: See):
    yield Seen(command.name)


@counted.evolve
def filled(box: Box | None, event: Filled) -> Box:
    return Box(event.name, 1 + (box.size if box else 0))


sizes = counted.read_model("sizes")
boxes = sizes.table("boxes", key="name")


@sizes.on
def on_filled(event: Filled, tables):
    row = tables[boxes].get(event.name) or {"name": event.name, "size": 0}
    tables[boxes].put({**row, "size": row["size"] + 1})


@counted.query(reads=[sizes])
class Sizes:
    fails_from: int = 1_000_000

    def run(self, view):
        runs.append(1)
        found = {row["name"]: row["size"] for row in view[boxes].all()}
        if sum(found.values()) >= self.fails_from:
            raise RuntimeError("too much")
        return found


@pytest.fixture
def system(store_path):
    with System.open(store_path, depot, replicas=2) as system:
        yield system


@pytest.fixture
def counting(store_path):
    runs.clear()
    with System.open(store_path, counted, replicas=1) as system:
        yield system


def test_first_comes_the_result_and_then_each_one_that_differs(system):
    system.execute(Increment("a"))
    with system.watch(TotalOf("a"), after=1, timeout=PATIENCE) as watching:
        assert next(watching) == 1
        system.execute(Increment("b"))
        system.execute(Increment("a", 4))
        assert next(watching) == 5
        assert watching.position >= 3


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_switch_to_another_build_shows_without_another_event(store_path, replicas):
    noted = Tallies(1)
    with System.open(store_path, noted.domain, replicas=replicas) as system:
        noted.note(system, 1, 2, 3)
        system.wait_applied()
    tallies, go_on = Tallies(1, 2), threading.Event()
    tallies.before = lambda version, position: version == 1 or go_on.wait(PATIENCE)
    with (
        System.open(store_path, tallies.domain, replicas=replicas) as system,
        system.watch(tallies.Whole(), timeout=PATIENCE) as watching,
    ):
        assert next(watching)["all"]["sum"] == 6
        go_on.set()
        assert next(watching)["all"]["sum"] == 6_000
        assert watching.position == 3


def test_who_is_slow_sees_the_latest_and_never_a_backlog(system):
    watching = system.watch(TotalOf("a"), until=100, timeout=PATIENCE)
    assert next(watching) == 0
    for _ in range(100):
        system.execute(Increment("a"))
    system.wait_applied()
    assert list(watching) == [100]
    assert list(watching) == []


def test_a_result_is_compared_with_the_one_given_even_if_the_reader_changes_that(counting):
    watching = counting.watch(Sizes(), timeout=PATIENCE, until=2)
    next(watching)["b"] = 1
    counting.execute(Fill("a"))
    given = next(watching)
    assert given == {"a": 1}
    given["b"] = 1
    counting.execute(Fill("b"))
    assert list(watching) == [{"a": 1, "b": 1}]


def test_the_query_is_not_run_again_for_events_that_change_none_of_its_models(counting):
    watching = counting.watch(Sizes(), timeout=PATIENCE, until=53)
    assert next(watching) == {}
    counting.execute(Fill("a"))
    assert next(watching) == {"a": 1}
    counting.execute(Fill("a"))
    assert next(watching) == {"a": 2}
    ran = len(runs)
    for _ in range(50):
        counting.execute(See("a"))
    receipt = counting.execute(Fill("a"))
    assert receipt.position == 53
    assert list(watching) == [{"a": 3}]
    assert len(runs) <= ran + 2


def test_a_watch_ends_when_nothing_else_came_for_so_long(system):
    assert list(system.watch(TotalOf("a"), timeout=0)) == [0]
    assert list(system.watch(TotalOf("a"), timeout=0.05)) == [0]


def test_close_from_another_thread_ends_a_watch_that_waits(system):
    watching = system.watch(TotalOf("a"))
    results = []
    with Threads() as threads:
        threads.start(lambda: results.extend(watching))
        wait_until(lambda: results == [0] and watching._runs._waiter)
        watching.close()
    assert results == [0]
    assert list(watching) == []


def test_a_watch_ends_with_the_system(store_path):
    results = []
    with Threads() as threads, System.open(store_path, depot, replicas=1) as system:
        watches = [system.watch(TotalOf("a")), system.watch(StockOf("x"))]
        for watching in watches:
            threads.start(lambda watching=watching: results.extend(watching))
        wait_until(lambda: len(results) == 2 and all(one._runs._waiter for one in watches))
    assert sorted(results, key=str) == [0, None]
    assert list(watches[0]) == []


def test_a_query_that_fails_while_it_is_watched_raises_to_the_reader_and_ends_the_watch(counting):
    watching = counting.watch(Sizes(fails_from=2), timeout=PATIENCE)
    assert next(watching) == {}
    counting.execute_many([Fill("a"), Fill("a")])
    with pytest.raises(QueryFailed, match="too much"):
        list(watching)
    assert list(watching) == []


def test_many_watches_in_an_event_loop_need_no_thread_of_their_own(system):
    before = threading.active_count()

    async def follow(sku: str) -> list[int]:
        return [result async for result in system.watch(StockOf(sku), until=40, timeout=PATIENCE)]

    async def main() -> list[list[int]]:
        tasks = [asyncio.create_task(follow(f"s{number}")) for number in range(40)]
        await asyncio.sleep(0)
        for number in range(40):
            await system.aexecute(Stock(f"s{number}", 5))
        assert threading.active_count() <= before
        return await asyncio.gather(*tasks)

    results = asyncio.run(main())
    assert all(found[-1] == 5 for found in results)
    assert all(found[0] in (None, 5) and len(found) <= 2 for found in results)


def test_a_watch_in_an_event_loop_ends_when_its_task_is_cancelled_and_at_its_time_out(system):
    async def main() -> None:
        watching = system.watch(TotalOf("a"))
        assert await anext(watching) == 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(watching)
        system.execute(Increment("a"))
        assert await anext(watching) == 1
        assert [one async for one in system.watch(TotalOf("a"), after=1, timeout=0.02)] == [1]

    asyncio.run(main())


def test_results_never_go_back_in_time_across_replicas(system):
    results = []
    with Threads() as threads:
        threads.start(lambda: results.extend(system.watch(TotalOf("a"), until=300, timeout=PATIENCE)))
        for _ in range(300):
            system.execute(Increment("a"))
    assert results == sorted(set(results))
    assert results[-1] == 300


def test_bad_arguments_of_a_watch_are_refused_at_once(system):
    with pytest.raises(UnknownMessage, match="Increment is a command"):
        system.watch(Increment("a"))
    with pytest.raises(UnknownMessage, match="is the class of a query"):
        system.watch(TotalOf)
    with pytest.raises(InvalidMessage, match=r"TotalOf\.name must be str"):
        system.watch(TotalOf(1))
    with pytest.raises(TypeError, match=r"watch\(\) has no option 'tmeout'"):
        system.watch(TotalOf("a"), tmeout=1)
    with pytest.raises(ValueError, match=r"timeout= takes seconds .*, not 'x'"):
        system.watch(TotalOf("a"), timeout="x")
    with pytest.raises(ValueError, match=r"until= takes a receipt or a position"):
        system.watch(TotalOf("a"), until="x")
    with pytest.raises(ValueError, match=r"consistency= is 'eventual' or 'strong'"):
        system.watch(TotalOf("a"), consistency="fresh")
    with pytest.raises(InvalidToken):
        system.watch(TotalOf("a"), after="no token")


def test_a_watch_that_would_wait_in_an_actors_thread_is_refused(system):
    watching = system.watch(TotalOf("a"))
    found = []

    def listen(first, last):
        try:
            next(watching)
        except WrongThread as error:
            found.append(error)

    system.on_committed(listen)
    system.execute(Increment("a"))
    assert len(found) == 1


readings = Domain("readings")
latest = readings.read_model("latest")
values = latest.table("values", key="name")


@readings.event(state=None)
class Read:
    value: Any


@latest.on
def on_read(event: Read, tables):
    tables[values].put({"name": "only", "value": event.value})


class Opaque:
    """A part of a result that no codec knows."""

    def __eq__(self, other):
        return type(other) is Opaque

    def __repr__(self):
        return "opaque"

    __hash__ = None


@readings.query(reads=[latest])
class Latest:
    wrapped: bool

    def run(self, view):
        value = view[values].get("only")["value"]
        return [value, Opaque()] if self.wrapped else [value]


def seen_by(watch, position):
    return watch.position >= position


@pytest.mark.parametrize("wrapped", [False, True])
def test_nan_is_no_news_and_an_equal_value_of_another_type_is(store_path, wrapped):
    steps = [
        (math.nan, True),
        (float("nan"), False),
        (1, True),
        (1, False),
        (True, True),
        (Decimal("1.0"), True),
        (Decimal("1.00"), True),
        ({"a": [math.nan]}, True),
        ({"a": [float("nan")]}, False),
    ]
    shown = []
    with System.open(store_path, readings, replicas=1) as system, Threads() as threads:
        receipt = system.append("a", [Read(steps[0][0])])
        watch = system.watch(Latest(wrapped), after=receipt)
        threads.start(lambda: shown.extend(map(str, watch)))
        for position, (value, _) in enumerate(steps[1:], 2):
            wait_until(partial(seen_by, watch, position - 1))
            system.append("a", [Read(value)])
        wait_until(partial(seen_by, watch, len(steps)))
        watch.close()
    tail = ", opaque]" if wrapped else "]"
    assert shown == [f"[{value!r}{tail}" for value, is_shown in steps if is_shown]

"""Blocks: everything that is closed is closed by `with` and by `async with`, and the loop goes on
meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, System, SystemClosed, ViewExpired, WrongThread
from actors.kernel.closeable import BlockingCloseable
from actors.testing import open_system
from tests.helpers import PATIENCE
from tests.system.depot import Increment, TotalOf, counters, depot, tally


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop go on until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def test_what_a_system_gives_out_is_closed_by_an_async_block(store_path: Path) -> None:
    async def main() -> None:
        async with System.open(store_path, depot, replicas=1) as system:
            async with system.session() as session:
                receipt = await session.aexecute(Increment("a"))
                assert await session.aquery(TotalOf("a")) == 1
            async with system.view(tally, after=receipt) as view:
                assert view[counters].get("a") is not None
            with pytest.raises(ViewExpired):
                view[counters].get("a")
            async with system.watch(TotalOf("a"), after=receipt) as watch:
                assert await anext(watch) == 1
            assert [one async for one in watch] == []
            async with system.subscribe() as events:
                assert (await anext(events)).position == 1
            assert [one async for one in events] == []
            async with system.consumer("one") as consumer:
                assert (await anext(consumer)).position == 1
            assert [one async for one in consumer] == []
            handled: list[int] = []
            async with system.consume("two", lambda delivery: handled.append(delivery.position)) as handle:
                await until(lambda: handled)
            assert not handle.running
        with pytest.raises(SystemClosed):
            system.query(TotalOf("a"))

    asyncio.run(main())
    System.open(store_path, depot, replicas=1).close()


def test_a_system_in_an_async_block_is_closed_after_an_error_too(store_path: Path) -> None:
    async def main() -> None:
        async with System.open(store_path, depot, replicas=1):
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(main())
    System.open(store_path, depot, replicas=1).close()


def test_a_whole_system_for_a_test_goes_away_after_an_async_block() -> None:
    async def main() -> Path:
        async with open_system(depot) as system:
            await system.aexecute(Increment("a"))
            assert await system.aquery(TotalOf("a")) == 1
            return Path(system.path)

    assert not asyncio.run(main()).exists()


class Held(BlockingCloseable):
    """A block whose closing takes as long as the test wants."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.closed_in: threading.Thread | None = None

    def close(self) -> None:
        self.entered.set()
        assert self.release.wait(PATIENCE)
        self.closed_in = threading.current_thread()


def test_the_loop_goes_on_while_a_block_is_closed() -> None:
    async def main() -> None:
        held = Held()

        async def use() -> None:
            async with held:
                pass

        task = asyncio.create_task(use())
        await until(held.entered.is_set)  # with a loop that is held up this never returns
        assert not task.done()
        held.release.set()
        await task
        assert held.closed_in is not threading.current_thread()

    asyncio.run(main())


def test_a_task_that_is_cancelled_while_it_closes_is_cancelled_once_all_is_closed() -> None:
    async def main() -> None:
        held = Held()

        async def use() -> None:
            async with held:
                pass

        task = asyncio.create_task(use())
        await until(held.entered.is_set)
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        held.release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held.closed_in is not None

    asyncio.run(main())


def test_commands_on_their_way_are_answered_while_an_async_block_closes_the_system(store_path: Path) -> None:
    async def main() -> list[Any]:
        async with System.open(store_path, depot, replicas=1) as system:
            tasks = [asyncio.create_task(system.aexecute(Increment("a"))) for _ in range(200)]
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(main())
    done = [one.position for one in outcomes if not isinstance(one, Exception)]
    assert {type(one) for one in outcomes if isinstance(one, Exception)} <= {SystemClosed}
    with System.open(store_path, depot, replicas=1) as system:
        assert sorted(done) == list(range(1, system.position + 1))


def test_an_async_block_of_a_system_in_its_own_actors_thread_is_refused(store_path: Path) -> None:
    domain = Domain("closing")
    opened: list[System] = []

    @domain.query(reads=[domain.read_model("nothing")])
    class Close:
        def run(self, view: Any) -> None:
            async def main() -> None:
                async with opened[0]:
                    pass

            asyncio.run(main())

    with System.open(store_path, domain, replicas=1) as system:
        opened.append(system)
        with pytest.raises(WrongThread, match="close"):
            system.query(Close())
        assert system.health().status == "ok"

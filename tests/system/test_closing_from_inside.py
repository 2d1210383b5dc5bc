"""A system that is closed in a thread that its closing waits for: after a middleware's `yield`, in a callback
of `consume`, in a callback of a future. It is closed, and nobody waits for itself.

The closings have a million seconds, so one that waits for itself never ends.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import System, SystemClosed
from actors.kernel.uninterrupted_call import UninterruptedCall
from tests.helpers import PATIENCE, Threads, wait_until
from tests.inside import consumers_closed, middleware_pool_closed
from tests.system.till import Gate, amounts, till_of

FOR_EVER = 1e6


def by_close(system: System) -> None:
    system.close(FOR_EVER)


def by_block(system: System) -> None:
    with system:
        pass


def by_async_block(system: System) -> None:
    async def block() -> None:
        async with system:
            pass

    asyncio.run(block())


each_way = pytest.mark.parametrize("close", [by_close, by_block, by_async_block])


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.subscriptions.consumer_registry.FLUSH", FOR_EVER)
    monkeypatch.setattr(System.close, "__defaults__", (FOR_EVER,))


class Inside:
    """A system, and something to do in a thread of its middleware, `to_do`, after a payment to "close"."""

    def __init__(self, path: Path) -> None:
        self.to_do: Callable[[System], Any] = by_close

        def after(call: Any) -> Iterator[None]:
            yield
            if call.message.name == "close":
                self.to_do(self.system)

        self.till = till_of(after)
        self.path = path
        self.system = self.open()

    def open(self) -> System:
        return System.open(self.path, self.till.domain, replicas=1)

    def check(self, paid: int) -> None:
        """It is closed, and opens again with so many payments."""
        with pytest.raises(SystemClosed):
            self.system.execute(self.till.Pay("a"))
        self.system.close()
        with self.open() as again:
            assert len(amounts(again)) == paid


@pytest.fixture
def inside(store_path: Path) -> Inside:
    return Inside(store_path)


@each_way
def test_a_middleware_that_closes_the_system_after_its_yield_does_not_wait_for_itself(
    inside: Inside, close: Any, caplog: pytest.LogCaptureFixture
) -> None:
    inside.to_do = close
    assert inside.system.submit(inside.till.Pay("close")).result(PATIENCE).version == 1
    assert "was not done within" not in caplog.text
    inside.check(1)


@each_way
def test_a_callback_of_a_future_closes_the_system_in_a_thread_of_middleware(
    inside: Inside, close: Any
) -> None:
    closed = threading.Event()
    inside.to_do = lambda _system: gate()
    gate = Gate()
    future = inside.system.submit(inside.till.Pay("close"))
    future.add_done_callback(lambda _done: (close(inside.system), closed.set()))
    gate.open()
    assert closed.wait(PATIENCE)
    inside.check(1)


@each_way
def test_a_callback_of_consume_that_closes_the_system_does_not_wait_for_itself(
    inside: Inside, close: Any
) -> None:
    closed = threading.Event()
    inside.system.consume("closer", lambda _delivery: (close(inside.system), closed.set()), threads=2)
    inside.system.execute(inside.till.Pay("a"))
    assert closed.wait(PATIENCE)
    inside.check(1)


@each_way
def test_a_middleware_that_closes_a_system_that_another_thread_closes_does_not_wait_for_that(
    inside: Inside, close: Any
) -> None:
    def late(system: System) -> None:
        came()
        wait_until(lambda: middleware_pool_closed(inside.system))
        close(system)

    came = Gate()
    came.open()
    inside.to_do = late
    future = inside.system.submit(inside.till.Pay("close"))
    wait_until(lambda: came.came)
    with Threads() as threads:
        threads.start(inside.system.close)
    assert future.result(0).version == 1
    inside.check(1)


def test_a_callback_of_consume_that_closes_a_system_that_another_thread_closes_does_not_wait_for_that(
    inside: Inside,
) -> None:
    came = Gate()
    came.open()

    def late(_delivery: Any) -> None:
        came()
        wait_until(lambda: consumers_closed(inside.system))
        inside.system.close()

    inside.system.consume("closer", late, threads=2)
    inside.system.execute(inside.till.Pay("a"))
    wait_until(lambda: came.came)
    with Threads() as threads:
        threads.start(inside.system.close)
    inside.check(1)


def test_a_middleware_and_another_thread_that_close_at_one_moment_both_come_to_the_end(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def made(name: str, work: Any) -> UninterruptedCall:
        both.wait(PATIENCE)
        return UninterruptedCall(name, work)

    monkeypatch.setattr("actors.system.system.UninterruptedCall", made)
    future = inside.system.submit(inside.till.Pay("close"))
    with Threads() as threads:
        threads.start(inside.system.close)
    assert future.result(PATIENCE).version == 1
    monkeypatch.undo()
    inside.check(1)


def test_a_callback_of_what_the_closing_refuses_does_not_wait_for_the_closing(store_path: Path) -> None:
    till = till_of()
    till.busy = gate = Gate()
    called: list[str] = []
    system = System.open(store_path, till.domain, replicas=1)
    system.submit(till.Pay("a"))
    wait_until(lambda: gate.came)
    refused = system.submit(till.Pay("b"))

    def again(_done: Any) -> None:
        called.append(threading.current_thread().name)
        system.close()

    refused.add_done_callback(again)
    with Threads() as threads:
        threads.start(system.close, 0)
    assert called == ["onewriter-closing"]
    assert isinstance(refused.exception(PATIENCE), SystemClosed)
    gate.open()


def test_a_callback_consumer_that_is_closed_in_an_async_block_of_its_own_does_not_wait_for_itself(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer: Any = None
    closed = threading.Event()

    def callback(_delivery: Any) -> None:
        wait_until(lambda: consumer)

        async def block() -> None:
            async with consumer:
                pass

        asyncio.run(block())
        closed.set()

    monkeypatch.setattr(
        "actors.subscriptions.callback_consumer.CallbackConsumer.close.__defaults__", (FOR_EVER,)
    )
    consumer = inside.system.consume("closer", callback)
    inside.system.execute(inside.till.Pay("a"))
    assert closed.wait(PATIENCE)
    inside.system.close()

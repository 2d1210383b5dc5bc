"""What stands after the `yield` of a middleware, and merges, after `submit`: beside each other, each with its
end.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import Receipt, System, SystemClosed
from actors.kernel.reply import Reply
from actors.kernel.thread_pool import CORE_THREADS
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.system.till import Gate, amounts, till_of

MANY = 5 * CORE_THREADS


def pool_threads() -> int:
    return sum(one.name.startswith("onewriter-middleware") for one in threading.enumerate())


def test_middleware_that_waits_after_its_yield_holds_up_its_own_callers_alone(store_path: Path) -> None:
    gate = Gate()

    def tell_the_printer(call: Any) -> Iterator[None]:
        yield
        if call.message.name == "print":
            gate()

    till = till_of(tell_the_printer)
    with System.open(store_path, till.domain, replicas=1) as system:
        slow = [system.submit(till.Pay("print")) for _ in range(MANY)]
        assert system.submit(till.Pay("plain", 7)).result(PATIENCE).version == 1
        wait_until(lambda: gate.came == MANY)
        assert not any(future.done() for future in slow)
        gate.open()
        assert [future.result(PATIENCE).version for future in slow] == list(range(1, MANY + 1))


def test_merges_that_wait_for_submits_with_merges_of_their_own_all_end(store_path: Path) -> None:
    till = till_of()
    with System.open(store_path, till.domain, replicas=1) as system:
        barrier = threading.Barrier(MANY)
        system.append("till-a", [till.Paid("a", 1)])

        def inner(conflict: Any) -> Any:
            return till.Pay("a", 3)

        def outer(conflict: Any) -> Any:
            barrier.wait(PATIENCE)
            system.submit(till.Pay("a"), expected_version=0, on_conflict=inner).result(PATIENCE)
            return till.Pay(conflict.command.name, 2)

        futures = [
            system.submit(till.Pay("a"), expected_version=0, on_conflict=_merging(outer, till))
            for _ in range(MANY)
        ]
        assert {type(future.result(PATIENCE)) for future in futures} == {Receipt}
        assert sorted(amounts(system)) == [1] + [2] * MANY + [3] * MANY


def _merging(first: Any, till: Any) -> Any:
    """`first` for the first conflict; what it gives is tried again on whatever the version is by then."""
    merged: list[Any] = []

    def merge(conflict: Any) -> Any:
        if not merged:
            merged.append(first(conflict))
        return merged[0]

    return merge


def test_submits_that_wait_for_the_writer_hold_no_thread(store_path: Path) -> None:
    def twice(_call: Any) -> Iterator[None]:
        yield
        yield

    till = till_of(twice)
    till.busy = gate = Gate()
    with System.open(store_path, till.domain, replicas=1) as system:
        futures = [system.submit(till.Pay("a", number)) for number in range(MANY)]
        wait_until(lambda: gate.came)
        assert pool_threads() == 0
        gate.open()
        assert [future.result(PATIENCE).first for future in futures] == list(range(1, MANY + 1))


def test_in_a_loop_middleware_and_merges_have_no_thread_at_all(store_path: Path) -> None:
    where: set[threading.Thread] = set()

    def twice(_call: Any) -> Iterator[None]:
        yield
        where.add(threading.current_thread())
        yield
        where.add(threading.current_thread())

    till = till_of(twice)

    async def main(system: System) -> None:
        system.append("till-a", [till.Paid("a", 1)])
        before = threading.active_count()

        def merge(conflict: Any) -> Any:
            where.add(threading.current_thread())
            return conflict.command

        calls = (
            system.aexecute(till.Pay("a"), expected_version=0, on_conflict=merge, timeout=PATIENCE)
            for _ in range(MANY)
        )
        await asyncio.gather(*calls)
        assert threading.active_count() == before

    with System.open(store_path, till.domain, replicas=1) as system:
        asyncio.run(main(system))
        assert len(amounts(system)) == MANY + 1
    assert where == {threading.current_thread()}


user = contextvars.ContextVar("user", default="nobody")


def test_a_submit_whose_outcome_overtakes_the_thread_that_hands_it_over_is_answered(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = till_of()
    answers: list[Any] = []
    overtaken: list[str] = []
    add_done_callback = Reply.add_done_callback

    def held_up(reply: Any, callback: Any) -> None:
        add_done_callback(reply, callback)
        if threading.current_thread().name.startswith("onewriter-middleware"):
            # This thread goes on only when the turns that follow have come to their end.
            wait_until(lambda: answers)
            overtaken.append(user.get())

    with System.open(store_path, till.domain, replicas=1) as system:
        system.append("till-a", [till.Paid("a", 1)])
        monkeypatch.setattr(Reply, "add_done_callback", held_up)
        user.set("ada")
        future = system.submit(till.Pay("a", 5), expected_version=0, on_conflict=3)
        future.add_done_callback(lambda done: answers.append(done.exception() or done.result()))
        assert future.result(PATIENCE).first == 2
        wait_until(lambda: overtaken == ["ada"])


def test_closing_waits_for_what_stands_after_a_yield(store_path: Path) -> None:
    gate = Gate()

    def slow(_call: Any) -> Iterator[None]:
        yield
        gate()

    till = till_of(slow)
    system = System.open(store_path, till.domain, replicas=1)
    futures = [system.submit(till.Pay("a")) for _ in range(MANY)]
    wait_until(lambda: gate.came == MANY)
    closing = threading.Thread(target=system.close)
    closing.start()
    wait_until(lambda: inside.middleware_pool_closed(system))
    assert closing.is_alive()
    gate.open()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert [future.result(0).version for future in futures] == list(range(1, MANY + 1))
    wait_until(lambda: not pool_threads())


def test_a_closing_that_does_not_wait_leaves_no_future_open(store_path: Path) -> None:
    gate = Gate()
    turns: list[str] = []

    def twice(call: Any) -> Iterator[None]:
        yield
        turns.append(call.message.name)
        gate()
        yield

    till = till_of(twice)
    system = System.open(store_path, till.domain, replicas=1)
    future = system.submit(till.Pay("a"))
    wait_until(lambda: turns)
    system.close(timeout=0)
    assert not future.done()
    gate.open()
    with pytest.raises(SystemClosed):
        future.result(PATIENCE)

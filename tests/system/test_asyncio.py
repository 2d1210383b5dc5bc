"""Thousands of tasks that wait for commands and queries: without a thread each, and with little to do for
their loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from actors import (
    CommandTimeout,
    Domain,
    Overloaded,
    QueryTimeout,
    Rejected,
    System,
    SystemClosed,
)
from actors.testing import open_system
from tests.helpers import PATIENCE, Threads, wait_until
from tests.loops import counting
from tests.system.trouble import Add, Misask, Misbehave, SizeOf, still_serves, things, trouble

TASKS = 1000


@pytest.fixture
def system(gates) -> Iterator[System]:
    with open_system(trouble, replicas=1, mailbox_size=100) as system:
        yield system


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop go on until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "not reached"
        await asyncio.sleep(0.001)


def hang(system: System, gates: Any) -> Any:
    """Have the writer hang in a decider until the gates open; the future of that command."""
    stuck = system.submit(Misbehave("stuck", "hangs"))
    assert gates.entered.wait(PATIENCE)
    return stuck


def mailbox(system: System) -> Any:
    return system._running().command_client.mailbox


def begun(calls: list[Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(call) for call in calls]


def added(system: System) -> set[str]:
    """The things that are there once all that waits has been done."""
    last = system.execute(Add("last"))
    with system.view(after=last) as view:
        return {row["id"] for row in view[things].all()} - {"last"}


# -- commands -----------------------------------------------------------------------------
def test_a_thousand_tasks_wait_without_a_thread_and_their_loop_is_woken_once_a_batch() -> None:
    with open_system(trouble, replicas=1) as system:

        async def main(loop: Any) -> None:
            before = set(threading.enumerate())
            batches = system.health().writer.batches

            async def one(number: int) -> None:
                for size in range(3):
                    receipt = await system.aexecute(Add(f"t{number}", size))
                    assert receipt.stream == f"thing-t{number}"
                    assert receipt.version == size + 1

            waiting = begun([one(number) for number in range(TASKS)])
            await asyncio.sleep(0)
            assert set(threading.enumerate()) == before
            await asyncio.gather(*waiting)
            assert set(threading.enumerate()) == before
            assert loop.wakes <= system.health().writer.batches - batches
            # One for all of their time-outs.
            assert len(loop.timers) <= 1

        counting(main)
        assert system.position == 3 * TASKS


def test_tasks_that_wait_for_room_take_no_thread_and_come_in_in_order(system: System, gates: Any) -> None:
    stuck = hang(system, gates)

    async def main() -> None:
        before = set(threading.enumerate())
        waiting = begun([system.aexecute(Add(f"t{number}")) for number in range(TASKS)])
        await asyncio.sleep(0)
        assert set(threading.enumerate()) == before
        assert len(mailbox(system)) == 100
        gates.release.set()
        receipts = await asyncio.gather(*waiting)
        assert [receipt.position for receipt in receipts] == list(range(2, TASKS + 2))

    asyncio.run(main())
    assert stuck.result(PATIENCE).last == 1


def test_threads_and_tasks_share_the_room_of_a_small_mailbox() -> None:
    with open_system(trouble, replicas=1, mailbox_size=3) as system:

        async def main() -> None:
            await asyncio.gather(*(system.aexecute(Add(f"task-{number}")) for number in range(300)))

        def work(caller: int) -> None:
            for number in range(50):
                system.execute(Add(f"thread-{caller}-{number}"))

        with Threads() as threads:
            for caller in range(6):
                threads.start(work, caller)
            threads.start(asyncio.run, main())
        assert system.position == 600


def test_a_cancelled_task_cancels_its_command_in_the_mailbox_and_in_the_line(
    system: System, gates: Any
) -> None:
    stuck = hang(system, gates)

    async def main() -> list[Any]:
        waiting = begun([system.aexecute(Add(f"t{number}")) for number in range(300)])
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        await asyncio.sleep(0)
        # The mailbox keeps what is cancelled until its turn, the line does not.
        assert len(mailbox(system)) == 100
        assert len(mailbox(system)._overflow) == 100
        gates.release.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert stuck.result(PATIENCE).last == 1
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
    assert added(system) == {"stuck", *(f"t{number}" for number in range(1, 300, 2))}
    assert not mailbox(system)._overflow


def test_a_task_that_is_cancelled_while_its_command_is_decided_leaves_it_on_its_way(
    system: System, gates: Any
) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(system.aexecute(Misbehave("stuck", "hangs")))
        await until(gates.entered.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gates.release.set()

    asyncio.run(main())
    assert added(system) == {"stuck"}


def test_a_time_out_carries_the_id_and_what_was_not_begun_by_then_is_not_done(
    system: System, gates: Any
) -> None:
    async def main() -> None:
        decided = asyncio.ensure_future(
            system.aexecute(Misbehave("stuck", "hangs"), timeout=0.05, command_id="decided")
        )
        await until(gates.entered.is_set)
        waits = system.aexecute(Add("late"), timeout=0.05, command_id="waits")
        for call, name in ((decided, "decided"), (waits, "waits")):
            with pytest.raises(CommandTimeout, match=f"no reply to command '{name}' within 0.05 s") as caught:
                await call
            assert caught.value.command_id == name
        with pytest.raises(CommandTimeout):
            await system.aexecute(Add("late"), timeout=0)
        gates.release.set()
        again = await system.aexecute(Misbehave("stuck", "hangs"), command_id="decided")
        assert again.last == 1

    asyncio.run(main())
    assert added(system) == {"stuck"}


def test_those_for_whom_there_was_no_room_in_time_are_told_and_nothing_was_done(
    system: System, gates: Any
) -> None:
    stuck = hang(system, gates)

    async def main() -> None:
        inside = begun([system.aexecute(Add(f"in-{number}")) for number in range(100)])
        await asyncio.sleep(0)
        outside = begun([system.aexecute(Add(f"out-{number}"), timeout=0.05) for number in range(200)])
        outcomes = await asyncio.gather(*outside, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Overloaded}
        assert "100 commands wait" in str(outcomes[0])
        with pytest.raises(Overloaded):
            await system.aexecute(Add("out"), timeout=0)
        assert not mailbox(system)._overflow
        gates.release.set()
        await asyncio.gather(*inside)

    asyncio.run(main())
    assert stuck.result(PATIENCE).last == 1
    assert added(system) == {"stuck", *(f"in-{number}" for number in range(100))}


def test_a_loop_that_ends_while_its_commands_are_on_their_way_does_the_writer_no_harm(
    system: System, gates: Any
) -> None:
    stuck = hang(system, gates)
    loop = asyncio.new_event_loop()
    # It would report the tasks that are destroyed while they wait.
    loop.set_exception_handler(lambda _loop, _context: None)

    async def begin() -> None:
        begun([system.aexecute(Add(f"t{number}")) for number in range(150)])
        await asyncio.sleep(0)

    loop.run_until_complete(begin())
    loop.close()
    gates.release.set()
    assert stuck.result(PATIENCE).last == 1
    still_serves(system)
    # Nobody cancelled them.
    assert len(added(system)) == 152  # With the stuck one and the one that shows that it serves.
    assert system.health().status == "ok", system.health().problems


def test_several_loops_in_threads_of_their_own_execute_at_once(system: System) -> None:
    wakes: list[int] = []

    def run(number: int) -> None:
        async def main(loop: Any) -> None:
            for turn in range(5):
                calls = [system.aexecute(Add(f"l{number}-{turn}-{task}")) for task in range(100)]
                receipts = await asyncio.gather(*calls)
                assert len({receipt.position for receipt in receipts}) == 100
            wakes.append(loop.wakes)

        counting(main)

    before = system.health().writer.batches
    with Threads() as threads:
        for number in range(4):
            threads.start(run, number)
    assert system.position == 2000
    assert max(wakes) <= system.health().writer.batches - before


def test_tasks_that_wait_are_answered_when_the_system_closes(system: System, gates: Any) -> None:
    stuck = hang(system, gates)

    async def main() -> None:
        waiting = begun([system.aexecute(Add(f"t{number}")) for number in range(300)])
        await asyncio.sleep(0)
        with Threads() as threads:
            closing = threads.start(system.close, 0.2)
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            gates.release.set()
            await until(lambda: not closing.is_alive())
        assert {type(outcome) for outcome in outcomes} <= {SystemClosed, CommandTimeout}
        assert isinstance(outcomes[-1], SystemClosed)

    asyncio.run(main())
    assert stuck.done()


# -- middleware and conflicts -------------------------------------------------------------
caller: ContextVar[str] = ContextVar("caller", default="nobody")


@pytest.fixture
def club() -> Iterator[System]:
    domain = Domain("club")

    @domain.state(stream="member-{name}")
    class Member:
        name: str
        visits: int

    @domain.event(Member)
    class Visited:
        name: str
        number: int

    @domain.command(Member)
    class Visit:
        name: str

    @domain.decide(Visit)
    def visit(member: Member | None, command: Visit):
        number = 0 if member is None else member.visits
        if number == 3:
            raise Rejected("enough", code="member.enough")
        yield Visited(command.name, number + 1)

    @domain.evolve(Visited)
    def visited(member: Member | None, event: Visited) -> Member:
        return Member(event.name, event.number)

    @domain.around_command
    def signed(call: Any) -> Any:
        call.metadata["caller"] = caller.get()
        thread = threading.current_thread()
        receipt = yield
        assert threading.current_thread() is thread
        return receipt

    with open_system(domain, replicas=1, mailbox_size=50) as system:
        system.visit = Visit  # type: ignore[attr-defined]
        yield system


def test_middleware_sees_each_tasks_own_context(club: Any) -> None:
    async def one(name: str) -> None:
        caller.set(name)
        for _ in range(3):
            await club.aexecute(club.visit(name))

    async def main() -> None:
        await asyncio.gather(*(one(f"m{number}") for number in range(200)))

    asyncio.run(main())
    for recorded in club.subscribe(until=club.position):
        assert recorded.metadata["caller"] == recorded.event.name


def test_middleware_sees_each_of_many_commands(club: Any) -> None:
    async def main() -> None:
        caller.set("door")
        visits = [club.visit(f"m{number % 100}") for number in range(400)]
        before = set(threading.enumerate())
        outcomes = await club.aexecute_many([*visits, "rubbish"], return_exceptions=True)
        assert set(threading.enumerate()) == before
        assert [outcome.version for outcome in outcomes[:300]] == [1] * 100 + [2] * 100 + [3] * 100
        assert {type(outcome) for outcome in outcomes[300:400]} == {Rejected}
        assert type(outcomes[400]).__name__ == "UnknownMessage"

    asyncio.run(main())
    assert {one.metadata["caller"] for one in club.subscribe(until=club.position)} == {"door"}


def test_a_conflict_is_tried_again_or_merged(club: Any) -> None:
    async def main() -> None:
        visit = club.visit("ann")
        await club.aexecute(visit)
        again = await club.aexecute(visit, expected_version=0, on_conflict=3)
        assert again.version == 2
        merged = await club.aexecute(
            visit, expected_version=0, on_conflict=lambda conflict: club.visit("ann"), timeout=PATIENCE
        )
        assert merged.version == 3
        with pytest.raises(Rejected, match="enough"):
            await club.aexecute(visit)

    asyncio.run(main())


# -- many ---------------------------------------------------------------------------------
def test_many_commands_in_a_full_mailbox_wait_without_a_thread_and_keep_their_order(
    system: System, gates: Any
) -> None:
    stuck = hang(system, gates)

    async def main() -> None:
        before = set(threading.enumerate())
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.ensure_future(tick())
        lists = [[Add(f"l{number}", size) for size in range(1200)] for number in range(3)]
        waiting = begun([system.aexecute_many(commands) for commands in lists])
        await until(lambda: mailbox(system)._overflow)
        assert set(threading.enumerate()) == before
        gates.release.set()
        for receipts in await asyncio.gather(*waiting):
            assert [receipt.version for receipt in receipts] == list(range(1, 1201))
        ticking.cancel()
        assert ticks > 3

    asyncio.run(main())
    assert stuck.result(PATIENCE).last == 1


def test_many_that_get_no_reply_in_time_have_their_ids_and_those_without_room_are_refused(
    system: System, gates: Any
) -> None:
    hang(system, gates)

    async def main() -> None:
        commands = [Add(f"t{number}") for number in range(1200)]
        outcomes = await system.aexecute_many(commands, timeout=0.1, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes[:500]} == {CommandTimeout}
        assert len({outcome.command_id for outcome in outcomes[:500]}) == 500
        assert {type(outcome) for outcome in outcomes[500:]} == {Overloaded}
        with pytest.raises(Overloaded) as caught:
            await system.aexecute_many(commands[:2], timeout=0)
        assert [type(outcome) for outcome in caught.value.outcomes] == [Overloaded, Overloaded]
        gates.release.set()

    asyncio.run(main())
    assert added(system) == {"stuck", *(f"t{number}" for number in range(500))}


def test_a_task_that_is_cancelled_leaves_those_of_many_on_their_way_that_it_has_handed_over(
    system: System, gates: Any
) -> None:
    hang(system, gates)

    async def main() -> None:
        task = asyncio.ensure_future(system.aexecute_many([Add(f"t{number}") for number in range(1200)]))
        await until(lambda: mailbox(system)._overflow)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gates.release.set()

    asyncio.run(main())
    wait_until(lambda: len(added(system)) == 1001)
    assert added(system) == {"stuck", *(f"t{number}" for number in range(1000))}


def test_no_commands_have_no_receipts(system: System, club: Any) -> None:
    assert asyncio.run(system.aexecute_many([])) == []
    assert asyncio.run(club.aexecute_many([])) == []


# -- queries ------------------------------------------------------------------------------
def test_a_thousand_tasks_wait_for_queries_without_a_thread(system: System, gates: Any) -> None:
    receipt = system.execute(Add("a", 7))

    async def main(loop: Any) -> None:
        before = set(threading.enumerate())
        hanging = asyncio.ensure_future(system.aquery(Misask("hangs"), after=receipt))
        await until(gates.entered.is_set)
        waiting = begun([system.aquery(SizeOf("a")) for _ in range(TASKS)])
        await asyncio.sleep(0)
        assert set(threading.enumerate()) == before
        gates.release.set()
        assert await asyncio.gather(*waiting) == [7] * TASKS
        assert await hanging == "at last"
        assert len(loop.timers) < 100
        assert loop.wakes <= TASKS

    counting(main)


def test_a_query_that_is_late_is_given_up_and_a_cancelled_one_is_not_run(system: System, gates: Any) -> None:
    receipt = system.execute(Add("a", 7))
    system.wait_applied(timeout=PATIENCE)
    before = system.health().replicas[0].queries_served

    async def main() -> None:
        with pytest.raises(QueryTimeout, match=r"within 0\.05 s"):
            await system.aquery(Misask("hangs"), after=receipt, timeout=0.05)
        waiting = begun([system.aquery(SizeOf("a")) for _ in range(20)])
        await asyncio.sleep(0)
        for task in waiting[:15]:
            task.cancel()
        await asyncio.sleep(0)
        gates.release.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes[15:] == [7] * 5

    asyncio.run(main())
    # The late one, and those that were not cancelled.
    assert system.health().replicas[0].queries_served - before == 1 + 5

"""Many callers at once: order, receipts, conflicts, sessions, and closing while they work."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from actors import ConcurrencyConflict, Receipt, Rejected, System, SystemClosed
from actors.kernel.mailbox import Mailbox, Request
from storage import EventLog
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.checks import check_all, check_log, check_receipt, check_replicas, read_log
from tests.system.depot import EntryCount, Increment, Line, PlaceOrder, Stock, TotalOf, Totals, Touch, depot

CALLERS = 32
STREAMS = 100
COMMANDS = 10_000


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, depot, replicas=3) as opened:
        yield opened


@contextmanager
def switching_often() -> Iterator[None]:
    """Have threads take turns as often as the interpreter can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def together(callers: int, work: Callable[[int], None]) -> None:
    """Run `work(caller)` in that many threads that begin at one moment."""
    begin = threading.Barrier(callers)

    def run(caller: int) -> None:
        begin.wait(PATIENCE)
        work(caller)

    with Threads() as threads:
        for caller in range(callers):
            threads.start(run, caller)


# -- order and receipts -------------------------------------------------------------------
def test_ten_thousand_commands_of_32_callers_on_100_streams_keep_each_callers_order(system: System) -> None:
    """What a caller adds is `caller * COMMANDS + its number`, so the log tells who wrote what and when."""
    receipts: dict[int, list[tuple[int, Receipt]]] = {}
    refused: dict[int, int] = {}

    def work(caller: int) -> None:
        dice = random.Random(caller)
        mine: list[tuple[int, Receipt]] = []
        rejections = 0
        count = COMMANDS // CALLERS + (caller < COMMANDS % CALLERS)
        futures: list[tuple[int, Future[Receipt]]] = []
        for number in range(count):
            amount = caller * COMMANDS + number + 1
            refuse = dice.random() < 0.1
            command = Stock(f"s{dice.randrange(STREAMS)}", -amount if refuse else amount)
            way = dice.randrange(3)
            if way == 0:
                futures.append((number, system.submit(command)))
                continue
            try:
                if way == 1:
                    receipt = system.execute(command)
                else:
                    [receipt] = system.execute_many([command])
            except Rejected:
                assert refuse
                rejections += 1
            else:
                assert not refuse
                mine.append((number, receipt))
        for number, future in futures:
            if isinstance(future.exception(PATIENCE), Rejected):
                rejections += 1
            else:
                mine.append((number, future.result()))
        receipts[caller] = sorted(mine)
        refused[caller] = rejections

    together(CALLERS, work)

    events = read_log(system)
    check_log(events)
    assert len(events) == sum(map(len, receipts.values()))
    assert len(events) + sum(refused.values()) == COMMANDS
    written: dict[tuple[int, str], list[int]] = defaultdict(list)
    for recorded in events:
        caller, number = divmod(recorded.event.amount - 1, COMMANDS)
        written[caller, recorded.stream].append(number)
    for numbers in written.values():
        assert numbers == sorted(numbers)
    for mine in receipts.values():
        positions = [receipt.first for _, receipt in mine]
        assert positions == sorted(set(positions))
        for number, receipt in mine:
            check_receipt(receipt, events)
            assert receipt.first == receipt.last
            assert (receipt.events[0].amount - 1) % COMMANDS == number
    check_replicas(system, events)


def test_orders_of_many_callers_never_reserve_more_than_there_is(system: System) -> None:
    system.execute_many([Stock(f"s{number}", 50) for number in range(5)])
    accepted: list[Receipt] = []
    refused: list[str] = []

    def work(caller: int) -> None:
        dice = random.Random(caller)
        for number in range(20):
            lines = tuple(Line(f"s{sku}", dice.randrange(1, 4)) for sku in dice.sample(range(5), 3))
            try:
                accepted.append(system.execute(PlaceOrder(f"{caller}-{number}", lines)))
            except Rejected as rejected:
                refused.append(rejected.code)

    together(16, work)
    assert set(refused) == {"stock.short"}
    events = check_all(system)
    assert len(events) == 5 + sum(len(receipt.events) for receipt in accepted)
    for receipt in accepted:
        check_receipt(receipt, events)


def test_execute_many_keeps_its_order_beside_callers_of_execute(system: System) -> None:
    def work(caller: int) -> None:
        if caller % 2:
            outcomes = system.execute_many(
                [Increment("shared", 1) if number % 5 else Stock("s", 0) for number in range(1500)],
                return_exceptions=True,
            )
            versions = [outcome.version for outcome in outcomes if isinstance(outcome, Receipt)]
            assert versions == sorted(set(versions))
            assert [isinstance(outcome, Rejected) for outcome in outcomes] == [
                number % 5 == 0 for number in range(1500)
            ]
        else:
            for _ in range(100):
                system.execute(Increment("shared", 1))

    together(8, work)
    assert system.query(TotalOf("shared"), consistency="strong") == 4 * 1200 + 4 * 100
    check_all(system)


def test_one_id_from_many_callers_at_once_is_done_once_and_all_get_its_receipt(system: System) -> None:
    receipts: dict[str, list[Receipt]] = defaultdict(list)

    def work(_caller: int) -> None:
        for number in range(30):
            receipts[f"id-{number}"].append(system.execute(Increment("c"), command_id=f"id-{number}"))

    together(16, work)
    assert system.position == 30
    for same in receipts.values():
        assert len(same) == 16
        assert all(receipt == same[0] for receipt in same)
    check_all(system)


# -- conflicts ----------------------------------------------------------------------------
NAMES = [f"c{number}" for number in range(10)]
EACH = 25


def conflicting(system: System, on_conflict: Any) -> list[Receipt]:
    """Increments by many callers who each expect a version that others have moved on from."""
    receipts: list[Receipt] = []

    def work(caller: int) -> None:
        dice = random.Random(caller)
        known = dict.fromkeys(NAMES, 0)
        for _ in range(EACH):
            name = dice.choice(NAMES)
            receipt = system.execute(
                Increment(name), expected_version=known[name], on_conflict=on_conflict, timeout=60
            )
            known[name] = receipt.version
            receipts.append(receipt)

    together(CALLERS, work)
    return receipts


def merging(conflict: ConcurrencyConflict) -> Increment:
    """The same increment, after a look at what came in between."""
    assert [event.name for event in conflict.events] == [conflict.command.name] * len(conflict.events)
    assert len(conflict.events) == conflict.actual - conflict.expected > 0
    return Increment(conflict.command.name, conflict.command.by)


@pytest.mark.parametrize("on_conflict", [10_000, merging], ids=["retrying", "merging"])
def test_every_increment_is_counted_once_where_ten_streams_are_contended(
    system: System, on_conflict: Any
) -> None:
    receipts = conflicting(system, on_conflict)
    assert len(receipts) == CALLERS * EACH
    events = check_all(system)
    assert len(events) == CALLERS * EACH
    for receipt in receipts:
        check_receipt(receipt, events)
    assert sum(system.query(Totals(), consistency="strong").values()) == CALLERS * EACH
    assert len({(receipt.stream, receipt.version) for receipt in receipts}) == CALLERS * EACH


def test_expected_version_lets_one_caller_of_many_through(system: System) -> None:
    won: dict[int, list[int]] = defaultdict(list)
    conflicts: list[ConcurrencyConflict] = []

    def work(caller: int) -> None:
        for version in range(20):
            wait_until(lambda version=version: len(won) >= version)
            try:
                receipt = system.execute(Increment("c"), expected_version=version)
            except ConcurrencyConflict as conflict:
                conflicts.append(conflict)
            else:
                assert receipt.version == version + 1
                won[version].append(caller)

    together(8, work)
    assert {version: len(callers) for version, callers in won.items()} == dict.fromkeys(range(20), 1)
    assert len(conflicts) == 7 * 20
    assert all(conflict.actual > conflict.expected for conflict in conflicts)
    assert system.position == 20


def test_a_merged_command_that_is_sent_again_by_its_id_gets_its_first_receipt(system: System) -> None:
    system.execute(Increment("c", 100))

    def merge(conflict: ConcurrencyConflict) -> Increment:
        return Increment("c", 7)

    first = system.execute(Increment("c", 1), expected_version=0, on_conflict=merge, command_id="mine")
    again = system.execute(Increment("c", 1), expected_version=0, on_conflict=merge, command_id="mine")
    assert again == first
    assert system.position == 2


# -- asyncio and cancelling ---------------------------------------------------------------
def test_hundreds_of_tasks_execute_and_read_their_own_writes(system: System) -> None:
    async def one(number: int) -> Receipt:
        name = f"t{number % 50}"
        receipt = await system.aexecute(Increment(name), command_id=f"task-{number}")
        seen = await system.aquery(TotalOf(name), after=receipt)
        assert seen >= receipt.version
        return receipt

    async def every() -> list[Receipt]:
        return await asyncio.gather(*(one(number) for number in range(600)))

    receipts = asyncio.run(every())
    events = check_all(system)
    assert len(events) == 600
    for receipt in receipts:
        check_receipt(receipt, events)


def test_a_task_that_is_cancelled_leaves_the_others_alone(system: System) -> None:
    async def every() -> list[Any]:
        tasks = [asyncio.create_task(system.aexecute(Increment("c"))) for _ in range(300)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(every())
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len(receipts) >= 200
    assert all(isinstance(outcome, Receipt | asyncio.CancelledError) for outcome in outcomes)
    events = check_all(system)
    assert len(receipts) <= len(events) <= 300
    for receipt in receipts:
        check_receipt(receipt, events)


def test_a_future_that_could_be_cancelled_was_never_done(system: System) -> None:
    cancelled: list[str] = []
    kept: dict[str, Future[Receipt]] = {}

    def work(caller: int) -> None:
        dice = random.Random(caller)
        for number in range(100):
            command_id = f"{caller}-{number}"
            future = system.submit(Increment("c"), command_id=command_id)
            if dice.random() < 0.5 and future.cancel():
                with pytest.raises(CancelledError):
                    future.result(0)
                cancelled.append(command_id)
            else:
                kept[command_id] = future

    together(8, work)
    done = {command_id: future.result(PATIENCE) for command_id, future in kept.items()}
    events = check_all(system)
    assert cancelled
    assert {recorded.command_id for recorded in events} == set(done)


def test_what_was_decided_can_not_be_cancelled_any_more(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = EventLog._commit
    answers: list[bool] = []

    def cancelling(log: EventLog, transaction: Any) -> None:
        answers.append(futures[0].cancel())
        commit(log, transaction)

    monkeypatch.setattr(EventLog, "_commit", cancelling)
    futures = [system.submit(Increment("c"), command_id="mine")]
    assert futures[0].result(PATIENCE).first == 1
    assert answers == [False]


# -- reading one's own writes -------------------------------------------------------------
def test_sessions_read_their_own_writes_while_replicas_are_killed(system: System) -> None:
    stop = threading.Event()

    def work(caller: int) -> None:
        name = f"s{caller}"
        with system.session() as session:
            total = entries = 0
            while not stop.is_set():
                for _ in range(3):
                    session.execute(Increment(name))
                    total += 1
                assert session.query(TotalOf(name)) == total
                now = session.query(EntryCount())
                assert now >= entries
                entries = now

    with Threads() as threads:
        try:
            for caller in range(8):
                threads.start(work, caller)
            dice = random.Random(1)
            names = [f"replica-{number}" for number in (1, 2, 3)]
            names += [f"{name}.query-1" for name in names] + ["sync"]
            for _ in range(8):
                target = dice.choice([name for name in names if "query" not in name])
                assert system.kill(target)
        finally:
            stop.set()
    check_all(system)


def test_strong_queries_see_all_that_any_caller_was_told(system: System) -> None:
    told = [0]

    def work(caller: int) -> None:
        for _ in range(50):
            if caller % 2:
                position = system.execute(Increment(f"s{caller}")).position
                told[0] = max(told[0], position)
            else:
                least = told[0]
                assert system.query(EntryCount(), consistency="strong") >= least
                with system.view(consistency="strong") as view:
                    assert view.position() >= least

    together(8, work)
    check_all(system)


# -- closing ------------------------------------------------------------------------------
def test_closing_under_load_answers_every_caller_and_keeps_what_was_acknowledged(store_path: Path) -> None:
    acknowledged: dict[str, Receipt] = {}
    refused: set[str] = set()
    system = System.open(store_path, depot, replicas=2)
    started = threading.Event()

    def work(caller: int) -> None:
        for number in range(100_000):
            futures: dict[str, Future[Receipt]] = {}
            for part in range(5):
                command_id = f"{caller}-{number}-{part}"
                try:
                    futures[command_id] = system.submit(Increment(f"c{caller}"), command_id=command_id)
                except SystemClosed:
                    refused.add(command_id)
            for command_id, future in futures.items():
                if future.exception(PATIENCE) is None:
                    acknowledged[command_id] = future.result()
                    started.set()
                else:
                    assert isinstance(future.exception(), SystemClosed)
                    refused.add(command_id)
            if refused:
                return

    with Threads() as threads, switching_often():
        for caller in range(16):
            threads.start(work, caller)
        assert started.wait(PATIENCE)
        system.close()
    with System.open(store_path, depot, replicas=2) as system:
        events = check_all(system)
    assert {recorded.command_id for recorded in events} == set(acknowledged)
    for receipt in acknowledged.values():
        check_receipt(receipt, events)
    assert not refused & set(acknowledged)


class Notice(Request):
    """A request that counts its answers."""

    def __init__(self) -> None:
        self.answers = 0

    def fail(self, error: Exception) -> None:
        self.answers += 1


class MeetingAtTheLast(deque[Any]):
    """Lets two threads that look whether one is left do so at the same moment."""

    def __init__(self, *items: Any) -> None:
        super().__init__(*items)
        self.meeting = threading.Barrier(2)

    def __len__(self) -> int:
        left = super().__len__()
        if left == 1:
            with suppress(threading.BrokenBarrierError):
                self.meeting.wait(PATIENCE)
        return left


def test_two_threads_that_refuse_what_waits_in_a_mailbox_share_it() -> None:
    mailbox = Mailbox()
    held, put = Notice(), Notice()
    mailbox._pushed_back = MeetingAtTheLast([held])
    mailbox._refusal = lambda: SystemClosed("closed")
    together(2, lambda caller: mailbox.put(put) if caller else mailbox._refuse_waiting())
    assert held.answers == put.answers == 1


def test_a_closed_mailbox_answers_each_envelope_once_whoever_puts_it() -> None:
    mailbox = Mailbox()
    held = [Notice() for _ in range(5000)]
    mailbox.push_back(held)
    put: list[Notice] = []

    def work(caller: int) -> None:
        if not caller:
            mailbox.close(lambda: SystemClosed("closed"))
        for _ in range(100):
            notice = Notice()
            put.append(notice)
            mailbox.put(notice)

    with switching_often():
        together(16, work)
    assert {notice.answers for notice in [*held, *put]} == {1}


def test_commands_without_events_are_answered_in_the_order_of_the_others(system: System) -> None:
    futures = [system.submit(Touch("c") if number % 2 else Increment("c")) for number in range(200)]
    positions = [future.result(PATIENCE).position for future in futures]
    assert positions == [number // 2 + 1 for number in range(200)]
    check_all(system)

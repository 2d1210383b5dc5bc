"""Faults put in at the seams of the running system: what is promised holds after each of them.

Every test ends with the whole store compared: log, receipts, ids, versions and every replica's tables.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

import storage.log.writable_log
from actors import (
    CommitUncertain,
    DeciderFailed,
    QueryFailed,
    Receipt,
    Rejected,
    StorageError,
    StoreFull,
    System,
    SystemClosed,
)
from actors.kernel.supervisor import Supervisor
from actors.queries.query_actor import QueryActor
from actors.replication.progress import Progress
from actors.replication.read_replica import ReadReplica
from actors.replication.sync import Sync
from actors.writer.command_handler import MAX_ATTEMPTS, CommandHandler
from actors.writer.overlay import Overlay
from actors.writer.submission import Submission
from storage import EventLog, WriteTransaction
from tests import inside
from tests.faults import Fault, put_fault
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.batches import held_batch
from tests.system.checks import check_all, check_log, check_receipt, check_replicas, read_log
from tests.system.depot import Increment, Line, PlaceOrder, Stock, StockOf, TotalOf, Touch, depot

Patch = pytest.MonkeyPatch


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, depot, replicas=2) as opened:
        yield opened


ORDER = PlaceOrder("order", (Line("lamp", 2), Line("desk", 1)))
BATCH = {
    "first": Increment("a", 1),
    "order": ORDER,
    "refused": PlaceOrder("too-much", (Line("lamp", 1), Line("desk", 99))),
    "nothing": Touch("a"),
    "again": Increment("a", 10),
    "new": Increment("b", 100),
}


@contextmanager
def batch_of(system: System) -> Iterator[dict[str, Future[Receipt]]]:
    """The batch's commands, each under its name as command id; handled after the block, in one transaction.

    By then the log is at position 3.
    """
    system.execute_many([Stock("lamp", 10), Stock("desk", 10)])
    with held_batch(system, Increment("plug")):
        yield {name: system.submit(command, command_id=name) for name, command in BATCH.items()}


def outcome(future: Future[Receipt]) -> Receipt | BaseException:
    return future.exception(PATIENCE) or future.result()


def execute_again(system: System) -> dict[str, Receipt]:
    """The batch once more, by the same ids; the refused one is refused."""
    receipts = {}
    for name, command in BATCH.items():
        if name == "refused":
            with pytest.raises(Rejected) as refused:
                system.execute(command, command_id=name)
            assert refused.value.code == "stock.short"
        else:
            receipts[name] = system.execute(command, command_id=name)
    return receipts


def check_batch_done_once(system: System) -> None:
    """The whole batch is in the log, once, and executing it again changes nothing."""
    receipts = execute_again(system)
    position = system.position
    again = execute_again(system)
    assert [receipt[:3] for receipt in again.values()] == [receipt[:3] for receipt in receipts.values()]
    assert system.position == position
    events = check_all(system)
    for receipt in receipts.values():
        check_receipt(receipt, events)
    assert system.query(TotalOf("a"), consistency="strong") == 11
    assert system.query(TotalOf("b"), consistency="strong") == 100
    assert system.query(StockOf("lamp"), consistency="strong") == 8
    assert receipts["again"].version == 2
    assert receipts["order"].versions == {"order-order": 1, "item-lamp": 2, "item-desk": 2}


def check_outcomes(system: System, futures: dict[str, Future[Receipt]]) -> None:
    """Every command of the batch was answered as if nothing had happened."""
    found = {name: outcome(future) for name, future in futures.items()}
    refused = found.pop("refused")
    assert isinstance(refused, Rejected)
    assert refused.code == "stock.short"
    events = read_log(system)
    for name, receipt in found.items():
        assert isinstance(receipt, Receipt), (name, receipt)
        assert receipt.command_id == name
        check_receipt(receipt, events)


# -- a batch that is aborted --------------------------------------------------------------
def holds(name: str) -> Callable[..., bool]:
    """Whether a storage batch holds the command of this id."""
    return lambda _log, _txn, batch: name.encode() in {**batch.commands_in_events, **dict(batch.commands)}


@pytest.mark.parametrize(
    ("error", "expected"),
    [(lambda: lmdb.BadValsizeError("put"), StorageError), (lambda: lmdb.MapFullError("put"), StoreFull)],
    ids=["a bad value", "a full map"],
)
def test_a_put_that_fails_for_one_command_aborts_the_batch_and_fails_that_command_alone(
    system: System, monkeypatch: Patch, error: Callable[[], BaseException], expected: type[Exception]
) -> None:
    faults = put_fault(monkeypatch, EventLog, "_write", error, after=True, times=2, only=holds("again"))
    with batch_of(system) as futures:
        pass
    failed = outcome(futures.pop("again"))
    assert isinstance(failed, expected)
    check_outcomes(system, futures)
    assert faults() == 2
    assert system.query(TotalOf("a"), consistency="strong") == 1
    check_all(system)
    check_batch_done_once(system)


# -- a commit that fails ------------------------------------------------------------------
@pytest.mark.parametrize("reached_disk", [False, True], ids=["before the disk", "on the disk"])
def test_the_batch_of_a_failed_commit_is_answered_uncertain_and_found_by_its_ids(
    system: System, monkeypatch: Patch, reached_disk: bool
) -> None:
    with batch_of(system) as futures:
        put_fault(
            monkeypatch,
            EventLog,
            "_commit",
            lambda: lmdb.DiskError("commit"),
            after=reached_disk,
            only=lambda log, _txn: log.head == 3,
        )
    for name, future in futures.items():
        found = outcome(future)
        assert isinstance(found, CommitUncertain), (name, found)
        assert found.command_id == name
    # Three positions from before, and five events of the batch.
    assert wait_until(lambda: system.position) == (9 if reached_disk else 3)
    check_all(system)
    check_batch_done_once(system)
    assert system.position == 9


@pytest.mark.parametrize("kind", ["no room", "no room for a no-op"])
def test_a_full_disk_is_a_clear_error_with_nothing_written_and_writing_goes_on_with_room(
    system: System, monkeypatch: Patch, kind: str
) -> None:
    command = Stock("lamp", 10) if kind == "no room" else Touch("a")
    put_fault(monkeypatch, EventLog, "_commit", lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(StoreFull):
        system.execute(command, command_id="mine")
    assert system.query(StockOf("lamp")) is None
    assert system.position == 0
    system.execute(command, command_id="mine")
    check_all(system)


def test_a_no_op_that_is_on_disk_is_not_said_to_be_unwritten_when_the_disk_is_full(
    system: System, monkeypatch: Patch
) -> None:
    put_fault(monkeypatch, EventLog, "_commit", lambda: OSError(errno.ENOSPC, "full"), after=True)
    with pytest.raises(CommitUncertain):
        system.execute(Touch("a"), command_id="mine")
    assert system.execute(Touch("a"), command_id="mine").first == 0


def test_a_store_that_can_not_be_reopened_at_once_after_a_failed_commit_is_tried_again(
    system: System, monkeypatch: Patch
) -> None:
    system.execute_many([Stock("lamp", 10), Stock("desk", 10)])
    system.wait_applied()  # An eventual query may be answered before that.
    put_fault(monkeypatch, EventLog, "_commit", lambda: lmdb.DiskError("commit"), after=True)
    failed = put_fault(
        monkeypatch, storage.log.writable_log, "open_environment", lambda: StorageError("not now"), times=3
    )
    with pytest.raises(CommitUncertain):
        system.execute(ORDER, command_id="order")
    # The writer is away, the replicas are not.
    assert system.query(StockOf("lamp")) in (8, 10)
    receipt = system.execute(ORDER, command_id="order")
    assert failed() == 3
    assert (receipt.first, receipt.last) == (3, 5)
    assert system.position == 5
    check_receipt(receipt, check_all(system))


# -- a handler that dies ------------------------------------------------------------------
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("error", [Fault, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize(
    ("method", "after"),
    [
        ("_decide", True),
        ("_commit", False),
        ("_commit", True),
        ("_publish", False),
        ("_reply", False),
        ("_reply", True),
    ],
    ids=["decided", "before the commit", "committed", "before publishing", "before the replies", "replied"],
)
def test_a_handler_that_dies_leaves_its_batch_to_the_next_one(
    system: System, monkeypatch: Patch, method: str, after: bool, error: type[BaseException], times: int
) -> None:
    with batch_of(system) as futures:
        died = put_fault(
            monkeypatch,
            CommandHandler,
            method,
            error,
            after=after,
            times=times,
            only=lambda handler, *_: handler._log.head >= 3,
        )
    check_outcomes(system, futures)
    assert died()
    check_batch_done_once(system)
    assert system.position == 9


def test_a_handler_that_dies_in_the_middle_of_its_replies_gives_the_others_theirs(
    system: System, monkeypatch: Patch
) -> None:
    with batch_of(system) as futures:
        died = put_fault(
            monkeypatch, Submission, "settle", only=lambda submission, _: submission.command_id == "nothing"
        )
    check_outcomes(system, futures)
    assert died() == 1
    check_batch_done_once(system)


def test_a_handler_that_dies_in_the_middle_of_deciding_decides_all_of_it_again(
    system: System, monkeypatch: Patch
) -> None:
    with batch_of(system) as futures:
        died = put_fault(
            monkeypatch,
            Overlay,
            "outcome_of",
            only=lambda _overlay, submission: submission.command_id == "again",
        )
    check_outcomes(system, futures)
    assert died() == 1
    check_batch_done_once(system)


def test_whatever_is_raised_while_one_command_is_decided_fails_that_one_alone(
    system: System, monkeypatch: Patch
) -> None:
    with batch_of(system) as futures:
        failed = put_fault(
            monkeypatch, EventLog, "command", SystemExit, only=lambda _log, command_id: command_id == "again"
        )
    assert isinstance(outcome(futures.pop("again")), DeciderFailed)
    check_outcomes(system, futures)
    assert failed() == 1
    check_all(system)
    check_batch_done_once(system)


def test_commands_that_kill_every_handler_are_given_up_and_the_ones_behind_them_are_done(
    system: System, monkeypatch: Patch
) -> None:
    died = put_fault(
        monkeypatch,
        CommandHandler,
        "_commit",
        times=MAX_ATTEMPTS,
        only=lambda _handler, overlay: overlay.position,
    )
    with pytest.raises(CommitUncertain):
        system.execute(Increment("a"), command_id="poison")
    assert died() == MAX_ATTEMPTS
    assert system.position == 0
    assert system.execute(Increment("a"), command_id="poison").first == 1
    check_all(system)


def test_a_command_that_kills_every_handler_takes_none_of_its_batch_along(
    system: System, monkeypatch: Patch
) -> None:
    put_fault(
        monkeypatch,
        CommandHandler,
        "_decide",
        times=MAX_ATTEMPTS,
        only=lambda _handler, batch: any(one.command_id == "poison" for one in batch),
    )
    with held_batch(system, Increment("plug")):
        before, poison, behind = (
            system.submit(Increment("a"), command_id=name) for name in ("before", "poison", "behind")
        )
    assert isinstance(poison.exception(PATIENCE), CommitUncertain)
    assert [future.result(PATIENCE).version for future in (before, behind)] == [1, 2]
    assert system.execute(Increment("a"), command_id="poison").version == 3
    check_all(system)


def test_a_listener_that_raises_kills_no_actor(system: System, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_news: object) -> None:
        raise Fault

    heard: list[int] = []
    for listen in (system.on_committed, system.on_broadcast, system.on_applied):
        listen(broken)
    system.on_committed(lambda _first, last: heard.append(last))
    assert system.execute(Increment("a")).last == 1
    assert system.wait_applied() == 1
    assert heard == [1]
    assert not any(actor.restarts for actor in system.health().actors)
    assert "listener" in caplog.text


def test_a_bulk_whose_handler_dies_twice_is_answered_in_full(system: System, monkeypatch: Patch) -> None:
    died = put_fault(monkeypatch, CommandHandler, "_publish", times=2)
    receipts = system.execute_many([Increment("a") for _ in range(50)])
    assert died() >= 1
    assert [receipt.version for receipt in receipts] == list(range(1, 51))
    events = check_all(system)
    for receipt in receipts:
        check_receipt(receipt, events)


def test_closing_answers_what_a_dead_handler_had_in_hand(store_path: Path, monkeypatch: Patch) -> None:
    system = System.open(store_path, depot, replicas=1)
    try:
        monkeypatch.setattr(Supervisor, "_start_due", lambda self: None)
        put_fault(monkeypatch, CommandHandler, "_reply")
        committed = system.submit(Increment("a"), command_id="mine")
        wait_until(lambda: not inside.actor(system, "command-handler").alive)
        behind = system.submit(Increment("b"), command_id="behind")
    finally:
        system.close()
    assert isinstance(committed.exception(PATIENCE), CommitUncertain)
    assert isinstance(behind.exception(PATIENCE), SystemClosed)
    monkeypatch.undo()
    with System.open(store_path, depot, replicas=1) as again:
        assert again.position == 1
        assert again.execute(Increment("a"), command_id="mine").first == 1
        assert again.execute(Increment("b"), command_id="behind").first == 2


# -- the others die -----------------------------------------------------------------------
def execute_some(system: System, rounds: int = 20) -> None:
    for number in range(rounds):
        system.execute_many([Stock("lamp", 1), Increment("a"), Increment(f"c{number}")])


def test_sync_that_dies_with_positions_in_hand_loses_none(system: System, monkeypatch: Patch) -> None:
    died = put_fault(monkeypatch, Sync, "_send", times=5, only=lambda _sync, orders: bool(orders))
    execute_some(system)
    assert wait_until(died)
    check_all(system)


def test_sync_that_dies_after_telling_the_replicas_tells_them_nothing_twice(
    system: System, monkeypatch: Patch
) -> None:
    died = put_fault(monkeypatch, Sync, "_send", after=True, times=5, only=lambda _sync, orders: bool(orders))
    execute_some(system)
    assert wait_until(died)
    check_all(system)


@pytest.mark.parametrize(
    ("owner", "method", "after"),
    [
        (WriteTransaction, "set_checkpoint", False),
        (WriteTransaction, "set_checkpoint", True),
        (WriteTransaction, "flush", True),
        (ReadReplica, "_advance", False),
        (ReadReplica, "_advance", True),
        (Progress, "applied", False),
    ],
    ids=[
        "applied",
        "checkpoint noted",
        "before the commit",
        "before all",
        "after the commit",
        "not published",
    ],
)
def test_a_replica_that_dies_applying_goes_on_where_its_checkpoint_is(
    system: System, monkeypatch: Patch, owner: type, method: str, after: bool
) -> None:
    system.wait_applied()
    died = put_fault(monkeypatch, owner, method, after=after, times=4)
    execute_some(system)
    wait_until(died)
    check_all(system)
    restarts = {actor.name: actor.restarts for actor in system.health().actors}
    assert restarts["replica-1"] + restarts["replica-2"] >= 1


def test_a_replica_that_dies_catching_up_goes_on(store_path: Path, monkeypatch: Patch) -> None:
    with System.open(store_path, depot, replicas=1) as system:
        for _ in range(5):
            system.execute_many([Increment(f"c{number % 7}") for number in range(1000)])
    died = put_fault(monkeypatch, ReadReplica, "_catch_up", after=True, times=2)
    with System.open(store_path, depot, replicas=3) as system:
        wait_until(lambda: died() == 2)
        check_replicas(system, read_log(system))


@pytest.mark.parametrize("error", [Fault, SystemExit])
def test_a_query_whose_actor_dies_is_answered_with_an_error_and_the_next_one_with_a_result(
    system: System, monkeypatch: Patch, error: type[BaseException]
) -> None:
    system.execute(Stock("lamp", 7))
    died = put_fault(monkeypatch, QueryActor, "_answer_all", error)
    with pytest.raises(QueryFailed):
        system.query(StockOf("lamp"), consistency="strong")
    assert died() == 1
    for _ in range(4):
        assert system.query(StockOf("lamp"), consistency="strong") == 7


def test_an_actor_that_is_killed_again_and_again_comes_back_at_once(system: System) -> None:
    for _ in range(10):
        assert system.kill("replica-1", timeout=2)
    assert next(actor for actor in system.health().actors if actor.name == "replica-1").restarts == 10


def test_killing_every_actor_in_turn_under_load_loses_nothing(system: System) -> None:
    stop = threading.Event()
    receipts: list[Receipt] = []

    def work(worker: int) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            receipts.append(system.execute(Increment(f"w{worker}"), command_id=f"{worker}-{number}"))

    with Threads() as threads:
        try:
            for worker in range(4):
                threads.start(work, worker)
            for name in [actor.name for actor in system.health().actors if actor.name != "supervisor"] * 2:
                assert system.kill(name)
        finally:
            stop.set()
    events = read_log(system)
    check_log(events)
    assert len(events) == len(receipts)
    for receipt in receipts:
        check_receipt(receipt, events)
    check_replicas(system, events)

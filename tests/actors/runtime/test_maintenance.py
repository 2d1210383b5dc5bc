"""What the supervisor does at every tick, done here by the test alone: nobody else ticks in these systems."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, QueryTimeout, Rejected, System, ViewExpired
from actors.replication.messages import RetryStopped
from actors.runtime.maintenance import Maintenance
from storage import StoreFull
from tests import inside
from tests.faults import put_fault
from tests.helpers import PATIENCE, stop_process, wait_until
from tests.system import yard
from tests.system.held import Held

Patch = pytest.MonkeyPatch
Logs = pytest.LogCaptureFixture


class Gate:
    """What a rule of the shop waits for, once it is shut."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        assert self.opened.wait(PATIENCE)


class Shop:
    """A domain whose decider and query can be held, and whose projection can fail."""

    def __init__(self, version: int = 1) -> None:
        self.gate = Gate()
        self.broken = False
        self.domain = shop = Domain("maintained")

        @shop.state(stream="till-{till}")
        class Till:
            till: str

        @shop.event(Till, state=None)
        class Sold:
            till: str

        @shop.command(Till)
        class Sell:
            till: str
            waits: bool = False

        @shop.decide
        def sell(till: Till | None, command: Sell) -> Iterator[Any]:
            if command.waits:
                self.gate.wait()
            if command.till == "closed":
                raise Rejected("closed", code="closed")
            yield Sold(command.till)

        self.sales = shop.read_model("sales", version=version)
        self.rows = rows = self.sales.table("rows", key="position")

        @self.sales.on
        def on_sold(event: Sold, tables: Any, recorded: Any) -> None:
            if self.broken:
                raise RuntimeError("a bug in the projection")
            tables[rows].put({"position": recorded.position, "till": event.till})

        @shop.query(reads=[self.sales])
        class Count:
            waits: bool = False

            def run(query, view: Any) -> int:
                if query.waits:
                    self.gate.wait()
                return len(view[rows])

        self.Sell, self.Count = Sell, Count

    def opened(self, path: Path, **settings: Any) -> System:
        """A system of it that nobody maintains until `maintain` does."""
        return opened(path, self.domain, **settings)


def opened(path: Path, domain: Domain, **settings: Any) -> System:
    with Patch.context() as patch:
        patch.setattr(Maintenance, "run", lambda _maintenance: None)
        return System.open(path, domain, **{"replicas": 2, **settings})


def maintain(system: System) -> None:
    """One tick."""
    inside.maintenance(system).run()


class Clock:
    """The time as maintenance has it: as much later than it is as a test says, or what a test says."""

    def __init__(self) -> None:
        self.later = 0.0
        self.now: float | None = None

    def monotonic(self) -> float:
        return time.monotonic() + self.later if self.now is None else self.now


@pytest.fixture
def clock(monkeypatch: Patch) -> Clock:
    clock = Clock()
    for module in ("actors.runtime.maintenance", "actors.queries.local_replica"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.gate.opened.set()


@pytest.fixture
def system(store_path: Path, shop: Shop) -> Iterator[System]:
    with shop.opened(store_path) as opened:
        yield opened
        shop.gate.opened.set()


def errors(caplog: Logs, level: int = logging.ERROR) -> list[str]:
    """What was logged at this level."""
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def sent(monkeypatch: Patch, system: System, replica: str) -> list[type]:
    """The kinds of what is put into a replica's mailbox from now on."""
    mailbox, kinds = inside.actor(system, replica).mailbox, list[type]()
    put = mailbox.put
    monkeypatch.setattr(mailbox, "put", lambda one: (kinds.append(type(one)), put(one)))
    return kinds


def calls(monkeypatch: Patch, owner: Any, name: str) -> list[Any]:
    """What a method is given from now on."""
    original, given = getattr(owner, name), list[Any]()
    monkeypatch.setattr(owner, name, lambda *args: (given.append(args), original(*args))[1])
    return given


# -- what moves -----------------------------------------------------------------------------------
def test_each_tick_looks_at_what_moves(system: System) -> None:
    before = inside.monitor(system).unwatched()
    wait_until(lambda: inside.monitor(system).unwatched() > before + 0.05)
    lag = inside.monitor(system).unwatched()
    maintain(system)
    assert inside.monitor(system).unwatched() < lag


# -- views ----------------------------------------------------------------------------------------
def test_views_that_are_too_old_are_closed_and_told(store_path: Path, shop: Shop, caplog: Logs) -> None:
    with shop.opened(store_path, view_max_age=0.05) as system:
        old = [system.view(shop.sales) for _ in range(2)]
        time_of_old = time.monotonic()
        wait_until(lambda: time.monotonic() > time_of_old + 0.06)
        maintain(system)
        assert errors(caplog, logging.WARNING) == ["2 views were older than 0.05 s and are closed"]
        with pytest.raises(ViewExpired):
            len(old[0][shop.rows])


def test_views_that_are_young_stay_open_and_nothing_is_said(system: System, shop: Shop, caplog: Logs) -> None:
    with system.view(shop.sales) as view:
        maintain(system)
        assert len(view[shop.rows]) == 0
    assert errors(caplog, logging.WARNING) == []


# -- models that stopped --------------------------------------------------------------------------
def test_replicas_with_a_model_that_is_stopped_try_it_again_and_others_are_left_alone(
    system: System, shop: Shop, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 3600.0)
    first, second = (sent(monkeypatch, system, name) for name in system.replica_names)
    maintain(system)
    assert RetryStopped not in (*first, *second)
    [run, _] = inside.model_runs(system)
    monkeypatch.setattr(run, "failure", "a bug in the projection")
    maintain(system)
    assert first.count(RetryStopped) == 1
    assert RetryStopped not in second
    monkeypatch.setattr(run, "failure", None)


def test_a_stopped_model_goes_on_once_its_projection_is_mended(
    system: System, shop: Shop, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 0.0)
    shop.broken = True
    receipt = system.execute(shop.Sell("a"))
    wait_until(lambda: [one.stopped_at for one in models(system)] == [1, 1])
    shop.broken = False
    maintain(system)
    wait_until(lambda: [one.stopped_at for one in models(system)] == [None, None])
    assert system.query(shop.Count(), after=receipt) == 1


def test_a_build_that_is_stopped_is_tried_again_too(system: System, shop: Shop, monkeypatch: Patch) -> None:
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 3600.0)
    system.execute(shop.Sell("a"))
    system.wait_applied()
    shop.broken = True
    system.rebuild(shop.sales)
    wait_until(lambda: [one.state for one in system.rebuilds()] == ["stopped", "stopped"])
    kinds = [sent(monkeypatch, system, name) for name in system.replica_names]
    maintain(system)
    assert [RetryStopped in found for found in kinds] == [True, True]


def models(system: System) -> list[Any]:
    return [model for replica in system.health().replicas for model in replica.models]


# -- deciders that take long ----------------------------------------------------------------------
def test_replies_that_a_slow_decider_holds_up_are_given_and_its_commits_made_known(
    system: System, shop: Shop, clock: Clock, monkeypatch: Patch
) -> None:
    state = inside.writer_state(system)
    released, flushed = (
        calls(monkeypatch, state, "release_replies"),
        calls(monkeypatch, state.notifier, "flush_now"),
    )
    future = system.submit(shop.Sell("a", waits=True))
    assert shop.gate.entered.wait(PATIENCE)
    del released[:], flushed[:]
    _, _, since = wait_until(lambda: state.activity)
    clock.now = since + 0.019
    maintain(system)
    assert (released, flushed) == ([], [])
    clock.now = since + 0.021
    maintain(system)
    assert (released, flushed) == ([()], [()])
    shop.gate.opened.set()
    future.result(PATIENCE)


def test_nothing_is_released_while_nothing_is_decided(
    system: System, clock: Clock, monkeypatch: Patch
) -> None:
    released = calls(monkeypatch, inside.writer_state(system), "release_replies")
    clock.later = 3600.0
    maintain(system)
    assert released == []


def test_a_decider_that_hangs_is_told_once_and_the_next_one_again(
    system: System, shop: Shop, clock: Clock, caplog: Logs
) -> None:
    for till in ("a", "b"):
        shop.gate.__init__()  # type: ignore[misc]
        caplog.clear()
        clock.later = 0.0
        future = system.submit(shop.Sell(till, waits=True))
        assert shop.gate.entered.wait(PATIENCE)
        maintain(system)
        assert errors(caplog) == []
        clock.later = 3600.0
        maintain(system)
        maintain(system)
        [error] = errors(caplog)
        assert error.startswith(f"Sell on stream 'till-{till}' has been deciding for more than 5 s; ")
        shop.gate.opened.set()
        future.result(PATIENCE)


# -- queries that take long -----------------------------------------------------------------------
def test_a_replica_whose_query_actors_are_all_held_up_is_passed_over_until_they_are_not(
    system: System, shop: Shop, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("actors.queries.query_dispatcher.OCCUPIED_AFTER", 0.0)
    maintain(system)
    assert set(inside.progress(system).occupied) == set()

    def is_held_up() -> bool:
        # On a busy machine a query may be too late before an actor takes it.
        with pytest.raises(QueryTimeout):
            system.query(shop.Count(waits=True), timeout=0.01)
        return shop.gate.entered.wait(1.0)

    wait_until(is_held_up)
    maintain(system)
    [occupied] = inside.progress(system).occupied
    assert occupied in system.replica_names
    monkeypatch.setattr("actors.queries.query_dispatcher.OCCUPIED_AFTER", 3600.0)
    maintain(system)
    assert set(inside.progress(system).occupied) == set()


# -- consumers ------------------------------------------------------------------------------------
def test_answers_that_could_not_be_stored_are_stored_at_a_later_tick(
    system: System, shop: Shop, monkeypatch: Patch
) -> None:
    monkeypatch.setattr("actors.subscriptions.coalescing_writer.RETRY_FIRST", 0.0)
    system.execute(shop.Sell("a"))
    delivery = next(system.consumer("mailer"))
    with monkeypatch.context() as full:
        # Each time: a write may fail before the call waits for it, which then begins another.
        put_fault(full, inside.log(system), "append", lambda: StoreFull("full"), times=sys.maxsize)
        with pytest.raises(StoreFull):
            delivery.ack(wait=True)
        assert [one.unstored for one in system.consumers()] == [1]
    wait_until(lambda: (maintain(system), not system.consumers()[0].unstored)[1])


# -- readers of processes that are gone -----------------------------------------------------------
def test_slots_of_dead_readers_are_looked_for_once_a_minute(
    system: System, clock: Clock, monkeypatch: Patch
) -> None:
    checked = calls(monkeypatch, inside.log(system), "reader_check")
    maintain(system)
    assert checked == []
    clock.later = 61.0
    maintain(system)
    maintain(system)
    assert len(checked) == 1
    clock.later = 122.0
    maintain(system)
    assert len(checked) == 2


# -- files that are gone --------------------------------------------------------------------------
def test_a_replica_whose_files_are_gone_is_begun_anew_once_and_the_others_are_not(
    system: System, shop: Shop, clock: Clock, caplog: Logs
) -> None:
    receipt = system.execute(shop.Sell("a"))
    system.wait_applied()
    shutil.rmtree(Path(system.path) / "replicas" / "replica-1")
    maintain(system)
    assert reasons(system) == [None, None]  # Not looked for at every tick.
    clock.later = 1.1
    maintain(system)
    [error] = errors(caplog)
    assert error.startswith("replica-1 is reset and filled from the log again: ")
    assert "removed while it was in use" in error
    wait_until(lambda: not any(one.excluded for one in system.health().replicas))
    clock.later = 2.2
    maintain(system)
    assert errors(caplog) == [error]
    assert reasons(system)[1] is None
    assert system.query(shop.Count(), after=receipt) == 1


def test_a_replica_that_is_known_to_be_no_good_is_not_looked_at(
    system: System, clock: Clock, monkeypatch: Patch
) -> None:
    looked = [calls(monkeypatch, inside.slot(system, name), "missing") for name in system.replica_names]
    held = Held(monkeypatch)
    held.hold("replica-2")
    inside.mark_damaged(system, "replica-2", "it is damaged")
    clock.later = 1.1
    maintain(system)
    assert [len(one) for one in looked] == [1, 0]
    held.release()


def reasons(system: System) -> list[str | None]:
    return [one.reset_reason for one in system.health().replicas]


# -- the log --------------------------------------------------------------------------------------
@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_log_whose_file_is_another_is_told_once_and_stays_a_problem(
    store_path: Path, shop: Shop, clock: Clock, caplog: Logs, replaced: bool
) -> None:
    with shop.opened(store_path) as system:
        clock.later = 1.1
        maintain(system)
        assert (inside.log_file(system).gone, inside.log_file(system).moved) == (None, None)
        (store_path / "data.mdb").rename(store_path / "elsewhere")
        if replaced:
            shutil.copy(store_path / "elsewhere", store_path / "data.mdb")
        maintain(system)
        assert inside.log_file(system).gone is None  # Not looked for at every tick.
        for later in (2.2, 3.3):
            clock.later = later
            maintain(system)
        [told] = errors(caplog, logging.CRITICAL)
        what = "replaced" if replaced else "removed"
        assert told.startswith(f"the log in {store_path} was {what} while it was in use: what is committed ")
        assert inside.log_file(system).gone == told
        assert told in system.health().problems
        assert inside.log_file(system).moved is None


def test_a_store_that_was_moved_is_told_once_and_no_more_once_it_is_back(
    store_path: Path, shop: Shop, clock: Clock, caplog: Logs
) -> None:
    with shop.opened(store_path) as system:
        for later in (1.1, 6.6):
            store_path.rename(store_path.with_name("moved"))
            caplog.clear()
            for offset in (0.0, 1.1):
                clock.later = later + offset
                maintain(system)
            [told] = errors(caplog)
            assert inside.log_file(system).moved == told
            assert told in system.health().problems
            store_path.with_name("moved").rename(store_path)
            clock.later = later + 2.2
            maintain(system)
            assert inside.log_file(system).moved is None
        assert inside.log_file(system).gone is None
        assert reasons(system) == [None, None]


@pytest.mark.kill
# -- worker processes -----------------------------------------------------------------------------
def test_a_worker_process_that_does_not_answer_is_passed_over_until_it_does(store_path: Path) -> None:
    with opened(store_path, yard.yard, workers="process", worker_limit=3.0) as system:
        pid = inside.worker_pids(system)["replica-2"]
        stop_process(pid)
        try:
            wait_until(lambda: (maintain(system), set(inside.progress(system).occupied))[1] == {"replica-2"})
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: (maintain(system), set(inside.progress(system).occupied))[1] == set())

"""A writer with `max_lag_before_wait=` does not outrun its replicas, and waits for nobody in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, Overloaded, System
from tests import inside
from tests.helpers import PATIENCE, Threads, wait_until

LIMIT = 20


class Slow:
    """A domain with a projection that applies an event for each permit, and a process manager."""

    def __init__(self) -> None:
        self.domain = domain = Domain("slow")
        self.permits = threading.Semaphore(0)
        self.open = threading.Event()
        self.broken_at = 0

        @domain.state(stream="till-{till}")
        class Till:
            till: str

        @domain.event(Till, state=None)
        class Sold:
            till: str

        @domain.event(Till, state=None)
        class Checked:
            till: str

        @domain.command(Till)
        class Sell:
            till: str
            count: int = 1

        @domain.command(Till)
        class Check:
            till: str

        @domain.decide
        def sell(_till: Till | None, command: Sell) -> Any:
            for _ in range(command.count):
                yield Sold(command.till)

        @domain.decide
        def check(_till: Till | None, command: Check) -> Any:
            yield Checked(command.till)

        self.sales = sales = domain.read_model("sales")
        table = sales.table("tills", key="till")

        @sales.on
        def on_sold(event: Sold, tables: Any) -> None:
            if self.broken_at:
                raise ValueError("broken")
            if not self.open.is_set():
                assert self.permits.acquire(timeout=PATIENCE)
            row = tables[table].get(event.till) or {"till": event.till, "sold": 0}
            tables[table].put({**row, "sold": row["sold"] + 1})

        self.Sell, self.Check, self.Checked, self.Sold = Sell, Check, Checked, Sold

    def opened(self, path: Path, **settings: Any) -> System:
        return System.open(path, self.domain, replicas=1, max_lag_before_wait=LIMIT, **settings)


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.open.set()
    slow.permits.release(10_000)


def lag(system: System) -> int:
    return system.position - min(model.applied for model in system.health().replicas[0].models)


def test_callers_wait_for_a_slow_projection_and_go_on_with_it(store_path: Path, slow: Slow) -> None:
    with slow.opened(store_path) as system, Threads() as threads:
        for _ in range(LIMIT):
            system.execute(slow.Sell("a"))
        with pytest.raises(
            Overloaded, match="held back because model sales on replica-1 is 20 events behind"
        ):
            system.execute(slow.Sell("a"), timeout=0.05)
        with pytest.raises(Overloaded, match="max_lag_before_wait is 20"):
            system.submit(slow.Sell("a"), timeout=0)
        with pytest.raises(Overloaded):
            system.append("till-a", [slow.Sold("a")], timeout=0.05)
        with pytest.raises(Overloaded):
            system.execute_many([slow.Sell("a")], timeout=0.05)
        with pytest.raises(Overloaded, match="held back"):
            asyncio.run(system.aexecute(slow.Sell("a"), timeout=0.05))
        assert system.position == LIMIT
        held = system.health().writer.held_back
        assert held is not None
        assert (held.replica, held.model, held.behind) == ("replica-1", "sales", LIMIT)
        done = threading.Event()
        most = []

        def run() -> None:
            for _ in range(100):
                system.execute(slow.Sell("a"), timeout=PATIENCE)
                most.append(lag(system))
            asyncio.run(system.aexecute(slow.Sell("a"), timeout=PATIENCE))
            done.set()

        threads.start(run)
        while not done.wait(0.001):
            slow.permits.release(10)
        assert max(most) <= LIMIT + 1
        slow.open.set()
        slow.permits.release(1000)
        system.wait_applied(timeout=PATIENCE)
        wait_until(lambda: system.health().writer.held_back is None)
        assert system.health().status == "ok"


def test_commands_that_wait_in_the_mailbox_count_as_well(store_path: Path, slow: Slow) -> None:
    with slow.opened(store_path) as system, Threads() as threads:
        for _ in range(4):
            threads.start(lambda: [system.submit(slow.Sell("a"), timeout=PATIENCE) for _ in range(60)])
        deadline = time.monotonic() + PATIENCE
        while system.position < 240 and time.monotonic() < deadline:
            assert (
                system.position - inside.progress(system).replicas["replica-1"]["sales"].applied <= 3 * LIMIT
            )
            slow.permits.release(5)
        assert system.position == 240
        slow.open.set()
        slow.permits.release(1000)


def test_a_stopped_model_and_one_that_is_being_filled_hold_nobody_up(store_path: Path, slow: Slow) -> None:
    with slow.opened(store_path) as system:
        slow.broken_at = 1
        for _ in range(2 * LIMIT):
            system.execute(slow.Sell("a"), timeout=PATIENCE)
        wait_until(lambda: system.health().replicas[0].models[0].stopped_at is not None)
        for _ in range(2 * LIMIT):
            system.execute(slow.Sell("a"), timeout=PATIENCE)
        assert system.health().replicas[0].models[0].stopped_at is not None
    slow.broken_at = 0
    # It has 80 events to catch up with, of which it has none.
    with slow.opened(store_path) as system:
        for _ in range(2 * LIMIT):
            system.execute(slow.Sell("a"), timeout=PATIENCE)
        assert system.health().writer.held_back is None
        slow.open.set()
        slow.permits.release(1000)
        system.wait_applied(timeout=PATIENCE)


def test_a_replica_that_is_reset_and_one_that_stands_still_hold_nobody_up(
    store_path: Path, slow: Slow
) -> None:
    with slow.opened(store_path, busy_limit=0.2) as system:
        for _ in range(LIMIT):
            system.execute(slow.Sell("a"))
        # Its projection does not return: after `busy_limit` nobody waits any more.
        for _ in range(LIMIT):
            system.execute(slow.Sell("a"), timeout=PATIENCE)
        slow.permits.release(1)
        assert inside.mark_damaged(system, "replica-1", "in this test")
        slow.permits.release(2 * LIMIT)
        for _ in range(LIMIT):
            system.execute(slow.Sell("a"), timeout=PATIENCE)
        slow.open.set()
        slow.permits.release(1000)
        system.wait_applied(timeout=PATIENCE)


def test_what_process_managers_do_goes_on_while_callers_wait(store_path: Path, slow: Slow) -> None:
    manager = slow.domain.process_manager("checks", key="till", start="beginning")

    @manager.state
    class Checks:
        till: str

    @manager.on(slow.Sold)
    def on_sold(_state: Any, event: Any, do: Any) -> Checks:
        do.execute(slow.Check(event.till))
        return Checks(event.till)

    with slow.opened(store_path) as system:
        system.execute(slow.Sell("a", LIMIT))
        with pytest.raises(Overloaded):
            system.execute(slow.Sell("a"), timeout=0)
        system.wait_process_managers(timeout=PATIENCE)
        assert system.streams() == [("till-a", 2 * LIMIT)]
        assert system.health().writer.held_back is not None
        slow.open.set()
        slow.permits.release(1000)


@pytest.mark.parametrize("bound", [0, -1, True, 1.5, "many"])
def test_a_bound_that_is_none_is_refused(store_path: Path, slow: Slow, bound: Any) -> None:
    with pytest.raises(ValueError, match="max_lag_before_wait="):
        System.open(store_path, slow.domain, max_lag_before_wait=bound)

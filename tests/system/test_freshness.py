"""How fresh answers are: right after opening, with replicas that stand still, and where one says what is not
so.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import ConsistencyTimeout, Domain, System
from actors.queries.query_job import QueryJob
from actors.replication.progress import Progress
from actors.replication.read_replica import ReadReplica
from actors.writer import commit_notifier
from tests import inside
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.checks import check_all
from tests.system.depot import EntryCount, Increment, TotalOf, counters, depot, tally
from tests.system.held import Held

LEVELS: dict[str, dict[str, Any]] = {
    "strong": {"consistency": "strong"},
    "after a position": {"after": 3},
    "no positions behind": {"max_lag": 0},
    "no time behind": {"max_lag": 0.0},
    "no time behind, as a timedelta": {"max_lag": timedelta()},
    "the strictest of several": {"consistency": "eventual", "after": 1, "max_lag": 0},
}


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.release()


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_who_waits_for_replicas_does_not_wait_for_news_that_a_busy_writer_holds_back(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, workers: Any
) -> None:
    # With a writer that takes every caller for a quick one, nothing else would tell the replicas.
    monkeypatch.setattr(commit_notifier, "QUICK_SECONDS", 10 * PATIENCE)
    monkeypatch.setattr(commit_notifier, "LINGER_SECONDS", 10 * PATIENCE)
    with System.open(store_path, depot, replicas=2, workers=workers, replication_interval=60) as system:
        for number in range(1, 4):
            receipt = system.execute(Increment("a"))
            assert system.query(TotalOf("a"), after=receipt, timeout=PATIENCE) == number
        system.execute(Increment("a"))
        assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 4
        system.execute(Increment("a"))
        assert system.wait_applied(timeout=PATIENCE) == 5
        system.execute(Increment("a"))
        with system.view(tally, consistency="strong", timeout=PATIENCE) as view:
            assert view.position() == 6


def test_right_after_opening_no_answer_is_older_than_the_log_was(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with System.open(store_path, depot, replicas=3) as system:
        system.execute_many([Increment("a") for _ in range(5)])
        system.wait_applied()
    for name in ("replica-1", "replica-3"):
        shutil.rmtree(store_path / "replicas" / name)
    release = threading.Event()
    original = ReadReplica.on_start

    def late(self: ReadReplica) -> None:
        assert release.wait(PATIENCE)
        original(self)

    monkeypatch.setattr(ReadReplica, "on_start", late)
    with System.open(store_path, depot, replicas=3) as system:
        try:
            for _ in range(6):
                assert system.query(TotalOf("a")) == 5
                with system.view(tally) as view:
                    assert view.replica == "replica-2"
                    assert view[counters].get("a") == {"name": "a", "total": 5}
            # A newer event that nobody has yet does not make the empty ones as good.
            system.execute(Increment("a"))
            assert [system.query(TotalOf("a")) for _ in range(6)] == [5] * 6
        finally:
            release.set()
        assert system.query(TotalOf("a"), consistency="strong") == 6
        system.wait_applied()
        asked: set[str] = set()

        def all_asked() -> bool:
            with system.view(tally) as view:
                asked.add(view.replica)
            return len(asked) == 3

        wait_until(all_asked)
        check_all(system)


# -- what can't be met is an error ------------------------------------------------------------
@pytest.mark.parametrize("level", LEVELS)
def test_while_replicas_stand_still_no_level_gets_a_stale_answer_and_eventual_gets_one(
    store_path: Path, held: Held, level: str
) -> None:
    asked = LEVELS[level]
    with System.open(store_path, depot, replicas=2) as system:
        held.hold("replica-1", "replica-2")
        system.execute_many([Increment("a") for _ in range(3)])
        assert system.query(TotalOf("a")) == 0
        assert system.query(TotalOf("a"), max_lag=3) == 0
        assert system.query(TotalOf("a"), max_lag=3600.0) == 0
        for ask in (
            lambda: system.query(TotalOf("a"), timeout=0.05, **asked),
            lambda: system.query_many([TotalOf("a"), EntryCount()], timeout=0.05, **asked),
            lambda: asyncio.run(system.aquery(TotalOf("a"), timeout=0.05, **asked)),
            lambda: asyncio.run(system.aquery_many([TotalOf("a")], timeout=0.05, **asked)),
            lambda: system.view(tally, timeout=0.05, **asked),
        ):
            with pytest.raises(ConsistencyTimeout, match="no stale answer was given"):
                ask()
        held.release()
        assert system.query(TotalOf("a"), **asked) == 3


def test_a_replica_that_stands_still_is_passed_over_by_those_who_ask_for_more(
    store_path: Path, held: Held
) -> None:
    with System.open(store_path, depot, replicas=2) as system:
        held.hold("replica-1")
        receipt = system.execute(Increment("a"))
        assert [system.query(TotalOf("a"), after=receipt) for _ in range(6)] == [1] * 6
        for _ in range(4):
            with system.view(tally, max_lag=0) as view:
                assert view.replica == "replica-2"
        held.release()


def test_a_model_that_was_declared_later_is_behind_until_it_has_the_log(store_path: Path, held: Held) -> None:
    def visits(*, counting: bool) -> tuple[Domain, Any, Any]:
        domain = Domain("visits")

        @domain.event(state=None)
        class Visited:
            page: str

        first = domain.read_model("first")
        first.table("rows", key="page")
        if not counting:
            return domain, Visited, None
        second = domain.read_model("second")
        rows = second.table("rows", key="position")

        @second.on(Visited)
        def on_visited(event, tables, recorded):
            tables[rows].put({"position": recorded.position})

        @domain.query(reads=[first, second])
        class Count:
            def run(self, view):
                return len(view[rows])

        return domain, Visited, Count

    domain, visited, _ = visits(counting=False)
    with System.open(store_path, domain, replicas=1) as system:
        system.append("visits", [visited("home"), visited("news"), visited("home")])
        system.wait_applied()
    domain, _, count = visits(counting=True)
    held.hold("replica-1")
    with System.open(store_path, domain, replicas=1) as system:
        for asked in LEVELS.values():
            with pytest.raises(ConsistencyTimeout):
                system.query(count(), timeout=0.05, **asked)
        held.release()
        assert system.query(count(), consistency="strong") == 3


def test_a_replica_that_has_less_than_it_said_is_found_out_at_its_snapshot(
    store_path: Path, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    with System.open(store_path, depot, replicas=2) as system:
        held.hold("replica-1")
        receipt = system.execute(Increment("a"))
        system.query(TotalOf("a"), after=receipt)
        progress = inside.progress(system)
        # As if it had been begun anew between the choice of a replica and its snapshot.
        for entry in progress.replicas["replica-1"].values():
            entry.applied = receipt.position
        for _ in range(6):
            assert system.query(TotalOf("a"), after=receipt) == 1
            assert asyncio.run(system.aquery(TotalOf("a"), consistency="strong")) == 1
            with system.view(tally, after=receipt) as view:
                assert view.replica == "replica-2"
        held.release()


# -- those who give up ------------------------------------------------------------------------
def test_who_gives_up_waiting_for_a_replica_leaves_nothing_behind(store_path: Path, held: Held) -> None:
    with System.open(store_path, depot, replicas=2) as system:
        progress: Progress = inside.progress(system)

        async def given_up() -> None:
            task = asyncio.create_task(system.aquery(TotalOf("a"), after=5, timeout=PATIENCE))
            async with asyncio.timeout(PATIENCE):
                while not progress._waiters:
                    await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(given_up())
        assert not progress._waiters
        for ask in (
            lambda: system.query(TotalOf("a"), after=5, timeout=0.02),
            lambda: system.view(tally, after=5, timeout=0.02),
            lambda: system.session(5).query_many([TotalOf("a")], timeout=0.02),
        ):
            with pytest.raises(ConsistencyTimeout):
                ask()
        assert not progress._waiters


def test_ctrl_c_while_waiting_for_a_replica_leaves_nothing_behind(store_path: Path, held: Held) -> None:
    with System.open(store_path, depot, replicas=2) as system:
        progress: Progress = inside.progress(system)
        waiting = threading.get_ident()

        def interrupt() -> None:
            wait_until(lambda: progress._waiters)
            signal.pthread_kill(waiting, signal.SIGINT)

        for ask in (
            lambda: system.query(TotalOf("a"), after=5, timeout=PATIENCE),
            lambda: system.view(tally, after=5, timeout=PATIENCE),
        ):
            with Threads() as threads:
                threads.start(interrupt)
                with pytest.raises(KeyboardInterrupt):
                    ask()
            assert not progress._waiters


@pytest.mark.parametrize("ask", ["query", "aquery"])
def test_a_query_that_a_replica_sent_on_says_that_none_is_fresh_and_waits_no_longer(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    sent_on: list[QueryJob] = []
    with System.open(store_path, depot, replicas=1) as system:
        system.execute(Increment("a"))
        system.wait_applied()

        def unfit(job: QueryJob, _floor: int) -> bool:
            sent_on.append(job)
            return True

        monkeypatch.setattr(QueryJob, "unfit", unfit)
        # After the first replica that seemed to be fresh there is none.
        monkeypatch.setattr(Progress, "fresh", lambda *_: [] if sent_on else ["replica-1"])
        monkeypatch.setattr(Progress, "_fresh", lambda *_: [])
        monkeypatch.setattr(Progress, "most_advanced", lambda *_: [])
        asking = {
            "query": lambda: system.query(TotalOf("a"), timeout=0.2),
            "aquery": lambda: asyncio.run(system.aquery(TotalOf("a"), timeout=0.2)),
        }[ask]
        with pytest.raises(ConsistencyTimeout):
            asking()
        assert len(sent_on) == 1
        assert not inside.waiters(system)
        monkeypatch.undo()
        assert system.query(TotalOf("a")) == 1

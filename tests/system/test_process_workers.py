"""Replicas in worker processes answer as those in threads do, and their deaths are nobody's loss."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import (
    ConsistencyTimeout,
    DomainError,
    ForeignToken,
    QueryFailed,
    QueryTimeout,
    StorageError,
    System,
    SystemClosed,
    UnknownName,
    ViewExpired,
)
from tests import forked_workers, inside
from tests.helpers import PATIENCE, Threads, stop_process, wait_until
from tests.inside import worker_pids
from tests.system import yard
from tests.system.yard import (
    Break,
    Count,
    Die,
    Hang,
    Heard,
    Kept,
    KeptTotalOf,
    Large,
    Odd,
    Position,
    Refuse,
    Seen,
    TooFew,
    TotalOf,
    Totals,
)


def gone(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not looked at."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, yard.yard, replicas=2, workers="process") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One for tests that only ask, and count what no other test counts."""
    store = tmp_path_factory.mktemp("shared") / "store"
    with forked_workers.started(), System.open(store, yard.yard, replicas=2, workers="process") as opened:
        yield opened


# -- the same answers ------------------------------------------------------------------------
def test_every_query_runs_in_a_process_that_is_not_this_one(shared: System) -> None:
    shared.execute(Count("asked"))
    shared.wait_applied()
    where: set[int] = set()

    def ask() -> None:
        while len(where) < 2:
            where.add(shared.query(Position(20), consistency="strong")[2])

    with Threads() as threads:
        for _ in range(4):
            threads.start(ask)
    assert where == set(worker_pids(shared).values())
    assert os.getpid() not in where


def test_every_consistency_level_is_kept(system: System) -> None:
    for number in range(1, 30):
        receipt = system.execute(Count("a"))
        assert system.query(TotalOf("a"), after=receipt) == number
        assert system.query(TotalOf("a"), consistency="strong") == number
        assert system.query_at(TotalOf("a"), max_lag=0) == (number, number)
        assert number - 2 <= system.query(TotalOf("a"), max_lag=2) <= number
        assert system.query(TotalOf("a"), max_lag=60.0) <= number
        assert 0 <= system.query(TotalOf("a")) <= number
    with pytest.raises(ConsistencyTimeout):
        system.query(TotalOf("a"), after=1000, timeout=0.05)


def test_a_session_reads_its_own_writes_and_never_goes_back(shared: System) -> None:
    with Threads() as threads:

        def work(name: str) -> None:
            session = shared.session()
            last = 0
            for number in range(1, 40):
                session.execute(Count(name))
                assert session.query(TotalOf(name)) == number
                now = session.query(Position())[0]
                assert now >= last
                last = now
            assert shared.session(session.token).query(TotalOf(name)) == 39

        for number in range(4):
            threads.start(work, f"session-{number}")


def test_a_foreign_token_is_recognised(shared: System, tmp_path: Path) -> None:
    with System.open(tmp_path / "other", yard.yard, replicas=1) as other:
        other.execute(Count("a"))
        token = other.session(other.position).token
    with pytest.raises(ForeignToken):
        shared.session(token)


@pytest.mark.usefixtures("started_workers")
def test_all_engines_answer_and_a_projection_may_print(
    capfd: pytest.CaptureFixture[str], store_path: Path
) -> None:
    with System.open(store_path, yard.yard, replicas=2, workers="process") as system:
        system.execute_many([Count(f"thing-{number % 3}") for number in range(30)])
        assert system.query(Heard(), consistency="strong") == 30
        assert system.query(Kept(), consistency="strong") == {f"thing-{number}": 10 for number in range(3)}
        assert system.query(Totals(), consistency="strong") == system.query(Kept(), consistency="strong")
        assert system.query(Seen(), consistency="strong") == ["thing-0", "thing-1", "thing-2"]
    assert capfd.readouterr().out.count("heard thing-1") == 20


async def _all_at_once(system: System, count: int) -> list[int]:
    import asyncio

    return await asyncio.gather(*(system.aquery(TotalOf("many"), consistency="strong") for _ in range(count)))


def test_many_threads_and_tasks_ask_at_once(shared: System) -> None:
    import asyncio

    shared.execute(Count("many", 5))
    with Threads() as threads:
        for _ in range(8):
            threads.start(lambda: [shared.query(TotalOf("many"), consistency="strong") for _ in range(50)])
        assert asyncio.run(_all_at_once(shared, 200)) == [5] * 200


def test_an_error_comes_back_as_what_it_was(shared: System) -> None:
    with pytest.raises(QueryFailed, match="Break failed with LookupError") as failed:
        shared.query(Break())
    cause = failed.value.__cause__
    assert type(cause) is LookupError
    assert cause.args == ("no such shelf", 7)
    assert any("yard.py" in note for note in cause.__notes__)
    with pytest.raises(TooFew, match="only three") as refused:
        shared.query(Refuse())
    assert (refused.value.code, refused.value.details) == ("too.few", {"left": 3})


def test_a_result_that_has_no_encoding_says_so(shared: System) -> None:
    with pytest.raises(QueryFailed, match=r"result of query Odd can't be sent.*\['rows'\].*return") as failed:
        shared.query(Odd())
    assert 'workers="thread"' in str(failed.value)


def test_a_query_that_hangs_holds_up_nobody_else(system: System, tmp_path: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    system.execute(Count("a"))
    system.wait_applied()
    with pytest.raises(QueryTimeout):
        system.query(Hang(fifo), timeout=0.05)
    wait_until(lambda: inside.progress(system).occupied)
    for _ in range(10):
        assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 1
    Path(fifo).write_text("go on")
    wait_until(lambda: not inside.progress(system).occupied)


def test_queries_of_many_are_answered_at_one_position_while_the_writer_goes_on(system: System) -> None:
    done = False

    def write() -> None:
        while not done:
            system.execute(Count("a"))

    with Threads() as threads:
        threads.start(write)
        workers = set()
        for _ in range(30):
            shown = system.query_many([Position(20) for _ in range(60)])
            assert len({(position, total) for position, total, _ in shown}) == 1
            assert all(position == total for position, total, _ in shown)
        done = True
    system.wait_applied()
    for _ in range(40):
        workers |= {worker for _, _, worker in system.query_many([Position(200) for _ in range(60)])}
        if len(workers) > 1:
            break
    if (os.cpu_count() or 1) > 1:
        assert len(workers) > 1, "they were never shared out"


def test_large_results_and_many_query_actors_go_through_the_same_lines(store_path: Path) -> None:
    with System.open(store_path, yard.yard, replicas=2, query_actors=3, workers="process") as system:
        assert len([one for one in system.health().actors if ".query-" in one.name]) == 6
        with Threads() as threads:
            for size in range(8):
                threads.start(
                    lambda size=size: [
                        len(system.query(Large(size << 20), timeout=PATIENCE)) == size << 20
                        or pytest.fail("it was cut")
                        for _ in range(3)
                    ]
                )
        replicas = system.health().replicas
        assert sum(one.queries_served for one in replicas) == 24


def test_results_are_cached_in_each_worker(system: System) -> None:
    system.execute(Count("a", 3))
    for _ in range(10):
        assert system.query(KeptTotalOf("a"), consistency="strong") == 3
    cache = wait_until(lambda: (found := system.health().cache) and found.hits >= 8 and found)
    assert cache.entries <= 2
    system.execute(Count("a", 1))
    assert system.query(KeptTotalOf("a"), consistency="strong") == 4


def test_a_view_reads_what_a_worker_applied(system: System) -> None:
    system.execute(Count("a", 3))
    with system.view(yard.counts, yard.noisy, consistency="strong") as view:
        assert view[yard.totals].get("a") == {"name": "a", "total": 3}
        system.execute(Count("a", 1))
        system.wait_applied()
        assert view[yard.totals].get("a") == {"name": "a", "total": 3}
        assert view.position() == 1
    with pytest.raises(ViewExpired):
        view[yard.totals].get("a")
    with pytest.raises(StorageError, match="memory"):
        system.view(yard.memory)


def test_a_watched_query_gives_every_result(system: System) -> None:
    with system.watch(TotalOf("a"), until=3) as watch:
        shown = [next(watch)]
        for _ in range(3):
            system.execute(Count("a"))
            shown.append(next(watch))
    assert shown == [0, 1, 2, 3]


def test_dumps_of_all_replicas_are_the_same(shared: System) -> None:
    shared.execute_many([Count(f"thing-{number % 3}") for number in range(30)])
    shared.wait_applied()
    for model in (yard.counts, yard.noisy, yard.memory, yard.fragile):
        first, second = (shared.dump(name, model) for name in shared.replica_names)
        assert first == second
        assert first
    with pytest.raises(UnknownName):
        shared.dump("replica-9", yard.counts)


def test_listeners_hear_what_was_applied_and_when(system: System) -> None:
    heard: dict[str, int] = {}
    lags: list[float] = []

    def applied(name: str, position: int, lag: float) -> None:
        assert position > heard.get(name, 0)
        heard[name] = position
        lags.append(lag)

    system.on_applied(applied)
    for _ in range(20):
        system.execute(Count("a"))
    wait_until(lambda: heard == {"replica-1": 20, "replica-2": 20})
    assert all(0 <= lag < PATIENCE for lag in lags)


@pytest.mark.kill
# -- deaths ----------------------------------------------------------------------------------
@pytest.mark.usefixtures("started_workers")
def test_a_killed_worker_comes_back_and_no_query_fails(system: System) -> None:
    done = False
    answered = [0]

    def write() -> None:
        while not done:
            system.execute(Count("a"))

    def ask() -> None:
        last = 0
        while not done:
            now = system.query(TotalOf("a"), after=last, timeout=PATIENCE)
            assert now >= last
            last = now
            answered[0] += 1

    with Threads() as threads:
        threads.start(write)
        for _ in range(4):
            threads.start(ask)
        for name in system.replica_names * 2:
            before = answered[0]
            wait_until(lambda before=before: answered[0] > before + 50 or threads.failed())
            killed = worker_pids(system)[name]
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda name=name, killed=killed: worker_pids(system).get(name, killed) != killed)
            wait_until(lambda name=name: system.health().status == "ok" or threads.failed())
        done = True
    system.wait_applied()
    assert system.dump("replica-1", yard.counts) == system.dump("replica-2", yard.counts)
    actors = {actor.name: actor for actor in system.health().actors}
    assert all(actors[name].restarts == 2 for name in system.replica_names)
    assert "SIGKILL" in str(actors["replica-1"].last_error)


@pytest.mark.kill
def test_the_slots_of_readers_that_were_killed_are_free_again(system: System) -> None:
    log = inside.log(system)
    system.execute(Count("a"))
    for number in range(6):
        os.kill(worker_pids(system)["replica-1"], signal.SIGKILL)
        wait_until(lambda number=number: system.health().actors[0].restarts > number)
        system.wait_applied(timeout=PATIENCE)
    assert log.reader_check() == 0
    # One of the writer's, and those of the threads of two workers that read.
    assert log.stats()["readers"] < 2 + 2 * 3


@pytest.mark.kill
def test_a_query_that_kills_its_worker_is_not_given_to_one_after_another(
    system: System, tmp_path: Path
) -> None:
    file = tmp_path / "deadly"
    file.touch()
    with pytest.raises(QueryFailed, match=r"Die was given to 3 worker processes.*SIGKILL"):
        system.query(Die(str(file)), timeout=PATIENCE)
    file.unlink()
    assert system.query(Die(str(file)), timeout=PATIENCE) == "alive"


@pytest.mark.kill
def test_the_actors_can_be_killed_by_name(system: System) -> None:
    system.execute(Count("a"))
    for name in ("replica-1", "replica-1.query-1", "replica-2.query-1", "sync"):
        assert system.kill(name)
        assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 1
    system.execute(Count("a"))
    assert system.wait_applied(timeout=PATIENCE) == 2
    assert {one.name: one.restarts for one in system.health().actors if one.restarts} == {
        "replica-1": 1,
        "replica-1.query-1": 1,
        "replica-2.query-1": 1,
        "sync": 1,
    }


@pytest.mark.kill
def test_with_one_replica_a_query_waits_for_the_worker_that_comes_after(store_path: Path) -> None:
    with System.open(store_path, yard.yard, replicas=1, workers="process") as system:
        system.execute(Count("a"))
        for _ in range(2):
            os.kill(worker_pids(system)["replica-1"], signal.SIGKILL)
            assert system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE) == 1


def test_a_replica_whose_files_are_removed_is_begun_anew(system: System, store_path: Path) -> None:
    system.execute_many([Count("a") for _ in range(50)])
    system.wait_applied()
    (store_path / "replicas" / "replica-1" / "data.mdb").unlink()
    wait_until(lambda: system.health().replicas[0].reset_reason)
    assert system.wait_applied(timeout=PATIENCE) == 50
    assert system.dump("replica-1", yard.counts) == system.dump("replica-2", yard.counts)
    with system.view(yard.counts, consistency="strong") as view:
        assert view[yard.totals].get("a")["total"] == 50


@pytest.mark.kill
def test_a_worker_that_stands_still_holds_up_neither_the_writer_nor_others(system: System) -> None:
    system.execute(Count("a"))
    system.wait_applied()
    stopped = worker_pids(system)["replica-1"]
    stop_process(stopped)
    try:
        for _ in range(20):
            system.execute_many([Count("a") for _ in range(100)])
        with Threads() as threads:
            for _ in range(4):
                threads.start(lambda: system.query(TotalOf("a"), consistency="strong", timeout=PATIENCE))
        with pytest.raises(ConsistencyTimeout):
            system.wait_applied(timeout=0.05)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert system.wait_applied(timeout=PATIENCE) == 2001


@pytest.mark.usefixtures("started_workers")
@pytest.mark.kill
def test_a_worker_that_stands_still_is_ended_at_the_close(store_path: Path) -> None:
    system = System.open(store_path, yard.yard, replicas=2, workers="process")
    workers = worker_pids(system)
    stop_process(workers["replica-2"])
    system.close(timeout=1.0)
    assert all(gone(pid) for pid in workers.values())


# -- closing ---------------------------------------------------------------------------------
@pytest.mark.usefixtures("started_workers")
def test_no_worker_is_left_after_closing(store_path: Path) -> None:
    with System.open(store_path, yard.yard, replicas=2, workers="process") as system:
        system.execute(Count("a"))
        workers = worker_pids(system)
    assert len(workers) == 2
    assert all(gone(pid) for pid in workers.values())
    with pytest.raises(SystemClosed):
        system.query(TotalOf("a"))
    with System.open(store_path, yard.yard, replicas=2) as again:
        assert again.query(TotalOf("a"), consistency="strong") == 1
        assert all(one.reset_reason is None for one in again.health().replicas)


@pytest.mark.kill
def test_closing_is_bounded_though_a_query_hangs(store_path: Path, tmp_path: Path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    system = System.open(store_path, yard.yard, replicas=2, workers="process")
    with pytest.raises(QueryTimeout):
        system.query(Hang(fifo), timeout=0.05)
    workers = worker_pids(system)
    with Threads() as threads:
        threads.start(system.close, 1.0)
    assert all(gone(pid) for pid in workers.values())


# -- the domain ------------------------------------------------------------------------------
def test_a_domain_inside_a_function_is_refused(store_path: Path) -> None:
    from actors import Domain

    hidden = Domain("hidden")
    with pytest.raises(DomainError, match=r"no attribute of a module.*workers=\"thread\""):
        System.open(store_path, hidden, workers="process")


def test_workers_is_thread_or_process(store_path: Path) -> None:
    with pytest.raises(ValueError, match="workers= must be 'thread' or 'process', got 'green'"):
        System.open(store_path, yard.yard, workers="green")  # type: ignore[arg-type]
    assert not store_path.exists()


@pytest.mark.kill
def test_an_actor_can_be_killed_at_every_moment_of_its_coming_back(system: System) -> None:
    for _ in range(12):
        assert system.kill("replica-1")
    system.execute(Count("a"))
    assert system.wait_applied(timeout=PATIENCE) == 1
    actors = {actor.name: actor for actor in system.health().actors}
    assert actors["replica-1"].restarts == 12

"""A replica that is begun anew while it is asked: another one answers, or the same one once it is back;
nobody sees it.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from actors import QueryFailed, SnapshotClosed, StoreClosed, System
from actors.replication.replica_slot import ReplicaSlot
from actors.worker_processes.parent.query_connection import QueryConnection
from storage import FilesGone, Snapshot, StorageError
from storage.files.environment import open_environment
from tests import inside
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system import crews
from tests.system.crews import (
    Berths,
    Joined,
    Ledger,
    Roll,
    Shrugs,
    ShrugsCached,
    Tally,
    asked_at,
    asked_together,
    let_go,
)

Patch = pytest.MonkeyPatch
Workers = Literal["thread", "process"]
BOTH = pytest.mark.parametrize("workers", ["thread", "process"])
ALL = [1, 2, 3]
READS: list[Any] = [Berths, Roll, Tally, Shrugs, ShrugsCached]


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: Patch) -> Iterator[Callable[..., System]]:
    """Opens a system with three events on it, whose files nobody looks after by the clock."""
    monkeypatch.setattr("actors.queries.local_replica.FILES_CHECK_EVERY", 1e9)
    opened: list[System] = []

    def open_it(workers: Workers = "thread", replicas: int = 2) -> System:
        system = System.open(
            tmp_path / "crews", crews.crews, replicas=replicas, query_actors=1, workers=workers
        )
        opened.append(system)
        system.append("crew", [Joined(number) for number in ALL])
        system.wait_applied()
        return system

    yield open_it
    for system in opened:
        system.close()


def begin_anew(system: System, name: str = "replica-1") -> None:
    assert inside.mark_damaged(system, name, "for the test")
    wait_until(lambda: not any(one.excluded for one in system.health().replicas))


def outcome(job: Any) -> Any:
    return job.future.result(PATIENCE)[0]


@pytest.mark.parametrize(
    ("workers", "replicas", "cls"),
    [("thread", replicas, cls) for replicas in (1, 2) for cls in READS]
    + [("process", 1, Roll), ("process", 2, Berths), ("process", 2, ShrugsCached)],
)
def test_queries_under_way_are_answered_though_their_replica_is_begun_anew(
    begun: Any, tmp_path: Path, workers: Workers, replicas: int, cls: Any
) -> None:
    system = begun(workers, replicas)
    # The second is held on the snapshot that it shares with those behind it.
    first, second = tmp_path / "first", tmp_path / "second"
    second.mkdir()
    jobs = asked_together(system, "replica-1.query-1", first, cls(str(second)), Berths(), cls())
    let_go(first)
    wait_until((second / "running").exists)
    with Threads() as threads:
        threads.start(begin_anew, system)
        # As far as it gets without the thread that answers: its store is closed, and those below have to find
        # it so.
        wait_until(lambda: system.health().replicas[0].reset_reason is not None)
        let_go(second)
        assert [outcome(job) for job in jobs] == [ALL, ALL, ALL]
    assert system.query(cls("")) == ALL


@BOTH
def test_a_coroutine_that_asks_is_answered_by_another_replica(
    begun: Any, tmp_path: Path, workers: Workers
) -> None:
    system = begun(workers)
    folder = tmp_path / "held"
    folder.mkdir()

    async def ask() -> Any:
        asked = asyncio.ensure_future(system.aquery(Berths(str(folder)), timeout=PATIENCE))
        await asyncio.to_thread(wait_until, (folder / "running").exists)
        for name in ("replica-1", "replica-2"):
            await asyncio.to_thread(begin_anew, system, name)
        let_go(folder)
        return await asked

    assert asyncio.run(ask()) == ALL


@BOTH
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_database_that_cannot_be_opened_for_its_file_is_gone_has_its_replica_begun_anew_and_costs_no_answer(
    begun: Any, workers: Workers, replicas: int
) -> None:
    system = begun(workers, replicas)
    shutil.rmtree(Path(system.path) / "replicas" / "replica-1")
    jobs = asked_at(system, "replica-1.query-1", Roll(), Roll(), Berths())
    assert [outcome(job) for job in jobs] == [ALL, ALL, ALL]
    wait_until(lambda: "removed" in (system.health().replicas[0].reset_reason or ""))
    wait_until(lambda: not any(one.excluded for one in system.health().replicas))
    assert [system.dump(name, crews.roll) for name in system.replica_names] == [
        {"roll": [{"number": number} for number in ALL]}
    ] * replicas


@pytest.mark.parametrize("gone", ["model.sqlite-wal", "model.sqlite-shm", "model.sqlite*"])
def test_a_database_that_lacks_one_of_its_files_is_gone_too(begun: Any, gone: str) -> None:
    system = begun(replicas=1)
    files = list((Path(system.path) / "replicas" / "replica-1" / "engines").glob(f"roll@*/{gone}"))
    for file in files:
        file.unlink()
    assert files
    assert system.query(Roll(), timeout=PATIENCE) == ALL
    assert system.query(Roll(), timeout=PATIENCE) == ALL


@BOTH
def test_a_view_is_of_another_replica_where_the_files_of_one_are_gone(begun: Any, workers: Workers) -> None:
    system = begun(workers)
    shutil.rmtree(Path(system.path) / "replicas" / "replica-1")
    for _ in range(4):
        with system.view(crews.roll, timeout=PATIENCE) as view:
            assert len(view[crews.roll].execute("SELECT * FROM roll").fetchall()) == 3


@BOTH
def test_in_a_store_that_was_moved_a_query_fails_for_itself_and_its_replica_goes_on(
    begun: Any, tmp_path: Path, workers: Workers
) -> None:
    system = begun(workers, 1)
    place = Path(system.path)
    moved = place.rename(tmp_path / "elsewhere")
    try:
        [job] = asked_at(system, "replica-1.query-1", Roll())
        with pytest.raises(FilesGone, match="moved"):
            outcome(job)
        with pytest.raises(FilesGone if workers == "thread" else StoreClosed):
            system.view(crews.roll, timeout=PATIENCE)
        assert system.query(Berths()) == ALL
        assert not system.health().replicas[0].excluded
    finally:
        moved.rename(place)
    assert system.query(Roll()) == ALL


def test_a_view_that_is_opened_while_its_replica_is_begun_anew_is_of_another(
    begun: Any, monkeypatch: Patch
) -> None:
    system = begun()
    checkpoints = Snapshot.checkpoints

    def late(self: Snapshot, models: Any) -> Any:
        monkeypatch.undo()
        self.close()
        return checkpoints(self, models)

    monkeypatch.setattr(Snapshot, "checkpoints", late)
    with system.view(crews.sailors) as view:
        assert len(view[crews.berths]) == 3


def test_a_view_of_files_that_are_removed_while_they_are_opened_is_of_another_replica(
    begun: Any, monkeypatch: Patch
) -> None:
    system = begun("process")
    opened: list[Path] = []

    def late(path: Path, **options: Any) -> Any:
        if not opened:
            shutil.rmtree(path)
        opened.append(path)
        if len(opened) == 1:
            raise StorageError(f"the path {path} cannot be opened: No such file or directory")
        return open_environment(path, **options)

    monkeypatch.setattr("storage.replica.active_builds.open_environment", late)
    with system.view(crews.sailors, timeout=PATIENCE) as view:
        assert len(view[crews.berths]) == 3
    assert len(set(opened)) > 1


def test_a_dump_of_a_replica_that_is_begun_anew_says_so(begun: Any, monkeypatch: Patch) -> None:
    system = begun()
    rows = Snapshot.rows

    def late(self: Snapshot, opened: Any) -> Any:
        self.close()
        return rows(self, opened)

    monkeypatch.setattr(Snapshot, "rows", late)
    with pytest.raises(StoreClosed, match="replica-1 was reset while it was read"):
        system.dump("replica-1", crews.sailors)


def test_a_reader_of_answers_that_is_killed_in_the_middle_is_followed_by_one_who_reads_on(
    begun: Any, tmp_path: Path
) -> None:
    system = begun("process", 1)
    name = "replica-1.query-1"
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    jobs = asked_at(system, name, Berths(str(folders[0])))
    wait_until((folders[0] / "running").exists)
    jobs += asked_at(system, name, Berths(str(folders[1])))
    [channel] = [one.mailbox for one in inside.query_endpoints(system)]
    wait_until(lambda: inside.reads_answers(channel))
    with Threads() as threads:
        threads.start(system.kill, name, PATIENCE)
        # The kill is read once an answer was.
        wait_until(lambda: not channel.empty())
        let_go(folders[0])
        assert outcome(jobs[0]) == ALL
    let_go(folders[1])
    assert outcome(jobs[1]) == ALL


def test_a_worker_that_is_being_given_up_is_not_asked_for_inline_models(
    tmp_path: Path,
) -> None:
    with System.open(
        tmp_path / "crews", crews.crews, replicas=2, query_actors=2, workers="process"
    ) as system:
        reads = inside.query_dispatcher(system)
        job = inside.query_job(system, Ledger())
        assert reads.candidates(job) == ["replica-1", "replica-2"]
        first = next(one.mailbox for one in inside.query_endpoints(system))
        assert isinstance(first, QueryConnection)
        first.detach()
        assert reads.candidates(job) == ["replica-2"]
        assert [system.query(Ledger()) for _ in range(4)] == [[]] * 4


kept: list[Any] = []


@crews.crews.query(reads=[crews.sailors])
class Keeps:
    """Reads from what an earlier run was given, which is a mistake of its own."""

    def run(self, view: Any) -> int:
        kept.append(view[crews.berths])
        return len(kept[0])


@crews.crews.query(reads=[crews.ledger])
class KeepsInline:
    def run(self, view: Any) -> int:
        kept.append(view[crews.lines])
        return len(kept[0])


@pytest.mark.parametrize("cls", [Keeps, KeepsInline])
def test_a_query_that_uses_what_it_kept_of_an_earlier_run_fails_for_itself_at_once(
    begun: Any, cls: Any
) -> None:
    system = begun()
    kept.clear()
    assert system.query(cls()) == 3
    for _ in range(2):
        number = len(kept)
        with pytest.raises(QueryFailed, match="SnapshotClosed") as failed:
            system.query(cls(), timeout=PATIENCE)
        assert isinstance(failed.value.__cause__, SnapshotClosed)
        assert len(kept) == number + 1


def test_a_query_of_inline_models_is_answered_though_the_log_is_reopened(begun: Any, tmp_path: Path) -> None:
    system = begun()
    folder = tmp_path / "held"
    folder.mkdir()
    [job] = asked_at(system, "replica-1.query-1", Ledger(str(folder)))
    wait_until((folder / "running").exists)
    inside.log(system).reopen()
    let_go(folder)
    assert outcome(job) == ALL


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_watch_goes_on_over_a_replica_that_is_begun_anew_and_gives_the_last_result(
    begun: Any, monkeypatch: Patch, asynchronous: bool
) -> None:
    """The replica is given up between the news that it has applied something and the query that is to read
    it.
    """
    monkeypatch.setattr("actors.queries.query_dispatcher.TIMEOUT", 0.05)
    system = begun(replicas=1)
    replicas = inside.query_dispatcher(system).replicas
    anew = threading.Event()
    late: list[str] = []
    begin, fresh = ReplicaSlot.reset, replicas.fresh_or_call
    not_fresh = replicas.not_fresh

    def held(self: ReplicaSlot) -> None:
        assert anew.wait(PATIENCE)
        begin(self)

    def news(models: Any, target: int, callback: Any) -> Any:
        found = fresh(models, target, callback)
        if found and target == 5 and not late:
            inside.mark_damaged(system, "replica-1", "for the test")
        return found

    def told(*args: Any) -> Any:
        late.append("too late")
        anew.set()
        return not_fresh(*args)

    monkeypatch.setattr(ReplicaSlot, "reset", held)
    monkeypatch.setattr(replicas, "fresh_or_call", news)
    monkeypatch.setattr(replicas, "not_fresh", told)

    async def follow() -> list[Any]:
        found = []
        async for result in system.watch(Berths(), until=5, timeout=PATIENCE):
            found.append(result)
            if len(found) < 3:
                await asyncio.to_thread(system.append, "crew", [Joined(3 + len(found))])
        return found

    found = []
    if asynchronous:
        found = asyncio.run(follow())
    else:
        for result in system.watch(Berths(), until=5, timeout=PATIENCE):
            found.append(result)
            if len(found) < 3:
                system.append("crew", [Joined(3 + len(found))])
    assert found[-1] == [1, 2, 3, 4, 5]
    assert late

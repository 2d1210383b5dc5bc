"""A full backup that other processes help with: what is in it is the same, whatever happens to them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import DamagedStore, EventLog, StoreFull
from storage.backup import backup_writer, event_run, pack_worker, run_pool
from storage.backup.pack_worker import PackWorker
from storage.backup.run_pool import RunPool, workers_for
from storage.backup.take_backup import take_backup
from storage.backup.verify_backup import verify_backup
from storage.files import published_file
from storage.log.records import U64
from tests.faults import Fault, put_fault
from tests.helpers import wait_until
from tests.storage.backup.histories import CODEC, History, contents
from tests.storage.backup.test_restore import restored

WORKERS = 2


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A log with links, corrections and commits, of which a backup is made in small runs."""
    monkeypatch.setattr(run_pool, "RUN", 15)
    monkeypatch.setattr(backup_writer, "workers_for", lambda _: WORKERS)
    monkeypatch.setattr(backup_writer, "LEFT", 5)
    monkeypatch.setattr(backup_writer, "STRETCH", 7)
    history = History(tmp_path / "log", 8)
    for _ in range(60):
        history.step()
    for _ in range(60):
        history.events()
    with history.log:
        yield history


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


class Helpers:
    """What the workers of a backup were asked for; `first` is done with each before its first run."""

    def __init__(
        self, patch: pytest.MonkeyPatch, first: Callable[[PackWorker], object] | None = None
    ) -> None:
        self.asked = self.written = 0
        ready = RunPool.__init__
        ask, tell_offset = PackWorker.ask, PackWorker.tell_offset

        def began(pool: RunPool, *arguments: Any) -> None:
            ready(pool, *arguments)
            for worker in pool._workers:
                wait_until(lambda worker=worker: (worker.listen(wait=False), worker._ready)[1])

        def asked(worker: PackWorker, run: Any) -> None:
            ask(worker, run)
            self.asked += 1
            if first is not None:
                first(worker)

        def told(worker: PackWorker, run: Any) -> None:
            tell_offset(worker, run)
            self.written += 1

        patch.setattr(RunPool, "__init__", began)
        patch.setattr(PackWorker, "ask", asked)
        patch.setattr(PackWorker, "tell_offset", told)


def taken(history: History, backups: Path) -> None:
    """Take a backup; it is sound, and what is restored of it is the log."""
    made = take_backup(history.log, backups)
    assert made.position == history.log.head
    assert [check.findings for check in verify_backup(backups)] == [[]]
    assert restored(backups, backups.with_name("restored"))[0] == contents(history.log)


def test_what_others_pack_is_the_log(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpers = Helpers(monkeypatch)
    taken(history, backups)
    assert helpers.asked > 3
    assert helpers.written > 0


def test_others_pack_what_is_archived_wherever_that_is(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.log.close()
    helpers, path = Helpers(monkeypatch), history.log.path
    with EventLog.open(path, CODEC, archives_path=path.with_name("disk")) as history.log:
        there = [position for position, _ in history.log.in_log(range(1, history.log.head, 2))]
        made = history.log.begin_archive(there, who="ann", why="old", time_us=1)
        while history.log.move_to_archive(made.number, 1_000):
            pass
        taken(history, backups)
    assert helpers.written > 0


def test_a_worker_that_is_killed_leaves_its_runs_to_others(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpers = Helpers(monkeypatch, lambda worker: worker._process.kill())
    taken(history, backups)
    assert helpers.asked >= WORKERS


def test_a_worker_that_is_killed_while_it_writes_has_its_bytes_written_again(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    tell_offset = PackWorker.tell_offset

    def tell(worker: PackWorker, run: Any) -> None:
        told.append(run.number)
        if len(told) > 1:
            worker._process.kill()
            worker._process.wait()
        tell_offset(worker, run)

    Helpers(monkeypatch)
    monkeypatch.setattr(PackWorker, "tell_offset", tell)
    taken(history, backups)
    assert len(told) > 1


def test_without_processes_it_is_made_here(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fault(monkeypatch, pack_worker.subprocess, "Popen", lambda: OSError(errno.EAGAIN, "no more"))
    taken(history, backups)


def test_a_program_that_can_not_be_started_again_makes_it_alone(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_worker, "BOOT", "raise SystemExit(1)")
    taken(history, backups)


def test_runs_that_are_too_large_are_written_without_others(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_run, "MOST_BYTES", 500)
    helpers = Helpers(monkeypatch)
    taken(history, backups)
    assert helpers.asked > 0


def test_damage_is_named_whoever_meets_it(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Helpers(monkeypatch)
    positions = [history.log.head // 3, history.log.head - 8]
    for position in reversed(positions):
        environment = history.log._live_environment()
        with environment.begin(write=True) as transaction:
            events = history.log._databases["events"]
            stored = transaction.get(U64.pack(position), db=events)
            transaction.put(U64.pack(position), bytes([stored[0] ^ 1]) + stored[1:], db=events)
        with pytest.raises(DamagedStore) as caught:
            take_backup(history.log, backups)
        assert caught.value.position == position
        assert os.listdir(backups) == ["LOCK"]


def test_a_disk_that_is_full_where_others_write_is_an_error(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(worker: PackWorker, run: Any) -> None:
        worker.writing[run.number] = run
        worker.end()

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Helpers(monkeypatch)
    monkeypatch.setattr(PackWorker, "tell_offset", tell)
    monkeypatch.setattr(published_file, "write_at", full_disk)
    with pytest.raises(StoreFull, match="is full"):
        take_backup(history.log, backups)
    assert os.listdir(backups) == ["LOCK"]


def test_an_error_in_the_middle_ends_the_processes(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    ask = PackWorker.ask

    def asked(worker: PackWorker, run: Any) -> None:
        started.append(worker._process)
        ask(worker, run)

    Helpers(monkeypatch)
    monkeypatch.setattr(PackWorker, "ask", asked)

    def stop(*_: int) -> None:
        raise Fault

    with pytest.raises(Fault):
        take_backup(history.log, backups, progress=stop)
    assert started
    assert all(process.returncode is not None for process in started)
    assert os.listdir(backups) == ["LOCK"]


def test_processes_are_started_for_many_events_on_free_cores_and_of_python_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def workers(cores: int, load: float, events: int = run_pool.WORTH_WORKERS) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
        monkeypatch.setattr(os, "getloadavg", lambda: (load, 9.0, 9.0))
        return workers_for(events)

    assert [workers(cores, 0.0) for cores in (1, 2, 3, 64)] == [0, 1, 2, run_pool.MOST_WORKERS]
    assert [workers(3, load) for load in (1.0, 1.4, 1.6, 3.0, 30.0)] == [2, 2, 1, 0, 0]
    assert workers(3, 0.0, run_pool.WORTH_WORKERS - 1) == 0
    monkeypatch.setattr(sys, "executable", "/usr/bin/program")
    assert workers(3, 0.0) == 0


def test_a_log_that_grows_meanwhile_is_backed_up(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helpers = Helpers(monkeypatch)
    made = take_backup(history.log, backups, progress=lambda *_: history.step())
    assert helpers.asked
    assert made.position > 300
    assert [check.findings for check in verify_backup(backups)] == [[]]

"""A disk that runs full under a running system or at its opening, and has room again later."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lmdb
import pytest

from actors import CommitUncertain, ModelStopped, StoreFull, System
from actors.health import ModelHealth
from storage import Codec, EventLog, ModelSchema, ObjectSchema, StorageError
from storage.engines.memory.store import MemoryStore
from storage.engines.sqlite.store import SqliteStore
from storage.replica import open_builds as holdings
from storage.tables.access import Access
from tests.faults import put_fault
from tests.helpers import PATIENCE, wait_until
from tests.system.batches import held_batch
from tests.system.checks import check_all
from tests.system.depot import Increment, Stock, StockOf, depot
from tests.system.depot import Touch as TouchTally
from tests.system.small_disk import PAGE, Disk, small_disk
from tests.system.trouble import SizeOf, Store, Touch, TouchedIds, still_serves, trouble

Patch = pytest.MonkeyPatch


def open_at(path: Path) -> System:
    return System.open(path, trouble, replicas=2)


def check_told(error: BaseException | None, path: Path) -> None:
    """It says what is full, that nothing was written and what to do, and speaks of nothing else."""
    assert type(error) is StoreFull
    text = str(error)
    assert f"the disk of {path} is full (" in text
    assert " bytes free); nothing was written; make room there" in text
    assert "reopen" not in text
    assert "may or may not" not in text


# -- a real one -------------------------------------------------------------------------------
@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


def fill_until_full(store: SqliteStore) -> BaseException:
    for _ in range(10_000):
        position = store.checkpoint + 1
        try:
            store.begin().execute("INSERT INTO notes VALUES (?, ?)", (position, "x" * 2000))
            store.commit(position)
        except StorageError as error:
            store.abort()
            return error
    raise AssertionError("it never was full")


def test_a_sqlite_model_on_a_full_disk_tells_stays_readable_and_goes_on_with_room(disk):
    schema = ModelSchema(
        "notes", 1, engine="sqlite", script="CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)"
    )
    disk.leave(PAGE)
    with pytest.raises(StoreFull, match="make room"):
        SqliteStore.open(disk.path / "none", schema, Codec())
    disk.make_room()
    store = SqliteStore.open(disk.path / "notes", schema, Codec())
    disk.leave(1 << 20)
    error = fill_until_full(store)
    assert type(error) is StoreFull
    assert str(store.directory) in str(error)
    before = store.checkpoint
    with store.snapshot() as snapshot:
        assert snapshot.checkpoint == before
        assert snapshot.target.execute("SELECT count(*) FROM notes").fetchone()[0] == before
    assert type(fill_until_full(store)) is StoreFull
    disk.make_room()
    store.begin().execute("INSERT INTO notes VALUES (?, 'there is room')", (store.checkpoint + 1,))
    store.commit(store.checkpoint + 1)
    assert len(store.dump()["notes"]) == store.checkpoint
    store.close()


def test_objects_that_find_no_room_are_saved_another_time(disk, caplog):
    sums = ObjectSchema("sums", dict)
    schema = ModelSchema("sums", 1, engine="memory", objects=(sums,))
    store = MemoryStore.open(disk.path / "sums", schema, Codec())
    store.begin()[sums]["text"] = "x" * 100_000
    store.commit(1)
    store.close()
    store = MemoryStore.open(disk.path / "sums", schema, Codec())
    disk.leave(PAGE)
    store.begin()[sums]["more"] = "x" * 100_000
    store.commit(2)
    store.close()
    assert "cannot be saved" in caplog.text
    store = MemoryStore.open(disk.path / "sums", schema, Codec())
    assert store.checkpoint == 1
    store.close()


def write_until_full(system: System, make: Callable[[int], object]) -> tuple[int, BaseException]:
    for number in range(10_000):
        try:
            system.execute(make(number))
        except Exception as error:
            return number, error
    raise AssertionError("it never was full")


def test_writer_and_replicas_say_that_the_disk_is_full_and_go_on_when_it_has_room(disk: Disk) -> None:
    path = disk.path / "store"
    with open_at(path) as system:
        still_serves(system, "before")
        system.wait_applied()
        disk.leave(2 << 20)
        stored, error = write_until_full(system, lambda n: Store(f"b{n}", bytes(50_000)))
        check_told(error, path)
        assert f"the last commit failed: {error}" in system.health().problems
        # Small ones still find room in the log, until the replicas have none left.
        touched, error = write_until_full(system, lambda n: Touch(str(n)))
        check_told(error, path)
        assert system.position == 1 + stored + touched
        assert system.query(SizeOf("before")) == 7
        disk.make_room()
        system.execute(Store("large", bytes(50_000)))
        wait_until(lambda: system.health().status == "ok")
        still_serves(system, "after")
        assert len(system.query(TouchedIds(), consistency="strong")) == touched
        assert not any(actor.restarts for actor in system.health().actors)


def test_models_on_a_full_disk_stop_and_come_back_by_themselves(disk: Disk, gates: Any) -> None:
    with open_at(disk.path / "store") as system:
        gates.padding = 100_000
        disk.leave(1 << 20)
        touched, _ = write_until_full(system, lambda n: Touch(str(n)))
        wait_until(lambda: any(problem.endswith("its map is full") for problem in system.health().problems))
        assert system.query(TouchedIds()) is not None
        told = [str(model.failure) for model in models_of(system) if model.full]
        assert told
        assert all("make room there" in failure for failure in told)
        gates.padding = 0
        disk.make_room()
        system.execute(Store("large", bytes(50_000)))
        wait_until(lambda: system.health().status == "ok")
        still_serves(system)
        assert len(system.query(TouchedIds(), consistency="strong")) == touched


@pytest.mark.parametrize("made", [False, True], ids=["new", "there already"])
def test_opening_with_too_little_room_says_so_and_works_when_there_is_more(disk: Disk, made: bool) -> None:
    path = disk.path / "store"
    refused = []
    for free in range(0, 600_000, 5 * PAGE):
        shutil.rmtree(path, ignore_errors=True)
        if made:
            with open_at(path) as system:
                still_serves(system, "before")
            shutil.rmtree(path / "replicas")
        disk.leave(free)
        try:
            open_at(path).close()
        except StoreFull as error:
            refused.append(str(error))
        disk.make_room()
        with open_at(path) as system:
            still_serves(system)
    assert len(refused) > 5
    assert all("is full (" in text and f"the disk of {path}" in text for text in refused)


def test_many_readers_on_a_full_disk_are_served(disk: Disk) -> None:
    with open_at(disk.path / "store") as system:
        still_serves(system)
        system.wait_applied()
        disk.leave(0)
        views = [system.view() for _ in range(200)]
        assert all(view is not None for view in views)
        for view in views:
            view.close()


# -- faults -----------------------------------------------------------------------------------
@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, depot, replicas=2) as opened:
        yield opened


def cut_short() -> lmdb.Error:
    """What LMDB makes of a write that the disk had no room for."""
    error = lmdb.Error("mdb_txn_commit: Input/output error")
    error.code = errno.EIO
    return error


def leave_free(patch: Patch, free: int) -> None:
    patch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=free // 512, f_frsize=512))


def test_a_batch_that_is_cut_short_on_a_full_disk_is_known_not_to_be_written(
    system: System, store_path: Path, monkeypatch: Patch
) -> None:
    known = system.execute(Increment("a"), command_id="known")
    leave_free(monkeypatch, 1024)
    with held_batch(system, Increment("plug")):
        futures = [
            system.submit(Increment("a"), command_id="known"),
            system.submit(TouchTally("a"), command_id="nothing"),
            system.submit(Increment("a"), command_id="new"),
        ]
        put_fault(monkeypatch, EventLog, "_commit", cut_short, only=lambda log, _txn: log.head == 2)
    for future in futures:
        check_told(future.exception(PATIENCE), store_path)
    assert "(1,024 bytes free)" in str(system.health().writer.trouble)
    assert system.position == 2
    assert system.execute(Increment("a"), command_id="new").version == 2
    assert system.execute(Increment("a"), command_id="known")[:3] == known[:3]
    assert system.health().status == "ok"
    check_all(system)


@pytest.mark.parametrize(("free", "after"), [(1 << 30, False), (0, True)], ids=["with room", "on the disk"])
def test_a_commit_that_may_be_there_is_not_put_down_to_a_full_disk(
    system: System, monkeypatch: Patch, free: int, after: bool
) -> None:
    leave_free(monkeypatch, free)
    put_fault(monkeypatch, EventLog, "_commit", cut_short, after=after)
    with pytest.raises(CommitUncertain) as caught:
        system.execute(Increment("a"), command_id="mine")
    assert "reopen" not in str(caught.value)
    assert system.execute(Increment("a"), command_id="mine").last == 1
    check_all(system)


def test_models_that_find_no_room_to_commit_stop_and_come_back(system: System, monkeypatch: Patch) -> None:
    leave_free(monkeypatch, 0)
    full = [True]
    original = Access.locked

    def fail(_txn: Any, *_: Any) -> None:
        raise cut_short()

    def locked(self: Access, read: Any, *args: Any, **named: Any) -> Any:
        return original(self, fail if full[0] and read is holdings._commit else read, *args, **named)

    monkeypatch.setattr(Access, "locked", locked)
    system.execute_many([Increment("a"), Stock("lamp", 1), Increment("a")])
    stopped = wait_until(lambda: [model for model in models_of(system) if model.full])
    assert "is full (0 bytes free)" in str(stopped[0].failure)
    wait_until(lambda: all(model.full for model in models_of(system)))
    problems = system.health().problems
    assert all(problem.endswith("at position 1: its disk or its map is full") for problem in problems)
    assert system.query(StockOf("lamp")) is None
    with pytest.raises(ModelStopped, match="make room there; it then goes on by itself"):
        system.query(StockOf("lamp"), consistency="strong")
    full[0] = False
    wait_until(lambda: system.health().status == "ok")
    assert not any(actor.restarts for actor in system.health().actors)
    check_all(system)


def models_of(system: System) -> list[ModelHealth]:
    return [model for replica in system.health().replicas for model in replica.models]

"""Stores that can't be opened or written: each has its own error, and what is there stays as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from actors import (
    DamagedStore,
    DomainError,
    ModelStopped,
    NewerFormat,
    NotAStore,
    StorageError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    System,
    SystemClosed,
)
from tests.helpers import wait_until
from tests.system.trouble import Add, SizeOf, Store, Touch, TouchedIds, still_serves, trouble

SMALL = 1 << 19
HOLDER = """
import sys
from actors import System
from tests.system.trouble import Add, trouble
with System.open(sys.argv[1], trouble, replicas=1) as system:
    system.execute(Add("from-the-holder"))
    print("open", flush=True)
    sys.stdin.read()
"""


def open_at(path, **settings):
    return System.open(path, trouble, **{"replicas": 1, **settings})


def tree(path):
    """Every file below with its content."""
    return {str(one): one.read_bytes() for one in Path(path).rglob("*") if one.is_file()}


def test_a_store_that_lost_its_log_begins_no_new_history(store_path):
    with open_at(store_path) as system:
        system.execute(Add("a"))
        system.wait_applied()
    log = store_path / "data.mdb"
    kept = log.read_bytes()
    log.unlink()
    before = tree(store_path)
    with pytest.raises(DamagedStore, match=r"restore data\.mdb from a backup, or delete"):
        open_at(store_path)
    assert tree(store_path) == before
    log.write_bytes(kept)
    with open_at(store_path) as system:
        assert system.position == 1


# -- a full map -------------------------------------------------------------------------------
def fill(system):
    """Write until the log is full; the number of commands that fitted."""
    for number in range(1000):
        try:
            system.execute(Store(f"blob-{number}", bytes(20_000)))
        except StoreFull:
            return number
    raise AssertionError("it never was full")


def test_a_full_log_is_told_reads_go_on_and_a_larger_map_takes_more(store_path):
    with open_at(store_path, map_size=SMALL) as system:
        still_serves(system, "before")
        written = fill(system)
        assert written > 2
        assert system.position == written + 1
        with pytest.raises(StoreFull, match="map_size"):
            system.execute(Store("once-more", bytes(20_000)))
        many = system.execute_many([Store(f"m-{n}", bytes(20_000)) for n in range(3)], return_exceptions=True)
        assert [type(outcome) for outcome in many] == [StoreFull] * 3
        assert system.query(SizeOf("before"), consistency="strong") == 7
        assert len(system.stream("thing-blob-0")) == 1
        assert system.position == written + 1
        (problem,) = system.health().problems
        assert "the last commit failed" in problem
        assert "map_size" in problem
    with open_at(store_path, map_size=1 << 30) as system:
        assert system.health().status == "ok"
        assert system.position == written + 1
        still_serves(system, "after")
        assert system.execute(Store("once-more", bytes(20_000))).last == written + 3


def test_a_command_that_does_not_fit_does_not_fail_a_smaller_one(store_path):
    with open_at(store_path, map_size=SMALL) as system:
        outcomes = system.execute_many(
            [Add("a"), Store("big", bytes(2 * SMALL)), Add("b")], return_exceptions=True
        )
        assert [type(outcome).__name__ for outcome in outcomes] == ["Receipt", "StoreFull", "Receipt"]
        assert [outcome.last for outcome in outcomes[::2]] == [1, 2]


def test_a_model_that_fills_a_replica_stops_alone_and_catches_up_in_a_larger_map(store_path, gates):
    gates.padding = 20_000
    with open_at(store_path, map_size=SMALL) as system:
        for number in range(40):
            system.execute(Touch(str(number)))
        still_serves(system, "during")
        check_stopped_for_want_of_room(system)
    shutil.rmtree(store_path / "replicas")
    with open_at(store_path, map_size=SMALL) as system:
        # The whole log in one batch this time.
        assert system.query(SizeOf("during"), consistency="strong") == 7
        check_stopped_for_want_of_room(system)
        assert system.execute(Touch("40")).last == 42
    with open_at(store_path, map_size=1 << 30) as system:
        system.wait_applied()
        assert len(system.query(TouchedIds())) == 41
        still_serves(system, "after")


def check_stopped_for_want_of_room(system):
    [problem] = wait_until(lambda: system.health().problems)
    assert problem.startswith("model fragile on replica-1 is stopped at position")
    [failure] = [model.failure for model in system.health().replicas[0].models if model.failure]
    assert "StoreFull" in failure
    assert "map_size" in failure
    with pytest.raises(ModelStopped, match="the map is full"):
        system.query(TouchedIds(), consistency="strong")


# -- other openers ----------------------------------------------------------------------------
def test_a_second_open_in_the_same_process_is_told_who_holds_it(store_path):
    with open_at(store_path) as system:
        with pytest.raises(
            StoreLocked, match=f"is already open for writing by process {os.getpid()} on "
        ) as caught:
            open_at(store_path)
        assert str(os.getpid()) in caught.value.holder
        still_serves(system)
    with open_at(store_path) as system:
        assert system.query(SizeOf("fine"), consistency="strong") == 7


def test_a_second_process_is_told_who_holds_it(store_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreLocked, match=f"process {holder.pid} on .*, program -c, since 20"):
            open_at(store_path)
        holder.communicate("", timeout=20)
    assert holder.returncode == 0
    with open_at(store_path) as system:
        assert system.query(SizeOf("from-the-holder"), consistency="strong") == 1
        still_serves(system)


# -- other things in its place ----------------------------------------------------------------
def test_a_file_in_place_of_the_store_is_refused_and_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")
    with pytest.raises(NotAStore, match=r"notes\.txt is a file, a store is a directory"):
        open_at(path)
    assert path.read_text() == "dear diary"


def test_a_foreign_directory_is_refused_and_kept(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "one").write_text("dear")
    before = tree(tmp_path)
    with pytest.raises(NotAStore, match="is not a store: it holds 'one'"):
        open_at(tmp_path / "letters")
    assert tree(tmp_path) == before


def test_another_programs_database_is_refused_and_kept(tmp_path):
    with lmdb.open(str(tmp_path), max_dbs=2) as other, other.begin(write=True) as transaction:
        transaction.put(b"theirs", b"1")
    (tmp_path / "lock.mdb").unlink()
    before = tree(tmp_path)
    with pytest.raises(NotAStore):
        open_at(tmp_path)
    assert tree(tmp_path) == before


def test_a_replica_in_place_of_the_store_is_refused(store_path):
    with open_at(store_path) as system:
        still_serves(system)
    with pytest.raises(NotAStore, match="replica"):
        open_at(store_path / "replicas" / "replica-1")


def test_a_file_that_is_no_database_is_refused_and_kept(store_path):
    store_path.mkdir()
    (store_path / "data.mdb").write_bytes(b"no database" * 1000)
    before = tree(store_path)
    with pytest.raises(DamagedStore, match="restore a backup"):
        open_at(store_path)
    assert tree(store_path) == before


def test_a_store_of_a_newer_format_is_refused_and_kept(store_path, monkeypatch):
    import storage.files.header

    monkeypatch.setattr(storage.files.header, "ARCHIVES_FORMAT", storage.files.header.ARCHIVES_FORMAT + 1)
    newer = storage.files.header.Header
    of_now, number = newer.new, storage.files.header.ARCHIVES_FORMAT
    monkeypatch.setattr(newer, "new", lambda *given: of_now(*given)._replace(format=number))
    with open_at(store_path) as system:
        still_serves(system)
    monkeypatch.undo()
    before = tree(store_path)
    newer_by_one = storage.files.header.ARCHIVES_FORMAT + 1
    with pytest.raises(NewerFormat, match=f"has format {newer_by_one}, this program reads up to"):
        open_at(store_path)
    assert {name: data for name, data in tree(store_path).items() if "LOCK" not in name} == {
        name: data for name, data in before.items() if "LOCK" not in name
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only directories")
def test_a_read_only_directory_is_refused(store_path):
    with open_at(store_path) as system:
        still_serves(system)
    os.chmod(store_path / "LOCK", 0o400)
    os.chmod(store_path, 0o500)
    try:
        with pytest.raises(StoreReadOnly):
            open_at(store_path)
    finally:
        os.chmod(store_path, 0o700)
    os.chmod(store_path / "LOCK", 0o600)
    with open_at(store_path) as system:
        assert system.query(SizeOf("fine"), consistency="strong") == 7


def test_a_place_where_no_directory_can_be_made_is_refused():
    with pytest.raises(StorageError, match="the directory /proc/onewriter cannot be made"):
        open_at("/proc/onewriter")


def test_what_failed_to_open_can_be_opened_afterwards(store_path, monkeypatch):
    def fail(*_args, **_named):
        raise RuntimeError("no thread for you")

    with monkeypatch.context() as patch:
        patch.setattr("actors.runtime.runtime.Supervisor.begin", fail)
        with pytest.raises(RuntimeError, match="no thread"):
            open_at(store_path)
    with open_at(store_path) as system:
        still_serves(system)


def test_a_domain_with_a_mistake_is_refused_before_anything_is_made(store_path):
    from actors import Domain

    bad = Domain("bad")

    @bad.state(stream="x-{id}")
    class State:
        id: str

    @bad.command(State)
    class Do:
        id: str

    with pytest.raises(DomainError, match="Do"):
        System.open(store_path, bad)
    assert not store_path.exists()


@pytest.mark.parametrize(
    "settings", [{"replicas": 0}, {"mailbox_size": 0}, {"query_actors": "2"}, {"cache_states": True}]
)
def test_bad_settings_are_refused_before_anything_is_made(store_path, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        open_at(store_path, **settings)
    assert not store_path.exists()


def test_an_old_system_object_does_not_come_back_with_its_store(store_path):
    with open_at(store_path) as first:
        still_serves(first)
    with open_at(store_path) as second:
        with pytest.raises(SystemClosed):
            first.execute(Add("x"))
        wait_until(lambda: second.health().status == "ok")

"""A full disk is distinguished from a broken one, and the error says which disk, how full, and what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lmdb
import pytest

from storage.codec.codec import Codec
from storage.errors import NotAStore, StorageError, StoreFull, StoreReadOnly
from storage.files.environment import check_directory, open_environment
from storage.files.error_translation import NEARLY_NO_ROOM, from_system, full_disk, translate
from storage.files.store_lock import StoreLock
from storage.log.event_log import EventLog
from storage.replica.replica_store import ReplicaStore
from storage.tables.schema import ModelSchema, TableSchema

SCHEMA = ModelSchema("stock", 1, (TableSchema("items", "sku"),))
HISTORY: dict[str, Any] = {"history_id": "0" * 32, "log_head": 0}


def leave_free(patch: pytest.MonkeyPatch, free: int) -> None:
    patch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=free, f_frsize=1))


def lmdb_error(number: int) -> lmdb.Error:
    error = lmdb.Error(f"mdb_txn_commit: {os.strerror(number)}")
    error.code = number
    return error


@pytest.mark.parametrize(
    ("number", "free", "full"),
    [
        (errno.EIO, 0, "the disk of {path} is full (0 bytes free)"),
        (errno.EIO, NEARLY_NO_ROOM, None),
        (
            errno.ENOSPC,
            5_000_000,
            "the disk of {path} is full (No space left on device, 5,000,000 bytes free)",
        ),
        (errno.EDQUOT, 9, "the quota of {path} is full (Disk quota exceeded, 9 bytes free)"),
        (errno.EACCES, 0, None),
        (None, 0, None),
    ],
)
def test_a_disk_is_full_by_its_error_or_by_the_room_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, free: int, full: str | None
) -> None:
    leave_free(monkeypatch, free)
    path = tmp_path / "not" / "there"
    assert full_disk(path, number) == (full and full.format(path=path))


def test_an_error_of_lmdb_on_a_full_disk_says_what_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_free(monkeypatch, 17)
    translated = translate(lmdb_error(errno.EIO), "writing", tmp_path)
    assert type(translated) is StoreFull
    assert (
        str(translated) == f"writing failed: the disk of {tmp_path} is full (17 bytes free); make room there"
    )
    assert type(translate(lmdb_error(errno.EIO), "writing")) is StorageError


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, StoreFull, "is full"),
        (errno.EROFS, StoreReadOnly, "LOCK: Read-only file system; its file system is mounted"),
        (errno.ENAMETOOLONG, StorageError, "LOCK: File name too long; its name is longer"),
        (errno.ESTALE, StorageError, "LOCK: Stale file handle; ask somebody"),
    ],
)
def test_errors_of_the_system_become_ours(
    tmp_path: Path, number: int, kind: type[StorageError], text: str
) -> None:
    translated = from_system(OSError(number, os.strerror(number)), "LOCK", tmp_path, "ask somebody")
    assert type(translated) is kind
    assert text in str(translated)


def test_a_lock_that_can_not_be_signed_names_its_file(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreFull, match=f"{store_path}/LOCK cannot be written"):
            EventLog.open(store_path, Codec())
    EventLog.open(store_path, Codec()).close()


def test_a_lock_that_is_signed_again_holds_the_last_holder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("a-program-with-a-long-name", "short"):
        monkeypatch.setattr("sys.argv", [program])
        with StoreLock(tmp_path) as lock:
            lock.sign()
            lock.opened()
            text = (tmp_path / "LOCK").read_text()
            lock.sign()
            assert (tmp_path / "LOCK").read_text() == text, "who holds it already was noted once more"
    assert text.count("process") == 1
    assert "program short, since" in text
    assert text.endswith("\n")


def test_a_new_store_that_could_not_be_written_whole_is_made_by_the_next_opener(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = lmdb.open

    def half(path: str, **options: object) -> lmdb.Environment:
        real(path, **options).close()
        os.truncate(Path(path) / "data.mdb", 4096)
        raise lmdb_error(errno.ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr("storage.files.environment.lmdb.open", half)
        with pytest.raises(StoreFull, match=f"opening {store_path} failed: the disk of"):
            open_environment(store_path)
    open_environment(store_path).close()
    assert check_directory(store_path)


def test_a_replica_whose_tables_can_not_be_made_is_closed_and_opens_later(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_named: object) -> None:
        raise lmdb_error(errno.EIO)

    leave_free(monkeypatch, 0)
    with monkeypatch.context() as patch:
        patch.setattr("storage.replica.open_builds.open_table", full)
        with pytest.raises(StoreFull, match=f"opening the tables of {store_path} failed"):
            ReplicaStore.open(store_path, [SCHEMA], Codec(), **HISTORY)
    ReplicaStore.open(store_path, [SCHEMA], Codec(), **HISTORY).close()


def test_the_table_of_readers_has_its_disk_before_there_are_readers(store_path: Path) -> None:
    with open_environment(store_path) as environment:
        slots = environment.info()["max_readers"]
        assert slots == 2048
        assert (store_path / "lock.mdb").stat().st_blocks * 512 >= slots * 64


def test_what_a_foreign_directory_holds_is_counted(tmp_path: Path) -> None:
    for name, told in (("a", "holds 'a'; choose"), ("b", "holds 'a' and 1 more; choose")):
        (tmp_path / name).touch()
        with pytest.raises(NotAStore, match=told):
            check_directory(tmp_path)

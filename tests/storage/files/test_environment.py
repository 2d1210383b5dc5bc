"""Opening stores: a directory that is not a store is left unchanged, and every failure has its own error."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from storage.codec.codec import Codec
from storage.errors import (
    DamagedStore,
    InvalidKey,
    NewerFormat,
    NotAStore,
    StorageError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)
from storage.files import environment as environment_module
from storage.files.environment import StoreLock, check_directory, open_environment, translate
from storage.files.header import ARCHIVES_FORMAT, META_DB, Header, write_header
from storage.files.open_store import open_store
from storage.log.event_log import EventLog
from storage.log.take_over import take_over

MAP_SIZE = 1 << 24


def contents(path: Path) -> dict[str, bytes | None]:
    return {
        str(file.relative_to(path)): file.read_bytes() if file.is_file() else None for file in path.rglob("*")
    }


def make_store(path: Path, **header: object) -> None:
    """Create a store with any header."""
    fields = {"kind": "log", "history_id": "0" * 32, "created": Header.new("log").created, **header}
    environment = open_environment(path, map_size=MAP_SIZE)
    with environment.begin(write=True) as transaction:
        meta = environment.open_db(META_DB, txn=transaction)
        write_header(transaction, meta, Header(**fields))  # type: ignore[arg-type]
    environment.close()


@pytest.fixture
def unprivileged_path() -> Iterator[Path]:
    """A directory that all may read and only root may write, while the process is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write here")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    os.seteuid(0)
    shutil.rmtree(folder)


# -- a new store ---------------------------------------------------------------------------------------------
def test_a_new_store_is_for_its_owner_alone(store_path: Path) -> None:
    EventLog.open(store_path / "deep" / "log", Codec()).close()
    assert (store_path / "deep" / "log").stat().st_mode & 0o777 == 0o700
    for file in (store_path / "deep" / "log").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_a_new_store_takes_little_disk_for_a_large_map(store_path: Path) -> None:
    with EventLog.open(store_path, Codec()) as log:
        assert log.stats()["map_bytes"] >= 1 << 30
        assert (store_path / "data.mdb").stat().st_size < 1 << 20


def test_an_empty_directory_becomes_a_store(store_path: Path) -> None:
    store_path.mkdir()
    EventLog.open(store_path, Codec()).close()
    assert check_directory(store_path)


def test_a_store_whose_making_was_cut_short_is_made_again(store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "LOCK").touch()
    (store_path / "data.mdb").touch()
    EventLog.open(store_path, Codec()).close()
    shutil.rmtree(store_path)
    open_environment(store_path, map_size=MAP_SIZE).close()
    EventLog.open(store_path, Codec()).close()


def test_a_store_keeps_its_history_and_time(store_path: Path) -> None:
    with EventLog.open(store_path, Codec()) as log:
        history, created = log.history_id, log.created
    assert len(history) == 32
    assert created.tzinfo is not None
    with EventLog.open(store_path, Codec()) as log:
        assert (log.history_id, log.created) == (history, created)


def test_the_map_shrinks_to_the_address_space_there_is(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = lmdb.open, []

    def cramped(path: str, *, map_size: int, **options: object) -> lmdb.Environment:
        sizes.append(map_size)
        if map_size > 3 << 30:
            raise lmdb.MemoryError("Cannot allocate memory")
        return real(path, map_size=map_size, **options)

    monkeypatch.setattr(environment_module.lmdb, "open", cramped)
    environment = open_environment(store_path, map_size=1 << 33)
    assert sizes == [1 << 33, 1 << 32, 1 << 31]
    assert environment.info()["map_size"] == 1 << 31
    environment.close()


def test_no_address_space_for_even_a_small_map_is_reported(store_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from storage.files.environment import open_environment\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, resource.RLIM_INFINITY))\n"
        "open_environment(sys.argv[1])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(store_path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "LimitReached: opening" in result.stderr
    assert "536,870,912 bytes are used" in result.stderr
    assert "ulimit -v" in result.stderr
    assert "smaller map_size" in result.stderr


# -- what is no store ----------------------------------------------------------------------------------------
def test_a_missing_store_is_not_made_unless_allowed(store_path: Path) -> None:
    with pytest.raises(NotAStore, match=f"no store at {store_path}"):
        EventLog.open(store_path, Codec(), create=False)
    assert not store_path.exists()
    store_path.mkdir()
    with pytest.raises(NotAStore, match="is an empty directory"):
        EventLog.open(store_path, Codec(), create=False)
    assert contents(store_path) == {}


def test_a_file_in_place_of_the_store_is_left_alone(store_path: Path) -> None:
    store_path.write_bytes(b"my diary")
    with pytest.raises(NotAStore, match="is a file"):
        EventLog.open(store_path, Codec())
    assert store_path.read_bytes() == b"my diary"


def test_a_foreign_directory_is_left_alone(store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "thesis.tex").write_text("chapter one")
    (store_path / "pictures").mkdir()
    before = contents(store_path)
    with pytest.raises(NotAStore, match="'pictures' and 1 more"):
        EventLog.open(store_path, Codec())
    assert contents(store_path) == before


@pytest.mark.parametrize("garbage", [b"\xff" * 9000, b"short", b"\0" * 4096])
def test_a_data_file_of_garbage_is_damaged_and_left_alone(store_path: Path, garbage: bytes) -> None:
    store_path.mkdir()
    (store_path / "data.mdb").write_bytes(garbage)
    with pytest.raises(DamagedStore, match=r"data\.mdb is not what LMDB writes"):
        EventLog.open(store_path, Codec())
    assert contents(store_path) == {"data.mdb": garbage}


@pytest.mark.parametrize("size", [100, 5000, 8192, 12288])
def test_a_data_file_cut_short_is_damaged(store_path: Path, size: int) -> None:
    EventLog.open(store_path, Codec()).close()
    os.truncate(store_path / "data.mdb", size)
    with pytest.raises(DamagedStore):
        EventLog.open(store_path, Codec())
    StoreLock(store_path).release()


def test_a_data_file_without_pages_that_it_never_used_is_sound(store_path: Path) -> None:
    make_store(store_path)
    environment = open_environment(store_path, map_size=MAP_SIZE)
    # If it has free pages, LMDB frees the pages of a value that one transaction puts and deletes, unwritten.
    for changes in (
        {b"freed": 20_000, b"-freed": 0},
        {b"small": 10},
        {b"large": 20_000, b"last": 9000, b"-last": 0},
    ):
        with environment.begin(write=True) as transaction:
            for key, size in changes.items():
                if size:
                    transaction.put(key, b"x" * size)
                else:
                    transaction.delete(key[1:])
    pages = environment.info()["last_pgno"] + 1
    page_size = environment.stat()["psize"]
    environment.close()
    assert (store_path / "data.mdb").stat().st_size < pages * page_size
    EventLog.open(store_path, Codec()).close()


def test_an_lmdb_environment_of_another_program_is_left_alone(store_path: Path) -> None:
    store_path.mkdir()
    foreign = lmdb.open(str(store_path), max_dbs=2)
    foreign.open_db(b"accounts")
    foreign.close()
    (store_path / "lock.mdb").unlink()
    before = contents(store_path)
    with pytest.raises(NotAStore, match="of another program"):
        EventLog.open(store_path, Codec())
    assert contents(store_path) == before


def test_an_lmdb_environment_with_plain_keys_is_left_alone(store_path: Path) -> None:
    store_path.mkdir()
    foreign = lmdb.open(str(store_path))
    with foreign.begin(write=True) as transaction:
        transaction.put(META_DB, b"something else")
    foreign.close()
    before = contents(store_path)
    with pytest.raises(NotAStore, match="of another program"):
        EventLog.open(store_path, Codec())
    assert contents(store_path) == before


def test_a_store_of_a_newer_format_is_left_alone(store_path: Path) -> None:
    make_store(store_path, format=ARCHIVES_FORMAT + 1)
    (store_path / "LOCK").write_text("process 1")
    before = contents(store_path)
    with pytest.raises(NewerFormat, match=f"has format {ARCHIVES_FORMAT + 1}, this program reads up to"):
        EventLog.open(store_path, Codec())
    assert contents(store_path) == before
    StoreLock(store_path).release()


def test_a_store_of_another_kind_is_not_opened_as_a_log(store_path: Path) -> None:
    make_store(store_path, kind="replica")
    with pytest.raises(NotAStore, match="holds a replica, not a log"):
        EventLog.open(store_path, Codec())


def test_files_that_belong_beside_a_store_are_no_strangers(store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "running").touch()
    lock, environment, _ = open_store(
        store_path, Header.new("replica"), take_over=take_over, map_size=MAP_SIZE, siblings=("running",)
    )
    environment.close()
    lock.release()


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("emptied", [True, False])
def test_a_store_whose_file_is_gone_beside_what_was_filled_from_it_is_refused(
    store_path: Path, create: bool, emptied: bool
) -> None:
    replica = store_path / "replicas" / "replica-1"
    replica.mkdir(parents=True)
    if emptied:
        (store_path / "data.mdb").touch()
    (replica / "data.mdb").touch()
    before = sorted(store_path.rglob("*"))
    with pytest.raises(DamagedStore, match=r"data\.mdb is missing or empty.*backup, or delete"):
        open_store(
            store_path,
            Header.new("log"),
            take_over=take_over,
            map_size=MAP_SIZE,
            create=create,
            siblings=("replicas",),
        )
    assert sorted(store_path.rglob("*")) == before
    (replica / "data.mdb").unlink()
    lock, environment, _ = open_store(
        store_path, Header.new("log"), take_over=take_over, map_size=MAP_SIZE, siblings=("replicas",)
    )
    environment.close()
    lock.release()


# -- one opener ----------------------------------------------------------------------------------------------
def test_a_second_opener_in_the_process_is_told_who_has_the_store(store_path: Path) -> None:
    with (
        EventLog.open(store_path, Codec()) as log,
        pytest.raises(
            StoreLocked, match=rf"open for writing by process {os.getpid()} on .*since 20"
        ) as caught,
    ):
        EventLog.open(store_path, Codec())
    assert caught.value.holder.startswith(f"process {os.getpid()} on ")
    assert log.head == 0
    EventLog.open(store_path, Codec()).close()


HOLD = """
import sys
from storage.codec.codec import Codec
from storage.log.event_log import EventLog
from storage.log.take_over import take_over
log = EventLog.open(sys.argv[1], Codec())
print("open", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


@pytest.mark.kill
def test_a_second_process_is_told_who_has_the_store_and_gets_it_after_a_kill(store_path: Path) -> None:
    with hold(store_path) as process:
        try:
            with pytest.raises(StoreLocked, match=f"process {process.pid} on"):
                EventLog.open(store_path, Codec())
        finally:
            process.kill()
    EventLog.open(store_path, Codec()).close()


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(store_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from storage.files.environment import StoreLock\n"
        "lock = StoreLock(sys.argv[1])\n"
        "if os.fork() == 0:\n"
        "    print('child', flush=True)\n"
        "    sys.stdin.read()\n"
        "os._exit(0)\n"
    )
    store_path.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store_path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "child\n"
        process.wait(30)
        StoreLock(store_path).release()


def test_a_lock_is_released_once_and_can_be_taken_again(tmp_path: Path) -> None:
    with StoreLock(tmp_path) as lock:
        lock.release()
        with StoreLock(tmp_path):
            lock.release()
            with pytest.raises(StoreLocked):
                StoreLock(tmp_path)


# -- a place that cannot be written --------------------------------------------------------------------------
def test_a_store_that_may_not_be_written_is_reported(unprivileged_path: Path) -> None:
    EventLog.open(unprivileged_path / "log", Codec()).close()
    os.chmod(unprivileged_path / "log", 0o755)
    for file in (unprivileged_path / "log").iterdir():
        file.chmod(0o644)
    os.seteuid(65534)
    with pytest.raises(StoreReadOnly, match="LOCK cannot be written"):
        EventLog.open(unprivileged_path / "log", Codec())


def test_a_store_that_cannot_be_made_is_reported(unprivileged_path: Path) -> None:
    os.seteuid(65534)
    with pytest.raises(StoreReadOnly, match="cannot be made: Permission denied"):
        EventLog.open(unprivileged_path / "log", Codec())


def test_a_store_that_may_not_even_be_looked_at_is_reported(unprivileged_path: Path) -> None:
    EventLog.open(unprivileged_path / "log", Codec()).close()
    os.seteuid(65534)
    with pytest.raises(StoreReadOnly, match="cannot be read"):
        EventLog.open(unprivileged_path / "log", Codec())


def test_a_file_system_mounted_for_reading_is_reported(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EventLog.open(store_path, Codec()).close()
    real = os.open

    def refusing(path: object, flags: int, *rest: int, **options: object) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(StoreReadOnly, match="Read-only file system"):
        EventLog.open(store_path, Codec())


def test_a_process_that_may_not_grow_files_cannot_make_a_store(store_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError):
            EventLog.open(store_path, Codec())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    EventLog.open(store_path, Codec()).close()


# -- errors --------------------------------------------------------------------------------------------------
def with_code(kind: type[lmdb.Error], code: int) -> lmdb.Error:
    error = kind("mdb_put: something")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (lmdb.MapFullError("MDB_MAP_FULL"), StoreFull, "larger map_size"),
        (with_code(lmdb.DiskError, errno.ENOSPC), StoreFull, "make room"),
        (lmdb.DiskError("No more disk space"), StoreFull, "make room"),
        (with_code(lmdb.Error, errno.EDQUOT), StoreFull, "quota"),
        (with_code(lmdb.Error, errno.EFBIG), StoreFull, "limit of the file size"),
        (with_code(lmdb.Error, errno.EROFS), StoreReadOnly, "mounted for reading only"),
        (with_code(lmdb.ReadonlyError, errno.EACCES), StoreReadOnly, "who owns it"),
        (with_code(lmdb.Error, errno.EIO), StorageError, "failed: mdb_put: something"),
        (lmdb.VersionMismatchError("x"), NewerFormat, "another format"),
        (lmdb.InvalidError("x"), DamagedStore, "not what LMDB writes"),
        (lmdb.CorruptedError("x"), DamagedStore, "damaged"),
        (lmdb.BadValsizeError("x"), InvalidKey, "511"),
        (lmdb.ReadersFullError("x"), StorageError, "too many readers"),
        (lmdb.PanicError("x"), StorageError, "reopen"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_errors_of_lmdb_become_ours(error: lmdb.Error, kind: type[StorageError], advice: str) -> None:
    translated = translate(error, "putting a row")
    assert type(translated) is kind
    assert str(translated).startswith("putting a row failed: ")
    assert advice in str(translated)

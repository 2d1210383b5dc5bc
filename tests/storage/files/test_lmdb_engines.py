"""The lmdb package has two engines with different files: we use one, and recognise the other's files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from storage.codec.codec import Codec
from storage.errors import DamagedStore, OtherEngine
from storage.files.environment import check_directory, open_environment
from storage.log.event_log import EventLog
from storage.log.log_databases import DATABASES
from storage.log.log_follower import LogFollower
from storage.replica.replica_reader import ReplicaReader
from storage.replica.replica_store import ReplicaStore
from tests.storage.replica.replica_process import ROWS, TABLES

ROOT = Path(__file__).parents[3]

SYSTEM = """
import sys
from actors import System
from actors.demo.shop import shop
for workers in ("thread", "process"):
    with System.open(f"{sys.argv[1]}/{workers}", shop, replicas=1, workers=workers) as system:
        system.wait_applied()
"""


def data_format(file: Path) -> int:
    """The data format that LMDB's own offline check reports for the file: 1 is that of LMDB 0.9."""
    head = file.read_bytes()[:32]
    return int.from_bytes(head[20:24] if head[16:20] == b"\xde\xc0\xef\xbe" else head[28:32], sys.byteorder)


def other_engine(path: Path) -> None:
    """An environment of the other engine, with the databases of a log."""
    with lmdb.open(str(path), lib_version=1, max_dbs=9) as environment:
        for name in ("meta", *DATABASES):
            environment.open_db(name.encode())


def test_the_environment_variable_of_lmdb_does_not_change_what_is_written(tmp_path: Path) -> None:
    environment = {**os.environ, "LMDB_DEFAULT_LIB_VERSION": "1"}
    for _ in range(2):  # created, and opened again
        subprocess.run(
            [sys.executable, "-c", SYSTEM, str(tmp_path)], env=environment, cwd=ROOT, check=True, timeout=120
        )
    files = sorted(tmp_path.rglob("data.mdb"))
    assert len(files) == 4
    assert [data_format(file) for file in files] == [1, 1, 1, 1]
    for name in ("thread", "process"):
        with EventLog.open(tmp_path / name, Codec(), siblings=["replicas"]) as log:
            assert log.head == 0


@pytest.mark.parametrize(
    "open_it", [EventLog.open, LogFollower.open, lambda path, codec: open_environment(path)]
)
def test_a_file_of_the_other_engine_is_named_as_what_it_is(tmp_path: Path, open_it: object) -> None:
    other_engine(tmp_path / "log")
    before = {file: file.read_bytes() for file in (tmp_path / "log").iterdir()}
    with pytest.raises(OtherEngine, match=r"written by LMDB 1\.0 \(data format 3\).*it is not damaged"):
        open_it(tmp_path / "log", Codec())  # type: ignore[operator]
    assert {file: file.read_bytes() for file in (tmp_path / "log").iterdir()} == before


def test_a_development_version_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(bytes(16) + b"\xde\xc0\xef\xbe\x02\0\0\0"[::1] + bytes(40))
    with pytest.raises(OtherEngine, match="development version"):
        check_directory(tmp_path)


def test_other_numbers_beside_the_magic_number_are_damage(tmp_path: Path) -> None:
    for head in (
        bytes(16) + b"\xde\xc0\xef\xbe\x09\0\0\0",
        bytes(24) + b"\xde\xc0\xef\xbe\x01\0\0\0",
        bytes(16) + b"\xde\xc0\xef\xbe",
    ):
        (tmp_path / "data.mdb").write_bytes(head)
        with pytest.raises(DamagedStore, match="not what LMDB writes"):
            check_directory(tmp_path)


def test_the_other_engine_says_that_a_file_is_none_of_lmdb_and_not_that_its_version_is_another(
    tmp_path: Path,
) -> None:
    for made in (0, 1):
        path = str(tmp_path / str(made))
        lmdb.open(path, lib_version=made).close()
        with pytest.raises(lmdb.InvalidError):
            lmdb.open(path, lib_version=1 - made)
        lmdb.open(path).close()  # without a version it takes the one that fits


def test_a_log_of_the_other_engine_is_copied_as_the_guide_says(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "ours", Codec()) as log:
        log.append([], notes=[(b"key", b"value")])
        history = log.history_id
    with (
        lmdb.open(str(tmp_path / "ours"), max_dbs=9) as ours,
        lmdb.open(str(tmp_path / "other"), max_dbs=9, lib_version=1) as other,
    ):
        for name in (b"meta", *(name.encode() for name in DATABASES)):
            database, copy = ours.open_db(name), other.open_db(name)
            with ours.begin(db=database) as reading, other.begin(db=copy, write=True) as writing:
                for key, value in reading.cursor():
                    writing.put(key, value)
    with pytest.raises(OtherEngine):
        EventLog.open(tmp_path / "other", Codec())
    environment = {name: value for name, value in os.environ.items() if name != "LMDB_DEFAULT_LIB_VERSION"}
    command = [sys.executable, "-m", "lmdb", "-e", "other", "rewrite", "-E", "copied", "meta", *DATABASES]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    with EventLog.open(tmp_path / "copied", Codec()) as log:
        assert log.note(b"key") == b"value"
        assert log.history_id == history
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert " ".join(["rewrite", "-E", "copied", "meta", *DATABASES]) in guide


def test_a_replica_of_the_other_engine_is_begun_anew(tmp_path: Path) -> None:
    def open_replica() -> ReplicaStore:
        return ReplicaStore.open(tmp_path / "r", [TABLES], Codec(), history_id="h", log_head=9)

    open_replica().close()
    for file in ("data.mdb", "lock.mdb"):
        (tmp_path / "r" / file).unlink()
    other_engine(tmp_path / "r")
    with pytest.raises(OtherEngine):
        ReplicaReader.open(tmp_path / "r", Codec(), [TABLES])
    with open_replica() as store:
        assert "written by LMDB 1.0" in (store.reset_reason or "")
        with store.write() as transaction:
            transaction.tables("tables")[ROWS].put({"id": 1, "number": 2})

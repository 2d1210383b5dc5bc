"""`onewriter verify` on rows, progress and backups, and what it compares with `--deep`."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import lmdb
import pytest

from actors import Domain, Personal, System
from actors.__main__ import main
from actors.process_managers.records import Checkpoint
from storage import Codec, EventLog
from storage.files.environment import ENGINE

counted = Domain("verified-deep")


@counted.event(state=None)
class Counted:
    number: int


totals = counted.read_model("totals")
numbers = totals.table("numbers", key="number")
in_sql = counted.read_model(
    "in_sql", engine="sqlite", schema="CREATE TABLE numbers (number INTEGER PRIMARY KEY, twice INTEGER)"
)
in_memory = counted.read_model("in_memory", engine="memory")


@totals.on
def on_counted(event: Counted, tables: Any) -> None:
    tables[numbers].put({"number": event.number, "twice": 2 * event.number})


@in_sql.on
def on_counted_in_sql(event: Counted, database: Any) -> None:
    database.execute("INSERT INTO numbers VALUES (?, ?)", (event.number, 2 * event.number))


DOMAIN = f"{__name__}:counted"
people = Domain("verified-people")


@people.event(state=None)
class Joined:
    person: str
    name: Annotated[str, Personal(subject="person")]


names = people.read_model("names")
by_person = names.table("by_person", key="person")


@names.on
def on_joined(event: Joined, tables: Any) -> None:
    tables[by_person].put({"person": event.person, "name": event.name})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    with System.open(path, counted, replicas=2) as system:
        system.append("counts", [Counted(number) for number in range(100)])
        system.wait_applied()
    return path


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    def run(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
        code = main(["verify", *map(str, arguments), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def change_a_row(replica: Path) -> None:
    """Change a row behind the digest that the replica keeps."""
    with closing(lmdb.open(str(replica), max_dbs=100, lib_version=ENGINE)) as environment:
        with environment.begin() as transaction:
            names = [bytes(name) for name, _ in transaction.cursor()]
        [name] = [one for one in names if one.startswith(b"totals@") and one.endswith(b"/numbers")]
        table = environment.open_db(name, create=False)
        with environment.begin(write=True) as transaction, transaction.cursor(table) as cursor:
            cursor.first()
            key, row = cursor.item()
            cursor.put(key, row[:-1] + bytes([row[-1] ^ 1]))


def test_rows_are_compared_with_their_digest_and_with_the_log(store: Path, verify: Any) -> None:
    code, found = verify(store, "--deep", "--domain", DOMAIN)
    assert code == 0
    assert [(one["sound"], one["rows"]) for one in found if one["file"].endswith("data.mdb")] == [
        (True, None),
        (True, 100),
        (True, 100),
        (True, 200),
        (True, 200),
    ]


def test_rows_without_a_digest_are_named(tmp_path: Path, verify: Any) -> None:
    with System.open(tmp_path / "one", counted, replicas=1) as system:
        system.append("counts", [Counted(number) for number in range(5)])
        system.wait_applied()
    code, found = verify(tmp_path / "one")
    [replica] = [one for one in found if one["file"].endswith("replica-1/data.mdb")]
    assert (code, replica["rows"]) == (0, 0)
    assert "'totals' has no digest of its rows" in replica["remarks"][0]
    change_a_row(tmp_path / "one" / "replicas" / "replica-1")
    assert verify(tmp_path / "one", "--deep", "--domain", DOMAIN)[0] == 1


def test_a_changed_row_is_found(store: Path, verify: Any) -> None:
    change_a_row(store / "replicas" / "replica-2")
    code, found = verify(store)
    assert code == 1
    [wrong] = [one for one in found if not one["sound"]]
    assert "replica-2" in wrong["file"]
    assert "not those that were written" in wrong["findings"][0]
    assert "filled from the log again" in wrong["advice"]
    assert verify(store, "--log-only")[0] == 0
    code, found = verify(store, "--deep", "--domain", DOMAIN)
    assert code == 1
    [wrong] = [one for one in found[-2:] if not one["sound"]]
    assert "1 rows of totals.numbers are not what the log gives at position 100" in wrong["findings"]


def test_a_changed_row_of_a_sqlite_model_is_found_by_a_deep_look(store: Path, verify: Any) -> None:
    [file] = store.glob("replicas/replica-1/engines/*/model.sqlite")
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE numbers SET twice = 7 WHERE number = 3")
        db.commit()
    assert verify(store)[0] == 0
    code, found = verify(store, "--deep", "--domain", DOMAIN)
    assert code == 1
    [wrong] = [one for one in found if not one["sound"]]
    assert "rows of in_sql.numbers are not what the log gives" in wrong["findings"][0]


def test_progress_beyond_the_log_is_found(store: Path, verify: Any) -> None:
    with EventLog.open(store, Codec(), siblings=["replicas", "identity", "deliveries"]) as log:
        log.append([], notes=[(b"pm/worker/place", Checkpoint(101, 7).pack())])
    code, found = verify(store, "--log-only")
    assert code == 1
    assert found[0]["findings"] == [
        "process manager 'worker' is at position 101, and the log ends at 100: its last events are lost"
    ]


def test_a_replica_of_another_history_is_named(store: Path, tmp_path: Path, verify: Any) -> None:
    other = tmp_path / "other"
    with System.open(other, counted, replicas=1):
        pass
    shutil.rmtree(store / "replicas" / "replica-1")
    shutil.copytree(other / "replicas" / "replica-1", store / "replicas" / "replica-1")
    code, found = verify(store)
    assert code == 1
    [wrong] = [one for one in found if not one["sound"]]
    assert "belongs to history" in wrong["findings"][0]


def test_every_file_of_a_backup_is_verified(store: Path, tmp_path: Path, verify: Any) -> None:
    backups = tmp_path / "backups"
    with System.open(store, counted, replicas=1) as system:
        system.backup(backups)
        system.append("counts", [Counted(number) for number in range(100, 120)])
        system.backup(backups)
        system.backup(backups)
    code, found = verify(backups)
    assert (code, [one["events"] for one in found]) == (0, [100, 120, 120])
    assert verify(backups / "00000002-increment.backup")[0] == 0
    middle = backups / "00000002-increment.backup"
    data = bytearray(middle.read_bytes())
    data[len(data) // 2] ^= 1
    middle.write_bytes(data)
    code, found = verify(backups)
    assert (code, [one["sound"] for one in found]) == (1, [True, False, True])
    middle.unlink()
    code, found = verify(backups)
    assert (code, [one["sound"] for one in found]) == (1, [True, False])
    assert "a file is missing" in found[1]["findings"][0]
    (backups / "00000001-full.backup").write_bytes(b"onewriter")
    code, found = verify(backups)
    assert "not a file of a backup" in found[0]["findings"][0]
    assert verify(backups, "--deep", "--domain", DOMAIN)[0] == 2
    assert verify(store, "--deep")[0] == 2


def test_personal_fields_are_not_compared_without_their_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, key = str(tmp_path / "store"), str(tmp_path / "master.key")
    assert main(["keys", "new", key]) == 0
    with System.open(path, people, replicas=1, master_key=key) as system:
        system.append("people", [Joined("p1", "Ann")])
        system.wait_applied()
    deep = ["verify", path, "--deep", "--domain", f"{__name__}:people"]
    assert main(deep) == 2
    told = capsys.readouterr()
    assert "DAMAGED" not in told.out
    assert "KeysUnavailable: domain 'verified-people' has personal fields" in told.err
    assert main([*deep, "--master-key", key]) == 0
    assert "1 rows" in capsys.readouterr().out

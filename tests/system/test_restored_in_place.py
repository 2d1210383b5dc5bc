"""A log that is put back from a backup and grows past its replicas' checkpoints: they were filled from
another history.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any, Literal

import lmdb
import pytest

from actors import DamagedStore, Do, Domain, System
from storage import Codec
from storage.log.checksums import sealed_record
from storage.log.history import DIGEST_BYTES, History, digest_of, pack_checkpoint, unpack_checkpoint
from storage.replica.replica_store import ReplicaStore
from tests.storage.replica.replica_process import TABLES, TEXTS, TOTALS, apply

ledger = Domain("restored-ledger")


@ledger.state(stream="account-{name}")
class Account:
    name: str
    total: int


@ledger.event(Account)
class Paid:
    name: str
    amount: int


@ledger.command(Account)
class Pay:
    name: str
    amount: int


@ledger.decide
def pay(account: Account | None, command: Pay) -> Any:
    yield Paid(command.name, command.amount)


@ledger.evolve
def paid(account: Account | None, event: Paid) -> Account:
    return Account(event.name, event.amount + (account.total if account else 0))


totals = ledger.read_model("totals")
rows = totals.table("rows", key="name")


@totals.on
def on_paid(event: Paid, tables: Any) -> None:
    before = tables[rows].get(event.name) or {"total": 0}
    tables[rows].put({"name": event.name, "total": before["total"] + event.amount})


sums = ledger.read_model(
    "sums", engine="sqlite", schema="CREATE TABLE sums (name TEXT PRIMARY KEY, total INTEGER)"
)


@sums.on
def on_paid_sum(event: Paid, database: Any) -> None:
    database.execute(
        "INSERT INTO sums VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET total = total + excluded.total",
        (event.name, event.amount),
    )


objects = ledger.read_model("objects", engine="memory")
held = objects.object("held", dict)


@objects.on
def on_paid_object(event: Paid, target: Any) -> None:
    target[held][event.name] = target[held].get(event.name, 0) + event.amount


kept = ledger.read_model("kept", inline=True)
kept_rows = kept.table("kept_rows", key="name")


@kept.on
def on_paid_kept(event: Paid, tables: Any) -> None:
    before = tables[kept_rows].get(event.name) or {"total": 0}
    tables[kept_rows].put({"name": event.name, "total": before["total"] + event.amount})


watcher = ledger.process_manager("watcher", key="name", start="beginning")


@watcher.state
class Watched:
    total: int


@watcher.on
def on_paid_watched(state: Watched | None, event: Paid, do: Do) -> Watched:
    return Watched(event.amount + (state.total if state else 0))


@ledger.query(reads=[totals, sums, objects])
class Everywhere:
    def run(self, view: Any) -> list[dict[str, int]]:
        return [
            {row["name"]: row["total"] for row in view[rows].all()},
            dict(view[sums].execute("SELECT name, total FROM sums").fetchall()),
            dict(view[held]),
        ]


@ledger.query(reads=[kept])
class Kept:
    def run(self, view: Any) -> dict[str, int]:
        return {row["name"]: row["total"] for row in view[kept_rows].all()}


Workers = Literal["thread", "process"]


def put_back(path: Path, backup: Path) -> None:
    for file in ("data.mdb", "lock.mdb"):
        (path / file).unlink(missing_ok=True)
    shutil.copy(backup / "data.mdb", path / "data.mdb")


def pay_all(system: System, *names: str, amount: int = 1) -> None:
    for name in names:
        system.execute(Pay(name, amount))


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_replica_that_was_filled_from_another_history_is_begun_anew(
    tmp_path: Path, workers: Workers
) -> None:
    path, backup = tmp_path / "store", tmp_path / "backup"
    with System.open(path, ledger, replicas=2, workers=workers) as system:
        pay_all(system, "ann", "bob")
        system.wait_applied()
        system.wait_process_managers()
    shutil.copytree(path, backup)
    with System.open(path, ledger, replicas=2, workers=workers) as system:
        pay_all(system, "ann", "ann", "cid", amount=100)
        system.wait_applied()
    put_back(path, backup)
    # One replica alone, so that the other one does not notice: the log grows past its checkpoint.
    with System.open(path, ledger, replicas=1, managers=True) as system:
        assert "ahead of the log" in (system.health().replicas[0].reset_reason or "")
        pay_all(system, *(["dan"] * 5))
    with System.open(path, ledger, replicas=2, workers=workers) as system:
        expected = {"ann": 1, "bob": 1, "dan": 5}
        for _ in range(6):
            assert system.query(Everywhere(), consistency="strong") == [expected] * 3
        assert system.query(Kept()) == expected
        system.wait_process_managers()
        assert system.process_manager_state("watcher", "dan") == Watched(5)
        assert system.process_manager_state("watcher", "cid") is None
        first, second = (replica.reset_reason for replica in system.health().replicas)
        assert first is None
        assert "was filled from another history" in (second or "")
        system.wait_applied()
        assert system.dump("replica-1", totals) == system.dump("replica-2", totals)
    with System.open(path, ledger, replicas=2, workers=workers) as system:
        assert [replica.reset_reason for replica in system.health().replicas] == [None, None]


@pytest.mark.parametrize("note", ["place", "about"])
@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"\x91\x01", bytes(33)])
def test_what_a_process_manager_noted_is_part_of_the_log_and_damaged_with_it(
    tmp_path: Path, note: str, value: bytes
) -> None:
    with System.open(tmp_path / "s", ledger, replicas=1):
        pass
    with (
        lmdb.open(str(tmp_path / "s"), max_dbs=20) as environment,
        environment.begin(write=True) as transaction,
    ):
        notes = environment.open_db(b"notes", txn=transaction, create=False)
        key = f"pm/watcher/{note}".encode()
        assert transaction.replace(key, sealed_record("notes", key, value), db=notes)
    with pytest.raises(DamagedStore, match=r"process manager 'watcher', in the log, .*restore a backup"):
        System.open(tmp_path / "s", ledger, replicas=1)


def test_a_consumers_position_goes_back_with_the_log(tmp_path: Path) -> None:
    path, backup = tmp_path / "store", tmp_path / "backup"

    def delivered(system: System) -> list[str]:
        found = []
        with system.consumer("mail", start="beginning", timeout=0) as consumer:
            for delivery in consumer:
                found.append(delivery.event.name)
                delivery.ack(wait=True)
        return found

    with System.open(path, ledger, replicas=1) as system:
        pay_all(system, "ann")
        assert delivered(system) == ["ann"]
    shutil.copytree(path, backup)
    with System.open(path, ledger, replicas=1) as system:
        pay_all(system, "bob", "cid")
        assert delivered(system) == ["bob", "cid"]
    put_back(path, backup)
    with System.open(path, ledger, replicas=1, managers=True) as system:
        pay_all(system, "dan", "eve", "fay")
        assert delivered(system) == ["dan", "eve", "fay"]


# -- the parts -----------------------------------------------------------------------------------------------
MODELS = (TABLES, TEXTS, TOTALS)


def digest(position: int) -> bytes:
    return digest_of(b"event %d" % position)


def opened(path: Path, digest: Any = digest) -> ReplicaStore:
    return ReplicaStore.open(
        path, MODELS, Codec(), history_id="h", log_head=99, digest=digest, map_size=1 << 24
    )


def fill(store: ReplicaStore, known: bool = True) -> None:
    for position in range(1, 6):
        with store.write() as transaction:
            for build in store.builds():
                transaction.target(build.key)
                transaction.set_checkpoint(build.key, position, digest(position) if known else b"")


@pytest.mark.parametrize("model", [TABLES, TEXTS, TOTALS])
def test_each_engine_knows_the_event_at_its_checkpoint(tmp_path: Path, model: Any) -> None:
    def alone(digest: Any) -> ReplicaStore:
        return ReplicaStore.open(
            tmp_path / "r", [model], Codec(), history_id="h", log_head=99, digest=digest, map_size=1 << 24
        )

    with alone(digest) as store:
        fill(store)
    with alone(digest) as store:
        assert store.reset_reason is None
        assert store.checkpoints() == {model.name: 5}
    with alone(lambda position: digest(position + 1)) as store:
        assert "the event at position 5 was another one" in (store.reset_reason or "")
        assert store.checkpoints() == {model.name: 0}


def test_a_replica_without_digests_is_taken_over_and_gets_them(tmp_path: Path) -> None:
    with opened(tmp_path / "r") as store:
        fill(store, known=False)
    with opened(tmp_path / "r") as store:
        assert store.reset_reason is None
        assert set(store.checkpoints().values()) == {5}
        apply(store, 6)  # as an earlier version does
    with lmdb.open(str(tmp_path / "r"), max_dbs=9) as environment, environment.begin() as transaction:
        meta = environment.open_db(b"meta", txn=transaction, create=False)
        stored = [data for key, data in transaction.cursor(meta) if key.startswith(b"checkpoint/")]
        assert [len(data) for data in stored] == [8]
    with opened(tmp_path / "r") as store:
        assert store.reset_reason is None
        fill(store)
    with opened(tmp_path / "r", lambda position: b"another") as store:
        assert "another history" in (store.reset_reason or "")


def test_a_database_of_sqlite_without_digests_is_taken_over_and_gets_them(tmp_path: Path) -> None:
    def alone(digest: Any) -> ReplicaStore:
        return ReplicaStore.open(
            tmp_path / "r", [TEXTS], Codec(), history_id="h", log_head=99, digest=digest, map_size=1 << 24
        )

    with alone(digest) as store:
        fill(store)
    [file] = tmp_path.glob("r/engines/texts@*/model.sqlite")
    db = sqlite3.connect(file)
    with db:
        for column in ("digest", "shape"):  # as an earlier version made it
            db.execute(f"ALTER TABLE onewriter_checkpoint DROP COLUMN {column}")
    db.close()
    with alone(lambda position: b"another") as store:
        assert store.reset_reason is None
        assert store.checkpoints() == {"texts": 5}
        fill(store)
    with alone(lambda position: b"another") as store:
        assert "another history" in (store.reset_reason or "")


def test_what_is_not_known_of_the_log_is_no_reason(tmp_path: Path) -> None:
    history = History("h", 9, lambda position: b"")
    assert history.reason_against("model", 5, b"digest") is None
    assert history.reason_against("model", 0, b"") is None
    assert "ahead of the log" in (history.reason_against("model", 10, b"") or "")


def test_checkpoints_and_digests_are_what_they_were() -> None:
    assert unpack_checkpoint(pack_checkpoint(7)) == (7, b"")
    assert unpack_checkpoint(pack_checkpoint(7, digest(7))) == (7, digest(7))
    with pytest.raises(ValueError, match="of 9 bytes"):
        unpack_checkpoint(bytes(9))
    assert len(digest(1)) == DIGEST_BYTES
    large = bytes(100_000)
    assert digest_of(large) != digest_of(large + b"\0")
    assert digest_of(large) != digest_of(large[:-1] + b"\1") != digest_of(b"\1" + large[1:])

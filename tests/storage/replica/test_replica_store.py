"""Replicas: tables and checkpoints commit together, snapshots do not change, untrusted data are dropped."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from storage.codec.codec import Codec
from storage.errors import (
    DamagedStore,
    InvalidSchema,
    NewerFormat,
    NotAStore,
    SnapshotClosed,
    StorageError,
    StoreClosed,
    StoreFull,
    StoreLocked,
)
from storage.files.header import META_DB, Header, write_header
from storage.replica.preparation import open_replica_environment
from storage.replica.replica_store import ReplicaStore
from storage.tables.schema import ModelSchema, TableSchema

PRODUCTS = TableSchema("products", "sku", ["price"])
SALES = TableSchema("sales", "day")
CATALOG = ModelSchema("catalog", 1, (PRODUCTS,))
REPORT = ModelSchema("report", 1, (SALES,))
MAP = 1 << 26


def opened(path: Path, *models: ModelSchema, **changes: Any) -> ReplicaStore:
    options = {"history_id": "h1", "log_head": 10, "map_size": MAP, "boot_id": "boot-1", **changes}
    return ReplicaStore.open(path, models or (CATALOG, REPORT), Codec(), **options)


def filled(path: Path) -> ReplicaStore:
    store = opened(path)
    with store.write() as transaction:
        transaction.tables("catalog")[PRODUCTS].put({"sku": "lamp", "price": 5})
        transaction.tables("report")[SALES].put({"day": 1, "total": 3})
        transaction.set_checkpoint("catalog", 7)
        transaction.set_checkpoint("report", 5)
    return store


def abandoned(path: Path) -> None:
    """Leave a filled replica as a process leaves it that is killed."""
    program = (
        "import os, sys; sys.path[:0] = sys.argv[2:]; from pathlib import Path\n"
        "from tests_replica import filled\nstore = filled(Path(sys.argv[1]))\nos._exit(0)"
    )
    loader = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('tests_replica', {str(Path(__file__))!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['tests_replica'] = module\n"
        "spec.loader.exec_module(module)\n"
    )
    root = str(Path(__file__).parents[3])
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{loader}{program}", str(path)],
        check=True,
        timeout=60,
    )


def is_filled(store: ReplicaStore) -> bool:
    return store.checkpoints() == {"catalog": 7, "report": 5} and len(store.dump("catalog")["products"]) == 1


def is_empty(store: ReplicaStore) -> bool:
    return store.checkpoints() == {"catalog": 0, "report": 0} and store.dump("catalog") == {"products": []}


# -- transactions and snapshots ------------------------------------------------------------------------------
def test_tables_and_checkpoints_survive_a_clean_stop(store_path: Path) -> None:
    filled(store_path).close()
    with opened(store_path, boot_id="boot-2") as store:
        assert store.reset_reason is None
        assert is_filled(store)
        assert store.dump("report") == {"sales": [{"day": 1, "total": 3}]}
        assert store.size_bytes() > 0
    assert stat.S_IMODE(store_path.stat().st_mode) == 0o700


def test_an_aborted_transaction_leaves_tables_and_checkpoints_as_they_were(store_path: Path) -> None:
    def write_and_fail(store: ReplicaStore) -> None:
        with store.write() as transaction:
            transaction.tables("catalog")[PRODUCTS].put({"sku": "desk", "price": 1})
            transaction.flush()
            transaction.set_checkpoint("catalog", 8)
            assert transaction.checkpoint("catalog") == 8
            raise ZeroDivisionError

    with filled(store_path) as store:
        with pytest.raises(ZeroDivisionError):
            write_and_fail(store)
        assert is_filled(store)


def test_a_snapshot_stays_as_it_is_while_a_writer_commits(store_path: Path) -> None:
    with filled(store_path) as store, store.snapshot() as snapshot:
        table = snapshot.table("catalog", PRODUCTS)
        for price in range(50):
            with store.write() as transaction:
                transaction.tables("catalog")[PRODUCTS].update("lamp", price=price)
                transaction.set_checkpoint("catalog", 8)
            assert table.get("lamp") == {"sku": "lamp", "price": 5}
            assert list(table.range("price")) == [{"sku": "lamp", "price": 5}]
            assert snapshot.checkpoint("catalog") == 7
        with store.snapshot() as later:
            assert later.table("catalog", PRODUCTS).get("lamp") == {"sku": "lamp", "price": 49}
            assert later.checkpoint("catalog") == 8
            assert later.opened >= snapshot.opened


def test_rows_and_checkpoint_of_a_snapshot_always_agree(store_path: Path) -> None:
    store = opened(store_path, log_head=10**6)
    done = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not done.is_set():
            with store.snapshot() as snapshot:
                row = snapshot.table("catalog", PRODUCTS).get("lamp")
                if (row["price"] if row else 0) != snapshot.checkpoint("catalog"):
                    wrong.append(row)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for position in range(1, 400):
        with store.write() as transaction:
            transaction.tables("catalog")[PRODUCTS].put({"sku": "lamp", "price": position})
            transaction.set_checkpoint("catalog", position)
    done.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert wrong == []
    store.close()


def test_a_dropped_snapshot_does_not_pin_its_transaction(store_path: Path) -> None:
    with filled(store_path) as store:
        reader = store.snapshot().table("catalog", PRODUCTS)
        assert reader.get("lamp") is not None
        assert len(store._open) == 1
        del reader
        assert len(store._open) == 0


def test_unknown_models_and_tables_are_named(store_path: Path) -> None:
    with filled(store_path) as store, store.snapshot() as snapshot:
        with pytest.raises(InvalidSchema, match=r"'other'.*catalog, report"):
            snapshot.table("other", PRODUCTS)
        with pytest.raises(InvalidSchema, match="sales"):
            snapshot.table("catalog", SALES)
        with pytest.raises(InvalidSchema, match="other"):
            snapshot.checkpoint("other")
        with store.write() as transaction, pytest.raises(InvalidSchema, match="sales"):
            transaction.tables("catalog")[SALES]
        with pytest.raises(InvalidSchema, match="other"), store.write() as transaction:
            transaction.set_checkpoint("other", 1)


def test_two_models_or_tables_of_one_name_are_refused(store_path: Path) -> None:
    with pytest.raises(InvalidSchema, match="one name"):
        opened(store_path, CATALOG, CATALOG)
    with pytest.raises(InvalidSchema, match="one name"):
        ModelSchema("m", 1, (PRODUCTS, PRODUCTS))
    assert not store_path.exists()


def test_a_full_map_is_said_and_leaves_the_replica_readable(store_path: Path) -> None:
    def write_too_much(store: ReplicaStore) -> None:
        with store.write() as transaction:
            table = transaction.tables("catalog")[PRODUCTS]
            for n in range(40):
                table.put({"sku": str(n), "blob": b"x" * 100_000})

    with opened(store_path, map_size=1 << 20) as store:
        with pytest.raises(StoreFull):
            write_too_much(store)
        assert is_empty(store)
        with store.write() as transaction:
            transaction.tables("catalog")[PRODUCTS].put({"sku": "a"})
        assert len(store.dump("catalog")["products"]) == 1


# -- closing -------------------------------------------------------------------------------------------------
def test_closing_closes_the_snapshots_first(store_path: Path) -> None:
    store = filled(store_path)
    snapshot = store.snapshot()
    table = snapshot.table("catalog", PRODUCTS)
    store.close()
    store.close()
    assert snapshot.closed
    for read in (lambda: table.get("lamp"), lambda: snapshot.checkpoint("catalog"), lambda: table.count()):
        with pytest.raises(SnapshotClosed):
            read()
    snapshot.close()
    with pytest.raises(StoreClosed):
        store.snapshot()
    with pytest.raises(StoreClosed), store.write():
        pass


def test_closing_while_threads_take_snapshots_and_read_is_safe(store_path: Path) -> None:
    store = filled(store_path)
    reading = threading.Barrier(5)
    ends: list[str] = []

    def read() -> None:
        reading.wait(10)
        try:
            while True:
                with store.snapshot() as snapshot:
                    assert snapshot.table("catalog", PRODUCTS).get("lamp") == {"sku": "lamp", "price": 5}
        except (SnapshotClosed, StoreClosed) as error:
            ends.append(type(error).__name__)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    reading.wait(10)
    store.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert len(ends) == 4


def test_closing_waits_for_a_writer_only_so_long(store_path: Path) -> None:
    store = filled(store_path)
    with store.write() as transaction:
        with pytest.raises(StorageError, match="write transaction"):
            store.close(timeout=0.01)
        transaction.set_checkpoint("catalog", 9)
    assert store.checkpoints()["catalog"] == 9
    store.close()


def test_tables_of_a_transaction_that_has_ended_are_refused(store_path: Path) -> None:
    with filled(store_path) as store:
        with store.write() as transaction:
            table = transaction.tables("catalog")[PRODUCTS]
        with pytest.raises(SnapshotClosed):
            table.get("lamp")
        with pytest.raises(SnapshotClosed):
            transaction.set_checkpoint("catalog", 9)


def test_a_second_opener_is_told_who_holds_the_replica(store_path: Path) -> None:
    with filled(store_path), pytest.raises(StoreLocked, match=str(os.getpid())):
        opened(store_path)
    with opened(store_path) as store:
        assert is_filled(store)


# -- what is not to be trusted -------------------------------------------------------------------------------
def test_a_replica_goes_on_after_its_process_was_killed(store_path: Path) -> None:
    abandoned(store_path)
    with opened(store_path) as store:
        assert store.reset_reason is None
        assert is_filled(store)


def test_a_replica_begins_anew_after_the_machine_went_down(store_path: Path) -> None:
    abandoned(store_path)
    with opened(store_path, boot_id="boot-2") as store:
        assert "machine" in str(store.reset_reason)
        assert is_empty(store)


def test_an_unknown_boot_id_counts_as_another_one(store_path: Path) -> None:
    opened(store_path, boot_id="").close()
    abandoned(store_path)
    with opened(store_path, boot_id="") as store:
        assert "machine" in str(store.reset_reason)


def test_a_replica_of_another_history_begins_anew(store_path: Path) -> None:
    filled(store_path).close()
    with opened(store_path, history_id="h2") as store:
        assert "history" in str(store.reset_reason)
        assert is_empty(store)
    with opened(store_path, history_id="h2") as store:
        assert store.reset_reason is None


def test_a_replica_ahead_of_the_log_begins_anew(store_path: Path) -> None:
    filled(store_path).close()
    with opened(store_path, log_head=7) as store:
        assert store.reset_reason is None
    with opened(store_path, log_head=6) as store:
        assert "'catalog' is at position 7" in str(store.reset_reason)
        assert is_empty(store)


def test_a_condemned_replica_begins_anew(store_path: Path) -> None:
    store = filled(store_path)
    store.mark_damaged("an index names rows\nthat are not there")
    store.close()
    with opened(store_path) as store:
        assert store.reset_reason == "an index names rows that are not there"
        assert is_empty(store)
    with opened(store_path) as store:
        assert store.reset_reason is None


def overwrite(data: Path) -> None:
    data.write_bytes(b"\xa5" * data.stat().st_size)


def cut(data: Path) -> None:
    os.truncate(data, data.stat().st_size // 2)


def empty(data: Path) -> None:
    os.truncate(data, 0)


def break_header_pages(data: Path) -> None:
    with data.open("r+b") as file:
        for page in (0, 4096):
            file.seek(page + 16)
            file.write(b"\xff" * 64)


def remove_state(data: Path) -> None:
    (data.parent / "running").unlink()


def garble_state(data: Path) -> None:
    (data.parent / "running").write_bytes(b"\xff\0 garbage")


@pytest.mark.parametrize("damage", [overwrite, cut, break_header_pages, remove_state, garble_state])
def test_a_damaged_replica_begins_anew(store_path: Path, damage: Any) -> None:
    filled(store_path).close()
    damage(store_path / "data.mdb")
    with opened(store_path) as store:
        assert store.reset_reason
        assert is_empty(store)


@pytest.mark.parametrize("damage", [overwrite, cut, break_header_pages])
def test_a_replica_damaged_after_its_process_was_killed_begins_anew(store_path: Path, damage: Any) -> None:
    abandoned(store_path)
    damage(store_path / "data.mdb")
    with opened(store_path) as store:
        assert store.reset_reason
        assert is_empty(store)


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_replica_without_its_data_is_new(store_path: Path, how: str) -> None:
    filled(store_path).close()
    if how == "removed":
        (store_path / "data.mdb").unlink()
    else:
        empty(store_path / "data.mdb")
    with opened(store_path) as store:
        assert is_empty(store)


# -- what is not ours ----------------------------------------------------------------------------------------
def test_a_foreign_directory_is_refused_and_left_as_it_is(store_path: Path) -> None:
    store_path.mkdir()
    (store_path / "thesis.txt").write_text("years of work")
    with pytest.raises(NotAStore):
        opened(store_path)
    assert os.listdir(store_path) == ["thesis.txt"]


def test_a_file_is_refused(store_path: Path) -> None:
    store_path.write_text("a file")
    with pytest.raises(NotAStore):
        opened(store_path)
    assert store_path.read_text() == "a file"


def test_an_environment_of_another_kind_is_refused_and_kept(store_path: Path) -> None:
    environment = open_replica_environment(store_path, MAP, 64)
    with environment.begin(write=True) as txn:
        write_header(txn, environment.open_db(META_DB, txn=txn), Header.new("log"))
    environment.close()
    before = (store_path / "data.mdb").read_bytes()
    with pytest.raises(NotAStore):
        opened(store_path)
    assert (store_path / "data.mdb").read_bytes() == before


def test_a_damaged_environment_that_is_not_marked_as_a_replica_is_kept(store_path: Path) -> None:
    filled(store_path).close()
    remove_state(store_path / "data.mdb")
    overwrite(store_path / "data.mdb")
    before = (store_path / "data.mdb").read_bytes()
    with pytest.raises(DamagedStore):
        opened(store_path)
    assert (store_path / "data.mdb").read_bytes() == before


def test_a_newer_replica_is_refused_and_kept(store_path: Path) -> None:
    filled(store_path).close()
    environment = open_replica_environment(store_path, MAP, 64)
    with environment.begin(write=True) as txn:
        header = Header("replica", "h1", Header.new("replica").created, format=99)
        write_header(txn, environment.open_db(META_DB, txn=txn), header)
    environment.close()
    size = (store_path / "data.mdb").stat().st_size
    with pytest.raises(NewerFormat, match="99"):
        opened(store_path)
    assert (store_path / "data.mdb").stat().st_size == size


# -- models that change --------------------------------------------------------------------------------------
def test_a_changed_model_is_filled_anew_beside_its_old_tables_and_no_others_are(store_path: Path) -> None:
    for changed in (
        ModelSchema("catalog", 2, (PRODUCTS,)),
        ModelSchema("catalog", 1, (TableSchema("products", "sku", ["price", "name"]),)),
        ModelSchema("catalog", 1, (PRODUCTS, TableSchema("more", "id"))),
    ):
        filled(store_path).close()
        with opened(store_path, changed, REPORT) as store:
            assert store.reset_reason is None
            assert store.checkpoints() == {"catalog": 7, "report": 5}
            assert store.dump("catalog") == {"products": [{"sku": "lamp", "price": 5}]}
            assert store.active("catalog").schema is None
            wanted = store.wanted("catalog")
            assert wanted.schema is changed
            assert store.build_checkpoints()[wanted.key] == 0
            assert store.dump(wanted.key)["products"] == []
            assert store.wanted("report") == store.active("report")
            assert store.dump("report") == {"sales": [{"day": 1, "total": 3}]}
        shutil.rmtree(store_path)


def test_a_model_that_is_gone_takes_its_tables_with_it(store_path: Path) -> None:
    filled(store_path).close()
    with opened(store_path, REPORT) as store:
        assert store.checkpoints() == {"report": 5}
        names = [bytes(name) for name, _ in store._environment.begin().cursor()]
        assert names == [b"meta", f"{store.active('report').key}/sales".encode()]
    with opened(store_path) as store:
        assert store.checkpoints() == {"catalog": 0, "report": 5}
        assert store.dump("catalog") == {"products": []}


def test_an_unchanged_model_keeps_its_tables_whatever_order_it_is_described_in(store_path: Path) -> None:
    filled(store_path).close()
    with opened(
        store_path, REPORT, ModelSchema("catalog", 1, (TableSchema("products", "sku", ["price"]),))
    ) as store:
        assert is_filled(store)

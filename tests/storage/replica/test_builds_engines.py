"""Builds of several engines in one replica: committed and read together, switched, frozen, reset."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from storage.codec.codec import Codec
from storage.engines.memory.store import MemoryStore
from storage.engines.sqlite.store import SqliteStore
from storage.errors import InvalidSchema, SnapshotClosed, StorageError, StoreClosed, StoreFull
from storage.replica.replica_store import ReplicaStore, Snapshot, WriteTransaction
from storage.tables.schema import ModelSchema, ObjectSchema, TableSchema
from tests.helpers import PATIENCE, Threads

MAP = 1 << 27
ROWS = TableSchema("rows", "id")
SUMS = ObjectSchema("sums", dict)
TABLES = ModelSchema("tables", 1, (ROWS,))
TEXTS = ModelSchema(
    "texts", 1, engine="sqlite", script="CREATE TABLE texts (id INTEGER PRIMARY KEY, number INTEGER)"
)
NEW_TEXTS = ModelSchema(
    "texts",
    2,
    engine="sqlite",
    script="CREATE TABLE texts (id INTEGER PRIMARY KEY, number INTEGER, more TEXT)",
)
TOTALS = ModelSchema("totals", 1, engine="memory", objects=(SUMS,))
NEW_TOTALS = ModelSchema("totals", 2, engine="memory", objects=(SUMS, ObjectSchema("more", list)))
ALL = (TABLES, TEXTS, TOTALS)
NAMES = ("tables", "texts", "totals")


def opened(path: Path, *models: ModelSchema, **changes: Any) -> ReplicaStore:
    options = {"history_id": "h1", "log_head": 10_000, "map_size": MAP, "boot_id": "boot-1", **changes}
    return ReplicaStore.open(path, models or ALL, Codec(), **options)


def project(transaction: WriteTransaction, build: str, model: str, number: int) -> None:
    target = transaction.target(build)
    if model == "tables":
        target[ROWS].put({"id": 1, "number": number})
    elif model == "texts":
        target.execute("INSERT OR REPLACE INTO texts (id, number) VALUES (1, ?)", (number,))
    else:
        target[SUMS]["number"] = number


def apply(store: ReplicaStore, position: int, models: tuple[str, ...] = NAMES) -> None:
    """Apply one event that sets the number of each of these models to its position."""
    with store.write() as transaction:
        for model in models:
            project(transaction, store.active(model).key, model, position)
            transaction.set_checkpoint(store.active(model).key, position)


def number_of(snapshot: Snapshot, model: str) -> int:
    if model == "tables":
        row = snapshot.table("tables", ROWS).get(1) or {}
        return row.get("number", 0)
    if model == "texts":
        return dict(snapshot.target("texts").execute("SELECT id, number FROM texts").fetchall()).get(1, 0)
    found: int = snapshot.target("totals")[SUMS].get("number", 0)
    return found


def numbers(store: ReplicaStore) -> list[int]:
    with store.snapshot() as snapshot:
        return [number_of(snapshot, model) for model in NAMES]


def directories(store: ReplicaStore) -> set[str]:
    return {path.name for path in (store.path / "engines").iterdir()}


# -- together ------------------------------------------------------------------------------------------------
def test_all_engines_commit_together_and_go_on_after_a_restart(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 5)
        assert store.checkpoints() == dict.fromkeys(NAMES, 5)
        assert numbers(store) == [5, 5, 5]
        assert store.size_bytes() > (store_path / "data.mdb").stat().st_size
        assert store.dump("totals") == {"sums": [{"value": {"number": 5}}]}
        assert store.dump("texts")["texts"] == [{"id": 1, "number": 5}]
    with opened(store_path, boot_id="boot-2") as store:
        assert store.reset_reason is None
        assert store.checkpoints() == dict.fromkeys(NAMES, 5)
        assert numbers(store) == [5, 5, 5]
        assert [store.state.changed(model) for model in NAMES] == [5, 5, 5]


def test_a_snapshot_of_several_engines_is_one_moment(store_path: Path) -> None:
    done = threading.Event()
    with opened(store_path) as store:
        apply(store, 1)

        def read(models: tuple[str, ...]) -> None:
            last = 0
            while not done.is_set():
                with store.snapshot(models) as snapshot:
                    found = {number_of(snapshot, model) for model in models}
                    found |= {snapshot.checkpoint(model) for model in models}
                    found |= {snapshot.changed(model) for model in models}
                    assert len(found) == 1
                    assert last <= min(found)
                    last = min(found)

        threads = Threads()
        for models in (NAMES, NAMES[:2], NAMES[1:], NAMES[:1], (NAMES[0], NAMES[2])):
            threads.start(read, models)
        try:
            for position in range(2, 120):
                apply(store, position)
        finally:
            done.set()
            threads.join()


def test_batches_without_a_pause_keep_no_snapshot_out(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that always misses the moment between two batches, as on an overloaded machine."""
    begun = threading.Event()
    begin = MemoryStore.begin
    await_readable = MemoryStore.await_readable

    def beginning(store: MemoryStore) -> Any:
        found = begin(store)
        begun.set()
        return found

    def late(store: MemoryStore, timeout: float = 10.0) -> None:
        await_readable(store, timeout)
        begun.clear()
        begun.wait(0.2)  # the next batch begins before this thread continues

    with opened(store_path) as store:
        apply(store, 1)
        monkeypatch.setattr("storage.engines.memory.store.PATIENCE", 0.0)
        monkeypatch.setattr("storage.replica.reader_turns.PATIENCE", PATIENCE / 4)
        monkeypatch.setattr(MemoryStore, "begin", beginning)
        monkeypatch.setattr(MemoryStore, "await_readable", late)
        ending = threading.Event()

        def write() -> None:
            position = 1
            while not ending.is_set():
                position += 1
                with store.write() as transaction:
                    for model in NAMES:
                        project(transaction, store.active(model).key, model, position)
                        transaction.set_checkpoint(store.active(model).key, position)
                    begun.clear()
                    begun.wait(0.01)

        with Threads() as threads:
            threads.start(write)
            try:
                for _ in range(3):
                    begun.wait(PATIENCE)
                    found = set(numbers(store))
                    assert len(found) == 1
            finally:
                ending.set()


def test_a_snapshot_waits_for_a_commit_no_longer_than_its_time(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ending = threading.Event(), threading.Event()
    commit = SqliteStore.commit

    def slow(self: SqliteStore, position: int, digest: bytes = b"") -> None:
        begun.set()
        assert ending.wait(PATIENCE)
        commit(self, position, digest)

    monkeypatch.setattr(SqliteStore, "commit", slow)
    with opened(store_path) as store, Threads() as threads:
        threads.start(apply, store, 3)
        try:
            assert begun.wait(PATIENCE)
            for seconds in (0.0, 0.02):
                with pytest.raises(StorageError, match="could not be read at one moment in time; try again"):
                    store.snapshot(end=time.monotonic() + seconds)
            with store.snapshot(["tables"], end=time.monotonic()) as snapshot:
                assert number_of(snapshot, "tables") == 0
        finally:
            ending.set()
        threads.join()
        assert numbers(store) == [3, 3, 3]


def test_tables_alone_wait_for_no_other_engine(store_path: Path) -> None:
    with opened(store_path) as store, store._engines_lock:
        apply(store, 3, ("tables",))
        with store.snapshot(["tables"]) as snapshot:
            assert number_of(snapshot, "tables") == snapshot.checkpoint("tables") == 3


def test_only_the_engines_of_the_models_named_are_opened(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
        with store.snapshot(["texts"]) as snapshot:
            assert number_of(snapshot, "texts") == 3
            assert snapshot.checkpoint("totals") == 3
            with pytest.raises(
                InvalidSchema, match=r"'totals' is not open .* name it when the snapshot is taken"
            ):
                snapshot.target("totals")
            with pytest.raises(InvalidSchema, match=r"'tables' is not open .* it has tables"):
                snapshot.target("tables")
            with pytest.raises(InvalidSchema, match="no read model 'x'"):
                snapshot.target("x")
            with pytest.raises(InvalidSchema, match="has no table"):
                snapshot.table("texts", ROWS)


def test_a_checkpoint_moves_without_an_event_that_concerns_the_model(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
        with store.write() as transaction:
            for model in NAMES:
                transaction.set_checkpoint(model, 9)
        assert store.checkpoints() == dict.fromkeys(NAMES, 9)
        assert [store.state.changed(model) for model in NAMES] == [3, 3, 3]
        assert store.state.changed("totals", "sums") == 3
    with opened(store_path) as store:
        assert store.checkpoints() == dict.fromkeys(NAMES, 9)


def test_what_raises_leaves_no_trace_in_any_engine(store_path: Path) -> None:
    def fail(store: ReplicaStore) -> None:
        with store.write() as transaction:
            for model in NAMES:
                project(transaction, model, model, 9)
                transaction.set_checkpoint(model, 9)
            raise ZeroDivisionError

    with opened(store_path) as store:
        apply(store, 3)
        with pytest.raises(ZeroDivisionError):
            fail(store)
        found = store.build_checkpoints()
        assert found[store.active("tables").key] == found[store.active("texts").key] == 3
        # Memory may have to be filled again from its saved position.
        assert found[store.active("totals").key] == store.state.checkpoint("totals") <= 3
        apply(store, 4)
        assert numbers(store) == [4, 4, 4]


@pytest.mark.parametrize("engine", [SqliteStore, MemoryStore])
def test_checkpoints_tell_what_was_committed_when_one_engine_can_not_be(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, engine: type
) -> None:
    def full(*_args: object) -> None:
        raise StoreFull("no room")

    with opened(store_path) as store:
        apply(store, 3)
        with monkeypatch.context() as patch:
            patch.setattr(engine, "commit", full)
            with pytest.raises(StoreFull):
                apply(store, 4)
        checkpoints = store.checkpoints()
        assert checkpoints["tables"] == 3
        assert checkpoints["texts"] == (3 if engine is SqliteStore else 4)
        assert checkpoints["totals"] <= 3
        assert {model: store.state.checkpoint(model) for model in NAMES} == checkpoints
        for position in (3, 4, 5):
            behind = tuple(model for model in NAMES if store.checkpoints()[model] < position)
            if behind:
                apply(store, position, behind)
        assert numbers(store) == [5, 5, 5]


def test_closing_ends_the_snapshots_of_all_engines(store_path: Path) -> None:
    store = opened(store_path)
    apply(store, 3)
    snapshot = store.snapshot()
    database = snapshot.target("texts")
    store.close()
    with pytest.raises(SnapshotClosed):
        snapshot.target("totals")
    with pytest.raises(SnapshotClosed):
        database.execute("SELECT 1")
    with pytest.raises(StoreClosed):
        store.snapshot(["texts"])
    with pytest.raises(StoreClosed):
        store.build_checkpoints()


# -- switching -----------------------------------------------------------------------------------------------
def test_a_build_of_another_engine_goes_when_nobody_reads_it_any_more(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
    with opened(store_path, TABLES, TEXTS, NEW_TEXTS, TOTALS) as store:
        former, wanted = store.active("texts"), store.wanted("texts")
        apply(store, 4)
        with store.write() as transaction:
            project(transaction, wanted.key, "texts", 2)
            transaction.set_checkpoint(wanted.key, 2)
        before = store.snapshot()
        store.activate(wanted.key)
        assert numbers(store) == [4, 2, 4]
        assert number_of(before, "texts") == before.checkpoint("texts") == 4
        apply(store, 5)
        assert number_of(before, "texts") == before.checkpoint("texts") == 4
        assert (before.version("texts"), store.state.version("texts")) == (1, 2)
        assert former.key in directories(store)
        before.close()
        apply(store, 6)
        assert former.key not in directories(store)
        assert numbers(store) == [6, 6, 6]
    with opened(store_path, TABLES, NEW_TEXTS, TOTALS) as store:
        assert numbers(store) == [6, 6, 6]
        assert store.builds() == [store.wanted(model) for model in NAMES]


def test_a_former_build_that_is_read_until_the_end_goes_with_closing(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
        former = store.active("texts")
        snapshot = store.snapshot()
        store.activate(store.start_build("texts").key)
        assert number_of(snapshot, "texts") == 3
        with store.snapshot() as wanted:
            assert number_of(wanted, "texts") == 0
        assert former.key in directories(store)
    assert former.key not in directories(store)
    assert snapshot.closed


def test_builds_of_other_engines_whose_code_is_gone_can_be_read(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
    with opened(store_path, TABLES, NEW_TEXTS, NEW_TOTALS) as store:
        assert store.active("texts").schema is None
        assert store.active("totals").schema is None
        assert numbers(store) == [3, 3, 3]
        for model in ("texts", "totals"):
            with pytest.raises(InvalidSchema, match="is gone"), store.write() as transaction:
                transaction.set_checkpoint(model, 4)
            wanted = store.wanted(model)
            with store.write() as transaction:
                project(transaction, wanted.key, model, 4)
                transaction.set_checkpoint(wanted.key, 4)
            store.activate(wanted.key)
        assert numbers(store) == [3, 4, 4]


def test_a_model_may_change_its_engine(store_path: Path) -> None:
    rows = TableSchema("texts", "id")
    as_tables = ModelSchema("texts", 2, (rows,))
    with opened(store_path) as store:
        apply(store, 3)
    with opened(store_path, TABLES, TEXTS, as_tables, TOTALS) as store:
        assert numbers(store) == [3, 3, 3]
        store.activate(store.wanted("texts").key)
        with store.snapshot(["texts"]) as snapshot:
            assert snapshot.table("texts", rows).count() == 0
        assert len(directories(store)) == 1


def test_a_build_that_cannot_be_noted_leaves_no_files(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise StoreFull("no room")

    with opened(store_path) as store:
        apply(store, 3)
        before = directories(store), store.builds()
        with monkeypatch.context() as patch:
            patch.setattr("storage.replica.open_builds.OpenBuilds.commit", full)
            with pytest.raises(StoreFull):
                store.start_build("texts")
        assert (directories(store), store.builds()) == before
        assert numbers(store) == [3, 3, 3]


# -- what is not to be trusted -------------------------------------------------------------------------------
def damage(store_path: Path, model: str) -> None:
    for directory in (store_path / "engines").glob(f"{model}@*"):
        for file in directory.iterdir():
            file.write_bytes(b"\xff" * 8192)


def test_a_damaged_build_is_begun_anew_alone(store_path: Path) -> None:
    for model in ("texts", "totals"):
        with opened(store_path) as store:
            for position in range(1, 4):
                apply(store, position, tuple(one for one in NAMES if store.checkpoints()[one] < position))
        damage(store_path, model)
        with opened(store_path) as store:
            assert store.checkpoints() == {**dict.fromkeys(NAMES, 3), model: 0}
            assert sorted(numbers(store)) == [0, 3, 3]


def test_a_replica_with_a_frozen_build_that_is_damaged_is_begun_anew(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
    damage(store_path, "texts")
    with opened(store_path, TABLES, NEW_TEXTS, TOTALS) as store:
        assert store.reset_reason is not None
        assert store.checkpoints() == dict.fromkeys(NAMES, 0)
        assert store.active("texts") == store.wanted("texts")
        apply(store, 4)
        assert numbers(store) == [4, 4, 4]


def test_a_build_of_another_engine_ahead_of_the_log_is_begun_anew(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
        apply(store, 7, ("texts",))
    with opened(store_path, log_head=5) as store:
        assert "'texts' is at position 7, ahead of the log, which ends at 5" in str(store.reset_reason)
        assert store.checkpoints() == {"tables": 3, "texts": 0, "totals": 3}


def test_a_replica_that_is_not_to_be_trusted_loses_the_files_of_all_engines(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
        store.mark_damaged("a bit fell over")
    with opened(store_path) as store:
        assert store.reset_reason == "a bit fell over"
        assert store.checkpoints() == dict.fromkeys(NAMES, 0)
        assert numbers(store) == [0, 0, 0]


def test_directories_of_unknown_builds_are_removed(store_path: Path) -> None:
    with opened(store_path) as store:
        apply(store, 3)
    stray = store_path / "engines" / "texts@7.00000000.3"
    stray.mkdir()
    (stray / "model.sqlite").touch()
    with opened(store_path) as store:
        assert numbers(store) == [3, 3, 3]
        assert not stray.exists()


def test_a_wrong_script_is_refused_at_opening_and_leaves_the_replica_closed(store_path: Path) -> None:
    wrong = ModelSchema("texts", 1, engine="sqlite", script="CREATE TABEL x")
    with pytest.raises(InvalidSchema):
        opened(store_path, TABLES, wrong)
    with opened(store_path, TABLES, TEXTS) as store:
        assert store.checkpoints() == {"tables": 0, "texts": 0}


def test_a_snapshot_that_is_never_possible_is_given_up(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storage.engines.base import TryAgain

    def busy(store: MemoryStore, **_named: object) -> None:
        raise TryAgain(store)

    monkeypatch.setattr(MemoryStore, "snapshot", busy)
    monkeypatch.setattr("storage.replica.reader_turns.PATIENCE", 0.0)
    with opened(store_path) as store, pytest.raises(StorageError, match="could not be read at one moment"):
        store.snapshot()

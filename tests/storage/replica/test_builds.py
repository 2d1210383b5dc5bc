"""Builds: the old one serves while the new one is filled, the switch is atomic, dropped builds go."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.errors import InvalidSchema, StorageError, StoreFull
from storage.files.header import META_DB
from storage.replica.builds import Build, pack_build, plan_layout, unpack_build
from storage.replica.catalog import database_names
from storage.replica.open_builds import OpenBuilds
from storage.replica.preparation import open_replica_environment
from storage.replica.replica_store import ReplicaStore, Snapshot, WriteTransaction
from storage.tables.index import each, words
from storage.tables.schema import ModelSchema, TableSchema
from tests import preloaded
from tests.helpers import Threads

MAP = 1 << 27
OLD_ITEMS = TableSchema("items", "id", ["number", words("text")])
NEW_ITEMS = TableSchema("items", "id", ["number"])
EXTRA = TableSchema("extra", ("a", "b"), [("number", each("labels"))])
OLD = ModelSchema("model", 1, (OLD_ITEMS,))
NEW = ModelSchema("model", 2, (NEW_ITEMS, EXTRA))
OTHER_ITEMS = TableSchema("items", "id")
OTHER = ModelSchema("other", 1, (OTHER_ITEMS,))


def opened(path: Path, *models: ModelSchema, **changes: Any) -> ReplicaStore:
    options = {"history_id": "h1", "log_head": 1000, "map_size": MAP, "boot_id": "boot-1", **changes}
    return ReplicaStore.open(path, models, Codec(), **options)


def put(store: ReplicaStore, build: str, table: TableSchema, position: int, **row: Any) -> None:
    """Apply one event: a row and the checkpoint."""
    with store.write() as transaction:
        transaction.target(build)[table].put({"id": 1, "number": position, **row})
        transaction.set_checkpoint(build, position)


def switching(path: Path) -> ReplicaStore:
    """A replica with the old build at position 5, active, and the new one at 3, wanted."""
    with opened(path, OLD, OTHER) as store:
        put(store, "model", OLD_ITEMS, 5, text="old oak")
    store = opened(path, OLD, NEW, OTHER)
    put(store, store.wanted("model").key, NEW_ITEMS, 3)
    return store


def row_of(snapshot: Snapshot, table: TableSchema = NEW_ITEMS) -> dict[str, Any] | None:
    return snapshot.table("model", table).get(1)


def databases(store: ReplicaStore) -> list[str]:
    with store._environment.begin() as txn, txn.cursor() as cursor:
        return [name.decode() for name in cursor.iternext(values=False)]


def entries(store: ReplicaStore, build: Build) -> int:
    """How many rows and index entries a build has on disk."""
    environment = store._environment
    with environment.begin() as txn:
        return sum(
            txn.stat(environment.open_db(name.encode(), txn=txn, create=False))["entries"]
            for name in database_names(build)
        )


# -- which builds there are to be ----------------------------------------------------------------------------
def test_a_model_that_is_new_is_active_at_once() -> None:
    layout = plan_layout([], {}, [OLD, NEW], frozenset())
    [build] = layout.builds.values()
    assert build.schema is NEW
    assert build.key == f"model@2.{NEW.fingerprint()[:8]}.0"
    assert layout.active == layout.wanted == {"model": build.key}


def test_a_build_that_fits_is_used() -> None:
    build = Build.of(OLD, 4)
    layout = plan_layout([build.with_code(None)], {"model": build.key}, [OLD], frozenset())
    assert layout.builds == {build.key: build}
    assert layout.active == layout.wanted == {"model": build.key}


@pytest.mark.parametrize("code", [OLD, None], ids=["its code is declared", "its code is gone"])
def test_another_build_stays_active_beside_the_wanted_one(code: ModelSchema | None) -> None:
    old = Build.of(OLD, 4)
    models = [NEW] if code is None else [code, NEW]
    layout = plan_layout([old.with_code(None)], {"model": old.key}, models, frozenset())
    assert layout.active == {"model": old.key}
    assert layout.builds[old.key].schema is code
    assert layout.builds[old.key].stored_schema.tables == (OLD_ITEMS,)
    wanted = layout.builds[layout.wanted["model"]]
    assert (wanted.schema, wanted.generation) == (NEW, 5)


def test_a_rebuild_under_way_is_gone_on_with_and_all_else_is_given_up() -> None:
    builds = [Build.of(OLD, 0), Build.of(NEW, 1), Build.of(NEW, 2), Build.of(OTHER, 0)]
    layout = plan_layout(builds, {"model": builds[1].key, "other": builds[3].key}, [OLD, NEW], frozenset())
    assert set(layout.builds) == {builds[1].key, builds[2].key}
    assert layout.active == {"model": builds[1].key}
    assert layout.wanted == {"model": builds[2].key}


def test_a_build_without_any_event_makes_way_at_once() -> None:
    old = Build.of(OLD, 0)
    layout = plan_layout([old], {"model": old.key}, [OLD, NEW], frozenset([old.key]))
    assert layout.active == layout.wanted
    assert old.key not in layout.builds


def test_two_models_of_one_name_and_version_are_refused(store_path: Path) -> None:
    with pytest.raises(InvalidSchema, match="one name and one version: model 1"):
        opened(store_path, OLD, ModelSchema("model", 1, (NEW_ITEMS,)))
    assert not store_path.exists()


parts = st.one_of(st.sampled_from("abcé"), st.sampled_from("ab").map(words), st.sampled_from("ab").map(each))
plain = st.sampled_from("abcé")
specs = st.one_of(
    parts, st.tuples(plain, parts), st.lists(plain, min_size=1, max_size=3, unique=True).map(tuple)
)


@given(
    st.one_of(plain, st.lists(plain, min_size=1, max_size=3, unique=True).map(tuple)),
    st.lists(specs, max_size=4, unique_by=lambda spec: TableSchema("t", "k", [spec]).indexes[0].name),
)
def test_a_stored_build_describes_its_tables(key: Any, indexes: list[Any]) -> None:
    table = TableSchema("things", key, indexes)
    build = Build.of(ModelSchema("m", 7, (table,)), 3)
    stored = unpack_build(build.key, pack_build(build, ["one"]))
    assert stored is not None
    assert stored.schema is None
    assert (stored.model, stored.version, stored.generation) == ("m", 7, 3)
    assert stored.fingerprint == build.fingerprint == stored.stored_schema.fingerprint()
    assert [index.spec for index in stored.stored_schema.tables[0].indexes] == indexes
    assert stored.stored_schema.tables[0].key == key


# -- filling one while another serves ------------------------------------------------------------------------
def test_the_old_build_goes_on_serving_and_being_updated_while_the_new_one_fills(store_path: Path) -> None:
    with switching(store_path) as store:
        active, wanted = store.active("model"), store.wanted("model")
        assert (active.version, wanted.version) == (1, 2)
        assert [build.key for build in store.builds() if build.model == "model"] == [active.key, wanted.key]
        put(store, active.key, OLD_ITEMS, 6, text="old elm")
        put(store, wanted.key, NEW_ITEMS, 4)
        assert store.build_checkpoints() == {active.key: 6, wanted.key: 4, store.active("other").key: 0}
        assert store.checkpoints() == {"model": 6, "other": 0}
        with store.snapshot() as snapshot:
            assert snapshot.version("model") == 1
            assert snapshot.checkpoint("model") == 6
            assert (
                row_of(snapshot) == row_of(snapshot, OLD_ITEMS) == {"id": 1, "number": 6, "text": "old elm"}
            )
            with pytest.raises(
                InvalidSchema, match=r"'model', version 1, has no table .*'extra'.*it has: items"
            ):
                snapshot.table("model", EXTRA)
        assert store.dump("model") == {"items": [{"id": 1, "number": 6, "text": "old elm"}]}
        assert store.dump(wanted.key) == {"items": [{"id": 1, "number": 4}], "extra": []}


def test_a_switch_is_for_the_snapshots_that_come_after_it(store_path: Path) -> None:
    with switching(store_path) as store:
        former, wanted = store.active("model"), store.wanted("model")
        before = store.snapshot()
        store.activate(wanted.key)
        with store.snapshot() as after:
            assert (after.version("model"), after.checkpoint("model")) == (2, 3)
            assert row_of(after, OLD_ITEMS) == {"id": 1, "number": 3}
            assert after.table("model", EXTRA).count() == 0
        assert (before.version("model"), before.checkpoint("model")) == (1, 5)
        assert row_of(before) == {"id": 1, "number": 5, "text": "old oak"}
        assert [row["number"] for row in before.table("model", NEW_ITEMS).find(words("text"), "oak")] == [5]
        assert store.active("model") == store.wanted("model") == wanted
        assert former not in store.builds()
        assert entries(store, former) == 0
        put(store, wanted.key, NEW_ITEMS, 7)
        assert row_of(before) == {"id": 1, "number": 5, "text": "old oak"}
        before.close()
        store.activate(wanted.key)
        with pytest.raises(InvalidSchema, match="no read model"):
            store.activate(former.key)
    with opened(store_path, OLD, NEW, OTHER) as store:
        assert store.checkpoints() == {"model": 7, "other": 0}
        assert not any(name.startswith(former.key) for name in databases(store))


def test_a_restart_in_the_middle_goes_on_with_both_builds(store_path: Path) -> None:
    with switching(store_path) as store:
        keys = [store.active("model").key, store.wanted("model").key]
    with opened(store_path, NEW, OTHER, OLD) as store:
        assert [store.active("model").key, store.wanted("model").key] == keys
        assert [store.build_checkpoints()[key] for key in keys] == [5, 3]
        put(store, keys[0], OLD_ITEMS, 6)
        put(store, keys[1], NEW_ITEMS, 6)


def test_a_build_whose_code_is_gone_can_be_read_and_nothing_else(store_path: Path) -> None:
    with opened(store_path, ModelSchema("model", 1, (OLD_ITEMS, EXTRA))) as store:
        put(store, "model", OLD_ITEMS, 5, text="old oak")
        with store.write() as transaction:
            transaction.target("model")[EXTRA].put({"a": 1, "b": "x", "number": 2, "labels": ["p", "q"]})
    with opened(store_path, NEW) as store:
        frozen = store.active("model")
        assert (frozen.schema, frozen.version) == (None, 1)
        with store.snapshot() as snapshot:
            assert snapshot.checkpoint("model") == 5
            items = snapshot.table("model", NEW_ITEMS)
            assert [row["text"] for row in items.find(words("text"), "OAK")] == ["old oak"]
            extra = snapshot.table("model", EXTRA)
            assert [row["b"] for row in extra.find(("number", each("labels")), 2, "q")] == ["x"]
        for key in ("model", frozen.key):
            with (
                pytest.raises(InvalidSchema, match=r"code of build model@1.* is gone"),
                store.write() as transaction,
            ):
                transaction.target(key)
        assert store.checkpoints() == {"model": 5}
        store.activate(store.wanted("model").key)
        assert store.checkpoints() == {"model": 0}


def test_going_back_to_the_old_code_in_the_middle_keeps_the_old_build_and_drops_the_new_one(
    store_path: Path,
) -> None:
    with switching(store_path) as store:
        old, new = store.active("model"), store.wanted("model")
    with opened(store_path, OLD, OTHER) as store:
        assert store.active("model") == store.wanted("model") == old
        assert store.checkpoints()["model"] == 5
        assert not any(name.startswith(new.key) for name in databases(store))


def test_going_back_to_the_old_code_after_the_switch_is_another_build(store_path: Path) -> None:
    with switching(store_path) as store:
        old = store.active("model")
        store.activate(store.wanted("model").key)
    with opened(store_path, OLD, OTHER) as store:
        assert store.active("model").version == 2
        again = store.wanted("model")
        assert again.generation > old.generation
        assert again.fingerprint == old.fingerprint
        assert store.build_checkpoints()[again.key] == 0
        assert store.dump(again.key) == {"items": []}


# -- rebuilding without a new version ------------------------------------------------------------------------
def test_a_model_can_be_rebuilt_as_it_is(store_path: Path) -> None:
    with opened(store_path, OLD) as store:
        put(store, "model", OLD_ITEMS, 5, text="wrong")
        first = store.active("model")
        build = store.start_build("model")
        assert (build.schema, build.version, build.generation) == (OLD, 1, 1)
        assert store.wanted("model") == build
        assert store.active("model") == first
        put(store, build.key, OLD_ITEMS, 2, text="half")
    with opened(store_path, OLD) as store:
        assert store.wanted("model") == build
        assert store.build_checkpoints() == {first.key: 5, build.key: 2}
        put(store, build.key, OLD_ITEMS, 6, text="right")
        store.activate(build.key)
        assert store.dump("model") == {"items": [{"id": 1, "number": 6, "text": "right"}]}
    with opened(store_path, OLD) as store:
        assert store.builds() == [build]
        assert store.dump("model") == {"items": [{"id": 1, "number": 6, "text": "right"}]}


def test_beginning_again_gives_up_what_was_filled_so_far(store_path: Path) -> None:
    with switching(store_path) as store:
        first = store.wanted("model")
        second = store.start_build("model")
        assert store.wanted("model") == second
        assert first not in store.builds()
        assert entries(store, first) == 0
        assert store.build_checkpoints()[second.key] == 0
        assert second.generation == first.generation + 1
    with opened(store_path, OLD, NEW, OTHER) as store:
        assert store.wanted("model") == second
        assert not any(name.startswith(first.key) for name in databases(store))


def rebuild(store: ReplicaStore, model: str = "model") -> Build:
    build = store.start_build(model)
    store.activate(build.key)
    return build


def test_builds_without_end_find_room_in_the_databases_of_those_before(store_path: Path) -> None:
    rows = [{"id": number, "number": number % 7, "text": "x" * 500} for number in range(200)]

    def filled(store: ReplicaStore, times: int) -> int:
        for _ in range(times):
            build = store.start_build("model")
            with store.write() as transaction:
                for row in rows:
                    transaction.target(build.key)[NEW_ITEMS].put(row)
                transaction.set_checkpoint(build.key, 9)
            store.activate(build.key)
            assert store.dump("model") == {"items": rows, "extra": []}
        return store.size_bytes()

    with opened(store_path, NEW, OTHER) as store:
        put(store, "other", OTHER_ITEMS, 5)
        few = filled(store, 5)
        there = databases(store)
        assert filled(store, 100) <= few * 1.1
        assert databases(store) == there
    with opened(store_path, NEW, OTHER) as store:
        assert store.dump("model") == {"items": rows, "extra": []}
        assert store.dump("other") == {"items": [{"id": 1, "number": 5}]}
        assert store.checkpoints() == {"model": 9, "other": 5}
        with store.snapshot() as snapshot:
            found = snapshot.table("model", NEW_ITEMS).find("number", 3)
            assert [row["id"] for row in found] == list(range(3, 200, 7))
        assert len(databases(store)) == 1 + len(database_names(store.active("model"))) + 1
        filled(store, 10)
    # Older code, which lacks an index, reads from databases that were another build's.
    with opened(store_path, OTHER, ModelSchema("model", 3, (OTHER_ITEMS,))) as store:
        assert store.dump(store.active("model").key) == {"items": rows, "extra": []}


def test_an_old_snapshot_reads_its_build_whatever_the_databases_are_used_for_since(store_path: Path) -> None:
    with opened(store_path, NEW) as store:
        put(store, "model", NEW_ITEMS, 1, text="build 0")
        held = [(0, store.snapshot())]
        for number in range(1, 30):
            build = store.start_build("model")
            put(store, build.key, NEW_ITEMS, number + 1, text=f"build {number}")
            store.activate(build.key)
            held.append((number, store.snapshot()))
            for which, snapshot in held:
                expected = {"id": 1, "number": which + 1, "text": f"build {which}"}
                assert row_of(snapshot) == expected
                assert list(snapshot.table("model", NEW_ITEMS).find("number", which + 1)) == [expected]
                assert list(snapshot.table("model", NEW_ITEMS).all()) == [expected]
                assert snapshot.checkpoint("model") == which + 1
        # Some of the tables were not read before the switch: they are found only now.
        late = store.snapshot()
        rebuild(store)
        rebuild(store)
        put(store, "model", NEW_ITEMS, 99, text="after it")
        assert row_of(late) == {"id": 1, "number": 30, "text": "build 29"}


def test_several_models_share_the_room_of_builds_that_were_given_up(store_path: Path) -> None:
    with opened(store_path, NEW, OTHER) as store:
        for number in range(1, 40):
            for name, table in (("model", NEW_ITEMS), ("other", OTHER_ITEMS)):
                store.start_build(name)
                build = store.start_build(name)
                put(store, build.key, table, number)
                store.activate(build.key)
                for other in ("model", "other"):
                    at = number if other <= name else number - 1
                    rows = [{"id": 1, "number": at}] if at else []
                    assert store.dump(other)["items"] == rows
        used = [name for build in store.builds() for name in database_names(build)]
        assert len(used) == len(set(used))


def test_a_process_that_dies_between_builds_leaves_the_ones_that_are_whole(
    store_path: Path, tmp_path: Path
) -> None:
    with opened(store_path, NEW, OTHER) as store:
        for number in range(1, 8):
            put(store, rebuild(store).key, NEW_ITEMS, number)
            store.start_build("model")
            # Its present files, while it is open.
            copy = tmp_path / f"copy-{number}"
            store._environment.sync(True)
            shutil.copytree(store_path, copy)
            with opened(copy, NEW, OTHER) as again:
                assert again.reset_reason is None
                assert again.dump("model")["items"] == [{"id": 1, "number": number}]
                wanted = again.wanted("model")
                assert wanted != again.active("model")
                assert entries(again, wanted) == 0
                put(again, wanted.key, NEW_ITEMS, 50)
                again.activate(wanted.key)
                assert again.dump("model")["items"] == [{"id": 1, "number": 50}]


def test_room_for_builds_that_is_used_up_comes_back_with_the_next_opening(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise StoreFull("no room to empty anything")

    def rebuilds(store: ReplicaStore) -> int:
        """How many builds there is space for."""
        count, refused = 0, ""
        while not refused:
            try:
                rebuild(store)
            except StorageError as error:
                refused = str(error)
            else:
                count += 1
                assert count < 100, "room for ever"
        assert "no room for another build of read model 'model'" in refused
        assert "open it again" in refused
        return count

    monkeypatch.setattr("storage.replica.open_builds._drop", full)
    with opened(store_path, NEW) as store:
        assert rebuilds(store) >= 3
        put(store, "model", NEW_ITEMS, 1)
    with opened(store_path, NEW) as store:
        assert store.checkpoints() == {"model": 1}
        assert rebuilds(store) >= 3


# -- what goes wrong on the way ------------------------------------------------------------------------------
def test_a_switch_that_cannot_be_committed_changes_nothing(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with switching(store_path) as store:
        before = store.active("model"), store.wanted("model"), store.build_checkpoints()

        def full(*_args: object) -> None:
            raise StoreFull("no room")

        with monkeypatch.context() as patch:
            patch.setattr("storage.replica.open_builds.write_retired", full)
            with pytest.raises(StoreFull):
                store.activate(before[1].key)
        assert (store.active("model"), store.wanted("model"), store.build_checkpoints()) == before
        with store.snapshot() as snapshot:
            assert snapshot.version("model") == 1
        store.activate(before[1].key)
        assert store.active("model") == before[1]


def test_a_build_that_cannot_be_made_leaves_nothing(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(store_path, OLD) as store:
        put(store, "model", OLD_ITEMS, 5)
        before = databases(store), store.builds()

        def full(*_args: object, **_options: object) -> None:
            raise StoreFull("no room")

        with monkeypatch.context() as patch:
            patch.setattr("storage.replica.open_builds.open_table", full)
            with pytest.raises(StoreFull):
                store.start_build("model")
        assert (databases(store), store.builds()) == before
        assert store.wanted("model") == store.active("model")
        store.activate(store.start_build("model").key)


def test_a_former_build_that_finds_no_room_to_be_emptied_goes_at_the_next_opening(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise StoreFull("no room")

    with switching(store_path) as store:
        former = store.active("model")
        monkeypatch.setattr(OpenBuilds, "_empty", full)
        store.activate(store.wanted("model").key)
        assert entries(store, former) > 0
        assert store.active("model").version == 2
    with opened(store_path, OLD, NEW, OTHER) as store:
        assert store.checkpoints()["model"] == 3
        assert not any(name.startswith(former.key) for name in databases(store))


@pytest.mark.kill
@pytest.mark.parametrize("step", ["write_active", "write_retired", "_drop"])
def test_a_process_killed_in_a_switch_has_made_it_or_not(store_path: Path, step: str) -> None:
    switching(store_path).close()
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "import storage.replica.open_builds as open_builds\n"
        "from tests.storage.replica.test_builds import NEW, OLD, OTHER, opened\n"
        f"open_builds.{step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = opened(Path(sys.argv[1]), OLD, NEW, OTHER)\n"
        "store.activate(store.wanted('model').key)\n"
    )
    done = preloaded.run(["-c", program, str(store_path)], preloaded.ROOT)
    assert done.returncode == -signal.SIGKILL
    with opened(store_path, OLD, NEW, OTHER) as store:
        assert store.reset_reason is None
        switched = step == "_drop"
        assert store.active("model").version == (2 if switched else 1)
        assert store.wanted("model").version == 2
        assert store.checkpoints()["model"] == (3 if switched else 5)
        assert store.build_checkpoints()[store.wanted("model").key] == 3
        with store.snapshot() as snapshot:
            assert row_of(snapshot)["number"] == (3 if switched else 5)  # type: ignore[index]


@pytest.mark.parametrize("models", [(OLD,), (OLD, NEW, OTHER), (NEW,), (OTHER,)])
def test_an_opening_has_one_environment_that_can_write_and_room_for_all_that_it_drops(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, models: tuple[ModelSchema, ...]
) -> None:
    """Each that can write takes 2 MiB, which malloc keeps once it is freed."""
    switching(store_path).close()
    writable = []
    open_lmdb = lmdb.open

    def spy(*arguments: Any, **options: Any) -> lmdb.Environment:
        writable.append(not options.get("readonly", False))
        return open_lmdb(*arguments, **options)

    monkeypatch.setattr(lmdb, "open", spy)
    opened(store_path.parent / "new", *models).close()
    assert writable == [True]
    with opened(store_path, *models) as store:
        assert store.reset_reason is None
        assert {build.model for build in store.builds()} == {model.name for model in models}
        for model in {model.name for model in models}:
            store.start_build(model)
    assert sorted(writable) == [False, True, True]


def test_tables_as_replicas_had_them_before_there_were_builds_are_dropped(store_path: Path) -> None:
    opened(store_path, OLD, log_head=0).close()
    environment = open_replica_environment(store_path, MAP, 64)
    with environment.begin(write=True) as txn:
        meta = environment.open_db(META_DB, txn=txn)
        for name in ("model@1/items", "model@1/items/number"):
            txn.put(b"x", b"y", db=environment.open_db(name.encode(), txn=txn))
        txn.put(b"model/model", msgpack.packb(["f", ["model@1/items", "model@1/items/number"]]), db=meta)
        txn.put(b"checkpoint/model", (7).to_bytes(8), db=meta)
    environment.close()
    with opened(store_path, OLD) as store:
        assert store.checkpoints() == {"model": 0}
        assert not any(name.startswith("model@1/") for name in databases(store))
        with store._environment.begin() as txn:
            assert txn.get(b"checkpoint/model", db=store._builds.meta) is None


def test_a_build_with_keys_of_another_format_is_not_read(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for module in ("storage.replica.builds", "storage.tables.schema"):
            patch.setattr(f"{module}.KEY_FORMAT", 0)
        with opened(store_path, OLD) as store:
            put(store, "model", OLD_ITEMS, 5)
            former = store.active("model")
    with opened(store_path, OLD) as store:
        assert store.checkpoints() == {"model": 0}
        assert [build.fingerprint for build in store.builds()] == [OLD.fingerprint()]
        assert not any(name.startswith(former.key) for name in databases(store))


# -- moments -------------------------------------------------------------------------------------------------
def test_the_last_change_of_each_table_is_known(store_path: Path) -> None:
    with opened(store_path, NEW, OTHER) as store:
        put(store, "model", NEW_ITEMS, 3)
        before = store.state
        snapshot = store.snapshot()
        with store.write() as transaction:
            transaction.target("model")[EXTRA].put({"a": 1, "b": 2})
            transaction.target("other")[OTHER_ITEMS]
            for model in ("model", "other"):
                transaction.set_checkpoint(model, 8)
        with store.write() as transaction:
            transaction.set_checkpoint("model", 9)
        for state in (store.state, store.snapshot()):
            assert [state.changed("model", name) for name in ("", "items", "extra")] == [8, 3, 8]
            assert (state.checkpoint("model"), state.checkpoint("other")) == (9, 8)
            assert state.changed("other", "items") == state.changed("other") == 0
        for earlier in (before, snapshot):
            assert [earlier.changed("model", name) for name in ("", "items", "extra")] == [3, 3, 0]
            assert earlier.checkpoint("model") == 3
        with pytest.raises(InvalidSchema, match="no read model 'x'; it has: model, other"):
            store.state.checkpoint("x")
    with opened(store_path, NEW, OTHER) as store:
        assert [store.state.changed("model", name) for name in ("", "items", "extra")] == [9, 9, 9]
        assert store.state.changed("other") == 8


def half_done(transaction: WriteTransaction) -> None:
    transaction.target("model")[NEW_ITEMS].put({"id": 2})
    transaction.set_checkpoint("model", 4)
    assert transaction.checkpoint("model") == 4
    _ = 1 / 0


def test_a_transaction_that_fails_or_writes_nothing_changes_no_state(store_path: Path) -> None:
    with opened(store_path, NEW) as store:
        put(store, "model", NEW_ITEMS, 3)
        with pytest.raises(ZeroDivisionError), store.write() as transaction:
            half_done(transaction)
        with store.write():
            pass
        with store.write() as transaction:
            table = transaction.target("model")[NEW_ITEMS]
            table.put({"id": 9})
            table.delete(9)
        assert (store.state.checkpoint("model"), store.state.changed("model", "items")) == (3, 3)
        with store.snapshot() as snapshot:
            assert snapshot.table("model", NEW_ITEMS).count() == 1


def test_a_snapshot_and_its_state_are_of_one_moment(store_path: Path) -> None:
    rounds = 400
    done = threading.Event()

    with opened(store_path, NEW) as store:
        key = store.active("model").key
        put(store, key, NEW_ITEMS, 1)

        def read() -> None:
            while not done.is_set():
                with store.snapshot() as snapshot:
                    number = row_of(snapshot)["number"]  # type: ignore[index]
                    assert snapshot.checkpoint("model") == snapshot.changed("model", "items") == number

        threads = Threads()
        for _ in range(3):
            threads.start(read)
        try:
            for position in range(2, rounds):
                put(store, key, NEW_ITEMS, position)
        finally:
            done.set()
            threads.join()


def test_no_snapshot_sees_anything_but_one_whole_build(store_path: Path) -> None:
    """Builds are switched again and again; the rows of each say which build they belong to."""
    rows = 150
    done = threading.Event()

    def fill(store: ReplicaStore, build: Build, position: int) -> None:
        with store.write() as transaction:
            for number in range(rows):
                transaction.target(build.key)[NEW_ITEMS].put({"id": number, "number": build.generation})
            transaction.set_checkpoint(build.key, position)

    with opened(store_path, NEW) as store:
        fill(store, store.active("model"), 1)

        def read() -> None:
            last = 0
            while not done.is_set():
                with store.snapshot() as snapshot:
                    found = {row["number"] for row in snapshot.table("model", NEW_ITEMS).all()}
                    assert snapshot.table("model", NEW_ITEMS).count() == rows
                    assert found == {int(snapshot.state.build("model").rpartition(".")[2])}
                    assert last <= min(found)
                    last = min(found)

        threads = Threads()
        for _ in range(3):
            threads.start(read)
        try:
            for position in range(2, 5):
                build = store.start_build("model")
                fill(store, build, position)
                store.activate(build.key)
        finally:
            done.set()
            threads.join()


def test_emptying_a_former_build_holds_no_snapshot_up(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptying, go_on = threading.Event(), threading.Event()
    real: Callable[..., None] = sys.modules["storage.replica.open_builds"]._drop

    def slow(*args: Any) -> None:
        emptying.set()
        assert go_on.wait(20)
        real(*args)

    monkeypatch.setattr("storage.replica.open_builds._drop", slow)
    with switching(store_path) as store:
        threads = Threads()
        threads.start(store.activate, store.wanted("model").key)
        try:
            assert emptying.wait(20)
            with store.snapshot() as snapshot:
                assert row_of(snapshot) == {"id": 1, "number": 3}
        finally:
            go_on.set()
            threads.join()


def test_a_snapshot_knows_its_moment_after_commits_of_nothing_and_of_the_same_again(tmp_path: Path) -> None:
    with opened(tmp_path / "replica", NEW) as store:
        for position in (1, 1, 2):
            with store.write() as transaction:
                transaction.set_checkpoint("model", position)
            with store.write():
                pass
            with store.snapshot() as snapshot:
                assert snapshot.state is store.state
                assert snapshot.checkpoints(["model"]) == (position, position)
        assert store.state.txn_id == store._environment.info()["last_txnid"]

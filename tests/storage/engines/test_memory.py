"""Objects in memory as an engine: who reads and writes when, what is saved, what a failed batch undoes."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from storage import Codec, InvalidSchema, ModelSchema, SnapshotClosed, StorageError, StoreClosed
from storage.engines.base import TryAgain
from storage.engines.memory import store as memory
from storage.engines.memory.saved_state import FILE
from storage.engines.memory.store import MemoryStore
from storage.errors import StatementRefused
from storage.tables.schema import ObjectSchema
from tests.helpers import PATIENCE, Threads, case_id, wait_until

totals = ObjectSchema("totals", dict)
latest = ObjectSchema("latest", int)
SCHEMA = ModelSchema("sums", 1, engine="memory", objects=(totals, latest))


class Expired(SnapshotClosed):
    """The error of a view."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "sums@1.abc.1"


@pytest.fixture
def store(directory: Path) -> Iterator[MemoryStore]:
    store = MemoryStore.open(directory, SCHEMA, Codec())
    yield store
    store.close()


def add(store: MemoryStore, position: int, name: str = "a", amount: int = 1) -> None:
    objects = store.begin()
    objects[totals][name] = objects[totals].get(name, 0) + amount
    objects[latest] = position
    store.commit(position)


def values(store: MemoryStore) -> tuple[Any, Any, int]:
    with store._pinned() as snapshot:
        return snapshot.target[totals], snapshot.target[latest], snapshot.checkpoint


# -- committing and saving -------------------------------------------------------------------
def test_objects_and_checkpoint_are_saved_at_closing(store, directory):
    add(store, 5, "lamp", 3)
    store.close()
    store.close()
    again = MemoryStore.open(directory, SCHEMA, Codec())
    assert values(again) == ({"lamp": 3}, 5, 5)
    assert again.changed("totals") == again.changed() == 5
    assert again.size_bytes() > 0
    again.close()


def test_without_a_save_the_objects_begin_empty(store, directory):
    add(store, 5)
    again = MemoryStore.open(directory, SCHEMA, Codec())
    assert values(again) == ({}, 0, 0)


def test_the_objects_are_saved_now_and_then_while_applying(store, directory, monkeypatch):
    monkeypatch.setattr(memory, "SAVE_EVERY", 10)
    for position in range(1, 25):
        add(store, position)
    again = MemoryStore.open(directory, SCHEMA, Codec())
    assert values(again) == ({"a": 20}, 20, 20)


def test_large_objects_are_saved_less_often(store, directory, monkeypatch):
    monkeypatch.setattr(memory, "SAVE_EVERY", 2)
    add(store, 2, "a" * 1000)
    add(store, 4)
    for position in range(5, 12):
        add(store, position)
    assert store._saved_at == 2
    assert MemoryStore.open(directory, SCHEMA, Codec()).checkpoint == 2


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-3], lambda data: b"", lambda data: data[:-1] + b"\0", lambda data: b"other" + data],
)
def test_a_garbled_file_begins_anew(store, directory, damage, caplog):
    add(store, 5)
    store.close()
    file = directory / FILE
    file.write_bytes(damage(file.read_bytes()))
    again = MemoryStore.open(directory, SCHEMA, Codec())
    assert values(again) == ({}, 0, 0)
    assert "filled from the log" in caplog.text


def test_a_file_of_another_build_or_with_other_objects_is_not_used(store, directory):
    add(store, 5)
    store.close()
    directory.rename(directory.with_name("sums@2.abc.1"))
    assert MemoryStore.open(directory.with_name("sums@2.abc.1"), SCHEMA, Codec()).checkpoint == 0
    directory.with_name("sums@2.abc.1").rename(directory)
    other = ModelSchema("sums", 1, engine="memory", objects=(totals,))
    assert MemoryStore.open(directory, other, Codec()).checkpoint == 0


def test_collections_come_back_as_what_their_factories_make(directory):
    kinds = [
        ObjectSchema("counter", Counter),
        ObjectSchema("lists", lambda: defaultdict(list)),
        ObjectSchema("set", set),
        ObjectSchema("queue", lambda: deque(maxlen=2)),
        ObjectSchema("ordered", OrderedDict),
    ]
    schema = ModelSchema("kinds", 1, engine="memory", objects=tuple(kinds))
    store = MemoryStore.open(directory, schema, Codec())
    objects = store.begin()
    objects[kinds[0]].update("aab")
    objects[kinds[1]]["x"].append(1)
    objects[kinds[2]].add((1, 2))
    objects[kinds[3]].extend([1, 2, 3])
    objects[kinds[4]]["k"] = 1
    store.commit(1)
    before = store.dump()
    store.close()
    again = MemoryStore.open(directory, schema, Codec())
    assert again.dump() == before
    with again.snapshot() as snapshot:
        assert [type(snapshot.target[one]) for one in kinds] == [
            Counter,
            defaultdict,
            set,
            deque,
            OrderedDict,
        ]
        assert snapshot.target[kinds[3]].maxlen == 2
    again.close()


class Tagged(dict[str, int]):
    """A dict with more than its items."""

    def __init__(self) -> None:
        super().__init__()
        self.tag = ""


@pytest.mark.parametrize(
    ("factory", "value"),
    [
        (dict, Counter("aab")),
        (Counter, {"a": 2}),
        (list, {1, 2}),
        (set, [1, 2]),
        (lambda: None, deque([1])),
        (lambda: deque(maxlen=2), deque([1, 2, 3])),
        (Tagged, Tagged()),
    ],
    ids=case_id,
)
def test_what_would_come_back_as_something_else_is_filled_from_the_log(directory, caplog, factory, value):
    one = ObjectSchema("one", factory)
    schema = ModelSchema("kinds", 1, engine="memory", objects=(one,))
    store = MemoryStore.open(directory, schema, Codec())
    store.begin()[one] = value
    store.commit(1)
    store.close()
    assert "from what its factory makes" in caplog.text
    again = MemoryStore.open(directory, schema, Codec())
    assert again.checkpoint == 0
    again.close()


@pytest.mark.parametrize("value", ["text", None, 5])
def test_what_is_no_collection_takes_the_place_of_one_and_comes_back(directory, value):
    one = ObjectSchema("one", set)
    schema = ModelSchema("kinds", 1, engine="memory", objects=(one,))
    store = MemoryStore.open(directory, schema, Codec())
    store.begin()[one] = value
    store.commit(1)
    store.close()
    again = MemoryStore.open(directory, schema, Codec())
    with again.snapshot() as snapshot:
        assert snapshot.target[one] == value
    assert again.checkpoint == 1
    again.close()


@pytest.mark.parametrize(
    "value", [bytearray(b"x"), [datetime(2026, 3, 28, tzinfo=ZoneInfo("Europe/Berlin"))]], ids=repr
)
def test_objects_that_would_come_back_with_other_values_are_filled_from_the_log(
    store, directory, caplog, value
):
    objects = store.begin()
    objects[totals]["odd"] = {"deep": value}
    store.commit(1)
    store.close()
    assert "would be loaded as another value" in caplog.text
    assert MemoryStore.open(directory, SCHEMA, Codec()).checkpoint == 0


def test_what_the_codec_cannot_encode_is_said_once_and_not_saved(store, directory, caplog):
    objects = store.begin()
    objects[totals]["bad"] = object()
    store.commit(1)
    with caplog.at_level(logging.WARNING):
        store.close()
    assert len([record for record in caplog.records if "at each opening" in record.getMessage()]) == 1
    assert MemoryStore.open(directory, SCHEMA, Codec()).checkpoint == 0


def test_without_its_schema_the_objects_can_be_read_but_not_changed(store, directory):
    add(store, 5)
    store.close()
    frozen = MemoryStore.open(directory, None, Codec())
    assert values(frozen) == ({"a": 1}, 5, 5)
    with pytest.raises(StorageError, match="frozen"):
        frozen.begin()
    frozen.close()
    MemoryStore.delete(directory)
    MemoryStore.delete(directory)
    assert not directory.exists()


def test_changed_is_kept_for_each_object(store):
    add(store, 1)
    objects = store.begin()
    objects.replace(latest, 7)
    store.commit(7)
    store.begin()
    store.commit(9)
    assert (store.changed("totals"), store.changed("latest"), store.changed()) == (1, 7, 7)
    assert store.changed("unknown") == 7
    with store.snapshot() as snapshot:
        assert (snapshot.changed("totals"), snapshot.changed(), snapshot.checkpoint) == (1, 7, 9)


# -- misuse -----------------------------------------------------------------------------------
def test_objects_are_asked_for_by_what_the_model_declared(store):
    objects = store.begin()
    with pytest.raises(InvalidSchema, match=r"model\.object"):
        objects["totals"]
    with pytest.raises(InvalidSchema, match="totals, latest"):
        objects[ObjectSchema("others", dict)]
    store.commit(1)
    with pytest.raises(StatementRefused, match="keep no reference"):
        objects[totals]
    with store.snapshot() as snapshot, pytest.raises(InvalidSchema, match="totals, latest"):
        snapshot.target[ObjectSchema("others", dict)]


def test_an_object_of_the_same_name_is_the_same_object(store):
    add(store, 1)
    with store.snapshot() as snapshot:
        assert snapshot.target[ObjectSchema("totals", dict)] == {"a": 1}


def test_a_commit_without_a_batch_is_told(store):
    with pytest.raises(StorageError, match="no batch"):
        store.commit(1)


# -- reading ----------------------------------------------------------------------------------
def test_a_snapshot_gives_copies_and_they_may_be_kept(store):
    add(store, 1)
    with store.snapshot() as snapshot:
        mine = snapshot.target[totals]
        mine["mine"] = 1
    add(store, 2)
    assert values(store) == ({"a": 2}, 2, 2)
    assert mine == {"a": 1, "mine": 1}


def test_objects_that_are_lent_stay_as_they_are_until_the_snapshot_closes(store):
    add(store, 1)
    with store.snapshot() as snapshot:
        lent = snapshot.target.lend(totals)
        add(store, 2)  # waits, then works on a copy
        assert lent == {"a": 1}
        assert snapshot.target.lend(totals) is lent
        assert (snapshot.checkpoint, snapshot.target[latest]) == (1, 1)
    assert values(store) == ({"a": 2}, 2, 2)


def test_a_batch_is_applied_in_place_when_nobody_reads(store):
    add(store, 1)
    before = store._current
    add(store, 2)
    assert store._current is before


def test_a_batch_waits_for_readers_and_lets_none_in_meanwhile(store, monkeypatch):
    monkeypatch.setattr(memory, "PATIENCE", PATIENCE)
    add(store, 1)
    before = store._current
    snapshot = store.snapshot()
    with Threads() as threads:
        threads.start(add, store, 2)
        wait_until(lambda: store._shut)
        with pytest.raises(TryAgain):
            store.snapshot()
        snapshot.close()
    assert store._current is before
    assert values(store)[2] == 2


def test_no_snapshot_is_taken_of_a_half_applied_batch(store):
    add(store, 1)
    store.begin()[totals]["half"] = 1
    with pytest.raises(TryAgain):
        store.snapshot()
    with pytest.raises(StorageError, match="batch of events"):
        store.await_readable(0.0)
    store.commit(2)
    assert values(store)[0] == {"a": 1, "half": 1}


def test_while_a_batch_is_made_on_a_copy_the_objects_can_be_read(store):
    add(store, 1)
    with store.snapshot():
        store.begin()[totals]["half"] = 1
        assert values(store) == ({"a": 1}, 1, 1)
        store.commit(2)
        assert values(store)[0] == {"a": 1, "half": 1}


def test_readers_get_their_turn_from_a_thread_that_applies_without_a_pause(store):
    ending = threading.Event()

    def apply() -> None:
        position = 0
        while not ending.is_set():
            position += 1
            add(store, position)

    def read() -> None:
        try:
            last = 0
            for _ in range(200):
                found, at, checkpoint = values(store)
                assert found.get("a", 0) == at == checkpoint
                assert checkpoint >= last
                last = checkpoint
        finally:
            ending.set()

    with Threads() as threads:
        threads.start(apply)
        threads.start(read)


def test_a_promise_that_is_not_taken_holds_a_batch_up_only_once(store):
    add(store, 1)
    store.await_readable()
    add(store, 2)
    assert store._promised == 0
    assert values(store)[2] == 2


def test_all_that_a_snapshot_gave_out_ends_with_it(store):
    snapshot = store.snapshot(closed=Expired)
    target = snapshot.target
    snapshot.close()
    snapshot.close()
    for use in (lambda: target[totals], lambda: target.lend(totals), lambda: snapshot.target):
        with pytest.raises(Expired, match="closed"):
            use()
    assert store._current.readers == 0


def test_closing_ends_snapshots_and_waiting(store):
    snapshot = store.snapshot()
    store.close()
    with pytest.raises(SnapshotClosed):
        snapshot.target[totals]
    for use in (store.snapshot, store.begin, store.await_readable):
        with pytest.raises(StoreClosed, match="open them again"):
            use()


# -- failed batches -----------------------------------------------------------------------------
def fail(store: MemoryStore) -> None:
    store.begin()[totals]["half"] = 1
    store.abort()


def test_a_failed_batch_goes_back_to_what_was_saved_and_readers_wait_until_it_is_made_good(store):
    add(store, 1)
    store._saved_state.save(store._current.values, 1)
    add(store, 2)
    fail(store)
    assert store.checkpoint == 1
    with pytest.raises(TryAgain):
        store.snapshot()
    with pytest.raises(StorageError, match="filled again"):
        store.await_readable(0.0)
    add(store, 2)
    assert values(store) == ({"a": 2}, 2, 2)


def test_a_failed_batch_without_a_saved_state_begins_anew(store):
    add(store, 1)
    add(store, 2)
    fail(store)
    assert store.checkpoint == 0
    add(store, 1)
    with pytest.raises(TryAgain):
        store.snapshot()
    add(store, 2)
    assert values(store) == ({"a": 2}, 2, 2)


def test_after_a_failure_the_next_one_takes_nothing_back(store):
    add(store, 1)
    fail(store)
    add(store, 1)
    for _ in range(3):
        fail(store)
        assert values(store) == ({"a": 1}, 1, 1)
    for position in range(2, 30):
        add(store, position)
    assert store._careful == 0


def test_objects_that_cannot_be_copied_go_back_only_to_where_they_were_made_good(store):
    store._copyable = False
    for position in range(1, 5):
        add(store, position)
    fail(store)
    assert store.checkpoint == 0
    for position in range(1, 5):
        add(store, position)
    for _ in range(3):
        fail(store)
        assert store.checkpoint == 4
    assert values(store) == ({"a": 4}, 4, 4)


def test_a_failed_batch_that_was_made_on_a_copy_takes_nothing_back(store):
    add(store, 1)
    with store.snapshot():
        fail(store)
        assert store.checkpoint == 1
    assert values(store) == ({"a": 1}, 1, 1)
    store.abort()


def test_a_reader_that_waits_for_the_refill_gets_its_turn_after_it(store):
    add(store, 2)
    fail(store)
    seen: list[Any] = []
    with Threads() as threads:
        threads.start(lambda: seen.append(values(store)))
        wait_until(lambda: store._waiting)
        add(store, 1)
        assert store._waiting == 1
        assert not seen
        add(store, 2)
    assert seen == [({"a": 2}, 2, 2)]


@pytest.mark.parametrize("seed", range(3))
def test_readers_never_go_back_nor_see_half_a_batch_while_batches_fail_at_random(store, monkeypatch, seed):
    monkeypatch.setattr(memory, "SAVE_EVERY", 40)
    monkeypatch.setattr(memory, "PATIENCE", 0.001)
    chance = random.Random(seed)
    ending = threading.Event()

    def apply() -> None:
        try:
            while store.checkpoint < 400:
                objects, position = store.begin(), store.checkpoint + chance.randint(1, 5)
                objects[totals]["a"] = position
                if chance.random() < 0.1:
                    objects[totals]["half"] = position
                    store.abort()
                    continue
                objects[latest] = position
                store.commit(position)
        finally:
            ending.set()

    def read() -> None:
        last = 0
        while not ending.is_set():
            with store._pinned() as snapshot:
                lent = snapshot.target.lend(totals)
                before = dict(lent)
                assert "half" not in before
                assert before.get("a", 0) == snapshot.target[latest] == snapshot.checkpoint >= last
                assert before == lent
                last = snapshot.checkpoint

    with Threads() as threads:
        threads.start(apply)
        for _ in range(3):
            threads.start(read)
    assert store.checkpoint >= 400


def test_objects_that_cannot_be_copied_are_changed_when_nobody_reads_them(store, monkeypatch, caplog):
    objects = store.begin()
    objects[totals]["lock"] = threading.Lock()
    store.commit(1)
    snapshot = store.snapshot()
    with Threads() as threads:
        threads.start(add, store, 2)
        wait_until(lambda: not store._copyable and store._shut)
        snapshot.close()
    assert store.checkpoint == 2
    monkeypatch.setattr(memory, "LONG_PATIENCE", 0.01)
    with store.snapshot(), pytest.raises(StorageError, match=r"copy\.deepcopy"):
        store.begin()
    store.abort()
    add(store, 3)
    assert store.checkpoint == 3
    assert len([record for record in caplog.records if "cannot be copied" in record.getMessage()]) == 1


def test_nobody_enters_on_a_promise_once_a_batch_has_objects_that_cannot_be_copied(store, monkeypatch):
    add(store, 1)
    held = store.snapshot()
    waited_for = store._waited_for

    def leave_and_enter() -> Any:
        held.close()
        store._promised = 1  # as for a reader that waited during the previous batch
        working = waited_for()
        with pytest.raises(TryAgain):
            store.snapshot()
        return working

    monkeypatch.setattr(memory, "PATIENCE", 0.0)
    monkeypatch.setattr(store, "_copied", lambda: None)
    monkeypatch.setattr(store, "_waited_for", leave_and_enter)
    add(store, 2)
    assert values(store) == ({"a": 2}, 2, 2)

"""What one replica's transaction changed can be made in another one: same rows, entries and content."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.errors import DamagedStore
from storage.log.history import digest_of, pack_checkpoint, unpack_checkpoint, unpack_content
from storage.replica.build_changes import BuildChanges, code_of, content_of
from storage.replica.replica_store import ReplicaStore
from storage.tables.index import Each
from storage.tables.schema import ModelSchema, TableSchema

PRODUCTS = TableSchema("products", "sku", ["price", ("kind", "price"), Each("tags")])
PLAIN = TableSchema("plain", "sku")
MODEL = ModelSchema("catalog", 1, (PRODUCTS, PLAIN))


def opened(path: Path, record_changes: bool = True) -> ReplicaStore:
    return ReplicaStore.open(
        path,
        [MODEL],
        Codec(),
        history_id="h1",
        log_head=1000,
        map_size=1 << 26,
        record_changes=record_changes,
    )


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[ReplicaStore, ReplicaStore]]:
    with opened(tmp_path / "first") as first, opened(tmp_path / "second") as second:
        yield first, second


def key(store: ReplicaStore) -> str:
    return store.active("catalog").key


def change(store: ReplicaStore, operations: list[Any], position: int) -> list[BuildChanges]:
    """What these operations change: each is a function of the two tables."""
    with store.write() as transaction:
        tables = transaction.tables(key(store))
        for operation in operations:
            operation(tables[PRODUCTS], tables[PLAIN])
        transaction.set_checkpoint(key(store), position, bytes(16))
    return transaction.recorded


def make(store: ReplicaStore, changes: list[BuildChanges]) -> None:
    with store.write() as transaction:
        assert transaction.content(key(store)) == changes[0].content_before
        transaction.make_changes(key(store), changes)
        transaction.set_checkpoint(key(store), changes[-1].position, changes[-1].digest)
    assert transaction.recorded == [], "what it made is not its own"


def content(store: ReplicaStore) -> tuple[int, int]:
    """The content as it is kept, and as it is found by reading all rows."""
    with store.write() as transaction:
        kept = transaction.content(key(store))
        assert kept is not None
        opened_build = store._builds.opened("catalog")
        found = transaction._access.locked(content_of, list(opened_build.tables.values()))
    return kept, found


def everything(store: ReplicaStore) -> Any:
    """All rows, and what every index finds."""
    with store.snapshot() as snapshot:
        table = snapshot.table("catalog", PRODUCTS)
        by_index = [list(table.keys(index)) for index in ("price", ("kind", "price"))]
        tagged = [list(table.keys(Each("tags"), equal=tag)) for tag in "abc"]
    return store.dump("catalog"), by_index, tagged


def row(sku: int, price: int, tags: str = "a") -> dict[str, Any]:
    return {"sku": sku, "kind": price % 3, "price": price, "tags": sorted(set(tags))}


skus = st.integers(0, 9)
operations = st.one_of(
    st.builds(lambda sku, price, tags: lambda p, _: p.put(row(sku, price, tags)), skus, skus, st.text("abc")),
    st.builds(lambda sku: lambda p, _: p.delete(sku), skus),
    st.builds(lambda sku: lambda p, _: p.get(sku), skus),
    st.builds(lambda price: lambda p, _: list(p.range("price", start=price)), skus),  # writes what waits
    st.builds(lambda sku, number: lambda _, plain: plain.put({"sku": sku, "number": number}), skus, skus),
    st.builds(lambda sku: lambda _, plain: plain.delete(sku), skus),
    st.builds(
        lambda first: lambda p, _: [p.put(row(100 + sku, sku)) for sku in range(first, first + 40)], skus
    ),
)


@given(st.lists(st.lists(operations, max_size=8), max_size=6), st.integers(1, 3))
def test_a_replica_that_makes_the_changes_of_another_one_has_the_same_rows_entries_and_content(
    transactions: list[list[Any]], together: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        first, second = (stack.enter_context(opened(Path(folder) / name)) for name in ("first", "second"))
        waiting: list[BuildChanges] = []
        for number, one in enumerate(transactions, 1):
            waiting += change(first, one, number)
            if number % together == 0:
                make(second, waiting)
                waiting = []
        if waiting:
            make(second, waiting)
        assert everything(second) == everything(first)
        rows, (by_price, by_kind), tagged = everything(second)
        found = {row["sku"]: row for row in rows["products"]}
        assert by_price == sorted(found, key=lambda sku: (found[sku]["price"], sku))
        assert by_kind == sorted(found, key=lambda sku: (found[sku]["kind"], found[sku]["price"], sku))
        assert tagged == [sorted(sku for sku in found if tag in found[sku]["tags"]) for tag in "abc"]
        assert second.checkpoints() == first.checkpoints() == {"catalog": len(transactions)}
        assert content(first)[0] == content(first)[1] == content(second)[0] == content(second)[1]
        for table in ("products", "plain", ""):
            assert second.state.changed("catalog", table) >= first.state.changed("catalog", table)


def test_equal_rows_have_equal_content_however_they_came_about(
    stores: tuple[ReplicaStore, ReplicaStore],
) -> None:
    first, second = stores
    change(first, [lambda p, _: p.put(row(1, 5)), lambda p, _: p.put(row(2, 6))], 2)
    change(second, [lambda p, _: p.put(row(2, 9)), lambda p, _: p.put(row(3, 9))], 1)
    assert content(first) != content(second)
    change(second, [lambda p, _: p.put(row(2, 6)), lambda p, _: p.delete(3)], 2)
    change(second, [lambda p, _: p.put(row(1, 5))], 3)
    assert content(first) == content(second)


def test_content_is_kept_with_the_checkpoint_and_found_again_after_opening(tmp_path: Path) -> None:
    with opened(tmp_path / "first") as store:
        change(store, [lambda p, _: p.put(row(1, 5))], 1)
        before = content(store)
    with opened(tmp_path / "first") as store:
        assert store._builds.contents[key(store)] == before[0]
        assert content(store) == before


def test_content_that_was_not_kept_for_a_while_is_found_by_reading_the_rows(tmp_path: Path) -> None:
    with opened(tmp_path / "first") as store:
        change(store, [lambda p, _: p.put(row(1, 5))], 1)
    with opened(tmp_path / "first", record_changes=False) as store:
        assert change(store, [lambda p, _: p.put(row(2, 6))], 2) == []
    with opened(tmp_path / "first") as store:
        assert key(store) not in store._builds.contents
        kept, found = content(store)
        assert kept == found != 0
    with opened(tmp_path / "first") as store:
        # In the very transaction that changes rows, it is that of the rows before.
        [changes] = change(store, [lambda p, _: p.put(row(3, 7))], 3)
        assert (changes.content_before, changes.after) == (kept, 2)
        assert content(store)[0] == content(store)[1] == changes.content


def test_an_aborted_transaction_leaves_the_content_as_it_was(
    stores: tuple[ReplicaStore, ReplicaStore],
) -> None:
    first, _ = stores
    change(first, [lambda p, _: p.put(row(1, 5))], 1)
    before = content(first)

    def fail() -> None:
        with first.write() as transaction:
            transaction.tables("catalog")[PRODUCTS].put(row(2, 6))
            transaction.set_checkpoint("catalog", 2)
            transaction.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert content(first) == before


@pytest.mark.parametrize("lost", ["row", "entry of an index"])
def test_what_is_to_be_deleted_and_is_not_there_is_damage(
    stores: tuple[ReplicaStore, ReplicaStore], lost: str
) -> None:
    first, second = stores
    put = change(first, [lambda p, _: p.put(row(1, 5))], 1)
    make(second, put)
    handle = second._builds.opened("catalog").by_name["products"]
    with second._environment.begin(write=True) as txn:
        if lost == "row":
            txn.drop(handle.rows, delete=False)
        else:
            txn.drop(next(iter(handle.indexes.values())), delete=False)
    deleted = change(first, [lambda p, _: p.delete(1)], 2)
    with pytest.raises(DamagedStore, match=f"catalog.products lacks a {lost} that another replica"):
        make(second, deleted)
    assert second.checkpoints() == {"catalog": 1}


def test_builds_of_the_same_code_have_the_same_name_whatever_number_they_have() -> None:
    assert code_of("catalog@2.0123abcd.7") == code_of("catalog@2.0123abcd.12") == "catalog@2.0123abcd"


def test_a_checkpoint_is_read_back_with_all_that_is_known_of_it() -> None:
    digest = digest_of(b"event")
    for with_digest in (b"", digest):
        for number in (None, 0, 2**64 - 1):
            packed = pack_checkpoint(7, with_digest, number)
            assert unpack_checkpoint(packed) == (7, with_digest)
            assert unpack_content(packed) == number

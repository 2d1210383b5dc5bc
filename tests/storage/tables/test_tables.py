"""Tables: rows by key, by range and by index, page by page, and changes through the write-back buffer."""

from __future__ import annotations

import string
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.codec.page_token import decode_token, encode_token
from storage.errors import (
    CodecError,
    DamagedStore,
    InvalidKey,
    InvalidPageToken,
    InvalidSchema,
    KeyTooLong,
    RowMissing,
    SnapshotClosed,
    UnencodableValue,
)
from storage.replica.replica_store import ReplicaStore, Snapshot
from storage.tables import sorted_put
from storage.tables.entries import CHUNK_KEYS, CHUNK_ROWS
from storage.tables.index import each, split_words, words
from storage.tables.reader import TableReader
from storage.tables.schema import ModelSchema, TableSchema
from storage.tables.writer import TableWriter

PRODUCTS = TableSchema(
    "products",
    key="sku",
    indexes=["price", ("category", "price"), words("name"), each("labels"), ("category", words("name"))],
)
LINES = TableSchema("lines", key=("order", "line"))
CATALOG = ModelSchema("catalog", 1, (PRODUCTS, LINES))


class Store:
    """A replica and short ways to write to it and to read from it."""

    def __init__(self, path: Path) -> None:
        self.replica = ReplicaStore.open(path, [CATALOG], Codec(), history_id="h", log_head=0)
        self.snapshots: list[Snapshot] = []

    def put(self, *rows: dict[str, Any], table: TableSchema = PRODUCTS) -> None:
        with self.replica.write() as transaction:
            for row in rows:
                transaction.tables("catalog")[table].put(row)

    def table(self, table: TableSchema = PRODUCTS) -> TableReader:
        self.snapshots.append(self.replica.snapshot())
        return self.snapshots[-1].table("catalog", table)

    def entries(self) -> int:
        """How many index entries exist in all, to see that none is left over."""
        with self.replica.snapshot() as snapshot:
            handle = snapshot.table("catalog", PRODUCTS)._handle
            return sum(snapshot._access.live().stat(db)["entries"] for db in handle.indexes.values())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "replica")
    yield opened
    opened.replica.close()


def product(sku: str, price: Any = 1, **columns: Any) -> dict[str, Any]:
    return {"sku": sku, "price": price, **columns}


def skus(rows: Any) -> list[str]:
    return [row["sku"] for row in rows]


# -- by key --------------------------------------------------------------------------------------------------
def test_a_row_comes_back_as_it_was_put(store: Store) -> None:
    row = product(
        "lamp", Decimal("19.99"), name="Désk \0 lamp", labels=["a", 1], size={"w": (1.5, []), 2: None}
    )
    store.put(row)
    assert store.table().get("lamp") == row
    assert store.table().get("desk") is None
    assert store.table().get("desk", {}) == {}
    assert "lamp" in store.table()
    assert "desk" not in store.table()


def test_many_keys_are_answered_in_their_order(store: Store) -> None:
    store.put(*(product(f"p{n:03}", n) for n in range(250)))
    found = store.table().get_many([f"p{n:03}" for n in (249, 3, 3, 777, 0)])
    assert [row and row["price"] for row in found] == [249, 3, 3, None, 0]


def test_a_composite_key_needs_all_its_values(store: Store) -> None:
    store.put(
        {"order": "o1", "line": 2}, {"order": "o1", "line": 10}, {"order": "o0", "line": 3}, table=LINES
    )
    lines = store.table(LINES)
    assert lines.get(("o1", 10)) == {"order": "o1", "line": 10}
    assert [row["line"] for row in lines.range(equal="o1")] == [2, 10]
    assert [row["line"] for row in lines.range(equal="o1", start=3)] == [10]
    assert [row["line"] for row in lines.prefix(None, "o")] == [3, 2, 10]
    for key in ("o1", ("o1",), ("o1", 1, 2), ["o1", 2]):
        with pytest.raises(InvalidKey, match="order, line"):
            lines.get(key)


def test_a_single_key_is_no_tuple(store: Store) -> None:
    with pytest.raises(InvalidKey, match="products"):
        store.table().get(("lamp", 1))


def test_a_key_that_cannot_be_is_refused_with_the_table_named(store: Store) -> None:
    for key, error in (
        ("\ud800", InvalidKey),
        (["lamp"], InvalidKey),
        ("x" * 510, KeyTooLong),
        ("é" * 300, KeyTooLong),
    ):
        with pytest.raises(error, match=r"'products', key 'sku'"):
            store.table().get(key)
    longest = "é" * 254
    with store.replica.write() as transaction:
        transaction.tables("catalog")[LINES].put({"order": longest, "line": None})
    assert store.table(LINES).get((longest, None)) == {"order": longest, "line": None}


def test_a_value_beyond_a_page_is_stored(store: Store) -> None:
    rows = [product(f"big{n}", n, name="word " * 2, blob=b"x" * 200_000) for n in range(3)]
    store.put(*rows)
    assert list(store.table().range("price")) == rows


def test_a_missing_key_column_is_named(store: Store) -> None:
    with pytest.raises(InvalidKey, match=r"products.*no column 'sku'"):
        store.put({"price": 3})


# -- ranges --------------------------------------------------------------------------------------------------
def test_a_range_holds_its_start_and_not_its_stop(store: Store) -> None:
    store.put(*(product(f"p{n}", n * 10) for n in range(6)))
    table = store.table()
    assert skus(table.range("price", 10, 30)) == ["p1", "p2"]
    assert skus(table.range("price", 10, 30, include_stop=True)) == ["p1", "p2", "p3"]
    assert skus(table.range("price", 35)) == ["p4", "p5"]
    assert skus(table.range("price", stop=15)) == ["p0", "p1"]
    assert skus(table.range(start="p4")) == ["p4", "p5"]
    assert skus(table.range("price", 30, 10)) == []
    assert skus(table.range("price", limit=0)) == []
    assert table.count("price", 10, 30) == 2
    assert table.count() == len(table) == 6


def test_reverse_with_a_limit_gives_the_last_ones(store: Store) -> None:
    store.put(*(product(f"p{n:03}", n) for n in range(250)))
    table = store.table()
    assert skus(table.range("price", reverse=True, limit=2)) == ["p249", "p248"]
    assert skus(table.range("price", 5, 248, reverse=True, limit=2)) == ["p247", "p246"]
    assert skus(table.range(reverse=True)) == sorted(skus(table.all()), reverse=True)
    assert skus(table.range("price", 100, 103, reverse=True)) == ["p102", "p101", "p100"]


def test_ranges_of_every_size_around_a_chunk_are_whole(store: Store) -> None:
    total = 2 * CHUNK_ROWS + 1
    store.put(*(product(f"p{n:04}", n) for n in range(total)))
    table = store.table()
    for limit in (1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 2 * CHUNK_ROWS, total, total + 1):
        want = [f"p{n:04}" for n in range(total)]
        assert skus(table.range("price", limit=limit)) == want[:limit]
        assert skus(table.range("price", reverse=True, limit=limit)) == want[::-1][:limit]
        assert skus(table.range("price", stop=limit)) == want[:limit]
        assert table.count("price", stop=limit) == min(limit, total)


def test_equal_index_values_are_in_key_order(store: Store) -> None:
    store.put(*(product(sku, 5) for sku in ("c", "a", "b")), product("z", 4))
    assert skus(store.table().range("price")) == ["z", "a", "b", "c"]
    assert skus(store.table().find("price", 5, reverse=True)) == ["c", "b", "a"]


def test_numbers_of_different_types_mix_in_one_index(store: Store) -> None:
    prices = [3, 2.5, Decimal("2.75"), -(10**30), 10**30, -0.1, Decimal("1E+3"), 0, True, "text", None]
    store.put(*(product(f"p{n}", price) for n, price in enumerate(prices)))
    found = [row["price"] for row in store.table().range("price")]
    assert found == [None, True, -(10**30), -0.1, 0, 2.5, Decimal("2.75"), 3, Decimal("1E+3"), 10**30, "text"]


def test_strings_with_nul_and_unicode_sort_by_code_point(store: Store) -> None:
    names = ["", "a", "a\0", "a\0b", "ab", "é", "日本", "\U0001f600"]
    store.put(*(product(name) for name in reversed(names)))
    assert skus(store.table().all()) == names
    assert skus(store.table().prefix(None, "a")) == ["a", "a\0", "a\0b", "ab"]
    assert skus(store.table().prefix(None, "a\0")) == ["a\0", "a\0b"]


def test_none_and_a_missing_column_are_indexed_alike(store: Store) -> None:
    store.put({"sku": "a"}, product("b", None), product("c", 0))
    table = store.table()
    assert skus(table.find("price", None)) == ["a", "b"]
    assert skus(table.range("price", equal=(None,))) == ["a", "b"]
    assert skus(table.range("price")) == ["a", "b", "c"]
    assert skus(table.range("price", start=0)) == ["c"]


def test_a_composite_index_pins_what_leads_and_ranges_over_the_next(store: Store) -> None:
    store.put(
        product("a", 3, category="oak"),
        product("b", 1, category="oak"),
        product("c", 2, category="elm"),
        product("d", 9, category="oak"),
    )
    table = store.table()
    index = ("category", "price")
    assert skus(table.range(index)) == ["c", "b", "a", "d"]
    assert skus(table.find(index, "oak")) == ["b", "a", "d"]
    assert skus(table.find(index, "oak", 3)) == ["a"]
    assert skus(table.range(index, 2, equal="oak")) == ["a", "d"]
    assert skus(table.range(index, 2, 9, equal=("oak",))) == ["a"]
    assert skus(table.range(index, ("oak", 3))) == ["a", "d"]
    assert skus(table.range(index, stop="oak")) == ["c"]
    assert skus(table.range(index, stop="oak", include_stop=True)) == ["c", "b", "a", "d"]
    assert skus(table.prefix(index, "o")) == ["b", "a", "d"]
    assert table.count(index, equal="oak") == 3
    with pytest.raises(InvalidKey, match="2 component"):
        table.find(index, "oak", 3, 4)


# -- many-valued ---------------------------------------------------------------------------------------------
def test_words_are_found_whatever_their_case(store: Store) -> None:
    store.put(
        product("a", name="Oak desk, OAK top"), product("b", name="Großer Tisch"), product("c", name=None)
    )
    table = store.table()
    assert skus(table.find(words("name"), "oak")) == ["a"]
    assert skus(table.find(words("name"), "GROSSER")) == ["b"]
    assert skus(table.prefix(words("name"), "T")) == ["b", "a"]
    assert skus(table.prefix(words("name"), "")) == ["a", "b"]
    for query in ("oak desk", "", "--", 5):
        with pytest.raises(InvalidKey):
            table.find(words("name"), query)


def test_words_are_split_at_all_but_letters_and_digits() -> None:
    assert split_words("Don't stop_me, 2nd-hand! ÀÉ") == ["don't", "stop_me", "2nd", "hand", "àé"]
    assert split_words("e\u0301") == split_words("\u00e9")


def test_a_row_with_several_entries_in_a_range_comes_once(store: Store) -> None:
    store.put(product("a", labels=["x", "y", "z", "x"]), product("b", labels=("y",)), product("c", labels=[]))
    table = store.table()
    assert skus(table.range(each("labels"))) == ["a", "b"]
    assert skus(table.range(each("labels"), reverse=True)) == ["a", "b"]
    assert skus(table.range(each("labels"), "y")) == ["a", "b"]
    assert skus(table.range(each("labels"), reverse=True, limit=1)) == ["a"]
    assert skus(table.find(each("labels"), "y")) == ["a", "b"]
    assert table.count(each("labels")) == 2
    assert table.count(each("labels"), equal="y") == 2


def test_pages_of_a_many_valued_index_show_each_row_once(store: Store) -> None:
    store.put(*(product(f"p{n}", labels=[f"l{m}" for m in range(n % 4 + 1)]) for n in range(20)))
    seen, token = [], None
    while True:
        page = store.table().page(each("labels"), size=3, token=token)
        seen += skus(page.rows)
        token = page.token
        if token is None:
            break
    assert sorted(seen) == sorted(f"p{n}" for n in range(20))


def test_many_values_combine_with_a_leading_column(store: Store) -> None:
    store.put(product("a", category="x", name="oak desk"), product("b", category="y", name="oak"))
    assert skus(store.table().find(("category", words("name")), "x", "OAK")) == ["a"]
    assert skus(store.table().prefix(("category", words("name")), "x", "de")) == ["a"]
    assert skus(store.table().find(("category", words("name")), "x")) == ["a"]


def test_only_what_has_items_or_words_is_indexed_by_them(store: Store) -> None:
    with pytest.raises(InvalidKey, match=r"each\(labels\).*list"):
        store.put(product("a", labels="text"))
    with pytest.raises(InvalidKey, match=r"words\(name\).*str"):
        store.put(product("a", name=5))
    assert len(store.table()) == 0


# -- pages ---------------------------------------------------------------------------------------------------
def test_pages_go_on_where_they_stopped_though_rows_change(store: Store) -> None:
    store.put(*(product(f"p{n}", n) for n in range(10)))
    first = store.table().page("price", size=4)
    assert skus(first.rows) == ["p0", "p1", "p2", "p3"]
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.delete("p3")
        table.put(product("new-before", 1))
        table.put(product("new-after", 5))
        table.delete("p4")
    second = store.table().page("price", size=4, token=first.token)
    assert skus(second.rows) == ["new-after", "p5", "p6", "p7"]
    third = store.table().page("price", size=4, token=second.token)
    assert skus(third.rows) == ["p8", "p9"]
    assert third.token is None


def test_pages_go_backwards_too_and_keep_their_bounds(store: Store) -> None:
    store.put(*(product(f"p{n}", n) for n in range(10)))
    first = store.table().page("price", 2, 8, reverse=True, size=4)
    second = store.table().page("price", 2, 8, reverse=True, size=4, token=first.token)
    assert skus(first.rows) == ["p7", "p6", "p5", "p4"]
    assert skus(second.rows) == ["p3", "p2"]
    assert second.token is None


def test_a_page_that_ends_with_the_last_row_has_no_token(store: Store) -> None:
    store.put(*(product(f"p{n}", n) for n in range(4)))
    assert store.table().page(size=4).token is None
    assert store.table().page(size=3).token is not None
    with pytest.raises(ValueError, match="at least 1"):
        store.table().page(size=0)


def test_a_foreign_or_altered_token_is_recognised(store: Store) -> None:
    store.put(*(product(f"p{n}", n) for n in range(4)))
    table = store.table()
    token = table.page("price", size=2).token
    assert token is not None
    for wrong in ("", "x", "ü", token[:-2], "A" + token[1:], token + "AA"):
        with pytest.raises(InvalidPageToken):
            table.page("price", size=2, token=wrong)
    for query in ({"index": None}, {"index": ("category", "price")}, {"index": "price", "reverse": True}):
        with pytest.raises(InvalidPageToken):
            table.page(**query, size=2, token=token)  # type: ignore[arg-type]


def test_a_token_has_one_spelling_alone() -> None:
    signs = string.ascii_letters + string.digits + "-_+/=. \n"
    for length in range(1, 5):  # so that some bits of the last character are in no byte
        token = encode_token(b"p" * length, "query")
        for place in range(len(token) + 1):
            for sign in signs:
                for wrong in {
                    token[:place] + sign + token[place + 1 :],
                    token[:place] + sign + token[place:],
                }:
                    if wrong != token:
                        with pytest.raises(InvalidPageToken):
                            decode_token(wrong, "query")
        assert decode_token(token, "query") == b"p" * length


# -- some columns, keys alone, prepared ranges ---------------------------------------------------------------
def test_rows_come_with_the_columns_that_are_asked_for(store: Store) -> None:
    row = product("a", Decimal("1.5"), name="oak desk", labels=["x", "y"], size={"w": (1, 2)})
    store.put(row, product("b", 2))
    table = store.table()
    assert table.get("a", columns=["price"]) == {"price": Decimal("1.5")}
    assert table.get("a", columns=("size", "sku", "colour")) == {"sku": "a", "size": {"w": (1, 2)}}
    assert table.get("x", columns=["price"]) is None
    assert table.get("x", {}, columns=["price"]) == {}
    assert table.get_many(["b", "x", "a"], columns=["name"]) == [{}, None, {"name": "oak desk"}]
    assert list(table.all(columns=["sku"])) == [{"sku": "a"}, {"sku": "b"}]
    assert list(table.range("price", 2, columns=["sku"])) == [{"sku": "b"}]
    assert list(table.find(words("name"), "oak", columns=["labels"])) == [{"labels": ["x", "y"]}]
    assert list(table.prefix(each("labels"), "", columns=["sku"])) == [{"sku": "a"}]
    assert table.page("price", size=1, columns=["price"]).rows == [{"price": Decimal("1.5")}]
    assert list(table.all(columns=[])) == [{}, {}]


def test_a_writer_gives_the_columns_of_rows_that_wait_to_be_written(store: Store) -> None:
    store.put(product("a", 1, name="oak"))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.update("a", price=2)
        assert table.get("a", columns=["price"]) == {"price": 2}
        assert table.get_many(["a", "b"], columns=["name"]) == [{"name": "oak"}, None]
        assert list(table.range("price", columns=["price"])) == [{"price": 2}]
        assert list(table.keys("price", 2)) == list(table.keys()) == ["a"]


def test_what_is_no_list_of_columns_is_refused_at_once(store: Store) -> None:
    table = store.table()
    for columns in ("price", {"price"}, [1], words("name")):
        for read in (table.all, lambda columns: table.get("a", columns=columns), table.page):
            with pytest.raises(ValueError, match="columns= is a list of column names"):
                read(columns=columns)  # type: ignore[operator]


def test_a_column_is_not_decoded_that_nobody_asks_for(store: Store) -> None:
    store.put(product("a", 1, colour="red"))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        # As a later version would write it, with an extension that this one lacks.
        transaction._access.live().put(PRODUCTS.encode("a"), b"\x82\xa5other\xd4\x63x\xa3skua", db=table._db)
    assert store.table().get("a", columns=["sku"]) == {"sku": 97}
    with pytest.raises(CodecError, match="extension"):
        store.table().get("a")


def test_a_damaged_row_is_recognised_among_others(store: Store) -> None:
    store.put(*(product(f"p{n}", n) for n in range(20)))
    for damage in (b"\xc1", b"\x83\xa3sku", b"\x82\xa3sku\xa2p7\xa5price\x07\x01", b""):
        with store.replica.write() as transaction:
            table = transaction.tables("catalog")[PRODUCTS]
            transaction._access.live().put(PRODUCTS.encode("p7"), damage, db=table._db)
        for read in (
            lambda table: table.get("p7"),
            lambda table: list(table.range("price")),
            lambda table: table.get_many(["p1", "p7"]),
            lambda table: list(table.all(columns=["price"])),
        ):
            with pytest.raises(CodecError, match=r"products.*damaged"):
                read(store.table())


def test_keys_are_what_get_takes(store: Store) -> None:
    store.put(*(product(f"p{n}", n, labels=["x", "y"][: n % 3]) for n in range(6)))
    store.put({"order": "o\0", "line": 2}, {"order": "o\0", "line": 10}, {"order": 7, "line": 3}, table=LINES)
    table, lines = store.table(), store.table(LINES)
    assert list(table.keys("price", 2, 5, reverse=True, limit=2)) == ["p4", "p3"]
    assert list(table.keys(start="p1", stop="p3", include_stop=True)) == ["p1", "p2", "p3"]
    assert list(table.keys(each("labels"))) == ["p1", "p2", "p4", "p5"]
    assert list(table.keys(each("labels"), equal="y")) == ["p2", "p5"]
    assert list(table.keys(limit=0)) == []
    assert list(lines.keys()) == [(7, 3), ("o\0", 2), ("o\0", 10)]
    assert lines.get_many(lines.keys()) == list(lines.all())


def test_keys_and_counts_read_no_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 3 * CHUNK_KEYS
    store.put(*(product(f"p{n:05}", n, labels=["x"]) for n in range(total)))
    table = store.table()
    monkeypatch.setattr(TableReader, "_fetch", None)
    monkeypatch.setattr(TableReader, "_decode_all", None)
    assert list(table.keys("price", 5, reverse=True)) == [f"p{n:05}" for n in range(total - 1, 4, -1)]
    assert list(table.keys(reverse=True)) == [f"p{n:05}" for n in range(total - 1, -1, -1)]
    assert table.count("price", 5) == total - 5
    assert table.count(None, "p00005", "p02500") == 2495
    assert table.count(each("labels")) == table.count(each("labels"), equal="x") == total


def test_a_prepared_range_is_called_with_a_table_and_values(store: Store) -> None:
    store.put(*(product(f"p{n}", n, category="ab"[n % 2], name=f"oak no{n}") for n in range(10)))
    table = store.table()
    index = ("category", "price")
    dearest = PRODUCTS.prepare(index, equal=1, reverse=True, limit=2, columns=["sku", "name"])
    assert list(dearest(table, "b")) == [{"sku": "p9", "name": "oak no9"}, {"sku": "p7", "name": "oak no7"}]
    assert skus(dearest(table, "a", stop=4)) == ["p2", "p0"]
    assert skus(dearest(table, "a", start=2, stop=4, include_stop=True)) == ["p4", "p2"]
    assert list(dearest.keys(table, "a")) == ["p8", "p6"]
    assert dearest.count(table, "a") == 5
    assert skus(PRODUCTS.prepare("price")(table, start=8)) == ["p8", "p9"]
    assert skus(PRODUCTS.prepare(index, equal=2)(table, "b", 3)) == ["p3"]
    assert skus(PRODUCTS.prepare(equal=1)(table, "p3")) == ["p3"]
    assert skus(PRODUCTS.prepare(words("name"), equal=1)(table, "NO5")) == ["p5"]
    assert PRODUCTS.prepare(words("name")).count(table) == 10
    assert skus(PRODUCTS.prepare(each("labels"), equal=1)(table, None)) == []


def test_a_prepared_range_reads_what_waits_to_be_written(store: Store) -> None:
    by_price = PRODUCTS.prepare("price", equal=1)
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.put(product("a", 1))
        assert skus(by_price(table, 1)) == ["a"]
        table.update("a", price=2)
        assert by_price.count(table, 1) == 0


def test_a_prepared_range_serves_a_table_of_an_older_version(store: Store) -> None:
    newer = TableSchema("products", key=("sku",), indexes=["colour", "price"])
    store.put(*(product(f"p{n}", n) for n in range(3)))
    assert skus(newer.prepare("price", equal=1)(store.table(), 2)) == ["p2"]
    assert skus(newer.prepare(reverse=True)(store.table())) == ["p2", "p1", "p0"]
    with pytest.raises(InvalidSchema, match="no index 'colour'"):
        newer.prepare("colour")(store.table())


def test_what_cannot_be_prepared_is_refused(store: Store) -> None:
    with pytest.raises(InvalidSchema, match="no index 'colour'"):
        PRODUCTS.prepare("colour")
    for equal in (-1, 2):
        with pytest.raises(InvalidKey, match="1 component"):
            PRODUCTS.prepare("price", equal=equal)
    with pytest.raises(ValueError, match="columns="):
        PRODUCTS.prepare("price", columns="price")  # type: ignore[arg-type]
    prepared = PRODUCTS.prepare("price", equal=1)
    for values in ((), (1, 2)):
        with pytest.raises(InvalidKey, match=rf"prepared for 1 value\(s\), and {len(values)} were given"):
            prepared(store.table(), *values)


def test_an_unknown_option_is_refused(store: Store) -> None:
    for method in ("range", "page", "count", "keys"):
        with pytest.raises(TypeError, match="limt"):
            getattr(store.table(), method)("price", limt=5)
    with pytest.raises(TypeError, match="limit"):
        store.table().count("price", limit=5)  # type: ignore[call-arg]


# -- changes -------------------------------------------------------------------------------------------------
def test_changing_an_indexed_column_moves_the_row(store: Store) -> None:
    store.put(product("a", 1, labels=["x", "y"], name="oak"))
    before = store.entries()
    with store.replica.write() as transaction:
        transaction.tables("catalog")[PRODUCTS].update("a", price=9, labels=["y", "z"], name="elm")
    table = store.table()
    assert list(table.find("price", 1)) == list(table.find(each("labels"), "x")) == []
    assert list(table.find(words("name"), "oak")) == []
    assert skus(table.find("price", 9)) == skus(table.find(each("labels"), "z")) == ["a"]
    assert store.entries() == before


def test_deleting_a_row_deletes_its_entries(store: Store) -> None:
    store.put(product("a", labels=["x"], name="oak desk"), product("b"))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        assert table.delete("a")
        assert not table.delete("a")
        assert not table.delete("none")
        assert table.delete("b")
    assert store.entries() == 0
    assert len(store.table()) == 0


def test_put_delete_and_put_in_one_batch_leave_the_last_row(store: Store) -> None:
    store.put(product("a", 1))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.put(product("a", 2))
        assert table.delete("a")
        assert table.get("a") is None
        assert "a" not in table
        table.put(product("a", 3))
        assert table.get("a") == product("a", 3)
    assert skus(store.table().find("price", 3)) == ["a"]
    assert list(store.table().range("price", stop=3)) == []


def test_a_row_put_and_deleted_in_one_batch_was_never_there(store: Store) -> None:
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.put(product("a"))
        assert table.delete("a")
    assert store.entries() == len(store.table()) == 0


def test_a_writer_reads_its_own_changes_by_key_and_by_index(store: Store) -> None:
    store.put(product("a", 1), product("b", 2))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.update("a", price=5)
        table.put(product("c", 3))
        table.delete("b")
        assert table.get_many(["a", "b", "c"]) == [product("a", 5), None, product("c", 3)]
        assert skus(table.range("price")) == ["c", "a"]
        assert table.count() == len(table) == 2
        table.update("c", price=6)
        assert skus(table.range("price")) == ["a", "c"]
        assert table.page("price", size=1).rows == [product("a", 5)]
    assert skus(store.table().range("price")) == ["a", "c"]


def test_rows_may_be_changed_while_they_are_iterated_over(store: Store) -> None:
    total = 3 * CHUNK_ROWS
    store.put(*(product(f"p{n:04}", 1) for n in range(total)))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        for row in table.find("price", 1):
            table.update(row["sku"], price=2)
    assert store.table().count("price", equal=2) == total


def test_updating_a_buffered_row_does_not_touch_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.put(product("a", 1))
        with monkeypatch.context() as patch:
            patch.setattr(TableWriter, "_load", None)
            for price in range(5):
                table.update("a", price=price)
            assert table.get("a") == product("a", 4)


def test_updating_a_missing_row_names_it(store: Store) -> None:
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        with pytest.raises(RowMissing, match="'lamp'"):
            table.update("lamp", price=1)
        table.put(product("lamp"))
        table.delete("lamp")
        with pytest.raises(RowMissing, match="'lamp'"):
            table.update("lamp", price=1)


def test_update_cannot_change_the_key(store: Store) -> None:
    store.put(product("a"))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        table.update("a", sku="a", price=2)
        with pytest.raises(InvalidKey, match="change the key"):
            table.update("a", sku="b")
    assert list(store.table().all()) == [product("a", 2)]


def test_neither_side_sees_the_others_later_changes_to_a_row(store: Store) -> None:
    labels = ["x"]
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        row = product("a", labels=labels)
        table.put(row)
        labels.append("y")
        row["price"] = 99
        got = table.get("a")
        assert got == product("a", labels=["x"])
        got["labels"].append("z")
        got["price"] = 77
    assert list(store.table().all()) == [product("a", labels=["x"])]


@pytest.mark.parametrize(
    ("row", "error", "text"),
    [
        (product("a", ["list"]), InvalidKey, "products.*price"),
        (product("a", "x" * 520), KeyTooLong, "products.*price"),
        (product("a" * 300, "x" * 300), KeyTooLong, "products.*price"),
        (product("a", other=object()), UnencodableValue, "products.*'a'"),
    ],
)
def test_a_row_that_cannot_be_stored_leaves_nothing_of_its_batch(
    store: Store, row: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        store.put(product("b"), row)
    assert len(store.table()) == store.entries() == 0
    store.put(product("b"))
    assert len(store.table()) == 1


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (product("c", "x" * 520), KeyTooLong),
        (product("c", category="x" * 520), KeyTooLong),  # refused by the second index
        (product("c", labels=["x" * 520]), KeyTooLong),
        (product("c", other=object()), UnencodableValue),
    ],
)
@pytest.mark.parametrize("mended", [True, False])
def test_whoever_passes_over_a_row_that_cannot_be_stored_loses_no_other_row(
    store: Store, bad: dict[str, Any], error: type[Exception], mended: bool
) -> None:
    def change() -> None:
        with store.replica.write() as transaction:
            table = transaction.tables("catalog")[PRODUCTS]
            table.put(product("a", 2, name="oak"))
            table.put(product("b", 1))
            table.put(bad)
            for _ in range(2):
                with pytest.raises(error):
                    table.count("price", equal=1)
            if mended:
                assert table.delete("c")
                assert skus(table.range("price")) == ["b", "a", "z"]

    store.put(product("a", 1, name="elm"), product("z", 3))
    if mended:
        change()
        assert skus(store.table().all()) == ["a", "b", "z"]
        assert skus(store.table().find(words("name"), "oak")) == ["a"]
        assert skus(store.table().find(words("name"), "elm")) == []
    else:
        with pytest.raises(error):
            change()
        assert skus(store.table().all()) == ["a", "z"]
        assert skus(store.table().find(words("name"), "elm")) == ["a"]


# -- threads and damage --------------------------------------------------------------------------------------
def test_no_lock_is_held_while_a_caller_looks_at_a_row(store: Store) -> None:
    store.put(*(product(f"p{n:04}", n) for n in range(3 * CHUNK_ROWS)))
    table = store.table()
    for count, row in enumerate(table.range("price")):
        assert not table._access.lock.locked()
        if count == CHUNK_ROWS // 2:
            store.put(product(row["sku"], -1))
    assert count + 1 == 3 * CHUNK_ROWS


def test_reading_after_the_end_says_so(store: Store) -> None:
    store.put(*(product(f"p{n:04}", n) for n in range(3 * CHUNK_ROWS)))
    table = store.table()
    rows = table.range("price")
    next(rows)
    store.snapshots[-1].close()
    for read in (
        lambda: list(rows),
        lambda: table.get("p0000"),
        lambda: table.count(),
        lambda: list(table.range()),
    ):
        with pytest.raises(SnapshotClosed, match="closed"):
            read()


def test_a_snapshot_may_be_closed_while_other_threads_read_in_it(store: Store) -> None:
    store.put(*(product(f"p{n:04}", n) for n in range(500)))
    ends: list[str] = []

    def read(table: TableReader, started: threading.Barrier) -> None:
        started.wait(10)
        try:
            while True:
                assert table.get("p0007") == product("p0007", 7)
                assert len(list(table.range("price", limit=150))) == 150
        except SnapshotClosed:
            ends.append("closed")

    for _ in range(10):
        table = store.table()
        started = threading.Barrier(4)
        threads = [threading.Thread(target=read, args=(table, started)) for _ in range(3)]
        for thread in threads:
            thread.start()
        started.wait(10)
        table.count("price", 1)
        store.snapshots[-1].close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert ends == ["closed"] * 30


def test_an_index_entry_without_its_row_is_damage(store: Store) -> None:
    store.put(product("a"), product("b"))
    with store.replica.write() as transaction:
        table = transaction.tables("catalog")[PRODUCTS]
        transaction._access.live().delete(PRODUCTS.encode("a"), b"", table._db)
    with pytest.raises(DamagedStore, match="rebuilt"):
        list(store.table().range("price"))


# -- schemas -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "key", "indexes"),
    [
        ("", "sku", ()),
        ("a/b", "sku", ()),
        ("t", "", ()),
        ("t", (), ()),
        ("t", words("name"), ()),
        ("t", "sku", ["price", "price"]),
        ("t", "sku", ["price", ("price",)]),
        ("t", "sku", [()]),
        ("t", "sku", [5]),
        ("t", "sku", [(words("a"), each("b"))]),
    ],
)
def test_a_schema_that_cannot_be_is_refused(name: str, key: Any, indexes: Any) -> None:
    with pytest.raises(InvalidSchema):
        TableSchema(name, key, indexes)


@pytest.mark.parametrize(
    ("indexes", "advice"),
    [
        ("price", 'write indexes=["price"]'),
        (words("name"), 'write indexes=[words("name")]'),
        (each("tags"), 'write indexes=[each("tags")]'),
        (None, "not None"),
    ],
)
def test_one_index_in_place_of_a_list_is_refused_with_what_to_write(indexes: Any, advice: str) -> None:
    with pytest.raises(InvalidSchema, match=r"table 't': indexes= is a list of indexes") as caught:
        TableSchema("t", "sku", indexes)
    assert str(caught.value).endswith(advice)


def test_a_key_of_several_columns_in_a_list_is_refused_with_what_to_write() -> None:
    with pytest.raises(InvalidSchema, match=r"key \['a', 'b'\] .*several of them be a tuple"):
        TableSchema("t", ["a", "b"])  # type: ignore[arg-type]


def test_an_unknown_index_is_refused_at_once_with_those_there_are(store: Store) -> None:
    for index in ("colour", words("title"), ["price"], ("price", "category")):
        with pytest.raises(InvalidSchema, match=r"words\(name\)"):
            store.table().range(index)  # type: ignore[arg-type]


def test_fingerprints_change_with_what_is_stored() -> None:
    schemas = [
        TableSchema("t", "a"),
        TableSchema("u", "a"),
        TableSchema("t", "b"),
        TableSchema("t", ("a", "b")),
        TableSchema("t", "a", ["b"]),
        TableSchema("t", "a", [words("b")]),
        TableSchema("t", "a", [each("b")]),
    ]
    assert len({schema.fingerprint() for schema in schemas}) == len(schemas)
    assert TableSchema("t", "a", ["b", "c"]).fingerprint() == TableSchema("t", "a", ["c", "b"]).fingerprint()


# -- writing out many rows -----------------------------------------------------------------------------------
@settings(max_examples=60)
@given(
    flushes=st.lists(
        st.dictionaries(st.integers(0, 40), st.none() | st.integers(0, 3), max_size=12), max_size=6
    )
)
def test_rows_before_among_and_behind_all_others_are_written_alike(
    flushes: list[dict[int, int | None]],
) -> None:
    expected: dict[int, int] = {}
    with (
        TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patched,
        closing(Store(Path(folder)).replica) as replica,
        replica.write() as transaction,
    ):
        patched.setattr(sorted_put, "MANY", 1)
        table = transaction.tables("catalog")[PRODUCTS]
        for flush in flushes:
            for number, price in flush.items():
                if price is None:
                    table.delete(f"sku-{number:02}")
                    expected.pop(number, None)
                else:
                    table.put(product(f"sku-{number:02}", price, category="c", name="oak desk", labels=["l"]))
                    expected[number] = price
            table.flush()
        assert [(row["sku"], row["price"]) for row in table.all()] == [
            (f"sku-{number:02}", price) for number, price in sorted(expected.items())
        ]
        by_price = sorted(expected.items(), key=lambda item: (item[1], item[0]))
        in_order = [f"sku-{number:02}" for number, _ in by_price]
        assert skus(table.range("price")) == in_order
        assert skus(table.find(("category", "price"), "c")) == in_order
        assert skus(table.find(words("name"), "oak")) == sorted(in_order)
        assert skus(table.find(each("labels"), "l")) == sorted(in_order)
        txn = transaction._access.live()
        entries = [txn.stat(db)["entries"] for db in table._handle.indexes.values()]
        assert sum(entries) == 7 * len(expected), "one or two of each row in each of the five indexes"


def test_rows_in_the_order_of_their_keys_fill_their_pages(store: Store) -> None:
    for start in range(0, 4000, 1000):
        store.put(*(product(f"sku-{number:04}", number) for number in range(start, start + 1000)))
    with store.replica.snapshot() as snapshot:
        handle = snapshot.table("catalog", PRODUCTS)._handle
        stat = snapshot._access.live().stat(handle.rows)
        stored = sum(len(raw) for _, raw in snapshot._access.live().cursor(handle.rows))
    assert stat["leaf_pages"] * stat["psize"] < 2 * stored

"""Tables against a plain-Python model: any sequence of changes, reads, commits, aborts and reopenings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage.codec.codec import Codec
from storage.codec.keys import encode_component
from storage.errors import RowMissing
from storage.replica.replica_store import ReplicaStore
from storage.tables import entries as table_entries
from storage.tables.index import IndexSpec, each, split_words, words
from storage.tables.reader import TableReader
from storage.tables.schema import ModelSchema, Row, TableSchema
from tests.helpers import quick_folder

PRICE, PLACE, NAME, LABELS = "price", ("category", "price"), words("name"), each("labels")
NAMED = ("category", words("name"))
SCHEMA = TableSchema("products", "sku", [PRICE, PLACE, NAME, LABELS, NAMED])
LINES = TableSchema("lines", ("order", "line"), ["sku"])
MODEL = ModelSchema("catalog", 1, (SCHEMA, LINES))

keys = st.one_of(st.sampled_from(["lamp", "lam", "la\0mp", "désk", ""]), st.integers(-2, 2))
prices = st.one_of(st.integers(-3, 3), st.sampled_from([None, 0.5, Decimal("0.5"), 10**30, -300, "high"]))
categories = st.sampled_from(["a", "b", "", None])
names = st.sampled_from([None, "Oak desk", "OAK", "desk-lamp, desk", "", "Öl lampe"])
labels = st.one_of(st.none(), st.lists(st.sampled_from(["x", "y", "xy", 1]), max_size=4))
columns = {"price": prices, "category": categories, "name": names, "labels": labels}
rows = st.fixed_dictionaries({"sku": keys}, optional=columns)
changes = st.fixed_dictionaries({}, optional=columns)
RANGES: list[tuple[IndexSpec | None, tuple[Any, Any, Any]]] = [
    *((spec, (None, None, None)) for spec in (None, PRICE, PLACE, NAME, LABELS, NAMED)),
    *((PRICE, (None, start, stop)) for start in (None, -2, 0.5) for stop in (1, Decimal("0.5"), "high")),
    (PRICE, (None, 3, None)),
    (None, (None, "la\0mp", "lamp")),
    (None, (None, 0, "lam")),
    *((PLACE, (equal, start, stop)) for equal in ("a", "") for start in (None, 0) for stop in (None, 2)),
    (PLACE, (None, "", "a")),
    (NAME, (None, "desk", "oak")),
    (NAMED, ("a", "desk", "oak")),
    (LABELS, (None, "x", "xy")),
    (LABELS, (None, "x", None)),
]
SOME = ["sku", "labels"]
limits = st.one_of(st.none(), st.integers(0, 5))

Ordered = tuple[bytes, ...]


def components(spec: IndexSpec | None) -> tuple[Any, ...]:
    return ("sku",) if spec is None else spec if isinstance(spec, tuple) else (spec,)


def index_values(row: Row, spec: IndexSpec | None) -> list[Ordered]:
    """The row's values in an index, in key order; test_keys.py shows that encoded keys sort in this order."""
    found: list[Ordered] = [()]
    for component in components(spec):
        if component == NAME:
            values: list[Any] = split_words(row.get("name") or "")
        elif component == LABELS:
            values = list(row.get("labels") or ())
        else:
            values = [row.get(component)]
        found = [(*head, encode_component(value)) for head in found for value in values]
    return found


class Tables(RuleBasedStateMachine):
    """`committed` is what the disk must hold, `rows` what the open transaction must show."""

    @initialize()
    def begin(self) -> None:
        self.folder = quick_folder()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(table_entries, "CHUNK_ROWS", 3)  # so that few rows make many chunks
        self.patch.setattr(table_entries, "CHUNK_KEYS", 4)
        self.committed: dict[bytes, Row] = {}
        self.lines: dict[tuple[bytes, bytes], Row] = {}
        self.position = 0
        self.open()

    def open(self) -> None:
        self.store = ReplicaStore.open(
            Path(self.folder.name, "replica"), [MODEL], Codec(), history_id="h", log_head=10**9, boot_id="b"
        )
        assert self.store.reset_reason is None
        assert self.store.checkpoints() == {"catalog": self.position}
        self.block: Any = None

    def writing(self) -> Any:
        if self.block is None:
            self.block = self.store.write()
            self.transaction = self.block.__enter__()
            self.rows = dict(self.committed)
            self.new_lines = dict(self.lines)
        return self.transaction.tables("catalog")

    def commit(self) -> None:
        if self.block is not None:
            # As every projection does: rows without a checkpoint are not continued.
            self.position += 1
            self.transaction.set_checkpoint("catalog", self.position)
            self.block.__exit__(None, None, None)
            assert self.store.checkpoints() == {"catalog": self.position}
            self.block, self.committed, self.lines = None, self.rows, self.new_lines

    @property
    def expected(self) -> dict[bytes, Row]:
        return self.committed if self.block is None else self.rows

    def reader(self, of_snapshot: bool) -> tuple[TableReader, dict[bytes, Row]]:
        """The table as the transaction or as a snapshot sees it, and the rows that it must show."""
        if of_snapshot or self.block is None:
            return self.store.snapshot().table("catalog", SCHEMA), self.committed
        return self.writing()[SCHEMA], self.rows

    # -- changes ---------------------------------------------------------------------------------------------
    @rule(row=rows)
    def put(self, row: Row) -> None:
        self.writing()[SCHEMA].put(row)
        self.rows[encode_component(row["sku"])] = dict(row)

    @rule(some=st.lists(rows, min_size=3, max_size=8))
    def put_many(self, some: list[Row]) -> None:
        for row in some:
            self.put(row)

    @rule(key=keys, change=changes)
    def update(self, key: Any, change: Row) -> None:
        table, raw = self.writing()[SCHEMA], encode_component(key)
        if raw in self.rows:
            table.update(key, **change)
            self.rows[raw] = {**self.rows[raw], **change}
        else:
            with pytest.raises(RowMissing):
                table.update(key, **change)

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        assert self.writing()[SCHEMA].delete(key) == (self.rows.pop(encode_component(key), None) is not None)

    @rule(order=st.sampled_from(["o", "o1"]), line=st.integers(0, 12), sku=keys)
    def put_line(self, order: str, line: int, sku: Any) -> None:
        row = {"order": order, "line": line, "sku": sku}
        self.writing()[LINES].put(row)
        self.new_lines[encode_component(order), encode_component(line)] = row

    @rule()
    def committing(self) -> None:
        self.commit()

    @precondition(lambda self: self.block is not None)
    @rule()
    def abort(self) -> None:
        assert not self.block.__exit__(InterruptedError, InterruptedError(), None)
        self.block = None

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        self.commit()
        if clean:
            self.store.close()
        else:
            # The state after the process has died: nothing synced, no mark of a clean end.
            self.store._environment.close()
            self.store._file_lock.release()
        self.open()

    # -- reads -----------------------------------------------------------------------------------------------
    @rule(key=keys, old=st.booleans())
    def get(self, key: Any, old: bool) -> None:
        table, expected = self.reader(old)
        assert table.get(key) == expected.get(encode_component(key))
        assert (key in table) == (encode_component(key) in expected)

    @rule(some=st.lists(keys, max_size=4), old=st.booleans())
    def get_many(self, some: list[Any], old: bool) -> None:
        table, expected = self.reader(old)
        assert table.get_many(some) == [expected.get(encode_component(key)) for key in some]

    @rule(
        reverse=st.booleans(),
        inclusive=st.booleans(),
        limit=limits,
        size=st.integers(1, 4),
        old=st.booleans(),
    )
    def ranges(self, reverse: bool, inclusive: bool, limit: int | None, size: int, old: bool) -> None:
        for spec, (equal, start, stop) in RANGES:
            self.range(spec, start, stop, equal, inclusive, reverse, limit, size, old)

    def range(
        self,
        spec: IndexSpec | None,
        start: Any,
        stop: Any,
        equal: Any,
        inclusive: bool,
        reverse: bool,
        limit: int | None,
        size: int,
        old: bool,
    ) -> None:
        table, expected = self.reader(old)
        bounds = {"start": start, "stop": stop, "equal": equal, "include_stop": inclusive}
        skip = 0 if equal is None else 1
        low, high, pin = (
            None if value is None else encode_component(value) for value in (start, stop, equal)
        )

        def inside(place: Ordered) -> bool:
            return (
                (pin is None or place[0] == pin)
                and (low is None or place[skip] >= low)
                and (high is None or place[skip] < high or (inclusive and place[skip] == high))
            )

        want = self.wanted(expected, spec, inside, reverse)
        assert list(table.range(spec, **bounds, reverse=reverse, limit=limit)) == want[:limit]
        assert table.count(spec, **bounds) == len(want)
        keys = [encode_component(row["sku"]) for row in want[:limit]]
        found = table.keys(spec, **bounds, reverse=reverse, limit=limit)
        assert [encode_component(key) for key in found] == keys
        some = [{column: row[column] for column in row if column in SOME} for row in want[:limit]]
        assert list(table.range(spec, **bounds, reverse=reverse, limit=limit, columns=SOME)) == some
        given = () if equal is None else (equal,)
        prepared = SCHEMA.prepare(spec, equal=len(given), reverse=reverse, limit=limit, columns=SOME)
        rest = {"start": start, "stop": stop, "include_stop": inclusive}
        assert list(prepared(table, *given, **rest)) == some
        assert [encode_component(key) for key in prepared.keys(table, *given, **rest)] == keys
        assert prepared.count(table, *given, **rest) == len(want)
        paged: list[Row] = []
        token: str | None = None
        while True:
            page = table.page(spec, **bounds, reverse=reverse, size=size, token=token)
            assert page.token is None or len(page.rows) == size
            paged, token = paged + page.rows, page.token
            if token is None:
                break
        assert paged == want

    @rule(
        values=st.tuples(categories, prices),
        full=st.booleans(),
        reverse=st.booleans(),
        limit=limits,
        old=st.booleans(),
    )
    def find(self, values: tuple[Any, ...], full: bool, reverse: bool, limit: int | None, old: bool) -> None:
        table, expected = self.reader(old)
        given = values if full else values[:1]
        raw = tuple(map(encode_component, given))
        want = self.wanted(expected, PLACE, lambda place: place[: len(raw)] == raw, reverse)
        assert list(table.find(PLACE, *given, reverse=reverse, limit=limit)) == want[:limit]

    @rule(
        word=st.sampled_from(["oak", "DESK", "lampe", "öl", "none"]),
        label=st.sampled_from(["x", "xy", 1, None]),
        old=st.booleans(),
    )
    def find_many_valued(self, word: str, label: Any, old: bool) -> None:
        table, expected = self.reader(old)
        raw = (encode_component(word.casefold()),)
        assert list(table.find(NAME, word)) == self.wanted(expected, NAME, lambda place: place == raw, False)
        raw = (encode_component(label),)
        assert list(table.find(LABELS, label)) == self.wanted(
            expected, LABELS, lambda place: place == raw, False
        )

    @rule(
        spec=st.sampled_from([None, PRICE, NAME, LABELS]),
        prefix=st.sampled_from(["", "l", "la", "la\0", "de", "x", "h", "Ö"]),
        reverse=st.booleans(),
        limit=limits,
        old=st.booleans(),
    )
    def prefix(
        self, spec: IndexSpec | None, prefix: str, reverse: bool, limit: int | None, old: bool
    ) -> None:
        table, expected = self.reader(old)
        if spec == NAME:
            prefix = prefix.rstrip("\0")
        folded = prefix.casefold() if spec == NAME else prefix
        raw = (
            encode_component(folded)[:-1]
            if "\0" not in folded
            else b"0" + folded.encode().replace(b"\0", b"\0\xff")
        )
        want = self.wanted(expected, spec, lambda place: place[0].startswith(raw), reverse)
        assert list(table.prefix(spec, prefix, reverse=reverse, limit=limit)) == want[:limit]

    def wanted(
        self, expected: dict[bytes, Row], spec: IndexSpec | None, inside: Any, reverse: bool
    ) -> list[Row]:
        """The rows with values inside the bounds, each once at its first one, by value and key."""
        found = []
        for raw, row in expected.items():
            mine = [values for values in index_values(row, spec) if inside(values)]
            if mine:
                found.append(((max(mine) if reverse else min(mine)), raw, row))
        found.sort(key=lambda item: item[:2], reverse=reverse)
        return [row for _, _, row in found]

    # -- always ----------------------------------------------------------------------------------------------
    @invariant()
    def snapshots_show_what_was_committed(self) -> None:
        if not hasattr(self, "store"):
            return
        dump = self.store.dump("catalog")
        assert dump["products"] == [
            row for _, row in sorted(self.committed.items(), key=lambda item: item[0])
        ]
        assert dump["lines"] == [row for _, row in sorted(self.lines.items(), key=lambda item: item[0])]
        with self.store.snapshot() as snapshot:
            handle = snapshot.table("catalog", SCHEMA)._handle
            for index, db in handle.indexes.items():
                entries = sum(len(set(index_values(row, index.spec))) for row in self.committed.values())
                assert snapshot._access.live().stat(db)["entries"] == entries

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.commit()
            self.store.close()
            self.folder.cleanup()
            self.patch.undo()


TestTables = Tables.TestCase

"""Random tables and random programs over them, and what runs one op of a program on a table of the library or of the oracle.

`tables()` draws a `Drawn`: a shape with its library twin and a pool of values for each column, few of them, so that
they meet. `Drawn.ops` are its strategies. An op is plain data. `done(op, table, schema)` does it to a table of the library
and `expected(op, rows)` to one of the oracle, and both say what it answered in a form to compare by `==`. Whatever a
library's table gives is spoilt once it was looked at, and so is what was put.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import pytest
from hypothesis import strategies as st

from storage import table_entries, table_writer
from storage.errors import RowMissing
from storage.keys import encode_component
from storage.pending import PendingTable
from storage.table_entries import TableEntries
from storage.table_index import each, words
from storage.table_schema import TableSchema
from tests.oracle.table_model import Many, Row, Rows, Search, Shape, Spec, column_of
from tests.oracle.values import KEYS, Values, changeable, fresh, order, pools, shown_exactly, spoil, values

Op = tuple[Any, ...]

MOST_KEY_BYTES = 511
MANY, WORDS = Many("each", "many"), Many("words", "text")
INDEXES: list[Spec] = [
    ("a",),
    ("b",),
    ("a", "b"),
    ("b", "a"),
    ("b", "k"),
    (MANY,),
    ("a", MANY),
    (MANY, "b"),
    (WORDS,),
    ("b", WORDS),
    (WORDS, "a"),
]
_WORDS = ["oak", "Oak", "OAKS", "oa", "desk", "ä", "Ä", "x1"]
_PREFIXES = ["", "a", "a\0", "a\0\xff", "\xff", "o", "oa", "ä"]
COLUMNS = ("k", "l", "a", "b", "many", "text", "v")


def library_spec(spec: Spec) -> Any:
    """The same index as the library is told it."""
    made = {"each": each, "words": words}
    parts = [part if isinstance(part, str) else made[part.kind](part.column) for part in spec]
    return parts[0] if len(parts) == 1 else tuple(parts)


@dataclass(frozen=True)
class Drawn:
    """A shape and what is written to its tables. `free` are the values of a column that is in no index."""

    shape: Shape
    pools: dict[str, list[Any]]
    free: Values

    @cached_property
    def schema(self) -> TableSchema:
        """The library's; one object for each example, as tables are told apart by it."""
        key = self.shape.key[0] if len(self.shape.key) == 1 else self.shape.key
        return TableSchema("t", key, [library_spec(spec) for spec in self.shape.indexes])

    def __repr__(self) -> str:
        return f"Drawn(key={self.shape.key}, indexes={self.shape.indexes}, pools={self.pools})"

    # -- strategies -----------------------------------------------------------------------------------------------------
    def of(self, column: str) -> Values:
        return st.sampled_from(self.pools[column])

    @property
    def keys(self) -> Values:
        """Keys as `get` takes them."""
        if len(self.shape.key) == 1:
            return self.of(self.shape.key[0])
        return st.tuples(*map(self.of, self.shape.key))

    @cached_property
    def _rest(self) -> dict[str, Values]:
        items = st.lists(self.of("many"), max_size=3)
        return {
            "a": self.of("a"),
            "b": self.of("b"),
            "many": st.none() | items | items.map(tuple) | items.map(frozenset),
            "text": st.none() | st.lists(st.sampled_from(_WORDS), max_size=3).map(" ".join),
            "v": self.free,
        }

    @cached_property
    def rows(self) -> Values:
        return st.fixed_dictionaries(
            {column: self.of(column) for column in self.shape.key}, optional=self._rest
        )

    def sought(self, part: Any) -> Values:
        """What is looked for in a part of an index."""
        if isinstance(part, str):
            return self.of(part)
        return st.sampled_from(_WORDS) if part.kind == "words" else self.of("many")

    @cached_property
    def searches(self) -> Values:
        return st.one_of(self._searches(number) for number in (None, *range(len(self.shape.indexes))))

    def _searches(self, index: int | None) -> Values:
        parts = self.shape.parts(index)

        @st.composite
        def one(draw: st.DrawFn) -> Search:
            pinned = draw(st.integers(0, len(parts)))
            rest = parts[pinned:]
            equal = tuple(draw(self.sought(part)) for part in parts[:pinned]) or None
            bounds: list[Any] = [None, None]
            prefix = None
            if rest:
                kind = draw(st.sampled_from(["none", "range", "range", "prefix"]))
                if kind == "prefix":
                    prefix = draw(st.sampled_from(_PREFIXES))
                    if not isinstance(rest[0], str) and rest[0].kind == "words":
                        prefix = prefix if prefix.isalpha() and prefix.isascii() else ""
                elif kind == "range":
                    for place in (0, 1):
                        given = draw(st.integers(0, len(rest)))
                        bounds[place] = tuple(draw(self.sought(part)) for part in rest[:given]) or None
            return Search(
                index,
                equal,
                *bounds,
                include_stop=draw(st.booleans()),
                prefix=prefix,
                reverse=draw(st.booleans()),
                limit=draw(st.none() | st.integers(0, 4)),
                columns=draw(_some_columns),
                size=draw(st.integers(1, 3)),
            )

        return one()

    @cached_property
    def census(self) -> Op:
        """An op that counts the rows of each value that there may be, in every way, by every index."""
        numbers = (None, *range(len(self.shape.indexes)))
        firsts = [(number, self.shape.parts(number)[0]) for number in numbers]
        return "census", [
            Search(number, equal=(value,))
            for number, part in firsts
            for value in (_WORDS if part == WORDS else self.pools[column_of(part)])
        ]

    @cached_property
    def reads(self) -> Values:
        """Ops that change nothing."""
        return st.one_of(
            st.tuples(st.just("search"), self.searches),
            st.tuples(st.just("search"), self.searches),
            st.tuples(st.just("get"), self.keys, _some_columns),
            st.tuples(st.just("many"), st.lists(self.keys, max_size=4), _some_columns),
            st.tuples(st.just("len")),
        )

    @cached_property
    def changes(self) -> Values:
        """Ops that change a row."""
        columns = st.fixed_dictionaries({}, optional=self._rest)
        return st.one_of(
            st.tuples(st.just("put"), self.rows),
            st.tuples(st.just("put and look"), self.rows),
            st.tuples(st.sampled_from(["update", "update and look"]), self.keys, columns),
            st.tuples(st.just("delete"), self.keys),
        )

    @cached_property
    def ops(self) -> Values:
        """Any of these, and changes that rest on what was read."""
        return st.one_of(
            self.changes,
            self.changes,
            self.reads,
            st.tuples(st.sampled_from(["touch", "put back", "derive"]), self.keys),
            st.tuples(
                st.just("walk"), self.searches.map(_without_prefix), st.lists(self.changes, max_size=4)
            ),
        )


def _without_prefix(search: Search) -> Search:
    return replace(search, prefix=None)


_kinds = st.one_of(st.sampled_from(["text", "bytes"]), st.sampled_from(sorted(KEYS)))
_some_columns = st.none() | st.lists(st.sampled_from(COLUMNS), max_size=3).map(tuple)


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one: thousands of stores are opened and closed, and none has to last."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def bounded(text: str) -> str:
    """Of a text that is too long for a report the beginning; what hypothesis shrinks soon gets short enough."""
    return text if len(text) < 20_000 else f"{text[:2_000]}... ({len(text):,} characters)"


@st.composite
def tables(draw: st.DrawFn, free: Values | None = None) -> Drawn:
    """A table of any key and any indexes, and what is in it."""
    key = draw(st.sampled_from([("k",), ("k",), ("k", "l")]))
    indexes = tuple(draw(st.lists(st.sampled_from(INDEXES), max_size=4, unique=True)))
    room = MOST_KEY_BYTES // (len(key) + 2)
    drawn = {}
    for column in ("k", "l", "a", "b", "many"):
        kinds = draw(st.lists(_kinds, min_size=1, max_size=2))
        some = [key for kind in kinds for key in draw(pools(kind))]
        drawn[column] = [key for key in some if len(encode_component(key)) <= room] or [None]
    if free is None:
        free = st.one_of(changeable, values())
    return Drawn(Shape(key, indexes), drawn, free)


# -- one op on a table of the library -----------------------------------------------------------------------------------
def done(op: Op, table: Any, schema: TableSchema) -> Any:
    """What the op answered."""
    kind, *given = op
    match kind, given:
        case "put", [row]:
            mine = fresh(row)
            table.put(mine)
            spoil(mine)
        case "put and look", [row]:
            done(("put", row), table, schema)
            columns = schema.columns
            key = row[columns[0]] if len(columns) == 1 else tuple(row[column] for column in columns)
            return _looked_at(table.get(key)), _looked_at(table.get(key))
        case "update and look", [key, changes]:
            there = done(("update", key, changes), table, schema)
            return there, _looked_at(table.get(key)), _looked_at(table.get(key))
        case "update", [key, changes]:
            mine = fresh(changes)
            try:
                table.update(key, **mine)
            except RowMissing:
                return False
            spoil(mine)
            return True
        case "delete", [key]:
            return table.delete(key)
        case "get", [key, columns]:
            return _looked_at(table.get(key, columns=columns)), key in table
        case "many", [keys, columns]:
            return [_looked_at(row) for row in table.get_many(keys, columns=columns)]
        case "len", []:
            return len(table)
        case "search", [search]:
            return _searched(search, table, schema)
        case "census", [searches]:
            return [_counted(search, table, schema) for search in searches]
        case "touch", [key]:
            return _looked_at(table.get(key))
        case "put back", [key]:
            if (row := table.get(key)) is not None:
                for value in row.values():
                    spoil(value)
                table.put(row)
        case "derive", [key]:
            if (row := table.get(key)) is not None:
                table.update(key, v=derived(row.get("v")))
        case "walk", [search, changes]:
            answers = []
            waiting = list(changes)
            for row in table.range(*_arguments(search, schema), **_options(search)):
                answers.append(_looked_at(row))
                if waiting:
                    answers.append(done(waiting.pop(0), table, schema))
            return answers
        case _:
            raise AssertionError(op)
    return None


def derived(value: Any) -> Any:
    """What a projection makes of a value that it has read: another one for each form of it."""
    try:
        return value + timedelta(days=1) if isinstance(value, date) else repr(shown_exactly(value))[:200]
    except OverflowError:
        return None


def _looked_at(row: Row | None) -> Any:
    shown = shown_exactly(row)
    spoil(row)
    return shown


def _bound(values: tuple[Any, ...] | None) -> Any:
    """A single value is given bare where that says the same."""
    return values[0] if values is not None and len(values) == 1 and values[0] is not None else values


def _arguments(search: Search, schema: TableSchema) -> tuple[Any, Any, Any]:
    spec = None if search.index is None else schema.indexes[search.index].spec
    return spec, _bound(search.start), _bound(search.stop)


def _options(search: Search, *, bounds_alone: bool = False) -> dict[str, Any]:
    bounds = {"equal": _bound(search.equal), "include_stop": search.include_stop}
    return bounds if bounds_alone else {**bounds, "reverse": search.reverse}


def _searched(search: Search, table: Any, schema: TableSchema) -> dict[str, Any]:
    """The answer of every method that can be asked."""
    index, start, stop = _arguments(search, schema)
    some = {"limit": search.limit, "columns": search.columns}
    equal = search.equal or ()
    if search.prefix is not None:
        rows = table.prefix(index, *equal, search.prefix, reverse=search.reverse, **some)
        return {"prefix": [_looked_at(row) for row in rows]}
    options = _options(search)
    answer: dict[str, Any] = {
        "range": [_looked_at(row) for row in table.range(index, start, stop, **options, **some)],
        "keys": [order(key) for key in table.keys(index, start, stop, **options, limit=search.limit)],
        "count": table.count(index, start, stop, **_options(search, bounds_alone=True)),
        "page": [],
    }
    token = None
    while True:
        page = table.page(
            index, start, stop, **options, size=search.size, token=token, columns=search.columns
        )
        answer["page"].append([_looked_at(row) for row in page.rows])
        token = page.token
        if token is None:
            break
    prepared = schema.prepare(index, equal=len(equal), reverse=search.reverse, **some)
    rest = {"start": start, "stop": stop, "include_stop": search.include_stop}
    answer["prepared"] = (
        [_looked_at(row) for row in prepared(table, *equal, **rest)],
        [order(key) for key in prepared.keys(table, *equal, **rest)],
        prepared.count(table, *equal, **rest),
    )
    if start is stop is None:
        found = table.find(index, *equal, reverse=search.reverse, **some)
        answer["find"] = [_looked_at(row) for row in found]
        if search == Search(None, size=search.size):
            answer["all"] = [_looked_at(row) for row in table.all()]
    return answer


def _counted(search: Search, table: Any, schema: TableSchema) -> tuple[int, ...]:
    index = None if search.index is None else schema.indexes[search.index].spec
    assert search.equal is not None
    bounds = {"start": search.equal, "stop": search.equal, "include_stop": True}
    return (
        table.count(index, equal=search.equal),
        len(list(table.keys(index, equal=search.equal))),
        len(list(table.find(index, *search.equal))),
        table.count(index, **bounds),
        schema.prepare(index, equal=1).count(table, *search.equal),
    )


# -- the same by brute force --------------------------------------------------------------------------------------------
def expected(op: Op, rows: Rows) -> Any:
    """What the op has to answer."""
    kind, *given = op
    match kind, given:
        case "put", [row]:
            rows.put(row)
        case "put and look", [row]:
            rows.put(row)
            shown = shown_exactly(rows.get(rows.key_of(row)))
            return shown, shown
        case "update", [key, changes]:
            return rows.update(key, changes)
        case "update and look", [key, changes]:
            there = rows.update(key, changes)
            shown = shown_exactly(rows.get(key))
            return there, shown, shown
        case "delete", [key]:
            return rows.delete(key)
        case "get", [key, columns]:
            return shown_exactly(rows.get(key, columns)), rows.get(key) is not None
        case "many", [keys, columns]:
            return [shown_exactly(rows.get(key, columns)) for key in keys]
        case "len", []:
            return len(rows.rows)
        case "search", [search]:
            return _found(search, rows)
        case "census", [searches]:
            return [(len(rows.search(search)),) * 5 for search in searches]
        case "touch", [key]:
            return shown_exactly(rows.get(key))
        case "put back", [key]:
            if (row := rows.get(key)) is not None:
                for value in row.values():
                    spoil(value)
                rows.put(row)
        case "derive", [key]:
            if (row := rows.get(key)) is not None:
                rows.update(key, {"v": derived(row.get("v"))})
        case "walk", [search, changes]:
            answers = []
            waiting = list(changes)
            for row in rows.search(search, whole=True):
                answers.append(shown_exactly(row))
                if waiting:
                    answers.append(expected(waiting.pop(0), rows))
            return answers
        case _:
            raise AssertionError(op)
    return None


def _found(search: Search, rows: Rows) -> dict[str, Any]:
    found = [shown_exactly(row) for row in rows.search(search)]
    if search.prefix is not None:
        return {"prefix": found}
    whole = rows.search(search, whole=True)
    keys = [order(rows.key_of(row)) for row in whole]
    if search.limit is not None:
        keys = keys[: search.limit]
    in_pages = [
        shown_exactly(
            {column: row[column] for column in row if search.columns is None or column in search.columns}
        )
        for row in whole
    ]
    pages = [in_pages[start : start + search.size] for start in range(0, len(in_pages), search.size)]
    answer: dict[str, Any] = {
        "range": found,
        "keys": keys,
        "count": len(whole),
        "page": pages or [[]],
        "prepared": (found, keys, len(whole)),
    }
    if search.start is search.stop is None:
        answer["find"] = found
        if search == Search(None, size=search.size):
            answer["all"] = found
    return answer


@contextmanager
def small_chunks(small: bool) -> Iterator[None]:
    """Tables are read a few rows at a time, so that few rows are many chunks."""
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(table_entries, "CHUNK_ROWS", 3)
            patch.setattr(table_entries, "CHUNK_KEYS", 4)
            patch.setattr(table_writer, "CHUNK_ROWS", 3)
            patch.setattr(TableEntries, "_first", 2)
            patch.setattr(PendingTable, "_first", 2)
        yield

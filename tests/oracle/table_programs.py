"""Random tables, and the strategies of random programs over them, made of the ops of `table_ops`.

`tables()` draws a `Drawn`: a shape with its library twin and a pool of values for each column, few of them,
so that they meet again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest
from hypothesis import strategies as st

from storage.codec.keys import encode_component
from storage.tables import entries as table_entries
from storage.tables import writer as table_writer
from storage.tables.entries import TableEntries
from storage.tables.index import each, words
from storage.tables.pending_table import PendingTable
from storage.tables.schema import TableSchema
from tests.oracle.table_model import Many, Search, Shape, Spec, column_of
from tests.oracle.table_ops import Op
from tests.oracle.values import KEYS, Values, changeable, pools, values

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

    # -- strategies ------------------------------------------------------------------------------------------
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


def bounded(text: str) -> str:
    """Of a text that is too long for a report the beginning; what hypothesis shrinks soon gets
    short enough.
    """
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

"""A table in plain Python: a dictionary of rows, in which every search looks at every row. It imports nothing
of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from tests.oracle.value_forms import as_stored, begins, fresh, order

Row = dict[str, Any]


@dataclass(frozen=True)
class Many:
    """A part of an index that has several values a row: each item of a column, or each word of it."""

    kind: str
    column: str

    def items(self, value: Any) -> list[Any]:
        """What a row with this value is found by."""
        if value is None:
            return []
        return str(value).casefold().split() if self.kind == "words" else list(value)

    def sought(self, value: Any) -> Any:
        """What is looked for when this is asked for."""
        return value.casefold() if self.kind == "words" and isinstance(value, str) else value


Part = str | Many
Spec = tuple[Part, ...]


def column_of(part: Part) -> str:
    return part if isinstance(part, str) else part.column


@dataclass(frozen=True)
class Shape:
    """A table's key and its indexes, each as the parts that it is made of."""

    key: tuple[str, ...]
    indexes: tuple[Spec, ...]

    def parts(self, index: int | None) -> Spec:
        """Those of an index by its number, or of the key."""
        return self.key if index is None else self.indexes[index]


@dataclass(frozen=True)
class Search:
    """What is looked for. `equal`, `start` and `stop` are tuples of values; None for a bound that is not
    given.
    """

    index: int | None
    equal: tuple[Any, ...] | None = None
    start: tuple[Any, ...] | None = None
    stop: tuple[Any, ...] | None = None
    include_stop: bool = False
    prefix: str | None = None
    reverse: bool = False
    limit: int | None = None
    columns: tuple[str, ...] | None = None
    size: int = 2


class Rows:
    """What a table should hold. Rows that go in are copied in the form that is stored, and none that come out
    is shared.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.rows: dict[Any, Row] = {}

    def copy(self) -> Rows:
        """The same for changes of its own. Rows that are in it are never changed, but replaced."""
        other = Rows(self.shape)
        other.rows = dict(self.rows)
        return other

    def key_of(self, row: Row) -> Any:
        """The key of a row as the table takes it."""
        values = tuple(row[column] for column in self.shape.key)
        return values[0] if len(values) == 1 else values

    # -- changing --------------------------------------------------------------------------------------------
    def put(self, row: Row) -> None:
        self.rows[order(self.key_of(row))] = as_stored(row)

    def update(self, key: Any, changes: Row) -> bool:
        """Whether there was one."""
        row = self.rows.get(order(key))
        if row is not None:
            self.rows[order(key)] = as_stored({**row, **changes})
        return row is not None

    def delete(self, key: Any) -> bool:
        """Whether there was one."""
        return self.rows.pop(order(key), None) is not None

    # -- reading ---------------------------------------------------------------------------------------------
    def get(self, key: Any, columns: tuple[str, ...] | None = None) -> Row | None:
        row = self.rows.get(order(key))
        return None if row is None else fresh(_only(row, columns))

    def all(self) -> list[Row]:
        """Every row in the order of the keys."""
        return self.search(Search(None))

    def search(self, search: Search, *, whole: bool = False) -> list[Row]:
        """The rows that a search finds, each once; with `whole` whatever its limit and columns."""
        parts = self.shape.parts(search.index)
        inside = _inside(parts, search)
        found = []
        for key, row in self.rows.items():
            entries = [entry for entry in _entries(parts, row) if inside(entry)]
            orders = [tuple(map(order, entry)) for entry in entries]
            if orders:
                found.append((max(orders) if search.reverse else min(orders), key, row))
        found.sort(key=lambda item: item[:2], reverse=search.reverse)
        limit = None if whole or search.limit is None else max(search.limit, 0)
        columns = None if whole else search.columns
        return [fresh(_only(row, columns)) for _, _, row in found[:limit]]

    def entries(self) -> int:
        """How many entries all indexes have together."""
        return sum(
            len({tuple(map(order, entry)) for entry in _entries(parts, row)})
            for parts in self.shape.indexes
            for row in self.rows.values()
        )


def _only(row: Row, columns: tuple[str, ...] | None) -> Row:
    return row if columns is None else {column: row[column] for column in row if column in columns}


def _entries(parts: Spec, row: Row) -> list[tuple[Any, ...]]:
    """Every combination of the values that a row has in an index."""
    values = [
        [row.get(part)] if isinstance(part, str) else part.items(row.get(part.column)) for part in parts
    ]
    return list(product(*values))


def _inside(parts: Spec, search: Search) -> Callable[[tuple[Any, ...]], bool]:
    """Whether an entry is between the bounds."""
    equal = search.equal or ()
    pinned = len(equal)

    def sought(values: tuple[Any, ...], skip: int) -> tuple[Any, ...]:
        return tuple(
            order(value if isinstance(part, str) else part.sought(value))
            for part, value in zip(parts[skip:], values, strict=False)
        )

    same = sought(equal, 0)
    start = None if search.start is None else sought(search.start, pinned)
    stop = None if search.stop is None else sought(search.stop, pinned)

    def inside(entry: tuple[Any, ...]) -> bool:
        orders = tuple(map(order, entry))
        rest = orders[pinned:]
        if orders[:pinned] != same:
            return False
        if start is not None and rest[: len(start)] < start:
            return False
        if stop is not None:
            upto = rest[: len(stop)]
            if upto > stop or (upto == stop and not search.include_stop):
                return False
        if search.prefix is not None:
            part = parts[pinned]
            return begins(
                entry[pinned], search.prefix if isinstance(part, str) else part.sought(search.prefix)
            )
        return True

    return inside

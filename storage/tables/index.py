"""The entries that a row has in an index, and the bounds of a search in it. Pure, any thread.

An index is identified by its spec as the user wrote it: a column ("price"), a tuple of columns (("category",
"price")), `words("name")` or `each("categories")`, or a tuple that contains one of the latter two. A row that
lacks a column, or has None in it, is indexed under None, which sorts before all other values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from storage.codec.keys import (
    MAX_KEY_BYTES,
    above_equal,
    encode_component,
    encode_prefix,
    successor,
    too_long,
)
from storage.errors import InvalidKey, InvalidSchema
from storage.tables.words import WORDS_RULE, split_words, split_words_before
from storage.value_text import short_repr

__all__ = ["Bounds", "Component", "Each", "Index", "IndexSpec", "Words", "each", "split_words", "words"]


@dataclass(frozen=True, slots=True)
class Words:
    """Indexes a row under each word of a text column; None has no words. Search terms are folded too.

    `rule` says how words are cut: by `storage.tables.words`, or 1 for an older index until it is rebuilt.
    """

    column: str
    rule: int = field(default=WORDS_RULE, compare=False, repr=False)

    def values(self, value: object) -> Sequence[object]:
        """The words by which a row with this column value is found.

        Raises InvalidKey unless it is a str or None.
        """
        if value is None:
            return ()
        if not isinstance(value, str):
            raise InvalidKey(f"only a str has words, not {type(value).__name__}")
        return split_words(value) if self.rule == WORDS_RULE else split_words_before(value)

    def sought(self, value: object) -> object:
        """A search term as the index stores words. Raises InvalidKey unless it is exactly one word."""
        found = self.values(value)
        if len(found) != 1:
            raise InvalidKey(f"{short_repr(value)} is not one word: search for the words one by one")
        return found[0]

    def sought_prefix(self, value: object) -> object:
        """The beginning of a word as the index stores words; "" begins every word."""
        return "" if value == "" else self.sought(value)

    def __str__(self) -> str:
        return f"words({self.column})"


@dataclass(frozen=True, slots=True)
class Each:
    """Indexes a row under each item of a list, tuple or set column, once for each; None has no items."""

    column: str

    def values(self, value: object) -> Sequence[object]:
        """The items. Raises InvalidKey unless it is a list, tuple, set or None."""
        if value is None:
            return ()
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise InvalidKey(f"only a list, tuple or set has items to index, not {type(value).__name__}")
        return tuple(value)

    def sought(self, value: object) -> object:
        """An item to search for: any key value."""
        return value

    def sought_prefix(self, value: object) -> object:
        """The beginning of an item."""
        return value

    def __str__(self) -> str:
        return f"each({self.column})"


def words(column: str) -> Words:
    """An index over the words of a text column: `table.find(words("name"), "oak")`."""
    return Words(column)


def each(column: str) -> Each:
    """An index over the items of a many-valued column: `table.find(each("categories"), "garden")`."""
    return Each(column)


Component: TypeAlias = str | Words | Each
IndexSpec: TypeAlias = Component | tuple[Component, ...]
Values: TypeAlias = Mapping[str, Any]
Bounds: TypeAlias = tuple[bytes, bytes | None, int]
"""The least entry of a range, the least above it (None: no bound), the number of leading components given."""


class Index:
    """A sequence of components in a fixed order; gives the entries of rows and the bounds of searches.

    The key of a table is such a sequence too (`primary`). `many` is the number of the many-valued component,
    from 0; `single` is the column of an index of one plain column.
    """

    __slots__ = ("spec", "components", "name", "where", "many", "single", "columns")

    def __init__(self, table: str, spec: IndexSpec, what: str = "index") -> None:
        self.spec = spec
        self.components: tuple[Component, ...] = spec if isinstance(spec, tuple) else (spec,)
        for component in self.components:
            column = component if isinstance(component, str) else getattr(component, "column", None)
            if not isinstance(column, str) or not column:
                raise InvalidSchema(
                    f"table {table!r}: {what} {short_repr(spec)} must be made of column names, words(...) "
                    "and each(...), and several of them be a tuple"
                )
        if not self.components:
            raise InvalidSchema(f"table {table!r}: {what} () names no column")
        many = [number for number, component in enumerate(self.components) if not isinstance(component, str)]
        if len(many) > 1:
            raise InvalidSchema(
                f"table {table!r}: {what} {short_repr(spec)} may hold one words(...) or each(...), not "
                f"{len(many)}"
            )
        self.many = many[0] if many else None
        self.name = ",".join(map(str, self.components))
        self.where = f"table {table!r}, {what} {self.name!r}"
        self.columns = tuple(
            component if isinstance(component, str) else component.column for component in self.components
        )
        self.single = (
            self.components[0] if isinstance(self.components[0], str) and len(self.components) == 1 else None
        )

    def entries(self, row: Mapping[str, Any], row_key: bytes) -> list[bytes]:
        """The index entries of a row, each ending with the row's key.

        Raises InvalidKey or KeyTooLong, with the name of the column.
        """
        if self.single is not None:
            return [self._entry(row, row_key)]
        entries = [value + row_key for value in self._combinations(row)]
        for entry in entries:
            if len(entry) > MAX_KEY_BYTES:
                raise self.located(too_long(len(entry)), "value and key of the row")
        return entries

    def _entry(self, row: Mapping[str, Any], row_key: bytes) -> bytes:
        """The only entry in an index of one column."""
        column = self.single
        assert column is not None
        try:
            entry = encode_component(row.get(column)) + row_key
        except InvalidKey as error:
            raise self.located(error, column) from None
        if len(entry) > MAX_KEY_BYTES:
            raise self.located(too_long(len(entry)), "value and key of the row")
        return entry

    def _combinations(self, row: Mapping[str, Any]) -> list[bytes]:
        heads = [b""]
        for component in self.components:
            try:
                if isinstance(component, str):
                    encoded = [encode_component(row.get(component))]
                else:
                    items = component.values(row.get(component.column))
                    encoded = list(dict.fromkeys(map(encode_component, items)))
            except InvalidKey as error:
                raise self.located(error, str(component)) from None
            heads = [head + tail for head in heads for tail in encoded]
        return heads

    def leading(self, value: object, skip: int = 0) -> tuple[bytes, int]:
        """The encoding of the components from `skip` on, for a scalar or a tuple `value`, and their number.

        Raises InvalidKey for more values than components.
        """
        if not isinstance(value, tuple) and skip < len(self.components):
            return self.encode(skip, value), 1
        values = value if isinstance(value, tuple) else (value,)
        if skip + len(values) > len(self.components):
            raise self._too_many(skip + len(values))
        return b"".join([self.encode(skip + number, item) for number, item in enumerate(values)]), len(values)

    def encode(self, number: int, value: Any) -> bytes:
        """The encoding of a search value for the component of this number, from 0.

        Raises InvalidKey, with the name of the column.
        """
        component = self.components[number]
        try:
            if component.__class__ is not str:
                value = component.sought(value)  # type: ignore[union-attr]
            return encode_component(value)
        except InvalidKey as error:
            raise self.located(error, str(component)) from None

    def bounds(
        self, start: object = None, stop: object = None, *, equal: object = None, include_stop: bool = False
    ) -> Bounds:
        """Where a range begins and ends. Raises InvalidKey."""
        base, pinned = (b"", 0) if equal is None else self.leading(equal)
        low = base if start is None else base + self.leading(start, pinned)[0]
        if stop is None:
            return low, above_equal(base), pinned
        high: bytes | None = base + self.leading(stop, pinned)[0]
        if include_stop and high is not None:
            high = above_equal(high)
        return low, high, pinned

    def prefix_bounds(self, values: tuple[object, ...]) -> Bounds:
        """The bounds of a search by leading values, the last of which is the beginning of a str."""
        if not values:
            raise InvalidKey(f"{self.where}: a prefix search needs the beginning of a str")
        base, pinned = self.leading(values[:-1]) if len(values) > 1 else (b"", 0)
        if pinned >= len(self.components):
            raise self._too_many(len(values))
        component = self.components[pinned]
        try:
            low = base + encode_prefix(
                values[-1] if isinstance(component, str) else component.sought_prefix(values[-1])
            )
        except InvalidKey as error:
            raise self.located(error, str(component)) from None
        return low, successor(low), pinned

    def repeats(self, pinned: int) -> bool:
        """Whether a row can have several entries among those whose first `pinned` components are given."""
        return self.many is not None and pinned <= self.many

    def _too_many(self, given: int) -> InvalidKey:
        return InvalidKey(f"{self.where} has {len(self.components)} component(s), and {given} were given")

    def located(self, error: InvalidKey, column: str) -> InvalidKey:
        """The error, with the names of the index and the column that it is about."""
        return type(error)(f"{self.where}, {column}: {error}")

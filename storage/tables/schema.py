"""Schemas of tables and read models: a table's key and indexes, a model's version, engine and contents.

Rows are dicts with str columns. Pure, any thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import unidata_version

from storage.codec.keys import KEY_FORMAT, MAX_KEY_BYTES, encode_component, too_long
from storage.errors import InvalidKey, InvalidSchema, KeyTooLong
from storage.tables.index import Each, Index, IndexSpec, Words
from storage.tables.prepared import PreparedRange
from storage.tables.rows import Columns, Row
from storage.tables.words import WORDS_RULE
from storage.value_text import short_repr

__all__ = ["ENGINES", "ModelSchema", "ObjectSchema", "Row", "TableSchema"]

ENGINES = {
    "lmdb": "",
    "sqlite": "storage.engines.sqlite.store:SqliteStore",
    "memory": "storage.engines.memory.store:MemoryStore",
}
"""The engines that can hold a read model: the replica's own tables, or the `ModelStore` class of this name.

The class is imported when the first model needs it.
"""

_SHORT = 128  # this many characters fit, whichever they are


class TableSchema:
    """A table's name, its key (a column or a tuple of columns) and its indexes.

    Compared by identity; immutable.

    Raises InvalidSchema if a name is missing, not a str or used twice, or an index has two many-valued parts.
    """

    __slots__ = ("name", "key", "indexes", "primary", "_by_spec", "columns", "encode", "_column")

    def __init__(self, name: str, key: str | tuple[str, ...], indexes: Sequence[IndexSpec] = ()) -> None:
        if not isinstance(name, str) or not name or "/" in name:
            raise InvalidSchema(
                f"a table's name must be a str that is not empty and has no '/' in it, not {short_repr(name)}"
            )
        self.name = name
        self.key = key
        self.primary = Index(name, key, "key")
        if self.primary.many is not None:
            raise InvalidSchema(f"table {short_repr(name)}: the key {short_repr(key)} cannot be many-valued")
        self.columns = tuple(str(column) for column in self.primary.components)
        self._column = self.columns[0] if len(self.columns) == 1 else None
        self.encode: Callable[[Any], bytes] = (
            self._encode_any if self._column is None else _encoder(self._encode_any)
        )
        """The stored key for a key value, a tuple for a composite key. Raises InvalidKey, KeyTooLong."""
        if not isinstance(indexes, list | tuple):
            raise InvalidSchema(
                f"table {short_repr(name)}: indexes= is a list of indexes, not "
                f"{short_repr(indexes)}{_listed(indexes)}"
            )
        self.indexes = tuple(Index(name, spec) for spec in indexes)
        self._by_spec: dict[Any, Index] = {}
        for index in self.indexes:
            if index.name in {known.name for known in self._by_spec.values()}:
                raise InvalidSchema(f"table {short_repr(name)}: the index {index.name!r} is given twice")
            self._by_spec[index.spec] = index
            self._by_spec[index.components] = index
            if len(index.components) == 1:
                self._by_spec[index.components[0]] = index

    def index(self, spec: IndexSpec | None) -> Index:
        """The index of this spec; the key itself for None.

        Raises InvalidSchema, with the names of all indexes.
        """
        if spec is None:
            return self.primary
        try:
            return self._by_spec[spec]
        except (KeyError, TypeError):
            known = ", ".join(index.name for index in self.indexes) or "none"
            raise InvalidSchema(
                f"table {short_repr(self.name)} has no index {short_repr(spec)}; it has: {known}"
            ) from None

    def prepare(
        self,
        index: IndexSpec | None = None,
        *,
        equal: int = 0,
        reverse: bool = False,
        limit: int | None = None,
        columns: Columns | None = None,
    ) -> PreparedRange:
        """A range that is worked out once, except for its values; call it with a table and those values.

        There are `equal` of them, for the leading columns: `in_category = articles.prepare(("category",
        "price"), equal=1, limit=10)`, and in a query `in_category(view[articles], "desk", start=100)`. Raises
        InvalidSchema for an unknown index, InvalidKey if `equal` is more than the index has columns.
        """
        return PreparedRange(self, index, equal, reverse, limit, columns)

    def _encode_any(self, key: Any) -> bytes:
        try:
            raw = encode_component(key) if self._column is not None else self._encode_tuple(key)
        except InvalidKey as error:
            raise type(error)(f"{self.primary.where}: {error}") from None
        if len(raw) > MAX_KEY_BYTES:
            raise KeyTooLong(f"{self.primary.where}: {too_long(len(raw))}")
        return raw

    def key_of(self, row: Mapping[str, Any]) -> bytes:
        """The stored key of a row. Raises InvalidKey, also if a key column is missing; KeyTooLong."""
        try:
            if self._column is not None:
                return self.encode(row[self._column])
            return self.encode(tuple([row[column] for column in self.columns]))
        except KeyError as error:
            raise InvalidKey(f"{self.primary.where}: the row has no column {error}") from None

    def fingerprint(self) -> str:
        """A short text that changes if stored tables of this schema would have to be rebuilt."""
        # Which characters make a word, and how they fold, depends on Python's version of the Unicode tables.
        parts: list[object] = [
            KEY_FORMAT,
            unidata_version,
            self.name,
            self.columns,
            sorted(index.name for index in self.indexes),
        ]
        if any(isinstance(part, Words) for index in self.indexes for part in index.components):
            parts.append(f"words by rule {WORDS_RULE}")
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def _encode_tuple(self, key: object) -> bytes:
        if not isinstance(key, tuple) or len(key) != len(self.columns):
            raise InvalidKey(
                f"needs a tuple of {len(self.columns)} values ({', '.join(self.columns)}), not "
                f"{short_repr(key)}"
            )
        return b"".join(map(encode_component, key))

    def __repr__(self) -> str:
        specs = [index.spec for index in self.indexes]
        return f"TableSchema({short_repr(self.name)}, key={self.key!r}, indexes={specs!r})"


def _listed(index: object) -> str:
    """Advice for one index that was given instead of a list of them."""
    if isinstance(index, str):
        return f'; write indexes=["{index}"]'
    if isinstance(index, Words | Each):
        return f'; write indexes=[{type(index).__name__.lower()}("{index.column}")]'
    return ""


def _encoder(encode_any: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """`encode_any`, faster for the most common kind of key: reading by key spends much of its time here."""

    def encode(key: Any) -> bytes:
        if type(key) is str and "\0" not in key and len(key) < _SHORT:
            try:
                return f"0{key}\0".encode()  # the result of encode_component
            except UnicodeEncodeError:
                pass
        return encode_any(key)

    return encode


@dataclass(frozen=True, eq=False, slots=True)
class ObjectSchema:
    """An object of a memory model: its name, and a factory for an empty one.

    Compared by identity, as tables are.
    """

    name: str
    factory: Callable[[], Any]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise InvalidSchema(
                "an object's name must be a str that is not empty and has no '/' in it, not "
                f"{short_repr(self.name)}"
            )
        if not callable(self.factory):
            raise InvalidSchema(
                f"object {short_repr(self.name)}: its factory makes an empty one when it is called, as dict "
                f"does; {short_repr(self.factory)} cannot be called"
            )

    def fingerprint(self) -> str:
        """A short text that changes if saved objects of this schema would have to be rebuilt."""
        factory = getattr(self.factory, "__qualname__", type(self.factory).__qualname__)
        return f"{self.name}={factory}"


@dataclass(frozen=True)
class ModelSchema:
    """A read model: its name, the version of the code that fills it, and what it consists of.

    The contents are tables for `engine` "lmdb", an SQL `script` that creates them for "sqlite", and objects
    for "memory". `code` is a fingerprint of the code that fills them, or empty if only the version counts.
    """

    name: str
    version: int
    tables: tuple[TableSchema, ...] = ()
    engine: str = "lmdb"
    script: str = ""
    objects: tuple[ObjectSchema, ...] = ()
    code: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        object.__setattr__(self, "objects", tuple(self.objects))
        if not isinstance(self.name, str) or not self.name or "/" in self.name or "@" in self.name:
            raise InvalidSchema(
                f"a read model's name must be a str without '/' and '@', not {short_repr(self.name)}"
            )
        if self.engine not in tuple(ENGINES):
            raise InvalidSchema(
                f"read model {short_repr(self.name)}: there is no engine {short_repr(self.engine)}; there "
                f"are: {', '.join(ENGINES)}"
            )
        for what, parts in (("table", self.tables), ("object", self.objects)):
            names = [part.name for part in parts]
            if len(set(names)) != len(names):
                raise InvalidSchema(
                    f"read model {short_repr(self.name)} has two {what}s of one name: "
                    f"{', '.join(sorted(names))}"
                )

    def fingerprint(self) -> str:
        """A short text that changes with any part of this schema; then the model has to be rebuilt."""
        parts = [
            self.name,
            self.version,
            sorted(table.fingerprint() for table in self.tables),
            self.engine,
            self.script,
            sorted(schema.fingerprint() for schema in self.objects),
            self.code,
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

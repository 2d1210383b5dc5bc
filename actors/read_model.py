"""Read models as a user declares them: tables, and the projections that fill them from events.

Only a definition; what it declares is checked when the domain is compiled. Projections run on a replica's thread,
in the transaction that also moves the model's checkpoint.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, cast, overload

from actors.errors import DomainError
from storage.errors import InvalidSchema
from storage.table_index import IndexSpec, each, words
from storage.table_schema import ModelSchema, TableSchema

__all__ = ["Handler", "Projection", "ReadModel", "each", "words"]

F = TypeVar("F", bound=Callable[..., Any])
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Handler:
    """A projection function of one event class; with ``wants_recorded`` it takes the RecordedEvent third."""

    fn: Callable[..., None]
    wants_recorded: bool


@dataclass(frozen=True, slots=True)
class Projection:
    """A function registered with ``on``; without ``events`` they are in its first annotation."""

    fn: Callable[..., Any]
    events: tuple[Any, ...]


class ReadModel:
    """Tables derived from events. Made by ``Domain.read_model``; used as a key for views and queries.

    ``handlers`` is filled when the domain is compiled. Raise ``version`` when what the projections write
    changes: the tables are then filled anew from the log.
    """

    def __init__(self, name: str, version: int = 1, *, place: str = "") -> None:
        self.name = name
        self.version = version
        self.place = place
        self.tables: list[TableSchema] = []
        self.projections: list[Projection] = []
        self.handlers: dict[type, Handler] = {}
        self.mistakes: list[str] = []
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.mistakes.append(
                f"{place}: read model {name!r}: its name must be letters, digits, '_', '.', '-'"
            )
        if type(version) is not int or version < 1:
            self.mistakes.append(
                f"{place}: read model {name!r}: version must be an int from 1, got {version!r}"
            )

    def __repr__(self) -> str:
        return f"<ReadModel {self.name} version {self.version}>"

    @property
    def schema(self) -> ModelSchema:
        """What a replica needs to know to hold this model."""
        return ModelSchema(self.name, self.version, tuple(self.tables))

    def table(
        self, name: str, *, key: str | tuple[str, ...], indexes: Sequence[IndexSpec] = ()
    ) -> TableSchema:
        """Declare a table of rows found by ``key`` (one column or several) and ordered by each of ``indexes``.

        An index is a column, a tuple of columns, or has one ``words("column")`` or ``each("column")`` part.
        Use the result as the key of ``tables[...]`` in projections and of ``view[...]`` in queries. Raises
        ``DomainError`` for an index that can't be.
        """
        place = place_of_caller()
        try:
            schema = TableSchema(name, key, indexes)
        except InvalidSchema as error:
            raise DomainError(f"{place}: read model {self.name!r}: {error}") from error
        if any(other.name == name for other in self.tables):
            self.mistakes.append(f"{place}: read model {self.name!r} has two tables named {name!r}")
        self.tables.append(schema)
        return schema

    @overload
    def on(self, event: type | UnionType, /, *events: type | UnionType) -> Callable[[F], F]: ...
    @overload
    def on(self, fn: F, /) -> F: ...
    def on(self, first: Any, /, *events: Any) -> Any:
        """Register a projection: ``def fn(event: A | B, tables)``, or with the classes given, ``@model.on(A, B)``.

        ``tables[table]`` is that table, open for writing. A third parameter receives the ``RecordedEvent``
        (position, time, stream, metadata). The function is returned as it is.
        """
        if not isinstance(first, type | UnionType):
            self.projections.append(Projection(first, ()))
            return first

        def register(fn: F) -> F:
            self.projections.append(Projection(fn, (first, *events)))
            return fn

        return register


def place_of_caller(depth: int = 2) -> str:
    """File and line of the user's code, ``depth`` frames above the one that asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def place_of(fn: Callable[..., Any]) -> str:
    """File and line of a function's definition."""
    code = getattr(fn, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(fn)


def name_of(thing: Any) -> str:
    """How messages call a class or function."""
    return cast(str, getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or repr(thing))

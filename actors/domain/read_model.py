"""Read models as a user declares them: what they consist of, and the projections that fill it from events.

Only a definition; what it declares is checked when the domain is compiled. Projections run on a replica's
thread, in the transaction that also moves the model's checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, NamedTuple, TypeVar, overload

from actors.domain.source_location import caller_location
from actors.errors import DomainError
from storage.errors import InvalidSchema
from storage.tables.index import IndexSpec, each, words
from storage.tables.schema import ModelSchema, ObjectSchema, TableSchema
from storage.tables.writer import TableWriter

__all__ = ["Handler", "Objects", "Projection", "ReadModel", "Tables", "each", "words"]

Tables = Mapping[TableSchema, TableWriter]
"""What a projection of a model in LMDB is given, and of an inline one: `tables[products].put(...)`."""

Objects = Mapping[ObjectSchema, Any]
"""What a projection of a model in memory is given: `objects[sums]` is what its factory made."""

F = TypeVar("F", bound=Callable[..., Any])


class Handler(NamedTuple):
    """A projection function of one event class; with ``wants_recorded`` it takes the RecordedEvent third."""

    fn: Callable[..., None]
    wants_recorded: bool


class Projection(NamedTuple):
    """A function registered with ``on``; without ``events`` they are in its first annotation."""

    fn: Callable[..., Any]
    events: tuple[Any, ...]


class ReadModel:
    """Tables or objects derived from events. Made by ``Domain.read_model``; identifies the model in views and
    queries.

    ``handlers``, ``code`` and ``older`` (earlier versions) are filled when the domain is compiled. Raise
    ``version`` when what the projections write changes: a new build is then filled from the log beside the
    old one.
    """

    def __init__(
        self,
        name: str,
        version: int = 1,
        *,
        engine: str = "lmdb",
        inline: bool = False,
        replicas: int | Sequence[int] | None = None,
        fingerprint: bool = False,
        script: str = "",
        location: str = "",
    ) -> None:
        self.name = name
        self.version = version
        self.engine = engine
        self.inline = inline
        self.replicas = replicas
        self.fingerprint = fingerprint
        self.script = script
        self.location = location
        self.tables: list[TableSchema] = []
        self.objects: list[ObjectSchema] = []
        self.projections: list[Projection] = []
        self.handlers: dict[type, Handler] = {}
        self.code = ""
        self.older: tuple[ReadModel, ...] = ()
        self.mistakes: list[str] = []

    def __repr__(self) -> str:
        return f"<ReadModel {self.name} version {self.version}>"

    @property
    def schema(self) -> ModelSchema:
        """What a replica needs to know to hold this model."""
        return ModelSchema(
            self.name,
            self.version,
            tuple(self.tables),
            self.engine,
            self.script,
            tuple(self.objects),
            self.code,
        )

    def placed_on(self, replica: int) -> bool:
        """Whether the replica of this number, from 1, keeps the model."""
        if self.replicas is None:
            return True
        if isinstance(self.replicas, int):
            return replica <= self.replicas
        return replica in self.replicas

    def table(
        self, name: str, *, key: str | tuple[str, ...], indexes: Sequence[IndexSpec] = ()
    ) -> TableSchema:
        """Declare a table of rows found by ``key`` (one column or several), with indexes to read them in
        other orders.

        An index is a column, a tuple of columns, or has one ``words("column")`` or ``each("column")`` part.
        Use the result as the key of ``tables[...]`` in projections and of ``view[...]`` in queries. Raises
        ``DomainError`` for an invalid index.
        """
        location = caller_location()
        if self.engine in ("sqlite", "memory"):
            instead = "schema=" if self.engine == "sqlite" else "object(...)"
            self.mistakes.append(
                f"{location}: read model {self.name!r} is kept by engine {self.engine!r}, which has no "
                "table(); "
                f"write {instead}, or leave engine= out"
            )
        try:
            schema = TableSchema(name, key, indexes)
        except InvalidSchema as error:
            raise DomainError(f"{location}: read model {self.name!r}: {error}") from error
        if any(other.name == name for other in self.tables):
            self.mistakes.append(f"{location}: read model {self.name!r} has two tables named {name!r}")
        self.tables.append(schema)
        return schema

    def object(self, name: str, factory: Callable[[], Any]) -> ObjectSchema:
        """Declare a Python object of a model with ``engine="memory"``; ``factory`` (such as ``dict``) makes
        an empty one.

        Use the result as the key of ``objects[...]`` in projections and of ``view[...]`` in queries. What the
        codec encodes is saved when the system closes and from time to time; anything else is rebuilt from the
        log. Raises ``DomainError`` for a name that is no text, or a factory that cannot be called.
        """
        location = caller_location()
        if self.engine in ("lmdb", "sqlite"):
            self.mistakes.append(
                f"{location}: read model {self.name!r} is kept by engine {self.engine!r}, which has no "
                "object(); "
                'write engine="memory"'
            )
        try:
            schema = ObjectSchema(name, factory)
        except InvalidSchema as error:
            raise DomainError(f"{location}: read model {self.name!r}: {error}") from error
        if any(other.name == name for other in self.objects):
            self.mistakes.append(f"{location}: read model {self.name!r} has two objects named {name!r}")
        self.objects.append(schema)
        return schema

    @overload
    def on(self, event: type | UnionType, /, *events: type | UnionType) -> Callable[[F], F]: ...
    @overload
    def on(self, fn: F, /) -> F: ...
    def on(self, first: Any, /, *events: Any) -> Any:
        """Register a projection: ``def fn(event: A | B, tables)``.

        ``@model.on(A, B)`` gives the classes of events instead of an annotation. ``tables[table]`` is that
        table, open for writing; with ``engine="sqlite"`` the second parameter is a ``sqlite3.Connection``,
        with ``"memory"`` ``objects[...]``. A third one receives the ``RecordedEvent`` (position, time,
        stream, metadata). The function is returned as it is.
        """
        if not isinstance(first, type | UnionType):
            self.projections.append(Projection(first, ()))
            return first

        def register(fn: F) -> F:
            self.projections.append(Projection(fn, (first, *events)))
            return fn

        return register
